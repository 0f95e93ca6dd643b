"""From pictures of single cells and whole fields to the classifier of cell types.

Two networks share the work. One tells the eight types of the PBC set apart, at full detail. The other says whether a
cell is a blast, and looks at a coarse picture only: the blasts to learn from lie in small, soft photographs of one
hospital, and at full detail sharpness alone would give them away. Both see nothing around the cell.

Each step writes its result into the run's folder and is skipped when that is there, so that a stopped run goes on.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import math
import os
import platform
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from leuk import __version__
from leuk.cells import crops as cutting
from leuk.cells.network import CellNetwork
from leuk.cells.store import (
    BLASTS,
    KINDS,
    CellCard,
    CellModel,
    classify_cells,
    combine,
    load_cells,
    read_cell_card,
    run,
    save_cells,
    views,
)
from leuk.cells.values import ACUTE, TYPES, expected_blasts
from leuk.errors import DataError
from leuk.files import whole
from leuk.image import SmearImage, find_images, read_image
from leuk.models.cards import weights_folder, write_card
from leuk.segmentation import Cell, Segmentation, segment
from leuk.segmentation.field import find_field
from leuk.training import metrics, smudges
from leuk.training.augment import jpeg
from leuk.training.loop import mean_weights, read_network, save_network, train_epochs, writing

log = logging.getLogger(__name__)
Tell = Callable[[str], None]

SOURCES = ("pbc", "taleqani malignant", "taleqani benign", "bccd", "zheng", "nothing", "no smear")
"""The last two are of pictures that are no smears: round pieces of them, and what is taken for cells there."""
GENUINE = SOURCES[:5]
FOLDS = 5
HELD_OUT = 0
"""The fold that is measured and never trained on."""
PER_FIELD = 5
"""Cells taken from a field of the Taleqani set, or a picture of no smear: more would only repeat it."""
BLAST_TARGETS = {
    "pbc": 0.02,
    "bccd": 0.03,
    "zheng": 0.05,
    # Not every cell of a malignant field is a blast, and hematogones look like blasts: both labels are weak.
    "taleqani malignant": 0.9,
    "taleqani benign": 0.35,
    "nothing": 0.3,
}
"""Probability of a blast that each source is taken for."""
DRAWN = {
    "pbc": 0.25,
    "taleqani malignant": 0.42,
    "taleqani benign": 0.13,
    "bccd": 0.08,
    "zheng": 0.06,
    "nothing": 0.06,
}
"""Share of each source among the cells that the blast network is shown."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells cut out of all sources.

    Attributes
    ----------
    pixels, masks : numpy.ndarray
        As in `leuk.cells.crops.Crops`, of all images together.
    white : numpy.ndarray
        float32, (N, 3): colour of each one's background.
    sizes, native : numpy.ndarray
        float32, (N,): in red cells' diameters (NaN: unknown), and in pixels of the photograph.
    source, kind : numpy.ndarray
        int64, (N,): index into `SOURCES`; index into `leuk.cells.store.KINDS`, -1 where no type is known.
    fold : numpy.ndarray
        int64, (N,): 0 … 4.
    files : numpy.ndarray
        str, (N,).
    missed : int
        PBC pictures in which no cell was found, of the held-out fold.
    """

    pixels: np.ndarray
    masks: np.ndarray
    white: np.ndarray
    sizes: np.ndarray
    native: np.ndarray
    source: np.ndarray
    kind: np.ndarray
    fold: np.ndarray
    files: np.ndarray
    missed: np.ndarray

    def __len__(self) -> int:
        return len(self.source)

    def of(self, *names: str) -> np.ndarray:
        """Return which cells are of these sources, bool (N,)."""
        return np.isin(self.source, [SOURCES.index(name) for name in names])


def fold_of(name: str) -> int:
    """Deal a file out to a fold by the hash of its name."""
    return int(hashlib.sha256(os.fsencode(name)).hexdigest(), 16) % FOLDS


def central_cell(segmentation: Segmentation) -> Cell | None:
    """Return the cell in the middle of a picture, or else the one nearest to it; None if there is none."""
    if not segmentation.cells:
        return None
    height, width = segmentation.instances.shape
    label = int(segmentation.instances[height // 2, width // 2])
    if label:
        return segmentation.cells[label - 1]

    def away(cell: Cell) -> float:
        x0, y0, x1, y1 = cell.box
        return math.hypot((x0 + x1 - width) / 2, (y0 + y1 - height) / 2)

    return min(segmentation.cells, key=away)


def _pictures(data: Path) -> dict[str, list[Path]]:
    """Return the pictures of all sources under a folder, by where they lie in it."""
    ood = data / "ood"
    return {
        **{f"pbc/{name}": sorted((data / "pbc" / name).glob("*")) for name in KINDS},
        **{f"taleqani/{name}": sorted((data / "taleqani" / "Original" / name).glob("*")) for name in _CLASSES},
        "bccd": sorted((data / "bccd" / "images").glob("*")),
        "zheng": [p for p in sorted((data / "zheng").glob("*/*")) if p.suffix.lower() in (".bmp", ".jpg", ".jpeg")],
        "ood": sorted(find_images([ood])) if ood.is_dir() else [],
    }


_CLASSES = ("Benign", "Early", "Pre", "Pro")


def fingerprint(data: Path) -> str:
    """Return a SHA-256 over the names and contents of the pictures that `gather` reads."""
    digest = hashlib.sha256()
    for place, paths in _pictures(data).items():
        for path in paths:
            digest.update(os.fsencode(f"{place}/{path.name}"))
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def gather(data: Path, tell: Tell, folds: Collection[int] = range(FOLDS)) -> Cells:
    """Find and cut out the cells of all sources under a folder that holds them each in a folder of its own.

    Parameters
    ----------
    data : pathlib.Path
        Holds ``pbc/TYPE/``, ``taleqani/Original/CLASS/`` and, if they are there, ``bccd/images``, ``zheng/*`` and
        ``ood/*``.
    tell : callable
        Given a line for each source.
    folds : collection of int
        Pictures of other folds are not looked at.

    Returns
    -------
    Cells

    Raises
    ------
    DataError
        If there are no PBC or Taleqani pictures.
    """

    def chosen(paths: Iterable[Path], of: str = "") -> list[Path]:
        return [path for path in paths if fold_of(of + path.name) in folds]

    pictures = _pictures(data)
    parts: dict[str, list[Any]] = {f.name: [] for f in dataclasses.fields(Cells)}

    def add(crops: cutting.Crops, cells: Sequence[Cell], source: str, kind: int, file: str, fold: int) -> None:
        parts["pixels"].append(crops.pixels)
        parts["masks"].append(crops.masks)
        parts["white"].append(np.repeat(crops.white[None], len(cells), axis=0))
        parts["sizes"].append(crops.sizes)
        parts["native"].append(np.array([cell.diameter for cell in cells], np.float32))
        parts["source"].append(np.full(len(cells), SOURCES.index(source)))
        parts["kind"].append(np.full(len(cells), kind))
        parts["fold"].append(np.full(len(cells), fold))
        parts["files"].append(np.full(len(cells), file, dtype="U80"))

    def single(path: Path, source: str, kind: int, file: str, image: SmearImage | None = None) -> None:
        image = image or read_image(path)
        found = segment(image, "default")
        cell = central_cell(found)
        if cell is None:
            parts["missed"].append(file)
            return
        add(cutting.cut(image.pixels, found, (cell,)), (cell,), source, kind, file, fold_of(file))

    for kind, name in enumerate(KINDS):
        for path in chosen(pictures[f"pbc/{name}"], f"{name}/"):
            single(path, "pbc", kind, f"{name}/{path.name}")
        tell(f"pbc {name}: {len(parts['source'])}")
    for name in _CLASSES:
        for path in chosen(pictures[f"taleqani/{name}"]):
            image = read_image(path)
            found = segment(image, "default")
            rng = np.random.default_rng(fold_of(path.name) + len(found.cells))
            malignant = name != "Benign"
            fit = [
                c
                for c in found.cells
                if not c.touches_border and c.solidity > 0.88 and c.diameter > 14 and c.nc_ratio > 0.45 * malignant
            ]
            keep = tuple(fit[i] for i in np.sort(rng.permutation(len(fit))[:PER_FIELD]))
            if keep:
                source = "taleqani malignant" if malignant else "taleqani benign"
                add(cutting.cut(image.pixels, found, keep), keep, source, -1, path.name, fold_of(path.name))
        tell(f"taleqani {name}: {len(parts['source'])}")
    for path in chosen(pictures["bccd"]):
        image = read_image(path)
        found = segment(image, "default")
        keep = tuple(c for c in found.cells if not c.touches_border and c.solidity > 0.85 and c.diameter > 70)
        if keep:
            add(cutting.cut(image.pixels, found, keep), keep, "bccd", -1, path.name, fold_of(path.name))
    for path in chosen(pictures["zheng"]):
        single(path, "zheng", -1, path.name)
    for path in chosen(pictures["ood"]):
        image = read_image(path)
        for number in range(3):
            made = _nothing(image.pixels, np.random.default_rng([number, fold_of(path.name), 3]))
            add(made, (), "nothing", -1, path.name, fold_of(path.name))
            for name, value in (("native", 60.0), ("source", SOURCES.index("nothing")), ("kind", -1)):
                parts[name].append(np.array([value]))
            parts["white"].append(made.white[None])
            parts["fold"].append(np.array([fold_of(path.name)]))
            parts["files"].append(np.array([path.name], dtype="U80"))
        field = find_field(image.pixels)
        found = segment(image, "default", field)
        rng = np.random.default_rng([fold_of(path.name), len(found.cells)])
        keep = tuple(found.cells[i] for i in np.sort(rng.permutation(len(found.cells))[:PER_FIELD]))
        if keep:
            add(cutting.cut(field.pixels, found, keep), keep, "no smear", -1, path.name, fold_of(path.name))
    missed = np.array(parts.pop("missed"), dtype="U80")
    if not parts["source"]:
        raise DataError(f"The folder {data} holds no cells to learn from; it needs pbc/ and taleqani/Original/.")
    whole = {name: np.concatenate(values) for name, values in parts.items()}
    for name in ("source", "kind", "fold"):
        whole[name] = whole[name].astype(np.int64)
    cells = Cells(**whole, missed=missed)
    if not (cells.of("pbc").any() and cells.of("taleqani malignant").any()):
        raise DataError(f"The folder {data} lacks pbc/ or taleqani/Original/; both are needed.")
    tell(", ".join(f"{name} {int(cells.of(name).sum())}" for name in SOURCES) + f"; missed {len(missed)}")
    return cells


def _nothing(pixels: np.ndarray, rng: np.random.Generator) -> cutting.Crops:
    """Cut a round piece out of a picture that is no smear."""
    height, width = pixels.shape[:2]
    side = int(min(height, width) * rng.uniform(0.15, 0.9))
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    part = np.ascontiguousarray(pixels[top : top + side, left : left + side])
    image = cv2.resize(part, (cutting.SIDE, cutting.SIDE), interpolation=cv2.INTER_AREA)
    mask = np.zeros((cutting.SIDE, cutting.SIDE), np.uint8)
    axes = tuple(int(v) for v in cutting.DIAMETER / 2 * np.exp(rng.uniform(-0.2, 0.2, 2)))
    cv2.ellipse(mask, (cutting.SIDE // 2, cutting.SIDE // 2), axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    white = np.percentile(image.reshape(-1, 3), 98, axis=0).astype(np.float32)
    size = np.array([rng.uniform(0.5, 3) if rng.random() < 0.5 else np.nan], np.float32)
    return cutting.Crops(image[None], mask[None], np.maximum(white, 8), size)


# ---- training -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """How one of the two networks is trained.

    Attributes
    ----------
    epochs, steps : int
        And batches an epoch.
    batch : int
    rate, decay : float
        Highest learning rate (AdamW, warmed up, then a cosine to zero) and weight decay.
    average : float
        Decay of the running average of the weights, a step; the averaged weights are the result.
    smoothing : float
        Label smoothing.
    grey : float
        Probability of losing all colour.
    color : float
        How strongly the channels' densities are mixed with one another.
    unknown : float
        Probability of not being told the size.
    mild : float
        Probability of keeping a cell's colours and focus, but for slight changes.
    tone : float
        Probability of bending the scale of densities, and of sharpening or blurring: so that neither a camera's tone
        curve nor its focus tells where a picture comes from.
    blank : float
        Share of pictures that are no cell, whose target is the uniform distribution.
    widths : tuple of int
        Of `CellNetwork`.
    seed : int
    """

    epochs: int
    steps: int = 50
    batch: int = 64
    rate: float = 2e-3
    decay: float = 0.05
    average: float = 0.995
    smoothing: float = 0.05
    grey: float = 0.1
    color: float = 0.12
    unknown: float = 0.3
    mild: float = 0.0
    tone: float = 0.0
    blank: float = 0.06
    widths: tuple[int, int, int, int] = (32, 48, 96, 160)
    seed: int = 0


Recipes = Mapping[str, tuple[Recipe, ...]]
"""By "types" and "blasts", the cycles of training, each beginning with the weights of the one before."""
AVERAGED = 3
"""Last cycles whose ends are averaged to one network's weights."""

_TYPES = Recipe(epochs=26, widths=(24, 40, 80, 144))
_BLASTS = Recipe(
    epochs=15,
    rate=1.5e-3,
    smoothing=0.0,
    grey=0.4,
    color=0.25,
    tone=0.6,
    unknown=0.3,
    widths=(24, 40, 80, 96),
)
RECIPES: Recipes = {
    # The later cycles, in which most cells keep their colours and focus, win back what the first, harsher one leaves.
    # Past the seventh there is nothing left to win: macro-F1 on the held-out fifth was 0.976, 0.978 and 0.976 after the
    # last three, and 0.980 with their mean.
    "types": (
        _TYPES,
        replace(_TYPES, epochs=9, rate=1.5e-3, mild=0.7, grey=0.05, smoothing=0.03, seed=1),
        replace(_TYPES, epochs=60, mild=0.6, grey=0.05, smoothing=0.03, seed=2),
        replace(_TYPES, epochs=80, rate=1.5e-3, mild=0.7, grey=0.05, smoothing=0.03, seed=3),
        replace(_TYPES, epochs=60, rate=1.5e-3, mild=0.7, grey=0.05, smoothing=0.03, seed=4),
        replace(_TYPES, epochs=60, rate=1.5e-3, mild=0.7, grey=0.05, smoothing=0.03, seed=5),
        replace(_TYPES, epochs=80, rate=1.5e-3, mild=0.7, grey=0.05, smoothing=0.03, seed=6),
        replace(_TYPES, epochs=100, rate=1.5e-3, mild=0.7, grey=0.05, smoothing=0.03, seed=7),
    ),
    # Once and briefly: the only blasts to learn from are of one hospital, whose marks longer training learns instead.
    # On ALL-IDB2 the area under the ROC curve fell from 0.85 after 15 epochs to 0.83 after 30 and 0.74 after 70.
    "blasts": (_BLASTS,),
}


def change(
    image: np.ndarray, mask: np.ndarray, white: np.ndarray, recipe: Recipe, rng: np.random.Generator
) -> np.ndarray:
    """Return a changed copy of a crop, uint8 (S, S, 3), as optical density, float32 (3, S, S)."""
    side = len(image)
    unit = side / cutting.SIDE
    mild = rng.random() < recipe.mild
    if rng.random() < 0.3 and not mild:
        factor = rng.uniform(0.4, 0.9)
        small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        if rng.random() < 0.5:
            small = jpeg(small, int(rng.integers(35, 95)))
        image = cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)
    angle, zoom = rng.uniform(0, 2 * math.pi), math.exp(rng.uniform(-0.17, 0.17))
    stretch = math.exp(rng.uniform(-0.06, 0.06))
    c, s = math.cos(angle) * zoom, math.sin(angle) * zoom
    flip = -1 if rng.random() < 0.5 else 1
    linear = np.array([[c * stretch * flip, -s], [s * stretch * flip, c]])
    middle = np.full(2, (side - 1) / 2)
    matrix = np.column_stack([linear, middle - linear @ middle + rng.uniform(-3, 3, 2) * unit])
    image = cv2.warpAffine(
        image, matrix, (side, side), flags=cv2.INTER_LINEAR, borderValue=tuple(float(v) for v in white)
    )
    mask = cv2.warpAffine(mask, matrix, (side, side), flags=cv2.INTER_NEAREST)
    if rng.random() < 0.3 and not mild:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.3))
    if rng.random() < recipe.tone:
        soft = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.6, 1.6))
        amount = rng.uniform(-2.0, 1.0)  # below 0 sharper, above 0 softer
        image = cv2.addWeighted(image, 1 - amount, soft, amount, 0)
    white = (white * np.exp(rng.uniform(-0.05, 0.05, 3))).astype(np.float32)
    density = cutting.to_density(image, mask, white, rng.uniform(-0.06, 0.14))
    if rng.random() < 0.1:  # cut by the edge of a photograph
        angle, reach = rng.uniform(0, 2 * math.pi), rng.uniform(0, 0.25 * side)
        y, x = np.mgrid[:side, :side] - side / 2
        density *= x * math.cos(angle) + y * math.sin(angle) < reach
    color = recipe.color * (0.3 if mild else 1.0)
    mix = np.eye(3) + rng.uniform(-color, color, (3, 3))
    if rng.random() < recipe.grey and not mild:
        mix = np.repeat(rng.dirichlet(np.full(3, 2.0))[None], 3, axis=0)
    mix *= np.exp(rng.uniform(-0.25, 0.25, (3, 1)))
    density = (mix.astype(np.float32) @ density.reshape(3, -1)).reshape(3, side, side)
    if rng.random() < 0.5:
        density = np.sign(density) * np.abs(density) ** np.float32(math.exp(rng.uniform(-0.3, 0.3)))
    if rng.random() < recipe.tone:
        top = max(float(np.percentile(density, 99)), 0.05)
        knots = np.cumsum(np.concatenate([[0.0], rng.dirichlet(np.full(4, 3.0))]))
        bent = np.interp(density.ravel() / top, np.linspace(0, 1, 5), knots, left=0.0).astype(np.float32)
        density = bent.reshape(density.shape) * np.float32(top)
    if rng.random() < 0.3 and not mild:
        noise = rng.standard_normal(density.shape, dtype=np.float32) * np.float32(rng.uniform(0.005, 0.04))
        density += noise * (density != 0)
    return density.astype(np.float32, copy=False)


def _batches(
    cells: Cells,
    which: str,
    pool: np.ndarray,
    shown: tuple[np.ndarray, np.ndarray],
    recipe: Recipe,
    epoch: int,
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield augmented densities, sizes and target distributions; all randomness hangs on the seed and the epoch."""
    rng = np.random.default_rng([recipe.seed, epoch, len(which)])
    weight = np.zeros(len(pool))
    if which == "types":
        known = cells.kind[pool] >= 0
        counts = np.bincount(cells.kind[pool][known], minlength=len(KINDS)).astype(float)
        weight[known] = (1 - recipe.blank) / np.count_nonzero(counts) / counts[cells.kind[pool][known]]
        blank = cells.of("nothing")[pool]
        weight[blank] = recipe.blank / max(1, int(np.count_nonzero(blank)))
    else:
        for name, share in DRAWN.items():
            mine = cells.of(name)[pool]
            # Lymphocytes are what blasts must be told from.
            odds = np.where(cells.kind[pool][mine] == KINDS.index("lymphocyte"), 4.0, 1.0)
            weight[mine] = share * odds / max(1.0, odds.sum())
    order = rng.choice(len(pool), size=recipe.steps * recipe.batch, p=weight / weight.sum())
    classes = len(KINDS) if which == "types" else 2
    for start in range(0, len(order), recipe.batch):
        chosen = order[start : start + recipe.batch]
        density = np.stack([change(shown[0][i], shown[1][i], cells.white[pool[i]], recipe, rng) for i in chosen])
        sizes = cells.sizes[pool[chosen]] * np.exp(rng.normal(0, 0.08, len(chosen))).astype(np.float32)
        sizes[rng.random(len(chosen)) < recipe.unknown] = np.nan
        target = np.full((len(chosen), classes), recipe.smoothing / classes, np.float32)
        for row, i in enumerate(pool[chosen]):
            if which == BLASTS:
                p = BLAST_TARGETS[SOURCES[cells.source[i]]]
                target[row] = (1 - p, p)
            elif cells.kind[i] >= 0:
                target[row, cells.kind[i]] += 1 - recipe.smoothing
            else:
                target[row] = 1 / classes
        yield torch.from_numpy(density), torch.from_numpy(sizes), torch.from_numpy(target)


def train(
    cells: Cells,
    which: str,
    recipe: Recipe,
    folder: Path,
    tell: Tell,
    *,
    cycle: int = 1,
    initial: Mapping[str, Tensor] | None = None,
) -> CellNetwork:
    """Train one of the two networks on all folds but the held-out one.

    Parameters
    ----------
    cells : Cells
    which : str
        "types" or "blasts".
    recipe : Recipe
    folder : pathlib.Path
        For the checkpoint and the log; goes on from it if there is one.
    tell : callable
        Given each epoch's figures.
    cycle : int
        Names the checkpoint.
    initial : mapping of str to torch.Tensor, optional
        Weights to begin with; random ones by default.

    Returns
    -------
    CellNetwork
        With its averaged weights, in evaluation mode.

    Raises
    ------
    DataError
        If the checkpoint belongs to another recipe.
    """
    pool = np.flatnonzero(cells.fold != HELD_OUT)
    torch.manual_seed(recipe.seed)
    network = CellNetwork(len(KINDS) if which == "types" else 2, recipe.widths)
    if initial is not None:
        network.load_state_dict(initial)
    shown = views(cells.pixels[pool], cells.masks[pool], which)

    def read(batch: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        density, sizes, target = batch
        return network(density, sizes), target

    def report(row: Mapping[str, float]) -> None:
        tell(f"{which}, cycle {cycle}: " + ", ".join(f"{key} {value:.4g}" for key, value in row.items()))

    train_epochs(
        network,
        recipe,
        folder,
        lambda epoch: _batches(cells, which, pool, shown, recipe, epoch),
        read,
        steps=recipe.epochs * recipe.steps,
        name=f"{which}-{cycle}-",
        resume=True,
        report=report,
    )
    return network


def fit(data: Path, folder: Path, tell: Tell | None = None, recipes: Recipes = RECIPES) -> None:
    """Gather the cells and train both networks; what the run's folder already holds is kept.

    Parameters
    ----------
    data : pathlib.Path
        As for `gather`.
    folder : pathlib.Path
        Of the run; comes to hold ``cells.npz``, checkpoints, ``types.safetensors`` and ``blasts.safetensors``.
    tell : callable, optional
        Given a line of progress.
    recipes : mapping
        By "types" and "blasts".
    """
    tell = tell or log.info
    cells = cells_of(data, folder, tell)
    for which, cycles in recipes.items():
        done = folder / f"{which}.safetensors"
        if done.is_file():
            continue
        ends: list[dict[str, Tensor]] = []
        for number, recipe in enumerate(cycles, start=1):
            network = train(cells, which, recipe, folder, tell, cycle=number, initial=ends[-1] if ends else None)
            ends.append({key: value.contiguous() for key, value in network.state_dict().items()})
        save_network(mean_weights(ends[-AVERAGED:]), done)


ARTEFACT_MARGIN = 1.5
"""By how much, in nats, what was found must look likelier to be no stained white cell. Of laboratories left out of the
fit nearly all cells are then kept: of BCCD's all but 1 %, of Zheng's all but 3 %."""


ARTEFACTS = (
    "what the method 'default' takes for cells in pictures that are no smears (photographs, X-rays, fluorescence, "
    "histology), and round pieces of these, against the cells of all other sources"
)


def fit_artefact(cells: Cells, networks: Mapping[str, CellNetwork]) -> np.ndarray | None:
    """Fit the line that parts stained white cells from what is taken for cells in pictures that are no smears.

    Logistic regression on what the networks see in each; laboratories weigh alike, and so do pictures of no smear.

    Parameters
    ----------
    cells : Cells
        Of the held-out fold nothing is taken.
    networks : mapping of str to CellNetwork
        By "types" and "blasts".

    Returns
    -------
    numpy.ndarray or None
        As `leuk.cells.store.CellModel.artefact`; None if there are no pictures of no smear.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    taught = cells.fold != HELD_OUT
    if not (taught & cells.of("no smear")).any():
        return None
    rng = np.random.default_rng(0)
    rows, weights = [], []
    for name in SOURCES:
        mine = np.flatnonzero(taught & cells.of(name))
        if name != "no smear":
            mine = rng.permutation(mine)[:1000]
        # Each cell of a picture counts for the picture's share.
        _, of, count = np.unique(cells.files[mine], return_inverse=True, return_counts=True)
        rows.append(mine)
        weights.append((1.0 if name in GENUINE else {"no smear": 3.0, "nothing": 1.5}[name]) / count[of] / len(count))
    index, weight = np.concatenate(rows), np.concatenate(weights)
    strange = ~cells.of(*GENUINE)[index]
    weight = np.where(strange, weight / weight[strange].sum(), weight / weight[~strange].sum())
    scaler = StandardScaler()
    seen = scaler.fit_transform(run(networks, _some(cells, index))["features"].astype(np.float64))
    line = LogisticRegression(C=0.003, max_iter=3000).fit(seen, strange, weight * len(weight) / weight.sum())
    slope = line.coef_[0] / scaler.scale_
    return np.append(slope, line.intercept_[0] - slope @ scaler.mean_ - ARTEFACT_MARGIN).astype(np.float32)


SMUDGES = (
    "objects that the method 'default' outlines in Taleqani fields, labelled smudge or cell by eye (leuk/training/"
    "smudges.csv), and whole cells of PBC, BCCD and Zheng"
)


def fit_smudge(data: Path, model: CellModel, tell: Tell) -> tuple[np.ndarray | None, dict[str, Any]]:
    """Fit the line that parts smudges from cells, and measure it.

    Parameters
    ----------
    data : pathlib.Path
        As for `gather`.
    model : CellModel
        Whose networks look.
    tell : callable
        Given a line for each source.

    Returns
    -------
    line : numpy.ndarray or None
        As `leuk.cells.store.CellModel.smudge`; None where none of the labelled fields is there.
    figures : dict
        ``smudges``, as `leuk.training.smudges.measure` returns it; empty without a line.
    """
    pictures = _pictures(data)
    others = {
        "pbc": [path for key in KINDS for path in pictures[f"pbc/{key}"] if fold_of(f"{key}/{path.name}") != HELD_OUT],
        **{name: [path for path in pictures[name] if fold_of(path.name) != HELD_OUT] for name in ("bccd", "zheng")},
    }
    objects = smudges.gather(data / "taleqani" / "Original", others, model, tell)
    if objects is None:
        return None, {}
    line = smudges.fit(objects)
    return line, {"smudges": smudges.measure(objects, line)}


def cells_of(data: Path, folder: Path, tell: Tell) -> Cells:
    """Return the cells gathered for a run, from its folder once they are there.

    Raises
    ------
    DataError
        If the folder's are of other pictures; see also `gather`.
    """
    cache = folder / "cells.npz"
    if not cache.is_file():
        gathered = gather(data, tell)
        folder.mkdir(parents=True, exist_ok=True)
        with writing(cache), whole(cache) as part, part.open("wb") as stream:
            cells = {f.name: getattr(gathered, f.name) for f in dataclasses.fields(gathered)}
            np.savez(stream, **cells, data=fingerprint(data))
    with np.load(cache) as stored:
        if not _are_of(stored, data):
            raise DataError(
                f"The cells in {folder.name} are not of the pictures that {data} holds now; name another folder with "
                "--run, or delete cells.npz and the networks beside it."
            )
        return Cells(**{f.name: stored[f.name] for f in dataclasses.fields(Cells)})


def _are_of(stored: Mapping[str, np.ndarray], data: Path) -> bool:
    """Tell whether stored cells were gathered from the pictures of a folder."""
    if "data" in stored:
        return str(stored["data"]) == fingerprint(data)
    # A run begun before this was noted knows its pictures' names, of PBC all of them.
    names = {str(name) for name in (*stored["files"], *stored["missed"])}
    pbc = {f"{path.parent.name}/{path.name}" for kind in KINDS for path in (data / "pbc" / kind).glob("*")}
    return pbc <= names <= pbc | {path.name for paths in _pictures(data).values() for path in paths}


# ---- figures ------------------------------------------------------------------------------------------------------


def finish(data: Path, folder: Path, weights: Path, tell: Tell | None = None, recipes: Recipes = RECIPES) -> CellCard:
    """Measure a run's networks and write weights and card.

    Parameters
    ----------
    data : pathlib.Path
        As for `gather`; ``all_idb2/img``, never trained on, is measured if it is there.
    folder : pathlib.Path
        Of the run that `fit` made.
    weights : pathlib.Path
        Where ``cells.safetensors`` and ``cells.json`` go.
    tell : callable, optional
        Given a line of progress.
    recipes : mapping
        That the run was made with.

    Returns
    -------
    CellCard
        As written.
    """
    tell = tell or log.info
    cells = cells_of(data, folder, tell)
    networks: dict[str, CellNetwork] = {}
    arguments: dict[str, dict[str, Any]] = {}
    for which, cycles in recipes.items():
        arguments[which] = {"classes": len(KINDS) if which == "types" else 2, "widths": list(cycles[-1].widths)}
        network = CellNetwork(**arguments[which])
        # Rounded as they are shipped, so that the figures are those of the weights on disk.
        state = read_network(folder / f"{which}.safetensors")
        network.load_state_dict({key: value.half().float() for key, value in state.items()})
        networks[which] = network.eval().requires_grad_(False)
    held = cells.fold == HELD_OUT
    normal = np.flatnonzero(held & cells.of("pbc"))
    logits = run(networks, _some(cells, normal))
    temperatures = {"types": round(metrics.fit_temperature(cells.kind[normal], logits["types"]), 3), BLASTS: 1.0}
    card = CellCard(
        name="cells",
        title="Types of single white cells: eight normal types and blast",
        kind="cells",
        types=TYPES,
        arguments=arguments,
        temperatures=temperatures,
        sha256="",
        confident=CONFIDENT,
    )
    artefact = fit_artefact(cells, networks)
    smudge, told = fit_smudge(data, CellModel(card, networks), tell)
    figures = _figures(cells, CellModel(card, networks, artefact, smudge), data, tell) | told
    card = dataclasses.replace(
        card,
        training={
            "data": {
                "types": "PBC (Acevedo et al. 2020), four fifths by the hash of the file's name",
                "blasts": "cells of malignant fields of the Taleqani set (weak labels: taken for a blast with "
                f"{BLAST_TARGETS['taleqani malignant']}), found by the method 'default'",
                "no blasts": "PBC, BCCD, Zheng; cells of benign Taleqani fields taken for a blast with "
                f"{BLAST_TARGETS['taleqani benign']}",
                "artefacts": ARTEFACTS,
                "smudges": SMUDGES,
                "cells": {name: int((cells.of(name) & ~held).sum()) for name in SOURCES},
                "never trained on": "ALL-IDB1, ALL-IDB2, and the held-out fifth of every source",
            },
            "recipes": {which: [dataclasses.asdict(recipe) for recipe in cycles] for which, cycles in recipes.items()},
            "averaged": AVERAGED,
            "versions": {"leuk": __version__, "torch": torch.__version__, "python": platform.python_version()},
        },
        metrics=figures,
        limits=LIMITS,
    )
    return save_cells(weights, card, networks, artefact, smudge)


def _figures(cells: Cells, model: CellModel, data: Path, tell: Tell) -> dict[str, Any]:
    """Measure a classifier on the held-out cells, and on ALL-IDB2 if that is under the folder."""
    figures = measure(cells, model, cells.fold == HELD_OUT)
    if (data / "all_idb2" / "img").is_dir():
        figures["all_idb2"] = measure_all_idb2(data / "all_idb2" / "img", model)
    tell(json.dumps(figures))
    return figures


def evaluate(data: Path, tell: Tell | None = None) -> dict[str, Any]:
    """Measure the weights that are here on the held-out fifth, as cells are found and cut out today, for the card.

    Parameters
    ----------
    data : pathlib.Path
        As for `gather`; ``all_idb2/img`` is measured if it is there.
    tell : callable, optional
        Given a line of progress.

    Returns
    -------
    dict
        What `measure` returns, and ``all_idb2``; the card's other figures stay.

    Raises
    ------
    DataError
        See `gather`.
    ModelError
        If the weights are not here.
    """
    tell = tell or log.info
    model = load_cells()
    figures = _figures(gather(data, tell, (HELD_OUT,)), model, data, tell)
    _into_card(figures)
    return figures


def _into_card(figures: Mapping[str, Any]) -> None:
    """Write figures into the card of the weights that are here, beside its others."""
    path = weights_folder() / "cells.json"
    card = read_cell_card(path.parent)
    write_card(replace(card, metrics={**card.metrics, **figures}), path)


CONFIDENT = 0.5
LIMITS = (
    "All normal types were learnt from one laboratory; in another one's stain expect more mistakes than the held-out "
    "fifth shows, above all among granulocytes.",
    "Blasts were learnt from one hospital's lymphoblasts, of fields labelled as a whole: some of those cells are no "
    "blasts, and myeloblasts were never seen.",
    "How long the blast network was trained was decided on ALL-IDB2, so its figure there is not that of a blind test; "
    "how long the types were, in view of the held-out fifth.",
    "What its detail shows to be a neutrophil, eosinophil, basophil or platelet with more than 0.99 is not called a "
    "blast, though the network that says so was never shown one.",
    "Hematogones and reactive lymphocytes can look like blasts; by looks alone nobody tells them apart for certain.",
    "Plasma cells and promyelocytes as such have no type of their own.",
    "Smudges were learnt from objects of one hospital that were labelled by eye, not by a pathologist; only clear ones "
    "are told, the others are given types.",
    "What of a cell lies beyond the edge of the picture is taken for the mirror image of what can be seen; of less "
    "than about half of one nothing is told.",
    "Stages of immature granulocytes are not told apart; neither are bands and segmented neutrophils.",
    "Where the segmentation has cut a cell wrongly, its type is wrong too.",
    "Nuclei of other tissues in a purple stain look like white cells to it, and are given types.",
)


def _some(cells: Cells, index: np.ndarray) -> cutting.Crops:
    """Return some of the cells as `run` takes them."""
    return cutting.Crops(cells.pixels[index], cells.masks[index], cells.white[index], cells.sizes[index])


def read_elsewhere(folder: Path, tell: Tell | None = None, most: int = 400) -> dict[str, Any]:
    """Count how often "malignant" is right by single cells, on pictures that their types were never trained on.

    A picture counts as called malignant where the share of blasts to expect (`leuk.cells.expected_blasts`) is
    `leuk.cells.ACUTE` or more.

    Parameters
    ----------
    folder : pathlib.Path
        Of pictures whose names say what they show, see `leuk.training.evaluate.truth_of`; of PBC's the fifth that was
        held out.
    tell : callable, optional
    most : int
        Of more pictures than this, evenly spread ones are read.

    Returns
    -------
    dict
        ``place``, and as `leuk.training.evaluate.count_elsewhere`; "can't tell" means that no white cell was found, or
        no types were told; such a picture counts as not malignant.

    Raises
    ------
    DataError
        If the folder holds no such picture.
    """
    from leuk.training.evaluate import call_elsewhere, known_elsewhere

    def unseen(path: Path) -> bool:
        return path.parent.name not in KINDS or fold_of(f"{path.parent.name}/{path.name}") == HELD_OUT

    def call(image: SmearImage) -> tuple[bool, bool]:
        found = classify_cells(image, segment(image))
        share = expected_blasts([cell.type for cell in found], [cell.suspicion for cell in found])
        return share is not None and share >= ACUTE, share is None

    return call_elsewhere(folder, known_elsewhere(folder, most, unseen), call, tell)


def add_elsewhere(places: Sequence[Path], tell: Tell | None = None) -> dict[str, Any]:
    """Read pictures of other laboratories by single cells, and add that to the card; places read before stay.

    Parameters
    ----------
    places : sequence of pathlib.Path
        See `read_elsewhere`.
    tell : callable, optional
        Given a line of progress.

    Returns
    -------
    dict
        By place, as `read_elsewhere`.
    """
    from leuk.training.evaluate import check_places

    check_places(places)
    found = {one.pop("place"): one for one in [read_elsewhere(path, tell) for path in places]}
    known = dict(read_cell_card(weights_folder()).metrics.get("elsewhere") or {})
    _into_card({"elsewhere": {**known, **found}})
    return found


def auroc(positive: np.ndarray, scores: np.ndarray) -> float:
    """Return the area under the ROC curve: how often a positive scores above a negative."""
    from scipy import stats

    ranks, n = stats.rankdata(scores), int(positive.sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(scores) - n)))


def _interval(metric: Callable[[np.ndarray], float], count: int, draws: int = 1000) -> list[float]:
    """Return the 95 % bootstrap interval of a metric of chosen rows."""
    rng = np.random.default_rng(0)
    values = [metric(rng.integers(count, size=count)) for _ in range(draws)]
    return [round(float(v), 4) for v in np.nanpercentile(values, [2.5, 97.5])]


def measure(cells: Cells, model: CellModel, held: np.ndarray) -> dict[str, Any]:
    """Measure the classifier on the held-out fifth of each source.

    Returns
    -------
    dict
        ``pbc``: macro-F1 over the eight types (what is taken for a blast counts as wrong, and so does a picture in
        which no cell was found), the same where no cell may be taken for a blast, accuracy, recalls, confusion, and
        how it goes with "unidentified"; ``artefacts``: by source, the share of pictures whose cells look like none, by
        these alone; ``blasts``: areas under the ROC curve by weak labels, and the share of normal
        blood taken for blasts; ``unidentified``: of the other sources, the share of cells without a suggestion.
    """
    blast = TYPES.index("blast")
    out: dict[str, Any] = {}

    def probabilities(index: np.ndarray) -> np.ndarray:
        return combine(run(model.networks, _some(cells, index)), model.card.temperatures)

    index = np.flatnonzero(held & cells.of("pbc"))
    told = run(model.networks, _some(cells, index))
    p = combine(told, model.card.temperatures)
    truth = np.array([TYPES.index(KINDS[k]) for k in cells.kind[index]])
    missed = [name for name in cells.missed if fold_of(str(name)) == HELD_OUT and str(name).split("/")[0] in KINDS]
    truth = np.concatenate([truth, [TYPES.index(str(name).split("/")[0]) for name in missed]]).astype(int)
    # Of what looks like no white cell nothing is told, as of a picture in which none was found.
    none, strange = np.full(len(missed), -1), model.strangeness(told["features"]) > 0
    called = np.concatenate([np.where(strange, -1, p.argmax(1)), none])
    others = np.where(np.arange(len(TYPES)) == blast, 0.0, p)
    without = np.concatenate([np.where(strange, -1, others.argmax(1)), none])
    sure = np.concatenate([(p.max(1) >= model.card.confident) & ~strange, np.zeros(len(missed), bool)])

    def f1(chosen: np.ndarray, called: np.ndarray = called) -> float:
        t, c = truth[chosen], called[chosen]
        scores = []
        for k in range(len(TYPES)):
            if k != blast:
                right = np.count_nonzero((t == k) & (c == k))
                both = np.count_nonzero(t == k) + np.count_nonzero(c == k)
                scores.append(2 * right / both if both else np.nan)
        return float(np.nanmean(scores))

    everything = np.arange(len(truth))
    out["pbc"] = {
        "unit": "cell",
        "partition": "held-out fifth by the hash of the file's name; patients are not known",
        "cells": len(truth),
        "macro_f1": {"value": round(f1(everything), 4), "interval": _interval(f1, len(truth))},
        "macro_f1_without_blast": {
            "value": round(f1(everything, without), 4),
            "interval": _interval(lambda chosen: f1(chosen, without), len(truth)),
        },
        "accuracy": round(float((called == truth).mean()), 4),
        "recall": {
            name: round(float((called == truth)[truth == k].mean()), 4)
            for k, name in enumerate(TYPES)
            if (truth == k).any()
        },
        "confusion": [
            [int(np.count_nonzero((truth == a) & (called == b))) for b in range(len(TYPES))] for a in range(len(TYPES))
        ],
        "unidentified": round(float(1 - sure.mean()), 4),
        "accuracy_of_identified": round(float((called == truth)[sure].mean()), 4) if sure.any() else None,
        "no_cell_found": len(missed),
    }
    if model.artefact is not None:
        out["artefacts"] = _artefacts(cells, model, held)
    by_source = {"malignant": probabilities(np.flatnonzero(held & cells.of("taleqani malignant")))}
    for name, others in (
        ("taleqani benign", np.flatnonzero(held & cells.of("taleqani benign"))),
        ("pbc", index),
        ("pbc lymphocytes", index[cells.kind[index] == KINDS.index("lymphocyte")]),
        ("bccd", np.flatnonzero(held & cells.of("bccd"))),
        ("zheng", np.flatnonzero(held & cells.of("zheng"))),
    ):
        if len(others):
            by_source[name] = probabilities(others)
    scores = {name: p[:, blast] for name, p in by_source.items()}
    m = scores["malignant"]
    out["blasts"] = {
        "labels": "weak: every cell of a malignant field counts as a blast",
        "called_blast": {name: round(float((s > 0.5).mean()), 4) for name, s in scores.items()},
        "auroc_against": {
            name: round(auroc(np.arange(len(m) + len(s)) < len(m), np.concatenate([m, s])), 4)
            for name, s in scores.items()
            if name != "malignant"
        },
    }
    out["unidentified"] = {
        name: {"cells": len(p), "share": round(float((p.max(1) < model.card.confident).mean()), 4)}
        for name, p in by_source.items()
        if not name.startswith("pbc")  # told above
    }
    return out


def _artefacts(cells: Cells, model: CellModel, held: np.ndarray) -> dict[str, Any]:
    """Count by source the pictures whose cells look like no stained white cells, their surroundings left out."""
    out = {}
    for name in (*GENUINE, "no smear"):
        index = np.flatnonzero(held & cells.of(name))
        if len(index):
            files, of = np.unique(cells.files[index], return_inverse=True)
            strange = model.strangeness(run(model.networks, _some(cells, index))["features"])
            mean = np.bincount(of, strange) / np.bincount(of)
            out[name] = {"pictures": len(files), "share": round(float((mean > 0).mean()), 4)}
    return out


def measure_all_idb2(folder: Path, model: CellModel) -> dict[str, Any]:
    """Measure blast against normal on crops of ALL-IDB2, whose names end in ``_1`` for a blast and ``_0`` for none."""
    scores, truth, called = [], [], []
    for path in find_images([str(folder)]):
        image = read_image(path)
        found = segment(image, "default")
        cell = central_cell(found)
        truth.append(path.stem.endswith("_1"))
        if cell is None:
            scores.append(0.0)
            called.append("none found")
            continue
        told = run(model.networks, cutting.cut(image.pixels, found, (cell,)))
        if model.strangeness(told["features"])[0] > 0:
            scores.append(0.0)
            called.append("no white cell")
            continue
        p = combine(told, model.card.temperatures)[0]
        scores.append(float(p[TYPES.index("blast")]))
        called.append(TYPES[int(p.argmax())] if p.max() >= model.card.confident else "unidentified")
    positive, values = np.array(truth), np.array(scores)

    def area(chosen: np.ndarray) -> float:
        some = positive[chosen]
        return auroc(some, values[chosen]) if 0 < some.sum() < len(some) else float("nan")

    everything, both = np.arange(len(values)), len(set(truth)) > 1
    return {
        "cells": len(values),
        "blasts": int(positive.sum()),
        "auroc": {"value": round(area(everything), 4), "interval": _interval(area, len(values))} if both else None,
        "called": {
            which: {
                name: sum(1 for c, t in zip(called, truth, strict=True) if c == name and t == is_blast)
                for name in sorted({c for c, t in zip(called, truth, strict=True) if t == is_blast})
            }
            for which, is_blast in (("blasts", True), ("normal", False))
        },
    }

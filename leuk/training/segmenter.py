"""Training of the segmenter: examples from drawn masks, synthetic smears and the classical method, and the loop."""

from __future__ import annotations

import copy
import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from leuk.data.stains import STYLES
from leuk.data.synthetic import generate
from leuk.errors import DataError, LeukError
from leuk.image import read_image
from leuk.segmentation.default import dye_and_path
from leuk.segmentation.instances import depth_of, greatest
from leuk.segmentation.methods import segment
from leuk.segmentation.network import DIAMETER, SegmenterCard, save_segmenter
from leuk.segmentation.pipeline import find_with
from leuk.segmentation.unet import Segmenter, folded, normalize
from leuk.training.augment import jitter_stain, jpeg, lab_statistics, recolor, rotate_hue
from leuk.training.loop import (
    ahead,
    append_row,
    mean_weights,
    mixed,
    optimizer_of,
    resolved,
    restore_progress,
    save_progress,
    step_with,
)

KEPT_DIAMETER = 52.0
"""Diameter in pixels to which the cells of an example are brought before it is kept in memory."""
LARGEST_EXAMPLE = 640
"""Longer side in pixels of the largest example kept."""
DRAWN = ("zheng1", "zheng2", "bccd")
"""Sources whose masks were drawn by hand."""
TRACED = ("taleqani", "pbc")
"""Sources whose masks are the default method's own."""


@dataclass(frozen=True, eq=False)
class Example:
    """An image with its truth, at a scale at which its cells are about `KEPT_DIAMETER` wide.

    Attributes
    ----------
    pixels : numpy.ndarray
        uint8, (H, W, 3), RGB.
    truth : numpy.ndarray
        uint8, (H, W, 3): nucleus, whole cell, depth inside the cell, each 0 … 255.
    sketch : numpy.ndarray
        uint8, (H, W, 2): nuclei and whole cells as the default method finds them, 0 … 255.
    source : str
        "zheng1", "zheng2", "bccd", "synthetic", "taleqani", "pbc", "nothing".
    name : str
        File name, or the seed of a synthetic one.
    """

    pixels: np.ndarray
    truth: np.ndarray
    sketch: np.ndarray
    source: str
    name: str


def depth_map(instances: np.ndarray) -> np.ndarray:
    """Depth of each pixel inside its cell, 0 outside and towards neighbours, 1 at the deepest: float32, (H, W).

    Parameters
    ----------
    instances : numpy.ndarray
        int32, (H, W), 0 outside.
    """
    inside = instances > 0
    for a, b in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        meet = (instances[a] != instances[b]) & (instances[a] > 0) & (instances[b] > 0)
        inside[a][meet] = False
        inside[b][meet] = False
    # A frame around the image keeps a cell that its edge cuts from ending there.
    depth = depth_of(np.pad(inside, 1, mode="edge"))[1:-1, 1:-1]
    deepest = greatest(depth, instances, int(instances.max(initial=0)))
    return (depth / np.maximum(deepest, 1e-6)[instances]).astype(np.float32)


def make_example(
    pixels: np.ndarray,
    nucleus: np.ndarray,
    instances: np.ndarray,
    source: str,
    name: str,
    diameter: float | None = None,
) -> Example:
    """Bring an image and its truth to the common scale.

    Parameters
    ----------
    pixels : numpy.ndarray
        uint8, (H, W, 3), RGB.
    nucleus : numpy.ndarray
        bool, (H, W).
    instances : numpy.ndarray
        int32, (H, W).
    source, name : str
    diameter : float, optional
        Of its cells, pixels; measured by default, and for an image without cells 1.0 times `KEPT_DIAMETER`.
    """
    if diameter is None:
        areas = np.bincount(instances.ravel())[1:]
        diameter = float(2 * np.sqrt(np.median(areas[areas > 0]) / np.pi)) if (areas > 0).any() else KEPT_DIAMETER
    height, width = instances.shape
    factor = min(KEPT_DIAMETER / diameter, 3.0, LARGEST_EXAMPLE / max(height, width))
    size = max(16, round(width * factor)), max(16, round(height * factor))
    truth = np.dstack([nucleus * np.float32(255), (instances > 0) * np.float32(255), depth_map(instances) * 255])
    flags = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    kept = cv2.resize(pixels, size, interpolation=flags)
    truth = np.clip(cv2.resize(truth.astype(np.float32), size, interpolation=flags) + 0.5, 0, 255).astype(np.uint8)
    if source in TRACED:
        sketch = truth[..., :2]
    else:
        found, labels = dye_and_path(kept)
        sketch = np.dstack([found, labels > 0]).astype(np.uint8) * 255
    return Example(
        kept,
        truth,
        sketch,
        source,
        name,
    )


def read_levels(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Nucleus and whole cell of a mask stored as background, cytoplasm, nucleus of rising level: bool, (H, W)."""
    levels = cv2.cvtColor(read_image(path).pixels, cv2.COLOR_RGB2GRAY)
    return levels > 205, levels > 78


def drawn_images(data: Path, source: str) -> Iterator[tuple[Path, Path]]:
    """Yield the images of a source and their hand-drawn masks, in the order of their names."""
    if source.startswith("zheng"):
        images = sorted((data / f"zheng/dataset{source[-1]}").glob("*.bmp"))
        masks = [path.with_suffix(".png") for path in images]
    else:
        images = sorted((data / "bccd/images").glob("*.*"))
        masks = [data / "bccd/masks" / f"{path.stem}.png" for path in images]
    if not images:
        raise DataError(f"There are no images of {source} in {data.name}; name the folder that holds zheng/ and bccd/.")
    yield from zip(images, masks, strict=True)


def drawn_examples(data: Path, source: str) -> Iterator[Example]:
    """Yield the images of a source with hand-drawn masks, in the order of their names."""
    for image, mask in drawn_images(data, source):
        nucleus, cell = read_levels(mask)
        labels = cv2.connectedComponents(cell.astype(np.uint8), connectivity=4)[1]
        yield make_example(read_image(image).pixels, nucleus, labels, source, image.name)


def synthetic_examples(count: int, seed: int = 0) -> Iterator[Example]:
    """Yield drawn smears of every style, from empty to crowded."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        style = list(STYLES)[number % len(STYLES)]
        crowd = rng.random()
        cells = 0 if crowd < 0.08 else int(rng.integers(1, 7)) if crowd < 0.6 else int(rng.integers(7, 22))
        try:
            smear = generate(
                seed * 100_000 + number,
                256,
                256,
                style=style,
                cells=cells,
                cell_diameter=float(rng.uniform(34, 56)),
                clustering=float(rng.uniform(0.1, 0.9)),
                overlap=float(rng.uniform(0.0, 0.25)),
                scale_bar=bool(rng.random() < 0.2),
            )
        except LeukError:
            continue  # no room for so many
        yield make_example(
            smear.image.pixels, smear.nucleus, smear.instances, "synthetic", str(number), smear.cell_diameter
        )


def traced_examples(paths: Sequence[Path], source: str, *, single: bool = False) -> Iterator[Example]:
    """Yield images with what the default method makes of them, where that is plausible.

    Parameters
    ----------
    paths : sequence of pathlib.Path
    source : str
    single : bool
        Whether each image shows one whole cell in its middle; others are then left out.
    """
    for path in paths:
        image = read_image(path)
        found = segment(image, "dye_and_path")
        if not found.cells:
            continue
        if single:
            height, width = found.instances.shape
            middle = int(found.instances[height // 2, width // 2])
            if not middle:
                continue
            cell = found.cells[middle - 1]
            if cell.touches_border or cell.solidity < 0.92 or cell.nucleus_area < 0.15 * cell.area:
                continue
        elif found.cell.mean() > 0.8:
            continue
        yield make_example(image.pixels, found.nucleus, found.instances, source, path.name, found.cell_diameter)


def empty_examples(paths: Sequence[Path]) -> Iterator[Example]:
    """Yield pictures that show no white cell."""
    for path in paths:
        pixels = read_image(path).pixels
        factor = min(1.0, 320 / max(pixels.shape[:2]))
        pixels = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        nothing = np.zeros(pixels.shape[:2], np.int32)
        yield make_example(pixels, nothing > 0, nothing, "nothing", path.name, KEPT_DIAMETER)


def gather(data: Path, *, drawn: int = 480, tell: Callable[[str], None] = lambda _: None) -> list[Example]:
    """Collect every example that training uses, of all sources; no image of ALL-IDB is among them.

    Parameters
    ----------
    data : pathlib.Path
        See `fit`.
    drawn : int
        Number of synthetic smears.
    tell : callable
        Given a line on each source.
    """
    rng = np.random.default_rng(0)
    lacking = [name for name in ("taleqani/Original", "pbc", "ood") if not (data / name).is_dir()]
    if lacking:
        raise DataError(f"{data} holds no folder {lacking[0]}; name the one that holds taleqani, pbc, zheng and so on.")
    taleqani = [
        path
        for kind in ("Benign", "Early", "Pre", "Pro")
        for path in _some(sorted((data / "taleqani/Original" / kind).glob("*.jpg")), 170, rng)
    ]
    single = [
        path
        for kind in ("basophil", "eosinophil", "erythroblast", "ig", "lymphocyte", "monocyte", "neutrophil")
        for path in _some(sorted((data / "pbc" / kind).iterdir()), 90, rng)
    ]
    # Every other picture that is no smear, and platelets; the rest is left to testing.
    kinds = ("photo", "xray", "microscopy_other")
    others = [path for kind in kinds for path in sorted((data / "ood" / kind).iterdir())]
    others = others[::2] + _some(sorted((data / "pbc/platelet").iterdir()), 80, rng)
    found: list[Example] = []
    for name, examples in (
        *((source, drawn_examples(data, source)) for source in DRAWN),
        ("synthetic", synthetic_examples(drawn)),
        ("nothing", empty_examples(others)),
        ("pbc", traced_examples(single, "pbc", single=True)),
        ("taleqani", traced_examples(taleqani, "taleqani")),
    ):
        before = len(found)
        found.extend(examples)
        tell(f"{name}: {len(found) - before} images")
    return found


def _some(paths: list[Path], count: int, rng: np.random.Generator) -> list[Path]:
    return [paths[i] for i in sorted(rng.permutation(len(paths))[:count])]


@dataclass(frozen=True)
class Recipe:
    """How a segmenter is trained.

    Attributes
    ----------
    steps : int
        Batches in all.
    stage : int
        Batches between two checkpoints.
    batch : int
        Crops a step.
    crop : int
        Side of a crop, pixels.
    diameter : tuple of float
        Range of the cells' typical diameter in a crop, pixels, drawn evenly in its logarithm.
    rate, decay : float
        Highest learning rate (AdamW, warmed up, then a cosine to zero), weight decay.
    average : float
        Decay of the running average of the weights, a step; the averaged weights are the result.
    shares : dict
        How often each source is drawn, relative to the others.
    trust : dict
        Weight of each source's loss; 1 where not named.
    withheld : float
        Probability that the network is not shown what the default method found, 0 … 1.
    mild : float
        Share of crops that keep the colours and the sharpness of the photograph, 0 … 1.
    precision : str
        "bfloat16", "float32", or "auto": the first where the processor computes in it.
    seed : int
    follows : int
        Of how many cycles before, the last ones, the averaged weights are those that training begins with.
    widths : tuple of int
        Of `Segmenter`.
    """

    steps: int = 1000
    stage: int = 50
    batch: int = 32
    crop: int = 112
    diameter: tuple[float, float] = (26.0, 66.0)
    rate: float = 3e-3
    decay: float = 0.02
    average: float = 0.99
    shares: dict[str, float] = field(
        default_factory=lambda: {
            "zheng1": 0.18,
            "zheng2": 0.18,
            "bccd": 0.24,
            "synthetic": 0.2,
            "taleqani": 0.08,
            "pbc": 0.06,
            "nothing": 0.06,
        }
    )
    trust: dict[str, float] = field(default_factory=lambda: {"taleqani": 0.6, "pbc": 0.6, "synthetic": 0.6})
    withheld: float = 0.1
    mild: float = 0.0
    precision: str = "auto"
    seed: int = 0
    follows: int = 1
    widths: tuple[int, ...] = (16, 32, 64, 96, 128)


def _crop(example: Example, recipe: Recipe, rng: np.random.Generator) -> list[np.ndarray]:
    """Cut a turned, mirrored and scaled square out of an example: pixels, truth and sketch, uint8 (crop, crop, C)."""
    height, width = example.truth.shape[:2]
    zoom = float(np.exp(rng.uniform(*np.log(recipe.diameter)))) / KEPT_DIAMETER
    aspect = float(np.exp(rng.uniform(-0.12, 0.12)))
    angle = rng.integers(4) * np.pi / 2 + (rng.uniform(-np.pi / 4, np.pi / 4) if rng.random() < 0.5 else 0.0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.diag([zoom * aspect, zoom / aspect]) @ turn
    if rng.random() < 0.5:
        matrix[0] *= -1
    cells = np.flatnonzero(example.truth[:, :, 1] > 127) if rng.random() < 0.6 else ()
    if len(cells):
        y, x = divmod(int(cells[rng.integers(len(cells))]), width)
        place = np.array([x, y]) + rng.uniform(-0.6, 0.6, 2) * KEPT_DIAMETER
    else:
        place = rng.uniform(0, 1, 2) * (width, height)
    # As much of the image as there is lies inside the crop.
    half = recipe.crop / 2 / zoom
    low, high = np.full(2, half), np.array([width, height]) - half
    place = np.where(low < high, np.clip(place, low, high), np.array([width, height]) / 2)
    offset = np.full(2, recipe.crop / 2 - 0.5) - matrix @ (place - 0.5)
    warp = np.column_stack([matrix, offset])
    size = (recipe.crop, recipe.crop)
    return [
        cv2.warpAffine(array, warp, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        for array in (example.pixels, example.truth, example.sketch)
    ]


def _disturbed(sketch: np.ndarray, traced: bool, withheld: float, rng: np.random.Generator) -> np.ndarray:
    """Take from a sketch, or add to it, as the default method may err elsewhere; 0 where it is withheld altogether.

    Where the truth is a sketch itself (`traced`), there would be nothing to learn from it undisturbed.
    """
    if rng.random() < (max(0.5, withheld) if traced else withheld):
        return np.zeros(sketch.shape, np.float32)
    changed = sketch.copy()
    for channel in range(2):
        if rng.random() < (0.9 if traced else 0.4):
            width = int(rng.integers(1, 6 if traced else 4))
            change = cv2.dilate if rng.random() < 0.5 else cv2.erode
            disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
            changed[..., channel] = change(changed[..., channel], disk)
    if rng.random() < (0.7 if traced else 0.2):
        height, width = sketch.shape[:2]
        centre = int(rng.integers(width)), int(rng.integers(height))
        axes = int(rng.integers(4, 22)), int(rng.integers(4, 22))
        level = 255 if rng.random() < 0.5 else 0
        drawn = [np.ascontiguousarray(changed[..., i]) for i in (0, 1)]
        for plane in drawn if level == 0 or rng.random() < 0.5 else drawn[1:]:
            cv2.ellipse(plane, centre, axes, float(rng.uniform(0, 180)), 0, 360, level, -1)
        changed = np.dstack(drawn)
    return changed.astype(np.float32) / 127.5 - 1


_LEVELS = np.arange(256, dtype=np.float32)


def restained(pixels: np.ndarray, pool: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give a crop another stain, light and camera.

    Parameters
    ----------
    pixels : numpy.ndarray
        uint8, (H, W, 3), RGB.
    pool : numpy.ndarray
        `lab_statistics` of training images, (N, 2, 3), from which colours are swapped in.
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray
        uint8, same shape.
    """
    x = pixels
    if rng.random() < 0.85:
        if rng.random() < 0.4:
            mix = rng.uniform(0.3, 1.0)
            x = recolor(x, mix * pool[rng.integers(len(pool))] + (1 - mix) * lab_statistics(x))
        if rng.random() < 0.6:
            x = jitter_stain(x, rng.uniform(0.6, 1.5, 3), rng.uniform(-0.03, 0.03, 3))
        if rng.random() < 0.4:
            x = rotate_hue(x, rng.uniform(-22, 22))
        if rng.random() < 0.3:
            keep = 0.0 if rng.random() < 0.15 else rng.uniform(0.3, 1.4)
            grey = x @ rng.dirichlet(np.array([3.0, 4.0, 3.0]))
            x = np.clip(grey[..., None] + keep * (x - grey[..., None]), 0, 255).astype(np.uint8)
        if rng.random() < 0.6:
            # A power of the optical density deepens or pales cytoplasm against nuclei, as a longer stain does.
            density = -np.log((_LEVELS[:, None] + 1) / 256)
            density = density ** np.exp(rng.uniform(-0.35, 0.35) + rng.uniform(-0.1, 0.1, 3))
            table = 256 * np.exp(-density * np.exp(rng.uniform(-0.4, 0.3))) - 1
            x = cv2.LUT(x, np.clip(table + 0.5, 0, 255).astype(np.uint8)[None])
    gains = np.exp(rng.uniform(-0.5, 0.35) + rng.uniform(-0.12, 0.12, 3))
    x = cv2.LUT(x, np.clip(_LEVELS[:, None] * gains + 0.5, 0, 255).astype(np.uint8)[None])
    if rng.random() < 0.2:
        # Light that falls off to one side.
        height, width = x.shape[:2]
        slope = rng.uniform(-0.25, 0.25, 2)
        ramp = 1 + slope[0] * np.linspace(-1, 1, height)[:, None] + slope[1] * np.linspace(-1, 1, width)[None]
        x = np.clip(x * ramp[..., None], 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.3, 1.6))
    if rng.random() < 0.15:
        factor = rng.uniform(0.4, 0.9)
        small = cv2.resize(x, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        x = cv2.resize(small, (x.shape[1], x.shape[0]), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.2:
        noise = rng.normal(0, rng.uniform(2, 10), x.shape).astype(np.float32)
        x = np.clip(x + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.2:
        x = jpeg(x, int(rng.integers(30, 90)))
    return x


def _batches(
    examples: Sequence[Example], pool: np.ndarray, recipe: Recipe, first: int, count: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield normalised crops, their truth (0 … 1) and their weights; all randomness hangs on the seed and the step."""
    by_source: dict[str, list[Example]] = {}
    for example in examples:
        by_source.setdefault(example.source, []).append(example)
    sources = [source for source in recipe.shares if source in by_source]
    shares = np.array([recipe.shares[source] for source in sources])
    for step in range(first, first + count):
        rng = np.random.default_rng([recipe.seed, step])
        chosen = rng.choice(len(sources), size=recipe.batch, p=shares / shares.sum())
        images, truths, sketches = [], [], []
        for index in chosen:
            of_source = by_source[sources[index]]
            pixels, truth, sketch = _crop(of_source[rng.integers(len(of_source))], recipe, rng)
            kept = recipe.mild > 0 and rng.random() < recipe.mild
            images.append(pixels if kept else restained(pixels, pool, rng))
            truths.append(truth)
            sketches.append(_disturbed(sketch, sources[index] in TRACED, recipe.withheld, rng))
        x = normalize(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().div_(255))
        # What else an image shows moves its mean and spread: a crop must be read whatever surrounded it.
        one, three = (recipe.batch, 1, 1, 1), (recipe.batch, 3, 1, 1)
        spread = torch.from_numpy(np.exp(rng.normal(0, 0.2, one) + rng.normal(0, 0.05, three))).float()
        shift = torch.from_numpy(rng.normal(0, 0.3, one) + rng.normal(0, 0.08, three)).float()
        x = torch.cat([x * spread + shift, torch.from_numpy(np.stack(sketches)).permute(0, 3, 1, 2)], 1)
        y = torch.from_numpy(np.stack(truths)).permute(0, 3, 1, 2).float().div_(255)
        trust = torch.tensor([recipe.trust.get(sources[index], 1.0) for index in chosen])
        yield x.contiguous(memory_format=torch.channels_last), y, trust


def loss_of(logits: Tensor, truth: Tensor, trust: Tensor) -> Tensor:
    """Cross-entropy of all three maps and soft Dice of the two masks, weighted by crop."""
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(dim=(2, 3))
    masks = logits[:, :2].sigmoid()
    weight = trust[:, None, None, None]
    both = 2 * (weight * masks * truth[:, :2]).sum(dim=(0, 2, 3)) + 1
    total = (weight * (masks + truth[:, :2])).sum(dim=(0, 2, 3)) + 1
    return (entropy.sum(dim=1) * trust).mean() + (1 - both / total).sum() / 2


def train(
    examples: Sequence[Example],
    recipe: Recipe,
    folder: Path,
    *,
    initial: Mapping[str, Tensor] | None = None,
    resume: bool = False,
    report: Callable[[dict[str, float]], None] | None = None,
) -> Segmenter:
    """Train a segmenter and return it with its averaged weights.

    Parameters
    ----------
    examples : sequence of Example
    recipe : Recipe
    folder : pathlib.Path
        For the checkpoint and the log, which is written a stage at a time.
    initial : mapping of str to torch.Tensor, optional
        Weights to begin with; random ones by default.
    resume : bool
        Go on from the folder's checkpoint if there is one; an interrupted stage is begun again.
    report : callable, optional
        Given each stage's figures.

    Returns
    -------
    Segmenter
        In evaluation mode.

    Raises
    ------
    DataError
        If there is no example of any source, or the checkpoint belongs to another recipe.
    """
    if not any(example.source in recipe.shares for example in examples):
        raise DataError("There is no image to train on; name a folder with drawn masks.")
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    network = Segmenter(recipe.widths)
    if initial is not None:
        network.load_state_dict(initial)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged = {name: value.detach().clone() for name, value in network.state_dict().items()}
    optimizer = optimizer_of(network, recipe.rate, recipe.decay)
    described = json.dumps(dataclasses.asdict(recipe))
    checkpoint, step = folder / "checkpoint.pt", 0
    state = restore_progress(checkpoint, described, network, optimizer, averaged) if resume else None
    if state is not None:
        step = state["step"]
    else:
        (folder / "log.csv").unlink(missing_ok=True)
    colours = [example for example in examples if example.source != "nothing"] or list(examples)
    pool = np.stack([lab_statistics(example.pixels) for example in colours])
    while step < recipe.steps:
        began = time.perf_counter()
        count = min(recipe.stage, recipe.steps - step)
        batches = ahead(_batches(examples, pool, recipe, step, count))
        loss = _train_some(network, averaged, optimizer, batches, recipe, step)
        step += count
        row = {"step": step, "loss": loss, "seconds": time.perf_counter() - began}
        save_progress(checkpoint, described, network, optimizer, averaged, step=step)
        append_row(folder / "log.csv", row)
        if report is not None:
            report(row)
    network.load_state_dict(averaged)
    return network.eval()


def _train_some(
    network: Segmenter,
    averaged: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    batches: Iterator[tuple[Tensor, Tensor, Tensor]],
    recipe: Recipe,
    step: int,
) -> float:
    """Train on some batches from a step on and return the mean loss."""
    network.train()
    total = 0.0
    first = step
    for images, truth, trust in batches:
        with mixed(recipe.precision):
            logits = network(images)
        loss = loss_of(logits.float(), truth, trust)
        step_with(
            network, optimizer, loss, averaged, rate=recipe.rate, average=recipe.average, step=step, steps=recipe.steps
        )
        step += 1
        total += float(loss.detach())
    return total / max(step - first, 1)


CYCLES = (
    Recipe(steps=700, withheld=1.0, shares={"synthetic": 0.31, "taleqani": 0.34, "pbc": 0.23, "nothing": 0.12}),
    Recipe(steps=1200, seed=2),
    Recipe(steps=2500, average=0.995, seed=3),
    Recipe(steps=2500, average=0.995, seed=4, diameter=(30.0, 70.0)),
    Recipe(
        steps=2000,
        rate=2e-3,
        average=0.995,
        seed=5,
        diameter=(34.0, 72.0),
        mild=0.4,
        follows=2,
        shares={
            "zheng1": 0.22,
            "zheng2": 0.2,
            "bccd": 0.24,
            "synthetic": 0.15,
            "taleqani": 0.08,
            "pbc": 0.06,
            "nothing": 0.05,
        },
    ),
)
"""First without any mask drawn by hand and without being shown any: what cells look like in every stain. Then with
them. The last looks closer and keeps more crops as photographed, for finer edges; another such cycle cost ALL-IDB2 a
hundredth of Dice."""
HELD_OUT = 5
"""Of the images with masks drawn by hand, every so many-th is left to measuring."""


def held_in(examples: Sequence[Example]) -> list[Example]:
    """Leave out the images with hand-drawn masks that are for measuring."""
    kept, seen = [], dict.fromkeys(DRAWN, -1)
    for example in examples:
        if example.source in seen:
            seen[example.source] += 1
            if seen[example.source] % HELD_OUT == 0:
                continue
        kept.append(example)
    return kept


def fit(
    data: Path,
    folder: Path,
    *,
    without: str | None = None,
    cycles: Sequence[Recipe] = CYCLES,
    drawn: int = 480,
    resume: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Segmenter:
    """Train the segmenter: first on traced and synthetic images, then with the masks drawn by hand, but a fifth.

    Parameters
    ----------
    data : pathlib.Path
        Holds zheng/, bccd/, taleqani/, pbc/ and ood/.
    folder : pathlib.Path
        For checkpoints and logs, one folder for each cycle.
    without : str, optional
        A source to leave out, on which the result can then be measured as on a laboratory never seen.
    cycles : sequence of Recipe
    drawn : int
        Number of synthetic smears.
    resume : bool
        Go on where a stopped run was.
    tell : callable
        Given a line on what goes on.

    Raises
    ------
    DataError
        If drawn masks are missing.
    """
    examples = [example for example in held_in(gather(data, drawn=drawn, tell=tell)) if example.source != without]
    ends: list[Mapping[str, Tensor]] = []
    for number, recipe in enumerate(cycles, start=1):

        def report(row: dict[str, float], number: int = number) -> None:
            tell(f"cycle {number}, step {row['step']:.0f}: loss {row['loss']:.4f} ({row['seconds']:.0f} s)")

        initial = mean_weights(ends[-recipe.follows :]) if ends else None
        network = train(examples, recipe, folder / f"cycle-{number}", initial=initial, resume=resume, report=report)
        ends.append(network.state_dict())
    return network


def measure_held_out(network: Segmenter, data: Path) -> dict[str, dict[str, float]]:
    """Return the mean Dice of nucleus and whole cell, 0 … 1, on the images left out of training, by source."""
    ready, found = folded(copy.deepcopy(network)), {}
    for source in DRAWN:
        scores = []
        for image, mask in list(drawn_images(data, source))[::HELD_OUT]:
            nucleus, labels = find_with(lambda: ready, read_image(image).pixels)
            truth = read_levels(mask)
            scores.append([dice(nucleus, truth[0]), dice(labels > 0, truth[1])])
        mean = np.mean(scores, axis=0)
        found[source] = {
            "images": len(scores),
            "nucleus": round(float(mean[0]), 4),
            "cell": round(float(mean[1]), 4),
        }
    return found


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Return the Dice coefficient of two bool masks; 1 where both are empty."""
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else 1.0


def finish(network: Segmenter, folder: Path, data: Path, cycles: Sequence[Recipe] = CYCLES) -> SegmenterCard:
    """Measure a trained segmenter on the images left out, and write it and its card into a folder of weights."""
    card = SegmenterCard(
        name="segmenter",
        title="Redraws nuclei and whole white cells that dye and closed paths found",
        kind="segmenter",
        widths=cycles[-1].widths,
        sha256="",
        cell_diameter=DIAMETER,
        training={
            "masks": "Zheng 1, Zheng 2 and BCCD, four fifths of each",
            "others": "synthetic smears; Taleqani and PBC fields with the default method's masks; pictures of no smear",
            "never": "ALL-IDB1 and ALL-IDB2",
            "cycles": [dataclasses.asdict(cycle) | {"precision": resolved(cycle.precision)} for cycle in cycles],
            "torch": torch.__version__,
        },
        metrics={"held-out fifth, Dice": measure_held_out(network, data)},
        limits=(
            "It mends what dye and closed paths found; where these find no cell at all, neither does it.",
            "Research use only, not a medical device.",
        ),
    )
    return save_segmenter(folder, card, network)

"""From labelled fields to Leuk's cell reader: outlines once, a network for each fold, figures, weights and card."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from leuk import classification
from leuk.classification import describe_classes, distance
from leuk.data.taleqani import CLASSES, Fields
from leuk.errors import DataError
from leuk.explanation import EXPLAINERS, peaks, raw_maps
from leuk.files import whole
from leuk.models.cards import Card
from leuk.models.cell_reader import SIDE, ZOOM, CellReader, cell_tile, field_density, no_cell, spots
from leuk.models.preprocessing import CELLS, hide_corner
from leuk.models.store import DEFAULT_MODEL, Model, save_model
from leuk.models.systems import find_system
from leuk.segmentation import METHODS
from leuk.segmentation.field import find_field
from leuk.training import metrics
from leuk.training.augment import Augmentation, change_look, lab_statistics
from leuk.training.evaluate import ERASED, PLAIN, SWAP, erased
from leuk.training.loop import read_log, read_network, resolved, save_network, shortened, train_epochs, writing
from leuk.training.provenance import bounds, described
from leuk.training.reader import CAMERA, fingerprint, typical_diameter, versions
from leuk.training.stress import STRESSES, swap_stain
from leuk.training.train import need_fields

log = logging.getLogger(__name__)
Tell = Callable[[str], None]

NAME = "cell_reader"
METHOD = "dye_and_path"
"""By which cells are outlined here: the default method's outlines differ by a pixel and take four times as long."""


@dataclass(frozen=True)
class Recipe:
    """How a cell reader is trained.

    Attributes
    ----------
    epochs : int
    batch : int
        Fields a step.
    cells : int
        Cells shown of each, drawn anew each time.
    rate : float
        Highest learning rate (AdamW, warmed up, then a cosine to zero).
    decay : float
        Weight decay.
    average : float
        Decay of the running average of the weights, a step; the averaged weights are the result.
    smoothing : float
        Label smoothing.
    balance : float
        Classes are drawn with frequency to the power 1 - balance: 0 as they come, 1 evenly.
    zoom : tuple of float
        Range of a cell's scale factor, drawn uniformly in its logarithm.
    shift : float
        Pixels by which a cell is moved out of the middle, to either side.
    precision : str
        "bfloat16", "float32", or "auto": the first where the processor computes in it.
    seed : int
    network : dict
        Arguments of `CellReader`.
    augmentation : Augmentation
        Of a field's look, before cells are cut out.
    """

    epochs: int = 18
    batch: int = 32
    cells: int = 8
    rate: float = 2e-3
    decay: float = 0.05
    average: float = 0.99
    smoothing: float = 0.05
    balance: float = 0.5
    zoom: tuple[float, float] = (0.85, 1.2)
    shift: float = 2.0
    precision: str = "auto"
    seed: int = 0
    network: dict[str, object] = field(default_factory=dict)
    augmentation: Augmentation = field(default_factory=lambda: Augmentation(mild=0.6, bright=0.45, camera=0.12))


RECIPE = Recipe()


def outline(pixels: np.ndarray) -> np.ndarray:
    """Return a photographed field's white cells, uint16 labels (H, W), 0 outside."""
    return METHODS[METHOD].locate(pixels)[1].astype(np.uint16)


def outlines_of(fields: Fields, folder: Path, tell: Tell) -> np.ndarray:
    """Return the outlines of all fields, uint16 (N, H, W), from the run's folder once they are there.

    Raises
    ------
    DataError
        If the folder's are of other fields, or its run holds others of them out.
    """
    cache, print_of = folder / "outlines.npz", fingerprint(fields)
    if not cache.is_file():
        tell("outlining cells")
        folder.mkdir(parents=True, exist_ok=True)
        found = np.stack([outline(pixels) for pixels in fields.pixels])
        with writing(cache), whole(cache) as part, part.open("wb") as stream:
            np.savez_compressed(stream, labels=found, fields=print_of, folds=fields.folds, of=fields.labels)
    with np.load(cache) as stored:
        # On another partition a network would be asked about fields that it has seen, and do well; with other labels,
        # what is trained already would count as trained on these. Runs of before labels were kept are let pass.
        same = np.array_equal(stored.get("folds"), fields.folds)
        same &= np.array_equal(stored.get("of", fields.labels), fields.labels)
        if str(stored["fields"]) != print_of or not same:
            raise DataError(
                f"{folder.name} belongs to other fields, labels or another partition; name a new folder with --run."
            )
        return np.asarray(stored["labels"])


def tiles_of(pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return a photographed field's cells as the network is given them, uint8 (T, SIDE, SIDE, 4), T ≥ 1."""
    density = field_density(hide_corner(find_field(pixels).pixels))
    return np.stack([cell_tile(density, labels == one, (x, y)) for one, x, y in spots(labels)] or [no_cell()])


def _turn(recipe: Recipe, rng: np.random.Generator) -> np.ndarray:
    zoom = ZOOM * math.exp(rng.uniform(*np.log(recipe.zoom)))
    angle = rng.uniform(0, 2 * math.pi)
    turn = zoom * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    if rng.random() < 0.5:
        turn[0] *= -1
    return turn


def _batches(
    pixels: np.ndarray, outlines: np.ndarray, labels: np.ndarray, recipe: Recipe, epoch: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield the cells of a batch of fields, the field of each, and the fields' target distributions."""
    rng = np.random.default_rng([recipe.seed, epoch])
    weights = np.bincount(labels, minlength=len(CLASSES)).astype(float)[labels] ** -recipe.balance
    pool = np.stack([lab_statistics(image) for image in pixels[rng.permutation(len(pixels))[:400]]])
    order = rng.choice(len(pixels), size=len(pixels) // recipe.batch * recipe.batch, p=weights / weights.sum())
    for start in range(0, len(order), recipe.batch):
        chosen = order[start : start + recipe.batch]
        tiles, owner = [], []
        for place, one in enumerate(chosen):
            own = np.random.default_rng(rng.integers(2**63))
            found = spots(outlines[one])
            density = field_density(change_look(pixels[one], recipe.augmentation, own, pool))
            for label, x, y in (found[i] for i in own.permutation(len(found))[: recipe.cells]):
                turn, shift = _turn(recipe, own), own.uniform(-recipe.shift, recipe.shift, 2)
                tiles.append(cell_tile(density, outlines[one] == label, (x + shift[0], y + shift[1]), turn))
                owner.append(place)
        target = np.full((len(chosen), len(CLASSES)), recipe.smoothing / len(CLASSES), dtype=np.float32)
        target[np.arange(len(chosen)), labels[chosen]] += 1 - recipe.smoothing
        if not tiles:
            continue
        shown = classification.to_tensor(np.stack(tiles), torch.device("cpu"))
        # Fields without a cell teach nothing.
        there = np.unique(owner)
        place_of = torch.from_numpy(np.searchsorted(there, owner))
        yield shown.contiguous(memory_format=torch.channels_last), place_of, torch.from_numpy(target[there])


def train(
    pixels: np.ndarray,
    outlines: np.ndarray,
    labels: np.ndarray,
    recipe: Recipe,
    folder: Path,
    *,
    resume: bool = False,
    report: Callable[[dict[str, float]], None] | None = None,
) -> CellReader:
    """Train a cell reader and return it with its averaged weights.

    Parameters
    ----------
    pixels : numpy.ndarray
        uint8, (N, H, W, 3): training fields, corner hidden.
    outlines : numpy.ndarray
        Integers, (N, H, W): their cells.
    labels : numpy.ndarray
        int, (N,).
    recipe : Recipe
    folder : pathlib.Path
        For the checkpoint and the log, which is written an epoch at a time.
    resume : bool
        Go on from the folder's checkpoint if there is one; an interrupted epoch is begun again.
    report : callable, optional
        Given each epoch's figures.

    Returns
    -------
    CellReader
        In evaluation mode.

    Raises
    ------
    DataError
        If no field shows a cell, or the checkpoint belongs to another recipe.
    """
    if not any(spots(one) for one in outlines):
        raise DataError("No cell was found in any field to train on; name fields that show white cells.")
    torch.manual_seed(recipe.seed)
    network = CellReader(len(CLASSES), **recipe.network)  # type: ignore[arg-type]
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def read(batch: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        tiles, owner, target = batch
        return network.read(_mean_by(network.features(tiles).float(), owner, len(target))), target

    train_epochs(
        network,
        recipe,
        folder,
        lambda epoch: _batches(pixels, outlines, labels, recipe, epoch),
        read,
        steps=max(1, recipe.epochs * (len(pixels) // recipe.batch)),
        precision=recipe.precision,
        resume=resume,
        report=report,
    )
    return network


def _mean_by(values: Tensor, owner: Tensor, count: int) -> Tensor:
    """Return the mean of the rows that each owner has; every owner has one."""
    total = torch.zeros(count, *values.shape[1:], dtype=values.dtype).index_add_(0, owner, values)
    return total / torch.bincount(owner, minlength=count).view(-1, *[1] * (values.ndim - 1))


def fit(
    fields: Fields,
    folder: Path,
    *,
    recipe: Recipe = RECIPE,
    folds: Sequence[int] | None = None,
    tell: Tell | None = None,
) -> None:
    """Train a run's networks, one for each fold, on the other folds; a stopped run goes on where it was.

    Parameters
    ----------
    fields : Fields
    folder : pathlib.Path
        Of the run; comes to hold ``outlines.npz`` and, by fold, ``N/checkpoint.pt``, ``N/log.csv`` and
        ``N/network.safetensors``.
    recipe : Recipe
    folds : sequence of int, optional
        All by default.
    tell : callable, optional
        Given a line of progress.

    Raises
    ------
    DataError
        If the folder holds a run on other fields, or there are not enough to train on.
    """
    tell = tell or log.info
    outlines = outlines_of(fields, folder, tell)
    hidden = np.stack([hide_corner(find_field(pixels).pixels) for pixels in fields.pixels])
    for fold in np.unique(fields.folds).tolist() if folds is None else folds:
        done = folder / str(fold) / "network.safetensors"
        if done.is_file():
            continue

        def report(row: Mapping[str, float], fold: int = fold) -> None:
            tell(f"fold {fold}: " + ", ".join(f"{key} {value:.4g}" for key, value in row.items()))

        kept = fields.folds != fold
        need_fields(fields.labels[kept], len(CLASSES), recipe.batch)
        network = train(
            hidden[kept], outlines[kept], fields.labels[kept], recipe, done.parent, resume=True, report=report
        )
        save_network(network.state_dict(), done)


def load_network(folder: Path, fold: int, recipe: Recipe = RECIPE) -> CellReader:
    """Return a fold's trained network, with weights rounded to half precision as they are shipped."""
    network = CellReader(len(CLASSES), **recipe.network)  # type: ignore[arg-type]
    weights = read_network(folder / str(fold) / "network.safetensors")
    network.load_state_dict({key: value.half().float() for key, value in weights.items()})
    return network.eval().requires_grad_(False)


def read(network: CellReader, tiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a field's logits, (C,), and its cells' embeddings, (T, D), float32."""
    logits, embeddings = classification.run_network(network, tiles, torch.device("cpu"))
    return logits.mean(0), embeddings


def predict_out_of_fold(
    fields: Fields, folder: Path, *, every: int = 1, recipe: Recipe = RECIPE, tell: Tell | None = None
) -> dict[str, np.ndarray]:
    """Read every field with the network that has not seen its fold: as it is, under each stress, and recoloured.

    Cells are outlined anew under every condition, as they would be in such a photograph.

    Parameters
    ----------
    fields : Fields
    folder : pathlib.Path
        Of the run.
    every : int
        Of the held-out fields of a fold, each n-th is read under stress; as photographed all are.
    recipe : Recipe
    tell : callable, optional
        Given a line of progress.

    Returns
    -------
    dict
        Logits by condition, float32 (N, C); nan where a field was not read.

    Raises
    ------
    DataError
        If the run holds no fold's network.
    """
    tell = tell or log.info
    folds = [fold for fold in np.unique(fields.folds).tolist() if (folder / f"{fold}/network.safetensors").is_file()]
    if not folds:
        raise DataError(f"{folder.name} holds no trained fold of the cell reader; train it first, or name another run.")
    outlines = outlines_of(fields, folder, tell)
    conditions = [PLAIN, *STRESSES, SWAP, ERASED]
    logits = {name: np.full((len(fields), len(CLASSES)), np.nan, np.float32) for name in conditions}
    pool = np.stack([lab_statistics(pixels) for pixels in fields.pixels])
    for fold in folds:
        network, held = load_network(folder, fold, recipe), np.flatnonzero(fields.folds == fold)
        for i in held:
            logits[PLAIN][i] = read(network, tiles_of(fields.pixels[i], outlines[i]))[0]
        tell(f"fold {fold}: accuracy {metrics.accuracy(fields.labels[held], logits[PLAIN][held]):.4f}")
        some = held[::every]
        for name in conditions[1:]:
            rng = np.random.default_rng([fold, 7])
            for i in some:
                if name == ERASED:
                    changed = erased(fields.pixels[i], int(i))
                elif name == SWAP:
                    changed = swap_stain(fields.pixels[i], fields.labels[i], fields.labels, pool, rng)
                else:
                    changed = STRESSES[name](fields.pixels[i], rng)
                logits[name][i] = read(network, tiles_of(changed, outline(changed)))[0]
            tell(f"fold {fold}: {name}: {metrics.accuracy(fields.labels[some], logits[name][some]):.4f}")
    return logits


def _embedded(
    network: CellReader, pixels: Sequence[np.ndarray], labels: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the embeddings of each field's cells, and the label of each cell's field."""
    found = [read(network, tiles_of(one, outline(one)))[1].astype(np.float64) for one in pixels]
    return found, np.repeat(labels, [len(one) for one in found])


def finish(
    fields: Fields,
    folder: Path,
    weights: Path,
    *,
    recipe: Recipe = RECIPE,
    most: int = 200,
    tell: Tell | None = None,
) -> Card:
    """Write the first trained fold's network as weights, with a card; `leuk.training.evaluate` adds the figures.

    Parameters
    ----------
    fields : Fields
    folder : pathlib.Path
        Of the run.
    weights : pathlib.Path
        Where ``cell_reader.safetensors`` and ``cell_reader.json`` go.
    recipe : Recipe
    most : int
        Fields by which the familiar is described, each as photographed and under one change of the camera.
    tell : callable, optional
        Given a line of progress.

    Returns
    -------
    Card
    """
    tell = tell or log.info
    folds = [fold for fold in np.unique(fields.folds).tolist() if (folder / f"{fold}/network.safetensors").is_file()]
    if not folds:
        raise DataError(f"{folder.name} holds no trained fold of the cell reader; train it first, or name another run.")
    first = folds[0]
    network, outlines = load_network(folder, first, recipe), outlines_of(fields, folder, tell)
    seen, held = np.flatnonzero(fields.folds != first), np.flatnonzero(fields.folds == first)
    rng = np.random.default_rng(11)
    tell("measuring what is familiar and how strong heat maps are")

    def looks(rows: np.ndarray, kinds: Sequence[str]) -> tuple[list[np.ndarray], np.ndarray]:
        changed = [STRESSES[kinds[int(rng.integers(len(kinds)))]](fields.pixels[i], rng) for i in rows]
        return _embedded(network, [*fields.pixels[rows], *changed], np.concatenate([fields.labels[rows]] * 2))

    known, owners = looks(rng.permutation(seen)[:most], CAMERA)
    means, precision = describe_classes(np.concatenate(known), owners)
    everyday = [name for name in CAMERA if name != "brightness x1.4"]
    unseen, _ = looks(rng.permutation(held)[:most], everyday)
    # What counts is a field's mean over its cells: single ones differ more than fields do.
    far = [float(distance(one, means, precision).mean()) for one in unseen]
    logits = np.stack([read(network, tiles_of(fields.pixels[i], outlines[i]))[0] for i in held])
    strengths: dict[str, list[float]] = {method: [] for method in EXPLAINERS}
    system = find_system(NAME)
    card = Card(
        name=NAME,
        title=system.title,
        architecture=NAME,
        arguments=dict(recipe.network),
        classes=CLASSES,
        sha256="",
        tile=SIDE,
        cell_diameter=round(typical_diameter(fields, 32), 2),
        photo_scale=1.0,
        temperature=round(metrics.fit_temperature(fields.labels[held], logits), 4),
        familiar=round(float(np.quantile(far, 0.99)), 3),
        confident=0.5,
        strong=dict.fromkeys(EXPLAINERS, 1.0),
        training={
            "data": described(fields.files),
            "partition": "grouped",
            "fields": int(len(seen)),
            "fields_by_class": {name: int((fields.labels[seen] == i).sum()) for i, name in enumerate(CLASSES)},
            "split": f"weights: the network of fold {first}, trained on the other folds; figures: out of fold",
            "recipe": dataclasses.asdict(recipe) | {"precision": resolved(recipe.precision)},
            "outlines": METHOD,
            "log": shortened(read_log(folder / str(first))),
            "data_sha256": fingerprint(fields),
            "versions": versions(),
        },
        metrics={
            "weights": {
                "fold": first,
                "fields": len(held),
                "accuracy": round(metrics.accuracy(fields.labels[held], logits), 4),
                "macro_f1": round(metrics.macro_f1(fields.labels[held], logits), 4),
            }
        },
        limits=(
            *system.limits,
            "The weights are those of one fold; its temperature was fitted on the fields that they have not seen.",
            "From cells alone it can't see that a picture comes from elsewhere, and it calls most normal cells of "
            "other laboratories malignant; what is foreign the default reader judges, by the whole field.",
            "Which cells of a field speak for its class it was never told; a single cell's vote is no diagnosis of it.",
            *bounds(fields.files, "its table", "grouped"),
        ),
        preprocessing=CELLS,
        size=SIDE,
        pooled="logits",
        guard=DEFAULT_MODEL,
    )
    model = Model(card, network, torch.device("cpu"), means, precision)
    for i, best in zip(held[::8], logits[::8].argmax(1), strict=True):
        tiles = tiles_of(fields.pixels[i], outlines[i])
        for method in EXPLAINERS:
            strengths[method].append(float(peaks(raw_maps(model, tiles, [int(best)], method)[0], SIDE).max()))
    strong = {method: float(f"{max(float(np.median(found)), 1e-6):.4g}") for method, found in strengths.items()}
    return save_model(weights, dataclasses.replace(card, strong=strong), network, means, precision)


def numbers_of(logits: Mapping[str, np.ndarray], fields: Fields) -> dict[str, Any]:
    """Return what `leuk.training.evaluate.record` takes of out-of-fold predictions: the fields that were read."""
    kept = ~np.isnan(logits[PLAIN]).any(1)
    return {
        "files": [name for name, there in zip(fields.files, kept, strict=True) if there],
        "labels": fields.labels[kept],
        "folds": fields.folds[kept],
        "classes": CLASSES,
        "logits": {name: found[kept] for name, found in logits.items()},
    }

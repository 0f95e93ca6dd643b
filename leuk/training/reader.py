"""From labelled fields to Leuk's reader: five folds, one network on all fields, and the figures on its card.

Each step writes its result into the run's folder and is skipped when that is there, so that a stopped run goes on.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from leuk import __version__, classification
from leuk.classification import distance
from leuk.data.taleqani import CLASSES, Fields
from leuk.errors import DataError
from leuk.explanation import EXPLAINERS, peaks, raw_maps
from leuk.files import whole
from leuk.image import SmearImage, find_images, read_image
from leuk.models.cards import Card, read_card, weights_folder
from leuk.models.preprocessing import hide_corner
from leuk.models.reader import Reader, grown
from leuk.models.store import Model, choose_device, save_model
from leuk.models.systems import find_system
from leuk.models.weights import fitting, packed, read_weights, unpacked, write_weights
from leuk.probability import softmax
from leuk.segmentation import segment
from leuk.training import metrics, mosaics
from leuk.training.augment import Augmentation, lab_statistics
from leuk.training.evaluate import erased
from leuk.training.fields import middle_square
from leuk.training.loop import mean_weights, read_network, resolved, save_network, writing
from leuk.training.mosaics import SingleCells
from leuk.training.provenance import bounds, described, is_public, partitioned
from leuk.training.stress import STRESSES, swap_stain
from leuk.training.train import Recipe, train

log = logging.getLogger(__name__)

TILE = 160
"""Side in pixels at which a field is read; the 224 of the public set holds little more detail, for twice the work."""

RECIPE = Recipe(epochs=28, augmentation=Augmentation(size=TILE, zoom=(0.85, 1.3)))
# Further cycles, each from the weights of the last, in which more fields keep their colours: they win back on fields
# as photographed what the first, harsher one leaves. The last two add the over-exposure that still cost most.
_SHALLOW = (
    RECIPE,
    replace(RECIPE, epochs=6, rate=8e-4, seed=1, augmentation=replace(RECIPE.augmentation, mild=0.65, camera=0.12)),
    replace(
        RECIPE,
        epochs=18,
        rate=1.5e-3,
        seed=2,
        augmentation=replace(RECIPE.augmentation, mild=0.55, bright=0.35, camera=0.12),
    ),
    replace(
        RECIPE,
        epochs=30,
        rate=1.5e-3,
        seed=3,
        augmentation=replace(RECIPE.augmentation, mild=0.6, bright=0.45, camera=0.12),
    ),
)
# The small network no longer gains from going on. A deeper one does, and from its weights needs few epochs.
_DEEP = replace(_SHALLOW[-1], epochs=24, seed=9, network=dict(find_system("reader").arguments))
CYCLES = (*_SHALLOW, _DEEP, replace(_DEEP, seed=10))
BEGINNING = replace(RECIPE, epochs=14, seed=5, blank=0.0)
"""How types of single cells are learnt, where the first cycle is to begin from them."""
AVERAGED = 2
"""Of how many cycles, the last ones of one network, the weights are averaged: what one gets wrong by chance, the other
may not."""
BENIGN = 0.4
"""How likely benign is taken to be before the field is seen, 0 … 1; the subtypes share the rest evenly. What share of a
laboratory's fields is benign is not known. This round number has a macro-F1 of 0.975 out of fold, within 0.001 of
the best; 0.25, each class alike, has 0.970. Chosen for each fold on the other folds alone, where several are often
equally good, it is 0.38 to 0.41 and gives 0.973 to 0.975."""
ABROAD = (
    "On fields of other laboratories it is often wrong with high confidence: on ALL-IDB1, never trained on, it takes "
    "leukaemic fields for benign; where the distance to the training fields shows it, it says nothing.",
)
ALL_FIELDS = "all"
CELLS = "cells"
"""Folder of a run for the network of cell types that it begins from."""
FOLDS = "reader.folds"
"""Name of the weights of the networks of all folds, in one file; tensors' names begin with the fold."""
Tell = Callable[[str], None]


def shrink(pixels: np.ndarray) -> np.ndarray:
    """Return a field, corner hidden, at the training scale: uint8 (TILE, TILE, 3)."""
    return cv2.resize(hide_corner(pixels), (TILE, TILE), interpolation=cv2.INTER_AREA)


def make_blanks(fields: Fields, others: Sequence[Path], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Make pictures that show nothing to read: fields with their cells painted out, and pictures that are no smears.

    Parameters
    ----------
    fields : Fields
    others : sequence of pathlib.Path
        Pictures that are no smears.
    seed : int

    Returns
    -------
    pixels : numpy.ndarray
        uint8, (M, TILE, TILE, 3).
    folds : numpy.ndarray
        int, (M,): a painted field keeps its fold; the rest is dealt out by the hash of its name.
    """
    pictures, folds = [], []
    for index in range(len(fields)):
        pictures.append(paint_out(fields, index, seed))
        folds.append(int(fields.folds[index]))
    for path in others:
        square = middle_square(read_image(path).pixels)
        pictures.append(cv2.resize(square, (TILE, TILE), interpolation=cv2.INTER_AREA))
        folds.append(fold_of(path.name))
    return np.stack(pictures), np.array(folds)


def paint_out(fields: Fields, index: int, seed: int = 0) -> np.ndarray:
    """Return a field with its cells painted out, at the training scale: uint8 (TILE, TILE, 3)."""
    return shrink(erased(fields.pixels[index], index, seed))


def painted_out(fields: Fields, folder: Path) -> np.ndarray:
    """Return the fields of a run with their cells painted out, as `fit` left them there: uint8 (N, TILE, TILE, 3).

    Raises
    ------
    DataError
        If the run is one on other fields or another partition.
    """
    return _blanks_of(fields, folder)[0][: len(fields)]


def _blanks_of(fields: Fields, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return what `make_blanks` made for a run; refuse fields other than those that it was made of."""
    with np.load(folder / "blanks.npz") as stored:
        blanks, folds, labels = stored["blanks"], stored["folds"], stored.get("labels")
        same = labels is not None and str(stored["fields"]) == fingerprint(fields)
    if not (same and np.array_equal(labels, fields.labels) and np.array_equal(folds[: len(fields)], fields.folds)):
        raise DataError(f"{folder.name} belongs to other fields or another partition; name a new folder with --run.")
    return blanks, folds


def fold_of(name: str, folds: int = 5) -> int:
    """Deal a file out to a fold by the hash of its name."""
    return int(hashlib.sha256(os.fsencode(name)).hexdigest(), 16) % folds


def fit(
    fields: Fields,
    folder: Path,
    *,
    others: Sequence[Path] = (),
    cells: SingleCells | None = None,
    cycles: Sequence[Recipe] = CYCLES,
    parts: Sequence[str] = ("0", "1", "2", "3", "4", ALL_FIELDS),
    device: str = "auto",
    tell: Tell | None = None,
) -> None:
    """Train the networks of a run: one for each fold, on the other folds, and one on all fields.

    Parameters
    ----------
    fields : Fields
    folder : pathlib.Path
        Of the run; holds ``PART/cycle-N/checkpoint.pt``, ``PART/cycle-N/log.csv`` and, once done,
        ``PART/network.safetensors``.
    others : sequence of pathlib.Path
        Pictures that are no smears, for `make_blanks`.
    cells : SingleCells, optional
        Whose types the first cycle begins from, see `leuk.training.mosaics`; by default from random weights.
    cycles : sequence of Recipe
        Each begins with the weights of the one before.
    parts : sequence of str
        Folds by number, or "all".
    device : str
        To train on; a GPU, if there is one, by default.
    tell : callable, optional
        Given a line of progress.

    Raises
    ------
    DataError
        If the folder holds a run on other fields, other pictures, another partition or another beginning.
    """
    tell = tell or log.info
    folder.mkdir(parents=True, exist_ok=True)
    first = _begun(cells, folder, cycles[0], device, tell)
    small = np.stack([shrink(pixels) for pixels in fields.pixels])
    cache = folder / "blanks.npz"
    if not cache.is_file():
        tell("painting cells out")
        blanks, blank_folds = make_blanks(fields, others)
        with writing(cache), whole(cache) as written, written.open("wb") as stream:
            np.savez_compressed(
                stream, blanks=blanks, folds=blank_folds, labels=fields.labels, fields=fingerprint(fields)
            )
    blanks, blank_folds = _blanks_of(fields, folder)
    if blank_folds[len(fields) :].tolist() != [fold_of(path.name) for path in others]:
        raise DataError(f"{folder.name} was begun with other pictures in --others; name those, or a new folder.")
    for part in parts:
        done = folder / part / "network.safetensors"
        if done.is_file():
            continue
        keep = np.ones(len(fields), bool) if part == ALL_FIELDS else fields.folds != int(part)
        kept = np.ones(len(blanks), bool) if part == ALL_FIELDS else blank_folds != int(part)

        def report(row: Mapping[str, float], part: str = part) -> None:
            tell(f"part {part}: " + ", ".join(f"{key} {value:.4g}" for key, value in row.items()))

        weights = first
        ends: list[dict[str, torch.Tensor]] = []
        for number, cycle in enumerate(cycles, start=1):
            before = cycles[max(0, number - 2)]
            if cycle.network != before.network:
                weights = _grown(_settled(ends, fields.labels[keep], before), before, cycle)
                ends = []
            network = train(
                small[keep],
                fields.labels[keep],
                cycle,
                folder / part / f"cycle-{number}",
                blanks=blanks[kept],
                initial=weights,
                classes=len(CLASSES),
                device=choose_device(device),
                resume=True,
                report=report,
            )
            weights = {key: value.cpu().contiguous() for key, value in network.state_dict().items()}
            note_machine(folder / part / f"cycle-{number}", choose_device(device), cycle)
            ends.append(weights)
        save_network(_settled(ends, fields.labels[keep], cycles[-1]), done)


def _begun(
    cells: SingleCells | None, folder: Path, recipe: Recipe, device: str, tell: Tell
) -> dict[str, torch.Tensor] | None:
    """Return the weights that a run's first cycles begin from; none for random ones."""
    there = bool(mosaics.begun(folder / CELLS))
    if cells is None:
        if there:
            raise DataError(f"{folder.name} was begun from types of cells; name them with --begin, or a new folder.")
        return None
    if not there and (folder / "blanks.npz").is_file():
        raise DataError(f"{folder.name} was begun from random weights; leave --begin out, or name a new folder.")
    own = replace(BEGINNING, network=recipe.network, epochs=min(BEGINNING.epochs, recipe.epochs))
    own = replace(own, batch=recipe.batch, precision=recipe.precision)
    mosaics.begin(cells, folder / CELLS, own, device=choose_device(device), tell=tell)
    return mosaics.weights(folder / CELLS, recipe, len(CLASSES))


def note_machine(folder: Path, device: torch.device, recipe: Recipe) -> None:
    """Note in a cycle's folder on what it was trained, in which precision, and by which torch."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    noted = {"device": name, "precision": resolved(recipe.precision, device), "torch": torch.__version__}
    (folder / "machine.json").write_text(json.dumps(noted) + "\n", encoding="utf-8")


def _settled(ends: Sequence[Mapping[str, torch.Tensor]], labels: np.ndarray, recipe: Recipe) -> dict[str, torch.Tensor]:
    """Return the weights that a network's cycles come to."""
    return level(mean_weights(ends[-AVERAGED:]), labels, recipe.balance)


def _grown(weights: Mapping[str, torch.Tensor], before: Recipe, after: Recipe) -> dict[str, torch.Tensor]:
    """Carry weights over from one cycle's network to the next one's, which has more blocks."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        smaller, larger = (
            Reader(classes=len(CLASSES), **recipe.network)  # type: ignore[arg-type]
            for recipe in (before, after)
        )
    return grown(weights, smaller.blocks, larger)


def level(weights: Mapping[str, torch.Tensor], labels: np.ndarray, balance: float) -> dict[str, torch.Tensor]:
    """Take out of a network's last bias how often it met each class, and put `BENIGN` in its place.

    The public set's own shares are nobody's.

    References
    ----------
    A. K. Menon et al., Long-tail learning via logit adjustment, ICLR 2021.
    """
    met = np.bincount(labels, minlength=len(CLASSES)) ** (1.0 - balance)
    assumed = np.full(len(met), (1 - BENIGN) / (len(met) - 1))
    assumed[CLASSES.index("benign")] = BENIGN
    change = torch.from_numpy(np.log(assumed) - np.log(met / met.sum())).float()
    return {key: value + change if key == "head.bias" else value for key, value in weights.items()}


def load_network(folder: Path, part: str, recipe: Recipe = CYCLES[-1]) -> Reader:
    """Return a trained network of a run, with weights rounded to half precision as they are shipped."""
    network = Reader(classes=len(CLASSES), **recipe.network)  # type: ignore[arg-type]
    weights = read_network(folder / part / "network.safetensors")
    network.load_state_dict({key: value.half().float() for key, value in weights.items()})
    return network.eval().requires_grad_(False)


def run_network(network: Reader, pictures: Sequence[np.ndarray] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return logits (N, C) and embeddings (N, D), float32, of uint8 pictures at the training scale."""
    return classification.run_network(network, np.stack(list(pictures)), torch.device("cpu"))


CAMERA = (
    "brightness x0.6",
    "brightness x1.4",
    "gamma 0.7",
    "gamma 1.4",
    "white balance +10 %",
    "white balance -10 %",
    "JPEG 40",
    "blur 1.5",
    "noise 8",
    "downscale 50 %",
)
"""Stresses that a camera or a file can bring to a known slide."""


def familiarity(
    network: Reader, pixels: np.ndarray, labels: np.ndarray, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Describe the training fields, as photographed and under a random change of `CAMERA` each.

    What cameras do to a known slide thereby counts as known, while the look of another stain does not: without the
    changed fields, either a brighter lamp was foreign or another laboratory familiar.

    Returns
    -------
    means, precision : numpy.ndarray
        As `leuk.classification.describe_classes` returns them.
    """
    rng = np.random.default_rng([seed, 11])
    pictures = [shrink(field) for field in pixels]
    pictures += [shrink(STRESSES[CAMERA[rng.integers(len(CAMERA))]](field, rng)) for field in pixels]
    return classification.describe_classes(run_network(network, pictures)[1], np.concatenate([labels, labels]))


def fold_networks(fields: Fields, folder: Path, recipe: Recipe = CYCLES[-1]) -> dict[int, Reader]:
    """Return the trained networks of a run by the fold that each has not seen, in 8 bits, as they are bundled.

    Raises
    ------
    DataError
        If the run holds none.
    """
    folds = [int(fold) for fold in np.unique(fields.folds)]
    there = [fold for fold in folds if (folder / str(fold) / "network.safetensors").is_file()]
    if not there:
        raise DataError(f"{folder.name} holds no trained fold of the reader; train it first, or name another run.")
    networks = {fold: load_network(folder, str(fold), recipe) for fold in there}
    for network in networks.values():
        network.load_state_dict(unpacked(packed(network.state_dict())))
    return networks


def bundle_networks(folder: Path, networks: Mapping[int, Reader]) -> str:
    """Write the networks of all folds into a folder of weights, in 8 bits, and return their SHA-256.

    Whoever has the fields can then read each with the network that has not seen it, and get the card's figures.
    """
    tensors = {
        f"{fold}.{key}": value.contiguous()
        for fold, network in networks.items()
        for key, value in packed(network.state_dict()).items()
    }
    return write_weights(folder, FOLDS, tensors)[0]


def bundled_networks(fields: Fields) -> dict[int, Reader]:
    """Return the networks that the bundled reader's figures come from, by the fold that each has not seen.

    Raises
    ------
    DataError
        If they were held out from other fields than these.
    ModelError
        If they are missing, or not those that the card describes.
    """
    folder = weights_folder()
    card = read_card(folder / "reader.json")
    stored = read_weights(folder, FOLDS, card.folds_sha256, what="the reader's folds")
    if fingerprint(fields) != card.training.get("data_sha256"):
        raise DataError(
            "The reader's bundled folds were held out from other fields than these; name a run on these with --run."
        )
    networks = {}
    with fitting("the reader's folds"):
        for fold in sorted({int(key.partition(".")[0]) for key in stored}):
            networks[fold] = Reader(classes=len(card.classes), **card.arguments)
            own = {key.partition(".")[2]: value for key, value in stored.items() if key.startswith(f"{fold}.")}
            networks[fold].load_state_dict(own)
            networks[fold].eval().requires_grad_(False)
    return networks


def predict_out_of_fold(
    fields: Fields,
    networks: Mapping[int, Reader],
    painted: Callable[[int], np.ndarray],
    tell: Tell | None = None,
    every: int = 1,
) -> dict[str, Any]:
    """Read every field with the network that has not seen its fold: as it is, under each stress, and recoloured.

    Stresses change the photograph, before its corner is hidden and it is brought to the training scale; they are
    measured on every n-th held-out field.

    Parameters
    ----------
    fields : Fields
    networks : mapping of int to Reader
        By the fold that each has not seen; where a fold has none, its rows are nan.
    painted : callable
        Given a field's index, returns it with its cells painted out, see `paint_out`.
    tell : callable, optional
    every : int

    Returns
    -------
    dict
        ``logits`` by condition, float32 (N, C); ``distances`` by condition, float64 (N,), see
        `leuk.classification.distance`.
    """
    tell = tell or log.info
    conditions = ["as photographed", *STRESSES, "stain swap", "cells erased"]
    logits = {name: np.full((len(fields), len(CLASSES)), np.nan, np.float32) for name in conditions}
    distances = {name: np.full(len(fields), np.nan) for name in conditions}
    pool = np.stack([lab_statistics(pixels) for pixels in fields.pixels])
    for fold, network in networks.items():
        seen, held = np.flatnonzero(fields.folds != fold), np.flatnonzero(fields.folds == fold)
        means, precision = familiarity(network, fields.pixels[seen], fields.labels[seen])
        for name in conditions:
            rng = np.random.default_rng([fold, 7])
            rows = held if name == "as photographed" else held[::every]
            if name == "cells erased":
                pictures = [painted(i) for i in rows]
            elif name == "stain swap":
                pictures = [
                    shrink(swap_stain(fields.pixels[i], fields.labels[i], fields.labels, pool, rng)) for i in rows
                ]
            elif name in STRESSES:
                pictures = [shrink(STRESSES[name](fields.pixels[i], rng)) for i in rows]
            else:
                pictures = [shrink(fields.pixels[i]) for i in rows]
            logits[name][rows], embedded = run_network(network, pictures)
            distances[name][rows] = distance(embedded, means, precision)
        tell(f"fold {fold}: accuracy {metrics.accuracy(fields.labels[held], logits['as photographed'][held]):.4f}")
    return {"logits": logits, "distances": distances}


def calibrate(fields: Fields, logits: np.ndarray) -> tuple[np.ndarray, float]:
    """Return out-of-fold probabilities, each fold's temperature fitted on the other folds, and the one of all folds."""
    probabilities = np.zeros(logits.shape)
    for fold in np.unique(fields.folds):
        others, held = fields.folds != fold, fields.folds == fold
        probabilities[held] = softmax(logits[held], metrics.fit_temperature(fields.labels[others], logits[others]))
    return probabilities, metrics.fit_temperature(fields.labels, logits)


def figures(fields: Fields, outcome: Mapping[str, Any]) -> dict[str, Any]:
    """Return the card's metrics from out-of-fold predictions, with 95 % intervals by bootstrap over pseudo-sessions."""
    logits = outcome["logits"]
    plain = logits["as photographed"]
    probabilities, temperature = calibrate(fields, plain)
    # Fields of different folds are ranked by scores that no fold's temperature has changed.
    before, labels = softmax(plain, 1.0), fields.labels

    def told(metric: metrics.Metric) -> dict[str, Any]:
        low, high = metrics.group_interval(metric, labels, before, fields.groups)
        return {"value": round(metric(labels, before), 4), "interval": [round(low, 4), round(high, 4)]}

    recalls = metrics.recalls(labels, probabilities)
    return {
        "unit": "field",
        "partition": partitioned(fields.files, "grouped", "five-fold, out of fold"),
        "fields": len(fields),
        "accuracy": told(metrics.accuracy),
        "balanced_accuracy": told(metrics.balanced_accuracy),
        "macro_f1": told(metrics.macro_f1),
        "benign_recall": told(metrics.benign_recall),
        "malignant_sensitivity": told(metrics.malignant_sensitivity),
        "malignant_auroc": told(metrics.malignant_auroc),
        "recall": {name: round(float(value), 4) for name, value in zip(CLASSES, recalls, strict=True)},
        "confusion": metrics.confusion(labels, probabilities.argmax(1), len(CLASSES)).tolist(),
        "ece_before": round(metrics.calibration_error(labels, before), 4),
        "ece": round(metrics.calibration_error(labels, probabilities), 4),
        "brier_before": round(metrics.brier(labels, before), 4),
        "brier": round(metrics.brier(labels, probabilities), 4),
        "stress_accuracy": {
            name: round(metrics.accuracy(labels, logits[name]), 4)
            for name in logits
            if name not in ("as photographed", "cells erased")
        },
        "cells_erased": {
            "accuracy": round(metrics.accuracy(labels, logits["cells erased"]), 4),
            "mean_confidence": round(float(softmax(logits["cells erased"], temperature).max(1).mean()), 4),
        },
    }


def fingerprint(fields: Fields) -> str:
    """Return a SHA-256 over the names and pixels of the fields, in order."""
    digest = hashlib.sha256()
    for name, pixels in zip(fields.files, fields.pixels, strict=True):
        digest.update(os.fsencode(name))
        digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    return {
        "leuk": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "opencv": cv2.__version__,
        "numpy": np.__version__,
    }


def familiar_limits(
    distances: np.ndarray, groups: np.ndarray, counts: Sequence[int] = (1, 2, 4, 8), seed: int = 0
) -> list[float]:
    """Return the distance that 99 % of known fields keep within, alone and as a mean over several of one slide.

    The tiles of a large image are as many looks at one slide: if their mean is off, that says more than one tile's
    being off. Here fields of one pseudo-session stand for tiles of one slide.

    Parameters
    ----------
    distances : numpy.ndarray
        float, (K, N): of unseen fields under K conditions.
    groups : numpy.ndarray
        int, (N,): pseudo-sessions.
    counts : sequence of int
        Numbers of tiles.
    seed : int

    Returns
    -------
    list of float
        One for each number, never rising.
    """
    rng = np.random.default_rng(seed)
    members = {group: np.flatnonzero(groups == group) for group in np.unique(groups)}
    limits: list[float] = []
    for count in counts:
        chosen = np.stack([np.append(i, rng.choice(members[group], count - 1)) for i, group in enumerate(groups)])
        limit = float(np.quantile(distances[:, chosen].mean(2), 0.99))
        limits.append(min([limit, *limits[-1:]]))
    return limits


def make_card(
    fields: Fields,
    outcome: Mapping[str, Any],
    cell_diameter: float,
    cycles: Sequence[Recipe],
    machines: Sequence[Mapping[str, str]],
    begun: Mapping[str, Any],
) -> Card:
    """Assemble the reader's card from a run, but for the strengths of its heat maps.

    For each cycle ``machines`` says what it was trained on, as `note_machine` notes it; ``begun`` says what the first
    one began from, as `leuk.training.mosaics.begun` returns it.
    """
    _, temperature = calibrate(fields, outcome["logits"]["as photographed"])
    # Known is what 99 % of unseen fields are, as photographed and under what cameras do to them. Over-exposure is left
    # out of the count, since it loses what it clips: such a field may be called unknown.
    everyday = ["as photographed", *(name for name in CAMERA if name != "brightness x1.4")]
    distances = np.stack([outcome["distances"][name] for name in everyday])
    familiar, *means = (round(limit, 3) for limit in familiar_limits(distances, fields.groups))
    return Card(
        name="reader",
        title="Leuk reader",
        architecture="reader",
        arguments=dict(cycles[-1].network),
        classes=CLASSES,
        sha256="",
        tile=TILE,
        cell_diameter=round(cell_diameter * TILE / fields.pixels.shape[2], 2),
        photo_scale=TILE / fields.pixels.shape[2],
        temperature=round(temperature, 4),
        familiar=familiar,
        familiar_means=tuple(means),
        confident=0.5,
        strong=dict.fromkeys(EXPLAINERS, 1.0),
        training={
            "data": described(fields.files),
            "fields": len(fields),
            "fields_by_class": {name: int((fields.labels == i).sum()) for i, name in enumerate(CLASSES)},
            "split": "figures: five networks, each on four folds of the grouped partition; weights: one on all fields",
            **({"begun_from": dict(begun)} if begun else {}),
            "cycles": [asdict(cycle) | dict(on) for cycle, on in zip(cycles, machines, strict=True)],
            "data_sha256": fingerprint(fields),
            "versions": versions(),
        },
        metrics=figures(fields, outcome),
        limits=(
            *(ABROAD if is_public(fields.files) else ()),
            "The data set's classes differ in stain and light; training recolours fields, but cannot undo that wholly.",
            "Probabilities assume a field of one of the four classes; normal blood of other kinds was not learnt.",
            f"Before a field is seen, benign counts as likely by {BENIGN:g} and each subtype by {(1 - BENIGN) / 3:g}; "
            "where other shares are true, probabilities are off.",
            *bounds(fields.files, "its table", "grouped"),
        ),
    )


def strengths(fields: Fields, networks: Mapping[int, Reader], card: Card, every: int = 8) -> dict[str, float]:
    """Measure how strong heat maps of unseen fields are: by method, the median of maps' `peaks`.

    Maps are of the likeliest class, of every n-th field, by the network that has not seen its fold.
    """
    found: dict[str, list[np.ndarray]] = {method: [] for method in EXPLAINERS}
    nothing = np.zeros((len(CLASSES), 1)), np.eye(1)
    for fold, network in networks.items():
        model = Model(card, network, torch.device("cpu"), *nothing)
        held = np.flatnonzero(fields.folds == fold)[::every]
        pictures = np.stack([shrink(fields.pixels[i]) for i in held])
        best = run_network(model.network, pictures)[0].argmax(1)  # type: ignore[arg-type]
        for method in EXPLAINERS:
            for target in np.unique(best):
                maps = raw_maps(model, pictures[best == target], [target], method)[0]
                found[method].append(peaks(maps, TILE))
    return {method: float(np.median(np.concatenate(one))) for method, one in found.items()}


def typical_diameter(fields: Fields, every: int = 8) -> float:
    """Return the median diameter of white cells over every n-th field, in the photographs' pixels."""
    found = [segment(SmearImage.from_array(pixels, name="field")).cell_diameter for pixels in fields.pixels[::every]]
    return float(np.median([diameter for diameter in found if diameter is not None]))


def finish(
    fields: Fields,
    folder: Path,
    weights: Path,
    cycles: Sequence[Recipe] = CYCLES,
    tell: Tell | None = None,
) -> Card:
    """Measure a run's networks out of fold; write the one of all fields with its card, and those of the folds.

    Parameters
    ----------
    fields : Fields
    folder : pathlib.Path
        Of the run.
    weights : pathlib.Path
        Where ``reader.safetensors``, ``reader.folds.safetensors`` and ``reader.json`` go.
    cycles : sequence of Recipe
        As in `fit`.
    tell : callable, optional
        Given a line of progress.

    Returns
    -------
    Card
    """
    tell = tell or log.info
    recipe = cycles[-1]
    networks = fold_networks(fields, folder, recipe)
    outcome = predict_out_of_fold(fields, networks, painted_out(fields, folder).__getitem__, tell)
    if np.isnan(outcome["logits"]["as photographed"]).any():
        raise DataError(
            f"{folder.name} lacks networks of some folds, and the reader's card needs all; train them first."
        )
    tell("measuring cells and heat maps")
    noted = (folder / ALL_FIELDS / f"cycle-{number}" / "machine.json" for number in range(1, len(cycles) + 1))
    # A run begun before this was noted doesn't say it, and neither does its card.
    machines = [json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {} for path in noted]
    card = make_card(fields, outcome, typical_diameter(fields), cycles, machines, mosaics.begun(folder / CELLS))
    measured = strengths(fields, networks, card)
    strong = {method: float(f"{value:.4g}") for method, value in measured.items()}
    card = replace(card, strong=strong, folds_sha256=bundle_networks(weights, networks))
    network = load_network(folder, ALL_FIELDS, recipe)
    return save_model(weights, card, network, *familiarity(network, fields.pixels, fields.labels))


def pictures_in(folder: Path) -> list[Path]:
    """Return the images of a folder of pictures that are no smears.

    Raises
    ------
    DataError
        If there is no such folder, or no image in it.
    """
    found = find_images([folder]) if folder.is_dir() else []
    if not found:
        raise DataError(f"{folder} is no folder of pictures; name one with --others, or leave it out.")
    return found

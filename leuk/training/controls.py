"""Controls: random forests on what is not morphology, by the protocol of the systems.

What a forest reaches on the colours of a whole field, a system that does no better need not have looked at a cell.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from leuk.data.datasets import random_folds
from leuk.data.taleqani import CLASSES, Fields
from leuk.image import read_image
from leuk.models.cards import weights_folder
from leuk.training.evaluate import ERASED, PLAIN, SWAP, check_places, count_elsewhere, erased, known_elsewhere, place_of
from leuk.training.metrics import share
from leuk.training.predictions import Predictions
from leuk.training.results import figures_of, groups_of, write_figures

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Control:
    """A forest's view of a field.

    Attributes
    ----------
    title, input : str
        For people.
    features : tuple of str
        Of `leuk.data.shortcuts.features_of`.
    painted : bool
        Whether white cells are painted out first.
    """

    title: str
    input: str
    features: tuple[str, ...]
    painted: bool = False


TREES = 300
CONTROLS: Mapping[str, Control] = MappingProxyType(
    {
        "control_histogram": Control(
            "Colour histogram", "how often each of 512 colours occurs, no shape at all", ("histogram",)
        ),
        "control_medians": Control("Nine colour medians", "nine numbers: the field's median colour", ("medians",)),
        "control_corner": Control(
            "Scale-bar corner", "the bottom-right corner, where scale bars are burnt in", ("corner",)
        ),
        "control_thumbnail": Control(
            "16 × 16 thumbnail", "the field at 16 × 16 pixels, on which no cell can be made out", ("thumbnail",)
        ),
        "control_background": Control(
            "Background only", "colours of the field with its white cells painted out", ("histogram", "medians"), True
        ),
    }
)
"""Controls by name."""


def describe(
    fields: Fields, tell: Callable[[str], None] | None = None, seed: int = 7
) -> dict[str, dict[str, np.ndarray]]:
    """Return each control's features of all fields, float32 (N, D), by control and condition.

    Conditions are "as photographed", "stain swap" (recoloured like a field of another class), every stress by its name
    and "cells erased", which a control whose fields have their cells painted out anyway does not have.
    """
    from leuk.training.augment import lab_statistics
    from leuk.training.stress import STRESSES, swap_stain

    rng = np.random.default_rng(seed)
    pool = np.stack([lab_statistics(pixels) for pixels in fields.pixels])
    found: dict[str, dict[str, list[np.ndarray]]] = {name: {} for name in CONTROLS}

    def keep(condition: str, shown: np.ndarray, chosen: Collection[str]) -> None:
        for name, row in _seen(shown, chosen).items():
            found[name].setdefault(condition, []).append(row)

    for index, pixels in enumerate(fields.pixels):
        blank = erased(pixels, index)
        for field, chosen in ((pixels, _WHOLE), (blank, _PAINTED)):
            keep(PLAIN, field, chosen)
            keep(SWAP, swap_stain(field, fields.labels[index], fields.labels, pool, rng), chosen)
            # Of its own, so that one stress more or less changes no other.
            chance = np.random.default_rng([seed, index])
            for condition, change in STRESSES.items():
                keep(condition, change(field, chance), chosen)
        keep(ERASED, blank, _WHOLE)
        if tell is not None and (index + 1) % 500 == 0:
            tell(f"{index + 1} of {len(fields)} fields described")
    return {
        name: {condition: np.stack(rows) for condition, rows in conditions.items()}
        for name, conditions in found.items()
    }


_PAINTED = tuple(name for name, control in CONTROLS.items() if control.painted)
_WHOLE = tuple(name for name in CONTROLS if name not in _PAINTED)


def _seen(pixels: np.ndarray, chosen: Collection[str]) -> dict[str, np.ndarray]:
    """Return what some controls see of an image: float32 (D,), by control."""
    from leuk.data.shortcuts import features_of

    features = features_of(pixels)
    return {
        name: np.concatenate([features[key].ravel() for key in CONTROLS[name].features]).astype(np.float32)
        for name in chosen
    }


def predict_controls(
    features: Mapping[str, np.ndarray], labels: np.ndarray, folds: np.ndarray, seed: int = 0
) -> dict[str, np.ndarray]:
    """Return out-of-fold probabilities of a random forest that is trained on fields as photographed.

    Parameters
    ----------
    features : mapping
        By condition, (N, D); "as photographed" among them.
    labels, folds : numpy.ndarray
        int, (N,).
    seed : int

    Returns
    -------
    dict of str to numpy.ndarray
        By condition, float64 (N, C), C = classes that occur; never quite 0 or 1, so that they can be scaled.
    """
    count = int(labels.max()) + 1
    found = {condition: np.zeros((len(labels), count)) for condition in features}
    for fold in np.unique(folds):
        held = folds == fold
        forest = _forest(features[PLAIN][~held], labels[~held], seed)
        said = forest.predict_proba(np.concatenate([rows[held] for rows in features.values()]))
        for condition, part in zip(features, np.split(said, len(features)), strict=True):
            found[condition][np.ix_(held, forest.classes_)] = part
    # A forest says 0 where no tree of hundreds disagrees: one tree more is counted for each class.
    return {condition: (p * TREES + 1) / (TREES + count) for condition, p in found.items()}


def _forest(rows: np.ndarray, labels: np.ndarray, seed: int = 0) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(TREES, random_state=seed, n_jobs=2).fit(rows, labels)


def read_controls_elsewhere(
    features: Mapping[str, np.ndarray],
    labels: np.ndarray,
    known: Mapping[str, Sequence[tuple[Path, bool]]],
    tell: Callable[[str], None],
) -> dict[str, dict[str, Any]]:
    """Count how often "malignant" is right on pictures of other laboratories, for forests trained on all fields.

    Parameters
    ----------
    features : mapping
        By control, (N, D): of the fields as photographed.
    labels : numpy.ndarray
        int, (N,).
    known : mapping
        By place, pictures as `leuk.training.evaluate.known_elsewhere` returns them.
    tell : callable

    Returns
    -------
    dict
        By control and place, as `leuk.training.evaluate.count_elsewhere`.
    """
    found: dict[str, dict[str, Any]] = {name: {} for name in features}
    forests = {name: _forest(rows, labels) for name, rows in features.items()} if known else {}
    for place, pictures in known.items():
        seen: dict[str, list[np.ndarray]] = {name: [] for name in features}
        for index, (path, _) in enumerate(pictures):
            pixels = read_image(path).pixels
            for name, row in (_seen(pixels, _WHOLE) | _seen(erased(pixels, index), _PAINTED)).items():
                seen[name].append(row)
        truth = np.array([malignant for _, malignant in pictures])
        for name, rows in seen.items():
            forest = forests[name]
            benign = forest.predict_proba(np.stack(rows))[:, list(forest.classes_).index(CLASSES.index("benign"))]
            found[name][place] = one = count_elsewhere(truth, benign < 0.5)
            tell(f"{CONTROLS[name].title}, {place}: malignant is right on {one['accuracy']['value']:.3f}")
    return found


def measure_controls(
    fields: Fields,
    folder: Path | None = None,
    tell: Callable[[str], None] | None = None,
    places: Sequence[Path] = (),
) -> dict[str, Any]:
    """Train and measure all controls under both partitions and write ``controls.json``.

    Parameters
    ----------
    fields : leuk.data.taleqani.Fields
    folder : pathlib.Path, optional
        Weights' folder by default.
    tell : callable, optional
        Given a line of progress.
    places : sequence of pathlib.Path
        Folders of pictures of other laboratories, see `leuk.training.evaluate.read_elsewhere`. What is known of other
        places stays.

    Returns
    -------
    dict
        What was written.

    Raises
    ------
    DataError
        If a folder of pictures holds none whose name says what it shows, or what came out can't be written.
    """
    tell = tell or log.info
    check_places(places)
    known = {place_of(place): known_elsewhere(place) for place in places}
    path = (folder or weights_folder()) / "controls.json"
    before = _elsewhere_in(path)
    features = describe(fields, tell)
    partitions = {"random": random_folds(fields.labels), "grouped": fields.folds}
    told, groups = [], groups_of(fields.files)
    elsewhere = read_controls_elsewhere(
        {name: conditions[PLAIN] for name, conditions in features.items()}, fields.labels, known, tell
    )
    for name, control in CONTROLS.items():
        measured: dict[str, dict[str, Any]] = {}
        for partition, folds in partitions.items():
            said = predict_controls(features[name], fields.labels, folds)
            predictions = Predictions(name, partition, fields.files, fields.labels, folds, CLASSES, said.pop(PLAIN))
            right = {condition: share(p.argmax(1) == fields.labels, groups) for condition, p in said.items()}
            measured[partition] = {"figures": figures_of(predictions), "stain_swap": right.pop(SWAP)}
            if ERASED in right:
                confidence = {"mean_confidence": round(float(said[ERASED].max(1).mean()), 4)}
                measured[partition]["cells_erased"] = right.pop(ERASED) | confidence
            measured[partition]["stress"] = right
            if places_known := before.get(name, {}) | elsewhere[name]:
                measured[partition]["elsewhere"] = places_known
            worst = min(right, key=lambda condition: right[condition]["value"])
            tell(
                f"{control.title}, {partition}: {measured[partition]['figures']['accuracy']['value']:.4f}, "
                f"stain swap {measured[partition]['stain_swap']['value']:.4f}, {worst} {right[worst]['value']:.4f}"
            )
        told.append(
            {
                "name": name,
                "title": control.title,
                "input": control.input,
                "classes": list(CLASSES),
                "partitions": measured,
            }
        )
    content = {"trained": f"random forests of {TREES} trees, five folds, out of fold", "controls": told}
    write_figures(content, path)
    return content


def _elsewhere_in(path: Path) -> dict[str, dict[str, Any]]:
    """Return what was known of other places when ``controls.json`` was last written, by control."""
    if not path.is_file():
        return {}
    known = json.loads(path.read_text(encoding="utf-8")).get("controls", [])
    return {one["name"]: one["partitions"].get("grouped", {}).get("elsewhere", {}) for one in known}

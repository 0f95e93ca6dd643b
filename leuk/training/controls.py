"""Controls: random forests on what is not morphology, by the protocol of the systems.

What a forest reaches on the colours of a whole field, a system that does no better need not have looked at a cell.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from leuk.data.taleqani import CLASSES, Fields
from leuk.models.cards import weights_folder
from leuk.training.evaluate import erased
from leuk.training.predictions import Predictions, random_folds
from leuk.training.results import figures_of

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


def describe(fields: Fields, tell: Callable[[str], None] | None = None) -> dict[str, np.ndarray]:
    """Return each control's features of all fields, float32 (N, D)."""
    from leuk.data.shortcuts import features_of

    found: dict[str, list[np.ndarray]] = {name: [] for name in CONTROLS}
    for index, pixels in enumerate(fields.pixels):
        seen = {False: features_of(pixels), True: features_of(erased(pixels, index))}
        for name, control in CONTROLS.items():
            found[name].append(np.concatenate([seen[control.painted][key].ravel() for key in control.features]))
        if tell is not None and (index + 1) % 500 == 0:
            tell(f"{index + 1} of {len(fields)} fields described")
    return {name: np.stack(rows).astype(np.float32) for name, rows in found.items()}


def predict_controls(features: np.ndarray, labels: np.ndarray, folds: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return out-of-fold probabilities of a random forest.

    Parameters
    ----------
    features : numpy.ndarray
        (N, D).
    labels, folds : numpy.ndarray
        int, (N,).
    seed : int

    Returns
    -------
    numpy.ndarray
        float64, (N, C), C = classes that occur; never quite 0 or 1, so that they can be scaled.
    """
    from sklearn.ensemble import RandomForestClassifier

    trees, count = TREES, int(labels.max()) + 1
    probabilities = np.zeros((len(labels), count))
    for fold in np.unique(folds):
        held = folds == fold
        forest = RandomForestClassifier(trees, random_state=seed, n_jobs=2).fit(features[~held], labels[~held])
        probabilities[np.ix_(held, forest.classes_)] = forest.predict_proba(features[held])
    # A forest says 0 where no tree of hundreds disagrees: one tree more is counted for each class.
    return (probabilities * trees + 1) / (trees + count)


def measure_controls(
    fields: Fields, folder: Path | None = None, tell: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Train and measure all controls under both partitions and write ``controls.json``.

    Parameters
    ----------
    fields : leuk.data.taleqani.Fields
    folder : pathlib.Path, optional
        Weights' folder by default.
    tell : callable, optional
        Given a line of progress.

    Returns
    -------
    dict
        What was written.
    """
    tell = tell or log.info
    features = describe(fields, tell)
    partitions = {"random": random_folds(fields.labels), "grouped": fields.folds}
    told = []
    for name, control in CONTROLS.items():
        measured = {}
        for partition, folds in partitions.items():
            p = predict_controls(features[name], fields.labels, folds)
            predictions = Predictions(name, partition, fields.files, fields.labels, folds, CLASSES, p)
            measured[partition] = figures_of(predictions)
            tell(f"{control.title}, {partition}: accuracy {measured[partition]['accuracy']['value']:.4f}")
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
    path = (folder or weights_folder()) / "controls.json"
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return content

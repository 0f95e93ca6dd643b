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

from leuk.data.datasets import random_folds
from leuk.data.taleqani import CLASSES, Fields
from leuk.models.cards import weights_folder
from leuk.training.evaluate import PLAIN, erased
from leuk.training.metrics import share
from leuk.training.predictions import Predictions
from leuk.training.results import figures_of, groups_of

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


SWAP, GREY = "stain swap", "grey"


def describe(
    fields: Fields, tell: Callable[[str], None] | None = None, seed: int = 7
) -> dict[str, dict[str, np.ndarray]]:
    """Return each control's features of all fields, float32 (N, D), by control and condition.

    Conditions are "as photographed", "stain swap" (recoloured like a field of another class) and "grey".
    """
    from leuk.data.shortcuts import features_of
    from leuk.training.augment import lab_statistics
    from leuk.training.stress import STRESSES, swap_stain

    rng = np.random.default_rng(seed)
    pool = np.stack([lab_statistics(pixels) for pixels in fields.pixels])
    found: dict[str, dict[str, list[np.ndarray]]] = {
        name: {condition: [] for condition in (PLAIN, SWAP, GREY)} for name in CONTROLS
    }
    for index, pixels in enumerate(fields.pixels):
        for painted, field in ((False, pixels), (True, erased(pixels, index))):
            swapped = swap_stain(field, fields.labels[index], fields.labels, pool, rng)
            for condition, shown in ((PLAIN, field), (SWAP, swapped), (GREY, STRESSES[GREY](field, rng))):
                seen = features_of(shown)
                for name, control in CONTROLS.items():
                    if control.painted == painted:
                        row = np.concatenate([seen[key].ravel() for key in control.features])
                        found[name][condition].append(row)
        if tell is not None and (index + 1) % 500 == 0:
            tell(f"{index + 1} of {len(fields)} fields described")
    return {
        name: {condition: np.stack(rows).astype(np.float32) for condition, rows in conditions.items()}
        for name, conditions in found.items()
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
    from sklearn.ensemble import RandomForestClassifier

    count = int(labels.max()) + 1
    found = {condition: np.zeros((len(labels), count)) for condition in features}
    for fold in np.unique(folds):
        held = folds == fold
        forest = RandomForestClassifier(TREES, random_state=seed, n_jobs=2).fit(features[PLAIN][~held], labels[~held])
        for condition, rows in features.items():
            found[condition][np.ix_(held, forest.classes_)] = forest.predict_proba(rows[held])
    # A forest says 0 where no tree of hundreds disagrees: one tree more is counted for each class.
    return {condition: (p * TREES + 1) / (TREES + count) for condition, p in found.items()}


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
            said = predict_controls(features[name], fields.labels, folds)
            predictions = Predictions(name, partition, fields.files, fields.labels, folds, CLASSES, said[PLAIN])
            groups = groups_of(fields.files)
            right = {condition: share(p.argmax(1) == fields.labels, groups) for condition, p in said.items()}
            measured[partition] = {
                "figures": figures_of(predictions),
                "stain_swap": right[SWAP],
                "stress": {GREY: right[GREY]},
            }
            told_rights = ", ".join(f"{condition} {one['value']:.4f}" for condition, one in right.items())
            tell(f"{control.title}, {partition}: {told_rights}")
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

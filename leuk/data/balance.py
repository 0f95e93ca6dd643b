"""What a data set consists of: counts, sizes, brightness and sharpness per class, split and pseudo-session."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from leuk.data.datasets import DataSet, counts_of
from leuk.data.measures import NAMES, Measures

PERCENTILES = (5, 25, 50, 75, 95)


@dataclass(frozen=True, eq=False)
class Balance:
    """Counts of a data set.

    Attributes
    ----------
    classes : dict of str to int
        Images per class.
    splits : dict of str to numpy.ndarray
        Per split (or "fold 0" and so on), int64 (C,): images per class; empty if the set has no splits.
    sessions : numpy.ndarray
        int64, (S, 3): pseudo-session, class that most of it shows, and images, most first; (0, 3) if the set has none.
    segmented : int
        How many images have a segmented twin.
    sizes : dict of str to int
        Images per size, as in "224 × 224", most first; empty without measures.
    spread : dict of str to numpy.ndarray
        Per measure, float64 (C, 5): 5th, 25th, 50th, 75th and 95th percentile per class, nan for a class without
        readable images; empty without measures.
    """

    classes: dict[str, int]
    splits: dict[str, np.ndarray]
    sessions: np.ndarray
    segmented: int
    sizes: dict[str, int]
    spread: dict[str, np.ndarray]


def balance(dataset: DataSet, measures: Measures | None = None) -> Balance:
    """Count a data set.

    Parameters
    ----------
    dataset : DataSet
    measures : Measures, optional
        Without them there are no sizes and no spread.
    """
    count = len(dataset.classes)
    splits: dict[str, np.ndarray] = {}
    if dataset.split is not None:
        names = np.array(dataset.split)
        for name in sorted(set(dataset.split), key=lambda one: (one == "", one)):
            splits[name or "no split"] = np.bincount(dataset.labels[names == name], minlength=count)
    elif dataset.fold is not None:
        for fold in np.unique(dataset.fold):
            title = f"fold {fold}" if fold >= 0 else "no fold"
            splits[title] = np.bincount(dataset.labels[dataset.fold == fold], minlength=count)
    sessions = np.zeros((0, 3), np.int64)
    if dataset.session is not None:
        rows = []
        for session in np.unique(dataset.session[dataset.session >= 0]):
            labels = dataset.labels[dataset.session == session]
            rows.append((int(session), int(np.bincount(labels).argmax()), len(labels)))
        sessions = np.array(sorted(rows, key=lambda row: -row[2]), np.int64).reshape(-1, 3)
    sizes: dict[str, int] = {}
    spread: dict[str, np.ndarray] = {}
    if measures is not None:
        ok = measures.readable
        pairs = zip(measures.values["width"][ok], measures.values["height"][ok], strict=True)
        sizes = {f"{int(w)} × {int(h)}": number for (w, h), number in Counter(pairs).most_common()}
        for name in NAMES:
            table = np.full((count, len(PERCENTILES)), np.nan)
            for label in range(count):
                chosen = ok & (dataset.labels == label)
                if chosen.any():
                    table[label] = np.percentile(measures.values[name][chosen], PERCENTILES)
            spread[name] = table
    return Balance(
        classes={name: counts_of(dataset)[name] for name in dataset.classes},
        splits=splits,
        sessions=sessions,
        segmented=sum(twin is not None for twin in dataset.segmented or ()),
        sizes=sizes,
        spread=spread,
    )

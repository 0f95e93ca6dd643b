"""What a data set consists of: counts, sizes, brightness and sharpness per class, split and pseudo-session."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leuk.data.datasets import DataSet
from leuk.data.measures import Measures


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
        int64, (S, 3): pseudo-session, class and images, most first; (0, 3) if the set has none.
    segmented : int
        How many images have a segmented twin.
    sizes : dict of str to int
        Images per size, as in "224 × 224", most first; empty without measures.
    spread : dict of str to numpy.ndarray
        Per measure, float64 (C, 5): 5th, 25th, 50th, 75th and 95th percentile per class; empty without measures.
    """

    classes: dict[str, int]
    splits: dict[str, np.ndarray]
    sessions: np.ndarray
    segmented: int
    sizes: dict[str, int]
    spread: dict[str, np.ndarray]


def balance(dataset: DataSet, measures: Measures | None = None) -> Balance:
    """Count a data set."""
    raise NotImplementedError

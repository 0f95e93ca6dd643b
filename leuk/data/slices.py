"""Metrics on parts of a data set: where a system is worse than its mean says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leuk.data.datasets import DataSet
from leuk.data.measures import Measures
from leuk.data.mistakes import Verdicts


@dataclass(frozen=True, eq=False)
class Slice:
    """One part of a data set and how a system does on it.

    Attributes
    ----------
    by : str
        What the set was cut by, such as "brightness" or "session".
    title : str
        For a reader, such as "brightness 142 to 171".
    rows : numpy.ndarray
        int64, (M,): known rows in it.
    accuracy : float
    interval : tuple of float
        Wilson's 95 % interval over images.
    specificity, sensitivity : float or None
        Of malignant against benign by the likeliest class; None where the slice has none of that kind.
    specificity_interval, sensitivity_interval : tuple of float or None
    rest : float
        Accuracy on all other rows.
    """

    by: str
    title: str
    rows: np.ndarray
    accuracy: float
    interval: tuple[float, float]
    specificity: float | None
    sensitivity: float | None
    specificity_interval: tuple[float, float] | None
    sensitivity_interval: tuple[float, float] | None
    rest: float


def find_slices(
    dataset: DataSet, verdicts: Verdicts, measures: Measures | None = None, least: int = 10
) -> tuple[Slice, ...]:
    """Cut by brightness, sharpness, cell count (in fifths), class, split, pseudo-session and scale-bar style.

    Parameters
    ----------
    dataset : DataSet
    verdicts : Verdicts
    measures : Measures, optional
        Without it there are no slices by what is measured on images.
    least : int
        Smaller slices are left out.

    Returns
    -------
    tuple of Slice
        The worst first: by the upper end of the interval, so that a few unlucky images don't lead.
    """
    raise NotImplementedError

"""What a system got wrong on a data set: predictions laid beside the files, false alarms, misses, thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from leuk.data.datasets import DataSet


class PredictionTable(Protocol):
    """What `leuk.training.predictions.Predictions` offers."""

    @property
    def system(self) -> str: ...  # noqa: D102
    @property
    def partition(self) -> str: ...  # noqa: D102
    @property
    def files(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def classes(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def folds(self) -> np.ndarray: ...  # noqa: D102
    @property
    def probabilities(self) -> np.ndarray: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class Verdicts:
    """A system's predictions in the order of a data set.

    Attributes
    ----------
    system, partition : str
    probabilities : numpy.ndarray
        float64, (N, C) in the set's order of classes, rows summing to 1; nan where there is no prediction.
    predicted : numpy.ndarray
        int64, (N,): likeliest class; -1 where there is no prediction.
    folds : numpy.ndarray
        int64, (N,): part in which the row was held out; -1 where not known.
    known : numpy.ndarray
        bool, (N,): the row has a prediction, and the system knows its class.
    problems : tuple of str
        One sentence each: files that are not in the set, rows without a prediction, classes unknown to the other side.
    """

    system: str
    partition: str
    probabilities: np.ndarray
    predicted: np.ndarray
    folds: np.ndarray
    known: np.ndarray
    problems: tuple[str, ...] = ()


def align(dataset: DataSet, predictions: PredictionTable) -> Verdicts:
    """Lay predictions beside the files of a data set.

    Files are matched by their whole name, else by the end of it (``Benign/a.jpg``, then ``a.jpg``) where only one fits.

    Raises
    ------
    DataError
        If not one prediction fits, or the system and the set share no class.
    """
    raise NotImplementedError


def confusion(dataset: DataSet, verdicts: Verdicts) -> np.ndarray:
    """Return counts, int64 (C, C), rows true, columns predicted, of the rows that are known."""
    raise NotImplementedError


def cell_rows(dataset: DataSet, verdicts: Verdicts, true: int, called: int) -> np.ndarray:
    """Return the rows of one cell of the confusion matrix, int64 (M,), the most confident first."""
    raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Mistakes:
    """Rows that a system got wrong, the most confident first.

    Attributes
    ----------
    false_alarms : numpy.ndarray
        int64: benign called malignant, by falling 1 - p(benign).
    misses : numpy.ndarray
        int64: malignant called benign, by falling p(benign).
    confused : numpy.ndarray
        int64: malignant called malignant of another kind, by falling confidence; every error where no class is benign.
    """

    false_alarms: np.ndarray
    misses: np.ndarray
    confused: np.ndarray


def mistakes(dataset: DataSet, verdicts: Verdicts, threshold: float | None = None) -> Mistakes:
    """Sort a system's errors.

    Parameters
    ----------
    dataset : DataSet
    verdicts : Verdicts
    threshold : float, optional
        Called malignant from this 1 - p(benign) upwards; by default a row is called what is likeliest.
    """
    raise NotImplementedError


@dataclass(frozen=True)
class Operating:
    """Counts at one threshold on 1 - p(benign).

    Attributes
    ----------
    threshold : float
    false_alarms, misses, true_alarms, true_benign : int
    sensitivity, specificity : float
        nan where there is nothing to divide by.
    sensitivity_interval, specificity_interval : tuple of float
        Wilson's 95 % intervals over single images.
    """

    threshold: float
    false_alarms: int
    misses: int
    true_alarms: int
    true_benign: int
    sensitivity: float
    specificity: float
    sensitivity_interval: tuple[float, float]
    specificity_interval: tuple[float, float]


def operate(dataset: DataSet, verdicts: Verdicts, threshold: float) -> Operating:
    """Count false alarms and misses at a threshold: malignant is what has 1 - p(benign) >= threshold.

    Raises
    ------
    DataError
        If no class of the set is benign.
    """
    raise NotImplementedError


@dataclass(frozen=True)
class Neighbour:
    """A training image like a given one.

    Attributes
    ----------
    row : int
    label : int
    distance : float
        Euclidean, in features scaled to unit variance.
    same_session : bool or None
        None where sessions are not known.
    """

    row: int
    label: int
    distance: float
    same_session: bool | None


def nearest(
    dataset: DataSet, features: np.ndarray, row: int, verdicts: Verdicts | None = None, count: int = 6
) -> list[Neighbour]:
    """Return the images most like one, nearest first, among those the system was trained on when it judged that one.

    Parameters
    ----------
    dataset : DataSet
    features : numpy.ndarray
        float, (N, D): a system's embeddings, or `leuk.data.maps.image_features`.
    row : int
    verdicts : Verdicts, optional
        Its `folds` say what was training then: every other fold. Without it all other rows are candidates.
    count : int
    """
    raise NotImplementedError


def wilson(successes: int, total: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share; (nan, nan) of nothing."""
    raise NotImplementedError

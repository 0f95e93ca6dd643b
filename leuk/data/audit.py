"""Everything that is checked about a data set, and about a system's predictions on it, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leuk.data.balance import Balance
from leuk.data.datasets import DataSet, Progress
from leuk.data.duplicates import Duplicates
from leuk.data.labels import LabelErrors
from leuk.data.measures import Measures
from leuk.data.mistakes import Mistakes, PredictionTable, Verdicts
from leuk.data.shortcuts import FixedContent, Shortcut
from leuk.data.slices import Slice

SEVERITIES = ("serious", "warning", "note")
"""Serious: a score on this set can't be believed as it stands; warning: it may mislead; note: good to know."""


@dataclass(frozen=True)
class Finding:
    """Something found, and the images that show it.

    Attributes
    ----------
    key : str
        Stable name, such as "duplicates.cross_fold".
    section : str
        "balance", "errors", "traps", "labels", "slices" or "files".
    severity : str
        Of `SEVERITIES`.
    title : str
        One line.
    explanation : str
        What it means and what to do, a few plain sentences.
    rows : tuple of int
        Images that show it, the most telling first; may be empty.
    figures : dict of str to float
        The numbers behind it.
    """

    key: str
    section: str
    severity: str
    title: str
    explanation: str
    rows: tuple[int, ...] = ()
    figures: dict[str, float] | None = None


@dataclass(frozen=True, eq=False)
class Audit:
    """All that was found.

    Attributes
    ----------
    dataset : DataSet
    findings : tuple of Finding
        Serious first.
    balance : Balance
    measures : Measures or None
        None, as the three that follow, where the images are absent.
    duplicates : Duplicates or None
    shortcuts : tuple of Shortcut
    fixed : tuple of FixedContent
    verdicts : Verdicts or None
        None, as the four that follow, without predictions.
    confusion : numpy.ndarray or None
    mistakes : Mistakes or None
    labels : LabelErrors or None
    slices : tuple of Slice
    without_duplicates : tuple of float or None
        Accuracy with all rows, and with one row of each group of duplicates.
    seconds : float
        How long it took.
    """

    dataset: DataSet
    findings: tuple[Finding, ...]
    balance: Balance
    measures: Measures | None = None
    duplicates: Duplicates | None = None
    shortcuts: tuple[Shortcut, ...] = ()
    fixed: tuple[FixedContent, ...] = ()
    verdicts: Verdicts | None = None
    confusion: np.ndarray | None = None
    mistakes: Mistakes | None = None
    labels: LabelErrors | None = None
    slices: tuple[Slice, ...] = ()
    without_duplicates: tuple[float, float] | None = None
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return everything but features as what JSON can hold, files by name."""
        raise NotImplementedError


def audit(
    dataset: DataSet,
    predictions: PredictionTable | None = None,
    progress: Progress | None = None,
    keep: bool = True,
) -> Audit:
    """Check a data set, and a system's predictions on it.

    Parameters
    ----------
    dataset : DataSet
        Where it has no folder, what needs images is left out and a finding says so.
    predictions : PredictionTable, optional
        Out of fold, as `leuk.training.predictions.read_predictions` gives them.
    progress : callable, optional
    keep : bool
        Whether to recall and keep results in the cache folder, see `leuk.data.measures`.

    Returns
    -------
    Audit
    """
    raise NotImplementedError


def capture_order(dataset: DataSet, verdicts: Verdicts | None = None) -> list[tuple[int, Sequence[int]]]:
    """Return per class its rows in the order of the numbers in their names, which is the order of capture as published.

    For the strip that shows right and wrong in that order.
    """
    raise NotImplementedError

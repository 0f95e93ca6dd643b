"""Probable label errors from out-of-fold probabilities, by confident learning.

References
----------
C. G. Northcutt, L. Jiang, I. L. Chuang, "Confident learning: estimating uncertainty in dataset labels", J. Artif.
Intell. Res. 70 (2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leuk.data.datasets import DataSet
from leuk.data.mistakes import Verdicts


@dataclass(frozen=True, eq=False)
class LabelErrors:
    """Suspicious labels, the most suspicious first.

    Attributes
    ----------
    rows : numpy.ndarray
        int64, (M,): rows whose label confident learning doubts.
    suggested : numpy.ndarray
        int64, (M,): the class that they look like.
    margin : numpy.ndarray
        float64, (M,): p(label) - p(suggested), -1 … 0; the lower, the more suspicious.
    joint : numpy.ndarray
        int64, (C, C): the confident joint, rows label, columns probable true class.
    thresholds : numpy.ndarray
        float64, (C,): mean p(class) of the images labelled so, from which on a prediction counts as
        confident; nan for a class without images.
    quality : numpy.ndarray
        float64, (N,): p(label) of every row, its self-confidence; nan where there is no prediction.
    ranking : numpy.ndarray
        int64: every row that has a prediction, by rising margin of p(label) over the likeliest other class.
    """

    rows: np.ndarray
    suggested: np.ndarray
    margin: np.ndarray
    joint: np.ndarray
    thresholds: np.ndarray
    quality: np.ndarray
    ranking: np.ndarray


def doubted(dataset: DataSet, verdicts: Verdicts) -> LabelErrors:
    """Rank probable label errors of a data set; labels that the system doesn't know are not doubted."""
    return find_label_errors(dataset.labels, np.where(verdicts.known[:, None], verdicts.probabilities, np.nan))


def find_label_errors(labels: np.ndarray, probabilities: np.ndarray) -> LabelErrors:
    """Rank probable label errors.

    Parameters
    ----------
    labels : numpy.ndarray
        int64, (N,).
    probabilities : numpy.ndarray
        float, (N, C), of models that did not see the row in training; rows of nan are passed over.
    """
    count = probabilities.shape[1]
    usable = np.flatnonzero(np.isfinite(probabilities).all(1) & (labels >= 0))
    given, p = labels[usable], probabilities[usable]
    quality = np.full(len(labels), np.nan)
    quality[usable] = p[np.arange(len(usable)), given]
    others = p.copy()
    others[np.arange(len(usable)), given] = -1.0
    gap = p[np.arange(len(usable)), given] - others.max(1, initial=-1.0)
    # A class without images has no mean: nothing can be confidently of it.
    thresholds = np.array(
        [p[given == label, label].mean() if (given == label).any() else np.inf for label in range(count)]
    )
    confident = p >= thresholds - 1e-9
    # Where several classes pass, the likeliest of them counts.
    likely = np.where(confident, p, -1.0).argmax(1)
    sure = confident.any(1)
    joint = np.zeros((count, count), np.int64)
    np.add.at(joint, (given[sure], likely[sure]), 1)
    doubtful = np.flatnonzero(sure & (likely != given))
    margin = p[doubtful, given[doubtful]] - p[doubtful, likely[doubtful]]
    # With a threshold far below another class's, what is less likely than the label can pass; that is no evidence.
    against = margin < 0
    doubtful, margin = doubtful[against], margin[against]
    order = np.argsort(margin, kind="stable")
    return LabelErrors(
        rows=usable[doubtful[order]],
        suggested=likely[doubtful[order]],
        margin=margin[order],
        joint=joint,
        thresholds=np.where(np.isfinite(thresholds), thresholds, np.nan),
        quality=quality,
        ranking=usable[np.argsort(gap, kind="stable")],
    )

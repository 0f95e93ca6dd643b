"""Probable label errors from out-of-fold probabilities, by confident learning.

References
----------
C. G. Northcutt, L. Jiang, I. L. Chuang, "Confident learning: estimating uncertainty in dataset labels", J. Artif.
Intell. Res. 70 (2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
        float64, (C,): mean p(class) of the images labelled so, from which on a prediction counts as confident.
    quality : numpy.ndarray
        float64, (N,): p(label) of every row, its self-confidence; nan where there is no prediction.
    """

    rows: np.ndarray
    suggested: np.ndarray
    margin: np.ndarray
    joint: np.ndarray
    thresholds: np.ndarray
    quality: np.ndarray


def find_label_errors(labels: np.ndarray, probabilities: np.ndarray) -> LabelErrors:
    """Rank probable label errors.

    Parameters
    ----------
    labels : numpy.ndarray
        int64, (N,).
    probabilities : numpy.ndarray
        float, (N, C), of models that did not see the row in training; rows of nan are passed over.
    """
    raise NotImplementedError

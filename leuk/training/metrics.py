"""Figures of merit, with intervals by bootstrap over groups, and calibration."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Metric = Callable[[np.ndarray, np.ndarray], float]
"""From labels (N,) and probabilities (N, C) to one figure."""


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return counts, int (classes, classes), rows true, columns predicted."""
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the share of fields whose likeliest class is the true one."""
    return float((probabilities.argmax(1) == labels).mean())


def recalls(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return each class's recall, (C,); nan for a class that does not occur."""
    counts = confusion(labels, probabilities.argmax(1), probabilities.shape[1])
    total = counts.sum(1)
    return np.where(total > 0, np.diag(counts) / np.maximum(total, 1), np.nan)


def balanced_accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean recall of the classes that occur."""
    return float(np.nanmean(recalls(labels, probabilities)))


def macro_f1(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean F1 of the classes that occur."""
    counts = confusion(labels, probabilities.argmax(1), probabilities.shape[1])
    occurs = counts.sum(1) > 0
    scores = 2 * np.diag(counts) / np.maximum(counts.sum(0) + counts.sum(1), 1)
    return float(scores[occurs].mean())


def benign_recall(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the recall of the first class, benign."""
    return float(recalls(labels, probabilities)[0])


def malignant_sensitivity(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the share of malignant fields, of any subtype, that are called malignant, of any subtype."""
    malignant = labels > 0
    return float((probabilities[malignant].argmax(1) > 0).mean()) if malignant.any() else float("nan")


def malignant_auroc(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the area under the ROC curve of malignant against benign by 1 - p(benign), ties counted half."""
    score, malignant = 1 - probabilities[:, 0], labels > 0
    order = np.argsort(score, kind="stable")
    _, inverse, counts = np.unique(score[order], return_inverse=True, return_counts=True)
    ranks = np.empty(len(score))
    ranks[order] = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positives, negatives = int(malignant.sum()), int((~malignant).sum())
    if not positives or not negatives:
        return float("nan")
    return float((ranks[malignant].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> float:
    """Return the expected calibration error of the likeliest class, 0 … 1, over bins of equal width.

    References
    ----------
    C. Guo et al., On calibration of modern neural networks, ICML 2017.
    """
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == labels
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(right[which == b].mean() - confidence[which == b].mean()) * (which == b).mean() for b in np.unique(which)
    ]
    return float(sum(gaps))


def brier(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean squared distance between probabilities and truth over all classes, 0 … 2."""
    return float(((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(1).mean())


def group_interval(
    metric: Metric, labels: np.ndarray, probabilities: np.ndarray, groups: np.ndarray, draws: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Return a 95 % interval of a metric by bootstrap over whole groups.

    Fields of one group resemble each other, so drawing single fields would make intervals too narrow.

    Parameters
    ----------
    metric : callable
    labels : numpy.ndarray
        int, (N,).
    probabilities : numpy.ndarray
        (N, C).
    groups : numpy.ndarray
        int, (N,).
    draws : int
    seed : int

    Returns
    -------
    tuple of float
        2.5th and 97.5th percentiles.
    """
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    figures = []
    for _ in range(draws):
        chosen = np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
        figures.append(metric(labels[chosen], probabilities[chosen]))
    low, high = np.nanpercentile(figures, [2.5, 97.5])
    return float(low), float(high)


def fit_temperature(labels: np.ndarray, logits: np.ndarray) -> float:
    """Return the temperature, 0.05 … 20, that gives the least negative log-likelihood.

    References
    ----------
    C. Guo et al., On calibration of modern neural networks, ICML 2017.
    """

    def loss(log_temperature: float) -> float:
        scaled = logits.astype(np.float64) / np.exp(log_temperature)
        scaled -= scaled.max(1, keepdims=True)
        return float((np.log(np.exp(scaled).sum(1)) - scaled[np.arange(len(labels)), labels]).mean())

    low, high = np.log(0.05), np.log(20.0)
    ratio = (5**0.5 - 1) / 2
    # The loss is convex in 1 / T, hence has one minimum in log T: a golden-section search finds it.
    while high - low > 1e-4:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))

"""Figures of merit, with intervals by bootstrap over groups, and calibration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from leuk.probability import softmax

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


# ---- all figures at once, with intervals --------------------------------------------------------------------------


def cross_temperatures(labels: np.ndarray, logits: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Return logits divided by temperatures that were fitted on the other folds.

    Parameters
    ----------
    labels : numpy.ndarray
        int, (N,).
    logits : numpy.ndarray
        (N, C).
    folds : numpy.ndarray
        int, (N,); with one fold alone nothing can be fitted elsewhere, and the logits come back as they are.

    Returns
    -------
    numpy.ndarray
        float64, (N, C).
    """
    scaled = logits.astype(np.float64)
    for fold in np.unique(folds):
        others = folds != fold
        if others.any():
            scaled[~others] /= fit_temperature(labels[others], logits[others])
    return scaled


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> np.ndarray:
    """Return the reliability curve of the likeliest class.

    Returns
    -------
    numpy.ndarray
        float64, (bins, 3): number of fields, mean confidence and accuracy of each bin of equal width; nan where empty.
    """
    sums = _calibration_sums(labels, probabilities, bins)
    with np.errstate(invalid="ignore"):
        return np.stack([sums[:, 2], sums[:, 1] / sums[:, 2], sums[:, 0] / sums[:, 2]], axis=1)


def _calibration_sums(labels: np.ndarray, probabilities: np.ndarray, bins: int) -> np.ndarray:
    """Return by bin the sums of right, confidence and one: (bins, 3)."""
    sums = np.zeros((bins, 3))
    np.add.at(sums, *_calibration_parts(labels, probabilities, bins))
    return sums


def _calibration_parts(labels: np.ndarray, probabilities: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == labels
    return np.minimum((confidence * bins).astype(int), bins - 1), np.stack(
        [right, confidence, np.ones(len(labels))], axis=1
    )


def sensitivity_at_specificity(labels: np.ndarray, score: np.ndarray, specificity: float = 0.95) -> float:
    """Return the greatest sensitivity of a threshold on a score that keeps a specificity.

    Parameters
    ----------
    labels : numpy.ndarray
        bool, or 0 and 1, (N,): positive.
    score : numpy.ndarray
        float, (N,): higher for positive.
    specificity : float
        At least, 0 … 1.

    Returns
    -------
    float
        nan if one of both kinds is missing.
    """
    positive = np.asarray(labels, bool)
    return float(_ranked(np.ones((1, len(positive))), positive, score, specificity)[1][0])


def _ranked(
    weights: np.ndarray, positive: np.ndarray, score: np.ndarray, specificity: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return AUROC and sensitivity at a specificity for each row of the fields' weights, (D, N)."""
    order = np.argsort(-score, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(score[order]) != 0])
    # Fields of one score are called together: counts run over distinct scores, from the highest.
    ups = np.add.reduceat(weights[:, order] * positive[order], starts, axis=1)
    downs = np.add.reduceat(weights[:, order] * ~positive[order], starts, axis=1)
    up, down = ups.sum(1), downs.sum(1)
    above = np.cumsum(ups, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        area = (downs * (above - ups / 2)).sum(1) / (up * down)
        kept = np.cumsum(downs, 1) <= (1 - specificity) * down[:, None] + 1e-9
        caught = np.where(kept, above, 0).max(1) / up
        return area, np.where(down > 0, caught, np.nan)


def all_figures(
    labels: np.ndarray,
    logits: np.ndarray,
    classes: Sequence[str],
    folds: np.ndarray,
    groups: np.ndarray,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Return every figure of merit of out-of-fold predictions, with 95 % intervals by bootstrap over whole groups.

    Sums over fields are taken by group once; a draw is then a vector of how often each group was drawn.

    Parameters
    ----------
    labels : numpy.ndarray
        int, (N,).
    logits : numpy.ndarray
        (N, C), or logarithms of probabilities.
    classes : sequence of str
        C keys; benign is found by its name, all others are malignant.
    folds, groups : numpy.ndarray
        int, (N,).
    draws, seed : int

    Returns
    -------
    dict
        ``{"value", "interval"}`` for accuracy, balanced_accuracy, macro_f1, benign_recall, malignant_sensitivity,
        malignant_specificity, malignant_auroc, sensitivity_at_95_specificity, ece_before, ece, brier_before, brier and,
        under ``per_class`` and a class's key, precision, recall and f1; also ``confusion``, ``temperature`` and
        ``reliability`` before and after scaling. A figure that the fields can't give is None. The intervals of
        calibration errors are moved by what drawing alone adds to them, B. Efron and R. Tibshirani, An Introduction to
        the Bootstrap, 1993, chapter 10.
    """
    count, benign = len(classes), list(classes).index("benign")
    rng = np.random.default_rng(seed)
    names, group = np.unique(groups, return_inverse=True)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws).astype(np.float64)
    weights = np.concatenate([np.ones((1, len(names))), drawn])  # the first row is the fields as they are
    before, after = softmax(logits), softmax(cross_temperatures(labels, logits, folds))

    by_group = np.zeros((len(names), count, count))
    np.add.at(by_group, (group, labels, before.argmax(1)), 1)
    counts = np.tensordot(weights, by_group, 1)
    figures = _count_figures(counts, classes, benign)

    positive = labels != benign
    # Ranked as they are: temperatures of several folds would change the order between fields of different folds.
    figures["malignant_auroc"], figures["sensitivity_at_95_specificity"] = _ranked(
        weights[:, group], positive, 1 - before[:, benign], 0.95
    )
    total = counts.sum((1, 2))
    for suffix, probabilities in (("_before", before), ("", after)):
        distance = ((probabilities - np.eye(count)[labels]) ** 2).sum(1)
        figures[f"brier{suffix}"] = weights @ np.bincount(group, distance, len(names)) / total
        which, parts = _calibration_parts(labels, probabilities, 15)
        sums = np.zeros((len(names), 15, 3))
        np.add.at(sums, (group, which), parts)
        binned = np.tensordot(weights, sums, 1)
        error = np.abs(binned[..., 0] - binned[..., 1]).sum(1) / total
        # Chance adds to a sum of absolute differences: of what is drawn again, every error is the larger for it.
        error[1:] = np.maximum(error[1:] - (error[1:].mean() - error[0]), 0)
        figures[f"ece{suffix}"] = error

    told: dict[str, Any] = {"fields": len(labels)}
    for name, values in figures.items():
        place = told
        if ":" in name:
            kind, figure = name.split(":")
            place, name = told.setdefault("per_class", {}).setdefault(kind, {}), figure
        place[name] = _told(values)
    told["confusion"] = by_group.sum(0).astype(int).tolist()
    told["temperature"] = round(fit_temperature(labels, logits), 4)
    told["reliability"] = {
        key: [[None if np.isnan(v) else round(float(v), 4) for v in row] for row in reliability(labels, p)]
        for key, p in (("before", before), ("after", after))
    }
    return told


def share(right: np.ndarray, groups: np.ndarray, draws: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Return a share of fields, with its interval by bootstrap over whole groups.

    Parameters
    ----------
    right : numpy.ndarray
        bool, (N,), of one field at least.
    groups : numpy.ndarray
        int, (N,).
    draws, seed : int

    Returns
    -------
    dict
        ``value`` and ``interval``.
    """
    rng = np.random.default_rng(seed)
    names, group = np.unique(groups, return_inverse=True)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    weights = np.concatenate([np.ones((1, len(names))), drawn])
    sums, total = np.bincount(group, right, len(names)), np.bincount(group, minlength=len(names))
    return _told(weights @ sums / (weights @ total)) or {}


def _count_figures(counts: np.ndarray, classes: Sequence[str], benign: int) -> dict[str, np.ndarray]:
    """Return figures of confusion counts, (D, C, C), rows true: arrays (D,)."""
    hits, true, said = np.diagonal(counts, axis1=1, axis2=2), counts.sum(2), counts.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall, precision, f1 = hits / true, hits / said, 2 * hits / (true + said)
        occurs = true > 0
        figures = {
            "accuracy": hits.sum(1) / true.sum(1),
            "balanced_accuracy": np.where(occurs, recall, 0).sum(1) / occurs.sum(1),
            "macro_f1": np.where(occurs, f1, 0).sum(1) / occurs.sum(1),
            "benign_recall": recall[:, benign],
        }
        bad = [i for i in range(len(classes)) if i != benign]
        figures["malignant_sensitivity"] = counts[:, bad][:, :, bad].sum((1, 2)) / true[:, bad].sum(1)
        figures["malignant_specificity"] = recall[:, benign]
    for i, name in enumerate(classes):
        figures |= {f"{name}:precision": precision[:, i], f"{name}:recall": recall[:, i], f"{name}:f1": f1[:, i]}
    return figures


def _told(values: np.ndarray) -> dict[str, Any] | None:
    """Return the first of the values and the interval of the rest."""
    if np.isnan(values[0]):
        return None
    low, high = np.nanpercentile(values[1:], [2.5, 97.5])
    return {"value": round(float(values[0]), 4), "interval": [round(float(low), 4), round(float(high), 4)]}

"""Figures of merit against values worked out by hand or by scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from leuk.classification import softmax
from leuk.training import metrics


@pytest.fixture(scope="module")
def scored() -> tuple[np.ndarray, np.ndarray]:
    """Labels of 300 fields and probabilities that are right more often than not."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 4, 300)
    logits = rng.normal(size=(300, 4)) + 2 * np.eye(4)[labels]
    return labels, softmax(logits, 1.0)


def test_against_scikit_learn(scored: tuple[np.ndarray, np.ndarray]) -> None:
    labels, p = scored
    predicted = p.argmax(1)
    assert metrics.accuracy(labels, p) == pytest.approx(reference.accuracy_score(labels, predicted))
    assert metrics.macro_f1(labels, p) == pytest.approx(reference.f1_score(labels, predicted, average="macro"))
    assert metrics.balanced_accuracy(labels, p) == pytest.approx(reference.balanced_accuracy_score(labels, predicted))
    assert metrics.malignant_auroc(labels, p) == pytest.approx(reference.roc_auc_score(labels > 0, 1 - p[:, 0]))
    np.testing.assert_array_equal(
        metrics.confusion(labels, predicted, 4), reference.confusion_matrix(labels, predicted)
    )


def test_ties_count_half() -> None:
    assert metrics.malignant_auroc(np.array([0, 1, 0, 1]), np.full((4, 2), 0.5)) == pytest.approx(0.5)


def test_calibration_error_of_known_cases() -> None:
    sure = np.tile([1.0, 0.0], (10, 1))
    assert metrics.calibration_error(np.zeros(10, int), sure) == pytest.approx(0)
    assert metrics.calibration_error(np.array([0] * 7 + [1] * 3), sure) == pytest.approx(0.3)
    assert metrics.brier(np.array([0] * 7 + [1] * 3), sure) == pytest.approx(0.6)


def test_temperature_is_recovered() -> None:
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(20_000, 4)) * 2
    labels = np.array([rng.choice(4, p=row) for row in softmax(logits, 1.0)])
    assert metrics.fit_temperature(labels, logits * 3) == pytest.approx(3, rel=0.05)


def test_interval_widens_when_fields_of_a_group_agree() -> None:
    rng = np.random.default_rng(0)
    right = np.repeat(rng.random(20) < 0.7, 20)
    labels, p = np.zeros(400, int), np.where(right[:, None], [[1.0, 0.0]], [[0.0, 1.0]])
    grouped = metrics.group_interval(metrics.accuracy, labels, p, np.repeat(np.arange(20), 20))
    single = metrics.group_interval(metrics.accuracy, labels, p, np.arange(400))
    assert grouped[0] < single[0] < metrics.accuracy(labels, p) < single[1] < grouped[1]

"""Figures of merit against values worked out by hand or by scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from leuk.probability import softmax
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


def test_sensitivity_at_a_specificity_against_scikit_learn(scored: tuple[np.ndarray, np.ndarray]) -> None:
    labels, p = scored
    fpr, tpr, _ = reference.roc_curve(labels > 0, 1 - p[:, 0], drop_intermediate=False)
    found = metrics.sensitivity_at_specificity(labels > 0, 1 - p[:, 0], 0.95)
    assert found == pytest.approx(tpr[fpr <= 0.05].max())


@pytest.mark.parametrize(
    ("score", "expected"),
    [([0.1, 0.2, 0.8, 0.9], 1.0), ([0.8, 0.9, 0.1, 0.2], 0.0), ([0.5] * 4, 0.0), ([0.1, 0.5, 0.4, 0.6], 0.5)],
)
def test_sensitivity_at_full_specificity(score: list[float], expected: float) -> None:
    positive = np.array([False, False, True, True])
    assert metrics.sensitivity_at_specificity(positive, np.array(score), 1.0) == expected
    assert metrics.sensitivity_at_specificity(positive.astype(int), np.array(score), 1.0) == expected


def test_all_figures_against_scikit_learn(scored: tuple[np.ndarray, np.ndarray]) -> None:
    labels, p = scored
    folds, groups = np.arange(300) % 5, np.arange(300) // 10
    classes = ("benign", "early_pre_b", "pre_b", "pro_b")
    told = metrics.all_figures(labels, np.log(p), classes, folds, groups, draws=50)
    predicted = p.argmax(1)
    precision, recall, f1, _ = reference.precision_recall_fscore_support(labels, predicted)
    for i, name in enumerate(classes):
        row = told["per_class"][name]
        assert [row[key]["value"] for key in ("precision", "recall", "f1")] == pytest.approx(
            [precision[i], recall[i], f1[i]], abs=1e-4
        )
    assert told["accuracy"]["value"] == pytest.approx(metrics.accuracy(labels, p), abs=1e-4)
    assert told["macro_f1"]["value"] == pytest.approx(f1.mean(), abs=1e-4)
    assert told["brier_before"]["value"] == pytest.approx(metrics.brier(labels, p), abs=1e-4)
    assert told["ece_before"]["value"] == pytest.approx(metrics.calibration_error(labels, p), abs=1e-4)
    caught = reference.recall_score(labels > 0, predicted > 0)
    assert told["malignant_sensitivity"]["value"] == pytest.approx(caught, abs=1e-4)
    assert told["malignant_specificity"]["value"] == pytest.approx(recall[0], abs=1e-4)
    area = reference.roc_auc_score(labels > 0, 1 - p[:, 0])
    assert told["malignant_auroc"]["value"] == pytest.approx(area, abs=1e-4), "ranked before temperatures of folds"
    assert told["confusion"] == reference.confusion_matrix(labels, predicted).tolist()
    assert sum(row[0] for row in told["reliability"]["before"]) == 300


def test_the_fast_interval_is_that_of_drawing_groups(scored: tuple[np.ndarray, np.ndarray]) -> None:
    labels, p = scored
    groups = np.arange(300) // 15
    told = metrics.all_figures(labels, np.log(p), ("benign", "a", "b", "c"), np.arange(300) % 5, groups, draws=4000)
    for name, metric in (("accuracy", metrics.accuracy), ("macro_f1", metrics.macro_f1)):
        slow = metrics.group_interval(metric, labels, p, groups, draws=1000)
        assert told[name]["interval"] == pytest.approx(slow, abs=0.008)
    right = metrics.share(p.argmax(1) == labels, groups, draws=4000)
    assert right["interval"] == pytest.approx(told["accuracy"]["interval"], abs=0.008)


def test_scaling_mends_overconfidence_with_what_other_folds_say() -> None:
    rng = np.random.default_rng(3)
    truth = rng.normal(size=(4000, 3)) * 1.5
    p = np.exp(truth) / np.exp(truth).sum(1, keepdims=True)
    labels = np.array([rng.choice(3, p=row) for row in p])
    told = metrics.all_figures(
        labels, truth * 4, ("benign", "a", "b"), np.arange(4000) % 5, np.arange(4000) // 4, draws=20
    )
    assert told["temperature"] == pytest.approx(4, rel=0.1)
    assert told["ece_before"]["value"] > 0.1 > 0.03 > told["ece"]["value"]
    assert told["brier"]["value"] < told["brier_before"]["value"]


def test_a_calibration_error_lies_within_its_interval() -> None:
    rng = np.random.default_rng(5)
    p = softmax(rng.normal(size=(400, 3)) * 1.5, 1.0)
    labels = np.array([rng.choice(3, p=row) for row in p])
    told = metrics.all_figures(labels, np.log(p), ("benign", "a", "b"), np.arange(400) % 5, np.arange(400), draws=300)
    for name in ("ece_before", "ece"):
        low, high = told[name]["interval"]
        assert 0 <= low < told[name]["value"] < high
        # What drawing adds is taken off at both ends.
        assert high - told[name]["value"] < 2.5 * (told[name]["value"] - low)


def test_figures_that_fields_cannot_give_are_none() -> None:
    told = metrics.all_figures(
        np.ones(6, int), np.tile([0.0, 1.0], (6, 1)), ("benign", "malignant"), np.zeros(6, int), np.arange(6), draws=10
    )
    assert told["malignant_auroc"] is None
    assert told["benign_recall"] is None
    assert told["accuracy"] == {"value": 1.0, "interval": [1.0, 1.0]}

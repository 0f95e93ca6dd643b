"""Predictions laid beside files; thresholds, confusion cells and slices as pure functions of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from leuk.data.datasets import DataSet, taleqani
from leuk.data.inspection import Table
from leuk.data.labels import find_label_errors
from leuk.data.mistakes import (
    align,
    cell_rows,
    confusion,
    mistakes,
    nearest,
    operate,
    resting_on,
    share_intervals,
    wilson,
)
from leuk.data.slices import find_slices
from leuk.errors import DataError
from leuk.training.predictions import read_predictions, shipped
from leuk.training.results import figures_of

CLASSES = ("benign", "early_pre_b", "pro_b")


def _set(labels: list[int], **columns: object) -> DataSet:
    files = tuple(f"Original/C/{index}.jpg" for index in range(len(labels)))
    return DataSet("x", files, CLASSES, np.array(labels, np.int64), **columns)  # type: ignore[arg-type]


def _table(files: tuple[str, ...], p: np.ndarray, classes: tuple[str, ...] = CLASSES) -> Table:
    return Table("net", "grouped", files, classes, np.arange(len(files)) % 2, p)


P = np.array([[0.9, 0.1, 0], [0.2, 0.7, 0.1], [0.6, 0.1, 0.3], [0.1, 0.1, 0.8], [0.1, 0.2, 0.7], [0.3, 0.6, 0.1]])
LABELS = [0, 0, 1, 1, 2, 0]


def test_errors_are_sorted_by_kind_and_confidence() -> None:
    data = _set(LABELS)
    verdicts = align(data, _table(data.files, P))
    found = mistakes(data, verdicts)
    assert found.false_alarms.tolist() == [1, 5], "0.8 malignant before 0.7"
    assert found.misses.tolist() == [2] and found.confused.tolist() == [3]
    assert confusion(data, verdicts).tolist() == [[1, 2, 0], [1, 0, 1], [0, 0, 1]]
    assert cell_rows(data, verdicts, 0, 1).tolist() == [1, 5]
    assert mistakes(data, verdicts, threshold=0.75).false_alarms.tolist() == [1]
    assert mistakes(data, verdicts, threshold=0.3).misses.tolist() == []


@pytest.mark.parametrize("threshold", np.linspace(0, 1, 11) + 0.01)
def test_a_threshold_moves_both_counts(threshold: float) -> None:
    data = _set(LABELS)
    at = operate(data, align(data, _table(data.files, P)), threshold)
    malignant = 1 - P[:, 0] >= threshold
    truly = np.array(LABELS) > 0
    assert at.false_alarms == (malignant & ~truly).sum() and at.misses == (~malignant & truly).sum()
    assert at.sensitivity == pytest.approx((malignant & truly).sum() / truly.sum())
    assert at.specificity == pytest.approx((~malignant & ~truly).sum() / (~truly).sum())
    assert at.sensitivity_interval[0] <= at.sensitivity <= at.sensitivity_interval[1]


def test_names_are_matched_by_their_end() -> None:
    data = _set(LABELS)
    verdicts = align(data, _table(tuple(name.removeprefix("Original/") for name in data.files[::-1]), P[::-1]))
    assert np.allclose(verdicts.probabilities, P) and verdicts.problems == ()


def test_a_whole_name_goes_before_one_that_ends_alike() -> None:
    files = ("Original/benign/1.jpg", "Original/pre/2.jpg")
    data = DataSet("x", files, CLASSES, np.array([0, 1], np.int64))
    listed = ("Augmented/1.jpg", "Augmented/benign/1.jpg", *files)
    verdicts = align(data, _table(listed, P[[3, 4, 0, 1]]))
    assert np.allclose(verdicts.probabilities, P[:2])
    assert verdicts.problems == ("net predicts 2 files, such as Augmented/1.jpg, which are not in this set.",)
    nearer = align(data, _table(listed[:2], P[[3, 0]]))
    assert np.allclose(nearer.probabilities[0], P[0]), "what shares more of the name goes before what shares less"


def test_what_does_not_fit_is_named_and_the_rest_goes_on() -> None:
    data = _set(LABELS)
    verdicts = align(data, _table((*data.files[:3], "Original/C/nowhere.jpg"), P[:4]))
    assert verdicts.known.tolist() == [True] * 3 + [False] * 3 and verdicts.predicted[3] == -1
    assert any("nowhere.jpg, which is not in this set" in problem for problem in verdicts.problems)
    assert any(problem.startswith("3 images have no prediction") for problem in verdicts.problems)
    assert confusion(data, verdicts).sum() == 3
    alone = align(data, _table(data.files[:5], P[:5])).problems
    assert alone == (f"1 image has no prediction of net: {data.files[5]}.",)


def test_what_is_shipped_for_the_public_set_says_nothing_of_fields_that_are_not_here() -> None:
    listed = taleqani()
    here = listed.subset(np.arange(0, len(listed), 20))
    p = np.full((len(listed), 4), 0.25)
    assert align(here, Table("net", "grouped", listed.files, listed.classes, np.zeros(len(listed)), p)).problems == ()
    more = (*listed.files, "Original/Pro/mine.jpg")
    told = align(
        here, Table("net", "grouped", more, listed.classes, np.zeros(len(more)), np.full((len(more), 4), 0.25))
    )
    assert told.problems == ("net predicts Original/Pro/mine.jpg, which is not in this set.",)


def test_two_classes_without_leukaemia_are_not_told_apart() -> None:
    data = DataSet("x", ("a.jpg", "b.jpg"), ("benign", "malignant"), np.array([0, 1], np.int64))
    with pytest.raises(DataError, match="benign and normal, which both mean"):
        align(data, _table(data.files, P[:2], ("benign", "normal", "pre")))


def test_classes_that_one_side_does_not_know() -> None:
    data = _set(LABELS)
    p = P.copy()
    p[3] = [0.3, 0.4, 0.3]
    verdicts = align(data, _table(data.files, p, ("benign", "early_pre_b", "hairy")))
    assert np.allclose(verdicts.probabilities[1], [0.2, 0.7, 0]), "what went to hairy is nobody else's"
    at = operate(data, verdicts, 0.65)
    assert at.misses == 1 and at.false_alarms == 2, "malignant is all that is not benign"
    assert not verdicts.known[4], "an image of a class that the system can't name is no error"
    assert any("does not know the class pro_b; its 1 image is not" in problem for problem in verdicts.problems)
    assert any("hairy" in problem for problem in verdicts.problems)
    with pytest.raises(DataError, match="net calls 2 images hairy, which x has not"):
        align(data, _table(data.files, P, ("benign", "early_pre_b", "hairy")))
    p[3] = [0.3, 0.4, 0.3]
    p[4] = [0.1, 0.2, 0.7]
    verdicts = align(data, _table(data.files, p, ("benign", "early_pre_b", "hairy")), "Net, four classes")
    assert verdicts.system == "net"
    assert "no image is called that but 1 of a class that Net, four classes does not know." in verdicts.problems[0]
    with pytest.raises(DataError, match="knows none of this set's classes"):
        align(data, _table(data.files, P[:, :2], ("cat", "dog")))
    with pytest.raises(DataError, match="None of the 1 predictions"):
        align(data, _table(("other.jpg",), P[:1]))


def test_subtypes_count_together_where_a_set_knows_only_malignant() -> None:
    files = tuple(f"{index}.png" for index in range(6))
    data = DataSet("x", files, ("benign", "malignant"), np.minimum(LABELS, 1))
    verdicts = align(data, _table(files, P))
    assert np.allclose(verdicts.probabilities, np.column_stack([P[:, 0], P[:, 1] + P[:, 2]]))
    assert confusion(data, verdicts).tolist() == [[1, 2], [1, 2]]
    assert "early_pre_b, pro_b counts as malignant" in verdicts.problems[0]


def test_not_benign_is_not_malignant_beside_other_cells() -> None:
    classes = ("normal", "blast", "reactive")
    data = DataSet("x", tuple(f"{i}.jpg" for i in range(6)), classes, np.array(LABELS, np.int64))
    verdicts = align(data, _table(data.files, P, classes))
    found = mistakes(data, verdicts)
    assert not len(found.false_alarms) and not len(found.misses) and sorted(found.confused) == [1, 2, 3, 5]
    assert all(one.sensitivity is None for one in find_slices(data, verdicts, least=1))
    two = DataSet("x", data.files, ("benign", "malignant"), np.minimum(LABELS, 1))
    with pytest.raises(DataError, match="calls 1 image reactive"):
        p = np.array([[0.9, 0.1, 0.0]] * 5 + [[0.1, 0.2, 0.7]])
        align(two, _table(data.files, p, ("benign", "malignant", "reactive")))


def test_nearest_come_from_training() -> None:
    data = _set(LABELS, session=np.array([0, 0, 1, 1, 2, -1]))
    verdicts = align(data, _table(data.files, P))  # folds 0 1 0 1 0 1
    features = np.arange(6, dtype=float)[:, None] * [1.0, 2.0]
    near = nearest(data, features, 0, verdicts, 2)
    assert [one.row for one in near] == [1, 3] and [one.same_session for one in near] == [True, False]
    assert nearest(data, features, 5, verdicts, 1)[0].same_session is None


def test_where_sessions_are_known_intervals_rest_on_them() -> None:
    public = taleqani()
    table = read_predictions(shipped()["reader", "grouped"])
    verdicts = align(public, table)
    figures = figures_of(table)
    for name, right, among in (
        ("benign_recall", verdicts.predicted == 0, public.labels == 0),
        ("malignant_sensitivity", verdicts.predicted != 0, public.labels != 0),
    ):
        (found,) = share_intervals(public, verdicts, right[None], among)
        assert found == pytest.approx(figures[name]["interval"], abs=1e-4), "as on Models and the card"
    assert resting_on(public, verdicts) == "by bootstrap over 74 pseudo-sessions"
    alone = replace(public, session=None)
    low, high = operate(alone, verdicts, 0.5).specificity_interval
    assert (low, high) == wilson(operate(alone, verdicts, 0.5).true_benign, 393)
    assert resting_on(alone, verdicts) == "counting images as independent"
    wide = operate(public, verdicts, 0.5).specificity_interval
    assert wide[0] < low, "images of one session are alike"
    assert np.isnan(operate(public, verdicts, 0).sensitivity_interval).all(), "nothing wrong, nothing told"


def test_few_sessions_tell_no_more_than_as_many_independent_images() -> None:
    labels = np.repeat([0, 1], 12)
    files = tuple(f"{row}.png" for row in range(24))
    # One miss in each malignant session: every draw of sessions has the same share.
    data = DataSet("x", files, ("benign", "malignant"), labels, session=np.repeat(np.arange(8), 3))
    p = np.column_stack([1.0 - labels, labels])
    p[12::3] = [1, 0]
    verdicts = align(data, _table(files, p, data.classes))
    (found,) = share_intervals(data, verdicts, verdicts.predicted[None] == 1, labels == 1)
    assert found == wilson(8, 12)


def test_an_image_of_no_session_counts_as_its_own() -> None:
    data = _set(LABELS, session=np.array([-1, -1, 3, 3, -1, -1]))
    verdicts = align(data, _table(data.files, P))
    assert resting_on(data, verdicts) == "by bootstrap over 5 pseudo-sessions"
    none = _set(LABELS, session=np.full(6, -1))
    assert resting_on(none, align(none, _table(none.files, P))) == "counting images as independent"


def test_wilson() -> None:
    low, high = wilson(40, 200)
    assert (round(low, 2), round(high, 2)) == (0.15, 0.26)
    assert np.isnan(wilson(0, 0)).all() and wilson(0, 10)[0] == 0 and wilson(10, 10)[1] == 1


def test_planted_label_errors_lead_the_ranking() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 4, 800)
    logits = rng.normal(0, 1, (800, 4))
    logits[np.arange(800), truth] += 5
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    given, planted = truth.copy(), rng.choice(800, 40, replace=False)
    given[planted] = (truth[planted] + rng.integers(1, 4, 40)) % 4
    found = find_label_errors(given, p)
    assert len(found.rows) >= 30 and np.isin(found.rows[:30], planted).mean() >= 0.9
    assert np.isin(found.ranking[:40], planted).mean() >= 0.9
    assert (found.suggested[:30] == truth[found.rows[:30]]).mean() >= 0.9
    assert (np.diff(found.margin) >= 0).all() and (found.margin < 0).all()
    assert (found.suggested != given[found.rows]).all()
    # Less is doubted where less is wrong.
    assert len(find_label_errors(truth, p).rows) < len(found.rows) - 20


def test_rows_without_prediction_are_passed_over() -> None:
    p = np.array([[0.9, 0.1], [np.nan, np.nan], [0.2, 0.8]])
    found = find_label_errors(np.array([0, 0, 1]), p)
    assert np.isnan(found.quality[1]) and len(found.rows) == 0
    assert len(find_label_errors(np.zeros(0, np.int64), np.zeros((0, 2))).rows) == 0


def test_the_worst_slice_leads() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    session = np.repeat(np.arange(10), 30)
    p = np.full((300, 3), 0.05)
    wrong = (session == 7) & (rng.random(300) < 0.6)
    p[np.arange(300), np.where(wrong, (labels + 1) % 3, labels)] = 0.9
    data = _set(labels.tolist(), session=session)
    found = find_slices(data, align(data, _table(data.files, p)))
    assert found[0].title == "pseudo-session 7" and found[0].rest == 1.0
    assert found[0].interval[0] < found[0].accuracy < found[0].interval[1]
    assert {one.by for one in found} == {"class", "session"}
    assert all(len(one.rows) >= 10 for one in found)


def test_shipped_predictions_fit_the_list() -> None:
    from leuk.training.predictions import read_predictions, shipped

    tables = shipped()
    if not tables:
        pytest.skip("no predictions are shipped")
    data = taleqani()
    for path in tables.values():
        table = read_predictions(path)
        if "malignant" in table.classes:
            with pytest.raises(DataError, match="malignant, which Taleqani has not"):
                align(data, table)
            continue
        verdicts = align(data, table)
        # A table may hold one fold only; but what it holds is of listed fields.
        assert verdicts.known.any() and not any("not in this set" in problem for problem in verdicts.problems)
        found = mistakes(data, verdicts)
        assert len(found.all) == (verdicts.known & (verdicts.predicted != data.labels)).sum()

import gzip
from dataclasses import replace

import numpy as np
import pytest

from leuk.data import inspection
from leuk.data.datasets import DataSet
from leuk.data.mistakes import align, operate
from leuk.errors import DataError
from leuk.segmentation import segment
from leuk.training.predictions import Predictions

CLASSES = ("benign", "early_pre_b", "pre_b")


@pytest.fixture
def dataset():
    labels = np.array([0] * 10 + [1] * 10 + [2] * 10)
    return DataSet("made", tuple(f"{CLASSES[c]}/{i}.png" for i, c in enumerate(labels)), CLASSES, labels)


@pytest.fixture
def verdicts(dataset):
    rng = np.random.default_rng(1)
    p = rng.dirichlet([1, 1, 1], len(dataset))
    table = Predictions("made", "grouped", dataset.files, dataset.labels, np.zeros(30, np.int64), CLASSES, p)
    return align(dataset, table)


def test_the_curve_is_what_single_thresholds_count(dataset, verdicts):
    curve = inspection.operating_curve(dataset, verdicts, 20)
    assert len(curve) == 21
    assert curve[7] == operate(dataset, verdicts, 0.35)
    alarms = [one.false_alarms for one in curve]
    assert alarms == sorted(alarms, reverse=True)
    assert curve[0].false_alarms == 10
    assert curve[0].misses == 0


def test_errors_as_called_add_up(dataset, verdicts):
    found, benign, malignant = inspection.as_called(dataset, verdicts)
    assert (benign, malignant) == (10, 20)
    assert len(found.false_alarms) == (verdicts.predicted[:10] != 0).sum()
    assert len(found.misses) == (verdicts.predicted[10:] == 0).sum()


def test_a_set_without_a_benign_class_has_no_false_alarms(dataset, verdicts):
    with pytest.raises(DataError, match="No class of this set is benign"):
        inspection.as_called(replace(dataset, classes=("a", "b", "c")), verdicts)


def test_a_measure_is_held_against_the_other_images_of_both_classes(dataset):
    values = np.arange(30, dtype=float)
    one = inspection.against("brightness", 3.0, values, dataset.labels, 3, (0, 2, 0))
    assert one.classes == (0, 2)
    assert one.quantiles[0][2] == np.median([0, 1, 2, 4, 5, 6, 7, 8, 9])
    assert one.quantiles[1][2] == np.median(np.arange(20, 30))
    assert inspection.against("brightness", np.nan, values, dataset.labels, 3, (0,)) is None
    assert inspection.against("brightness", 1.0, np.full(30, np.nan), dataset.labels, 3, (0,)) is None


def test_cells_are_summed_up_and_none_is_nan(field):
    found = inspection.cell_measures(segment(field))
    assert set(found) == set(inspection.CELL_MEASURES)
    assert found["cells"] >= 1
    assert 0 < found["nc_ratio"] <= 1
    assert found["nucleus_area"] < found["cell_area"]
    blank = segment(type(field).from_array(np.full((64, 64, 3), 240, np.uint8)))
    empty = inspection.cell_measures(blank)
    assert empty["cells"] == 0
    assert np.isnan(empty["nc_ratio"])


def test_reference_rows_show_every_class_and_stay_the_same():
    labels = np.array([0] * 50 + [1] * 3)
    rows = inspection.reference_rows(labels, 10)
    assert np.bincount(labels[rows]).tolist() == [10, 3]
    assert np.array_equal(rows, inspection.reference_rows(labels, 10))


@pytest.mark.parametrize("packed", [False, True])
def test_a_users_own_table_is_read_leniently(packed):
    text = "\ufefffile,p_benign,p_other,fold\nb\\a.png,2,2,1\nb/b.png,0.9,x,\nb/c.png,0,0,0\nb/a.png,1,0,0\n"
    data = gzip.compress(text.encode()) if packed else text.encode()
    table = inspection.read_table(data, "mine.csv")
    assert (table.system, table.partition) == ("mine", "")
    assert table.files == ("b/a.png", "b/b.png", "b/c.png")
    assert table.probabilities[0].tolist() == [0.5, 0.5]
    assert np.isnan(table.probabilities[1:]).all()
    assert table.folds.tolist() == [1, -1, 0]


def test_a_spreadsheets_table_is_read_by_its_own_marks():
    plain = inspection.read_table(b"file,p_benign,p_other,fold\na.png,0.85,0.15,2\nb.png,0.5,0.5,3\n", "mine.csv")
    excel = "\ufeffFile;P_Benign;p_other;Fold\r\na.png;0,85;0,15;2\r\nb.png;0,5;0.5;3\r\n"
    table = inspection.read_table(excel.encode(), "mine.csv")
    assert (table.files, table.classes) == (plain.files, plain.classes)
    assert np.array_equal(table.probabilities, plain.probabilities)
    assert np.array_equal(table.folds, plain.folds)
    # Quoted, a comma between digits is no decimal mark where commas part the columns.
    assert np.isnan(inspection.read_table(b'file,p_a\na.png,"0,85"\n', "mine.csv").probabilities).all()


def test_an_unnamed_column_of_numbers_is_no_fold():
    assert inspection.read_table(b",file,p_a\n7,a.png,1\n", "mine.csv").folds.tolist() == [-1]


def test_rows_that_contradict_each_other_are_said_to(dataset):
    head = "file,p_benign,p_early_pre_b,p_pre_b\n"
    row = f"{dataset.files[0]},0.8,0.1,0.1\n"
    alike = inspection.read_table((head + row + row + "x.png,,,\nx.png,,,\n").encode(), "mine.csv")
    assert alike.problems == ()
    other = f"{dataset.files[0]},0.1,0.8,0.1\n"
    table = inspection.read_table((head + row + other + other).encode(), "mine.csv")
    assert table.problems == (
        f"mine.csv predicts {dataset.files[0]} more than once, and not alike; its first row counts.",
    )
    assert align(dataset, table).problems[0] == table.problems[0]
    two = inspection.read_table((head + row + other + "b.png,1,0,0\nb.png,0,1,0\n").encode(), "mine.csv")
    assert "predicts 2 files, such as" in two.problems[0]


def test_a_fold_that_no_number_holds_is_not_known():
    table = inspection.read_table(f"file,p_a,fold\na.png,1,{'9' * 30}\nb.png,1,{'9' * 5000}\n".encode(), "mine.csv")
    assert table.folds.tolist() == [-1, -1]


def test_the_name_of_a_shipped_table_tells_system_and_partition():
    data = b"file,class,fold,p_benign,p_pre_b\na.png,benign,0,1,0\n"
    table = inspection.read_table(data, "net.v2.grouped.csv")
    assert (table.system, table.partition) == ("net.v2", "grouped")


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "needs a column file"),
        (b"name,p_a\nx,1\n", "needs a column file"),
        (b"file,a\nx,1\n", "needs a column file"),
        (b"file,p_a\n", "holds no prediction"),
        (b"\xff\xfe\x00", "needs a column file"),
        (b"\x1f\x8bbroken", "needs a column file"),
        (b"file,p_a\n" + b"x" * 200_000 + b",1\n", "needs a column file"),
        (b"{" + b"x" * 200_000, "needs a column file"),
    ],
)
def test_what_is_no_table_is_refused_in_one_sentence(data, match):
    with pytest.raises(DataError, match=match):
        inspection.read_table(data, "mine.csv")

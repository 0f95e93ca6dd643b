import hashlib
from pathlib import Path

import numpy as np
import pytest

from leuk.data.demo import EACH, demonstration
from leuk.errors import Cancelled, DataError
from leuk.image import read_image


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return demonstration(tmp_path_factory.mktemp("demo") / "set")


def sha(demo, row):
    return hashlib.sha256((demo.dataset.root / demo.dataset.files[row]).read_bytes()).hexdigest()


def test_the_same_set_is_drawn_everywhere(demo, tmp_path):
    again = demonstration(tmp_path / "other")
    assert again.dataset.files == demo.dataset.files
    assert [sha(again, row) for row in range(0, len(again.dataset.files), 9)] == [
        sha(demo, row) for row in range(0, len(demo.dataset.files), 9)
    ]
    for one, other in zip(demo.predictions, again.predictions, strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)


def test_a_second_call_draws_nothing(demo):
    def refuse(fraction, what):
        raise AssertionError(what)

    again = demonstration(demo.dataset.root, refuse)
    assert again.dataset.files == demo.dataset.files


def test_copies_are_what_they_are_said_to_be_and_cross_folds(demo):
    folds, labels = demo.dataset.fold, demo.dataset.labels
    for a, b in (*demo.exact, *demo.near):
        assert labels[a] == labels[b]
        assert folds[a] != folds[b]
        assert (sha(demo, a) == sha(demo, b)) == ((a, b) in demo.exact)
    assert len({sha(demo, row) for row in range(len(labels))}) == len(labels) - len(demo.exact)


def test_wrong_labels_leave_each_class_a_clear_majority(demo):
    for label in range(4):
        wrong = [row for row in demo.mislabelled if demo.dataset.labels[row] == label]
        assert 0 < len(wrong) < EACH / 6
    assert all(demo.dataset.labels[row] != drawn for row, drawn in demo.mislabelled.items())


def test_the_tint_shows_in_the_pixels_of_one_class_and_only_there(demo):
    def yellow(row):
        pixels = read_image(demo.dataset.root / demo.dataset.files[row]).pixels
        return float(np.median(pixels[..., 0].astype(float) - pixels[..., 2]))

    tinted = [yellow(row) for row in demo.tinted[:8]]
    plain = [yellow(row) for row in range(0, 70, 9)]
    assert min(tinted) > max(plain)
    assert {int(demo.dataset.labels[row]) for row in demo.tinted} == {3}


def test_the_systems_err_as_published_ones_do(demo):
    cells, colour = demo.predictions
    called = cells.probabilities.argmax(axis=1)
    right = (called == cells.labels).mean()
    benign = cells.labels == 0
    assert 0.75 < right < 0.95
    assert (called[benign] == 0).mean() < (called[~benign] == cells.labels[~benign]).mean()
    assert (called[~benign] == 0).any()
    assert (colour.probabilities.argmax(axis=1) == colour.labels).mean() < right
    tinted = list(demo.tinted)
    assert (colour.probabilities[tinted].argmax(axis=1) == 3).mean() > 0.9


def test_drawing_can_be_stopped_and_leaves_nothing_behind(tmp_path):
    def stop(fraction, what):
        if fraction > 0.03:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        demonstration(tmp_path / "in" / "set", stop)
    assert list((tmp_path / "in").iterdir()) == []


def test_a_folder_that_can_not_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="LEUK_CACHE"):
        demonstration(Path(tmp_path / "file" / "set"))

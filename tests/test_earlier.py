"""What was changed in saved readings holds again for the same photographs, and nothing else does."""

import json

import pytest

from leuk import report
from leuk.earlier import not_held, read_changes, review_of
from leuk.errors import DataError
from leuk.report import Review
from tests.readings import make


def saved(*records):
    return json.dumps(records).encode()


def reading(**made):
    return report.record(make(heat=None, **made), "x.png")


def test_what_was_changed_comes_back():
    record = reading()
    review = Review({1: "blast", 3: "platelet"}, 0.21)
    text = saved(report.corrected(record, review), report.refused("y.png", "y.png is empty."))
    assert review_of(record, read_changes(text, "x.json")) == review
    # The file of a single reading, as an editor saves it.
    assert review_of(record, read_changes(b"\xef\xbb\xbf" + text, "x.json")) == review
    assert review_of(record, read_changes(json.dumps(json.loads(text)[0]).encode(), "x.json")) == review
    assert review_of({**record, "sha256": "0" * 64}, read_changes(text, "x.json")) == Review()
    # Another way of finding cells finds others; a scale is the photograph's.
    assert review_of({**record, "method": "hsv"}, read_changes(text, "x.json")) == Review({}, 0.21)


def test_what_was_suggested_is_no_change():
    assert read_changes(saved(reading()), "x.json") == {}


def test_a_cell_whose_outline_moved_a_little_is_the_same_and_one_elsewhere_is_not():
    record = reading()
    (x0, y0, x1, y1), high = record["cells"][1]["box"], record["height"]
    changed = report.corrected(record, Review({2: "blast"}))
    changed["cells"][1]["box"] = [x0 - 1, y0, x1, y1 + 1]
    assert review_of(record, read_changes(saved(changed), "x.json")).types == {2: "blast"}
    changed["cells"][1]["box"] = [x0, y0 + high, x1, y1 + high]
    assert review_of(record, read_changes(saved(changed), "x.json")) == Review()


def test_what_holds_for_no_cell_is_counted():
    record = reading()
    changed = report.corrected(record, Review({1: "blast", 2: "monocyte"}, 0.2))
    changes = read_changes(saved(changed, changed), "x.json")
    assert not_held(record, changes) == {}
    # As if cells had been found otherwise now, and in the same way with one of them gone.
    assert not_held({**record, "method": "hsv"}, changes) == {record["method"]: 2}
    assert not_held({**record, "cells": record["cells"][1:]}, changes) == {record["method"]: 1}
    assert not_held({**record, "sha256": "0" * 64}, changes) == {}


def test_of_two_files_the_later_holds():
    record = reading()
    first, second = (
        read_changes(saved(report.corrected(record, review)), "x.json")[record["sha256"]]
        for review in (Review({1: "blast", 2: "monocyte"}, 0.2), Review({1: "platelet"}))
    )
    assert review_of(record, {record["sha256"]: first + second}) == Review({1: "platelet", 2: "monocyte"}, 0.2)


@pytest.mark.parametrize(
    "text", [b"", b"\xff\xfe", b"not JSON", b"[" * 100_000, b"[]", b"{}", b"7", b'[{"sha256": 1, "cells": []}]']
)
def test_what_holds_no_readings_is_refused_with_a_way_on(text):
    with pytest.raises(DataError, match=r"^x\.json .*All readings JSON.*\.$"):
        read_changes(text, "x.json")


@pytest.mark.parametrize(
    "cell",
    [
        None,
        {"box": [1, 2, 3], "type": "blast"},
        {"box": [1, 2, "3", 4], "type": "blast"},
        {"box": [1, 2, float("nan"), 4], "type": "blast"},
        {"box": [3, 2, 1, 4], "type": "blast"},
        {"box": [1, 2, 3, 4], "type": "smudge"},
        {"box": [1, 2, 3, 4], "type": ["blast"]},
        {"type": "blast"},
    ],
)
def test_what_is_no_change_is_passed_over(cell):
    cell = cell and {**cell, "type_source": "corrected"}
    for scale in (None, 7, {"source": "entered", "um_per_px": "wide"}, {"source": "entered", "um_per_px": -1}):
        assert read_changes(saved({"sha256": "0", "cells": [cell], "scale": scale}), "x.json") == {}

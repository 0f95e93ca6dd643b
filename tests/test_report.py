import csv
import io
import json
from dataclasses import replace

import pytest

from leuk import report
from leuk.cells import TYPES, CellType
from leuk.segmentation.scale import Scale
from tests.readings import CLASSES, make

KEYS = {
    "file", "status", "error", "sha256", "width", "height", "model", "method", "probabilities",
    "malignant_probability", "suggestion", "outside", "cut_out", "cells", "scale", "remarks",
}  # fmt: skip
CELL_KEYS = {
    "box", "area", "nucleus_area", "nc_ratio", "eccentricity", "circularity", "solidity", "touches_border",
    "mean_color",
    *report.MEASURES,
}  # fmt: skip


def test_a_record_has_exactly_the_keys_that_others_build_on():
    analysis = make(heat=None)
    record = report.record(analysis, "a/b.png")
    assert set(record) == KEYS
    assert record["file"] == "a/b.png"
    assert record["status"] == "read"
    assert record["error"] is None
    assert (record["width"], record["height"]) == (160, 120)
    assert list(record["probabilities"]) == list(CLASSES)
    assert record["malignant_probability"] == pytest.approx(0.9)
    assert len(record["cells"]) == len(analysis.segmentation.cells) > 0
    assert all(set(cell) == CELL_KEYS for cell in record["cells"])
    assert json.loads(json.dumps(record, allow_nan=False)) == record


@pytest.mark.parametrize(
    ("suggestion", "heat", "on_cells"),
    [("pre_b", 0.8, 0.45), ("benign", 0.8, 0.25), ("cannot_tell", 0.8, 0.45), ("pre_b", 0.0, None)],
)
def test_heat_is_that_of_the_suggestion_or_else_of_the_likeliest_class(suggestion, heat, on_cells):
    record = report.record(make(suggestion=suggestion, heat=heat), "x")
    assert set(record) == KEYS | {"explain", "heat_on_cells", "cells_share"}
    assert (record["method"], record["explain"]) == ("default", "gradcam")
    assert record["heat_on_cells"] == (None if on_cells is None else pytest.approx(on_cells))
    assert record["cells_share"] == pytest.approx(0.2)


def test_a_suggestion_that_rests_on_cut_cells_alone_says_so():
    def remarks(cut, suggestion):
        analysis = make(suggestion=suggestion)
        first, *rest = analysis.segmentation.cells
        cells = tuple(replace(cell, touches_border=True) for cell in (first, *(rest if cut == "all" else ())))
        cells += () if cut == "all" else tuple(replace(cell, touches_border=False) for cell in rest)
        return report.record(replace(analysis, segmentation=replace(analysis.segmentation, cells=cells)), "x")[
            "remarks"
        ]

    (told,) = remarks("all", "pre_b")
    assert told.startswith("Its 4 cells are all cut by the edge")
    assert remarks("one", "pre_b") == []
    assert remarks("all", "cannot_tell") == []


def test_where_one_outline_is_nucleus_and_cell_nothing_is_told_of_the_nucleus():
    analysis = make()
    cells = tuple(replace(cell, nucleus_area=cell.area, nc_ratio=1.0) for cell in analysis.segmentation.cells)
    found = replace(analysis.segmentation, cells=cells, method="hsv")
    record = report.record(replace(analysis, segmentation=found, scale=Scale(0.1, "estimated", 9)), "x.png")
    assert record["remarks"] == [report.ONE_OUTLINE]
    for cell in record["cells"]:
        assert set(cell) == CELL_KEYS
        assert [key for key in report.MEASURES if cell[key] is not None] == ["diameter"]
    rows = [dict(zip(report.CSV_COLUMNS, row, strict=True)) for row in report.record_rows(record)]
    assert {row["nucleus_diameter_um"] for row in rows} == {""}
    assert all(row["diameter_um"] > 0 for row in rows)
    assert report.cell_rows(found, "x.png")[0][report.CSV_COLUMNS.index("lobes")] == ""


def test_a_refused_file_has_the_same_keys_and_its_reason():
    record = report.refused("x.jpg", "x.jpg is empty; choose another file.")
    assert set(record) == KEYS
    assert record["status"] == "refused"
    assert record["error"] == "x.jpg is empty; choose another file."
    assert record["cells"] == []
    assert record["suggestion"] is None


@pytest.mark.parametrize("cells", [0, 4])
def test_the_table_has_a_row_for_every_cell(cells):
    analysis = make(cells=cells)
    text = report.to_csv(report.cell_rows(analysis.segmentation, "x.png", analysis.image.sha256))
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(rows) == len(analysis.segmentation.cells)
    for row, cell in zip(rows, analysis.segmentation.cells, strict=True):
        assert (row["file"], row["sha256"]) == ("x.png", analysis.image.sha256)
        assert int(row["cell"]) == cell.label
        assert [int(row[k]) for k in ("x0", "y0", "x1", "y1")] == list(cell.box)
        assert float(row["nc_ratio"]) == pytest.approx(cell.nc_ratio, abs=1e-4)
        assert row["touches_border"] == ("yes" if cell.touches_border else "no")


def typed():
    analysis = make(heat=None)
    p = [0.0] * len(TYPES)
    p[TYPES.index("blast")], p[TYPES.index("lymphocyte")] = 0.7, 0.3
    kinds = tuple(CellType(cell.label, "blast", tuple(p)) for cell in analysis.segmentation.cells)
    return replace(analysis, cell_types=kinds, scale=Scale(0.1234567, "estimated", 9))


def test_types_and_scale_are_told_and_counted():
    record = report.record(typed(), "x.png")
    assert set(record) == KEYS | {"differential", "from_cells"}
    more = {"type", "suggested_type", "type_source", "type_probabilities"}
    assert all(set(cell) == CELL_KEYS | more for cell in record["cells"])
    assert record["scale"] == {"um_per_px": 0.1235, "source": "estimated", "red_cells": 9}
    count = record["differential"]
    assert count["total"] == len(record["cells"])
    assert count["types"]["blast"]["share"] == 1
    assert count["expected_blasts"] == 0.7
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_a_correction_changes_the_copy_and_its_count_only():
    record = report.record(typed(), "x.png")
    before = json.dumps(record)
    changed = report.corrected(record, report.Review({1: "monocyte", 2: "platelet", 3: "smudge", 99: "blast"}, 0.2))
    assert json.dumps(record) == before
    assert [c["type"] for c in changed["cells"]][:3] == ["monocyte", "platelet", "blast"]
    assert [c["type_source"] for c in changed["cells"]][:3] == ["corrected", "corrected", "suggested"]
    assert changed["cells"][0]["suggested_type"] == "blast"
    assert changed["differential"]["types"]["monocyte"]["count"] == 1
    assert changed["differential"]["beside"] == {"platelet": 1}
    # What a person says of a cell is certain; the platelet is no white cell.
    left = len(record["cells"]) - 1
    assert changed["differential"]["expected_blasts"] == pytest.approx(0.7 * (left - 1) / left, abs=1e-4)
    row = dict(zip(report.CSV_COLUMNS, report.record_rows(changed)[0], strict=True))
    assert (row["type"], row["type_source"], row["suggested_type"], row["p_blast"]) == (
        "monocyte", "corrected", "blast", 0.7,
    )  # fmt: skip
    assert row["diameter_um"] == pytest.approx(row["diameter"] * 0.2, abs=0.01)


def test_a_cell_that_a_person_leaves_unidentified_may_be_a_blast_as_before():
    record = report.record(typed(), "x.png")
    every = dict.fromkeys(range(1, len(record["cells"]) + 1), "unidentified")
    changed = report.corrected(record, report.Review(every))
    assert changed["differential"]["types"]["unidentified"]["share"] == 1
    assert changed["differential"]["expected_blasts"] == record["differential"]["expected_blasts"] == 0.7


def test_of_a_cell_without_a_type_that_a_person_leaves_unidentified_nothing_is_expected():
    record = report.record(make(heat=None), "x.png")
    changed = report.corrected(record, report.Review({1: "unidentified"}))
    assert changed["differential"]["types"]["unidentified"]["count"] == 1
    assert changed["differential"]["expected_blasts"] is None
    assert (
        report.corrected(record, report.Review({1: "unidentified", 2: "blast"}))["differential"]["expected_blasts"] == 1
    )


def test_the_type_suggested_given_by_a_person_is_confirmed():
    record = report.record(typed(), "x.png")
    left = len(record["cells"]) - 1
    changed = report.corrected(record, report.Review({1: "blast"}))
    assert [cell["type_source"] for cell in changed["cells"]][:2] == ["confirmed", "suggested"]
    assert changed["differential"]["types"] == record["differential"]["types"]
    # What a person says of a cell is certain.
    assert changed["differential"]["expected_blasts"] == pytest.approx((1 + 0.7 * left) / (left + 1), abs=1e-4)
    row = dict(zip(report.CSV_COLUMNS, report.record_rows(changed)[0], strict=True))
    assert (row["type"], row["type_source"], row["suggested_type"]) == ("blast", "confirmed", "blast")


def said(kinds, *, scale="estimated", review=None, **prediction):
    """What is said of a picture whose cells, as many as there are kinds, are blasts or else lymphocytes."""
    analysis = make(cells=len(kinds), size=(320, 240), heat=None, **prediction)
    assert len(analysis.segmentation.cells) == len(kinds)
    types = []
    for label, kind in enumerate(kinds, 1):
        p = [0.0] * len(TYPES)
        p[TYPES.index("blast")] = 0.75 if kind == "blast" else 0.0
        p[TYPES.index("platelet" if kind == "platelet" else "lymphocyte")] = 1 - sum(p)
        types.append(CellType(label, kind, tuple(p)))
    analysis = replace(analysis, cell_types=tuple(types), scale=scale and Scale(0.1, scale, 9))
    return report.corrected(report.record(analysis, "x.png"), review or report.Review())["from_cells"]


def told(sha256, kinds, *, outside=False, cut_out=False):
    """A record of cells that are blasts at 0.75, or else none."""
    cells = [
        {
            "type": kind, "suggested_type": kind, "type_source": "suggested",
            "type_probabilities": {"blast": 0.75 if kind == "blast" else 0.0},
        }
        for kind in kinds
    ]  # fmt: skip
    record = {"sha256": sha256, "cells": cells, "outside": outside, "cut_out": cut_out, "scale": None}
    return report.corrected({**record, "suggestion": "cannot_tell", "probabilities": {}}, report.Review())


def test_fields_of_one_smear_are_counted_together_and_each_once():
    first, second = told("a", [*LYMPHOCYTES, "blast"]), told("b", ["blast", "platelet", "unidentified"])
    second = report.corrected(second, report.Review({3: "blast"}))
    pool = report.pooled([first, report.refused("x.png", "x.png is empty."), second, {**first, "file": "copy.png"}])
    assert (pool["files"], pool["repeated"]) == (2, 1)
    count = report.pooled_count(pool)
    assert {key: one["count"] for key, one in count["types"].items()} == {"lymphocyte": 4, "blast": 3}
    assert (count["total"], count["beside"]) == (7, {"platelet": 1})
    assert count["expected_blasts"] == pytest.approx((0.75 + 0.75 + 1) / 7, abs=1e-4)
    alone = report.pooled_count(report.pooled([first]))
    assert alone == first["differential"]
    assert report.pooled_count(report.pooled([])) == report.count_types([]) | {"expected_blasts": None}


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ([told("a", ["blast"] * 2 + ["lymphocyte"] * 8)], "lie within the range of blasts"),
        ([told("a", ["blast"] * 9), told("b", ["lymphocyte"])], None),
        ([told("a", ["lymphocyte"] * 150), told("b", ["blast"])], None),
        ([told("a", ["blast"]), told("b", ["lymphocyte"] * 2)], None),
        ([told("a", ["blast"] * 2, outside=True), told("b", ["lymphocyte"] * 8)], "expect 15 % to be blasts"),
        ([told("a", ["blast"], cut_out=True), told("b", ["lymphocyte"])], "had been chosen by someone"),
        ([told("a", ["platelet"] * 9, outside=True)], None),
    ],
)
def test_what_must_be_known_of_a_count_over_several_files_is_said(records, words):
    pool = report.pooled(records)
    note = report.from_pool(pool, report.pooled_count(pool))
    assert note is None if words is None else words in note


LYMPHOCYTES = ("lymphocyte",) * 4


@pytest.mark.parametrize(
    ("kinds", "suggestion", "words"),
    [
        ((*LYMPHOCYTES, "lymphocyte"), "pre_b", "read as leukaemic, and yet none of 5 white cells looks like a blast"),
        (LYMPHOCYTES[:2], "pre_b", "read as leukaemic, and yet none of 2 white cells looks like a blast"),
        (LYMPHOCYTES[:1], "pre_b", "read as leukaemic, and yet its one white cell does not look like a blast"),
        ((*LYMPHOCYTES, "lymphocyte", "blast"), "pre_b", "and yet 1 of 6 white cells looks like a blast"),
        ((*LYMPHOCYTES, "blast"), "pre_b", None),
        (
            (*LYMPHOCYTES, "blast"),
            "benign",
            "read as benign, and yet 1 of 5 white cells looks like a blast: so do hematogones",
        ),
        ((*LYMPHOCYTES[:3], "blast", "blast"), "benign", "and yet 2 of 5 white cells look like blasts"),
        (("lymphocyte", "blast"), "benign", None),
        (("platelet",), "pre_b", None),
        (("blast",), "cannot_tell", None),
    ],
)
def test_a_field_and_cells_at_odds_are_told_of(kinds, suggestion, words):
    found = said(kinds, suggestion=suggestion)
    assert (found is None) == (words is None)
    assert words is None or words in found


def test_of_a_field_that_cannot_be_read_its_cells_are_told_of():
    outside = {"suggestion": "cannot_tell", "outside": True}
    pair = ("blast", "lymphocyte")
    # The share called blasts and the one to expect can lie on either side of a fifth.
    both = "are called blasts; weighing how sure each call is, expect"
    rule, few = "; acute leukaemia begins at 20 % as a rule.", "; so few cells say little of a smear."
    # No red cells: perhaps no smear, whatever width of a pixel was entered.
    for review in (None, report.Review({}, 0.2)):
        assert (
            said(pair, **outside, scale=None, review=review)
            == f"If these are white cells, 50 % of them {both} 38 %{few}"
        )
        assert said(pair, **outside, review=review) == f"Of its single cells, 50 % {both} 38 %{few}"
    assert said(LYMPHOCYTES, **outside) == f"Of its single cells, expect 0 % to be blasts{few}"
    unsure = report.Review({2: "unidentified"})
    assert said(LYMPHOCYTES, **outside, scale=None, review=unsure) == (
        f"If these are white cells, expect 0 % of them to be blasts{few}"
    )
    unnamed = report.Review({1: "unidentified"})
    assert said(pair, **outside, review=unnamed) == f"Of its single cells, none {both} 38 %{few}"
    assert said(("blast",), **outside, scale=None) == "If it is a white cell, it is a blast with a probability of 75 %."
    assert "By its look alone, the cell is a blast" in said(("blast",), **outside)
    assert said(("blast",) * 2 + ("lymphocyte",) * 3, **outside).endswith(rule)
    assert "expect 50 % to be blasts" in said(pair, **outside, review=report.Review({1: "blast"}))
    assert said(("platelet",), **outside) is None
    cut = outside | {"cut_out": True, "scale": None}
    assert said(pair, **cut) == f"Of the cells cut out, 50 % {both} 38 %."
    assert said(LYMPHOCYTES, **cut) == "Of the cells cut out, expect 0 % to be blasts."
    assert said(("blast",), **cut) == "By its look alone, the cell is a blast with a probability of 75 %."
    assert said(("blast",), **cut, review=report.Review({1: "monocyte"})) == "Changed by you to monocyte."
    assert said(("blast",), **cut, review=report.Review({1: "blast"})) == "Confirmed by you as blast."
    # What is left out of the count was told by a person all the same.
    assert said(("blast",), **cut, review=report.Review({1: "erythroblast"})) == "Changed by you to erythroblast."
    assert said(("blast",), **outside, review=report.Review({1: "artefact"})) == "Changed by you to smudge or artefact."
    assert said(("platelet",), **outside, review=report.Review({1: "platelet"})) == "Confirmed by you as platelet."


@pytest.mark.parametrize(("probability", "words"), [(0.0, "< 1 %"), (0.004, "< 1 %"), (0.5, "50 %"), (1.0, "> 99 %")])
def test_a_model_is_never_certain(probability, words):
    record = {
        "suggestion": "cannot_tell", "outside": True, "cut_out": True, "scale": None, "probabilities": {},
        "cells": [{"type": "blast", "type_source": "suggested"}],
        "differential": report.count_types(["blast"]) | {"expected_blasts": probability},
    }  # fmt: skip
    assert report.from_cells(record).endswith(f"is a blast with a probability of {words}.")
    assert report.chance(probability) == words


def test_one_blast_of_many_cells_is_not_none():
    many = ("lymphocyte",) * 250
    counts = report.count_types((*many, "blast"))
    record = {
        "suggestion": "cannot_tell", "outside": True, "cut_out": False, "scale": {"source": "estimated"},
        "probabilities": {}, "cells": [{}] * 251, "differential": counts | {"expected_blasts": 0.997},
    }  # fmt: skip
    assert report.from_cells(record).startswith(
        "Of its single cells, < 1 % are called blasts; weighing how sure each call is, expect > 99 %;"
    )


@pytest.mark.parametrize("name", ["=1+1.png", "+x.png", "-x.png", "@x.png"])
def test_a_file_name_is_never_a_formula(name):
    assert all(row[0] == "'" + name for row in report.cell_rows(make().segmentation, name))


def test_a_file_name_with_commas_and_quotes_comes_back_whole():
    name = 'a, "b".png'
    rows = list(csv.DictReader(io.StringIO(report.to_csv(report.cell_rows(make().segmentation, name)), newline="")))
    assert {row["file"] for row in rows} == {name}

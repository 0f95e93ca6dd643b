"""A reading as a record for JSON and as rows for a table: what the page downloads and the command line writes."""

from __future__ import annotations

import copy
import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from leuk.cells.values import ACUTE, NOT_COUNTED, TITLES, TYPES, UNIDENTIFIED, differential, expected_blasts

if TYPE_CHECKING:  # at run time they would bring the networks along, which nothing here needs
    from leuk.analysis import Analysis
    from leuk.cells import CellType
    from leuk.segmentation import Cell, Segmentation
    from leuk.segmentation.scale import Scale

MEASURES = (
    "diameter",
    "nucleus_diameter",
    "nucleus_eccentricity",
    "nucleus_circularity",
    "indentation",
    "lobes",
    "chromatin_texture",
    "basophilia",
    "nucleus_offset",
)
"""Measures of `Cell` that its record and the table hold beside the first ones; lengths in pixels."""

ONE_OUTLINE = (
    "This way of finding cells draws one outline for nucleus and cell: an N:C ratio of 1 says nothing, and nothing is "
    "told of nuclei."
)

CSV_COLUMNS = (
    "file",
    "cell",
    "x0",
    "y0",
    "x1",
    "y1",
    "area",
    "nucleus_area",
    "nc_ratio",
    "eccentricity",
    "circularity",
    "solidity",
    "mean_red",
    "mean_green",
    "mean_blue",
    "touches_border",
    *MEASURES,
    "diameter_um",
    "nucleus_diameter_um",
    "um_per_px",
    "um_source",
    "type",
    "type_source",
    "suggested_type",
    *(f"p_{key}" for key in TYPES),
    "sha256",
)
"""Header of the table of cells; lengths and areas in pixels of the original image, those in ``_um`` in micrometres."""

Row = tuple[str | int | float, ...]

LEAST_COUNT = 5
"""White cells from which their share of blasts is held against a fifth: one of fewer is soon that much."""

_NUCLEAR = frozenset(MEASURES) - {"diameter"}  # basophilia is of what the nucleus leaves
_SHARE_DIGITS = 4
_PROBABILITY_DIGITS = 6


@dataclass(frozen=True)
class Review:
    """What a person changed in the reading of one file.

    Attributes
    ----------
    types : mapping of int to str
        By cell, from 1, the type that it was given: a key of `leuk.cells.TITLES`. The one suggested confirms it.
    micrometres : float or None
        Width of a pixel that was entered; None to keep the estimate.
    """

    types: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    micrometres: float | None = None


def record(analysis: Analysis, file: str) -> dict[str, Any]:
    """Turn an analysis into the record that JSON files hold.

    Parameters
    ----------
    analysis : Analysis
    file : str
        What to call the file: its path on the command line, its name on the page.

    Returns
    -------
    dict
        ``file``, ``status`` ("read"), ``error`` (None), ``sha256``, ``width``, ``height`` (pixels), ``model``,
        ``method`` (way of finding cells), ``probabilities`` by class key, ``malignant_probability``, ``suggestion``
        (class key or "cannot_tell"), ``outside`` (whether the picture lies outside what the model has learnt from),
        ``cut_out`` (whether it shows cells cut out of their field), ``remarks`` (sentences on what of the file was
        changed for reading, why nothing is suggested, and what the way of finding cells can't tell) and ``cells``, a
        list with ``box`` (x0, y0, x1, y1, half-open), ``area``, ``nucleus_area`` (pixels), ``nc_ratio``,
        ``eccentricity``, ``circularity``, ``solidity`` (0 … 1), ``touches_border``, and `MEASURES` (None where there is
        nothing to measure, as of nuclei without an outline of their own, whose area is then the cell's). ``scale`` is
        None or holds ``um_per_px``, ``source`` ("estimated" from red cells, or "entered") and ``red_cells``. If types
        were told, each cell also has ``type``, ``suggested_type``, ``type_source`` ("suggested"; "corrected" or
        "confirmed" by a person, see `corrected`) and ``type_probabilities`` by type, and the record its
        ``differential``: see `count_types`, and ``expected_blasts``, see `leuk.cells.expected_blasts`; and
        ``from_cells``, see `from_cells`. If the analysis holds heat maps, also ``explain`` (how they were made), and
        ``heat_on_cells`` (None where there is no heat) and ``cells_share`` of the map of `main_class`. Plain Python
        values only.
    """
    prediction = analysis.prediction
    types = analysis.cell_types or (None,) * len(analysis.segmentation.cells)
    one_outline = has_one_outline(analysis.segmentation.method)
    out: dict[str, Any] = {
        "file": file,
        "status": "read",
        "error": None,
        "sha256": analysis.image.sha256,
        "width": analysis.image.width,
        "height": analysis.image.height,
        "model": prediction.model,
        "method": analysis.segmentation.method,
        "probabilities": {
            key: round(float(p), _PROBABILITY_DIGITS)
            for key, p in zip(prediction.classes, prediction.probabilities, strict=True)
        },
        "malignant_probability": round(float(prediction.malignant_probability), _PROBABILITY_DIGITS),
        "suggestion": prediction.suggestion,
        "outside": bool(prediction.outside),
        "cut_out": bool(prediction.cut_out),
        "remarks": [*analysis.image.notes, *prediction.reasons, *cut_cells(analysis), *[ONE_OUTLINE] * one_outline],
        "scale": _scale(analysis.scale),
        "cells": [
            _cell(cell, kind, one_outline) for cell, kind in zip(analysis.segmentation.cells, types, strict=True)
        ],
    }
    if analysis.cell_types:
        out["differential"] = _differential(out["cells"])
        out["from_cells"] = from_cells(out)
    explanation = analysis.explanations.get(main_class(analysis))
    if explanation is not None:
        on_cells = explanation.heat_on_cells
        out["explain"] = explanation.method
        out["heat_on_cells"] = None if on_cells is None else round(float(on_cells), _SHARE_DIGITS)
        out["cells_share"] = round(float(explanation.cells_share), _SHARE_DIGITS)
    return out


def has_one_outline(method: str) -> bool:
    """Tell whether a way of finding cells draws one outline for nucleus and cell."""
    from leuk.segmentation import METHODS  # it takes a second to load, and whoever has an analysis has loaded it

    return method in METHODS and METHODS[method].one_outline


def cut_cells(analysis: Analysis) -> list[str]:
    """Say where a suggestion rests on a field without a whole cell: one sentence, or none."""
    cells, prediction = analysis.segmentation.cells, analysis.prediction
    if not cells or prediction.suggestion not in prediction.classes or not all(cell.touches_border for cell in cells):
        return []
    these = "Its one cell is" if len(cells) == 1 else f"Its {len(cells)} cells are all"
    return [f"{these} cut by the edge: that is little to read a field by, so look at one with whole cells."]


def refused(file: str, error: str) -> dict[str, Any]:
    """Give the record of a file that was not read: the keys of `record`, with nothing in them but the reason.

    Parameters
    ----------
    file : str
        What to call the file.
    error : str
        The sentence that says what is wrong and what to do.
    """
    return {
        "file": file,
        "status": "refused",
        "error": error,
        "sha256": None,
        "width": None,
        "height": None,
        "model": None,
        "method": None,
        "probabilities": None,
        "malignant_probability": None,
        "suggestion": None,
        "outside": None,
        "cut_out": None,
        "remarks": [],
        "scale": None,
        "cells": [],
    }


def count_types(types: Iterable[str]) -> dict[str, Any]:
    """Return a differential count as plain values.

    Returns
    -------
    dict
        ``total`` (white cells counted), ``types`` by type with ``count``, ``share``, ``low`` and ``high`` (exact 95 %
        binomial interval, 0 … 1), and ``beside``: how many erythroblasts, platelets and artefacts there are,
        which are not counted.
    """
    found = differential(types)
    return {
        "total": found.total,
        "types": {
            share.type: {
                "count": share.count,
                **{key: round(getattr(share, key), _SHARE_DIGITS) for key in ("share", "low", "high")},
            }
            for share in found.shares
        },
        "beside": dict(found.beside),
    }


def pooled(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Put the cells of several photographs together, as if all were of one smear.

    One field seldom holds the 200 cells that a differential count should rest on; several do. A photograph that is
    there twice would count its cells twice, so only the first is taken.

    Parameters
    ----------
    records : iterable of mapping
        As `record` or `corrected` gives them; those of files that were refused, and without types, are passed over.

    Returns
    -------
    dict
        ``files`` and ``repeated``: how many were put together, and left out as the same as one before; ``outside`` and
        ``cut_out``: of how many of them this is said; ``types``: cells by type, a key of `leuk.cells.TITLES`;
        ``known`` and ``blasts``: of how many white cells is known how likely a blast each is, and how many blasts to
        expect among them. `pooled_count` makes a count of it.
    """
    out: dict[str, Any] = {"files": 0, "repeated": 0, "outside": 0, "cut_out": 0, "known": 0, "blasts": 0.0}
    types: Counter[str] = Counter()
    seen = set()
    for one in records:
        if "differential" not in one:
            continue
        if one["sha256"] in seen:
            out["repeated"] += 1
            continue
        seen.add(one["sha256"])
        out["files"] += 1
        for key in ("outside", "cut_out"):
            out[key] += one[key]
        types.update(cell["type"] for cell in one["cells"] if "type" in cell)
        blasts = [blast for key, blast in _blasts(one["cells"]) if key not in NOT_COUNTED]
        out["known"] += len(blasts)
        out["blasts"] += sum(blasts)
    return {**out, "types": dict(types)}


def pooled_count(pool: Mapping[str, Any]) -> dict[str, Any]:
    """Return the differential count of what `pooled` put together: as `count_types`, with its ``expected_blasts``."""
    share = pool["blasts"] / pool["known"] if pool["known"] else None
    return count_types(Counter(pool["types"]).elements()) | {
        "expected_blasts": None if share is None else round(share, _SHARE_DIGITS)
    }


def from_pool(pool: Mapping[str, Any], count: Mapping[str, Any]) -> str | None:
    """Say in a sentence what must be known of a count over several photographs, or None.

    Parameters
    ----------
    pool, count : mapping
        As `pooled` and `pooled_count` give them.
    """
    if pool["cut_out"]:
        return "Cells that were cut out had been chosen by someone: their shares are not those of the smear."
    if count["expected_blasts"] is None or count["total"] < LEAST_COUNT:
        return None
    if pool["outside"]:
        share = percent(count["expected_blasts"])
        return f"Weighing how sure each call is, expect {share} to be blasts; acute leukaemia begins at 20 % as a rule."
    blast = count["types"].get("blast")
    if blast and blast["low"] < ACUTE < blast["high"]:
        return "The 20 % at which acute leukaemia begins as a rule lie within the range of blasts: count more cells."
    return None


def corrected(record: Mapping[str, Any], review: Review) -> dict[str, Any]:
    """Return a copy of a record with a person's changes in it; cells and types that do not exist are passed over.

    A type that a person gave is "corrected", and "confirmed" where it is the one suggested.

    Parameters
    ----------
    record : mapping
        As `record` gives it, of a file that was read.
    review : Review
    """
    out = copy.deepcopy(dict(record))
    for label, key in review.types.items():
        if 1 <= label <= len(out["cells"]) and key in TITLES:
            cell = out["cells"][label - 1]
            suggested = cell.get("suggested_type")
            source = "confirmed" if key == suggested else "corrected"
            cell.update(type=key, suggested_type=suggested, type_source=source)
    if any("type" in cell for cell in out["cells"]):
        out["differential"] = _differential(out["cells"])
        # Before the scale, since its red cells say whether this is a smear.
        out["from_cells"] = from_cells(out)
    if review.micrometres is not None:
        out["scale"] = {"um_per_px": review.micrometres, "source": "entered", "red_cells": 0}
    return out


def from_cells(record: Mapping[str, Any]) -> str | None:
    """Say in a sentence what its cells add to a field's reading.

    Field and cells are read by two networks. Where these are at odds, nothing but the sentence tells. Where the field
    can't be read, its cells still say something: whether they are blasts carries over to other laboratories, a field's
    look does not.

    Of the cells of such a field two shares of blasts can be told: of those called blasts, as the differential has it,
    and of those to expect (`leuk.cells.expected_blasts`). Where they differ, the sentence says both.

    Parameters
    ----------
    record : mapping
        As `record` gives it, with a ``differential`` and the scale that was estimated.

    Returns
    -------
    str or None
        None where field and cells agree, or nothing is known of either.
    """
    count, cells = record["differential"], record["cells"]
    if not record["outside"]:
        return _at_odds(record["suggestion"], count) if record["suggestion"] in record["probabilities"] else None
    if len(cells) == 1 and cells[0]["type_source"] != "suggested":
        done = "Confirmed by you as" if cells[0]["type_source"] == "confirmed" else "Changed by you to"
        return f"{done} {TITLES[cells[0]['type']].lower()}."
    if count["expected_blasts"] is None:
        return None
    # Red cells make a picture a smear, and so does cutting cells out of one.
    smear = record["cut_out"] or (record["scale"] or {}).get("source") == "estimated"
    if len(cells) == 1:
        lead = "By its look alone, the cell" if smear else "If it is a white cell, it"
        return f"{lead} is a blast with a probability of {chance(count['expected_blasts'])}."
    share, called = percent(count["expected_blasts"]), percent(count["types"].get("blast", {"share": 0.0})["share"])
    # Nobody knows how cells were chosen for cutting out: their share says nothing of the smear's.
    lead = (
        "Of the cells cut out" if record["cut_out"] else "Of its single cells" if smear else "If these are white cells"
    )
    if record["cut_out"]:
        end = "."
    elif count["total"] < LEAST_COUNT:
        end = "; so few cells say little of a smear."
    else:
        end = "; acute leukaemia begins at 20 % as a rule."
    of = "" if smear else " of them"
    if share == called:
        return f"{lead}, expect {share}{of} to be blasts{end}"
    called = "none" if called == "0 %" else called
    return f"{lead}, {called}{of} are called blasts; weighing how sure each call is, expect {share}{end}"


def percent(share: float) -> str:
    """Write a share as a whole percentage; one of few cells is not none, nor one of nearly all all."""
    if 0 < share < 0.005:
        return "< 1 %"
    if 0.995 <= share < 1:
        return "> 99 %"
    return f"{int(100 * share + 0.5)} %"


def chance(probability: float) -> str:
    """Write a model's probability as a whole percentage: never 0 % or 100 %, though a record's digits may say so."""
    return percent(min(max(probability, 1e-6), 1 - 1e-6))


def _at_odds(suggestion: str, count: Mapping[str, Any]) -> str | None:
    """Return the sentence for a field that is read as its count of cells is not."""
    odds = at_odds(suggestion, count)
    if odds is None:
        return None
    if suggestion == "benign":
        return f"{odds}: so do hematogones. Looks alone do not tell them from lymphoblasts; immunophenotyping does."
    return f"{odds}: check the cells before you rely on either."


def at_odds(suggestion: str, count: Mapping[str, Any]) -> str | None:
    """Say how a field is read as its cells are not, without an end to the sentence; None where the two agree.

    Parameters
    ----------
    suggestion : str
        Class key that the field is read as.
    count : mapping
        As `count_types` gives it.
    """
    total, blasts = count["total"], count["types"].get("blast", {"count": 0})["count"]
    many = blasts >= ACUTE * total
    if not total or many == (suggestion != "benign") or (many and total < LEAST_COUNT):
        return None
    if total == 1:
        shown = "its one white cell does not look like a blast"
    else:
        shown = (
            f"{blasts or 'none'} of {total} white cells {'look like blasts' if blasts > 1 else 'looks like a blast'}"
        )
    return f"The field is read as {'benign' if many else 'leukaemic'}, and yet {shown}"


def _differential(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the count of a record's cells, and how many blasts to expect; a type that a person told is certain."""
    blasts = _blasts(cells)
    share = expected_blasts((key for key, _ in blasts), (blast for _, blast in blasts))
    return count_types(cell["type"] for cell in cells if "type" in cell) | {
        "expected_blasts": None if share is None else round(share, _SHARE_DIGITS)
    }


def _blasts(cells: Sequence[Mapping[str, Any]]) -> list[tuple[str, float]]:
    """List type and probability of a blast of each cell that something is known of."""
    # Of a cell that had no type before a person left it unidentified, nothing is.
    return [
        (cell["type"], float(cell["type"] == "blast") if _told(cell) else cell["type_probabilities"]["blast"])
        for cell in cells
        if "type" in cell and (_told(cell) or "type_probabilities" in cell)
    ]


def _told(cell: Mapping[str, Any]) -> bool:
    """Tell whether a person said what a cell is; "unidentified" says only that nobody knows."""
    return cell["type_source"] != "suggested" and cell["type"] != UNIDENTIFIED


def main_class(analysis: Analysis) -> str:
    """Name the class whose heat map stands for the image: the one suggested, or the likeliest if none is."""
    prediction = analysis.prediction
    if prediction.suggestion in prediction.classes:
        return prediction.suggestion
    best = max(range(len(prediction.classes)), key=lambda i: prediction.probabilities[i])
    return prediction.classes[best]


def cell_rows(segmentation: Segmentation, file: str, sha256: str = "", scale: Scale | None = None) -> list[Row]:
    """List one row per cell in the order of `CSV_COLUMNS`, of cells whose types were not told."""
    one_outline = has_one_outline(segmentation.method)
    cells = [_cell(cell, None, one_outline) for cell in segmentation.cells]
    return record_rows({"file": file, "sha256": sha256, "scale": _scale(scale), "cells": cells})


def record_rows(record: Mapping[str, Any]) -> list[Row]:
    """List one row per cell of a record, in the order of `CSV_COLUMNS`; "" where there is nothing to say."""
    name, scale = _inert(record["file"]), record["scale"] or {}
    um = scale.get("um_per_px", "")
    rows = []
    for label, cell in enumerate(record["cells"], start=1):
        lengths = [
            round(cell[key] * um, 2) if um and cell[key] is not None else "" for key in ("diameter", "nucleus_diameter")
        ]
        probabilities = cell.get("type_probabilities") or {}
        values = [
            name,
            label,
            *cell["box"],
            *(cell[key] for key in ("area", "nucleus_area", "nc_ratio", "eccentricity", "circularity", "solidity")),
            *cell["mean_color"],
            "yes" if cell["touches_border"] else "no",
            *(cell[key] for key in MEASURES),
            *lengths,
            um,
            scale.get("source", ""),
            *(cell.get(key) for key in ("type", "type_source", "suggested_type")),
            *(probabilities.get(key) for key in TYPES),
            record["sha256"],
        ]
        rows.append(tuple("" if value is None else value for value in values))
    return rows


def to_csv(rows: Iterable[Sequence[str | int | float]], *, header: bool = True) -> str:
    """Write rows of `cell_rows` as CSV text (RFC 4180), headed by `CSV_COLUMNS` unless `header` is false."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    if header:
        writer.writerow(CSV_COLUMNS)
    writer.writerows(rows)
    return out.getvalue()


def _cell(cell: Cell, kind: CellType | None, one_outline: bool) -> dict[str, Any]:
    out = {
        "box": [int(v) for v in cell.box],
        "area": int(cell.area),
        "nucleus_area": int(cell.nucleus_area),
        "nc_ratio": round(float(cell.nc_ratio), _SHARE_DIGITS),
        "eccentricity": round(float(cell.eccentricity), _SHARE_DIGITS),
        "circularity": round(float(cell.circularity), _SHARE_DIGITS),
        "solidity": round(float(cell.solidity), _SHARE_DIGITS),
        "touches_border": bool(cell.touches_border),
        "mean_color": [round(float(v), 1) for v in cell.mean_color],
    }
    for key in MEASURES:
        value = None if one_outline and key in _NUCLEAR else getattr(cell, key)
        digits = 2 if "diameter" in key else _SHARE_DIGITS
        out[key] = value if value is None or isinstance(value, int) else round(float(value), digits)
    if kind is not None:
        out["type"] = out["suggested_type"] = kind.type
        out["type_source"] = "suggested"
        out["type_probabilities"] = {
            key: round(p, _SHARE_DIGITS) for key, p in zip(TYPES, kind.probabilities, strict=True)
        }
    return out


def _scale(scale: Scale | None) -> dict[str, Any] | None:
    if scale is None:
        return None
    return {"um_per_px": float(f"{scale.micrometres:.4g}"), "source": scale.source, "red_cells": scale.red_cells}


def _inert(text: str) -> str:
    """Keep a spreadsheet from running a file's name as a formula (CWE-1236)."""
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text

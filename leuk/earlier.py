"""What a person changed in readings that were saved, taken over when the same photographs are read again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from leuk.cells.values import TITLES
from leuk.errors import DataError
from leuk.report import Review

SAME_CELL = 0.7
"""Overlap (intersection over union) of two boxes from which they are of one cell: another release may redraw it."""

Box = tuple[float, float, float, float]


def read_changes(data: bytes, name: str) -> dict[str, list[dict[str, Any]]]:
    """Read what a person changed from a JSON file of readings.

    Parameters
    ----------
    data : bytes
        The file, as Review saves the reading of one photograph or those of all.
    name : str
        What the file is called.

    Returns
    -------
    dict
        By SHA-256 of a photograph a list with ``method`` (way of finding cells), ``types`` (pairs of a box and a key of
        `leuk.cells.TITLES`) and ``um_per_px`` (a scale that was entered, or None) of each of its readings in which
        something was changed.

    Raises
    ------
    DataError
        If the file is no JSON, or holds no readings of Leuk.
    """
    try:
        found = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):  # what is no text, too, is a ValueError
        raise DataError(f"{name} can't be read as JSON; {_WANTED}") from None
    readings = [one for one in (found if isinstance(found, list) else [found]) if _is_reading(one)]
    if not readings:
        raise DataError(f"{name} holds no readings of Leuk; {_WANTED}")
    out: dict[str, list[dict[str, Any]]] = {}
    for one in readings:
        scale = one.get("scale")
        um = scale.get("um_per_px") if isinstance(scale, Mapping) and scale.get("source") == "entered" else None
        types = [pair for cell in one["cells"] if (pair := _told(cell)) is not None]
        if types or _is_scale(um):
            change = {"method": one.get("method"), "types": types, "um_per_px": um if _is_scale(um) else None}
            out.setdefault(one["sha256"], []).append(change)
    return out


_WANTED = "to go on with what you changed earlier, add the JSON that “All readings JSON” saves."


def _is_reading(one: Any) -> bool:
    return isinstance(one, Mapping) and isinstance(one.get("sha256"), str) and isinstance(one.get("cells"), list)


def _is_scale(um: Any) -> bool:
    return isinstance(um, int | float) and not isinstance(um, bool) and 0.001 <= um <= 10


def _told(cell: Any) -> tuple[Box, str] | None:
    """Return box and type of a cell whose type a person told."""
    if not isinstance(cell, Mapping) or cell.get("type_source") not in ("corrected", "confirmed"):
        return None
    box, kind = cell.get("box"), cell.get("type")
    if not isinstance(box, list) or len(box) != 4 or not all(type(v) in (int, float) for v in box):
        return None
    if not isinstance(kind, str) or kind not in TITLES:
        return None
    x0, y0, x1, y1 = box
    return ((x0, y0, x1, y1), kind) if x0 < x1 and y0 < y1 else None


def review_of(record: Mapping[str, Any], changes: Mapping[str, list[dict[str, Any]]]) -> Review:
    """Return the changes that hold for a reading.

    Types go to the same cells, found in the same way: another finds others. A scale is the photograph's.

    Parameters
    ----------
    record : mapping
        As `leuk.report.record` gives it.
    changes : mapping
        As `read_changes` gives them; of two for one cell the later holds.
    """
    types: dict[int, str] = {}
    um = None
    for change in changes.get(record["sha256"], ()):
        um = change["um_per_px"] or um
        if change["method"] != record["method"]:
            continue
        for _, kind, label in _placed(record, change["types"]):
            if label is not None:
                types[label] = kind
    return Review(types, um)


def not_held(record: Mapping[str, Any], changes: Mapping[str, list[dict[str, Any]]]) -> dict[str, int]:
    """Count the types that were given to a photograph's cells and that hold for none of a reading.

    Parameters
    ----------
    record, changes : mapping
        As for `review_of`.

    Returns
    -------
    dict
        By the way of finding cells under which they were given, if there are any, how many: all of another way than the
        reading's, and of its own those whose cell was not found again.
    """
    out: dict[str, set[Box]] = {}  # what two files say of one cell is one type
    for change in changes.get(record["sha256"], ()):
        same = change["method"] == record["method"]
        lost = {box for box, _, label in _placed(record, change["types"]) if not same or label is None}
        out.setdefault(str(change["method"]), set()).update(lost)
    return {method: len(boxes) for method, boxes in out.items() if boxes}


def _placed(record: Mapping[str, Any], types: Iterable[tuple[Box, str]]) -> Iterator[tuple[Box, str, int | None]]:
    """Give box and type of each cell that was told of, and its label in a reading if it was found again."""
    labels: dict[Box, int] = {tuple(cell["box"]): label for label, cell in enumerate(record["cells"], 1)}
    for box, kind in types:
        # As a rule nothing has changed, and each cell has the box that it had.
        near = [box] if box in labels else [other for other in labels if _overlap(box, other) >= SAME_CELL]
        yield box, kind, labels[max(near, key=partial(_overlap, box))] if near else None


def _overlap(a: Box, b: Box) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    shared = wide * high
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)

"""A reading as a record for JSON and as rows for a table: what the page downloads and the command line writes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # at run time they would bring the networks along, which nothing here needs
    from leuk.analysis import Analysis
    from leuk.segmentation import Cell, Segmentation

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
)
"""Header of the table of cells; lengths and areas in pixels of the original image."""

_SHARE_DIGITS = 4
_PROBABILITY_DIGITS = 6


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
        ``probabilities`` by class key, ``malignant_probability``, ``suggestion`` (class key or "cannot_tell") and
        ``cells``, a list with ``box`` (x0, y0, x1, y1, half-open), ``area``, ``nucleus_area`` (pixels), ``nc_ratio``,
        ``eccentricity``, ``circularity``, ``solidity`` (0 … 1) and ``touches_border``. If the analysis holds heat
        maps, also ``heat_on_cells`` (None where there is no heat) and ``cells_share`` of the map of `main_class`.
        Plain Python values only.
    """
    prediction = analysis.prediction
    out: dict[str, Any] = {
        "file": file,
        "status": "read",
        "error": None,
        "sha256": analysis.image.sha256,
        "width": analysis.image.width,
        "height": analysis.image.height,
        "model": prediction.model,
        "probabilities": {
            key: round(float(p), _PROBABILITY_DIGITS)
            for key, p in zip(prediction.classes, prediction.probabilities, strict=True)
        },
        "malignant_probability": round(float(prediction.malignant_probability), _PROBABILITY_DIGITS),
        "suggestion": prediction.suggestion,
        "cells": [_cell(cell) for cell in analysis.segmentation.cells],
    }
    explanation = analysis.explanations.get(main_class(analysis))
    if explanation is not None:
        on_cells = explanation.heat_on_cells
        out["heat_on_cells"] = None if on_cells is None else round(float(on_cells), _SHARE_DIGITS)
        out["cells_share"] = round(float(explanation.cells_share), _SHARE_DIGITS)
    return out


def refused(file: str, error: str) -> dict[str, Any]:
    """Give the record of a file that could not be read: the keys of `record`, with nothing in them but the reason.

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
        "probabilities": None,
        "malignant_probability": None,
        "suggestion": None,
        "cells": [],
    }


def main_class(analysis: Analysis) -> str:
    """Name the class whose heat map stands for the image: the one suggested, or the likeliest if none is."""
    prediction = analysis.prediction
    if prediction.suggestion in prediction.classes:
        return prediction.suggestion
    best = max(range(len(prediction.classes)), key=lambda i: prediction.probabilities[i])
    return prediction.classes[best]


def cell_rows(segmentation: Segmentation, file: str) -> list[tuple[str | int | float, ...]]:
    """List one row per cell in the order of `CSV_COLUMNS`."""
    name = _inert(file)
    return [
        (
            name,
            cell.label,
            *(int(v) for v in cell.box),
            int(cell.area),
            int(cell.nucleus_area),
            *(round(float(v), _SHARE_DIGITS) for v in (cell.nc_ratio, cell.eccentricity, cell.circularity)),
            round(float(cell.solidity), _SHARE_DIGITS),
            *(round(float(v), 1) for v in cell.mean_color),
            "yes" if cell.touches_border else "no",
        )
        for cell in segmentation.cells
    ]


def to_csv(rows: Iterable[tuple[str | int | float, ...]], *, header: bool = True) -> str:
    """Write rows of `cell_rows` as CSV text (RFC 4180), headed by `CSV_COLUMNS` unless `header` is false."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    if header:
        writer.writerow(CSV_COLUMNS)
    writer.writerows(rows)
    return out.getvalue()


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "box": [int(v) for v in cell.box],
        "area": int(cell.area),
        "nucleus_area": int(cell.nucleus_area),
        "nc_ratio": round(float(cell.nc_ratio), _SHARE_DIGITS),
        "eccentricity": round(float(cell.eccentricity), _SHARE_DIGITS),
        "circularity": round(float(cell.circularity), _SHARE_DIGITS),
        "solidity": round(float(cell.solidity), _SHARE_DIGITS),
        "touches_border": bool(cell.touches_border),
    }


def _inert(text: str) -> str:
    """Keep a spreadsheet from running a file's name as a formula (CWE-1236)."""
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text

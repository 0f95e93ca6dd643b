"""Single white cells: what type each may be, and how many there are of each."""

from leuk.cells.values import (
    ACUTE,
    ARTEFACT,
    NOT_COUNTED,
    TITLES,
    TYPES,
    UNIDENTIFIED,
    CellType,
    Differential,
    Share,
    differential,
    expected_blasts,
    interval,
)

__all__ = [
    "ACUTE",
    "ARTEFACT",
    "NOT_COUNTED",
    "TITLES",
    "TYPES",
    "UNIDENTIFIED",
    "CellType",
    "Differential",
    "Share",
    "differential",
    "expected_blasts",
    "interval",
]

"""The public ALL set of Taleqani Hospital (Ghaderzadeh et al. 2022, doi 10.1002/int.22753), its groups and folds."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from leuk.errors import DataError
from leuk.image import read_image

CLASSES = ("benign", "early_pre_b", "pre_b", "pro_b")
FOLDERS = {"Benign": "benign", "Early": "early_pre_b", "Pre": "pre_b", "Pro": "pro_b"}


@dataclass(frozen=True, eq=False)
class Fields:
    """Labelled fields of one size, in memory.

    Attributes
    ----------
    files : tuple of str
        Names relative to the data folder, with forward slashes.
    pixels : numpy.ndarray
        uint8, (N, H, W, 3), RGB, as photographed (scale bar not hidden).
    labels : numpy.ndarray
        int64, (N,): index into `CLASSES`.
    folds : numpy.ndarray
        int64, (N,): the grouped partition.
    groups : numpy.ndarray
        int64, (N,): pseudo-session of each field, unique across classes; never a patient.
    duplicates : numpy.ndarray
        int64, (N,): near-duplicate group of each field.
    """

    files: tuple[str, ...]
    pixels: np.ndarray
    labels: np.ndarray
    folds: np.ndarray
    groups: np.ndarray
    duplicates: np.ndarray

    def __len__(self) -> int:
        return len(self.files)


class Listed(NamedTuple):
    """A line of a table of groups; numbers of sessions count inside their class."""

    file: str
    folder: str
    near_duplicate: int
    session: int
    fold: int
    scale_bar: str


_NUMBERS = ("near_dup_group", "session", "fold")


def read_groups(table: Path) -> list[Listed]:
    """Read a table of groups: a CSV with the columns file, class, near_dup_group, session, fold and, if any, scale_bar.

    Raises
    ------
    DataError
        If the table is missing, can't be read, or lacks a column or rows; if a line lacks a value, or has no number
        where one belongs.
    """
    rows: list[Listed] = []
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            missing = {"file", "class", *_NUMBERS} - set(reader.fieldnames or ())
            if missing:
                raise DataError(f"The table {table.name} lacks the columns {', '.join(sorted(missing))}; add them.")
            for row in reader:
                given = {column: (value or "").strip() for column, value in row.items() if column}
                for column in ("file", "class", *_NUMBERS):
                    if not given[column]:
                        raise DataError(f"Line {reader.line_num} of {table.name} lacks a {column}; fill it in.")
                    if column in _NUMBERS and not re.fullmatch(r"\d{1,9}", given[column]):
                        raise DataError(
                            f"Line {reader.line_num} of {table.name} has {given[column][:40]!r} as {column}; "
                            "give a whole number."
                        )
                near, session, fold = (int(given[column]) for column in _NUMBERS)
                rows.append(Listed(given["file"], given["class"], near, session, fold, given.get("scale_bar", "")))
    except FileNotFoundError as error:
        raise DataError(
            f"There is no table of groups at {table.name}; name one with columns file, class, session, fold."
        ) from error
    except OSError as error:
        raise DataError(f"{table} can't be opened ({error.strerror}); ask for the right to read it.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table.name} is no table of text; save it as CSV in UTF-8.") from error
    if not rows:
        raise DataError(f"The table {table.name} has no rows; add one for each field.")
    return rows


def _check(rows: Sequence[Listed], name: str) -> None:
    """Refuse a table by which a network would be asked about fields that it has seen."""
    if twice := [file for file, count in Counter(row.file for row in rows).items() if count > 1]:
        raise DataError(f"The table {name} lists {twice[0]} twice; name each field once.")
    folds: dict[tuple[str, str, int], int] = {}
    for row in rows:
        for key in (("session", row.folder, row.session), ("group of near-duplicates", "", row.near_duplicate)):
            if folds.setdefault(key, row.fold) != row.fold:
                of = f" of {row.folder}" if row.folder in key else ""
                raise DataError(
                    f"The table {name} parts the {key[0]} {key[2]}{of} among folds {folds[key]} and {row.fold}; put "
                    "all of it into one, or figures would be too good."
                )


def load_fields(folder: Path, groups: Path | None = None) -> Fields:
    """Read the fields that a groups table names.

    Parameters
    ----------
    folder : pathlib.Path
        Holds ``Original/Benign`` and so on.
    groups : pathlib.Path, optional
        CSV with the columns file, class, near_dup_group, session and fold; ``groups.csv`` in the folder by default.

    Returns
    -------
    Fields

    Raises
    ------
    DataError
        If the table is missing or malformed, parts a session or near-duplicates among folds, or fields differ in size.
    ImageError
        If a field can't be read.
    """
    table = groups or folder / "groups.csv"
    rows = read_groups(table)
    unknown = {row.folder for row in rows} - set(FOLDERS)
    if unknown:
        raise DataError(
            f"The table {table.name} has unknown classes {', '.join(sorted(unknown))}; use {', '.join(FOLDERS)}."
        )
    _check(rows, table.name)
    images = [read_image(folder / row.file).pixels for row in rows]
    if len({image.shape for image in images}) != 1:
        raise DataError(f"The fields in {folder.name} differ in size; training needs them alike.")
    # A pseudo-session is numbered inside its class.
    sessions = {name: index for index, name in enumerate(sorted({(row.folder, row.session) for row in rows}))}
    return Fields(
        files=tuple(row.file for row in rows),
        pixels=np.stack(images),
        labels=np.array([CLASSES.index(FOLDERS[row.folder]) for row in rows]),
        folds=np.array([row.fold for row in rows]),
        groups=np.array([sessions[row.folder, row.session] for row in rows]),
        duplicates=np.array([row.near_duplicate for row in rows]),
    )

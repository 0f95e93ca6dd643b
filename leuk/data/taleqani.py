"""The public ALL set of Taleqani Hospital (Ghaderzadeh et al. 2022, doi 10.1002/int.22753), its groups and folds."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

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
        If the table is missing or malformed, or fields differ in size.
    ImageError
        If a field can't be read.
    """
    table = groups or folder / "groups.csv"
    if not table.is_file():
        raise DataError(
            f"There is no table of groups at {table.name}; name one with columns file, class, session, fold."
        )
    with table.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    missing = {"file", "class", "near_dup_group", "session", "fold"} - set(rows[0] if rows else ())
    if missing:
        raise DataError(f"The table {table.name} lacks the columns {', '.join(sorted(missing))}; add them.")
    unknown = {row["class"] for row in rows} - set(FOLDERS)
    if unknown:
        raise DataError(
            f"The table {table.name} has unknown classes {', '.join(sorted(unknown))}; use {', '.join(FOLDERS)}."
        )
    images = [read_image(folder / row["file"]).pixels for row in rows]
    if len({image.shape for image in images}) != 1:
        raise DataError(f"The fields in {folder.name} differ in size; training needs them alike.")
    # A pseudo-session is numbered inside its class.
    sessions = {name: index for index, name in enumerate(sorted({(row["class"], int(row["session"])) for row in rows}))}
    return Fields(
        files=tuple(row["file"] for row in rows),
        pixels=np.stack(images),
        labels=np.array([CLASSES.index(FOLDERS[row["class"]]) for row in rows]),
        folds=np.array([int(row["fold"]) for row in rows]),
        groups=np.array([sessions[row["class"], int(row["session"])] for row in rows]),
        duplicates=np.array([int(row["near_dup_group"]) for row in rows]),
    )

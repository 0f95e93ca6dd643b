"""A labelled data set as a light list of files, read from a folder of class folders, a table or a public layout."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Progress = Callable[[float, str], None]
"""Told the share done, 0 … 1, and what is under way; it stops the work by raising `leuk.errors.Cancelled`."""

BENIGN_NAMES = ("benign", "normal", "healthy", "hem", "negative")
"""Keys of classes that are not leukaemia."""

PUBLIC_COUNTS = {"Benign": 504, "Early": 985, "Pre": 963, "Pro": 804}
"""Fields of each class in the whole public set of Taleqani Hospital, 3,256 in all."""


@dataclass(frozen=True, eq=False)
class DataSet:
    """Files and their labels, without pixels.

    Attributes
    ----------
    name : str
        What to call it on a screen.
    files : tuple of str
        Names relative to `root`, with forward slashes.
    classes : tuple of str
        Keys of the classes, a benign one first.
    labels : numpy.ndarray
        int64, (N,): index into `classes`.
    root : pathlib.Path or None
        Folder of the images; None where there are none.
    segmented : tuple of str or None, optional
        Per file, the name of its "Segmented" twin relative to `root`, None for a file without one.
    split : tuple of str, optional
        Per file, such as "train" or "test"; "" where not known.
    session : numpy.ndarray, optional
        int64, (N,): pseudo-session (or the patient that a table names), unique across classes, -1 where not known.
    near_duplicate : numpy.ndarray, optional
        int64, (N,): group of near duplicates as listed, -1 where not known.
    fold : numpy.ndarray, optional
        int64, (N,): part of the grouped partition, -1 where not known.
    scale_bar : tuple of str, optional
        Per file, the style of its scale bar; "" where not known.
    problems : tuple of str
        One sentence for each file that was left out, and for what else is wrong.
    """

    name: str
    files: tuple[str, ...]
    classes: tuple[str, ...]
    labels: np.ndarray
    root: Path | None = None
    segmented: tuple[str | None, ...] | None = None
    split: tuple[str, ...] | None = None
    session: np.ndarray | None = None
    near_duplicate: np.ndarray | None = None
    fold: np.ndarray | None = None
    scale_bar: tuple[str, ...] | None = None
    problems: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.files)

    @property
    def benign(self) -> int | None:
        """Index of the class that is not leukaemia; None if no class is named so."""
        raise NotImplementedError

    def path(self, row: int) -> Path:
        """Return where the image of a row is.

        Raises
        ------
        DataError
            If the set has no folder.
        """
        raise NotImplementedError

    def segmented_path(self, row: int) -> Path | None:
        """Return where the "Segmented" twin of a row is; None if it has none."""
        raise NotImplementedError

    def subset(self, rows: np.ndarray) -> DataSet:
        """Return some rows, int (M,), as a data set of their own."""
        raise NotImplementedError


def load_dataset(path: str | os.PathLike[str]) -> DataSet:
    """Read which images there are and what they are labelled; no image is opened.

    Parameters
    ----------
    path : str or path-like
        A folder of class folders (with or without ``Original`` and ``Segmented``, or ``train``, ``val``, ``test``,
        above them); a folder of files named as ALL-IDB's, ``*_1`` malignant and ``*_0`` benign; or a CSV with columns
        path and label, and optionally split, session and fold, its paths relative to itself.

    Returns
    -------
    DataSet

    Raises
    ------
    DataError
        There is nothing there, no image, or no label can be told.
    """
    raise NotImplementedError


def taleqani(root: str | os.PathLike[str] | None = None) -> DataSet:
    """Return the listed 2,516 fields of the public set, with groups and folds, whether the images are here or not.

    Parameters
    ----------
    root : str or path-like, optional
        Folder that holds ``Original/Benign`` and so on; fields that are not in it are named in `problems`, but stay.
    """
    raise NotImplementedError


@dataclass(frozen=True)
class Check:
    """How a download of the public set compares with what is known of it.

    Attributes
    ----------
    counts : dict
        Per folder (Benign, Early, Pre, Pro): found and expected number of originals.
    twins : dict
        The same of segmented images.
    missing : tuple of str
        Names that the whole set has and the folder has not.
    unexpected : tuple of str
        Names that the folder has and the set has not.
    problems : tuple of str
        One sentence for each difference.
    """

    counts: dict[str, tuple[int, int]]
    twins: dict[str, tuple[int, int]]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing differs."""
        return not self.problems


def check_taleqani(root: str | os.PathLike[str]) -> Check:
    """Compare a folder with the known counts and names of the public set.

    Raises
    ------
    DataError
        If the folder does not exist or does not hold ``Original``.
    """
    raise NotImplementedError

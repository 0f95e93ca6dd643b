"""The fields that a system is trained on: read, labelled for it, and dealt out to folds."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from leuk.data.datasets import DataSet, class_key, load_dataset, random_folds
from leuk.errors import DataError, ImageError
from leuk.image import IMAGE_SUFFIXES, read_image
from leuk.models.preprocessing import shrink
from leuk.models.systems import BINARY, System
from leuk.training.predictions import PARTITIONS

FIELD = 224
"""Side in pixels of the fields that systems are trained on; other fields are brought to it."""


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Fields in memory, as photographed.

    Attributes
    ----------
    name : str
    files : tuple of str
        (N,) names relative to the data folder, with forward slashes. A field's twins are made from it when it is
        trained on, and so never leave its fold.
    pixels : numpy.ndarray
        uint8, (N, FIELD, FIELD, 3), RGB.
    classes : tuple of str
    labels, folds, groups : numpy.ndarray
        int64, (N,): class, fold, and what the bootstrap keeps together (the pseudo-session where it is known).
    problems : tuple of str
        One sentence for each file that was left out, one for all that no session is known of, and one for all whose
        pixels lie in another fold too.
    """

    name: str
    files: tuple[str, ...]
    pixels: np.ndarray
    classes: tuple[str, ...]
    labels: np.ndarray
    folds: np.ndarray
    groups: np.ndarray
    problems: tuple[str, ...] = ()

    def fingerprint(self) -> str:
        """Return a SHA-256 over the names and pixels of the fields, in order."""
        digest = hashlib.sha256()
        for name, pixels in zip(self.files, self.pixels, strict=True):
            digest.update(os.fsencode(name))
            digest.update(np.ascontiguousarray(pixels).data)
        return digest.hexdigest()


def gather(
    data: Path,
    system: System,
    partition: str = "grouped",
    *,
    skip_broken: bool = False,
    folds: int = 5,
    run: Path | None = None,
) -> TrainingSet:
    """Read a data set for a system.

    Parameters
    ----------
    data : pathlib.Path
        As `leuk.data.datasets.load_dataset` takes it.
    system : System
        One of two classes takes all but the benign one together as malignant.
    partition : str
        "random" deals fields out one by one; "grouped" keeps pseudo-sessions and near-duplicates together.
    skip_broken : bool
        Leave images out that can't be read, and name them; else the first is refused.
    folds : int
        Where the data bring none of their own.
    run : pathlib.Path, optional
        Folder of the training run; where it lies among the class folders it is none of them.

    Returns
    -------
    TrainingSet

    Raises
    ------
    DataError
        If there are no classes, a class has no image, an image can't be read, nothing says what belongs together, or
        the folds of a grouped partition part what does.
    """
    if partition not in PARTITIONS:
        raise DataError(f"There is no partition {partition!r}; choose one of: {', '.join(PARTITIONS)}.")
    dataset = load_dataset(data)
    if data.is_dir():
        _refuse_empty_folders(dataset, run)
    classes, labels = _classes(dataset, system)
    # Dealt out before broken files are left out, so that one of them does not move all others.
    dealt = random_folds(dataset.labels, folds=folds) if partition == "random" else _grouped(dataset, folds)
    found, kept, problems = [], [], list(dataset.problems)
    if (alone := np.flatnonzero(dealt < 0)).size:
        problems.append(
            f"{alone.size:,} fields, such as {dataset.files[alone[0]]}, were left out: nothing says to which session "
            "they belong, and so which fold may hold them."
        )
    for row in np.flatnonzero(dealt >= 0).tolist():
        try:
            found.append(shrink(middle_square(read_image(dataset.path(row)).pixels), FIELD))
            kept.append(row)
        except ImageError as error:
            # A reader's message ends in a sentence about the one image; here it is one of thousands.
            reason = str(error).rstrip(".")
            if not skip_broken:
                raise DataError(
                    f"{dataset.files[row]} in the data set can't be read ({reason}); mend it, or leave such files out "
                    "with --skip-broken."
                ) from error
            problems.append(f"{dataset.files[row]} was left out: {reason}.")
    if alike := _alike_across_folds(found, dealt[kept]):
        one, other = (dataset.files[kept[row]] for row in (alike[0][0], alike[0][-1]))
        problems.append(
            f"{sum(map(len, alike)):,} fields show the same pixels as one in another fold, such as {one} and {other}, "
            "which makes figures too good: leave copies out, or keep them in one session."
        )
    lacking = sorted(set(range(len(classes))) - set(labels[kept].tolist()))
    if lacking:
        raise DataError(f"The class {classes[lacking[0]]} has no image that can be read; add some.")
    groups = _groups(dataset)
    return TrainingSet(
        name=dataset.name,
        files=tuple(dataset.files[row] for row in kept),
        pixels=np.stack(found),
        classes=classes,
        labels=labels[kept],
        folds=dealt[kept],
        groups=groups[kept],
        problems=tuple(problems),
    )


def middle_square(pixels: np.ndarray) -> np.ndarray:
    """Return the middle square of an image, (H, W, 3)."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return np.ascontiguousarray(pixels[top : top + side, left : left + side])


def _alike_across_folds(pixels: Sequence[np.ndarray], folds: np.ndarray) -> list[list[int]]:
    """Return the rows of each field that lies in several folds, pixel for pixel, ordered by fold."""
    same: dict[bytes, list[int]] = {}
    for row, field in enumerate(pixels):
        same.setdefault(hashlib.sha256(np.ascontiguousarray(field).data).digest(), []).append(row)
    several = (rows for rows in same.values() if len(set(folds[rows].tolist())) > 1)
    return [sorted(rows, key=lambda row: (folds[row], row)) for rows in several]


def _refuse_empty_folders(dataset: DataSet, run: Path | None) -> None:
    """Refuse a class folder without images: it would vanish silently, and its class with it."""
    if dataset.root is None or not dataset.root.is_dir():
        return
    # Where labels come from the files' own names, as in ALL-IDB, folders are no classes.
    folders = {path.parent for name in dataset.files if len((path := PurePosixPath(name)).parts) > 1}
    holders = {folder.parent for folder in folders if class_key(folder.name) in dataset.classes}
    for holder in sorted(holders):
        for folder in sorted((dataset.root / holder).iterdir()):
            if not folder.is_dir() or folder.name.startswith("."):
                continue
            if run is not None and run.resolve().is_relative_to(folder.resolve()):
                continue
            # What a system hides beside its files is none of them: a Mac's archives have a ._NAME for each image.
            there = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
            if not any(path.suffix.lower() in IMAGE_SUFFIXES for path in there):
                what = "holds no image that Leuk reads (JPEG, PNG, BMP, TIFF)" if there else "is empty"
                raise DataError(f"The class folder {folder.name} {what}; put images into it, or remove it.")


def _classes(dataset: DataSet, system: System) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the classes that a system learns from a data set, a benign one first, and the labels."""
    benign = dataset.benign
    if benign is None or len(dataset.classes) < 2:
        # What was left out may be all of the class that lacks.
        lost = f" {dataset.problems[0]}" if dataset.problems else ""
        raise DataError(
            f"The data set {dataset.name} has {'the classes' if len(dataset.classes) > 1 else 'only the class'} "
            f"{', '.join(dataset.classes)}; give it a benign one and at least one other.{lost}"
        )
    if system.classes == BINARY:
        return BINARY, (dataset.labels != benign).astype(np.int64)
    order = [benign, *(i for i in range(len(dataset.classes)) if i != benign)]
    classes = ("benign", *(dataset.classes[i] for i in order[1:]))
    return classes, np.argsort(order)[dataset.labels].astype(np.int64)


def _groups(dataset: DataSet) -> np.ndarray:
    """Return what belongs together: the session, else the near-duplicate group, else the field alone."""
    alone = np.arange(len(dataset))
    groups = alone.copy()
    for column, offset in ((dataset.near_duplicate, 1_000_000), (dataset.session, 2_000_000)):
        if column is not None:
            groups = np.where(column >= 0, column + offset, groups)
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)


def usual_partition(data: Path) -> str:
    """Return the partition for a data set of which none is named: grouped if it says what belongs together.

    Parameters
    ----------
    data : pathlib.Path
        As for `gather`.

    Raises
    ------
    DataError
        As `leuk.data.datasets.load_dataset`.
    """
    dataset = load_dataset(data)
    return "random" if dataset.session is None and not _has_folds(dataset) else "grouped"


def _has_folds(dataset: DataSet) -> bool:
    return dataset.fold is not None and bool((dataset.fold >= 0).any())


def _grouped(dataset: DataSet, folds: int) -> np.ndarray:
    """Return folds that keep groups whole: the data's own, -1 where these name none; else dealt out here."""
    known = _has_folds(dataset)
    if dataset.session is None and not known:
        raise DataError(
            f"Nothing says which fields of {dataset.name} belong together; name a CSV with a column session or fold, "
            "or use --partition random."
        )
    own = np.full(len(dataset), -1, np.int64) if dataset.fold is None else dataset.fold.astype(np.int64)
    if known:
        _refuse_parted(dataset, own)
        return own
    from sklearn.model_selection import StratifiedGroupKFold

    # A field of no known session may be of any, and so belongs to no fold.
    rows = np.arange(len(dataset)) if dataset.session is None else np.flatnonzero(dataset.session >= 0)
    groups = _groups(dataset)[rows]
    count = min(folds, len(np.unique(groups)))
    if count < 2:
        raise DataError(
            f"All fields of {dataset.name} are of one session, so that none can be held out; name more than one "
            "session, or train with --partition random."
        )
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=0)
    for number, (_, held) in enumerate(splitter.split(groups, dataset.labels[rows], groups)):
        own[rows[held]] = number
    return own


def _refuse_parted(dataset: DataSet, folds: np.ndarray) -> None:
    """Refuse folds that part a session or a group of near-duplicates: their figures would not be those of grouped data.

    Raises
    ------
    DataError
        Naming two fields that belong together.
    """
    for column, title in ((dataset.session, "session"), (dataset.near_duplicate, "group of near-duplicates")):
        if column is None:
            continue
        first: dict[int, int] = {}
        for row in np.flatnonzero((folds >= 0) & (column >= 0)).tolist():
            other = first.setdefault(int(column[row]), row)
            if folds[other] != folds[row]:
                raise DataError(
                    f"The folds of {dataset.name} part a {title}: {dataset.files[other]} lies in fold {folds[other]} "
                    f"and {dataset.files[row]} in fold {folds[row]}; give both one fold, or train with --partition "
                    "random."
                )

"""One image of a data set beside the rest: its cells against those of both classes, what systems said of it."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from leuk.data.datasets import DataSet, Progress, table_rows, unescaped
from leuk.data.measures import Measures
from leuk.data.mistakes import Mistakes, Operating, Verdicts, mistakes, operate_at
from leuk.errors import DataError, LeukError
from leuk.image import read_image
from leuk.segmentation import Segmentation, segment

CELL_MEASURES = ("cells", "nucleus_area", "cell_area", "nc_ratio", "circularity", "solidity")
"""Of an image: how many white cells; medians over them of areas in pixels, of N:C ratio, circularity, solidity."""
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MOST_BYTES = 50_000_000


def cell_measures(segmentation: Segmentation) -> dict[str, float]:
    """Sum an image's cells up, by name of `CELL_MEASURES`; cells that an edge cuts count only for their number.

    What can't be measured, because there is no whole cell, is nan.
    """
    whole = [cell for cell in segmentation.cells if not cell.touches_border] or list(segmentation.cells)
    columns: dict[str, list[float]] = {
        "nucleus_area": [cell.nucleus_area for cell in whole],
        "cell_area": [cell.area for cell in whole],
        "nc_ratio": [cell.nc_ratio for cell in whole],
        "circularity": [cell.circularity for cell in whole],
        "solidity": [cell.solidity for cell in whole],
    }
    found = {"cells": float(len(segmentation.cells))}
    return found | {name: float(np.median(values)) if values else float("nan") for name, values in columns.items()}


def reference_rows(labels: np.ndarray, each: int = 30, seed: int = 0) -> np.ndarray:
    """Draw up to so many rows of every class, int64, sorted: the same each time."""
    rng = np.random.default_rng(seed)
    parts = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return np.sort(np.concatenate([rng.choice(rows, min(each, len(rows)), replace=False) for rows in parts]))


def reference_cells(dataset: DataSet, each: int = 30, progress: Progress | None = None) -> dict[str, np.ndarray]:
    """Measure the cells of some images of every class, to hold others against them.

    Parameters
    ----------
    dataset : DataSet
    each : int
        Images of a class; segmenting all of a large set would take minutes.
    progress : callable, optional

    Returns
    -------
    dict of str to numpy.ndarray
        By name of `CELL_MEASURES`, float64 (N,): nan for the rows not drawn, or not readable.
    """
    rows = reference_rows(dataset.labels, each)
    found = {name: np.full(len(dataset), np.nan) for name in CELL_MEASURES}
    for number, row in enumerate(rows.tolist()):
        if progress is not None:
            progress(number / len(rows), "Measuring cells of each class")
        try:
            measured = cell_measures(segment(read_image(dataset.path(row)), "dye_and_path"))
        except LeukError:
            continue  # said where the set is measured
        for name, value in measured.items():
            found[name][row] = value
    return found


@dataclass(frozen=True)
class Range:
    """A measure of one image against the images of two classes.

    Attributes
    ----------
    name : str
        Of `CELL_MEASURES` or `leuk.data.measures.NAMES`.
    value : float
    classes : tuple of int
        The image's label, and what it was called (once, if they are the same).
    quantiles : tuple of tuple of float
        Per class: 5th, 25th, 50th, 75th and 95th percentile.
    """

    name: str
    value: float
    classes: tuple[int, ...]
    quantiles: tuple[tuple[float, ...], ...]


def against(
    name: str, value: float, values: np.ndarray, labels: np.ndarray, row: int, classes: Sequence[int]
) -> Range | None:
    """Hold a value against those of the other images of some classes; None where there is nothing to compare."""
    kept, quantiles = [], []
    others = np.isfinite(values) & (np.arange(len(values)) != row)
    for label in dict.fromkeys(classes):
        known = values[others & (labels == label)]
        if len(known):
            kept.append(int(label))
            quantiles.append(tuple(float(q) for q in np.quantile(known, _QUANTILES)))
    return Range(name, float(value), tuple(kept), tuple(quantiles)) if kept and np.isfinite(value) else None


def ranges(
    dataset: DataSet,
    row: int,
    classes: Sequence[int],
    measures: Measures | None = None,
    cells: Mapping[str, float] | None = None,
    reference: Mapping[str, np.ndarray] | None = None,
) -> list[Range]:
    """Hold an image's cells and background against two classes; what is not known yet is left out."""
    found: list[Range | None] = []
    if cells is not None and reference is not None:
        found += [
            against(name, cells[name], reference[name], dataset.labels, row, classes)
            for name in ("nucleus_area", "nc_ratio", "circularity")
        ]
    if measures is not None:
        names = ("background_red", "background_green", "background_blue", "brightness", "sharpness")
        found += [
            against(name, measures.values[name][row], measures.values[name], dataset.labels, row, classes)
            for name in names
        ]
    return [one for one in found if one is not None]


def operating_curve(dataset: DataSet, verdicts: Verdicts, steps: int = 100) -> tuple[Operating, ...]:
    """Count at evenly spaced thresholds from 0 to 1, `steps` + 1 of them, so that a slider need ask nobody."""
    return operate_at(dataset, verdicts, [step / steps for step in range(steps + 1)])


def as_called(dataset: DataSet, verdicts: Verdicts) -> tuple[Mistakes, int, int]:
    """Return the mistakes by the likeliest class, and how many known images are benign and malignant.

    Raises
    ------
    DataError
        If no class of the set is benign.
    """
    if dataset.benign is None:
        raise DataError("No class of this set is benign, so there are no false alarms to count; name one 'benign'.")
    benign = int((verdicts.known & (dataset.labels == dataset.benign)).sum())
    return mistakes(dataset, verdicts), benign, int(verdicts.known.sum()) - benign


@dataclass(frozen=True, eq=False)
class Table:
    """A user's own predictions, see `leuk.data.mistakes.PredictionTable`."""

    system: str
    partition: str
    files: tuple[str, ...]
    classes: tuple[str, ...]
    folds: np.ndarray
    probabilities: np.ndarray
    problems: tuple[str, ...] = ()


def read_table(data: bytes, name: str) -> Table:
    """Read a user's own predictions: a CSV with columns file, ``p_CLASS`` for each class and, if any, fold.

    Rows are brought to sum 1; rows without usable numbers are nan, which counts as no prediction. Of a file's rows the
    first counts. Where semicolons part the columns, numbers may have a decimal comma.

    Parameters
    ----------
    data : bytes
        Of the file, compressed by gzip or not.
    name : str
        Of the file; ``SYSTEM.PARTITION.csv``, or any other.

    Raises
    ------
    DataError
        If it is no such table.
    """
    wanted = "it needs a column file and a column p_CLASS for each class"
    try:
        if data[:2] == b"\x1f\x8b":
            with gzip.open(io.BytesIO(data)) as stream:
                data = stream.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise DataError(
                f"{name} is larger than {MOST_BYTES // 1_000_000} MB; leave out columns that are not needed."
            )
        text = data.decode("utf-8-sig")
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{name} is no table of predictions: {wanted}.") from error
    try:
        heads, rows, delimiter = table_rows(text)
    except csv.Error as error:
        raise DataError(f"{name} is no table of predictions ({error}): {wanted}.") from error
    columns = [head for head in heads if head.startswith("p_") and head != "p_"]
    if "file" not in heads or not columns:
        raise DataError(f"{name} is no table of predictions: {wanted}.")
    decimal = "," if delimiter == ";" else "."
    first: dict[str, tuple[list[float], int]] = {}
    differing: dict[str, None] = {}
    for row in rows:
        file = unescaped(row["file"] or "").replace("\\", "/")
        if not file:
            continue
        said = [_number(row[column], decimal) for column in columns], _whole(row.get("fold"))
        if repr(first.setdefault(file, said)) != repr(said):  # nan is no other than itself only when written
            differing[file] = None
    if not first:
        raise DataError(f"{name} holds no prediction; {wanted}, and a line for each image.")
    values = np.array([numbers for numbers, _ in first.values()], np.float64)
    values[~np.isfinite(values).all(axis=1) | (values < 0).any(axis=1) | (values.sum(axis=1) <= 0)] = np.nan
    stem, _, partition = name.removesuffix(".gz").removesuffix(".csv").rpartition(".")
    return Table(
        system=stem if stem and partition in ("random", "grouped") else name.removesuffix(".gz").removesuffix(".csv"),
        partition=partition if partition in ("random", "grouped") else "",
        files=tuple(first),
        classes=tuple(column.removeprefix("p_") for column in columns),
        folds=np.array([fold for _, fold in first.values()], np.int64),
        probabilities=values / values.sum(axis=1, keepdims=True),
        problems=(_told_apart(name, tuple(differing)),) if differing else (),
    )


def _told_apart(name: str, files: Sequence[str]) -> str:
    """Say which files a table predicts more than once, and not alike."""
    if len(files) == 1:
        return f"{name} predicts {files[0]} more than once, and not alike; its first row counts."
    return f"{name} predicts {len(files):,} files, such as {files[0]}, more than once, and not alike; first rows count."


def _number(text: str | None, decimal: str) -> float:
    try:
        return float((text or "nan").replace(decimal, "."))
    except ValueError:
        return float("nan")


def _whole(text: str | None) -> int:
    text = (text or "").strip()
    return int(text) if re.fullmatch(r"\d{1,18}", text) else -1

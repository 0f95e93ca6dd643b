"""Out-of-fold predictions: a system's probabilities for fields that it had not seen, in a small table."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from leuk.data.datasets import escaped, unescaped
from leuk.errors import DataError
from leuk.files import write_all
from leuk.models.cards import weights_folder
from leuk.probability import softmax

PARTITIONS = ("random", "grouped")
"""Random: fields dealt out one by one, as the papers do; grouped: whole pseudo-sessions are held out."""
SUFFIX = ".csv.gz"


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a system said of fields that it had not seen.

    Attributes
    ----------
    system : str
        Name of the system.
    partition : str
        One of `PARTITIONS`.
    files : tuple of str
        (N,) names relative to the data folder, with forward slashes, each once.
    labels : numpy.ndarray
        int64, (N,): index into ``classes``.
    folds : numpy.ndarray
        int64, (N,): the fold in which each field was held out.
    classes : tuple of str
        C class keys in the order of the columns.
    probabilities : numpy.ndarray
        float64, (N, C), 0 … 1, rows sum to 1: softmax, not calibrated.
    """

    system: str
    partition: str
    files: tuple[str, ...]
    labels: np.ndarray
    folds: np.ndarray
    classes: tuple[str, ...]
    probabilities: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.files)
        if self.partition not in PARTITIONS:
            raise ValueError(f"expected a partition among {PARTITIONS}, got {self.partition!r}")
        if len(set(self.files)) != count:
            raise ValueError("expected each file once, got some twice")
        if self.labels.shape != (count,) or self.folds.shape != (count,):
            raise ValueError(f"expected {count} labels and folds, got {self.labels.shape} and {self.folds.shape}")
        if self.probabilities.shape != (count, len(self.classes)):
            raise ValueError(f"expected probabilities ({count}, {len(self.classes)}), got {self.probabilities.shape}")
        if count and not (0 <= self.labels.min() and self.labels.max() < len(self.classes)):
            raise ValueError(f"expected labels 0 … {len(self.classes) - 1}")
        p = self.probabilities
        if count and not (np.isfinite(p).all() and p.min() >= 0 and np.allclose(p.sum(1), 1, atol=1e-3)):
            raise ValueError("expected rows of probabilities of 0 … 1 with sum 1")

    def __len__(self) -> int:
        return len(self.files)

    @property
    def logits(self) -> np.ndarray:
        """Logarithms of the probabilities, float64 (N, C): logits but for a constant in each row.

        What a table rounds to 0 is taken for the least that it tells, 1e-12 at most.
        """
        p = self.probabilities
        return np.log(np.maximum(p, min(1e-12, p[p > 0].min(initial=1.0))))


def predictions_path(system: str, partition: str, folder: Path | None = None) -> Path:
    """Return where a system's table lies: in ``weights/predictions`` unless another folder is named."""
    return (folder or weights_folder() / "predictions") / f"{system}.{partition}{SUFFIX}"


def write_predictions(predictions: Predictions, path: Path) -> None:
    """Write a table: CSV with the columns file, class, fold and ``p_CLASS``, six digits; the same bytes each time."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "class", "fold", *(f"p_{name}" for name in predictions.classes)])
    for file, label, fold, row in zip(
        predictions.files, predictions.labels, predictions.folds, predictions.probabilities, strict=True
    ):
        writer.writerow([escaped(file), predictions.classes[label], int(fold), *(f"{p:.6g}" for p in row)])
    data = text.getvalue().encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_all({path: gzip.compress(data, mtime=0) if path.suffix == ".gz" else data})


def read_predictions(path: Path) -> Predictions:
    """Read a table ``SYSTEM.PARTITION.csv``, compressed by gzip or not.

    Raises
    ------
    DataError
        If the file is missing or is no such table.
    """
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"The table of predictions {path.name} can't be read; make it anew by evaluating.") from error
    try:
        system, partition = path.name.removesuffix(".gz").removesuffix(".csv").rsplit(".", 1)
        rows = list(csv.reader(io.StringIO(text)))
        head, body = rows[0], rows[1:]
        if not body:
            raise ValueError("rows")
        if head[:3] != ["file", "class", "fold"] or not all(name.startswith("p_") for name in head[3:]):
            raise ValueError("columns")
        classes = tuple(name.removeprefix("p_") for name in head[3:])
        return Predictions(
            system=system,
            partition=partition,
            files=tuple(unescaped(row[0]) for row in body),
            labels=np.array([classes.index(row[1]) for row in body], np.int64),
            folds=np.array([int(row[2]) for row in body], np.int64),
            classes=classes,
            probabilities=np.array([[float(p) for p in row[3:]] for row in body], np.float64).reshape(
                len(body), len(classes)
            ),
        )
    except (ValueError, OverflowError, IndexError, csv.Error) as error:
        raise DataError(
            f"{path.name} is no table of predictions; name it SYSTEM.PARTITION.csv, with the columns file, class, "
            "fold and p_CLASS for each class, and a row for each field."
        ) from error


def shipped(folder: Path | None = None) -> dict[tuple[str, str], Path]:
    """Return the tables that are here, by system and partition."""
    found = {}
    for path in sorted((folder or weights_folder() / "predictions").glob(f"*{SUFFIX}")):
        system, _, partition = path.name.removesuffix(SUFFIX).rpartition(".")
        if system and partition in PARTITIONS:
            found[system, partition] = path
    return found


def from_logits(
    system: str,
    partition: str,
    files: Sequence[str],
    labels: np.ndarray,
    folds: np.ndarray,
    classes: Sequence[str],
    logits: np.ndarray,
) -> Predictions:
    """Return the predictions that logits (N, C) stand for, at temperature 1."""
    return Predictions(system, partition, tuple(files), labels, folds, tuple(classes), softmax(logits))


def write_reader(
    outcome: Mapping[str, Any], fields: Any, partition: str = "grouped", folder: Path | None = None
) -> Path:
    """Write the reader's table from what `leuk.training.reader.predict_out_of_fold` returned.

    Parameters
    ----------
    outcome : mapping
        ``logits`` by condition; those "as photographed" are written.
    fields : leuk.data.taleqani.Fields or leuk.data.datasets.DataSet
        Has files, labels and folds in the outcome's order.
    partition : str
    folder : pathlib.Path, optional

    Returns
    -------
    pathlib.Path
    """
    from leuk.data.taleqani import CLASSES

    path = predictions_path("reader", partition, folder)
    logits = outcome["logits"]["as photographed"]
    write_predictions(
        from_logits("reader", partition, fields.files, fields.labels, fields.folds, CLASSES, logits), path
    )
    return path

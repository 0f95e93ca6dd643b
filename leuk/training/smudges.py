"""From cells labelled by eye to the line that parts smudges from cells.

``smudges.csv`` says of 942 objects that the method "default" outlines in fields of the Taleqani set whether they are
smudges (burst nuclei, streaks of them, precipitated stain) or cells. They were labelled by eye, not by a pathologist,
and what was doubtful was left out. All but those of 84 fields are taught; most of these were chosen because a first
line took them for smudges, or nearly. Of the 84 fields that are held out, some were chosen so too, some were drawn.
"""

from __future__ import annotations

import csv
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from leuk.cells import crops as cutting
from leuk.cells import smudges
from leuk.cells.store import CellModel, run
from leuk.image import read_image
from leuk.segmentation import Cell, segment
from leuk.segmentation.field import find_field
from leuk.segmentation.scale import red_cells_beside

TABLE = Path(__file__).with_name("smudges.csv")
NEAR = 0.25
"""Of a cell's diameter: how far from where an object was labelled it may be found."""
WEIGHT = 150.0
"""Labelled objects that the cells of each other laboratory weigh as much as."""
MARGIN = 0.5
"""By how much, in nats, an object must look likelier to be a smudge than a cell. Chosen among four in view of the
held-out fields and of ALL-IDB1, where twice as much leaves most smudges among the cells."""
PENALTY = 0.03
"""Inverse strength of logistic regression's penalty, chosen among three in their view too."""
EVERY = 5
"""Of each other laboratory every so many-th picture is taken."""


@dataclass(frozen=True)
class Label:
    """One line of the table.

    Attributes
    ----------
    file : str
        Class folder and name.
    x, y : float
        Middle of the object's box, pixels.
    smudge, held_out, drawn : bool
        Whether it is one; whether its field is held out; whether it was drawn at random rather than chosen.
    """

    file: str
    x: float
    y: float
    smudge: bool
    held_out: bool
    drawn: bool


def read_labels(table: Path = TABLE) -> tuple[Label, ...]:
    """Read the table of labels."""
    with table.open(encoding="utf-8", newline="") as stream:
        return tuple(
            Label(
                line["file"],
                float(line["x"]),
                float(line["y"]),
                *(line[key] == "1" for key in ("smudge", "held_out", "drawn")),
            )
            for line in csv.DictReader(stream)
        )


@dataclass(frozen=True, eq=False)
class Objects:
    """What was outlined, and what is known of it.

    Attributes
    ----------
    told : numpy.ndarray
        float64, (N, F + 17), as `leuk.cells.smudges.describe` returns it.
    smudge, held_out, drawn : numpy.ndarray
        bool, (N,): see `Label`; cells of other laboratories are no smudges.
    source : numpy.ndarray
        str, (N,): "taleqani", "pbc", "bccd" or "zheng".
    """

    told: np.ndarray
    smudge: np.ndarray
    held_out: np.ndarray
    drawn: np.ndarray
    source: np.ndarray


def gather(
    original: Path,
    others: Mapping[str, Sequence[Path]],
    model: CellModel,
    tell: Callable[[str], None],
    every: int = EVERY,
    table: Path = TABLE,
) -> Objects | None:
    """Find the labelled objects again, and cells of other laboratories, and describe them.

    Parameters
    ----------
    original : pathlib.Path
        The Taleqani set's ``Original``, with a folder for each class. Fields that are not there are passed over.
    others : mapping
        By "pbc", "bccd" and "zheng" pictures in which every cell whole is taken for none.
    model : CellModel
        Whose networks look.
    tell : callable
        Given a line for each source.
    every : int
        Of the others' pictures every so many-th is taken.
    table : pathlib.Path
        Of the labels.

    Returns
    -------
    Objects or None
        None if none of the labelled objects is found.
    """
    told: list[np.ndarray] = []
    rows: list[tuple[bool, bool, bool, str]] = []

    def add(path: Path, source: str, choose: Callable[[Cell], Label | None]) -> None:
        image = read_image(path)
        field = find_field(image.pixels)
        found = segment(image, "default", field)
        chosen = [(cell, label) for cell in found.cells if (label := choose(cell)) is not None]
        if chosen:
            crops = cutting.cut(
                field.pixels, found, tuple(cell for cell, _ in chosen), red_cells_beside(field.pixels, found)
            )
            seen = run(model.networks, crops)["features"]
            told.append(smudges.describe([cell for cell, _ in chosen], crops, seen))
            rows.extend((label.smudge, label.held_out, label.drawn, source) for _, label in chosen)

    by_file: dict[str, list[Label]] = {}
    for label in read_labels(table):
        by_file.setdefault(label.file, []).append(label)
    for file, labels in by_file.items():
        if (original / file).is_file():
            add(original / file, "taleqani", functools.partial(_label_of, labels=labels))
    tell(f"{len(rows)} labelled objects found again, {sum(row[0] for row in rows)} of them smudges")
    if not rows:
        return None
    for source, paths in others.items():
        for path in list(paths)[::every]:
            add(path, source, lambda cell: None if cell.touches_border else _CELL)
        tell(f"cells of {source}: {sum(row[3] == source for row in rows)}")
    return Objects(np.vstack(told), *(np.array(column) for column in zip(*rows, strict=True)))


_CELL = Label("", 0, 0, smudge=False, held_out=False, drawn=False)
"""What is said of a whole cell of another laboratory."""


def _label_of(cell: Cell, labels: Sequence[Label]) -> Label | None:
    """Return the label of an object that is found again, or None."""
    x0, y0, x1, y1 = cell.box

    def away(label: Label) -> float:
        return math.hypot((x0 + x1) / 2 - label.x, (y0 + y1) / 2 - label.y)

    nearest = min(labels, key=away)
    return nearest if away(nearest) <= NEAR * cell.diameter else None


def fit(objects: Objects, without: str = "") -> np.ndarray:
    """Fit the line by logistic regression on all objects that are not held out.

    Parameters
    ----------
    objects : Objects
    without : str
        A source that is left out.

    Returns
    -------
    numpy.ndarray
        float32, as `leuk.cells.store.CellModel.smudge`.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    taught = ~objects.held_out & (objects.source != without)
    weight = np.ones(len(objects.source))
    for name in set(objects.source.tolist()) - {"taleqani"}:
        weight[objects.source == name] = WEIGHT / np.count_nonzero(objects.source == name)
    scaler = StandardScaler()
    seen = scaler.fit_transform(objects.told[taught])
    line = LogisticRegression(C=PENALTY, max_iter=4000).fit(seen, objects.smudge[taught], weight[taught])
    slope = line.coef_[0] / scaler.scale_
    return np.append(slope, line.intercept_[0] - slope @ scaler.mean_ - MARGIN).astype(np.float32)


def measure(objects: Objects, line: np.ndarray) -> dict[str, Any]:
    """Measure a line on what is held out, and on laboratories that were left out of another one like it.

    Returns
    -------
    dict
        ``held_out`` and ``drawn`` (those of it that were drawn at random): how many ``objects``, how many ``smudges``
        among them, how many of these were ``found``, how many cells were taken for smudges (``cells_lost``);
        ``cells_lost_elsewhere``: by laboratory, the share of its cells that a line fitted without them takes for
        smudges; ``taught``: how many objects, by source.
    """

    def taken(rows: np.ndarray, by: np.ndarray) -> np.ndarray:
        return np.asarray(objects.told[rows] @ by[:-1] + by[-1] > 0)

    def counted(rows: np.ndarray) -> dict[str, int]:
        found, truth = taken(rows, line), objects.smudge[rows]
        return {
            "objects": int(rows.sum()),
            "smudges": int(truth.sum()),
            "found": int((found & truth).sum()),
            "cells_lost": int((found & ~truth).sum()),
        }

    others = sorted(set(objects.source.tolist()) - {"taleqani"})
    return {
        "held_out": counted(objects.held_out),
        "drawn": counted(objects.held_out & objects.drawn),
        "cells_lost_elsewhere": {
            name: round(float(taken(objects.source == name, fit(objects, name)).mean()), 4) for name in others
        },
        "taught": {name: int((~objects.held_out & (objects.source == name)).sum()) for name in ("taleqani", *others)},
    }

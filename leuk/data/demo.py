"""A small demonstration set with known faults, drawn on the machine, so that an audit can be tried without any data.

Nothing in it comes from a patient. Every field has the same stain; what differs between its classes is the cells. Then
faults are planted, those that real sets have: copies of fields, labels that are wrong, and a tint that follows a class.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from leuk.data.datasets import DataSet, Progress
from leuk.data.measures import cache_folder
from leuk.data.stains import STYLES
from leuk.data.synthetic import generate
from leuk.data.taleqani import CLASSES
from leuk.errors import DataError
from leuk.probability import softmax
from leuk.training.predictions import Predictions

NAME = "Demonstration (synthetic)"
VERSION = 1
"""Goes up when what is drawn changes, so that nobody looks at an older one."""

SIDE = 144
EACH = 24
"""Fields drawn of each class, before copies are added."""
_SESSIONS = 4
_FOLDS = 4
_TINTED = CLASSES[3]
_KINDS = {
    "benign": ("hematogone",) * 5 + ("precursor", "lymphocyte"),
    "early_pre_b": ("early_blast",) * 7 + ("lymphocyte",),
    "pre_b": ("pre_blast",) * 6 + ("early_blast", "hematogone"),
    "pro_b": ("pro_blast",) * 7 + ("lymphocyte",),
}
# Filed under, drawn as, and how many.
_MISLABELLED = (
    ("early_pre_b", "benign", 2),
    ("benign", "early_pre_b", 2),
    ("pre_b", "pro_b", 1),
    ("pro_b", "pre_b", 1),
)
_EXACT, _NEAR = 3, 3


@dataclass(frozen=True, eq=False)
class Demonstration:
    """The set, what two made-up systems say of it, and what was planted.

    Attributes
    ----------
    dataset : DataSet
        With folds and pseudo-sessions; nothing in it tells of the faults.
    predictions : tuple of Predictions
        Of a system that reads cells and is unsure of benign ones, and of one that reads colour; drawn from a seed, not
        computed by any network.
    exact, near : tuple of (int, int)
        Rows of planted copies: of the same bytes, and shifted and exposed otherwise.
    mislabelled : dict of int to int
        Row, and index of the class that it was drawn as.
    tinted : tuple of int
        Rows with the tint, all of one class.
    """

    dataset: DataSet
    predictions: tuple[Predictions, ...]
    exact: tuple[tuple[int, int], ...]
    near: tuple[tuple[int, int], ...]
    mislabelled: dict[int, int]
    tinted: tuple[int, ...]


@dataclass(frozen=True)
class _Field:
    file: str
    label: int
    drawn_as: int
    session: int
    seed: int
    tint: bool
    copy_of: int = -1
    near: bool = False


def _plan() -> list[_Field]:
    """Decide what is drawn, without drawing."""
    rng = np.random.default_rng(20)
    fields: list[_Field] = []
    counts = dict.fromkeys(CLASSES, 0)

    def add(label: int, **rest: int | bool) -> None:
        key = CLASSES[label]
        counts[key] += 1
        # Class, and session inside it, as pseudo-sessions are: never shared by two classes.
        session = label * _SESSIONS + (counts[key] - 1) % _SESSIONS
        values = {"session": session, "drawn_as": label, "tint": False, "seed": len(fields), **rest}
        fields.append(_Field(f"{key}/{key}-{counts[key]:03d}.jpg", label, **values))  # type: ignore[arg-type]

    wrong = {
        CLASSES.index(filed): [CLASSES.index(drawn) for f, drawn, n in _MISLABELLED if f == filed for _ in range(n)]
        for filed in CLASSES
    }
    for label, key in enumerate(CLASSES):
        places = dict(zip(rng.choice(EACH, len(wrong[label]), replace=False).tolist(), wrong[label], strict=True))
        for i in range(EACH):
            add(label, drawn_as=places.get(i, label), tint=key == _TINTED and i % 8 != 3)
    clean = [i for i, one in enumerate(fields) if one.label == one.drawn_as]
    chosen = rng.choice([i for i in clean if fields[i].label != 1], _EXACT + _NEAR, replace=False).tolist()
    for number, source in enumerate(chosen):
        one = fields[source]
        # The copy lands in the next session, which another fold holds out: a split that takes no care parts them.
        session = one.label * _SESSIONS + (one.session % _SESSIONS + 1) % _SESSIONS
        add(one.label, tint=one.tint, copy_of=source, near=number >= _EXACT, session=session, seed=one.seed)
    return fields


def _draw(field: _Field) -> bytes:
    """Draw one field, as JPEG."""
    rng = np.random.default_rng(10_000 + field.seed)
    key = CLASSES[field.drawn_as]
    # One stain for all, and the small differences from slide to slide that say nothing about the class.
    style = dataclasses.replace(STYLES["early"], gradient=0.05, precipitate=4.0)
    drawn = generate(
        40 + field.seed,
        SIDE + 8,
        SIDE + 8,
        style=style,
        kinds=_KINDS[key],
        cells=int(rng.integers(3, 8)),
        cell_diameter=float(rng.normal(21, 0.6)),
    ).image.pixels.astype(np.float32)
    drawn = drawn * rng.normal(0.97, 0.025) * rng.normal(1, 0.01, 3).astype(np.float32)
    if field.tint:
        drawn = drawn * np.array([1.0, 0.955, 0.86], np.float32)
    at = 4
    if field.near:
        at, drawn = 6, drawn * 0.985 + 1.5
    pixels = np.clip(drawn[at : at + SIDE, at : at + SIDE] + 0.5, 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=90 if not field.near else 84, subsampling=0)
    return out.getvalue()


def _write(folder: Path, fields: list[_Field], progress: Progress | None) -> None:
    """Draw all fields into a folder, which appears only once it is whole."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".drawing-") as made:
            whole = Path(made) / "set"
            for number, field in enumerate(fields):
                if progress is not None:
                    progress(number / len(fields), "Drawing the demonstration set")
                path = whole / field.file
                path.parent.mkdir(parents=True, exist_ok=True)
                exact = field.copy_of >= 0 and not field.near
                path.write_bytes((whole / fields[field.copy_of].file).read_bytes() if exact else _draw(field))
            (whole / "about.json").write_text(
                json.dumps({"version": VERSION, "synthetic": True}) + "\n", encoding="utf-8"
            )
            shutil.rmtree(folder, ignore_errors=True)
            try:
                os.replace(whole, folder)  # noqa: PTH105 - Path.replace is the same
            except OSError:
                # Another process drew it meanwhile; the two are alike.
                if not (folder / "about.json").is_file():
                    raise
    except OSError as error:
        raise DataError(
            f"The demonstration set can't be drawn into {folder.name} ({error.strerror}); free space, or name another "
            "folder in LEUK_CACHE."
        ) from error


def _systems(fields: list[_Field], labels: np.ndarray, folds: np.ndarray) -> tuple[Predictions, ...]:
    """Make up what two systems say: deterministic, plausible, computed by no network."""
    rng = np.random.default_rng(7)
    files = tuple(field.file for field in fields)
    drawn = np.array([field.drawn_as for field in fields])
    tinted = np.array([field.tint for field in fields])
    original = np.array([field.copy_of if field.copy_of >= 0 else i for i, field in enumerate(fields)])
    count, classes = len(fields), len(CLASSES)

    # Reads cells; benign precursors look like early ones to it, and blasts of neighbouring stages like each other.
    cells = rng.normal(0, 0.7, (count, classes))
    cells[np.arange(count), drawn] += 3.4
    for row in np.flatnonzero(drawn == 0):
        cells[row, 1] += max(0.0, rng.normal(1.6, 1.5))
    for row in np.flatnonzero((drawn == 1) | (drawn == 2)):
        cells[row, 3 - drawn[row]] += max(0.0, rng.normal(0.6, 1.1))
        cells[row, 0] += max(0.0, rng.normal(0.4, 2.0))
    # Reads colour: sure of what is tinted, at a loss elsewhere.
    colour = rng.normal(0, 0.9, (count, classes))
    colour[tinted, 3] += 5.0
    colour[~tinted, 3] -= 2.5
    colour[np.arange(count), drawn] += 0.8
    made = []
    for name, scores in (("cells", cells), ("colour", colour)):
        # A copy gets what its original got, but for a trace.
        scores = scores[original] + rng.normal(0, 0.05, scores.shape) * (original != np.arange(count))[:, None]
        made.append(Predictions(f"demo_{name}", "grouped", files, labels, folds, CLASSES, softmax(scores)))
    return tuple(made)


def demonstration(folder: Path | None = None, progress: Progress | None = None) -> Demonstration:
    """Give the demonstration set; it is drawn at the first call, in some seconds, and kept.

    Parameters
    ----------
    folder : pathlib.Path, optional
        Where it is kept; a folder in `leuk.data.measures.cache_folder` by default.
    progress : callable, optional
        See `leuk.data.datasets.Progress`.

    Returns
    -------
    Demonstration

    Raises
    ------
    DataError
        If the folder can't be written to.
    """
    fields = _plan()
    root = folder or cache_folder() / f"demonstration-{VERSION}"
    if not (root / "about.json").is_file() or not all((root / field.file).is_file() for field in fields):
        _write(root, fields, progress)
    order = sorted(range(len(fields)), key=lambda i: (fields[i].label, fields[i].file))
    place = {index: row for row, index in enumerate(order)}
    fields = [
        dataclasses.replace(fields[i], copy_of=place[fields[i].copy_of] if fields[i].copy_of >= 0 else -1)
        for i in order
    ]
    labels = np.array([field.label for field in fields], np.int64)
    sessions = np.array([field.session for field in fields], np.int64)
    folds = sessions % _FOLDS
    dataset = DataSet(
        name=NAME,
        files=tuple(field.file for field in fields),
        classes=CLASSES,
        labels=labels,
        root=root,
        session=sessions,
        fold=folds,
    )
    copies = [
        (min(row, field.copy_of), max(row, field.copy_of), field.near)
        for row, field in enumerate(fields)
        if field.copy_of >= 0
    ]
    return Demonstration(
        dataset=dataset,
        predictions=_systems(fields, labels, folds),
        exact=tuple((a, b) for a, b, near in copies if not near),
        near=tuple((a, b) for a, b, near in copies if near),
        mislabelled={row: field.drawn_as for row, field in enumerate(fields) if field.label != field.drawn_as},
        tinted=tuple(row for row, field in enumerate(fields) if field.tint),
    )

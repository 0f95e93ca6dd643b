"""What reviewers decided about single images: kept in a local SQLite file, exported as CSV, read back, compared.

Nothing leaves the machine, and no image is kept: a decision names its data set and its file.
"""

from __future__ import annotations

import csv
import datetime
import io
import os
import re
import sqlite3
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from leuk.data.datasets import escaped, table_rows, unescaped
from leuk.errors import DataError

DECISIONS = ("model_error", "label_error", "unusable")
"""The system is wrong; the label probably is; the image can't be judged by anyone."""

TITLES = {"model_error": "Model error", "label_error": "Probable label error", "unusable": "Unusable"}
"""What to call them on a screen."""

ON_PREDICTIONS = "model_error"
"""The decision that is a word on the predictions at hand; the others are words on the image, whoever predicted it."""

CSV_COLUMNS = (
    "dataset", "file", "decision", "comment", "reviewer", "time", "predictions", "label", "called", "probability",
)  # fmt: skip
FEWEST = 10
"""Images that two reviewers must share for a kappa: of fewer it is chance."""
MAX_COMMENT = 2000
_REVIEWER = 80
_NAME = 200

_TEXTS = ("dataset", "file", "reviewer", "predictions", "decision", "comment", "time", "label", "called", "probability")
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS decision (
    {", ".join(f"{name} TEXT NOT NULL DEFAULT ''" for name in _TEXTS)},
    PRIMARY KEY (dataset, file, reviewer, predictions)
) WITHOUT ROWID
"""
# Which decisions another takes the place of: a word on the image that of all before it, a model error that of words on
# the image, on the same predictions and on unnamed ones.
_REPLACED = f"""
dataset = :dataset AND file = :file AND reviewer = :reviewer AND (
    :decision <> '{ON_PREDICTIONS}' OR decision <> '{ON_PREDICTIONS}' OR predictions IN ('', :predictions)
)"""
_CLEAR = f"DELETE FROM decision WHERE {_REPLACED}"  # noqa: S608
# What nothing tells to be later takes no place.
_CLEAR_EARLIER = f"""{_CLEAR} AND NOT EXISTS (
    SELECT 1 FROM decision WHERE {_REPLACED}
    AND (:undated OR NOT coalesce(julianday(time) IS NULL OR julianday(:time) >= julianday(time), 0))
)"""  # noqa: S608
_ADD = f"""
INSERT INTO decision ({", ".join(_TEXTS)}) SELECT {", ".join(f":{name}" for name in _TEXTS)}
WHERE NOT EXISTS (SELECT 1 FROM decision WHERE {_REPLACED})
"""  # noqa: S608


@dataclass(frozen=True)
class Decision:
    """One reviewer's word on one image.

    Attributes
    ----------
    dataset : str
        Which set the file belongs to: a name, or the folder's path.
    file : str
        As in `leuk.data.datasets.DataSet.files`.
    decision : str
        One of `DECISIONS`.
    comment : str
        At most `MAX_COMMENT` characters; "" for none.
    reviewer : str
        Who decided; "" for someone unnamed.
    time : str
        ISO 8601 with the offset from UTC; set when it is stored if "".
    predictions : str
        Those at hand when it was decided, such as "reader.grouped"; "" where none were, or nothing tells.
    label, called : str
        Keys of classes: what the image was labelled then, and what the predictions called it; "" where not known.
    probability : float, optional
        Of what it was called, 0 … 1, to six places.

    Raises
    ------
    DataError
        If there is no such decision, or the file has no name.
    """

    dataset: str
    file: str
    decision: str
    comment: str = ""
    reviewer: str = ""
    time: str = ""
    predictions: str = ""
    label: str = ""
    called: str = ""
    probability: float | None = None

    def __post_init__(self) -> None:
        if self.decision not in DECISIONS:
            raise DataError(f"There is no decision {self.decision!r}; use one of: {', '.join(DECISIONS)}.")
        if not self.file:
            raise DataError("A decision must name its file; fill in the column file.")
        object.__setattr__(self, "comment", self.comment.strip()[:MAX_COMMENT])
        object.__setattr__(self, "reviewer", self.reviewer.strip()[:_REVIEWER])
        for name in ("predictions", "label", "called"):
            object.__setattr__(self, name, getattr(self, name).strip()[:_NAME])
        if self.probability is not None:
            object.__setattr__(self, "probability", round(float(self.probability), 6))

    def holds_for(self, predictions: str) -> bool:
        """Tell whether it is a word on the image, or on these predictions."""
        return self.decision != ON_PREDICTIONS or self.predictions == predictions


def decisions_file() -> Path:
    """Return where decisions are kept: the file ``LEUK_DECISIONS``, else one where the system keeps users' data."""
    named = os.environ.get("LEUK_DECISIONS")
    if named:
        return Path(named)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "leuk" / "decisions.sqlite"


class Triage:
    """The decisions of one SQLite file. Every method may be called from any thread, or process.

    Parameters
    ----------
    path : pathlib.Path, optional
        Made with its folder if it does not exist; `decisions_file` by default.

    Raises
    ------
    DataError
        From every method, if the file can't be written to or is no such file.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or decisions_file()
        self._lock = threading.Lock()
        with self._opened(change=True) as connection:
            if "predictions" not in _columns(connection):  # a file that may only be read is left alone
                connection.execute("BEGIN IMMEDIATE")
                _bring_up_to_date(connection)

    @contextmanager
    def _opened(self, change: bool = False) -> Iterator[sqlite3.Connection]:
        """Open the file for one transaction."""
        if self.path.is_dir():
            raise DataError(
                f"Decisions are kept in a file, and {self.path.name} is a folder; name a file in LEUK_DECISIONS, such "
                f"as {self.path.name}/decisions.sqlite."
            )
        try:
            with self._lock if change else nullcontext():
                if change:
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                with closing(sqlite3.connect(self.path, timeout=20)) as connection, connection:
                    yield connection
        except (OSError, sqlite3.Error) as error:
            raise DataError(
                f"Decisions can't be kept in {self.path.name} ({error}); free it, or name another file in "
                "LEUK_DECISIONS."
            ) from error

    def decide(self, *decisions: Decision) -> None:
        """Keep decisions; each replaces what the same reviewer said of the same image before.

        A model error leaves model errors of other predictions as they are.
        """
        at = now()
        with self._opened(change=True) as connection:
            for one in decisions:
                values = _values(one, one.time or at)
                connection.execute(_CLEAR, values)
                connection.execute(_ADD, values)

    def read_back(self, *decisions: Decision) -> int:
        """Keep decisions that were exported, unless the same reviewer decided otherwise here since.

        Returns
        -------
        int
            How many were not kept: later ones here stayed, or nothing tells which are later.
        """
        at, kept = now(), 0
        with self._opened(change=True) as connection:
            # Those with a time first: beside them nothing tells when the others were said.
            for one in sorted(decisions, key=lambda one: not one.time):
                values = _values(one, one.time or at)
                connection.execute(_CLEAR_EARLIER, values | {"undated": str(int(not one.time))})
                kept += connection.execute(_ADD, values).rowcount
        return len(decisions) - kept

    def sign(self, reviewer: str, *decisions: Decision) -> int:
        """Put a reviewer's name to decisions that were stored without one; what they decided later stays.

        Returns
        -------
        int
            How many bear the name now. Those that somebody unnamed replaced since, or took back, are not theirs.
        """
        if not reviewer.strip():
            return 0
        there = {one for dataset in {one.dataset for one in decisions} for one in self.all(dataset)}
        mine = [one for one in decisions if not one.reviewer and one in there]
        kept = len(mine) - self.read_back(*(replace(one, reviewer=reviewer) for one in mine))
        for one in mine:
            self.forget(one.dataset, one.file, predictions=one.predictions)
        return kept

    def forget(self, dataset: str, file: str, reviewer: str = "", predictions: str | None = None) -> None:
        """Take decisions on an image back; nothing happens if there is none.

        Parameters
        ----------
        dataset, file, reviewer : str
        predictions : str, optional
            Model errors of others stay; by default all are taken back.
        """
        values = {"dataset": dataset, "file": file, "reviewer": reviewer, "predictions": predictions or ""}
        wanted = f"(:every OR decision <> '{ON_PREDICTIONS}' OR predictions = :predictions)"
        with self._opened(change=True) as connection:
            connection.execute(
                f"DELETE FROM decision WHERE dataset = :dataset AND file = :file AND reviewer = :reviewer AND {wanted}",  # noqa: S608
                {name: escaped(value) for name, value in values.items()} | {"every": predictions is None},
            )

    def decisions(
        self, dataset: str, reviewer: str | None = None, predictions: str | None = None
    ) -> dict[str, Decision]:
        """Return the latest decisions on a data set by file: one reviewer's, or all reviewers'.

        Parameters
        ----------
        dataset : str
        reviewer : str, optional
        predictions : str, optional
            Leaves out model errors of others.
        """
        return {
            one.file: one
            for one in self.all(dataset)
            if (reviewer is None or one.reviewer == reviewer) and (predictions is None or one.holds_for(predictions))
        }

    def all(self, dataset: str) -> list[Decision]:
        """Return every decision on a data set, the earliest first."""
        with self._opened() as connection:
            rows = connection.execute(
                f"SELECT {', '.join(_TEXTS)} FROM decision WHERE dataset = ? ORDER BY time, file, predictions",  # noqa: S608
                [escaped(dataset)],
            ).fetchall()
        found = []
        for row in rows:
            given: dict[str, Any] = dict(zip(_TEXTS, row, strict=True))
            for name in ("dataset", "file", "predictions"):
                given[name] = unescaped(given[name])
            found.append(Decision(**given | {"probability": _share(given["probability"])}))
        return found

    def reviewers(self, dataset: str) -> list[str]:
        """Name who has decided on a data set, sorted."""
        return sorted({one.reviewer for one in self.all(dataset)})


def now() -> str:
    """Return the time of a decision that is made now."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def _values(one: Decision, time: str) -> dict[str, str]:
    told = {name: getattr(one, name) for name in _TEXTS} | {"time": time, "probability": _written(one.probability)}
    return {name: escaped(value) for name, value in told.items()}


def _columns(connection: sqlite3.Connection) -> list[str]:
    return [row[1] for row in connection.execute("PRAGMA table_info(decision)")]


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    """Make the table, or add to one of an earlier Leuk what it did not keep: on which predictions was decided."""
    there = _columns(connection)
    if not there or "predictions" in there:
        connection.execute(_SCHEMA)
        return
    kept = ", ".join(name for name in _TEXTS if name in there)
    connection.execute("ALTER TABLE decision RENAME TO decision_before")
    connection.execute(_SCHEMA)
    connection.execute(f"INSERT INTO decision ({kept}) SELECT {kept} FROM decision_before")  # noqa: S608
    connection.execute("DROP TABLE decision_before")


def _written(probability: float | None) -> str:
    return "" if probability is None else f"{probability:.6g}"


def _share(text: str) -> float | None:
    """Read a probability; what is none counts as not known."""
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


def to_csv(decisions: Iterable[Decision]) -> str:
    """Write decisions as CSV text (RFC 4180), headed by `CSV_COLUMNS`, harmless to a spreadsheet (CWE-1236)."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(CSV_COLUMNS)
    for one in decisions:
        values = _values(one, one.time)
        writer.writerow([_inert(values[column]) for column in CSV_COLUMNS])
    return out.getvalue()


def from_csv(text: str | bytes, dataset: str, name: str = "The table") -> list[Decision]:
    """Read what `to_csv` wrote, or a spreadsheet made of it.

    Decisions may be called as on a screen, folders parted by backslashes. A time that can't be read counts as none.
    Tables of an earlier Leuk don't tell on which predictions was decided.

    Parameters
    ----------
    text : str or bytes
        CSV with at least the columns file and decision; bytes in UTF-8.
    dataset : str
        The data set to count the decisions to, whatever the table calls it: folders differ between machines.
    name : str
        What to call the table in messages.

    Returns
    -------
    list of Decision

    Raises
    ------
    DataError
        If columns are missing, a row holds no known decision, or bytes are in another encoding.
    """
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(f"{name} is not in UTF-8; save it anew as CSV UTF-8, with letters as they are.") from error
    try:
        heads, rows, _ = table_rows(text.lstrip("\ufeff"))
    except csv.Error as error:
        raise DataError(f"{name} is no CSV ({error}); export decisions from Leuk and use that table.") from error
    missing = {"file", "decision"} - set(heads)
    if missing:
        raise DataError(f"{name} lacks the column {sorted(missing)[0]}; export decisions from Leuk and use that table.")
    found = []
    for number, row in enumerate(rows, start=2):
        given: dict[str, Any] = {column: _plain(row.get(column) or "") for column in CSV_COLUMNS}
        try:
            found.append(
                Decision(
                    **{
                        **given,
                        "dataset": dataset,
                        "file": unescaped(given["file"]).replace("\\", "/"),
                        "decision": _CALLED.get(_plainly(given["decision"]), given["decision"]),
                        "time": _readable(given["time"]),
                        "predictions": unescaped(given["predictions"]),
                        "probability": _share(given["probability"]),
                    }
                )
            )
        except DataError as error:
            raise DataError(f"{name}, line {number}: {error}") from None
    return found


def _plainly(word: str) -> str:
    return re.sub(r"[\s_-]+", "_", word.strip().casefold())


_CALLED = {_plainly(word): key for key in DECISIONS for word in (key, TITLES[key])}


def _readable(time: str) -> str:
    """Return a time that can be held against others; "" for what is none."""
    time = time.strip()
    if not re.fullmatch(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?", time):
        return ""
    try:
        datetime.datetime.fromisoformat(time)
    except ValueError:
        return ""
    return time


def _inert(text: str) -> str:
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _plain(text: str) -> str:
    return text[1:] if text.startswith("'") and text[1:2] in ("=", "+", "-", "@", "\t", "\r") else text


@dataclass(frozen=True, eq=False)
class Agreement:
    """How far two reviewers agree on the images that both decided on.

    Attributes
    ----------
    kappa : float
        Cohen's kappa: 1 full agreement, 0 no more than chance, nan where chance alone would agree fully or fewer than
        `FEWEST` images are shared.
    agreed, shared : int
        Images decided alike, and by both.
    table : numpy.ndarray
        int64, (3, 3): rows the one, columns the other, in the order of `DECISIONS`.
    differing : tuple of str
        Files decided otherwise.

    References
    ----------
    J. Cohen, "A coefficient of agreement for nominal scales", Educ. Psychol. Meas. 20 (1960).
    """

    kappa: float
    agreed: int
    shared: int
    table: np.ndarray
    differing: tuple[str, ...]


def agreement(one: Iterable[Decision], other: Iterable[Decision]) -> Agreement:
    """Compare two reviewers' decisions on the same data set."""
    mine, theirs = {d.file: d.decision for d in one}, {d.file: d.decision for d in other}
    shared = sorted(mine.keys() & theirs.keys())
    table = np.zeros((len(DECISIONS), len(DECISIONS)), np.int64)
    for file in shared:
        table[DECISIONS.index(mine[file]), DECISIONS.index(theirs[file])] += 1
    total, agreed = int(table.sum()), int(np.trace(table))
    kappa = float("nan")
    if total >= FEWEST:
        chance = float(table.sum(axis=1) @ table.sum(axis=0)) / total**2
        if chance < 1:
            kappa = (agreed / total - chance) / (1 - chance)
    return Agreement(kappa, agreed, total, table, tuple(file for file in shared if mine[file] != theirs[file]))

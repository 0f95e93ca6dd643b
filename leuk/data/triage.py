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
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from leuk.data.datasets import escaped, table_rows, unescaped
from leuk.errors import DataError

DECISIONS = ("model_error", "label_error", "unusable")
"""The system is wrong; the label probably is; the image can't be judged by anyone."""

TITLES = {"model_error": "Model error", "label_error": "Probable label error", "unusable": "Unusable"}
"""What to call them on a screen."""

CSV_COLUMNS = ("dataset", "file", "decision", "comment", "reviewer", "time")
FEWEST = 10
"""Images that two reviewers must share for a kappa: of fewer it is chance."""
MAX_COMMENT = 2000
_REVIEWER = 80

_SCHEMA = """
CREATE TABLE IF NOT EXISTS decision (
    dataset TEXT NOT NULL, file TEXT NOT NULL, reviewer TEXT NOT NULL,
    decision TEXT NOT NULL, comment TEXT NOT NULL, time TEXT NOT NULL,
    PRIMARY KEY (dataset, file, reviewer)
) WITHOUT ROWID
"""
_UPSERT = """
INSERT INTO decision (dataset, file, reviewer, decision, comment, time) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (dataset, file, reviewer)
DO UPDATE SET decision = excluded.decision, comment = excluded.comment, time = excluded.time
"""
_ADD = _UPSERT.partition("DO UPDATE")[0] + "DO NOTHING"
_ADD_LATER = _UPSERT + "WHERE julianday(decision.time) IS NULL OR julianday(excluded.time) >= julianday(decision.time)"


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
        ISO 8601 with the offset from UTC, to the second; set when it is stored if "".

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

    def __post_init__(self) -> None:
        if self.decision not in DECISIONS:
            raise DataError(f"There is no decision {self.decision!r}; use one of: {', '.join(DECISIONS)}.")
        if not self.file:
            raise DataError("A decision must name its file; fill in the column file.")
        object.__setattr__(self, "comment", self.comment.strip()[:MAX_COMMENT])
        object.__setattr__(self, "reviewer", self.reviewer.strip()[:_REVIEWER])


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
        with self._lock:
            self._run(_SCHEMA)

    def _run(
        self, statement: str, rows: Iterable[Sequence[str]] = ((),), change: bool = True
    ) -> tuple[list[tuple[str, ...]], int]:
        """Return the rows that a statement finds, and how many it changes."""
        found: list[tuple[str, ...]] = []
        try:
            if change:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=20)) as connection, connection:
                for row in rows:
                    found += connection.execute(statement, [escaped(value) for value in row]).fetchall()
                changed = connection.total_changes
        except (OSError, sqlite3.Error) as error:
            raise DataError(
                f"Decisions can't be kept in {self.path.name} ({error}); free it, or name another in LEUK_DECISIONS."
            ) from error
        return found, changed

    def decide(self, *decisions: Decision) -> None:
        """Keep decisions; each replaces what the same reviewer said of the same image before."""
        now = _now()
        with self._lock:
            self._run(_UPSERT, (_values(d, d.time or now) for d in decisions))

    def read_back(self, *decisions: Decision) -> int:
        """Keep decisions that were exported, unless the same reviewer decided otherwise here since.

        Returns
        -------
        int
            How many were not kept: later ones here stayed, or nothing tells which are later.
        """
        now = _now()
        with self._lock:
            _, dated = self._run(_ADD_LATER, (_values(d, d.time) for d in decisions if d.time))
            _, undated = self._run(_ADD, (_values(d, now) for d in decisions if not d.time))
        return len(decisions) - dated - undated

    def forget(self, dataset: str, file: str, reviewer: str = "") -> None:
        """Take one decision back; nothing happens if there is none."""
        with self._lock:
            self._run(
                "DELETE FROM decision WHERE dataset = ? AND file = ? AND reviewer = ?", [(dataset, file, reviewer)]
            )

    def decisions(self, dataset: str, reviewer: str | None = None) -> dict[str, Decision]:
        """Return the decisions on a data set by file: one reviewer's, or of all reviewers the latest."""
        return {one.file: one for one in self.all(dataset) if reviewer is None or one.reviewer == reviewer}

    def all(self, dataset: str) -> list[Decision]:
        """Return every decision on a data set, the earliest first."""
        rows, _ = self._run(
            "SELECT dataset, file, decision, comment, reviewer, time FROM decision"
            " WHERE dataset = ? ORDER BY time, file",
            [(dataset,)],
            change=False,
        )
        return [Decision(unescaped(name), unescaped(file), *rest) for name, file, *rest in rows]

    def reviewers(self, dataset: str) -> list[str]:
        """Name who has decided on a data set, sorted."""
        return sorted({one.reviewer for one in self.all(dataset)})


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def _values(one: Decision, time: str) -> tuple[str, ...]:
    return one.dataset, one.file, one.reviewer, one.decision, one.comment, time


def to_csv(decisions: Iterable[Decision]) -> str:
    """Write decisions as CSV text (RFC 4180), headed by `CSV_COLUMNS`, harmless to a spreadsheet (CWE-1236)."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(CSV_COLUMNS)
    for one in decisions:
        writer.writerow([_inert(escaped(getattr(one, column))) for column in CSV_COLUMNS])
    return out.getvalue()


def from_csv(text: str | bytes, dataset: str, name: str = "The table") -> list[Decision]:
    """Read what `to_csv` wrote, or a spreadsheet made of it.

    Decisions may be called as on a screen, folders parted by backslashes. A time that can't be read counts as none.

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
        given = {column: _plain(row.get(column) or "") for column in CSV_COLUMNS}
        try:
            found.append(
                Decision(
                    **{
                        **given,
                        "dataset": dataset,
                        "file": unescaped(given["file"]).replace("\\", "/"),
                        "decision": _CALLED.get(_plainly(given["decision"]), given["decision"]),
                        "time": _readable(given["time"]),
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

"""The files of one visit: what was added, how far each is read, and what came out. Knows no widget.

Reading happens in a thread of the visit's own, so that the page stays alive meanwhile. All visits take turns at it, one
file a turn in the order of asking: a model already uses every core, and one decoded image at a time bounds the memory.
"""

from __future__ import annotations

import ctypes
import itertools
import logging
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Literal

from leuk.errors import Cancelled, LeukError
from leuk.image import SmearImage
from leuk.overlay import Pack

_logger = logging.getLogger(__name__)


def _find_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL("libc.so.6").malloc_trim if sys.platform == "linux" else None  # type: ignore[no-any-return]
    except (OSError, AttributeError):
        return None  # another C library, which needs no such call or has none


_trim = _find_trim()


def give_memory_back() -> None:
    """Hand what was freed back to the system; left alone, glibc keeps most of it, in an arena for every thread."""
    if _trim is not None:
        _trim(0)


MAX_FILES = 200
MAX_BYTES = 256 * 2**20
"""What the uploaded files and the readings of one visit may hold in memory together."""

State = Literal["waiting", "reading", "read", "refused", "stopped"]
Progress = Callable[[float, str], None]
Source = bytes | Callable[[], SmearImage]
"""The bytes of a file, or a function that draws a sample."""


@dataclass(frozen=True)
class Settings:
    """How files are read: names from the registries of models, segmentation methods and heat maps."""

    model: str = "reader"
    method: str = "default"
    explain: str = "hirescam"


@dataclass
class Item:
    """One file: its state, and its reading once it has one."""

    id: str
    name: str
    source: Source | None
    synthetic: bool = False
    state: State = "waiting"
    error: str = ""
    pack: Pack | None = None
    version: int = 0
    round: int = 0
    """Counts how often the file was put in line; a reading begun in an earlier round is thrown away."""

    @property
    def nbytes(self) -> int:
        """Bytes held: the file itself and its reading."""
        return (len(self.source) if isinstance(self.source, bytes) else 0) + (self.pack.nbytes if self.pack else 0)


@dataclass(frozen=True)
class Stage:
    """How far a batch is."""

    done: int
    total: int
    name: str
    stage: str
    fraction: float
    """Of the whole batch, 0 … 1."""


Read = Callable[[Source, str, Settings, Progress], Pack]


class Turns:
    """A lock that is handed on in the order of asking."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._line: deque[threading.Event] = deque()
        self._busy = False

    def __enter__(self) -> None:
        with self._guard:
            if not self._busy:
                self._busy = True
                return
            mine = threading.Event()
            self._line.append(mine)
        mine.wait()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._guard:
            if self._line:
                self._line.popleft().set()
            else:
                self._busy = False


TURNS = Turns()


@dataclass
class Worklist:
    """The files of one visit. Every method may be called from any thread.

    Parameters
    ----------
    read : callable
        Turns a source, a name and settings into a `Pack`, reporting progress; raises `LeukError` to refuse.
    """

    read: Read
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._items: dict[str, Item] = {}
        self._ids = itertools.count(1)
        self._worker: threading.Thread | None = None
        self._batch: set[str] = set()
        self._stage = ("", "", 0.0)
        self._first: str | None = None

    # -- what the page asks -------------------------------------------------------------------------------------

    def items(self) -> list[Item]:
        """List the files in the order they were added: copies, which later changes leave as they are."""
        with self._lock:
            return [replace(item) for item in self._items.values()]

    def get(self, item_id: str | None) -> Item | None:
        """Return a copy of one file, or None if it is not there."""
        with self._lock:
            item = self._items.get(item_id or "")
            return replace(item) if item else None

    @property
    def busy(self) -> bool:
        """Whether any file is waiting or being read."""
        with self._lock:
            return any(item.state in ("waiting", "reading") for item in self._items.values())

    def stage(self) -> Stage:
        """Tell how far the present batch is."""
        with self._lock:
            batch = [item for item in self._items.values() if item.id in self._batch]
            done = sum(item.state not in ("waiting", "reading") for item in batch)
            name, stage, fraction = self._stage
            return Stage(done, len(batch), name, stage, min(1.0, (done + fraction) / max(1, len(batch))))

    # -- what the page does -------------------------------------------------------------------------------------

    def add(self, name: str, source: Source, *, synthetic: bool = False) -> str:
        """Put a file in line and return its id; one too many is refused with its reason, like any other."""
        with self._lock:
            item = Item(str(next(self._ids)), name, source, synthetic)
            held = sum(other.nbytes for other in self._items.values())
            if len(self._items) >= MAX_FILES:
                item.error = f"{name} is one file too many: {MAX_FILES} fit at once; remove some and add it again."
            elif held + item.nbytes > MAX_BYTES:
                item.error = _no_room(name)
            if item.error:
                item.source, item.state = None, "refused"
            self._items[item.id] = item
        self._start()
        return item.id

    def remove(self, item_id: str) -> None:
        """Forget a file and everything read from it; a reading under way is stopped."""
        with self._lock:
            self._items.pop(item_id, None)
            self._batch.discard(item_id)
        give_memory_back()

    def clear(self) -> None:
        """Forget all files."""
        with self._lock:
            self._items.clear()
            self._batch.clear()
        give_memory_back()

    def stop(self) -> None:
        """Stop reading; what has been read stays."""
        with self._lock:
            for item in self._items.values():
                if item.state in ("waiting", "reading"):
                    item.state, item.round, item.version = "stopped", item.round + 1, item.version + 1
            self._batch.clear()

    def resume(self) -> None:
        """Put the files that were stopped in line again."""
        self._again("stopped")

    def choose(self, settings: Settings) -> None:
        """Read every file anew if the settings differ from those in force."""
        with self._lock:
            if settings == self.settings:
                return
            self.settings = settings
        self._again("stopped", "read", "refused", "reading", "waiting")

    def prefer(self, item_id: str | None) -> None:
        """Read this file before the others: it is being looked at."""
        with self._lock:
            self._first = item_id

    # -- the thread ---------------------------------------------------------------------------------------------

    def _again(self, *states: State) -> None:
        with self._lock:
            for item in self._items.values():
                if item.state in states and item.source is not None:
                    item.state, item.error, item.pack = "waiting", "", None
                    item.round, item.version = item.round + 1, item.version + 1
        self._start()

    def _start(self) -> None:
        with self._lock:
            waiting = {item.id for item in self._items.values() if item.state == "waiting"}
            if not waiting:
                return
            if self._worker is None:
                self._batch.clear()
                # The thread holds the list weakly, so that it stops once the visit has ended.
                self._worker = threading.Thread(
                    target=_work, args=(weakref.ref(self),), name="leuk-reading", daemon=True
                )
                self._worker.start()
            self._batch |= waiting

    def _next(self) -> Item | None:
        """Take the next file in line; None ends the thread."""
        with self._lock:
            waiting = [item for item in self._items.values() if item.state == "waiting"]
            if not waiting:
                self._worker = None
                self._batch.clear()
                self._stage = ("", "", 0.0)
                return None
            item = next((item for item in waiting if item.id == self._first), waiting[0])
            self._stage = (item.name, "waiting for its turn", 0.0)
            return replace(item)

    def _current(self, job: Item) -> Item | None:
        """Return the file that a job was for, unless it was removed, stopped or put in line anew meanwhile."""
        item = self._items.get(job.id)
        return item if item is not None and item.round == job.round else None

    def _begin(self, job: Item) -> Settings | None:
        with self._lock:
            item = self._current(job)
            if item is None or item.state != "waiting":
                return None
            item.state, item.version = "reading", item.version + 1
            return self.settings

    def _advance(self, job: Item, fraction: float, stage: str) -> None:
        with self._lock:
            if self._current(job) is None:
                raise Cancelled(f"{job.name} was stopped.")
            self._stage = (job.name, stage, min(max(fraction, 0.0), 1.0))

    def _finish(self, job: Item, pack: Pack | None, error: str) -> None:
        with self._lock:
            item = self._current(job)
            if item is not None:
                # Files are small before they are read: many may have been let in that do not fit together now.
                if pack and sum(other.nbytes for other in self._items.values()) + pack.nbytes > MAX_BYTES:
                    pack, error, item.source = None, _no_room(item.name), None
                item.state, item.pack, item.error = ("read" if pack else "refused"), pack, error
                item.version += 1
            self._stage = (job.name, "", 0.0)


def _no_room(name: str) -> str:
    return (
        f"{name} does not fit beside the others: {MAX_BYTES // 2**20} MB are kept at once; remove some files and add "
        "it again."
    )


def _work(owner: weakref.ref[Worklist]) -> None:
    while True:
        worklist = owner()
        job = worklist._next() if worklist is not None else None
        del worklist
        if job is None:
            give_memory_back()
            return
        with TURNS:
            _work_on(owner, job)


def _work_on(owner: weakref.ref[Worklist], job: Item) -> None:
    worklist = owner()
    settings = worklist._begin(job) if worklist is not None else None
    if worklist is None or settings is None or job.source is None:
        return
    read = worklist.read
    del worklist

    def progress(fraction: float, stage: str) -> None:
        worklist = owner()
        if worklist is None:
            raise Cancelled("The visit has ended.")
        worklist._advance(job, fraction, stage)

    pack, error = None, ""
    try:
        progress(0.0, "opening")
        pack = read(job.source, job.name, settings, progress)
    except LeukError as refusal:
        error = str(refusal)
    except Exception:
        # Nothing above this frame would ever tell the user, and the files behind this one still want reading.
        _logger.exception("reading a file failed")
        error = f"{job.name} could not be read because of a fault in Leuk, which was logged; try another file."
    worklist = owner()
    if worklist is not None:
        worklist._finish(job, pack, error)

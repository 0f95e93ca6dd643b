"""What the explorer's page keeps and prepares: the open set, long work in the background, data for its components.

Knows no widget. Numbers come from `leuk`; here they are only put into the order and the words that a component shows.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import dataclasses
import functools
import gc
import hashlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from leuk import overlay
from leuk.data import audit, demo, labels, maps, measures, mistakes, slices, triage
from leuk.data.datasets import DataSet
from leuk.data.inspection import Range, as_called, cell_measures, operating_curve
from leuk.data.measures import Measures
from leuk.data.mistakes import Operating, PredictionTable, Verdicts
from leuk.data.slices import CUTS
from leuk.data.triage import TITLES, Decision
from leuk.errors import Cancelled, DataError, LeukError
from leuk.image import read_image
from leuk.names import class_name
from leuk.overlay import Pack
from leuk.training import results
from leuk.training.predictions import Predictions
from pages._worklist import TURNS, Settings

_logger = logging.getLogger(__name__)

MEASURE_TITLES = {
    "cells": CUTS["cells"].capitalize(),
    "nucleus_area": "Nucleus area, px",
    "cell_area": "Cell area, px",
    "nc_ratio": "N:C ratio",
    "circularity": "Circularity",
    "solidity": "Solidity",
    "width": "Width, px",
    "height": "Height, px",
    "brightness": "Brightness",
    "contrast": "Contrast",
    "sharpness": "Sharpness",
    "saturation": "Saturation",
    "background_red": "Background, red",
    "background_green": "Background, green",
    "background_blue": "Background, blue",
    "stained_share": "Share of nuclear stain",
}
MEASURE_NOTES = {
    "brightness": "Mean lightness, 0 (black) to 255 (white).",
    "sharpness": "Logarithm of the variance of the Laplacian, without a unit: higher is sharper.",
    "saturation": "Mean saturation, 0 (grey) to 1.",
    "cells": "Nuclei that stand apart in an image.",
}
PARTITIONS = {"grouped": "pseudo-sessions held out", "random": "random folds", "": "your own partition"}
PAGE = 48
THUMB, FILM_THUMB = 150, 64
FILM = 60
KEPT_READINGS = 48
LONGEST_REST = 10.0
LANES = 2


def title(dataset: DataSet, key: str) -> str:
    """Name a class of a set on a screen, with what it means where that is known."""
    return class_name(key).title if _of_the_public_list(dataset) else class_name(key).plain


def group(dataset: DataSet) -> str:
    """Name what makes images of a set alike beside their class: its sessions, or patients where none are known."""
    return "patient" if dataset.session is None else dataset.session_kind


def _of_the_public_list(dataset: DataSet) -> bool:
    """Tell whether what a set calls benign are hematogones: in the public set's fields and those drawn after them."""
    if dataset.name == demo.NAME:
        return True
    listed = dataset.near_duplicate is not None and dataset.session is not None
    return listed and bool((dataset.session[dataset.labels == dataset.benign] >= 0).all())


def short(key: str) -> str:
    """Name a class in a narrow place."""
    return class_name(key).short


@functools.cache
def _system_titles() -> Mapping[str, str]:
    return {row.name: results.short_title(row) for row in results.systems()}


def system_title(name: str) -> str:
    """Name a system as the models' page does; of one that Leuk doesn't know, its name in words."""
    return _system_titles().get(name, name.replace("_", " "))


def pasted(path: str) -> str:
    """Return a path without the quotation marks that a file manager copies it with."""
    path = path.strip()
    return path[1:-1].strip() if len(path) > 1 and path[0] == path[-1] and path[0] in "\"'" else path


def counted(number: int, one: str, many: str = "") -> str:
    """Write how many there are of something."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


# ---- long work ----------------------------------------------------------------------------------------------------


@dataclass
class Job:
    """Something that takes long: how far it is, and its result or the sentence that says why there is none."""

    work: Callable[[Callable[[float, str], None]], Any]
    fraction: float = 0.0
    stage: str = "Waiting"
    result: Any = None
    error: str = ""
    done: bool = False
    stopped: bool = field(default=False, repr=False)

    def run(self, turn: threading.Event) -> None:
        """Do the work in the calling thread, resting while the event is cleared."""

        def progress(fraction: float, stage: str) -> None:
            if not self.stopped:
                turn.wait(LONGEST_REST)
            if self.stopped:
                raise Cancelled("Stopped.")
            self.fraction, self.stage = min(max(float(fraction), 0.0), 1.0), stage

        try:
            self.result = self.work(progress)
        except LeukError as error:
            self.error = str(error)
        except Exception:
            _logger.exception("A job of the explorer failed")
            self.error = "This could not be computed; the server's log says why."
        finally:
            self.done = True


class Jobs:
    """Jobs by key, done by two threads of their own, for all visits: the latest asked for comes first.

    Parameters
    ----------
    turn : threading.Event
        Cleared while something more urgent is done: jobs rest meanwhile, so that nobody waits for an image behind them.
    kept : int
        How many finished jobs to keep.
    """

    def __init__(self, turn: threading.Event, kept: int = 24) -> None:
        self._turn, self._kept = turn, kept
        self._jobs: OrderedDict[tuple, Job] = OrderedDict()
        self._line: list[Job] = []
        self._lock = threading.Lock()
        self._running = 0
        self._threads: list[threading.Thread] = []
        # A thread that is cut off inside compiled code at the end of the program would bring it down.
        atexit.register(self.close)

    def close(self) -> None:
        """Stop all jobs and wait for their threads."""
        with self._lock:
            self._line.clear()
            for job in self._jobs.values():
                job.stopped = True
            threads, self._threads = self._threads, []
        for thread in threads:
            thread.join(LONGEST_REST)

    def get(self, key: tuple, work: Callable[[Callable[[float, str], None]], Any]) -> Job:
        """Return the job of this key, put in line if there is none yet."""
        with self._lock:
            if key in self._jobs:
                self._jobs.move_to_end(key)
                return self._jobs[key]
            job = self._jobs[key] = Job(work)
            self._line.append(job)
            while len(self._jobs) > self._kept:
                oldest = next((k for k, one in self._jobs.items() if one.done), None)
                if oldest is None:
                    break
                del self._jobs[oldest]
            if self._running < LANES:
                self._running += 1
                thread = threading.Thread(target=self._go, name="leuk-explorer", daemon=True)
                self._threads = [one for one in self._threads if one.is_alive()] + [thread]
                thread.start()
            return job

    def known(self, key: tuple) -> Job | None:
        """Return the job of this key if it was ever asked for."""
        with self._lock:
            return self._jobs.get(key)

    def drop(self, key: tuple) -> None:
        """Forget a job; one under way is stopped at its next word."""
        with self._lock:
            job = self._jobs.pop(key, None)
            if job is not None:
                job.stopped = True

    def _go(self) -> None:
        while True:
            with self._lock:
                if not self._line:
                    self._running -= 1
                    return
                job = self._line.pop()
            if job.stopped:
                job.done = True
                continue
            job.run(self._turn)


# ---- readings of single images ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Reading:
    """What the bundled system makes of one image: a pack for the screen and the image's cells summed up."""

    pack: Pack | None
    cells: Mapping[str, float] | None
    error: str = ""


class Readings:
    """Readings in the background, the latest asked for first; the last few are kept. For all visits."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple, Reading] = OrderedDict()
        self._line: list[tuple[tuple, DataSet, int, str]] = []
        self._lock = threading.Lock()
        self._running = False
        self._warming, self._warm = False, threading.Event()
        self.idle = threading.Event()
        """Set while no image waits to be read."""
        self.idle.set()
        self._threads: list[threading.Thread] = []
        atexit.register(self.close)

    def close(self) -> None:
        """Let go of what waits, and wait for the image that is being read."""
        with self._lock:
            self._line = []
            threads, self._threads = self._threads, []
        for thread in threads:
            thread.join(LONGEST_REST)

    def _start(self, target: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads = [one for one in self._threads if one.is_alive()] + [thread]
        thread.start()

    def get(self, dataset: DataSet, row: int, model: str) -> Reading | None:
        """Return a reading if it is there; else see that it will be, before all others."""
        key = (str(dataset.root), dataset.files[row], model)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            self._line = [one for one in self._line if one[0] != key][-3:]
            self._line.append((key, dataset, row, model))
            self.idle.clear()
            if not self._running:
                self._running = True
                self._start(self._go, "leuk-readings")
        return None

    def warm_up(self) -> None:
        """Load the networks' libraries and the bundled model in the background, which takes seconds, once.

        Until then each call spares what is being loaded from the collection of garbage with which Streamlit ends every
        run of a page: it would go through half a million objects each time, and hold the loading up.
        """
        with self._lock:
            first, self._warming = not self._warming, True
        if first:
            self._start(self._load, "leuk-warm-up")
        if not self._warm.is_set():
            gc.freeze()

    def _load(self) -> None:
        try:
            _warm_up()
        finally:
            gc.collect()
            gc.freeze()
            self._warm.set()

    def _go(self) -> None:
        while True:
            with self._lock:
                if not self._line:
                    self._running = False
                    self.idle.set()
                    return
                key, dataset, row, model = self._line.pop()
            try:
                reading = _read(dataset, row, model)
            except LeukError as error:
                reading = Reading(None, None, str(error))
            except Exception:
                _logger.exception("An image could not be read")
                reading = Reading(None, None, "This image could not be read; the server's log says why.")
            with self._lock:
                self._kept[key] = reading
                while len(self._kept) > KEPT_READINGS:
                    self._kept.popitem(last=False)


def _warm_up() -> None:
    from leuk.analysis import analyze
    from leuk.image import SmearImage

    blank = SmearImage.from_array(np.full((96, 96, 3), 235, np.uint8), "blank")
    with TURNS, contextlib.suppress(LeukError):  # a model that can't be used is said where an image is read with it
        analyze(blank, explain=Settings.explain)


def _read(dataset: DataSet, row: int, model: str) -> Reading:
    from leuk.analysis import analyze  # the networks' libraries take seconds to load; the page need not wait for them

    image = read_image(dataset.path(row))
    with TURNS:
        analysis = analyze(image, model=model, explain=Settings.explain)
    return Reading(overlay.pack(analysis, dataset.files[row]), cell_measures(analysis.segmentation))


# ---- the open set -------------------------------------------------------------------------------------------------


def fingerprint(what: DataSet | PredictionTable) -> str:
    """Return a SHA-256 over all that a data set's list or a table of predictions says."""
    digest = hashlib.sha256()
    for one in dataclasses.fields(what):  # type: ignore[arg-type]
        value = getattr(what, one.name)
        digest.update(one.name.encode() + b"\0")
        digest.update(np.ascontiguousarray(value).data if isinstance(value, np.ndarray) else repr(value).encode())
    return digest.hexdigest()


@dataclass(eq=False)
class Opened:
    """A data set that is looked at, and what is quickly known about it.

    Parameters
    ----------
    key : str
        Under which its decisions are kept: "demonstration", "taleqani", or the path.
    dataset : DataSet
    tables : dict of str to PredictionTable
        By what to call them.
    left_out : str
        Which are not offered, and why.
    """

    key: str
    dataset: DataSet
    tables: dict[str, PredictionTable]
    left_out: str = ""

    @cached_property
    def identity(self) -> tuple:
        """Name the set for jobs and readings: two lists of the same folder may differ in files, labels or sessions."""
        return (self.key, str(self.dataset.root), len(self.dataset.files), fingerprint(self.dataset))

    @cached_property
    def _views(self) -> dict[str, tuple[PredictionTable, View]]:
        return {}

    def view(self, table: str | None) -> View | None:
        """Lay a table of predictions beside the set, once.

        Raises
        ------
        DataError
            If it does not fit.
        """
        if table is None or table not in self.tables:
            return None
        given, view = self._views.get(table, (None, None))
        if view is None or given is not self.tables[table]:  # one's own table may come again, corrected
            given = self.tables[table]
            own = is_own(given)
            called = given.system if own else system_title(given.system)
            view = View(self.dataset, mistakes.align(self.dataset, given, called), own, predictions_name(given))
            self._views[table] = given, view
        return view

    def audited(self, table: str | None) -> tuple:
        """Name an audit with a table of predictions, or with none, for jobs."""
        return (*self.identity, "" if table is None else fingerprint(self.tables[table]))


@dataclass(eq=False)
class View:
    """A system's predictions on the open set; everything is computed once, when it is first asked for."""

    dataset: DataSet
    verdicts: Verdicts
    own: bool = False
    """Whether the predictions are the user's own: only they know whether they are out of fold."""
    name: str = ""
    """What a decision calls the predictions that it was made on."""

    @cached_property
    def confusion(self) -> np.ndarray:
        """Counts, rows true."""
        return mistakes.confusion(self.dataset, self.verdicts)

    @cached_property
    def curve(self) -> tuple[Operating, ...] | None:
        """Counts over thresholds; None but for a benign class beside malignant ones."""
        return None if self.dataset.benign_beside_malignant is None else operating_curve(self.dataset, self.verdicts)

    @cached_property
    def label_errors(self) -> labels.LabelErrors:
        """Doubted labels."""
        return labels.doubted(self.dataset, self.verdicts)

    def slices(self, measured: Measures | None) -> tuple[slices.Slice, ...]:
        """Metrics on parts, the worst first."""
        kept = self.__dict__.setdefault("_slices", {})
        if (measured is None) not in kept:
            kept[measured is None] = slices.find_slices(self.dataset, self.verdicts, measured)
        return kept[measured is None]


def fitting(dataset: DataSet, tables: Mapping[str, PredictionTable]) -> tuple[dict[str, PredictionTable], str]:
    """Keep the tables that know at least half of a set's images; of those that know others, say why they are left out.

    Tables for another set are none of this one's, and nothing is said of them.
    """
    kept, few, foreign = {}, [], []
    here = {name.rsplit("/", 1)[-1] for name in dataset.files}
    for name, table in tables.items():
        if here.isdisjoint(file.rsplit("/", 1)[-1] for file in table.files):
            continue
        try:
            known = mistakes.align(dataset, table).known
        except DataError:
            foreign.append(name)
            continue
        if known.mean() >= 0.5:
            kept[name] = table
        else:
            few.append(name)
    reasons = [
        f"{', '.join(names)} ({why})"
        for names, why in ((foreign, "other classes than this set's"), (few, "less than half of the images predicted"))
        if names
    ]
    return kept, f"Not offered: {'; '.join(reasons)}." if reasons else ""


def is_own(table: PredictionTable) -> bool:
    """Tell a table that a user brought from one that came about here, of images held out from training."""
    return not isinstance(table, Predictions)


def table_title(table: PredictionTable) -> str:
    """Name a table on a screen."""
    partition = PARTITIONS.get(table.partition, table.partition)
    return f"{system_title(table.system)} · {partition}"


def predictions_name(table: PredictionTable) -> str:
    """Name predictions as their file is named; one's own never as those that come with Leuk.

    One's own are also told apart by what they say: a system trained anew writes a file of the same name, and a model
    error of the one before is none of its.
    """
    own = f".{fingerprint(table)[:8]}.csv" if is_own(table) else ""
    return f"{table.system}.{table.partition}".rstrip(".") + own


def name_of(opened: Opened, called: str) -> str:
    """Name the predictions that are called so in the list."""
    return predictions_name(opened.tables[called])


def predictions_title(opened: Opened, name: str) -> str:
    """Call predictions that a decision names as the list of predictions does, where they stand in it."""
    for called in opened.tables:
        if name_of(opened, called) == name:
            return called
    system, _, partition = name.rpartition(".")
    if partition in PARTITIONS:
        return f"{system_title(system)} · {PARTITIONS[partition]}"
    return name or "predictions not recorded"


# ---- selection ----------------------------------------------------------------------------------------------------


def parse_cell(text: str | None, classes: int) -> tuple[int, int] | None:
    """Read which cell of the confusion matrix was pressed, "true,called"; None for anything else."""
    parts = str(text or "").split(",")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        return None
    true, called = int(parts[0]), int(parts[1])
    return (true, called) if max(true, called) < classes else None


def selected_rows(selection: Any, count: int) -> np.ndarray:
    """Read the rows of a set from what a chart's lasso selected: int64, sorted, each once."""
    points = selection.get("points", ()) if isinstance(selection, Mapping) else ()
    found = set()
    for point in points:
        data = point.get("customdata")
        data = list(data.values()) if isinstance(data, Mapping) else data
        value = data[0] if isinstance(data, list | tuple) and data else data
        if isinstance(value, int | float) and 0 <= int(value) < count:
            found.add(int(value))
    return np.array(sorted(found), np.int64)


def page_of(rows: Sequence[int], page: int, size: int = PAGE) -> tuple[list[int], int, int]:
    """Cut one page out of rows: the rows, the page's number held to what there is, and how many pages there are."""
    pages = max(1, -(-len(rows) // size))
    page = min(max(page, 0), pages - 1)
    return [int(row) for row in rows[page * size : (page + 1) * size]], page, pages


def neighbour_in(rows: Sequence[int], row: int, step: int) -> int:
    """Return the row before or after one in a list, the ends held; the first if it is not in it."""
    listed = [int(one) for one in rows]
    at = listed.index(row) if row in listed else 0 - step
    return listed[min(max(at + step, 0), len(listed) - 1)]


def film_window(rows: Sequence[int], index: int, size: int = FILM) -> tuple[int, list[int]]:
    """Return where the strip begins and its rows, so that a list of thousands stays light and holds the neighbours."""
    start = min(max(index - size // 2, 0), max(len(rows) - size, 0))
    return start, [int(row) for row in rows[start : start + size]]


def progress_text(rows: Iterable[int], files: Sequence[str], decided: Mapping[str, Decision]) -> str:
    """Say how many of some rows are decided."""
    names = [files[row] for row in rows]
    return f"{sum(name in decided for name in names)} of {len(names)} decided"


# ---- what the components are given --------------------------------------------------------------------------------


def thumb(dataset: DataSet, row: int, side: int = THUMB, segmented: bool = False) -> str:
    """Return a thumbnail in base64; "" if there is none."""
    if dataset.root is None:
        return ""
    data = measures.thumbnail(dataset, row, side, segmented)
    return base64.b64encode(data).decode() if data else ""


def called_of(dataset: DataSet, verdicts: Verdicts | None, row: int) -> int:
    """Return what a row was called; -1 without a prediction."""
    return -1 if verdicts is None or not verdicts.known[row] else int(verdicts.predicted[row])


def percent(share: float, of: int = 0) -> str:
    """Write a share for a narrow place; of a thousand images or more to the tenth, which is an image there."""
    if not np.isfinite(share):
        return "–"
    if of >= 1000 and 0 < share < 1:
        return audit.percent(share)
    # Nearly all is not all, nor hardly any none.
    return audit.percent(share) if 0 < share < 0.005 or 0.995 <= share < 1 else f"{share * 100:.0f} %"


def tile(
    dataset: DataSet,
    verdicts: Verdicts | None,
    row: int,
    decided: Mapping[str, Decision],
    twin: bool = False,
    note: str = "",
    figure: float | None = None,
    call: tuple[str, float] | None = None,
) -> dict[str, Any]:
    """Describe an image for the gallery.

    `figure` takes the place of the probability of what it was called; `call`, a class's key and its probability, the
    place of the likeliest class where a threshold decides.
    """
    label, called = int(dataset.labels[row]), called_of(dataset, verdicts, row)
    name = dataset.files[row]
    given, in_full = short(dataset.classes[label]), title(dataset, dataset.classes[label])
    mark = decided[name].decision if name in decided else ""
    if verdicts is None or called < 0:
        cap, value, sub, say = given, "", note or name.rsplit("/", 1)[-1], f"labelled {in_full}"
    else:
        key, sure = call or (dataset.classes[called], float(verdicts.probabilities[row, called]))
        cap, value = short(key), percent(sure)
        sub = note or (f"labelled {given}" if call or called != label else name.rsplit("/", 1)[-1])
        say = f"labelled {in_full}, called {title(dataset, key)} with {percent(sure)}"
    out: dict[str, Any] = {
        "row": int(row),
        "name": name,
        "thumb": thumb(dataset, row),
        "cap": cap,
        "value": value if figure is None else percent(figure),
        "sub": sub,
        "say": say + (f", marked {TITLES[mark].lower()}" if mark else ""),
        "wrong": called >= 0 and (call is not None or called != label),
        "mark": mark,
        "marktext": TITLES[mark] if mark else "",
    }
    if twin:
        out["twin"] = thumb(dataset, row, segmented=True)
    return out


def decision(
    opened: Opened, view: View | None, row: int, word: str, comment: str, reviewer: str, step: int | None = None
) -> Decision:
    """Make a decision on an image, with what was called what when it was made, by a threshold if one decides."""
    dataset, call = opened.dataset, None
    if view is not None and called_of(dataset, view.verdicts, row) >= 0:
        call = call_at(dataset, view.verdicts, row, step)
    return Decision(
        opened.key, dataset.files[row], word, comment, reviewer,
        time=triage.now(),
        predictions=view.name if view is not None else "",
        label=dataset.classes[dataset.labels[row]],
        called=call[0] if call else "",
        probability=call[1] if call else None,
    )  # fmt: skip


def class_at(dataset: DataSet, verdicts: Verdicts, row: int, step: int | None) -> int:
    """Return the class that a threshold in hundredths calls a row, whatever is likeliest; without one, the likeliest.

    -1 without a prediction. Malignant means the likeliest of the malignant classes.
    """
    benign, called = dataset.benign_beside_malignant, called_of(dataset, verdicts, row)
    if step is None or benign is None or called < 0:
        return called
    p = verdicts.probabilities[row]
    others = [index for index in range(len(p)) if index != benign]
    return benign if 1 - p[benign] < step / 100 else max(others, key=lambda one: p[one])


def call_at(dataset: DataSet, verdicts: Verdicts, row: int, step: int | None) -> tuple[str, float]:
    """Return the key and the probability of what a row with a prediction is called.

    What a threshold calls malignant and is labelled benign is called so without a subtype.
    """
    index, benign, p = (
        class_at(dataset, verdicts, row, step),
        dataset.benign_beside_malignant,
        verdicts.probabilities[row],
    )
    if step is not None and benign is not None and index != benign and dataset.labels[row] == benign:
        return "malignant", 1 - float(p[benign])
    return dataset.classes[index], float(p[index])


def matrix_data(view: View, chosen: tuple[int, int] | None, step: int | None) -> dict[str, Any]:
    """Describe the confusion matrix, and what every threshold would do, so that the slider acts in the browser."""
    dataset, verdicts = view.dataset, view.verdicts
    data: dict[str, Any] = {
        "classes": [{"title": title(dataset, key), "short": short(key)} for key in dataset.classes],
        "counts": view.confusion.tolist(),
        "chosen": list(chosen) if chosen else None,
        "benign": dataset.benign,
        "step": step,
        "curve": None,
    }
    if view.curve is not None:
        found, benign, malignant = as_called(dataset, verdicts)
        alarms, misses = len(found.false_alarms), len(found.misses)
        said, truly = verdicts.predicted == dataset.benign, dataset.labels == dataset.benign
        data["called"] = _point(
            alarms, misses, benign, malignant, *(
                mistakes.share_intervals(dataset, verdicts, right[None], verdicts.known & among)[0]
                for right, among in ((said, truly), (~said, ~truly))
            ),
        )  # fmt: skip
        data["rests"] = f"95 % intervals, {mistakes.resting_on(dataset, verdicts)}. Probabilities are not calibrated."
        data["curve"] = [
            _point(one.false_alarms, one.misses, benign, malignant, one.specificity_interval, one.sensitivity_interval)
            for one in view.curve
        ]
    return data


def _point(
    alarms: int,
    misses: int,
    benign: int,
    malignant: int,
    specificity: tuple[float, float],
    sensitivity: tuple[float, float],
) -> dict[str, Any]:
    return {
        "false_alarms": alarms,
        "misses": misses,
        "benign": benign,
        "malignant": malignant,
        "specificity": (benign - alarms) / benign if benign else None,
        "sensitivity": (malignant - misses) / malignant if malignant else None,
        "specificity_interval": _pair(specificity),
        "sensitivity_interval": _pair(sensitivity),
    }


def _pair(interval: tuple[float, float]) -> list[float | None]:
    return [round(float(v), 4) if np.isfinite(v) else None for v in interval]


def range_data(one: Range) -> dict[str, Any]:
    """Describe a measure against two classes."""
    low = min(one.value, *(q[0] for q in one.quantiles))
    high = max(one.value, *(q[-1] for q in one.quantiles))
    margin = 0.04 * (high - low or 1.0)
    digits = 0 if abs(one.value) >= 20 else 2
    return {
        "name": MEASURE_TITLES.get(one.name, one.name),
        "text": f"{one.value:.{digits}f}",
        "value": one.value,
        "low": low - margin,
        "high": high + margin,
        "quantiles": [{"index": index, "q": list(q)} for index, q in zip(one.classes, one.quantiles, strict=True)],
    }


def scaled(values: np.ndarray, low: float, high: float) -> list[float]:
    """Bring values to 0 … 1 between two ends, for a bar."""
    return [float(np.clip((value - low) / (high - low or 1.0), 0, 1)) for value in values]


def order_states(rows: Sequence[int], dataset: DataSet, verdicts: Verdicts) -> str:
    """Write right (1), wrong (0) and unknown (2) as a run of digits."""
    known, right = verdicts.known, verdicts.predicted == dataset.labels
    return "".join("2" if not known[row] else "1" if right[row] else "0" for row in rows)


def photo(dataset: DataSet, row: int) -> tuple[Pack, str]:
    """Return an image for the screen before it is read, or the sentence that says why it can't be shown."""
    empty = Pack(header={}, blobs={}, thumbnail=b"")
    if dataset.root is None:
        return (
            empty,
            "The images of this set are not on this machine. Go back, and name their folder above the list.",
        )
    try:
        image = read_image(dataset.path(row))
    except LeukError as error:
        return empty, str(error)
    header = {"size": [image.width, image.height]}
    return Pack(header=header, blobs={"image": overlay.picture(image.pixels)}, thumbnail=b""), ""


def map_features(measured: Measures) -> np.ndarray:
    """Describe every image by colour and layout."""
    return maps.image_features(measured)

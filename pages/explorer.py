"""Explorer: a data set, what a system got wrong on it, and whether its score can be believed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st

from leuk import overlay
from leuk.data import audit, balance, demo, inspection, maps, measures, mistakes, triage
from leuk.data.datasets import DataSet, load_dataset, taleqani
from leuk.data.triage import DECISIONS, TITLES, Decision, Triage
from leuk.errors import LeukError
from leuk.map_figure import map_figure
from leuk.models.cards import available
from leuk.training.predictions import read_predictions, shipped
from pages import _exploring as prepare
from pages import _exploring_parts as parts
from pages._exploring import Job, Jobs, Opened, Readings, View
from pages._front_door import by_the_front_door

SOURCES = {
    "demonstration": "Demonstration (synthetic)",
    "taleqani": "Taleqani fields (public list)",
    "own": "Folder or table …",
}
SECTIONS = ("Balance", "Errors", "Traps", "Map", "Labels", "Slices", "Triage")
NO_TABLE = "no predictions"
POLL_SECONDS = 0.8
SEVERITY = {"serious": "Serious", "warning": "Warning", "note": "Note"}
STYLE = """
<style>
[data-testid="stHeader"] { height: 3.25rem; min-height: 3.25rem; padding-left: 7.5rem; }
.stMainBlockContainer { padding: 3.6rem 1.5rem 3.2rem; max-width: 1760px; }
.stMainBlockContainer .stVerticalBlock { gap: .75rem; }
[data-stale="true"] { opacity: 1 !important; transition: none !important; }
.st-key-section button { min-height: 38px; }
.st-key-source label p, .st-key-table label p, .st-key-reviewer label p { font-size: .78rem; }
@media (max-width: 760px) {
  .stMainBlockContainer { padding: 3.6rem .75rem 3.2rem; }
  .st-key-section button { min-height: 42px; }
}
</style>
"""


@st.cache_resource(show_spinner=False)
def jobs() -> Jobs:
    """Keep long work, for all visits."""
    return Jobs(readings().idle)


@st.cache_resource(show_spinner=False)
def readings() -> Readings:
    """Keep readings of single images, for all visits."""
    return Readings()


@st.cache_resource(show_spinner=False)
def store() -> Triage:
    """Give the decisions on this machine."""
    return Triage()


# ---- the visit's state --------------------------------------------------------------------------------------------

state = st.session_state


def begin() -> None:
    """Fill what a new visit lacks; a reload comes back to the same set and section."""
    asked = st.query_params
    defaults: dict[str, Any] = {
        "source": asked.get("set") if asked.get("set") in SOURCES else "demonstration",
        "section": asked.get("section") if asked.get("section") in SECTIONS else "Errors",
        "folder": "",
        "own_tables": {},
        "opened": None,
        "opened_as": None,
        "cell": None,
        "step": None,
        "pages": {},
        "panels": {},
        "stack": [],
        "listing": None,
        "stamp": 0,
        "rows": {},
    }
    for key, value in defaults.items():
        state.setdefault(key, value)
    # Streamlit forgets the value of a widget that a run did not draw.
    for key in ("source", "section", "reviewer", "table", "folder"):
        if key in state:
            state[key] = state[key]


def look_away() -> None:
    """Forget what was chosen in the set before."""
    state.cell, state.step, state.listing = None, None, None
    state.pages, state.stack = {}, []


def on_section() -> None:
    """Leave the image and the list that were open."""
    state.listing, state.stack = None, []
    if state.section is None:  # pressing the chosen section again would leave none
        state.section = state.get("section_before", "Errors")


def reviewer() -> str:
    """Name who decides; "" if nobody said."""
    return str(state.get("reviewer") or "").strip()


def decided(opened: Opened) -> dict[str, Decision]:
    """Return this reviewer's decisions by file."""
    return store().decisions(opened.key, reviewer())


def value_of(component: str, name: str) -> Any:
    """Return what a component sent."""
    return getattr(state.get(component), name, None)


# ---- what the user does -------------------------------------------------------------------------------------------


def on_cell() -> None:
    """Show the images of a cell of the confusion matrix; pressed again, all errors."""
    cell = prepare.parse_cell(value_of("matrix", "cell"), len(state.opened.dataset.classes))
    state.cell = None if cell == state.cell else cell


def on_threshold() -> None:
    """Count by a threshold, or by the likeliest class."""
    step = value_of("matrix", "threshold")
    state.step = int(step) if isinstance(step, int | float) else None
    state.cell = None


def on_open(component: str) -> Callable[[], None]:
    """Open the image pressed in a gallery, with the list that it stands in."""

    def handle() -> None:
        sent = value_of(component, "open") or {}
        panel = state.panels.get(sent.get("panel"))
        if panel is not None:
            open_list(panel["title"], panel["rows"], int(sent["row"]))

    return handle


def on_page(component: str) -> Callable[[], None]:
    """Turn a gallery's page."""

    def handle() -> None:
        sent = value_of(component, "page") or {}
        state.pages[sent.get("panel")] = int(sent.get("page", 0))

    return handle


def open_list(heading: str, rows: Sequence[int], row: int) -> None:
    """Open an image; what was open before is kept to come back to."""
    listed = [int(one) for one in rows]
    if row in listed:
        state.stack.append({"title": heading, "rows": listed, "row": row})


def on_go() -> None:
    """Go to another image of the list."""
    state.stamp += 1
    to, here = value_of("inspector", "go"), state.stack[-1]
    if to in ("next", "prev"):
        here["row"] = prepare.neighbour_in(here["rows"], here["row"], 1 if to == "next" else -1)
    elif to in here["rows"]:
        here["row"] = int(to)


def on_look() -> None:
    """Look at a neighbour, beside the image that it is like."""
    state.stamp += 1
    row = value_of("inspector", "look")
    if isinstance(row, int | float) and 0 <= row < len(state.opened.dataset):
        state.stack.append({"title": "the image before", "rows": [int(row)], "row": int(row)})


def on_close() -> None:
    """Go back to the list."""
    state.stamp += 1
    state.stack.pop()


def on_mark() -> None:
    """Keep a decision and go on to the next image."""
    state.stamp += 1
    keep(value_of("inspector", "mark"), go_on=True)


def on_comment() -> None:
    """Keep a changed comment."""
    state.stamp += 1
    keep(value_of("inspector", "comment"), go_on=False)


def keep(sent: Mapping[str, Any] | None, go_on: bool) -> None:
    """Store or take back a decision."""
    opened, here = state.opened, state.stack[-1] if state.stack else None
    if not sent or here is None or sent.get("row") not in here["rows"]:
        return
    row = int(sent["row"])
    file, word = opened.dataset.files[row], sent.get("decision")
    try:
        if word in DECISIONS:
            store().decide(Decision(opened.key, file, word, str(sent.get("comment") or ""), reviewer()))
            if go_on:
                here["row"] = prepare.neighbour_in(here["rows"], row, 1)
        else:
            store().forget(opened.key, file, reviewer())
    except LeukError as error:
        state.trouble = str(error)


def on_choose(component: str) -> Callable[[], None]:
    """List the images of a finding or a slice, or open one of the strip of capture order."""

    def handle() -> None:
        what = str(value_of(component, "choose") or "")
        if what.startswith("row:"):
            row = int(what.removeprefix("row:"))
            order = next((rows for rows in state.rows.get("orders", ()) if row in rows), [row])
            open_list(state.section, order, row)
        elif what in state.rows.get(component, {}):
            heading, rows = state.rows[component][what]
            state.listing = {"title": heading, "rows": rows}
            state.pages.pop("listing", None)

    return handle


def on_table() -> None:
    """Take a user's own predictions."""
    file = state.get("own_table")
    if file is None:
        return
    try:
        table = inspection.read_table(file.getvalue(), file.name)
        view = View(state.opened.dataset, mistakes.align(state.opened.dataset, table))
        name = f"{table.system} · yours"
        state.own_tables[name] = table
        state.opened.tables[name] = table
        state.table = name
        look_away()
        state.trouble = " ".join(view.verdicts.problems[:3])
    except LeukError as error:
        state.trouble = str(error)


def on_decisions() -> None:
    """Read decisions back."""
    file = state.get("decisions_file")
    if file is None:
        return
    try:
        text = file.getvalue().decode("utf-8-sig")
        found = triage.from_csv(text, state.opened.key, file.name)
        store().decide(*found)
        state.told = f"{len(found)} decisions read from {file.name}."
    except UnicodeDecodeError:
        state.trouble = f"{file.name} is no CSV; export decisions from Leuk and use that table."
    except LeukError as error:
        state.trouble = str(error)


# ---- opening a set ------------------------------------------------------------------------------------------------


def open_set() -> Opened | None:
    """Open the chosen set; say in one sentence why if it can't be."""
    source, folder = state.source, str(state.get("folder") or "").strip()
    wanted = (source, folder if source != "demonstration" else "")
    if state.opened_as == wanted and state.opened is not None:
        return state.opened
    look_away()
    state.opened, state.opened_as = None, wanted
    if source == "own" and not folder:
        return None
    try:
        if source == "demonstration":
            with waiting("Drawing the demonstration set") as tell:
                made = demo.demonstration(progress=tell)
            state.opened = Opened(source, made.dataset, {prepare.table_title(one): one for one in made.predictions})
        else:
            dataset = taleqani(folder or None) if source == "taleqani" else load_dataset(os.path.expanduser(folder))  # noqa: PTH111
            tables = prepare.fitting(dataset, shipped_tables())
            tables |= prepare.fitting(dataset, state.own_tables)
            key = source if source == "taleqani" else str(dataset.root)
            state.opened = Opened(key, dataset, tables)
    except LeukError as error:
        st.error(str(error), icon=":material/error:")
        return None
    return state.opened


@contextlib.contextmanager
def waiting(text: str) -> Iterator[Callable[[float, str], None]]:
    """Show a bar while something is done in this run."""
    place = st.empty()
    yield lambda fraction, stage: place.progress(min(fraction, 1.0), text=f"{text} …") and None
    place.empty()


@st.cache_resource(show_spinner=False)
def shipped_tables() -> dict[str, Any]:
    """Read the out-of-fold predictions that come with Leuk, the bundled reader's first."""
    tables = {}
    for _, path in sorted(shipped().items(), key=lambda one: (one[0][0] != "reader", one[0][1] != "grouped", one[0])):
        with contextlib.suppress(LeukError):
            table = read_predictions(path)
            tables[prepare.table_title(table)] = table
    return tables


def head() -> Opened | None:
    """Choose the set, the predictions and the reviewer."""
    left, middle, right = st.columns([1.1, 1.6, 0.7], vertical_alignment="bottom")
    left.selectbox("Data set", list(SOURCES), key="source", format_func=SOURCES.get)
    right.text_input("Reviewer", key="reviewer", placeholder="your initials", max_chars=40)
    if state.source == "taleqani":
        st.text_input(
            "Folder of the images, which holds Original/Benign and so on (leave empty to see the statistics alone)",
            key="folder",
            placeholder="/path/to/taleqani",
        )
    elif state.source == "own":
        st.text_input(
            "Folder of class folders, or a CSV with columns path and label, on the machine that runs Leuk",
            key="folder",
            placeholder="/path/to/data",
        )
    opened = open_set()
    if opened is None:
        return None
    names = [*opened.tables, NO_TABLE] if not opened.tables else list(opened.tables)
    if state.get("table") not in names:
        state.table = names[0]
    with middle.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.selectbox("Predictions", names, key="table", on_change=look_away)
        with st.popover("Yours", icon=":material/upload_file:", help="Predictions of your own system"):
            st.file_uploader(
                "CSV with a column file and a column p_CLASS for each class, predicted out of fold",
                type=["csv", "gz"],
                key="own_table",
                on_change=on_table,
            )
    return opened


def facts(opened: Opened, view: View | None) -> None:
    """Say in a line what is open, and what was left out."""
    dataset = opened.dataset
    words = [f"{len(dataset):,} images", f"{len(dataset.classes)} classes"]
    if view is not None:
        known = view.verdicts.known
        right = float((view.verdicts.predicted == dataset.labels)[known].mean()) if known.any() else float("nan")
        words.append(f"{int(known.sum()):,} predicted out of fold, {prepare.percent(right)} as labelled")
    if dataset.root is None:
        words.append("images are not here: statistics only")
    st.caption(" · ".join(words))
    problems = [*dataset.problems, *(view.verdicts.problems if view is not None else ())]
    if problems:
        with st.expander(f"{len(problems)} remarks on files and predictions", icon=":material/info:"):
            st.markdown("\n".join(f"- {one}" for one in problems[:50]))


# ---- long work ----------------------------------------------------------------------------------------------------


def measured(opened: Opened) -> Job | None:
    """Measure the images in the background; None where there are none."""
    if opened.dataset.root is None:
        return None
    return jobs().get(("measures", *opened.identity), lambda progress: measures.measure(opened.dataset, progress))


def measures_if_done(opened: Opened) -> measures.Measures | None:
    """Return the measures if they are there."""
    job = measured(opened)
    return job.result if job is not None and job.done else None


def reference_if_done(opened: Opened) -> dict[str, np.ndarray] | None:
    """Return the cells of some images of each class if they are measured."""
    if opened.dataset.root is None:
        return None
    job = jobs().get(
        ("reference", *opened.identity), lambda progress: inspection.reference_cells(opened.dataset, progress=progress)
    )
    return job.result if job.done else None


def wait_for(job: Job, what: str) -> bool:
    """Tell whether a job is done; until then show how far it is, and run the page again when it is."""
    if job.done:
        if job.error:
            st.error(job.error, icon=":material/error:")
        return not job.error

    def show() -> None:
        if job.done:
            st.rerun()
        st.progress(job.fraction, text=f"{what} · {job.stage.lower()}")

    st.fragment(show, run_every=POLL_SECONDS)()
    return False


def poll(ready: Callable[[], bool]) -> None:
    """Run the page again once something is ready."""

    def show() -> None:
        if ready():
            st.rerun()

    st.fragment(show, run_every=POLL_SECONDS)()


# ---- galleries and the inspector ----------------------------------------------------------------------------------


def panel(
    opened: Opened,
    view: View | None,
    name: str,
    heading: str,
    rows: Sequence[int],
    note: str = "",
    kind: str = "",
    first: bool = False,
    empty: str = "",
    twin: bool = False,
    notes: Mapping[int, str] | None = None,
) -> dict[str, Any]:
    """Describe one page of a panel of thumbnails, and remember its list."""
    shown, page, pages = prepare.page_of(rows, state.pages.get(name, 0))
    state.panels[name] = {"title": heading, "rows": [int(row) for row in rows]}
    marks = decided(opened)
    verdicts = view.verdicts if view is not None else None
    return {
        "id": name,
        "title": f"{heading} · {len(rows):,}" if heading else "",
        "note": note,
        "kind": kind,
        "first": first,
        "empty": empty,
        "total": len(rows),
        "page": page,
        "pages": pages,
        "items": [
            prepare.tile(opened.dataset, verdicts, row, marks, twin, (notes or {}).get(row, "")) for row in shown
        ],
    }


def gallery(key: str, panels: list[dict[str, Any]], columns: str = "minmax(0, 1fr)") -> None:
    """Show panels of thumbnails."""
    parts.gallery(
        data={"panels": panels, "columns": columns, "focus": state.get("last_row")},
        key=key,
        on_open_change=on_open(key),
        on_page_change=on_page(key),
    )


def model_for(view: View | None) -> str:
    """Name the weights that draw heat maps: the chosen system's if they are here, else the bundled reader's."""
    system = view.verdicts.system if view is not None else ""
    return system if system in available() else "reader"


def inspector(opened: Opened, view: View | None) -> None:
    """Show one image beside everything that is known about it."""
    here = state.stack[-1]
    dataset, row, listed = opened.dataset, here["row"], here["rows"]
    state.last_row = row
    verdicts = view.verdicts if view is not None else None
    label, called = int(dataset.labels[row]), prepare.called_of(dataset, verdicts, row)
    classes = list(dict.fromkeys([label, called] if called >= 0 else [label]))
    model = model_for(view)
    with_image = dataset.root is not None
    reading = readings().get(dataset, row, model) if with_image else None
    known = measures_if_done(opened)
    reference = reference_if_done(opened) if reading is not None else None  # the image itself comes first
    index = listed.index(row)
    start, film = prepare.film_window(listed, index)
    marks = decided(opened)
    mine = marks.get(dataset.files[row])
    pack, missing = (reading.pack, "") if reading and reading.pack else prepare.photo(dataset, row)
    found = inspection.ranges(dataset, row, classes, known, reading.cells if reading else None, reference)
    data = {
        "stamp": state.stamp,
        "row": row,
        "name": dataset.files[row],
        "back": f"Back to {_lower(here['title'])}" if len(state.stack) == 1 else "Back",
        "index": index,
        "total": len(listed),
        "facts": _where(dataset, row, verdicts),
        "film": [
            {
                "row": one,
                "name": dataset.files[one],
                "thumb": prepare.thumb(dataset, one, prepare.FILM_THUMB),
                "mark": marks[dataset.files[one]].decision if dataset.files[one] in marks else "",
            }
            for one in film
        ],
        "filmStart": start,
        "label": prepare.title(dataset.classes[label]),
        "called": prepare.title(dataset.classes[called]) if called >= 0 else None,
        "wrong": called >= 0 and called != label,
        "bars": _bars(dataset, verdicts, row),
        "source": _source(view, state.table),
        "panes": _panes(dataset, label, called, reading, model, with_image),
        "missing": missing,
        "colors": overlay.color_table().tobytes().hex(),
        "size": [pack.header["record"]["width"], pack.header["record"]["height"]]
        if "record" in pack.header
        else pack.header.get("size"),
        "decisions": [{"key": key, "title": TITLES[key]} for key in DECISIONS],
        "decision": mine.decision if mine else "",
        "comment": mine.comment if mine else "",
        "progress": prepare.progress_text(listed, dataset.files, marks),
        "near": _near(opened, view, row, known),
        "ranges": {
            "items": [prepare.range_data(one) for one in found],
            "legend": [{"index": one, "title": prepare.title(dataset.classes[one])} for one in classes],
            "note": _ranges_note(with_image, known, reference, reading),
        },
        "others": _others(opened, row, label),
    }
    data["look"] = f"{hash(repr({key: value for key, value in data.items() if key != 'colors'}))}"
    parts.inspector(
        data=overlay.to_bytes(pack, **data),
        key="inspector",
        on_go_change=on_go,
        on_look_change=on_look,
        on_close_change=on_close,
        on_mark_change=on_mark,
        on_comment_change=on_comment,
    )
    if with_image:
        # While this one is looked at, the next is read.
        if index + 1 < len(listed) and reading is not None:
            readings().get(dataset, listed[index + 1], model)
        late = [
            job for job in (measured(opened), jobs().known(("reference", *opened.identity))) if job and not job.done
        ]
        if reading is None or late:
            poll(
                lambda: (
                    (reading is None and readings().get(dataset, row, model) is not None)
                    or any(job.done for job in late)
                )
            )


def _lower(heading: str) -> str:
    name = heading.split(":")[0]
    return name[0].lower() + name[1:]


def _where(dataset: DataSet, row: int, verdicts: Any) -> str:
    words = []
    if dataset.session is not None and dataset.session[row] >= 0:
        words.append(f"pseudo-session {int(dataset.session[row])}")
    if dataset.split is not None and dataset.split[row]:
        words.append(dataset.split[row])
    if verdicts is not None and verdicts.folds[row] >= 0:
        words.append(f"held out in fold {int(verdicts.folds[row])}")
    if dataset.scale_bar is not None and dataset.scale_bar[row]:
        words.append(f"scale bar {dataset.scale_bar[row].replace('_', ' ')}")
    return " · ".join(words)


def _bars(dataset: DataSet, verdicts: Any, row: int) -> list[dict[str, Any]]:
    if verdicts is None or not verdicts.known[row]:
        return []
    return [
        {"index": i, "title": prepare.title(key), "short": prepare.title(key).split(" (")[0],
         "p": float(verdicts.probabilities[row, i])}
        for i, key in enumerate(dataset.classes)
    ]  # fmt: skip


def _source(view: View | None, table: str) -> str:
    if view is None:
        return "No predictions are open for this image."
    return f"Out-of-fold probabilities of {table}, not calibrated: the system had not seen this image."


def _panes(
    dataset: DataSet, label: int, called: int, reading: Any, model: str, with_image: bool
) -> list[dict[str, Any]]:
    photo = {"title": "Photograph", "sub": "outlines: cell yellow, nucleus cyan", "foot": []}
    if not with_image:
        return [photo | {"sub": ""}]
    if reading is None:
        photo["wait"] = "finding cells, drawing heat maps …"
    elif reading.error:
        photo["foot"] = [{"text": reading.error, "low": True}]
    elif reading.pack is not None:
        record = reading.pack.header["record"]
        count = len(record["cells"])
        photo["foot"] = [{"text": f"{count} white {'cell' if count == 1 else 'cells'} found"}]
        if reading.pack.header["outside"]:
            photo["foot"].append({"text": "Outside what the bundled model has learnt from.", "low": True})
    wanted = list(dict.fromkeys([called, label] if called >= 0 else [label]))
    panes = [photo]
    heat = reading.pack.header["heat"] if reading is not None and reading.pack is not None else {}
    for index in wanted:
        key = dataset.classes[index]
        role = "called and labelled" if called == label else "called" if index == called else "labelled"
        pane: dict[str, Any] = {
            "title": f"{prepare.title(key)} ({role})",
            "sub": f"where the score depends on the image · {model.replace('_', ' ')}",
        }
        if reading is None:
            pane["wait"] = "on its way …"
        elif key in heat:
            pane["heat"] = key
            pane["foot"] = _heat_words(heat[key])
        else:
            pane["foot"] = [{"text": f"The model {model} does not know this class, so there is no map."}]
        panes.append(pane)
    return panes


def _heat_words(one: Mapping[str, Any]) -> list[dict[str, Any]]:
    if one["heat_on_cells"] is None:
        return [{"text": "No heat for this class anywhere in the image."}]
    words = [
        {
            "text": f"{prepare.percent(one['heat_on_cells'])} of the heat lies on cells, "
            f"which cover {prepare.percent(one['cells_share'])} of the image."
        }
    ]
    if one["peak"] < 0.2:
        words.append({"text": "Nearly flat: this score hangs on no place in particular."})
    elif one["heat_on_cells"] < one["cells_share"]:
        words.append({"text": "Less than chance: it depends on what lies around the cells.", "low": True})
    return words


def _ranges_note(with_image: bool, known: Any, reference: Any, reading: Any) -> str:
    if not with_image:
        return "Needs the images."
    if known is None or reference is None or reading is None:
        return "Being measured …"
    return "This image is the upright line; bars are the middle half, thin lines 5 to 95 % of each class."


def _near(opened: Opened, view: View | None, row: int, known: Any) -> dict[str, Any]:
    dataset = opened.dataset
    heading = "Nearest training images"
    if known is None:
        note = "Needs the images." if dataset.root is None else "Being measured …"
        return {"title": heading, "note": note, "items": []}
    features, source = embedding_if_done(opened, view, known)
    found = mistakes.nearest(dataset, features, row, view.verdicts if view is not None else None)
    items = []
    for one in found:
        same = one.same_session
        items.append(
            {
                "row": one.row,
                "name": dataset.files[one.row],
                "thumb": prepare.thumb(dataset, one.row),
                "label": prepare.short(dataset.classes[one.label]),
                "same": bool(same),
                "where": "" if same is None else "same session" if same else "other session",
            }
        )
    return {
        "title": heading,
        "note": f"Likest by {source}, from other folds; sessions are clusters of colour, never patients.",
        "items": items,
    }


def _others(opened: Opened, row: int, label: int) -> dict[str, Any]:
    items = []
    for name in opened.tables:
        if name == state.table:
            continue
        with contextlib.suppress(LeukError):
            view = opened.view(name)
            called = prepare.called_of(opened.dataset, view.verdicts if view else None, row)
            if view is not None and called >= 0:
                items.append(
                    {
                        "system": name,
                        "called": prepare.short(opened.dataset.classes[called]),
                        "p": float(view.verdicts.probabilities[row, called]),
                        "wrong": called != label,
                    }
                )
    note = "Out of fold, the likeliest class." if items else "No other table of predictions fits this set."
    return {"note": note, "items": items}


# ---- sections -----------------------------------------------------------------------------------------------------


def section_balance(opened: Opened, view: View | None) -> None:
    """Show counts, measures and contact sheets."""
    dataset = opened.dataset
    job = measured(opened)
    known = measures_if_done(opened)
    found = balance.balance(dataset, known)
    legend = [{"color": f"var(--c{i % 7})", "text": prepare.title(key)} for i, key in enumerate(dataset.classes)]
    total = sum(found.classes.values()) or 1
    bars = [
        {"name": "All images", "kind": "parts", "share": [n / total for n in found.classes.values()],
         "note": f"{total:,}: " + ", ".join(f"{n:,}" for n in found.classes.values())}
    ]  # fmt: skip
    for name, counts in found.splits.items():
        one = int(counts.sum()) or 1
        bars.append(
            {"name": name[0].upper() + name[1:], "kind": "parts", "share": [float(n) / one for n in counts],
             "note": f"{one:,}: " + ", ".join(f"{int(n):,}" for n in counts)}
        )  # fmt: skip
    words = []
    if len(found.sessions):
        sizes = found.sessions[:, 2]
        words.append(
            f"{len(sizes)} pseudo-sessions (clusters of colour and light, never patients) of {int(sizes.min())} to "
            f"{int(sizes.max())} images."
        )
    if found.segmented:
        words.append(f"{found.segmented:,} images have a segmented twin.")
    if found.sizes:
        words.append("Sizes: " + ", ".join(f"{size} ({n:,})" for size, n in list(found.sizes.items())[:4]) + ".")
    rows: list[dict[str, Any]] = [{"id": "counts", "title": "Images per class", "text": " ".join(words), "bars": bars}]
    for name in ("brightness", "sharpness", "saturation", "cells"):
        if name in found.spread:
            spread = found.spread[name]
            low, high = float(np.nanmin(spread)), float(np.nanmax(spread))
            rows.append(
                {
                    "id": name,
                    "title": prepare.MEASURE_TITLES[name],
                    "bars": [
                        {"name": prepare.title(key), "kind": "box", "tone": i,
                         "quantiles": prepare.scaled(spread[i], low, high),
                         "note": f"median {spread[i][2]:.3g}, 5 to 95 %: {spread[i][0]:.3g} to {spread[i][4]:.3g}"}
                        for i, key in enumerate(dataset.classes) if np.isfinite(spread[i]).all()
                    ],
                }
            )  # fmt: skip
    left, right = st.columns([1, 1], gap="medium")
    with left:
        parts.rows(data={"rows": rows[:1], "legend": legend}, key="counts")
        if job is not None:
            wait_for(job, "Measuring images")
        parts.rows(data={"rows": rows[1:], "legend": None}, key="spread")
    with right:
        options = {prepare.short(key): i for i, key in enumerate(dataset.classes)}
        line = st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute")
        chosen = line.segmented_control(
            "Class", list(options), default=next(iter(options)), key="sheet", label_visibility="collapsed"
        )
        twin = bool(found.segmented) and line.toggle("Beside the segmented twin", key="twin")
        label = options.get(chosen, 0)
        rows_of = np.flatnonzero(dataset.labels == label).tolist()
        one = panel(opened, view, f"sheet-{label}", prepare.title(dataset.classes[label]), rows_of,
                    kind="wide" if twin else "", twin=twin, first=True)  # fmt: skip
        gallery("sheet-gallery", [one])


def section_errors(opened: Opened, view: View | None) -> None:
    """Show the confusion matrix, the threshold, false alarms and misses."""
    if view is None:
        ask_for_predictions(opened)
        return
    dataset, verdicts = opened.dataset, view.verdicts
    left, right = st.columns([1, 2.7], gap="medium")
    with left:
        parts.matrix(
            data=prepare.matrix_data(view, state.cell, state.step),
            key="matrix",
            on_cell_change=on_cell,
            on_threshold_change=on_threshold,
        )
    with right:
        if state.cell is not None:
            true, called = state.cell
            rows = mistakes.cell_rows(dataset, verdicts, true, called).tolist()
            names = prepare.title(dataset.classes[true]), prepare.title(dataset.classes[called])
            gallery(
                "cell-gallery",
                [panel(opened, view, f"cell-{true}-{called}", f"Labelled {names[0]}, called {names[1]}", rows,
                       "The most confident first.", first=True)],
            )  # fmt: skip
            st.button("Show all errors", key="all-errors", on_click=lambda: state.update(cell=None))
            return
        found = mistakes.mistakes(dataset, verdicts, None if state.step is None else state.step / 100)
        panels = []
        if dataset.benign is not None:
            panels = [
                panel(opened, view, "alarms", "False alarms: benign called malignant", found.false_alarms.tolist(),
                      "The surest first. A healthy child's marrow taken for leukaemia.", first=True,
                      empty="No benign image is called malignant."),
                panel(opened, view, "misses", "Misses: malignant called benign", found.misses.tolist(),
                      "The surest first.", kind="lesser", empty="No malignant image is called benign."),
            ]  # fmt: skip
            gallery("errors-gallery", panels, "minmax(0, 5fr) minmax(0, 3fr)")
        more = panel(opened, view, "confused", "One malignant class called another" if panels else "Errors",
                     found.confused.tolist(), "Subtypes are immunophenotypes; looks alone seldom tell them apart."
                     if panels else "The most confident first.", kind="lesser" if panels else "", first=not panels,
                     empty="None.")  # fmt: skip
        gallery("confused-gallery", [more])


def section_traps(opened: Opened, view: View | None) -> None:
    """Show whatever makes a score hard to believe."""
    dataset = opened.dataset
    table = opened.tables.get(state.table)
    job = measured(opened)
    if job is not None and not wait_for(job, "Measuring images"):
        return
    key = ("audit", *opened.identity, state.table if view is not None else "")
    job = jobs().get(key, lambda progress: audit.audit(dataset, table, progress))
    if not wait_for(job, "Looking for traps"):
        return
    found = job.result
    if dataset.root is None:
        st.info("Duplicates and shortcuts are found in the images; name their folder above.", icon=":material/folder:")
    findings = [one for one in found.findings if one.section in ("traps", "files")]
    lists: dict[str, tuple[str, list[int]]] = {}
    rows = []
    for one in findings:
        bars = []
        if one.key.startswith("shortcut"):
            bars = _shortcut_bars(found, one)
        lists[one.key] = (one.title, list(one.rows))
        rows.append(
            {
                "id": one.key,
                "tone": one.severity,
                "badge": SEVERITY[one.severity],
                "title": one.title,
                "text": one.explanation,
                "bars": bars,
                "thumbs": [prepare.thumb(dataset, row, prepare.FILM_THUMB) for row in one.rows[:4]]
                if dataset.root
                else [],
                "action": f"Show {len(one.rows):,} {'image' if len(one.rows) == 1 else 'images'}" if one.rows else "",
            }
        )
    if not rows:
        st.success("No trap was found.", icon=":material/check:")
    if view is not None:
        orders = audit.capture_order(dataset, view.verdicts)
        state.rows["orders"] = [list(map(int, order)) for _, order in orders]
        rows.append(
            {
                "id": "order",
                "tone": "note",
                "badge": "Strip",
                "title": "Right and wrong in the order of capture",
                "text": "One line an image, in the order of the numbers in the files' names; errors are orange. Errors "
                "that stand together point at a slide or a session, not at cells. Press a place to see its image.",
                "bars": [
                    {
                        "name": prepare.title(dataset.classes[label]),
                        "kind": "order",
                        "order": prepare.order_states(order, dataset, view.verdicts),
                        "rows": list(map(int, order)),
                        "note": f"{len(order):,} images",
                    }
                    for label, order in orders
                ],
            }
        )
    state.rows["findings"] = lists
    parts.rows(data={"rows": rows, "legend": None}, key="findings", on_choose_change=on_choose("findings"))


def _shortcut_bars(found: audit.Audit, finding: audit.Finding) -> list[dict[str, Any]]:
    mine = [one for one in found.shortcuts if one.name in finding.key] or list(found.shortcuts)
    bars = []
    for one in mine:
        grouped = "" if one.grouped is None else f", {prepare.percent(one.grouped)} with sessions held out"
        bars.append(
            {"name": one.title, "kind": "interval", "value": one.accuracy, "low": one.interval[0],
             "high": one.interval[1], "ref": one.chance, "num": prepare.percent(one.accuracy),
             "note": f"(chance {prepare.percent(one.chance)}{grouped})"}
        )  # fmt: skip
    return bars


def embedding_if_done(opened: Opened, view: View | None, known: measures.Measures) -> tuple[np.ndarray, str]:
    """Return a system's embeddings if they are computed, else colour and layout, and what to call them."""
    job = jobs().known(("embedding", *opened.identity, model_for(view)))
    if job is not None and job.done and job.result is not None:
        return job.result, f"what {model_for(view).replace('_', ' ')} makes of them"
    return embedding_plain(opened, known), "colour and layout"


def section_map(opened: Opened, view: View | None) -> None:
    """Show the set in two dimensions, coloured, with a lasso."""
    dataset = opened.dataset
    if dataset.root is None:
        st.info("A map is drawn from the images; name their folder above.", icon=":material/folder:")
        return
    job = measured(opened)
    if job is None or not wait_for(job, "Measuring images"):
        return
    known: measures.Measures = job.result
    model = model_for(view)
    sources = {"Colour and layout": None, f"What {model.replace('_', ' ')} makes of them": model}
    colors = ["Label", "Called", "Right or wrong"] if view is not None else ["Label"]
    colors += ["Pseudo-session"] if dataset.session is not None else []
    colors += [prepare.MEASURE_TITLES[name] for name in ("brightness", "sharpness", "saturation", "cells")]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        source = st.selectbox("Laid out by", list(sources), key="map-source")
        method = st.selectbox("Method", ["t-SNE", "PCA"], key="map-method")
        colour = st.selectbox("Coloured by", colors, key="map-colour")
    features: np.ndarray
    if sources[source] is None:
        features = embedding_plain(opened, known)
    else:
        job = jobs().get(("embedding", *opened.identity, model), lambda progress: _embed(dataset, model, progress))
        if not wait_for(job, "Reading every image"):
            return
        features = job.result
    how = {"t-SNE": "tsne", "PCA": "pca"}[method]
    job = jobs().get(("layout", *opened.identity, sources[source], how), lambda progress: maps.layout(features, how))
    if not wait_for(job, "Laying out the map"):
        return
    codes, names = _colours(opened, view, known, colour)
    figure = map_figure(job.result, codes, names, dataset.files, colour)
    event = st.plotly_chart(
        figure, key=f"map-{how}-{colour}-{source}", on_select="rerun", selection_mode=("lasso", "box", "points"),
        config={"displaylogo": False, "modeBarButtonsToRemove": ["zoomIn2d", "zoomOut2d", "autoScale2d", "toImage"]},
    )  # fmt: skip
    rows = prepare.selected_rows(event.get("selection") if event else None, len(dataset))
    if not len(rows):
        st.caption(
            "Draw around points with the lasso to see their images; near points look alike, far ones need not differ."
        )
        return
    gallery("map-gallery", [panel(opened, view, "map", "Selected on the map", rows.tolist(), first=True)])


def embedding_plain(opened: Opened, known: measures.Measures) -> np.ndarray:
    """Describe every image by colour and layout, once."""
    kept = opened.__dict__.setdefault("_features", {})
    if "plain" not in kept:
        kept["plain"] = maps.image_features(known)
    return kept["plain"]


def _embed(dataset: DataSet, model: str, progress: Callable[[float, str], None]) -> np.ndarray:
    from leuk.models.store import load_model  # brings the networks' libraries, which take seconds to load

    progress(0.0, "Loading the model")
    return maps.embed(dataset, load_model(model), progress)


def _colours(
    opened: Opened, view: View | None, known: measures.Measures, colour: str
) -> tuple[np.ndarray, tuple[str, ...] | None]:
    dataset = opened.dataset
    names = tuple(prepare.title(key) for key in dataset.classes)
    if colour == "Label":
        return dataset.labels, names
    if view is not None and colour == "Called":
        return np.where(view.verdicts.known, view.verdicts.predicted, -1), names
    if view is not None and colour == "Right or wrong":
        right = view.verdicts.predicted == dataset.labels
        return np.where(view.verdicts.known, (~right).astype(np.int64), -1), ("Right", "Wrong")
    if colour == "Pseudo-session" and dataset.session is not None:
        return dataset.session.astype(np.float64), None
    name = next(key for key, value in prepare.MEASURE_TITLES.items() if value == colour and key in known.values)
    return known.values[name], None


def section_labels(opened: Opened, view: View | None) -> None:
    """Show labels that confident learning doubts."""
    if view is None:
        ask_for_predictions(opened)
        return
    found, dataset = view.label_errors, opened.dataset
    if not len(found.rows):
        st.success("No label is in doubt by these predictions.", icon=":material/check:")
        return
    st.markdown(
        f"**{len(found.rows)} of {int(view.verdicts.known.sum()):,} labels are in doubt**, the most suspicious first. "
        "Confident learning compares each image's out-of-fold probabilities with what images of each label usually "
        "get. A system that is wrong in the same way many times is doubted too: look before you decide."
    )
    notes = {
        int(row): f"labelled {prepare.short(dataset.classes[dataset.labels[row]])}, "
        f"{prepare.percent(float(found.quality[row]))}"
        for row in found.rows
    }
    gallery("labels-gallery", [panel(opened, view, "labels", "Probable label errors", found.rows.tolist(),
                                     first=True, notes=notes, kind="")])  # fmt: skip


def section_slices(opened: Opened, view: View | None) -> None:
    """Show where the system is worse than its mean says."""
    if view is None:
        ask_for_predictions(opened)
        return
    job, known = measured(opened), measures_if_done(opened)
    found = view.slices(known)
    if job is not None and not job.done:
        wait_for(job, "Measuring images, for slices by brightness, sharpness and cells")
    kinds = list(dict.fromkeys(one.by for one in found))
    chosen = st.pills("Cut by", kinds, key="slice-kind", selection_mode="multi", label_visibility="collapsed")
    shown = [one for one in found if not chosen or one.by in chosen][:40]
    verdicts, dataset = view.verdicts, opened.dataset
    right = verdicts.predicted == dataset.labels
    overall = float(right[verdicts.known].mean())
    lists, rows = {}, []
    for number, one in enumerate(shown):
        heading = one.title[0].upper() + one.title[1:]
        if one.by == "class":
            heading = prepare.title(dataset.classes[int(dataset.labels[one.rows[0]])])
        wrong_first = sorted(one.rows.tolist(), key=lambda row: bool(right[row]))
        lists[f"slice-{number}"] = (f"{heading}, errors first", wrong_first)
        extra = [
            f"{name} {prepare.percent(value)}"
            for name, value in (("specificity", one.specificity), ("sensitivity", one.sensitivity))
            if value is not None
        ]
        rows.append(
            {
                "id": f"slice-{number}",
                "slim": True,
                "title": heading,
                "bars": [
                    {"name": "", "kind": "interval", "value": one.accuracy, "low": one.interval[0],
                     "high": one.interval[1], "ref": overall, "num": prepare.percent(one.accuracy),
                     "tone": "wrong" if one.interval[1] < overall else "accent",
                     "note": " · ".join([f"of {len(one.rows):,}", *extra])}
                ],
                "action": "Images",
            }
        )  # fmt: skip
    state.rows["slices"] = lists
    st.caption(
        f"Accuracy with its 95 % interval, 0 to 100 %; the upright line is the whole set, {prepare.percent(overall)}. "
        "The worst come first, by the upper end of their interval; orange ones lie below the whole set for sure. "
        "Intervals count images as independent, which images of one session are not."
    )
    parts.rows(data={"rows": rows, "legend": None}, key="slices", on_choose_change=on_choose("slices"))


def section_triage(opened: Opened, view: View | None) -> None:
    """Show progress and agreement, export decisions, read them back."""
    dataset, mine = opened.dataset, decided(opened)
    place = {file: row for row, file in enumerate(dataset.files)}
    everything = store().all(opened.key)
    errors: list[int] = []
    if view is not None:
        wrong = view.verdicts.known & (view.verdicts.predicted != dataset.labels)
        errors = np.flatnonzero(wrong).tolist()
    left, right = st.columns([1, 2.2], gap="medium")
    with left:
        done = sum(dataset.files[row] in mine for row in errors)
        bars = []
        if errors:
            bars.append({"name": "Errors decided", "kind": "share", "value": done / len(errors),
                         "num": f"{done} of {len(errors)}"})  # fmt: skip
        for word in DECISIONS:
            count = sum(one.decision == word for one in mine.values())
            bars.append({"name": TITLES[word], "kind": "share", "value": count / max(1, len(mine)), "num": str(count)})
        who = f"decisions of {reviewer()}" if reviewer() else "decisions of an unnamed reviewer"
        parts.rows(
            data={"rows": [{"id": "progress", "narrow": True, "title": "Progress", "text": f"{len(mine)} {who}.",
                            "bars": bars}], "legend": None},
            key="progress",
        )  # fmt: skip
        undecided = [row for row in _benign_first(dataset, errors) if dataset.files[row] not in mine]
        if undecided:
            st.button(
                f"Go on with {len(undecided)} undecided errors", key="go-on", type="primary", width="stretch",
                on_click=open_list, args=("Undecided errors", undecided, undecided[0]),
            )  # fmt: skip
        parts.save(
            data={
                "files": [
                    {"label": "Export my decisions", "name": "leuk_decisions.csv", "type": "text/csv",
                     "text": triage.to_csv(mine.values()), "disabled": not mine},
                    {"label": "Export everyone's", "name": "leuk_decisions_all.csv", "type": "text/csv",
                     "text": triage.to_csv(everything), "disabled": not everything},
                ]
            },
            key="export",
        )  # fmt: skip
        st.file_uploader("Read decisions back, your own or a colleague's", type="csv", key="decisions_file",
                         on_change=on_decisions)  # fmt: skip
        if "told" in state:
            st.success(state.pop("told"), icon=":material/check:")
        _agreement(opened, everything)
    with right:
        order = sorted(mine.values(), key=lambda one: one.time, reverse=True)
        panels = []
        for word in DECISIONS:
            rows = [place[one.file] for one in order if one.decision == word and one.file in place]
            notes = {place[one.file]: one.comment for one in order if one.file in place and one.comment}
            panels.append(panel(opened, view, f"triage-{word}", TITLES[word], rows, first=not panels, notes=notes,
                                empty="None yet. Open an image and press "
                                f"{DECISIONS.index(word) + 1}.", kind="lesser"))  # fmt: skip
        gallery("triage-gallery", panels)


def _benign_first(dataset: DataSet, rows: Sequence[int]) -> list[int]:
    return sorted(rows, key=lambda row: (int(dataset.labels[row]) != dataset.benign, row))


def _agreement(opened: Opened, everything: Sequence[Decision]) -> None:
    names = sorted({one.reviewer for one in everything})
    if len(names) < 2:
        st.caption("With decisions of two reviewers, their agreement (Cohen's kappa) stands here.")
        return
    named = {name or "(unnamed)": name for name in names}
    with st.container(horizontal=True):
        one = st.selectbox("Reviewer", list(named), key="rater-1")
        other = st.selectbox("against", list(named), index=1, key="rater-2")
    by = {name: [d for d in everything if d.reviewer == name] for name in names}
    found = triage.agreement(by[named[one]], by[named[other]])
    if one == other or not found.shared:
        st.caption("No image was decided by both." if one != other else "Choose two reviewers.")
        return
    kappa = "can't be told" if np.isnan(found.kappa) else f"{found.kappa:.2f}"
    st.markdown(f"**Cohen's kappa {kappa}** · {found.agreed} of {found.shared} images decided alike")
    place = {file: row for row, file in enumerate(opened.dataset.files)}
    rows = [place[file] for file in found.differing if file in place]
    if rows:
        st.button(
            f"Show {len(rows)} decided otherwise", key="differing",
            on_click=lambda: state.update(listing={"title": "Decided otherwise", "rows": rows}),
        )  # fmt: skip


def ask_for_predictions(opened: Opened) -> None:
    """Say what is missing."""
    st.info(
        "This needs predictions that a system made out of fold. Add a CSV with a column file and a column p_CLASS "
        f"for each class ({', '.join(f'p_{key}' for key in opened.dataset.classes)}) under “Yours” above.",
        icon=":material/table:",
    )


def listing(opened: Opened, view: View | None) -> None:
    """List the images of a finding or a slice."""
    one = state.listing
    st.button("Back", key="leave", icon=":material/arrow_back:", on_click=lambda: state.update(listing=None))
    gallery("listing-gallery", [panel(opened, view, "listing", one["title"], one["rows"], first=True)])


SHOW = {
    "Balance": section_balance,
    "Errors": section_errors,
    "Traps": section_traps,
    "Map": section_map,
    "Labels": section_labels,
    "Slices": section_slices,
    "Triage": section_triage,
}


def page() -> None:
    """Lay the page out."""
    st.html(STYLE)
    parts.frame(key="frame")
    begin()
    readings().warm_up()
    if state.stack and state.opened is not None:
        # An image has the whole page: what is chosen above the list stays as it was.
        show(state.opened, inspector)
        return
    opened = head()
    if opened is None:
        if state.source == "own":
            st.caption("Nothing is copied: images are read where they lie.")
        return
    st.segmented_control("Section", SECTIONS, key="section", on_change=on_section, label_visibility="collapsed")
    state.section_before = state.section
    st.query_params.from_dict({"set": state.source, "section": state.section} if state.source != "own" else {})
    show(opened, section)


def section(opened: Opened, view: View | None) -> None:
    """Show what is chosen: a list that was asked for, or a section."""
    facts(opened, view)
    if state.listing is not None:
        listing(opened, view)
    else:
        SHOW[state.section](opened, view)


def show(opened: Opened, part: Callable[[Opened, View | None], None]) -> None:
    """Show a part of the page, and in one sentence what is wrong."""
    trouble = state.pop("trouble", "")
    if trouble:
        st.warning(trouble, icon=":material/warning:")
    view = None
    try:
        view = opened.view(state.get("table"))
    except LeukError as error:
        st.error(str(error), icon=":material/error:")
    try:
        part(opened, view)
    except LeukError as error:
        st.error(str(error), icon=":material/error:")


if by_the_front_door():
    page()

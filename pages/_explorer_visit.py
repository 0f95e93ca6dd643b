"""One visit to the explorer: what is open and chosen, what a press or a key does, and what is still being computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st

from leuk.data import inspection, maps, measures, mistakes, triage
from leuk.data.triage import DECISIONS, Decision, Triage
from leuk.errors import DataError, LeukError
from leuk.models.cards import available
from pages import _exploring as prepare
from pages import _exploring_parts as parts
from pages._components import literal
from pages._exploring import Job, Jobs, Opened, Readings, View

SOURCES = {
    "demonstration": "Demonstration (synthetic)",
    "taleqani": "Taleqani fields (public list)",
    "own": "Folder or table …",
}


SECTIONS = ("Balance", "Errors", "Traps", "Map", "Labels", "Slices", "Triage")


DEFAULT = {"set": "demonstration", "section": "Errors"}


POLL_SECONDS = 0.8


NAME_LENGTH = 40


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


state = st.session_state


def _asked() -> dict[str, str]:
    """Return the address's words, but for where walking from an opened image led: the browser alone writes that."""
    return {key: value for key, value in st.query_params.to_dict().items() if key != "at"}


def begin() -> None:
    """Fill what a new visit lacks, before anything is drawn; a reload comes back to what was open."""
    asked = _asked()
    defaults: dict[str, Any] = {
        "source": asked.get("set") if asked.get("set") in SOURCES else DEFAULT["set"],
        "section": asked.get("section") if asked.get("section") in SECTIONS else DEFAULT["section"],
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
        "seen": {},
        "unnamed": [],
        # What an address asks for, until it is found: predictions (None: whichever) and an image with its list.
        "wanted": asked.get("predictions"),
        "pending": st.query_params.to_dict() if "image" in asked else None,
    }
    for key, value in defaults.items():
        state.setdefault(key, value)
    if "address" not in state:
        state.followed = "image" in asked
    # Widgets are forgotten when another page is shown; its link here, which says nothing, keeps what was open.
    elif (asked or "frame" in state) and asked != state.address and _acted() == state.acted:
        _go_back(asked or DEFAULT)
    # Streamlit forgets the value of a widget that a run did not draw.
    for key in ("source", "section", "reviewer", "table", "folder"):
        if key in state:
            state[key] = state[key]


def _acted() -> tuple:
    """Tell what is chosen and pressed on the page, which an address that lags behind must not undo, from Back."""
    return state.source, state.get("table"), state.section, state.stamp


def _go_back(asked: Mapping[str, str]) -> None:
    """Follow an address that this page did not write last: the browser's Back or Forward.

    An image that this visit had open comes back with its list; an address without one leads to the list.
    """
    source, section = asked.get("set"), asked.get("section")
    if source in SOURCES and section in SECTIONS:
        if (source, section) != (state.source, state.section):
            state.listing, state.panels, state.rows = None, {}, {}
        state.source, state.section = source, section
        state.stack = list(state.seen.get(_place(asked), ()))
        state.wanted = asked.get("predictions", "")
        state.pending = st.query_params.to_dict() if "image" in asked and not state.stack else None
        state.followed = True


def _place(address: Mapping[str, str]) -> tuple:
    return tuple(sorted(address.items()))


def choose_table(opened: Opened) -> None:
    """Choose the predictions that an address names, or else the first; say so where they are not here."""
    names, wanted = list(opened.tables), state.wanted
    state.wanted = None
    if wanted is not None and names:
        found = next((name for name in names if prepare.name_of(opened, name) == wanted), names[0])
        if wanted and prepare.name_of(opened, found) != wanted:
            state.trouble = (
                f"The predictions that the address names, {prepare.predictions_title(opened, wanted)}, are not here; "
                f"those shown are {found}."
            )
        if state.get("table") not in (None, found):
            look_away()
        state.table = found


def expect_image() -> None:
    """Make the lists of a section as they were where the image stood that an address asks for."""
    asked = state.pending
    if asked is None:
        return
    if (asked.get("set"), asked.get("section")) != (state.source, state.section):
        state.pending = None
        return
    threshold, listed = asked.get("threshold", ""), asked.get("list", "")
    state.step = int(threshold) if threshold.isdecimal() and int(threshold) <= 100 else state.step
    if listed.startswith("cell-"):
        state.cell = prepare.parse_cell(listed[5:].replace("-", ","), len(state.opened.dataset.classes))


def open_image() -> bool:
    """Open the image that an address asks for, in the list that it stood in if that was made anew just now."""
    asked, state.pending = state.pending, None
    if asked is None:
        return False
    count = len(state.opened.dataset)
    # Not isdecimal alone: a number of thousands of digits can't be read.
    rows = [int(one) if one.isdecimal() and len(one) < 10 else count for one in asked["image"].split(",")]
    at = asked.get("at", "")
    at_row = int(at) if at.isdecimal() and len(at) < 10 else rows[-1]
    if max(*rows, at_row) >= count:
        state.trouble = f"There is no image in {state.opened.dataset.name} that the address names."
        return True
    panel = state.panels.get(asked.get("list", ""), {"rows": ()})
    if rows[0] in panel["rows"]:
        open_list(panel["title"], panel["rows"], rows[0], panel["step"], asked["list"])
    else:
        alone = at_row if len(rows) == 1 else rows[0]
        open_list(state.section, [alone], alone)
        state.stack[-1]["note"] = "alone here: the list that it was opened from is not kept over a reload"
    for row in rows[1:]:
        open_list("the image before", [row], row)
    if at_row in state.stack[-1]["rows"]:
        state.stack[-1]["row"] = at_row
    state.followed = True
    return True


def write_address() -> None:
    """Put what is open into the address; a folder on the server's disk stays out of it.

    An address that was followed stays as it is until something else is opened: one more entry in the browser's history
    would be where Back leads to again and again. So does the link's, which says nothing, while what is open is what
    it stands for: written in the run that the link begins, ours at times reaches the browser before the page's own.
    """
    state.section_before, state.acted = state.section, _acted()
    wanted = {"set": state.source, "section": state.section}
    if state.opened is not None and state.get("table") in list(state.opened.tables)[1:]:  # the first go without saying
        wanted["predictions"] = prepare.name_of(state.opened, state.table)
    if state.stack:
        wanted["image"] = image_words()
        listed, step = state.stack[0].get("panel"), state.stack[0].get("step")
        wanted |= {"list": listed} if listed else {}
        wanted |= {} if step is None else {"threshold": str(step)}
        state.seen[_place(wanted)] = list(state.stack)
    asked = _asked()
    if state.pop("followed", False) or (not asked and wanted == DEFAULT):
        state.address = asked
    elif (wanted, asked) != (state.get("open_before"), state.get("address")):
        state.address = wanted
        st.query_params.from_dict(wanted)
    state.open_before = wanted


def image_words() -> str:
    """Name the images that are open in the address: those that lists were left at for them."""
    return ",".join(str(one["opened"]) for one in state.stack)


def look_away() -> None:
    """Forget what was chosen in the set, or with the predictions, before.

    The browser shows their lists until others come: what is pressed in these leads nowhere, since rows of another set
    are other images, and its address would name predictions that never made the list.
    """
    state.cell, state.step, state.listing = None, None, None
    state.pages, state.panels, state.rows = {}, {}, {}
    state.stack, state.seen, state.all_slices = [], {}, False


def on_section() -> None:
    """Leave the image and the list that were open, and the lists of the section before."""
    state.listing, state.stack = None, []
    state.panels, state.rows = {}, {}
    if state.section is None:  # pressing the chosen section again would leave none
        state.section = state.get("section_before", "Errors")


def reviewer() -> str:
    """Name who decides; "" if nobody said."""
    return str(state.get("reviewer") or "").strip()


def on_reviewer() -> None:
    """Take the name that the browser has kept over a reload."""
    state.reviewer = reviewer() or str(value_of("frame", "reviewer") or "")[:NAME_LENGTH]
    on_name()


def on_name() -> None:
    """Give what was decided in this visit before a name was entered to who entered it."""
    if not reviewer() or not state.unnamed:
        return
    try:
        count = store().sign(reviewer(), *state.unnamed)
    except LeukError as error:
        state.trouble = str(error)
        return
    state.unnamed = []
    if count:
        st.toast(literal(f"{prepare.counted(count, 'decision')} of this visit now under {reviewer()}."))


def read_decisions(opened: Opened) -> str:
    """Read the decisions on the open set, once a run; where they can't be, return the sentence that says why."""
    state.decisions = None
    try:
        state.decisions = store().all(opened.key)
    except LeukError as error:
        return str(error)
    return ""


def said_here(view: View | None) -> tuple[dict[str, Decision], dict[str, list[Decision]]]:
    """Part this reviewer's decisions by file into those that hold for the predictions at hand, and those on others."""
    name, mine, others = view.name if view is not None else "", {}, {}
    for one in state.decisions or ():
        if one.reviewer != reviewer():
            continue
        if one.holds_for(name):
            mine[one.file] = one
        else:
            others.setdefault(one.file, []).append(one)
    return mine, others


def decided(view: View | None) -> dict[str, Decision]:
    """Return this reviewer's decisions by file; model errors of other predictions are left out."""
    return said_here(view)[0]


def value_of(component: str, name: str) -> Any:
    """Return what a component sent."""
    return getattr(state.get(component), name, None)


def on_cell() -> None:
    """Show the images of a cell of the confusion matrix; pressed again, all errors."""
    if state.opened is None:  # another set is being opened, and the table is still that of the one before
        return
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
            open_list(panel["title"], panel["rows"], int(sent["row"]), panel["step"], sent["panel"])

    return handle


def on_page(component: str) -> Callable[[], None]:
    """Turn a gallery's page."""

    def handle() -> None:
        sent = value_of(component, "page") or {}
        state.pages[sent.get("panel")] = int(sent.get("page", 0))

    return handle


def open_list(heading: str, rows: Sequence[int], row: int, step: int | None = None, panel: str = "") -> None:
    """Open an image; what was open before is kept to come back to.

    A list is known by its panel in the section, and by the threshold that it was made by, if any.
    """
    listed = [int(one) for one in rows]
    if row in listed:
        state.stamp += 1
        state.stack.append({"title": heading, "rows": listed, "row": row, "opened": row, "step": step, "panel": panel})


def on_go() -> None:
    """Go to another image of the list."""
    state.stamp += 1
    if not state.stack:  # Back was quicker
        return
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
        open_list("the image before", [int(row)], int(row))


def on_close() -> None:
    """Go back to the list."""
    state.stamp += 1
    if state.stack:
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
        view = opened.view(state.get("table"))
        if word in DECISIONS:
            one = prepare.decision(
                opened, view, row, word, str(sent.get("comment") or ""), reviewer(), here.get("step")
            )
            store().decide(one)
            if not reviewer():
                state.unnamed.append(one)
            if go_on:
                here["row"] = prepare.neighbour_in(here["rows"], row, 1)
        else:
            store().forget(opened.key, file, reviewer(), view.name if view is not None else "")
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
        problems = mistakes.align(state.opened.dataset, table).problems
        name = f"{table.system} · yours"
        state.own_tables[name] = table
        state.opened.tables[name] = table
        state.table = name
        look_away()
        state.trouble = " ".join(problems[:3])
    except LeukError as error:
        state.trouble = str(error)


def on_decisions() -> None:
    """Read decisions back."""
    file = state.get("decisions_file")
    if file is None:
        return
    try:
        dataset = state.opened.dataset
        found = triage.from_csv(file.getvalue(), state.opened.key, file.name)
        there = set(dataset.files)
        fitting = [one for one in found if one.file in there]
        if found and not fitting:
            raise DataError(
                f"{file.name} holds {prepare.counted(len(found), 'decision')}, but none on an image of {dataset.name}; "
                "open the data set that it was made for."
            )
        stayed = store().read_back(*fitting)
        told = [f"{prepare.counted(len(fitting) - stayed, 'decision')} read from {file.name}"]
        if stayed:
            told.append(f"{prepare.counted(stayed, 'newer one')} here stayed")
        if len(found) > len(fitting):
            told.append(f"{prepare.counted(len(found) - len(fitting), 'other')} left out, on no image of this set")
        state.told = "; ".join(told) + "."
    except LeukError as error:
        state.trouble = str(error)


def measured(opened: Opened) -> Job | None:
    """Measure the images in the background; None where there are none."""
    if opened.dataset.root is None:
        return None
    return jobs().get(("measures", *opened.identity), lambda progress: measures.measure(opened.dataset, progress))


def measures_if_done(opened: Opened) -> measures.Measures | None:
    """Return the measures if they are there."""
    job = measured(opened)
    return job.result if job is not None and job.done else None


def nothing_readable(known: measures.Measures) -> str:
    """Say that no image of a set can be read; "" if any can."""
    count = len(known.readable)
    if known.readable.any() or not count:
        return ""
    what = "The image can't" if count == 1 else f"None of the {count:,} images can"
    return f"{what} be read; Traps says why."


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
            st.error(literal(job.error), icon=":material/error:")
        return not job.error

    def show() -> None:
        if job.done:
            st.rerun()
        st.progress(job.fraction, text=literal(f"{what} · {job.stage.lower()}"))

    st.fragment(show, run_every=POLL_SECONDS)()
    return False


def poll(ready: Callable[[], bool], job: Job | None = None) -> None:
    """Run the page again once something is ready, and show how far a job is meanwhile."""

    def show() -> None:
        if ready():
            st.rerun()
        if job is not None:
            st.progress(job.fraction, text=literal(f"For what is still being measured: {job.stage.lower()}"))

    st.fragment(show, run_every=POLL_SECONDS)()


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
    figures: np.ndarray | None = None,
    calls: Mapping[int, tuple[str, float]] | None = None,
    step: int | None = None,
) -> dict[str, Any]:
    """Describe one page of a panel of thumbnails, and remember its list."""
    shown, page, pages = prepare.page_of(rows, state.pages.get(name, 0))
    state.panels[name] = {"title": heading, "rows": [int(row) for row in rows], "step": step}
    marks = decided(view)
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
            prepare.tile(
                opened.dataset,
                verdicts,
                row,
                marks,
                twin,
                (notes or {}).get(row, ""),
                None if figures is None else float(figures[row]),
                (calls or {}).get(row),
            )
            for row in shown
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


def embedding_if_done(opened: Opened, view: View | None, known: measures.Measures) -> tuple[np.ndarray, str]:
    """Return a system's embeddings if they are computed, else colour and layout, and what to call them."""
    job = jobs().known(("embedding", *opened.identity, model_for(view)))
    if job is not None and job.done and job.result is not None:
        return job.result, f"what {prepare.system_title(model_for(view))} makes of them"
    return embedding_plain(opened, known), "colour and layout"


def embedding_plain(opened: Opened, known: measures.Measures) -> np.ndarray:
    """Describe every image by colour and layout, once."""
    kept = opened.__dict__.setdefault("_features", {})
    if "plain" not in kept:
        kept["plain"] = maps.image_features(known)
    return kept["plain"]

"""Explorer: a data set, what a system got wrong on it, and whether its score can be believed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from leuk.data import demo
from leuk.data.datasets import load_dataset, taleqani
from leuk.errors import LeukError
from leuk.training.predictions import read_predictions, shipped
from pages import _exploring as prepare
from pages import _exploring_parts as parts
from pages._components import SHARED_STYLE, literal
from pages._explorer_image import inspector
from pages._explorer_sections import SHOW, listing
from pages._explorer_visit import (
    NAME_LENGTH,
    SECTIONS,
    SOURCES,
    begin,
    choose_table,
    expect_image,
    jobs,
    look_away,
    on_name,
    on_reviewer,
    on_section,
    on_table,
    open_image,
    read_decisions,
    readings,
    reviewer,
    state,
    write_address,
)
from pages._exploring import Opened, View
from pages._front_door import by_the_front_door

NO_TABLE = "no predictions"
MOST_REMARKS = 50


STYLE = """
<style>
[data-testid="stHeader"] { height: 3.25rem; min-height: 3.25rem; padding-left: 7.5rem; }
.stMainBlockContainer { padding: 3.6rem 1.5rem 3.2rem; max-width: 1760px; }
.stMainBlockContainer .stVerticalBlock { gap: .75rem; }
[data-stale="true"] { opacity: 1 !important; transition: none !important; }
.st-key-section button { min-height: 38px; }
.st-key-source label p, .st-key-table label p, .st-key-reviewer label p { font-size: .78rem; }
@media (max-width: 760px) {
  .stMainBlockContainer { padding: 3.4rem .75rem 3.2rem; }
  .stMainBlockContainer .stVerticalBlock { gap: .5rem; }
  .st-key-section button { min-height: 42px; }
  /* Set and reviewer side by side, predictions below: what they lead to begins on the first screen. */
  .st-key-head .stHorizontalBlock { gap: .5rem; }
  .st-key-head > div > .stHorizontalBlock > .stColumn, .st-key-head > .stHorizontalBlock > .stColumn {
    min-width: 0; flex: 1 1 58%; }
  .st-key-head .stColumn:nth-child(3) { flex: 1 1 30% !important; order: 1; }
  .st-key-head .stColumn:nth-child(2) { flex: 1 1 100% !important; order: 2; }
  .st-key-section [data-testid="stButtonGroup"] > div { flex-wrap: nowrap; overflow-x: auto; }
  .st-key-section [data-testid="stButtonGroup"] button { flex: none; }
}
</style>
"""


def open_set() -> Opened | None:
    """Open the chosen set; say in one sentence why if it can't be."""
    # In every run, or what follows would change its place, be built anew, and for a moment hear no key.
    place = st.empty()
    source, folder = state.source, prepare.pasted(str(state.get("folder") or ""))
    wanted = (source, folder if source != "demonstration" else "")
    if state.opened_as == wanted and state.opened is not None:
        return state.opened
    look_away()
    state.opened, state.opened_as = None, wanted
    if source == "own" and not folder:
        return None
    try:
        if source == "demonstration":
            with waiting(place, "Drawing the demonstration set") as tell:
                made = demo.demonstration(progress=tell)
            state.opened = Opened(source, made.dataset, {prepare.table_title(one): one for one in made.predictions})
        else:
            dataset = taleqani(folder or None) if source == "taleqani" else load_dataset(os.path.expanduser(folder))  # noqa: PTH111
            tables, left_out = prepare.fitting(dataset, shipped_tables() | state.own_tables)
            key = source if source == "taleqani" else str(dataset.root)
            state.opened = Opened(key, dataset, tables, left_out)
    except LeukError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return None
    return state.opened


@contextlib.contextmanager
def waiting(place: DeltaGenerator, text: str) -> Iterator[Callable[[float, str], None]]:
    """Show a bar while something is done in this run."""
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
    left, middle, right = st.container(key="head").columns([1.1, 1.6, 0.7], vertical_alignment="bottom")
    left.selectbox("Data set", list(SOURCES), key="source", format_func=SOURCES.get, on_change=look_away)
    right.text_input("Reviewer", key="reviewer", placeholder="your initials", max_chars=NAME_LENGTH, on_change=on_name)
    if state.source == "taleqani":
        st.text_input(
            "Folder that holds Original/Benign and so on (empty: the statistics alone)",
            key="folder",
            placeholder="/path/to/taleqani",
            on_change=look_away,
        )
    elif state.source == "own":
        st.text_input(
            "Folder of class folders, or a CSV with columns path and label, on the machine that runs Leuk",
            key="folder",
            placeholder="/path/to/data",
            on_change=look_away,
        )
    opened = open_set()
    if opened is None:
        return None
    names = [*opened.tables, NO_TABLE] if not opened.tables else list(opened.tables)
    choose_table(opened)
    if state.get("table") not in names:
        state.table = names[0]
    with middle.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.selectbox("Predictions", names, key="table", on_change=look_away, help=literal(opened.left_out) or None)
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
    images = prepare.counted(len(dataset), "image")
    job = jobs().known(("measures", *opened.identity))
    if job is not None and job.result is not None and not job.result.readable.all():
        readable = int(job.result.readable.sum())
        images += f", {readable:,} of which can be read" if readable else ", none of which can be read"
    words = [images, prepare.counted(len(dataset.classes), "class", "classes")]
    if view is not None:
        known = view.verdicts.known
        right = float((view.verdicts.predicted == dataset.labels)[known].mean()) if known.any() else float("nan")
        stated = " (out of fold, as you state)" if view.own else " out of fold"
        words.append(f"{int(known.sum()):,} predicted{stated}, {prepare.percent(right, int(known.sum()))} as labelled")
    if dataset.root is None:
        words.append("images are not here: statistics only")
    st.caption(" · ".join(words))
    problems = [*dataset.problems, *(view.verdicts.problems if view is not None else ())]
    if problems:
        with st.expander(
            f"{prepare.counted(len(problems), 'remark')} on files and predictions", icon=":material/info:"
        ):
            st.markdown("\n".join(f"- {literal(one)}" for one in problems[:MOST_REMARKS]))
            if len(problems) > MOST_REMARKS:
                st.caption(f"The first {MOST_REMARKS} of {len(problems):,}.")


def page() -> None:
    """Lay the page out."""
    st.html(SHARED_STYLE + STYLE)
    begin()
    state.named = state.get("named", False) or bool(reviewer())
    parts.frame(key="frame", data={"reviewer": reviewer(), "fresh": not state.named}, on_reviewer_change=on_reviewer)
    readings().warm_up()
    if state.stack and state.opened is not None:
        # An image has the whole page: what is chosen above the list stays as it was.
        write_address()
        show(state.opened, inspector)
        return
    opened = head()
    write_address()
    if opened is None:
        if state.source == "own":
            st.caption("Nothing is copied: images are read where they lie.")
            if state.pending:
                st.caption("The image that the address names opens once its folder is named.")
        return
    expect_image()
    st.segmented_control("Section", SECTIONS, key="section", on_change=on_section, label_visibility="collapsed")
    show(opened, section)
    if open_image():
        st.rerun()


def section(opened: Opened, view: View | None) -> None:
    """Show what is chosen: a list that was asked for, or a section."""
    facts(opened, view)
    if state.listing is not None:
        listing(opened, view)
    else:
        SHOW[state.section](opened, view)


def show(opened: Opened, part: Callable[[Opened, View | None], None]) -> None:
    """Show a part of the page, and in one sentence what is wrong."""
    # Without its decisions the set can still be looked at.
    for trouble in dict.fromkeys([state.pop("trouble", ""), read_decisions(opened)]):
        if trouble:
            st.warning(literal(trouble), icon=":material/warning:")
    view = None
    try:
        view = opened.view(state.get("table"))
    except LeukError as error:
        st.error(literal(str(error)), icon=":material/error:")
    try:
        part(opened, view)
    except LeukError as error:
        st.error(literal(str(error)), icon=":material/error:")


if by_the_front_door():
    page()

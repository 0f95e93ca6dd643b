"""The explorer's sections, each of which computes only what it shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import streamlit as st

from leuk.data import audit, balance, maps, measures, mistakes, triage
from leuk.data.datasets import DataSet
from leuk.data.slices import CUTS
from leuk.data.triage import DECISIONS, ON_PREDICTIONS, TITLES, Decision
from leuk.map_figure import map_figure
from pages import _exploring as prepare
from pages import _exploring_parts as parts
from pages._components import literal
from pages._explorer_visit import (
    embedding_plain,
    gallery,
    jobs,
    measured,
    measures_if_done,
    model_for,
    nothing_readable,
    on_cell,
    on_choose,
    on_decisions,
    on_threshold,
    open_list,
    panel,
    reviewer,
    said_here,
    state,
    wait_for,
)
from pages._exploring import Opened, View

MOST_SLICES = 40
SEVERITY = {"serious": "Serious", "warning": "Warning", "note": "Note"}


def section_balance(opened: Opened, view: View | None) -> None:
    """Show counts, measures and contact sheets."""
    dataset = opened.dataset
    job = measured(opened)
    known = measures_if_done(opened)
    found = balance.balance(dataset, known)
    titles = [prepare.title(dataset, key) for key in dataset.classes]
    legend = [{"color": f"var(--c{i % 7})", "text": one} for i, one in enumerate(titles)]
    if known is not None and (sentence := nothing_readable(known)):
        st.warning(sentence, icon=":material/broken_image:")
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
            prepare.counted(len(sizes), dataset.session_kind)
            + (" (clusters of colour and light, never patients)" if dataset.session_kind == "pseudo-session" else "")
            + f" of {int(sizes.min())} to {int(sizes.max())} images."
        )
    if found.segmented:
        words.append(f"{found.segmented:,} images have a segmented twin.")
    if found.sizes:
        words.append("Sizes: " + ", ".join(f"{size} ({n:,})" for size, n in list(found.sizes.items())[:4]) + ".")
    rows: list[dict[str, Any]] = [{"id": "counts", "title": "Images per class", "text": " ".join(words), "bars": bars}]
    for name, what in prepare.MEASURE_NOTES.items():
        if name in found.spread and np.isfinite(found.spread[name]).any():
            spread = found.spread[name]
            low, high = float(np.nanmin(spread)), float(np.nanmax(spread))
            rows.append(
                {
                    "id": name,
                    "title": prepare.MEASURE_TITLES[name],
                    "text": f"{what} Drawn from {low:.3g} to {high:.3g}: thick bars are the middle half, thin lines "
                    "5 to 95 %.",
                    "bars": [
                        {"name": one, "kind": "box", "tone": i,
                         "quantiles": prepare.scaled(spread[i], low, high),
                         "note": f"median {spread[i][2]:.3g}, 5 to 95 %: {spread[i][0]:.3g} to {spread[i][4]:.3g}"}
                        for i, one in enumerate(titles) if np.isfinite(spread[i]).all()
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
        one = panel(opened, view, f"sheet-{label}", prepare.title(dataset, dataset.classes[label]), rows_of,
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
        if state.step is not None:
            st.caption("The table goes by the likeliest class, not by the threshold.")
    with right:
        if state.cell is not None:
            true, called = state.cell
            rows = mistakes.cell_rows(dataset, verdicts, true, called).tolist()
            names = prepare.title(dataset, dataset.classes[true]), prepare.title(dataset, dataset.classes[called])
            gallery(
                "cell-gallery",
                [panel(opened, view, f"cell-{true}-{called}", f"Labelled {names[0]}, called {names[1]}", rows,
                       "The most confident first.", first=True)],
            )  # fmt: skip
            st.button("Show all errors", key="all-errors", on_click=lambda: state.update(cell=None))
            return
        if dataset.benign is not None and dataset.benign_beside_malignant is None:
            _errors_beside_others(opened, view, dataset.benign)
            return
        found = mistakes.mistakes(dataset, verdicts, None if state.step is None else state.step / 100)
        calls = None
        if state.step is not None:
            calls = {row: prepare.call_at(dataset, verdicts, row, state.step) for row in found.all.tolist()}
        panels = []
        benign = dataset.benign_beside_malignant
        if benign is not None:
            panels = [
                panel(opened, view, "alarms", "False alarms: benign called malignant", found.false_alarms.tolist(),
                      "The surest first; the figure is the probability of any malignant class.", first=True,
                      empty="No benign image is called malignant.",
                      figures=1 - verdicts.probabilities[:, benign], calls=calls, step=state.step),
                panel(opened, view, "misses", "Misses: malignant called benign", found.misses.tolist(),
                      "The surest first.", kind="lesser", empty="No malignant image is called benign.",
                      figures=verdicts.probabilities[:, benign], calls=calls, step=state.step),
            ]  # fmt: skip
            gallery("errors-gallery", panels, "minmax(0, 5fr) minmax(0, 3fr)")
            if len(dataset.classes) < 3:  # one malignant class can't be called another
                return
        more = panel(opened, view, "confused", "One malignant class called another" if panels else "Errors",
                     found.confused.tolist(), "Subtypes are immunophenotypes; looks alone seldom tell them apart."
                     if panels else "The most confident first.", kind="lesser" if panels else "", first=not panels,
                     empty="None.", calls=calls, step=state.step)  # fmt: skip
        gallery("confused-gallery", [more])


def _errors_beside_others(opened: Opened, view: View, benign: int) -> None:
    """Show errors where what is not benign need not be malignant."""
    dataset, predicted = opened.dataset, view.verdicts.predicted
    rows = mistakes.mistakes(dataset, view.verdicts).confused
    name = prepare.title(dataset, dataset.classes[benign])
    truly, called = dataset.labels[rows] == benign, predicted[rows] == benign
    lists = (
        ("from-benign", f"{name} called another class", rows[truly], f"No image labelled {name} is called otherwise."),
        ("to-benign", f"Another class called {name}", rows[called], f"No other image is called {name}."),
        ("confused", "One other class called another", rows[~truly & ~called], "None."),
    )
    panels = [
        panel(opened, view, key, heading, chosen.tolist(), "The most confident first.", first=not number,
              kind="lesser" if number else "", empty=empty)
        for number, (key, heading, chosen, empty) in enumerate(lists)
    ]  # fmt: skip
    gallery("errors-gallery", panels[:2], "minmax(0, 5fr) minmax(0, 3fr)")
    if len(dataset.classes) > 2:
        gallery("confused-gallery", panels[2:])


def section_traps(opened: Opened, view: View | None) -> None:
    """Show whatever makes a score hard to believe."""
    dataset = opened.dataset
    table = opened.tables.get(state.table)
    job = measured(opened)
    if job is not None and not wait_for(job, "Measuring images"):
        return
    called = view.verdicts.title if view is not None else ""
    key = ("audit", *opened.audited(state.table if view is not None else None))
    job = jobs().get(key, lambda progress: audit.audit(dataset, table, progress, title=called))
    if not wait_for(job, "Looking for traps"):
        return
    found = job.result
    if dataset.root is None:
        st.info("Duplicates and shortcuts are found in the images; name their folder above.", icon=":material/folder:")
    findings = [one for one in found.findings if one.section in ("traps", "files", "balance")]
    lists: dict[str, tuple[str, list[int]]] = {}
    rows = []
    for one in findings:
        bars = []
        if one.key.startswith("shortcut"):
            bars = _shortcut_bars(dataset, found, one)
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
                f"that stand together point at a slide or a {prepare.group(dataset)}, not at cells. Press a place to "
                "see its image.",
                "bars": [
                    {
                        "name": prepare.title(dataset, dataset.classes[label]),
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


def _shortcut_bars(dataset: DataSet, found: audit.Audit, finding: audit.Finding) -> list[dict[str, Any]]:
    mine = [one for one in found.shortcuts if one.name in finding.key] or list(found.shortcuts)
    held = "folds" if dataset.session is None else f"{dataset.session_kind}s"
    bars = []
    for one in mine:
        held_out = "" if one.grouped is None else prepare.percent(one.grouped, len(dataset))
        grouped = f", {held_out} with {held} held out" if held_out else ""
        bars.append(
            {"name": one.title, "kind": "interval", "value": one.accuracy, "low": one.interval[0],
             "high": one.interval[1], "ref": one.chance, "num": prepare.percent(one.accuracy, len(dataset)),
             "note": f"(chance up to {prepare.percent(one.chance, len(dataset))}{grouped})"}
        )  # fmt: skip
    return bars


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
    if sentence := nothing_readable(known):
        st.warning(sentence, icon=":material/broken_image:")
        return
    model = model_for(view)
    sources = {"Colour and layout": None, f"What {prepare.system_title(model)} makes of them": model}
    colors = ["Label", "Called", "Right or wrong"] if view is not None else ["Label"]
    colors += [dataset.session_kind.capitalize()] if dataset.session is not None else []
    colors += [prepare.MEASURE_TITLES[name] for name in prepare.MEASURE_NOTES]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        source = st.selectbox("Laid out by", list(sources), key="map-source")
        method = st.selectbox("Method", ["t-SNE", "PCA"], key="map-method")
        colour = st.selectbox("Coloured by", colors, key="map-colour")
    features: np.ndarray
    if sources[source] is None:
        features = embedding_plain(opened, known)
    else:
        job = jobs().get(
            ("embedding", *opened.identity, model), lambda progress: _embed(dataset, model, known, progress)
        )
        if not wait_for(job, "Reading every image"):
            return
        features = job.result
    how = {"t-SNE": "tsne", "PCA": "pca"}[method]
    job = jobs().get(("layout", *opened.identity, sources[source], how), lambda progress: maps.layout(features, how))
    if not wait_for(job, "Laying out the map"):
        return
    codes, names = _colours(opened, view, known, colour)
    figure = map_figure(job.result, codes, names, dataset.files, colour, st.context.theme.type == "dark")
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


def _embed(
    dataset: DataSet, model: str, known: measures.Measures, progress: Callable[[float, str], None]
) -> np.ndarray:
    from leuk.models.store import load_model  # brings the networks' libraries, which take seconds to load

    progress(0.0, "Loading the model")
    return maps.embed(dataset, load_model(model), progress, known)


def _colours(
    opened: Opened, view: View | None, known: measures.Measures, colour: str
) -> tuple[np.ndarray, tuple[str, ...] | None]:
    dataset = opened.dataset
    names = tuple(prepare.title(dataset, key) for key in dataset.classes)
    if colour == "Label":
        return dataset.labels, names
    if view is not None and colour == "Called":
        return np.where(view.verdicts.known, view.verdicts.predicted, -1), names
    if view is not None and colour == "Right or wrong":
        right = view.verdicts.predicted == dataset.labels
        return np.where(view.verdicts.known, (~right).astype(np.int64), -1), ("Right", "Wrong")
    if colour == dataset.session_kind.capitalize() and dataset.session is not None:
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
    how = "probabilities, which it takes to be out of fold," if view.own else "out-of-fold probabilities"
    st.markdown(
        f"**{len(found.rows)} of {int(view.verdicts.known.sum()):,} labels are in doubt**, the most suspicious first. "
        f"Confident learning compares each image's {how} with what images of each label usually get. A system that is "
        "wrong in the same way many times is doubted too: look before you decide."
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
        wait_for(job, f"Measuring images, for slices by {', '.join(CUTS.values())}")
    kinds = list(dict.fromkeys(one.by for one in found))
    names = {**CUTS, "session": opened.dataset.session_kind}
    chosen = st.pills(
        "Cut by", kinds, key="slice-kind", selection_mode="multi", label_visibility="collapsed",
        format_func=lambda kind: names.get(kind, kind.replace("_", " ")).capitalize(),
    )  # fmt: skip
    every = [one for one in found if not chosen or one.by in chosen]
    shown = every if state.get("all_slices") else every[:MOST_SLICES]
    verdicts, dataset = view.verdicts, opened.dataset
    right = verdicts.predicted == dataset.labels
    overall = float(right[verdicts.known].mean())
    lists, rows = {}, []
    for number, one in enumerate(shown):
        heading = one.title[0].upper() + one.title[1:]
        if one.by == "class":
            heading = prepare.title(dataset, dataset.classes[int(dataset.labels[one.rows[0]])])
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
        "Accuracy with its 95 % interval, 0 to 100 %; the upright line is the whole set, "
        f"{prepare.percent(overall, int(verdicts.known.sum()))}. The worst come first, by the upper end of their "
        "interval; orange intervals lie wholly below that line. Many slices are looked at, so a few stand out by "
        "chance; the more so as intervals count images as independent, which images of one "
        f"{prepare.group(dataset)} are not."
    )
    parts.rows(data={"rows": rows, "legend": None}, key="slices", on_choose_change=on_choose("slices"))
    if len(shown) < len(every):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"The worst {len(shown)} of {len(every)} slices.", width="content")
            st.button("Show all", key="every-slice", on_click=lambda: state.update(all_slices=True))


def section_triage(opened: Opened, view: View | None) -> None:
    """Show progress and agreement, export decisions, read them back."""
    if state.decisions is None:  # the page says why
        return
    dataset, (mine, others) = opened.dataset, said_here(view)
    place = {file: row for row, file in enumerate(dataset.files)}
    everything: list[Decision] = state.decisions
    own = [one for one in everything if one.reviewer == reviewer()]
    aside = [one for decisions in others.values() for one in decisions if one.file in place]
    present = [one for one in mine.values() if one.file in place]
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
            count = sum(one.decision == word for one in present)
            share = count / max(1, len(present))
            bars.append({"name": TITLES[word], "kind": "share", "value": share, "num": str(count)})
        who = f"{prepare.counted(len(present), 'decision')} of {reviewer() or 'an unnamed reviewer'}"
        who += f", and {prepare.counted(len(aside), 'model error')} of other predictions." if aside else "."
        parts.rows(
            data={"rows": [{"id": "progress", "narrow": True, "title": "Progress", "text": who,
                            "bars": bars}], "legend": None},
            key="progress",
        )  # fmt: skip
        undecided = [row for row in _benign_first(dataset, errors) if dataset.files[row] not in mine]
        if undecided:
            left_over = prepare.counted(len(undecided), "undecided error")
            st.button(
                f"Go on with {left_over}", key="go-on", type="primary", width="stretch",
                on_click=open_list, args=("Undecided errors", undecided, undecided[0]),
            )  # fmt: skip
        parts.save(
            data={
                "files": [
                    {"label": "Export my decisions", "name": "leuk_decisions.csv", "type": "text/csv",
                     "text": triage.to_csv(own), "disabled": not own},
                    {"label": "Export everyone's", "name": "leuk_decisions_all.csv", "type": "text/csv",
                     "text": triage.to_csv(everything), "disabled": not everything},
                ]
            },
            key="export",
        )  # fmt: skip
        st.file_uploader("Read decisions back, your own or a colleague's", type="csv", key="decisions_file",
                         on_change=on_decisions)  # fmt: skip
        if "told" in state:
            st.success(literal(state.pop("told")), icon=":material/check:")
        name = view.name if view is not None else ""
        _agreement(opened, [one for one in everything if one.file in place and one.holds_for(name)])
    with right:
        order = sorted(present, key=lambda one: one.time, reverse=True)
        panels = []
        for word in DECISIONS:
            rows = [place[one.file] for one in order if one.decision == word]
            notes = {place[one.file]: one.comment for one in order if one.comment}
            panels.append(panel(opened, view, f"triage-{word}", TITLES[word], rows, first=not panels, notes=notes,
                                empty="None yet. Open an image and press "
                                f"{DECISIONS.index(word) + 1}.", kind="lesser"))  # fmt: skip
        for name in sorted({one.predictions for one in aside}):
            theirs = [one for one in aside if one.predictions == name]
            notes = {place[one.file]: one.comment for one in theirs if one.comment}
            whose = f"{TITLES[ON_PREDICTIONS]} of {prepare.predictions_title(opened, name)}"
            panels.append(panel(opened, view, f"triage-of-{name}", whose, [place[one.file] for one in theirs],
                                "Not counted for the predictions at hand.", notes=notes, kind="lesser"))  # fmt: skip
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
    few = f"from {triage.FEWEST} images on" if found.shared < triage.FEWEST else "can't be told"
    kappa = few if np.isnan(found.kappa) else f"{found.kappa:.2f}"
    st.markdown(f"**Cohen's kappa {kappa}** · {found.agreed} of {found.shared} images decided alike")
    place = {file: row for row, file in enumerate(opened.dataset.files)}
    rows = [place[file] for file in found.differing]
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

"""Models: the published systems side by side, what their scores are worth, and the card of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from leuk import figures
from leuk.models.cards import weights_folder
from leuk.models.systems import readers
from leuk.report import percent
from leuk.training import results
from leuk.training.results import Row
from pages import _components
from pages._front_door import by_the_front_door

STYLE = """
<style>
[data-testid="stHeader"] { height: 3.25rem; min-height: 3.25rem; padding-left: 7.5rem; }
.stMainBlockContainer { padding: 4rem 1.5rem 3.2rem; max-width: 1400px; }
.st-key-worth-narrow, .st-key-table-narrow, .st-key-stress-narrow { display: none; }
@media (max-width: 760px) {
  .stMainBlockContainer { padding: 3.8rem .75rem 3.2rem; }
  .st-key-worth-narrow, .st-key-table-narrow, .st-key-stress-narrow { display: flex; }
  .st-key-worth-wide, .st-key-table-wide, .st-key-stress-wide { display: none; }
}
</style>
"""
COLUMNS = {
    "short": "System",
    "claimed": "Claimed",
    "random": "Random split",
    "grouped": "Grouped",
    "worst_stress": "Worst stress",
    "stain_swap": "Stain swap",
    "elsewhere": "Elsewhere",
    "folds": "Folds measured",
    "reader_same": "Reader on the same",
    "benign_recall": "Benign recall",
    "training": "Training",
    "auroc": "AUROC",
    "sensitivity_at_95": "Sens. at 95 % spec.",
    "grey": "Grey",
    "cells_erased": "Cells erased",
    "ece": "ECE",
    "parameters": "Parameters",
    "multiply_adds": "Multiply-adds",
    "latency": "Time (DenseNet-201 = 1)",
    "throughput": "Throughput (DenseNet-201 = 1)",
    "weights": "Weights here",
}
HELP = {
    "claimed": "Accuracy that the authors report on a random split of these fields; empty where they report none. "
    "The comparison of backbones gives one, of two branches of its best, DenseNet-201.",
    "random": "Accuracy, fields dealt out one by one, as in the papers: fields of one slide, even copies, are on both "
    "sides.",
    "grouped": "Accuracy, whole pseudo-sessions held out (clusters of colour and light; no patient is known).",
    "benign_recall": "Share of benign fields (hematogones) called benign, grouped.",
    "auroc": "Malignant against benign, grouped.",
    "sensitivity_at_95": "Share of malignant fields found where 95 % of benign fields are left in peace, grouped.",
    "worst_stress": "Lowest accuracy under changes of light, stain, camera and file. None makes a cell another, but "
    "blur, noise, JPEG, half the resolution and clipping change its chromatin.",
    "grey": "Accuracy with all colour taken away.",
    "stain_swap": "Accuracy on fields recoloured like a field of another class: colour points to the wrong answer.",
    "cells_erased": "Accuracy with the white cells painted out. Always calling the commonest class gets 0.30, of two "
    "classes 0.84; more is read off the background.",
    "elsewhere": "Pictures of other laboratories, never trained on: how often malignant or benign is right: the mean "
    "of sensitivity and specificity. Calling everything one thing gives 0.5. The interval adds up the exact ones of "
    "each place.",
    "ece": "Expected calibration error after temperature scaling fitted on other folds; lower is better.",
    "latency": "Time for one field, at the published size, as a multiple of DenseNet-201's in the same run; lower is "
    "faster.",
    "throughput": "Fields per second in batches, at the published size, as a multiple of DenseNet-201's in the same "
    "run; higher is faster.",
    "reader_same": "Grouped accuracy of Leuk's reader on the fields on which a system of fewer folds was measured: "
    "folds differ in how hard they are.",
    "folds": "A system measured on one fold of five was not affordable in full; its card says how it was trained.",
    "training": "How long it was trained and on what, beside the paper's recipe; with less, it could score higher.",
}
INTERVALS = (
    "random",
    "grouped",
    "benign_recall",
    "auroc",
    "sensitivity_at_95",
    "worst_stress",
    "grey",
    "stain_swap",
    "elsewhere",
)
# With room for a word beside the figure elsewhere.
WIDTHS = dict.fromkeys(INTERVALS, 150) | {"elsewhere": 200}
IN_WORDS = (*INTERVALS, "claimed", "reader_same", "cells_erased", "ece")
# Rows are ordered by the lowest of these.
LEFT = ("grouped", "worst_stress", "stain_swap")
SHOW = ("Systems", "Controls")


@st.cache_data(show_spinner="Reading what was measured …")
def measured(stamp: tuple[Any, ...]) -> tuple[list[Row], list[Row], list[dict[str, Any]]]:
    """Give systems, controls and their table; once for each state of the weights' folder."""
    return results.systems(), results.controls(), results.comparison()


def stamp() -> tuple[Any, ...]:
    """Describe the state of the weights' folder."""
    folder = weights_folder()
    paths = [*folder.glob("*.json"), *folder.glob("predictions/*"), *folder.glob("*.safetensors")]
    return (str(folder), *sorted((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in paths))


def in_words(row: Mapping[str, Any], key: str) -> str:
    """Write a figure with its interval; rows of three decimals sort as their numbers do."""
    if row[key] is None:
        return ""
    text = f"{row[key]:.3f}"
    low, high = row.get(f"{key}_low"), row.get(f"{key}_high")
    text = text if low is None else f"{text}  ({low:.3f}-{high:.3f})"
    return f"{text} random" if key == "elsewhere" and row.get("elsewhere_in") == "random" else text


def table_of(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Put rows of the comparison into the page's table."""
    columns: dict[str, list[Any]] = {}
    for key in COLUMNS:
        columns[key] = [in_words(row, key) if key in IN_WORDS else row[key] for row in rows]
    columns["short"] = [results.named(row) for row in rows]
    return pd.DataFrame(columns)


def filtered(
    rows: Sequence[Mapping[str, Any]], kinds: Sequence[str], text: str = "", measured_only: bool = False
) -> list[Mapping[str, Any]]:
    """Choose rows by kind, by words in their titles, and by whether anything was measured."""
    wanted = {kind.lower().rstrip("s") for kind in kinds}
    words = text.casefold().split()
    return [
        row
        for row in rows
        if row["kind"] in wanted
        and all(word in f"{row['title']} {row['name']}".casefold() for word in words)
        and (not measured_only or row["random"] is not None or row["grouped"] is not None)
    ]


def headline(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say in a sentence what a control's score means for the claims."""
    best = max(
        (row for row in rows if row["kind"] == "control" and row["random"] is not None),
        # A field more or less is no difference: of those that read alike, the one that keeps most.
        key=lambda row: (round(row["random"], 3), row["grouped"] or 0),
        default=None,
    )
    if best is None:
        return "Controls have not been measured yet: `python -m leuk evaluate controls --data DIR`."
    claims = [row["claimed"] for row in rows if row["claimed"] is not None]
    span = f", where published systems claim {min(claims):.3f} to {max(claims):.3f}" if claims else ""
    held = f" Whole groups held out, it still gets {best['grouped']:.3f}." if best["grouped"] is not None else ""
    swapped, worst = best["stain_swap"], best["worst_stress"]
    swap = f" Recoloured like another class, it gets {swapped:.3f}." if swapped is not None else ""
    stress = f" Under the worst change of light or camera, it gets {worst:.3f}." if worst is not None else ""
    return (
        f"**{best['title']}** sees no cell and gets **{best['random']:.3f}** of these fields right on a random split"
        f"{span}.{held}{swap}{stress} So a score near 0.99 says nothing about morphology: look at what "
        "is left of it beside."
    )


def ordered(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Sort rows by what is left of a score where least is left; what is only claimed comes below, nothing at all last.

    Least is the lowest of grouped, worst stress and stain swap; of rows that lack one of these nothing is known to be
    left.
    """

    def key(row: Mapping[str, Any]) -> tuple[float, ...]:
        least = min(row[name] or 0 for name in LEFT)
        return tuple(-one for one in (least, row["grouped"] or 0, row["random"] or 0, row["claimed"] or 0))

    return sorted(rows, key=key)


def marked(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Say beside a name where a system was measured on fewer than all five folds, and of which partition."""
    told = []
    for row in rows:
        counts = {partition: row[f"folds_{partition}"] for partition in ("random", "grouped")}
        counts = {partition: count for partition, count in counts.items() if count}
        few = {partition: count for partition, count in counts.items() if count < 5}
        which = "grouped" if "grouped" in few else next(iter(few), "")
        where = "" if few == counts else f"{which}: "
        mark = f" ({where}{few[which]} of 5 folds)" if few else ""
        told.append({**row, "short": results.named(row) + mark})
    return told


def known(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Leave out rows of which no accuracy is measured or claimed."""
    return [row for row in rows if any(row[key] is not None for key in ("claimed", "random", "grouped"))]


# ---- the reader used on Review ------------------------------------------------------------------------------------


def use_on_review(name: str) -> None:
    """Make a system the one that Review reads with."""
    st.session_state["model"] = name


def on_pick() -> None:
    """Take the choice made at the top of the page."""
    use_on_review(st.session_state.review_reader)


def reader_choice(systems: Sequence[Row]) -> None:
    """Choose the reader used on Review, here as there."""
    names = list(readers())
    titles = {row.name: results.short_title(row) for row in systems}
    if not names:
        st.info("No weights are here; train a system first.")
        return
    chosen = st.session_state.get("model")
    st.session_state.review_reader = chosen if chosen in names else names[0]
    st.selectbox(
        "Reader used on Review",
        names,
        key="review_reader",
        on_change=on_pick,
        format_func=lambda name: titles.get(name, name),
        help="Files that are open on Review are read anew with it.",
    )


# ---- parts of the page --------------------------------------------------------------------------------------------


def palette() -> list[str]:
    """Return the theme's colours for categories."""
    dark = st.context.theme.type == "dark"
    return list(st.get_option(f"theme.{'dark' if dark else 'light'}.chartCategoricalColors") or figures.PALETTE)


def chart(figure: go.Figure, key: str) -> None:
    """Show a figure in the theme's colours, its words in that of text: Streamlit's grey for axes is too pale."""
    figure.update_layout(colorway=palette())
    if ink := st.get_option(f"theme.{st.context.theme.type or 'light'}.textColor"):
        figure.update_xaxes(tickfont_color=ink, title_font_color=ink)
        figure.update_yaxes(tickfont_color=ink, title_font_color=ink)
        figure.for_each_annotation(lambda one: one.update(font_color=one.font.color or ink))
        figure.for_each_trace(lambda one: one.update(textfont_color=ink), {"type": "scatter"})
    st.plotly_chart(
        figure, key=key, width="stretch", theme="streamlit", config={"displaylogo": False, "displayModeBar": False}
    )


def table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Show the table of all systems: sorted by a click on a column, filtered by what stands above it."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        kinds = st.pills("Show", SHOW, selection_mode="multi", default=SHOW, key="kinds")
        text = st.text_input("Filter by name", key="filter", placeholder="such as densenet", width=220)
        only = st.toggle("Measured only", key="measured_only")
    kept = filtered(rows, kinds, text, only)
    if not kept:
        st.info("Nothing fits this filter; show more kinds, or other words.")
        return
    formats: dict[str, Any] = {
        key: st.column_config.TextColumn(title, help=HELP.get(key), width=WIDTHS.get(key))
        for key, title in COLUMNS.items()
    }
    for key in ("parameters", "multiply_adds"):
        formats[key] = st.column_config.NumberColumn(COLUMNS[key], format="compact")
    for key in ("latency", "throughput"):
        formats[key] = st.column_config.NumberColumn(COLUMNS[key], help=HELP[key], format="%.2f")
    formats["weights"] = st.column_config.CheckboxColumn(COLUMNS["weights"])
    frame = table_of(kept)
    # A phone has room for names and one figure, so that the one worth most comes first.
    first = ("short", "grouped", "random", *LEFT[1:])
    orders = {"wide": list(COLUMNS), "narrow": [*first, *(key for key in COLUMNS if key not in first)]}
    for width, order in orders.items():
        name = st.column_config.TextColumn("System", pinned=True, width="medium" if width == "wide" else 198)
        with st.container(key=f"table-{width}"):
            st.dataframe(
                frame,
                column_config=formats | {"short": name},
                column_order=order,
                hide_index=True,
                height=min(38 + 35 * len(frame), 720),
                key=f"systems {width}",
            )
    st.caption(
        "A field is the unit, elsewhere a picture; in brackets the 95 % interval, by bootstrap over pseudo-sessions, "
        "elsewhere from the exact ones of each place. Grouped holds out pseudo-sessions, not patients: who these "
        "are is not public. An empty place was not measured. " + results.partly_stressed(kept)
    )
    st.caption(results.controls_and_traps())
    if told := results.unsettled(kept):
        st.caption(told)


def speed_tab(rows: Sequence[Mapping[str, Any]]) -> None:
    """Show accuracy against latency."""
    speeds = results.speeds()
    points = []
    for row in rows:
        key = next((one for one in ("grouped", "random", "claimed") if row[one] is not None), None)
        if row["latency"] is None or key is None:
            continue
        points.append(
            {
                "title": row["title"],
                "short": row["short"],
                "latency": row["latency"],
                "accuracy": row[key],
                "claimed": key == "claimed",
                "low": row.get(f"{key}_low"),
                "high": row.get(f"{key}_high"),
                "note": "as the authors report it" if key == "claimed" else f"{key}; folds measured: {row['folds']}",
            }
        )
    if not points:
        st.info("Speed has not been measured yet: `python -m benchmarks.systems`.")
        return
    chart(figures.accuracy_latency(points, "DenseNet-201"), "latency")
    names = (f"**{number}**\u00a0{point['short']}" for number, point in figures.by_latency(points).items())
    st.markdown(" · ".join(names))
    st.caption(
        f"One field a time, all systems in one run ({speeds.get('machine', 'one machine')}); preprocessing included. "
        "Ratios carry over to other machines. Accuracy is grouped where measured, else random or claimed."
        + smaller(rows)
    )


def smaller(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say of which systems the accuracy is that of a smaller input than the one that was timed."""
    sizes: dict[tuple[int, int], list[str]] = {}
    for row in rows:
        if row["size"] and row["timed_at"] and row["size"] < row["timed_at"]:
            sizes.setdefault((row["size"], row["timed_at"]), []).append(row["short"])
    return "".join(
        f" Timed at the published {timed} pixels, but trained and scored at {size}: {'; '.join(names)}."
        for (size, timed), names in sizes.items()
    )


def with_curves(systems: Sequence[Row], controls: Sequence[Row]) -> dict[str, tuple[Row, str]]:
    """Name everything that has predictions: row and partition by name on screen."""
    found = {}
    for partition in ("grouped", "random"):
        for row in (*systems, *controls):
            if (row.results.get(partition, {}).get("figures") or {}).get("confusion"):
                found[f"{results.short_title(row)}, {partition}"] = (row, partition)
    return found


def figures_in(choice: tuple[Row, str]) -> Mapping[str, Any]:
    """Return the figures of a row and partition."""
    row, partition = choice
    return row.results[partition]["figures"]


def reliability_tab(choices: Mapping[str, tuple[Row, str]]) -> None:
    """Show reliability curves."""
    usable = [name for name, choice in choices.items() if figures_in(choice).get("reliability")]
    if not usable:
        st.info("There are no predictions yet: `python -m leuk evaluate SYSTEM --data DIR --run DIR`.")
        return
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    chosen = left.multiselect("Systems", usable, default=usable[:1], max_selections=6, key="curves")
    when = right.segmented_control("Temperature scaling", ("before", "after"), default="after", key="scaling")
    chart(
        figures.reliability({name: figures_in(choices[name])["reliability"][when or "after"] for name in chosen}), "rel"
    )
    st.caption("On the dotted line a system is right as often as it says. Larger marks stand for more fields.")


def confusion_tab(choices: Mapping[str, tuple[Row, str]]) -> None:
    """Show confusion matrices side by side."""
    if not choices:
        st.info("There are no predictions yet: `python -m leuk evaluate SYSTEM --data DIR --run DIR`.")
        return
    names = list(choices)
    control = next((name for name, (row, _) in choices.items() if row.kind == "control"), None)
    default = list(dict.fromkeys([names[0], *([control] if control else names[1:2])]))
    chosen = st.multiselect("Side by side", names, default=default, max_selections=4, key="confusions")
    for start in range(0, len(chosen), 2):
        for place, name in zip(st.columns(2), chosen[start : start + 2], strict=False):
            with place:
                found = figures_in(choices[name])
                st.markdown(f"**{name}**")
                chart(figures.confusion(found["confusion"], found["classes"]), f"confusion-{name}")
    st.caption("Numbers are fields, out of fold. Colour is the share of the row: of all fields of one label.")


def stress_table(rows: Sequence[Mapping[str, Any]], conditions: Sequence[str]) -> None:
    """Show the figures of the map, a system in a line, on screens on which the map would be too small to read."""
    lines = [{"System": row["title"], **row["accuracy"]} for row in rows]
    frame = pd.DataFrame(lines, columns=["System", *conditions])
    frame[list(conditions)] = frame[list(conditions)].astype(float)
    styled = frame.style.map(figures.shade, subset=list(conditions)).format(
        "{:.2f}", subset=list(conditions), na_rep=""
    )
    columns = {"System": st.column_config.TextColumn(pinned=True, width=130)}
    st.dataframe(styled, column_config=columns, hide_index=True, height=38 + 35 * len(frame), key="stress-table")


def stress_tab(systems: Sequence[Row], compared: Sequence[Mapping[str, Any]]) -> None:
    """Show accuracy under each stress."""
    rows, conditions = [], {}
    partitions: dict[str, list[str]] = {}
    for row in systems:
        for partition in ("grouped", "random"):
            result = row.results.get(partition, {})
            if not result.get("stress"):
                continue
            accuracy = {"as photographed": (row.figure("accuracy", partition) or {}).get("value")}
            accuracy |= {name: one["value"] for name, one in result["stress"].items()}
            for key, name in (("stain_swap", "stain swap"), ("cells_erased", "cells erased")):
                if result.get(key):
                    accuracy[name] = result[key]["value"]
            conditions |= dict.fromkeys(accuracy)
            rows.append({"title": results.short_title(row), "accuracy": accuracy})
            partitions.setdefault(partition, []).append(results.short_title(row))
            break
    if not rows:
        st.info("Stress has not been measured yet: `python -m leuk evaluate SYSTEM --data DIR --run DIR`.")
        return
    with st.container(key="stress-wide"):
        chart(figures.stress(rows, list(conditions)), "stress")
    with st.container(key="stress-narrow"):
        stress_table(rows, list(conditions))
    alone = len(partitions) == 1
    held = "; ".join(one if alone else f"{one} ({', '.join(names)})" for one, names in partitions.items())
    st.caption(
        f"Accuracy by field, out of fold, {held}. "
        + (results.partly_stressed(compared) or "Stress and swap were measured on every field.")
    )
    st.caption(
        "No change but the last makes a cell another. Those of light and stain leave its shape and chromatin as they "
        "are, unless they clip; blur, noise, JPEG and half the resolution change its chromatin, as cameras and files "
        "do. A reader of cells should hardly mind. With cells erased it should fall to what always calling one class "
        "gets: 0.30, and 0.84 where malignant is one class."
    )


def training_tab(systems: Sequence[Row]) -> None:
    """Show training curves of cards that bring their log."""
    logs = {
        results.short_title(row): row.card.training["log"]
        for row in systems
        if row.card and row.card.training.get("log")
    }
    if not logs:
        st.info("No card brings a training log. A run keeps its own in curves.html, in the run's folder.")
        return
    chosen = st.multiselect("Systems", list(logs), default=list(logs)[:4], key="logs")
    some = {name: logs[name] for name in chosen}
    left, right = st.columns(2)
    with left:
        chart(figures.training_curves(some, "loss", "Loss on training fields"), "curve-loss")
    with right:
        chart(figures.training_curves(some, "held_accuracy", "Accuracy on the held-out fold"), "curve-accuracy")
    st.caption(of_which_fold(systems, chosen))
    if said := results.recounted([row for row in systems if results.short_title(row) in chosen]):
        st.caption(said)


def of_which_fold(systems: Sequence[Row], chosen: Sequence[str]) -> str:
    """Say of which fold and partition curves are, and why some systems have none."""
    folds: dict[str, list[str]] = {}
    said, seen, gone = [], [], []
    for row in systems:
        name = results.short_title(row)
        known = row.card.metrics.get("weights") if row.card else None
        log = row.card.training.get("log") if row.card else None
        if log and name in chosen:
            fold = f"fold {known['fold']}" if known else "a fold"
            folds.setdefault(f"{fold}, {row.card.training.get('partition', 'grouped')}", []).append(name)
            if not any("held_accuracy" in line for line in log):
                said.append(f"Of {name} accuracy on the held-out fold was not kept while it was trained.")
        elif row.card and not log and not known:
            seen.append(name)
        elif row.results and not row.card:
            gone.append(name)
    parts = "; ".join(fold if len(folds) == 1 else f"{fold} ({', '.join(names)})" for fold, names in folds.items())
    told = [f"Curves are of the networks that come along: {parts}."] if parts else []
    if seen:
        said.append(f"{', '.join(seen)} has no curve: its weights were trained on all folds, and none was held out.")
    if gone:
        said.append(f"Curves of {', '.join(gone)} did not come along, as its weights did not.")
    return " ".join((*told, *said))


def card(row: Row) -> None:
    """Show all that is known of a system."""
    st.markdown(f"### {row.title}")
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.markdown(f"**Described in** {row.paper}." if row.name != "reader" else "**Leuk's own reader.**")
        if row.claim and row.name != "reader":
            st.markdown(f"**Claimed by the authors** {row.claim}.")
        st.markdown(
            f"**Input** {row.input}. **Parameters** {row.parameters:,}. **Multiply-adds** "
            f"{(row.multiply_adds or 0) / 1e9:.2f} billion a field. **Classes** "
            f"{', '.join(figures.class_title(key) for key in row.classes)}."
        )
        for text in trained_on(row):
            st.markdown(text)
        if row.recounted:
            st.markdown(results.recounted([row]))
        if changed := results.changes(row):
            st.markdown("**Changed from the paper, and why**\n" + "\n".join(f"- {text}" for text in changed))
        if limits := results.limits(row):
            st.markdown("**Limits**\n" + "\n".join(f"- {text}" for text in limits))
    with right:
        if row.weights:
            used = st.session_state.get("review_reader") == row.name
            st.button(
                "Used on Review" if used else "Use on Review",
                key=f"use-{row.name}",
                on_click=use_on_review,
                args=(row.name,),
                disabled=used,
                type="secondary" if used else "primary",
            )
        else:
            st.markdown("**Its weights are not here.** Train it:")
            st.code(f"python -m leuk train {row.name} --data DIR --weights weights", language="bash", wrap_lines=True)
            st.caption("DIR holds class folders. Add --reduced on a few processor cores, --resume to go on.")
        # What is worth more comes first.
        for partition in sorted(row.results, key=("grouped", "random").index):
            result = row.results[partition]
            if result.get("figures"):
                st.markdown(f"**{partition.capitalize()}**, {len(result['figures']['folds'])} of 5 folds")
                st.dataframe(card_figures(result), hide_index=True, key=f"card-{partition}")
        for place in elsewhere_in_words(row):
            st.markdown(f"- {place}")


def trained_on(row: Row) -> list[str]:
    """Say what a system's weights were trained on."""
    if row.card is None:
        return []
    training = row.card.training
    parts = [f"**Trained on** {training.get('data', 'data that the card does not name')}"]
    if training.get("fields"):
        parts.append(f"{training['fields']:,} fields")
    preset = training.get("preset")
    if preset:
        parts.append(f"{preset['epochs']} epochs at {preset['size']} pixels ({preset['source']})")
    said = [", ".join(parts) + "."]
    if begun := training.get("begun_from"):
        said.append(
            f"**Begun from** a network that tells {len(begun['types'])} types of single cells apart "
            f"({', '.join(begun['types'])}): {begun['cells']:,} pictures, {begun['across'] ** 2} of one type side by "
            "side."
        )
    if training.get("split"):
        said.append(f"**Split** {training['split']}.")
    return said


FIGURES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro-F1",
    "malignant_sensitivity": "Sensitivity, malignant",
    "malignant_specificity": "Specificity, malignant",
    "malignant_auroc": "AUROC, malignant",
    "sensitivity_at_95_specificity": "Sensitivity at 95 % specificity",
    "ece_before": "ECE before scaling",
    "ece": "ECE after scaling",
    "brier_before": "Brier before scaling",
    "brier": "Brier after scaling",
}


def card_figures(result: Mapping[str, Any]) -> pd.DataFrame:
    """Put a result's figures into a table of two columns."""
    found, rows = result["figures"], []

    def add(title: str, figure: Mapping[str, Any] | None) -> None:
        if figure:
            low, high = figure.get("interval") or (None, None)
            rows.append((title, in_words({"x": figure["value"], "x_low": low, "x_high": high}, "x")))

    for key, title in FIGURES.items():
        add(title, found.get(key))
    for name, one in (found.get("per_class") or {}).items():
        for key in ("precision", "recall", "f1"):
            add(f"{figures.class_title(name)}, {key if key != 'f1' else 'F1'}", one.get(key))
    for name, figure in (result.get("stress") or {}).items():
        add(name[0].upper() + name[1:], figure)
    add("Stain swap", result.get("stain_swap"))
    add("Cells erased", result.get("cells_erased"))
    return pd.DataFrame(rows, columns=["Figure", "Value (95 % interval)"])


PLACES = {"all_idb1": "ALL-IDB1, fields", "all_idb2": "ALL-IDB2, single cells", "pbc": "PBC, normal cells"}


def share(figure: Mapping[str, Any]) -> str:
    """Write a share with its interval."""
    text = percent(figure["value"])
    return f"{text} ({' to '.join(map(percent, figure['interval']))})" if figure.get("interval") else text


def elsewhere_in_words(row: Row) -> list[str]:
    """Say how a system fares on pictures of other laboratories."""
    said = []
    for place, one in row.elsewhere().items():
        parts = []
        if one.get("sensitivity"):
            parts.append(f"leukaemia is found in {share(one['sensitivity'])}")
        if one.get("specificity"):
            parts.append(f"normal is called benign in {share(one['specificity'])}")
        by_class = " and ".join(parts)
        known = "from which the network was begun" if one.get("seen") else "never trained on"
        sentence = f"**{PLACES.get(place, place)}** ({one['images']} pictures, {known}): " + (
            f"of {percent(one['cannot_tell'])} it says that it can't tell. Taken at its word all the same, {by_class}."
            if one["cannot_tell"]
            else f"{by_class}."
        )
        # A number keeps its sign on its line.
        said.append(sentence.replace(" %", "\u00a0%"))
    return said


def page() -> None:
    """Lay the page out."""
    st.html(_components.SHARED_STYLE + STYLE)
    _components.frame_without_images(key="frame")
    systems, controls, rows = measured(stamp())
    rows = ordered(rows)
    left, right = st.columns([3, 1], vertical_alignment="center", gap="large")
    with left:
        st.markdown("## Systems side by side, and what a score is worth")
        st.markdown(headline(rows))
    with right:
        reader_choice(systems)
    # Only the browser knows how wide it is; it shows the one that fits.
    for width in ("wide", "narrow"):
        with st.container(key=f"worth-{width}"):
            chart(figures.worth(marked(known(rows)), palette(), narrow=width == "narrow"), f"worth {width}")
    if said := results.reduced(rows):
        st.caption(said)
    st.caption(
        "Accuracy, but elsewhere the mean of sensitivity and specificity, where calling everything one thing gets 0.5. "
        "Ordered by the lowest of grouped, worst stress and stain swap. Of two classes, always "
        "calling the commoner one gets 0.84. One fold does not compare with five. " + results.elsewhere_unearned(rows)
    )
    for said in (
        results.elsewhere_random(rows),
        results.elsewhere_seen(rows),
        results.elsewhere_by_cells(),
        results.recounted(systems),
    ):
        if said:
            st.caption(said)
    st.markdown("### All figures")
    table(rows)
    choices = with_curves(systems, controls)
    tabs = st.tabs(["Accuracy and time", "Reliability", "Confusion", "Stress", "Training"])
    with tabs[0]:
        speed_tab(rows)
    with tabs[1]:
        reliability_tab(choices)
    with tabs[2]:
        confusion_tab(choices)
    with tabs[3]:
        stress_tab([*systems, *controls], rows)
    with tabs[4]:
        training_tab(systems)
    st.divider()
    by_name = {row.name: row for row in systems}
    chosen = st.selectbox(
        "Card of", list(by_name), format_func=lambda name: results.short_title(by_name[name]), key="card"
    )
    card(by_name[chosen])


if by_the_front_door():
    page()

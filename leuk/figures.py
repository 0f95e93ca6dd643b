"""Plotly figures from plain data, shared by pages and reports.

Colours come from whoever shows a figure (the app's theme, light or dark); traces differ in symbol or dash too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from leuk.names import class_name

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b87e00", "#3a8fc7", "#6b6b6b")
"""Colours where nobody names others: Okabe and Ito's, for a white ground."""
STRESS_RANGE = (0.25, 1.0)
"""Accuracies between which the colours for stress run: from chance among four classes."""

_MARGIN = {"l": 8, "r": 8, "t": 8, "b": 8}


def class_title(key: str) -> str:
    """Return a class's short name."""
    return class_name(key).plain


WORTH = {
    "grouped": "As photographed",
    "worst_stress": "Worst stress",
    "stain_swap": "Stain swap",
    "elsewhere": "Elsewhere",
}
"""Panels of `worth`: the row's key that its squares show, and what stands above."""


def worth(rows: Sequence[Mapping[str, Any]], palette: Sequence[str] = PALETTE, narrow: bool = False) -> go.Figure:
    """Draw claims beside what was measured, and beside that what is left elsewhere; a line a system or control.

    Parameters
    ----------
    rows : sequence of mapping
        As `leuk.training.results.comparison` returns them; the first is drawn at the top.
    palette : sequence of str
        Systems take the first colour, controls the second, claims the last.
    narrow : bool
        Names stand on their lines, since beside them they would leave too little to the figure.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    figure = make_subplots(
        cols=len(WORTH),
        shared_yaxes=True,
        column_widths=[0.37, 0.21, 0.21, 0.21] if narrow else [0.43, 0.19, 0.19, 0.19],
        horizontal_spacing=0.05 if narrow else 0.025,
    )

    def squares(kind: str, key: str, name: str, symbol: str, color: int, panel: int) -> None:
        chosen = [row for row in rows if row["kind"] == kind and row[key] is not None]
        if not chosen:
            return
        figure.add_scatter(
            x=[row[key] for row in chosen],
            y=[row["short"] for row in chosen],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [_gap(row, key, "high") for row in chosen],
                "arrayminus": [_gap(row, key, "low") for row in chosen],
                "thickness": 1.4,
                "width": 0,
            },
            mode="markers",
            marker={
                "symbol": symbol,
                "size": 8 if narrow else 10,
                "color": palette[color],
                "line": {"width": 2, "color": palette[color]},
            },
            name=name,
            showlegend=panel == 1,
            cliponaxis=False,
            customdata=[[_told(row, key)] for row in chosen],
            hovertemplate="%{y}<br>%{x:.3f}%{customdata[0]}<extra>" + name + "</extra>",
            row=1,
            col=panel,
        )

    for kind, who, color in (("system", "System", 0), ("control", "No cell seen", 1)):
        squares(kind, "random", f"{who}, random split", "circle-open", color, 1)
        squares(kind, "grouped", f"{who}, grouped", "square", color, 1)
        for panel, (key, title) in enumerate(WORTH.items(), start=1):
            if panel > 1:
                squares(kind, key, f"{who}, {title.lower()}", "square", color, panel)
    claimed = [row for row in rows if row["claimed"] is not None]
    figure.add_scatter(
        x=[row["claimed"] for row in claimed],
        y=[row["short"] for row in claimed],
        mode="markers",
        marker={"symbol": "diamond-open", "size": 10 if narrow else 12, "color": palette[-1], "line": {"width": 2}},
        name="Claimed by the authors",
        cliponaxis=False,
        hovertemplate="%{y}<br>%{x:.4f}<extra>claimed</extra>",
        row=1,
        col=1,
    )
    shown = [row[key] for row in rows for key in ("random", "grouped", "claimed", "grouped_low") if row.get(key)]
    least = min(shown, default=0.7)
    figure.update_layout(
        height=(225 + 38 * len(rows)) if narrow else (110 + 27 * len(rows)),
        margin=_MARGIN | {"t": 205 if narrow else 90},
        # Above the titles of the panels, which stand where the eye begins.
        legend={"orientation": "h", "yref": "container", "y": 1, "yanchor": "top", "x": 0, "xanchor": "left"},
        hovermode="closest",
    )
    for panel, title in enumerate(WORTH.values(), start=1):
        low = max(0.0, math.floor(least * 20 - 0.5) / 20) if panel == 1 else 0.0
        ticks = None if panel == 1 and not narrow else [low, (low + 1) / 2, 1]
        figure.update_xaxes(
            title={"text": f"<b>{title.replace(' ', '<br>') if narrow else title}</b>", "standoff": 4},
            side="top",
            range=[low, 1.005 if panel == 1 else 1.02],
            tickvals=ticks,
            tickformat=".2~f",
            col=panel,
        )
    figure.update_yaxes(
        categoryorder="array",
        categoryarray=[row["short"] for row in reversed(rows)],
        range=[-0.6, len(rows) - (0.2 if narrow else 0.4)],
        showgrid=True,
        title=None,
    )
    figure.update_yaxes(automargin=True, showticklabels=not narrow, col=1)
    if narrow:
        # As labels of the axis inside it they would take the first panel's own numbers away.
        place = {"xref": "paper", "x": 0, "xanchor": "left", "yanchor": "bottom", "yshift": 3, "showarrow": False}
        for row in rows:
            figure.add_annotation(text=row["short"], y=row["short"], yref="y", font={"size": 12}, **place)
    return figure


def _told(row: Mapping[str, Any], key: str) -> str:
    """Return what a tooltip says beside a figure: its interval, and which partition's network it is of, if another."""
    low, high = row.get(f"{key}_low"), row.get(f"{key}_high")
    interval = "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
    return interval + ("<br>a network of the random partition" if row.get(f"{key}_in") == "random" else "")


def _gap(row: Mapping[str, Any], key: str, side: str) -> float:
    end = row.get(f"{key}_{side}")
    return abs(end - row[key]) if end is not None else 0.0


def accuracy_latency(points: Sequence[Mapping[str, Any]], unit: str) -> go.Figure:
    """Draw accuracy against time for a field, time on a logarithmic axis; points are numbered from the fastest on.

    Names would lie over each other: many systems are alike in both. The numbers are those of `by_latency`.

    Parameters
    ----------
    points : sequence of mapping
        title, short, latency (multiples of the unit), accuracy and ``claimed`` (whether the accuracy is the authors'
        and not measured); ``low`` and ``high`` of its interval where known; ``note``.
    unit : str
        What a latency of 1 is.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    figure = go.Figure()
    numbered = by_latency(points)
    places = _places_of_numbers(numbered)
    for claimed, name, symbol in ((False, "Measured", "circle"), (True, "Only claimed", "diamond-open")):
        some = {number: p for number, p in numbered.items() if bool(p.get("claimed")) == claimed}
        if not some:
            continue
        figure.add_scatter(
            x=[p["latency"] for p in some.values()],
            y=[p["accuracy"] for p in some.values()],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [(p.get("high") or p["accuracy"]) - p["accuracy"] for p in some.values()],
                "arrayminus": [p["accuracy"] - (p.get("low") or p["accuracy"]) for p in some.values()],
                "thickness": 1.2,
                "width": 0,
            },
            mode="markers+text",
            text=[str(number) for number in some],
            textposition=[places[number] for number in some],
            customdata=[[p["title"], p.get("note", "")] for p in some.values()],
            marker={"size": 11, "symbol": symbol, "line": {"width": 2}},
            name=name,
            hovertemplate="%{customdata[0]}<br>%{y:.3f} at %{x:.2f}<br>%{customdata[1]}<extra></extra>",
            cliponaxis=False,
        )
    times = [p["latency"] for p in points]
    figure.update_layout(
        height=440,
        margin=_MARGIN | {"t": 40},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        showlegend=True,
    )
    figure.update_xaxes(
        type="log",
        title=f"Time for a field ({unit} = 1, lower is faster)",
        range=[math.log10(min(times, default=0.1) / 2), math.log10(max(times, default=1) * 2)],
        tickvals=[0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5],
    )
    figure.update_yaxes(title="Accuracy")
    return figure


# Where a number may stand beside its point, in pixels from it to the right and up: clear of its interval's line.
_BESIDE = {
    "middle right": (13, 0),
    "middle left": (-13, 0),
    "top right": (11, 11),
    "top left": (-11, 11),
    "bottom right": (11, -11),
    "bottom left": (-11, -11),
}
# What a phone leaves of the plot, in pixels.
_PHONE = (270, 300)


def _places_of_numbers(numbered: Mapping[int, Mapping[str, Any]]) -> dict[int, str]:
    """Choose where each number of `accuracy_latency` stands: clear of all points, intervals and other numbers."""
    if not numbered:
        return {}
    times = [math.log10(p["latency"]) for p in numbered.values()]
    lowest = min(p.get("low") or p["accuracy"] for p in numbered.values())
    # Pixels for each unit, by the ranges of the axes: time from half the shortest to twice the longest.
    wide, high = _PHONE[0] / (max(times) - min(times) + 2 * math.log10(2)), _PHONE[1] / max(1 - lowest, 0.05)
    # What is in the way: lines upright, from one height to another, and numbers.
    ways = [
        (time * wide, (p.get("low") or p["accuracy"]) * high, (p.get("high") or p["accuracy"]) * high)
        for time, p in zip(times, numbered.values(), strict=True)
    ]
    places = {}
    for index, (number, point) in enumerate(numbered.items()):
        others = ways[:index] + ways[index + 1 :]
        free = {}
        for name, (right, up) in _BESIDE.items():
            x, y = times[index] * wide + right, point["accuracy"] * high + up
            gaps = (math.hypot(x - at, max(low - y, y - top, 0)) for at, low, top in others)
            free[name] = min(gaps, default=math.inf)
        # The first that is free will do: numbers that keep to one side are read more easily.
        places[number] = next((name for name, gap in free.items() if gap > 13), max(free, key=free.__getitem__))
        right, up = _BESIDE[places[number]]
        x, y = times[index] * wide + right, point["accuracy"] * high + up
        ways.append((x, y, y))
    return places


def by_latency(points: Sequence[Mapping[str, Any]]) -> dict[int, Mapping[str, Any]]:
    """Return points by their numbers, from 1, the fastest first."""
    return dict(enumerate(sorted(points, key=lambda point: float(point["latency"])), start=1))


def reliability(curves: Mapping[str, Sequence[Sequence[float | None]]]) -> go.Figure:
    """Draw reliability curves: how often a system is right at each confidence.

    Parameters
    ----------
    curves : mapping
        By name, rows of count, mean confidence and accuracy, as `leuk.training.metrics.reliability` returns them.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    figure = go.Figure()
    symbols = ("circle", "square", "diamond", "triangle-up", "cross", "star", "x")
    for index, (name, rows) in enumerate(curves.items()):
        kept = [row for row in rows if row[0] and row[1] is not None and row[2] is not None]
        most = max((row[0] or 0 for row in kept), default=1)
        figure.add_scatter(
            x=[row[1] for row in kept],
            y=[row[2] for row in kept],
            mode="lines+markers",
            marker={
                "symbol": symbols[index % len(symbols)],
                "size": [6 + 10 * ((row[0] or 0) / most) ** 0.5 for row in kept],
            },
            customdata=[[int(row[0] or 0)] for row in kept],
            name=name,
            hovertemplate="confidence %{x:.2f}, right %{y:.2f}<br>%{customdata[0]} fields<extra>" + name + "</extra>",
        )
    figure.add_scatter(
        x=[0.2, 1],
        y=[0.2, 1],
        mode="lines",
        line={"dash": "dot", "width": 1.5},
        name="as it should be",
        hoverinfo="skip",
    )
    figure.update_layout(
        height=440, margin=_MARGIN | {"t": 40}, legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
    )
    figure.update_xaxes(title="Confidence (probability of the likeliest class)", range=[0.2, 1.02])
    figure.update_yaxes(title="Share that is right", range=[0, 1.04])
    return figure


def confusion(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> go.Figure:
    """Draw a confusion matrix: colour is the share of a label's fields, the number is fields.

    Parameters
    ----------
    counts : sequence of sequence of int
        Rows labels, columns predicted.
    classes : sequence of str

    Returns
    -------
    plotly.graph_objects.Figure
    """
    names = [class_title(key) for key in classes]
    shares = [[n / max(1, sum(row)) for n in row] for row in counts]
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=names,
            y=names,
            zmin=0,
            zmax=1,
            text=[[f"{n:,}" for n in row] for row in counts],
            texttemplate="%{text}",
            textfont={"size": 14},
            colorscale="Cividis",
            showscale=False,
            xgap=2,
            ygap=2,
            hovertemplate="label %{y}, called %{x}<br>%{text} fields, %{z:.1%} of the label's<extra></extra>",
        )
    )
    figure.update_layout(height=300, margin=_MARGIN)
    figure.update_xaxes(title="Called", side="bottom", showgrid=False)
    figure.update_yaxes(title="Label", autorange="reversed", showgrid=False)
    return figure


def shade(accuracy: float) -> str:
    """Return the CSS colours of an accuracy, 0 … 1, as `stress` draws it; none for NaN."""
    if accuracy != accuracy:
        return ""
    share = min(max((accuracy - STRESS_RANGE[0]) / (STRESS_RANGE[1] - STRESS_RANGE[0]), 0.0), 1.0)
    (ground,) = sample_colorscale("Cividis", [share])
    return f"background-color: {ground}; color: {'black' if share > 0.5 else 'white'}"


def stress(rows: Sequence[Mapping[str, Any]], conditions: Sequence[str]) -> go.Figure:
    """Draw accuracy under each condition, a column of the map for each system.

    Parameters
    ----------
    rows : sequence of mapping
        title and ``accuracy`` by condition.
    conditions : sequence of str

    Returns
    -------
    plotly.graph_objects.Figure
    """
    values = [[row["accuracy"].get(name) for row in rows] for name in conditions]
    figure = go.Figure(
        go.Heatmap(
            z=values,
            x=[row["title"] for row in rows],
            y=list(conditions),
            zmin=STRESS_RANGE[0],
            zmax=STRESS_RANGE[1],
            text=[["" if v is None else f"{v:.2f}" for v in line] for line in values],
            texttemplate="%{text}",
            colorscale="Cividis",
            showscale=False,
            xgap=2,
            ygap=2,
            hovertemplate="%{x}<br>%{y}: %{z:.3f}<extra></extra>",
        )
    )
    figure.update_layout(height=120 + 28 * len(conditions), margin=_MARGIN)
    figure.update_xaxes(showgrid=False, automargin=True, side="top")
    figure.update_yaxes(autorange="reversed", showgrid=False, automargin=True)
    return figure


def training_curves(logs: Mapping[str, Sequence[Mapping[str, float]]], key: str, title: str) -> go.Figure:
    """Draw one column of training logs over epochs.

    Parameters
    ----------
    logs : mapping
        By name, rows with ``epoch`` and the key.
    key, title : str
        Column and its name on the axis.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    figure = go.Figure()
    dashes = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
    for index, (name, rows) in enumerate(logs.items()):
        kept = [row for row in rows if key in row and row[key] == row[key]]
        figure.add_scatter(
            x=[row["epoch"] for row in kept],
            y=[row[key] for row in kept],
            mode="lines+markers" if len(kept) < 12 else "lines",
            line={"dash": dashes[index % len(dashes)]},
            name=name,
        )
    figure.update_layout(
        height=340, margin=_MARGIN | {"t": 40}, legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
    )
    figure.update_xaxes(title="Epoch")
    figure.update_yaxes(title=title)
    return figure

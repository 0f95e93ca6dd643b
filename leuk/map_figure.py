"""The map of a data set: one point an image, to be coloured, and selected with a lasso."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import plotly.graph_objects as go


LIGHT = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b87e00", "#3a8fc7", "#6b6b6b")
DARK = ("#56b4e9", "#e69f00", "#2dbe96", "#de9ac2", "#f0e442", "#a9b8ff", "#b5b5b5")
"""Okabe and Ito's colours, as everywhere in the app; the last is for what is not known."""


def map_figure(
    places: np.ndarray,
    values: np.ndarray,
    names: Sequence[str] | None,
    files: Sequence[str],
    title: str,
    dark: bool = False,
) -> go.Figure:
    """Draw the map.

    Parameters
    ----------
    places : numpy.ndarray
        float, (N, 2); rows of nan are left out.
    values : numpy.ndarray
        (N,): with `names` an index into them, -1 for what is not known; else numbers.
    names : sequence of str or None
        Of the groups; None for a scale of numbers.
    files : sequence of str
        (N,): shown where the pointer rests.
    title : str
        What the colours mean.
    dark : bool
        Whether it stands on black.

    Returns
    -------
    plotly.graph_objects.Figure
        Each point's custom data is its row.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    shown = np.isfinite(places).all(axis=1)
    if names is not None:
        for index in [*range(len(names)), -1]:
            rows = np.flatnonzero(shown & (values == index))
            if len(rows) or index >= 0:
                palette = DARK if dark else LIGHT
                look: dict[str, object] = {"color": palette[index % (len(palette) - 1)] if index >= 0 else palette[-1]}
                figure.add_trace(_points(places, rows, files, names[index] if index >= 0 else "Not known", look))
    else:
        rows = np.flatnonzero(shown & np.isfinite(values))
        scale = {
            "color": values[rows],
            "showscale": True,
            "colorscale": "Cividis",
            "colorbar": {"title": {"text": title}, "thickness": 12},
        }
        figure.add_trace(_points(places, rows, files, title, scale))
    figure.update_layout(
        height=560,
        margin={"l": 0, "r": 0, "t": 8, "b": 0},
        dragmode="lasso",
        uirevision="map",
        legend={"title": {"text": title}, "orientation": "h", "y": -0.02, "yanchor": "top", "itemsizing": "constant"},
        hovermode="closest",
    )
    hidden = {"showgrid": False, "zeroline": False, "showticklabels": False, "ticks": "", "title": None}
    figure.update_xaxes(**hidden)
    figure.update_yaxes(**hidden, scaleanchor="x", scaleratio=1)
    return figure


def _points(places: np.ndarray, rows: np.ndarray, files: Sequence[str], name: str, scale: dict[str, object]) -> object:
    import plotly.graph_objects as go

    return go.Scattergl(
        x=places[rows, 0],
        y=places[rows, 1],
        mode="markers",
        name=name,
        showlegend="showscale" not in scale,
        # Plain numbers: arrays travel packed, and come back from a selection in another shape.
        customdata=[[int(row)] for row in rows],
        text=[files[row] for row in rows],
        hovertemplate="%{text}<extra>%{fullData.name}</extra>",
        marker={"size": 7 if len(places) < 1000 else 5, "opacity": 0.8, **scale},
        unselected={"marker": {"opacity": 0.15}},
    )

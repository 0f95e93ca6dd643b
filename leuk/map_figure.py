"""The map of a data set: one point an image, to be coloured, and selected with a lasso."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import plotly.graph_objects as go


def map_figure(
    places: np.ndarray, values: np.ndarray, names: Sequence[str] | None, files: Sequence[str], title: str
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

    Returns
    -------
    plotly.graph_objects.Figure
        Without colours for groups, which the page's theme gives; each point's custom data is its row.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    shown = np.isfinite(places).all(axis=1)
    if names is not None:
        for index in [*range(len(names)), -1]:
            rows = np.flatnonzero(shown & (values == index))
            if len(rows) or index >= 0:
                figure.add_trace(_points(places, rows, files, names[index] if index >= 0 else "Not known", {}))
    else:
        rows = np.flatnonzero(shown & np.isfinite(values))
        scale = {"color": values[rows], "showscale": True, "colorbar": {"title": {"text": title}, "thickness": 12}}
        figure.add_trace(_points(places, rows, files, title, scale))
    figure.update_layout(
        height=560,
        margin={"l": 0, "r": 0, "t": 8, "b": 0},
        dragmode="lasso",
        uirevision="map",
        legend={"title": {"text": title}, "orientation": "h", "y": 1.02, "yanchor": "bottom", "itemsizing": "constant"},
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
        showlegend="color" not in scale,
        customdata=rows.reshape(-1, 1),
        text=[files[row] for row in rows],
        hovertemplate="%{text}<extra>%{fullData.name}</extra>",
        marker={"size": 7 if len(places) < 1000 else 5, "opacity": 0.8, **scale},
        unselected={"marker": {"opacity": 0.15}},
    )

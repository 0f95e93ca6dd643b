"""Metrics on parts of a data set: where a system is worse than its mean says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leuk.data.datasets import DataSet
from leuk.data.measures import Measures
from leuk.data.mistakes import Verdicts, wilson
from leuk.names import class_name

CUTS = {"brightness": "brightness", "sharpness": "sharpness", "cells": "white cells"}
"""Measures that sets are cut by, and what they are called."""


@dataclass(frozen=True, eq=False)
class Slice:
    """One part of a data set and how a system does on it.

    Attributes
    ----------
    by : str
        What the set was cut by, such as "brightness" or "session".
    title : str
        For a reader, such as "brightness 142 to 171".
    rows : numpy.ndarray
        int64, (M,): known rows in it.
    accuracy : float
    interval : tuple of float
        Wilson's 95 % interval over images.
    specificity, sensitivity : float or None
        Of malignant against benign by the likeliest class; None where the slice has none of
        that kind, or not every class but the benign one is known to be malignant.
    specificity_interval, sensitivity_interval : tuple of float or None
    rest : float
        Accuracy on all other rows.
    """

    by: str
    title: str
    rows: np.ndarray
    accuracy: float
    interval: tuple[float, float]
    specificity: float | None
    sensitivity: float | None
    specificity_interval: tuple[float, float] | None
    sensitivity_interval: tuple[float, float] | None
    rest: float


def find_slices(
    dataset: DataSet, verdicts: Verdicts, measures: Measures | None = None, least: int = 10
) -> tuple[Slice, ...]:
    """Cut by brightness, sharpness, cell count (in fifths), class, split, session and scale-bar style.

    Parameters
    ----------
    dataset : DataSet
    verdicts : Verdicts
    measures : Measures, optional
        Without it there are no slices by what is measured on images.
    least : int
        Smaller slices are left out.

    Returns
    -------
    tuple of Slice
        The worst first: by the upper end of the interval, so that a few unlucky images don't lead.
    """
    known = verdicts.known
    right = known & (verdicts.predicted == dataset.labels)
    parts: list[tuple[str, str, np.ndarray]] = []
    if measures is not None:
        for name, title in CUTS.items():
            parts += _fifths(name, title, measures.values[name], known)
    for label, name in enumerate(dataset.classes):
        parts.append(("class", f"class {class_name(name).plain}", dataset.labels == label))
    if dataset.split is not None:
        splits = np.array(dataset.split)
        parts += [("split", f"split {name}", splits == name) for name in sorted(set(dataset.split) - {""})]
    if dataset.session is not None:
        for session in np.unique(dataset.session[dataset.session >= 0]):
            parts.append(("session", dataset.session_title(int(session)), dataset.session == session))
    if dataset.scale_bar is not None:
        bars = np.array(dataset.scale_bar)
        for name in sorted(set(dataset.scale_bar) - {""}):
            parts.append(("scale_bar", f"scale bar {name.replace('_', ' ')}", bars == name))
    found = []
    for by, title, mask in parts:
        mask = mask & known
        if mask.sum() >= least:
            found.append(_slice(dataset, verdicts, by, title, mask, right))
    return tuple(sorted(found, key=lambda one: (one.interval[1], one.accuracy)))


def _fifths(name: str, title: str, values: np.ndarray, known: np.ndarray) -> list[tuple[str, str, np.ndarray]]:
    usable = known & np.isfinite(values)
    if not usable.any():
        return []
    edges = np.unique(np.percentile(values[usable], [0, 20, 40, 60, 80, 100]))
    if len(edges) < 2:
        return []
    digits = 1 if name == "sharpness" else 0
    parts = []
    for index, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        last = index == len(edges) - 2
        inside = usable & (values >= low) & ((values <= high) if last else (values < high))
        if name == "cells":
            top = int(high) if last else int(np.ceil(high)) - 1
            text = f"{int(np.ceil(low))} to {top}" if top > np.ceil(low) else f"{int(np.ceil(low))}"
        else:
            text = f"{low:.{digits}f} to {high:.{digits}f}"
        parts.append((name, f"{title} {text}", inside))
    return parts


def _slice(dataset: DataSet, verdicts: Verdicts, by: str, title: str, mask: np.ndarray, right: np.ndarray) -> Slice:
    count, hits = int(mask.sum()), int(right[mask].sum())
    rest = verdicts.known & ~mask
    shares: list[float | None] = [None, None]
    intervals: list[tuple[float, float] | None] = [None, None]
    benign = dataset.benign_beside_malignant
    if benign is not None:
        truly = dataset.labels == benign
        called = verdicts.predicted == benign
        for place, kind in enumerate((truly, ~truly)):
            of = mask & kind
            if of.any():
                good = int((called[of] == truly[of]).sum())
                shares[place] = good / int(of.sum())
                intervals[place] = wilson(good, int(of.sum()))
    return Slice(
        by=by,
        title=title,
        rows=np.flatnonzero(mask),
        accuracy=hits / count,
        interval=wilson(hits, count),
        specificity=shares[0],
        sensitivity=shares[1],
        specificity_interval=intervals[0],
        sensitivity_interval=intervals[1],
        rest=float(right[rest].mean()) if rest.any() else float("nan"),
    )

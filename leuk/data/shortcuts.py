"""How far a class can be told without looking at a cell: colour, corner, background, and content fixed to a place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from leuk.data.datasets import DataSet, Progress
from leuk.data.measures import Measures


@dataclass(frozen=True)
class Shortcut:
    """What one description of the images says about the class.

    Attributes
    ----------
    name : str
        Of `leuk.data.measures.FEATURES`.
    title, explanation : str
        For a reader.
    accuracy : float
        Out of fold, plain random folds.
    interval : tuple of float
        95 %, over images.
    grouped : float or None
        Out of fold with pseudo-sessions (or the given folds) held together; None where neither is known.
    chance : float
        What it would be if labels were shuffled: the accuracy that 97.5 % of shuffles stay under.
    predicted : numpy.ndarray
        int64, (N,): class from the random folds; -1 for images that can't be read.
    """

    name: str
    title: str
    explanation: str
    accuracy: float
    interval: tuple[float, float]
    grouped: float | None
    chance: float
    predicted: np.ndarray


@dataclass(frozen=True, eq=False)
class FixedContent:
    """Something that stays at one place of the frame while images change, and tells the class.

    Attributes
    ----------
    box : tuple of float
        x0, y0, x1, y1 as shares of the image's sides.
    place : str
        In words, such as "bottom right".
    accuracy : float
        How far the class can be told from this region alone, the image's own colour taken out.
    elsewhere : tuple of float
        Median and maximum of the same over the other regions of the same size.
    styles : numpy.ndarray
        int64, (N,): look of the region, most frequent first; -1 for images that can't be read.
    counts : numpy.ndarray
        int64, (S, C): images per style and class.
    association : float
        Cramér's V of style and class, 0 … 1.
    """

    box: tuple[float, float, float, float]
    place: str
    accuracy: float
    elsewhere: tuple[float, float]
    styles: np.ndarray
    counts: np.ndarray
    association: float


def features_of(pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Describe one image without its cells.

    Parameters
    ----------
    pixels : numpy.ndarray
        uint8, (H, W, 3), RGB.

    Returns
    -------
    dict of str to numpy.ndarray
        Per name of `leuk.data.measures.FEATURES`, float32 (D,), D the same for images of any size.
    """
    raise NotImplementedError


def shortcut_accuracy(
    features: np.ndarray, labels: np.ndarray, folds: np.ndarray | None = None, seed: int = 0
) -> tuple[float, np.ndarray]:
    """Cross-validate a random forest on features.

    Parameters
    ----------
    features : numpy.ndarray
        float, (N, D).
    labels : numpy.ndarray
        int, (N,).
    folds : numpy.ndarray, optional
        int, (N,): parts held out in turn; 5 random stratified ones by default.
    seed : int

    Returns
    -------
    accuracy : float
    predicted : numpy.ndarray
        int64, (N,).
    """
    raise NotImplementedError


def find_shortcuts(dataset: DataSet, measures: Measures, progress: Progress | None = None) -> tuple[Shortcut, ...]:
    """Measure every shortcut of `leuk.data.measures.FEATURES`, the most telling first."""
    raise NotImplementedError


def find_fixed_content(
    dataset: DataSet, measures: Measures, progress: Progress | None = None
) -> tuple[FixedContent, ...]:
    """Search the frame for content that is fixed to a place and tells the class, the most telling first.

    Nothing says where to look or for what: each region of a regular grid is held against all others of its size.
    """
    raise NotImplementedError


def told(shortcuts: tuple[Shortcut, ...]) -> Mapping[str, float]:
    """Return accuracies by name."""
    return {one.name: one.accuracy for one in shortcuts}

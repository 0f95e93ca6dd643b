"""What can be measured on every image of a set at once, kept between runs.

One pass decodes each image once. What it finds is stored under the SHA-256 of the file in a small SQLite file in the
user's cache folder (``LEUK_CACHE``, else where the system keeps caches), never in the data folder. No image is stored:
the finest picture in there has 16 × 16 points, on which no cell can be made out. Thumbnails live in memory only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from leuk.data.datasets import DataSet, Progress

NAMES = (
    "width",
    "height",
    "brightness",
    "contrast",
    "sharpness",
    "saturation",
    "background_red",
    "background_green",
    "background_blue",
    "stained_share",
    "cells",
)
"""Measures of an image: sides in pixels; mean and standard deviation of lightness (0 … 255); logarithm of the variance
of the Laplacian; mean saturation (0 … 1); median colour of the background (0 … 255); share of pixels stained as nuclei
are (0 … 1); how many nuclei stand apart."""

FEATURES = ("histogram", "medians", "corner", "background", "thumbnail")
"""Descriptions of an image that see no cell, or hardly: see `leuk.data.shortcuts`."""


@dataclass(frozen=True, eq=False)
class Measures:
    """Measures of all images of a data set, in its order.

    Attributes
    ----------
    values : dict of str to numpy.ndarray
        Per name of `NAMES`, float64 (N,); nan where the image can't be read.
    features : dict of str to numpy.ndarray
        Per name of `FEATURES`, float32 (N, D); zeros where the image can't be read.
    sha256 : tuple of str
        Of each file's bytes; "" where it can't be read.
    pixels_sha256 : tuple of str
        Of each image's size and decoded pixels; "" where it can't be read.
    readable : numpy.ndarray
        bool, (N,).
    problems : dict of int to str
        Row and one sentence for each image that can't be read.
    """

    values: dict[str, np.ndarray]
    features: dict[str, np.ndarray]
    sha256: tuple[str, ...]
    pixels_sha256: tuple[str, ...]
    readable: np.ndarray
    problems: dict[int, str]


def cache_folder() -> Path:
    """Return where measures are kept: ``LEUK_CACHE``, else ``leuk`` in the user's cache folder."""
    raise NotImplementedError


def measure(dataset: DataSet, progress: Progress | None = None, keep: bool = True) -> Measures:
    """Measure every image, or recall what was measured before.

    Parameters
    ----------
    dataset : DataSet
    progress : callable, optional
        See `leuk.data.datasets.Progress`.
    keep : bool
        Whether to look in the cache and write to it.

    Returns
    -------
    Measures
        An image that is missing or broken is a row with a problem, and the rest goes on.

    Raises
    ------
    DataError
        If the set has no folder.
    """
    raise NotImplementedError


def thumbnail(dataset: DataSet, row: int, side: int = 112, segmented: bool = False) -> bytes | None:
    """Return a JPEG of an image whose longer side has so many pixels at most; None if it can't be read.

    Made once and kept in memory, the ones used longest ago let go.
    """
    raise NotImplementedError

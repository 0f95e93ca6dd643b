"""Images laid out in two dimensions, those that look alike to a system, or by colour and texture, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from leuk.data.datasets import DataSet, Progress
from leuk.data.measures import Measures

if TYPE_CHECKING:
    from leuk.models.store import Model

METHODS = ("pca", "tsne")


def image_features(measures: Measures) -> np.ndarray:
    """Return colour, brightness and coarse layout of each image, float32 (N, D), for maps and neighbours."""
    raise NotImplementedError


def embed(dataset: DataSet, model: Model, progress: Progress | None = None) -> np.ndarray:
    """Return what a system's last layer but one makes of each image, float32 (N, D); kept between runs.

    Rows that can't be read are nan.
    """
    raise NotImplementedError


def layout(features: np.ndarray, method: str = "tsne", seed: int = 0) -> np.ndarray:
    """Lay rows out in two dimensions, float32 (N, 2); nan where the features are.

    Parameters
    ----------
    features : numpy.ndarray
        float, (N, D).
    method : str
        "pca", or "tsne" (van der Maaten & Hinton 2008) after it; fewer than 10 rows get "pca" in any case.
    seed : int

    Raises
    ------
    OptionError
        If there is no such method.
    """
    raise NotImplementedError

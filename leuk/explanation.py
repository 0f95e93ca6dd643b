"""Where in the image a class's score depends on it: class activation maps, and how much of their heat lies on cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

EXPLAINERS = ("gradcam", "gradcam++", "hirescam", "layercam", "eigencam")


@dataclass(frozen=True, eq=False)
class Explanation:
    """A heat map of one class's score over one image.

    Attributes
    ----------
    method : str
        One of `EXPLAINERS`.
    target : str
        Class key whose score the map explains.
    heat : numpy.ndarray
        float32, (h, w), 0 … 1, in the image's frame but at the network's own coarse resolution: stretch it over the
        whole image to show it. 1 is the strength that the card calls strong, so a flat map stays dark.
    heat_on_cells : float or None
        Share of all heat that lies on white cells, 0 … 1; None where there is no heat.
    cells_share : float
        Share of the image that white cells cover, 0 … 1: what heat_on_cells would be if heat fell anywhere.
    """

    method: str
    target: str
    heat: np.ndarray
    heat_on_cells: float | None
    cells_share: float

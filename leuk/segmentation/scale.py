"""The scale of a photograph, told by its red cells: they are 7.5 micrometres wide."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from leuk.image import reduced
from leuk.segmentation.stain import optical_density, otsu, white_point
from leuk.segmentation.values import Segmentation

RED_CELL = 7.5
"""Mean diameter of a red cell on a smear, micrometres (6.7 to 7.7 in health; larger or smaller in many anaemias)."""
FEWEST = 5
"""Red cells below which no scale is estimated for a field."""
WHITE_CELLS = (0.5, 4.0)
"""Red cells' widths that a field's median white cell measures. Of 245 fields and crops of six sets in which two red
cells or more were found, all lie within 0.63 (a platelet outlined alone) and 3.2, but for two of two such cells."""
_LOOK = 900  # longer side in pixels at which red cells are measured; they are then still 10 pixels wide or more
_SMOOTHED = 1.12  # a cell is larger than the widest disk in it; measured on the boxes of BCCD


@dataclass(frozen=True)
class Scale:
    """How large a pixel is.

    Attributes
    ----------
    micrometres : float
        Width of a pixel, above 0.
    source : str
        "entered" by the user, or "estimated" from red cells.
    red_cells : int
        How many red cells an estimate rests on; 0 if it was entered.
    """

    micrometres: float
    source: str
    red_cells: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.micrometres < float("inf"):
            raise ValueError(f"micrometres: expected more than 0, got {self.micrometres}")
        if self.source not in ("entered", "estimated"):
            raise ValueError(f"source: expected entered or estimated, got {self.source!r}")


def red_cell_diameters(pixels: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Measure the red cells, those that touch one another or the edge among them.

    Where red cells touch, none has an outline of its own, but the widest disk that fits into each still does: its
    radius is the depth of the place that lies deepest. Places around which most of the outline is missing, as between
    cells piled up, are left out.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).
    cell : numpy.ndarray
        bool, (H, W): white cells, which are left out.

    Returns
    -------
    numpy.ndarray
        float64: diameters in pixels, sorted. Where sizes differ more than red cells do, only those near the commonest
        (by area) are kept: the rest is debris or clumps.
    """
    height, width = cell.shape
    factor = min(1.0, _LOOK / max(height, width))
    if min(height, width) * factor < 16:
        return np.zeros(0)
    if factor < 1:
        pixels = reduced(pixels, factor)
        cell = cv2.resize(cell.astype(np.uint8), pixels.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0
    density = cv2.GaussianBlur(optical_density(pixels, white_point(pixels)).max(axis=2), (0, 0), 0.7)
    near = cv2.dilate(cell.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    outside = density[~near]
    if outside.size < 100:
        return np.zeros(0)
    red = (density > max(0.03, 0.8 * otsu(outside, 0.0, 1.0))) & ~near
    red = _filled(red)
    if red.all():
        # No ground to stand out from: a photograph rather than a smear.
        return np.zeros(0)
    depth = cv2.distanceTransform(np.pad(red.astype(np.uint8), 1, mode="edge"), cv2.DIST_L2, 5)[1:-1, 1:-1]
    depth = cv2.GaussianBlur(depth, (0, 0), 1.0)
    crest = (depth >= cv2.dilate(depth, np.ones((7, 7), np.uint8)) - 1e-6) & (depth > 3)
    crest[[0, -1]] = crest[:, [0, -1]] = False
    y, x = np.nonzero(crest)
    radius = depth[y, x].astype(np.float64)
    # A ring a little wider than the cell must lie outside it, for most of the way around.
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    at_x = np.round(x[:, None] + 1.3 * radius[:, None] * np.cos(angle)).astype(int)
    at_y = np.round(y[:, None] + 1.3 * radius[:, None] * np.sin(angle)).astype(int)
    seen = (at_x >= 0) & (at_x < red.shape[1]) & (at_y >= 0) & (at_y < red.shape[0])
    clear = seen & ~(red | near)[np.clip(at_y, 0, red.shape[0] - 1), np.clip(at_x, 0, red.shape[1] - 1)]
    diameters = np.sort(2 * _SMOOTHED * radius[clear.mean(axis=1) > 0.5] / factor)
    # What is as wide as half the picture is no red cell of several in it, but a shade or a frame.
    diameters = diameters[diameters < min(height, width) / 2]
    if not len(diameters):
        return diameters
    # By area, so that many small specks do not outvote the red cells.
    weight = np.cumsum(diameters**2)
    middle = diameters[int(np.searchsorted(weight, weight[-1] / 2))]
    return np.asarray(diameters[np.abs(diameters / middle - 1) < 0.25])


def unless_disproved(red: np.ndarray, white: float | None) -> np.ndarray:
    """Return red cells' diameters, none where the white cells beside them say that they are none.

    Parameters
    ----------
    red : numpy.ndarray
        As `red_cell_diameters` measures them.
    white : float or None
        Median diameter of the white cells in pixels, if there are any.
    """
    if len(red) and white is not None and not WHITE_CELLS[0] < white / float(np.median(red)) < WHITE_CELLS[1]:
        return np.zeros(0)
    return red


def red_cells_beside(pixels: np.ndarray, segmentation: Segmentation) -> np.ndarray:
    """Return the diameters of the red cells beside white ones that do not say that they are none, sorted, in pixels.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).
    segmentation : Segmentation
        Of the same image.
    """
    return unless_disproved(red_cell_diameters(pixels, segmentation.cell), segmentation.cell_diameter)


def _filled(mask: np.ndarray) -> np.ndarray:
    """Fill the pale middles of red cells: holes, and none larger than red cells leave between them."""
    filled = np.asarray(ndimage.binary_fill_holes(mask))
    holes, count = ndimage.label(filled & ~mask)
    if not count:
        return mask
    areas = np.bincount(holes.ravel())
    lone = cv2.connectedComponentsWithStats(filled.astype(np.uint8), connectivity=4)[2][1:, cv2.CC_STAT_AREA]
    kept = areas < 0.35 * np.median(lone[lone > 40]) if (lone > 40).any() else areas < 0
    kept[0] = False
    return mask | kept[holes]


def estimate_scale(
    pixels: np.ndarray, cell: np.ndarray, *, fewest: int = FEWEST, red: np.ndarray | None = None
) -> Scale | None:
    """Estimate the width of a pixel from the red cells of a field.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).
    cell : numpy.ndarray
        bool, (H, W): white cells.
    fewest : int
        Red cells that an estimate must rest on.
    red : numpy.ndarray, optional
        As `red_cell_diameters` measures them here, if that is at hand.

    Returns
    -------
    Scale or None
        None where there are too few lone, whole red cells.
    """
    diameters = red_cell_diameters(pixels, cell) if red is None else red
    if len(diameters) < max(1, fewest):
        return None
    return Scale(RED_CELL / float(np.median(diameters)), "estimated", len(diameters))

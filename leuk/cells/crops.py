"""Single cells as the classifier sees them: one size, one background, nothing of their surroundings."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from leuk.segmentation.scale import red_cell_diameters
from leuk.segmentation.stain import white_point
from leuk.segmentation.values import Cell, Segmentation

SIDE = 96
"""Side in pixels of a crop."""
DIAMETER = 60
"""Diameter in pixels, of a disk of its area, to which each cell is brought in its crop."""
FEWEST_RED_CELLS = 2
"""Red cells from which a cell's size is told; fewer than for a scale in micrometres, since a rough size will do."""
LARGEST = 5.0
"""Diameter in red cells' beyond which it is specks that were measured for red cells; PBC's monocytes end at some 3."""
MARGIN = 0.06
"""How far beyond its outline a cell is shown, as a share of its diameter."""


@dataclass(frozen=True, eq=False)
class Crops:
    """Cells cut out of one image.

    Attributes
    ----------
    pixels : numpy.ndarray
        uint8, (N, SIDE, SIDE, 3), RGB: each cell in the middle, at `DIAMETER`, with its surroundings.
    masks : numpy.ndarray
        uint8, (N, SIDE, SIDE): 1 inside the cell's outline, 0 outside.
    white : numpy.ndarray
        float32, (3,): colour of the empty background.
    sizes : numpy.ndarray
        float32, (N,): diameter of each cell over that of the red cells around; NaN where there are too few, or where
        these would be too small for red cells.
    """

    pixels: np.ndarray
    masks: np.ndarray
    white: np.ndarray
    sizes: np.ndarray


def cut(
    pixels: np.ndarray,
    segmentation: Segmentation,
    cells: tuple[Cell, ...] | None = None,
    red: np.ndarray | None = None,
) -> Crops:
    """Cut cells out of an image.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).
    segmentation : Segmentation
        Of the same image.
    cells : tuple of Cell, optional
        Which; all by default.
    red : numpy.ndarray, optional
        As `leuk.segmentation.scale.red_cell_diameters` measures them here, if that is at hand.

    Returns
    -------
    Crops
    """
    chosen = segmentation.cells if cells is None else cells
    if red is None:
        red = red_cell_diameters(pixels, segmentation.cell) if chosen else np.zeros(0)
    red_cell = float(np.median(red)) if len(red) >= FEWEST_RED_CELLS else np.nan
    white = white_point(pixels)
    images = np.zeros((len(chosen), SIDE, SIDE, 3), np.uint8)
    masks = np.zeros((len(chosen), SIDE, SIDE), np.uint8)
    sizes = np.full(len(chosen), np.nan, np.float32)
    for i, cell in enumerate(chosen):
        images[i], masks[i] = _one(pixels, segmentation.instances, cell, white)
        size = cell.diameter / red_cell
        sizes[i] = size if size <= LARGEST else np.nan
    return Crops(images, masks, white, sizes)


def _one(pixels: np.ndarray, instances: np.ndarray, cell: Cell, white: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut one cell out: uint8 (SIDE, SIDE, 3) and (SIDE, SIDE)."""
    x0, y0, x1, y1 = cell.box
    factor = DIAMETER / cell.diameter
    reach = int(np.ceil(SIDE / 2 / factor)) + 2
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    left, top = int(np.floor(cx)) - reach, int(np.floor(cy)) - reach
    right, bottom = left + 2 * reach + 1, top + 2 * reach + 1
    a, b = max(left, 0), max(top, 0)
    part = pixels[b : min(bottom, pixels.shape[0]), a : min(right, pixels.shape[1])]
    own = (instances[b : min(bottom, pixels.shape[0]), a : min(right, pixels.shape[1])] == cell.label).astype(np.uint8)
    if factor < 1:  # averaged first, so that detail too fine for the crop does not turn into noise
        size = max(1, round(part.shape[1] * factor)), max(1, round(part.shape[0] * factor))
        zoom = size[0] / part.shape[1], size[1] / part.shape[0]
        part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        own_soft = cv2.resize(own.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    else:
        zoom, own_soft = (1.0, 1.0), own.astype(np.float32)
    sx, sy = factor / zoom[0], factor / zoom[1]
    middle = (cx - a) * zoom[0] - 0.5, (cy - b) * zoom[1] - 0.5
    matrix = np.array([[sx, 0, SIDE / 2 - 0.5 - sx * middle[0]], [0, sy, SIDE / 2 - 0.5 - sy * middle[1]]])
    border = tuple(float(v) for v in white)
    image = cv2.warpAffine(np.ascontiguousarray(part), matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderValue=border)
    mask = cv2.warpAffine(own_soft, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR)
    return image, (mask > 0.5).astype(np.uint8)


def to_density(pixels: np.ndarray, mask: np.ndarray, white: np.ndarray, margin: float = MARGIN) -> np.ndarray:
    """Return a crop's optical density inside its cell, and 0 elsewhere.

    Parameters
    ----------
    pixels : numpy.ndarray
        uint8, (S, S, 3), RGB.
    mask : numpy.ndarray
        uint8, (S, S): 1 inside the cell.
    white : numpy.ndarray
        Colour of the empty background, (3,).
    margin : float
        How far beyond its outline (below 0: within it) the cell is shown, as a share of `DIAMETER`.

    Returns
    -------
    numpy.ndarray
        float32, (3, S, S): log10 of background over pixel, at least -0.1.
    """
    grown = round(abs(margin) * DIAMETER * mask.shape[0] / SIDE)
    if grown:
        disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * grown + 1, 2 * grown + 1))
        mask = cv2.dilate(mask, disk) if margin > 0 else cv2.erode(mask, disk)
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.0)
    table = np.log10(np.maximum(white, 8))[None] - np.log10(np.maximum(np.arange(256), 6))[:, None]
    density = np.stack([table[:, i].astype(np.float32)[pixels[:, :, i]] for i in range(3)])
    return np.maximum(density, -0.1) * soft

"""Single cells as the classifier sees them: one size, one background, nothing of their surroundings."""

from __future__ import annotations

import math
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
HALF = 0.45
"""Depth over length along the edge of the picture, of a cell that it cuts, from which about half of it is seen."""
MARGIN = 0.06
"""How far beyond its outline a cell is shown, as a share of its diameter."""


_Sides = tuple[bool, bool, bool, bool]
"""Left, right, top, bottom."""


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
    complete: bool = True,
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
    complete : bool
        Whether cells that the image's edge cuts are completed by their mirror image.

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
        part, own, ends = _around(pixels, segmentation.instances, cell)
        if complete:
            part, own = _completed(part, own, ends)
        # What was completed is larger than what is seen.
        diameter = 2 * math.sqrt(np.count_nonzero(own) / math.pi)
        images[i], masks[i] = _brought_in(part, own, diameter, white)
        size = diameter / red_cell
        sizes[i] = size if size <= LARGEST else np.nan
    return Crops(images, masks, white, sizes)


def _around(pixels: np.ndarray, instances: np.ndarray, cell: Cell) -> tuple[np.ndarray, np.ndarray, _Sides]:
    """Return the picture around one cell, its mask there, uint8 0 or 1, and on which sides the picture ends at it."""
    x0, y0, x1, y1 = cell.box
    height, width = instances.shape
    # A crop is SIDE / DIAMETER of its cell wide, and a thin cell is much longer than its diameter.
    reach = math.ceil(SIDE / DIAMETER * max(cell.diameter, x1 - x0, y1 - y0)) + 2
    rows, columns = slice(max(0, y0 - reach), y1 + reach), slice(max(0, x0 - reach), x1 + reach)
    own = (instances[rows, columns] == cell.label).astype(np.uint8)
    return pixels[rows, columns], own, (x0 <= 0, x1 >= width, y0 <= 0, y1 >= height)


def mostly_seen(cell: Cell, height: int, width: int) -> bool:
    """Tell whether about half of a cell or more lies in a picture: of less, what it is can hardly be told."""
    x0, y0, x1, y1 = cell.box
    deep, tall = x1 - x0, y1 - y0
    return not (((x0 <= 0 or x1 >= width) and deep < HALF * tall) or ((y0 <= 0 or y1 >= height) and tall < HALF * deep))


def _completed(pixels: np.ndarray, own: np.ndarray, cut: _Sides) -> tuple[np.ndarray, np.ndarray]:
    """Complete a cell that the picture's edge cuts by its mirror image: about its middle, or the edge if that is lost.

    Shown as it is, a piece of a cell is none of those that were learnt: half of a neutrophil looks like a blast. Cells
    cut on opposite sides stay as they are.
    """
    middle = _middle(own, cut)
    for axis in (1, 0):
        near, far = cut[2 - 2 * axis : 4 - 2 * axis]
        if near == far:
            continue
        # So that the edge is on the left.
        turned, mask = (pixels, own) if axis else (pixels.transpose(1, 0, 2), own.T)
        start = round(middle[axis])
        if far:
            turned, mask, start = turned[:, ::-1], mask[:, ::-1], mask.shape[1] - start
        start = min(max(start, 0), int(np.flatnonzero(mask.any(axis=0))[-1]))
        turned, mask = (np.ascontiguousarray(part[:, start:]) for part in (turned, mask))
        turned, mask = (cv2.copyMakeBorder(part, 0, 0, part.shape[1], 0, cv2.BORDER_REFLECT) for part in (turned, mask))
        if far:
            turned, mask = turned[:, ::-1], mask[:, ::-1]
        pixels, own = (turned, mask) if axis else (turned.transpose(1, 0, 2), mask.T)
    return pixels, own


def _middle(own: np.ndarray, cut: _Sides) -> tuple[float, float]:
    """Return where the middle of a cell would be, were it as wide as it is long: y and x, pixels from the top left."""
    rows, columns = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
    (y0, y1), (x0, x1) = ((int(at[0]), int(at[-1]) + 1) for at in (rows, columns))
    left, right, top, bottom = cut
    if not ((left or right) and (top or bottom)):
        half = (x1 - x0 if top or bottom else y1 - y0) / 2
        return (y1 - half if top else y0 + half), (x1 - half if left else x0 + half)
    # In a corner neither width nor length is seen whole: the circle through what is seen of the outline
    # (I. Kåsa, IEEE Trans. Instrum. Meas. 25 (1976) 8).
    outline, _ = cv2.findContours(own, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    x, y = np.concatenate(outline)[:, 0].T.astype(np.float64)
    height, width = own.shape
    free = ~((left & (x < 1)) | (right & (x > width - 2)) | (top & (y < 1)) | (bottom & (y > height - 2)))
    if np.count_nonzero(free) < 3:
        return (y0 if top else y1), (x0 if left else x1)
    x, y = x[free], y[free]
    found = np.linalg.lstsq(np.column_stack([x, y, np.ones(len(x))]), x**2 + y**2, rcond=None)[0]
    return float(found[1]) / 2 + 0.5, float(found[0]) / 2 + 0.5


def _brought_in(
    pixels: np.ndarray, own: np.ndarray, diameter: float, white: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Bring one cell to the middle of a crop, at its diameter: uint8 (SIDE, SIDE, 3) and (SIDE, SIDE)."""
    rows, columns = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
    x0, y0, x1, y1 = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    factor = DIAMETER / diameter
    reach = int(np.ceil(SIDE / 2 / factor)) + 2
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    left, top = int(np.floor(cx)) - reach, int(np.floor(cy)) - reach
    right, bottom = left + 2 * reach + 1, top + 2 * reach + 1
    a, b = max(left, 0), max(top, 0)
    part, own = (np.ascontiguousarray(one[b : max(bottom, 0), a : max(right, 0)]) for one in (pixels, own))
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

"""Cells that somebody cut out of their field and laid on black, as in C-NMC and other sets of single cells.

Their outlines are given. What is lacking is the empty background against which every colour is measured: to whatever
learns an image's colours from that image, such a picture is stain and black alone.

References
----------
A. Gupta and R. Gupta, "ALL Challenge dataset of ISBI 2019 (C-NMC 2019)", The Cancer Imaging Archive (2019), for
pictures of this kind.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

from leuk.image import reduced
from leuk.segmentation.default import LOOK
from leuk.segmentation.stain import optical_density, otsu

BLACK = 12
"""Level of the brightest channel up to which a pixel is black; a JPEG's black is not all 0."""
LEAST_BLACK, LEAST_EDGE = 0.1, 0.5
"""Shares of the picture, and of its edge, that are black at least."""
SMALLEST, SPECK = 0.1, 60
"""Area of the smallest cell relative to the largest, and in pixels of the look; whatever is smaller is no cell."""
LEAST_LIKE = 0.7
"""Share of what is not black that looks like cells at least; the picture's edge cuts some to a piece of nucleus."""
ROUNDEST, FULLEST = 0.982, 0.95
"""Shares of its disk, and of its box, from which a region is an eyepiece's circle or a frame's field. Of 76 cells
outlined by hand, in two laboratories' sets and ALL-IDB2, none took more than 0.978 of its disk."""
SHARP = 0.4
"""Brightness of a cell's edge relative to its middle, at least: it was cut, and does not fade away."""
LEAST_DARK, LEAST_NUCLEUS = 0.07, 0.12
"""Shares of a cell that its largest dark part, and its nucleus, take at least. Cut out of three laboratories' pictures,
white cells' nuclei took 0.26 and more; what passed for one in red cells of BCCD mostly took less than 0.11.
"""
LEAST_DYE = 0.03
"""Optical density by which a cell's dark part takes more green than red and blue, at least."""
CLEAREST = 99
"""Percentile of the cells' levels that stands for the empty background: the clearest that there is."""
RIM = 0.006
"""Width of the cells' edge, relative to the picture's shorter side, in which cutting has mixed black with them."""


def find_cutouts(pixels: np.ndarray) -> np.ndarray | None:
    """Find cells that were cut out of their field and laid on black.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).

    Returns
    -------
    numpy.ndarray or None
        int32, (H, W): a label from 1 for each cell, 0 for the black; None unless what is not black is mostly cells.
    """
    height, width = pixels.shape[:2]
    look = reduced(pixels, min(1.0, LOOK / max(height, width)))
    value = look.max(axis=2)
    black = value <= BLACK
    edge = np.concatenate([black[0], black[-1], black[:, 0], black[:, -1]])
    if black.mean() < LEAST_BLACK or edge.mean() < LEAST_EDGE or black.all():
        return None
    regions, count = _regions(~black, SPECK)
    areas = np.bincount(regions.ravel(), minlength=count + 1)
    boxes = ndimage.find_objects(regions)
    like = [areas[i] if _is_cell(look, value, regions == i, boxes[i - 1]) else 0 for i in range(1, count + 1)]
    if not count or sum(like) < LEAST_LIKE * areas[1:].sum():
        return None
    # A cell keeps its edge, which the look may have mixed with the black.
    whole, count = _regions(pixels.max(axis=2) > BLACK, SPECK * pixels[..., 0].size / value.size)
    return whole if count else None


def _regions(mask: np.ndarray, speck: float) -> tuple[np.ndarray, int]:
    """Return the numbered regions of a mask, specks left out, int32 like the mask, and how many there are."""
    filled = np.asarray(ndimage.binary_fill_holes(mask))
    labels, stats = cv2.connectedComponentsWithStats(filled.astype(np.uint8), connectivity=4)[1:3]
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    kept = areas >= max(speck, SMALLEST * areas.max(initial=0))
    kept[0] = False
    number = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    return number[labels], int(kept.sum())


def _is_cell(look: np.ndarray, value: np.ndarray, region: np.ndarray, box: tuple[slice, ...]) -> bool:
    """Tell whether a region, bool (h, w), in its box, is a stained cell with an edge of its own, and no field."""
    rows, columns = box
    area = int(region[rows, columns].sum())
    # The disk is looked for where the region is and around, since there may be hundreds of regions.
    reach = max(rows.stop - rows.start, columns.stop - columns.start) // 2
    around = region[
        max(0, rows.start - reach) : rows.stop + reach, max(0, columns.start - reach) : columns.stop + reach
    ]
    disk = _disk(around)
    if (around & disk).sum() > ROUNDEST * (around | disk).sum():
        return False
    if area > FULLEST * region[rows, columns].size:
        return False
    cell, shown, bright = (np.pad(a[rows, columns], [(1, 1), (1, 1), (0, 0)][: a.ndim]) for a in (region, look, value))
    depth = cv2.distanceTransform(cell.astype(np.uint8), cv2.DIST_L2, 5)
    inside, edge = depth > 2.5, (depth > 1.5) & (depth <= 2.5)
    if inside.sum() < SPECK / 2 or np.median(bright[edge]) < SHARP * np.median(bright[inside]):
        return False
    density = optical_density(shown, _clearest(shown[inside]))
    green = density[:, :, 1]
    dark = (inside & (green > otsu(green[inside], 0.0, 2.0))).astype(np.uint8)
    parts = cv2.connectedComponentsWithStats(cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)))[2]
    if not dark.any():
        return False
    taken = np.median(density[dark > 0], axis=0)
    # Stains take green; what glows on black, in fluorescence, takes nothing, and is grey or of one colour.
    stained = 2 * taken[1] - taken[0] - taken[2] >= LEAST_DYE
    return bool(stained and parts[1:, cv2.CC_STAT_AREA].max(initial=0) >= LEAST_DARK * area)


def _disk(region: np.ndarray) -> np.ndarray:
    """Return the disk whose rim comes closest to a region's, but for what the picture's edge cuts: bool (h, w)."""
    outline = cv2.findContours(region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    x, y = np.concatenate(outline)[:, 0].astype(np.float64).T
    own = (x > 0) & (y > 0) & (x < region.shape[1] - 1) & (y < region.shape[0] - 1)
    x, y = x[own], y[own]
    # I. Kasa, IEEE Trans. Instrum. Meas. 25 (1976): least squares in the squares of the distances.
    terms = np.column_stack([2 * x, 2 * y, np.ones_like(x)])
    (cx, cy, rest), *_ = np.linalg.lstsq(terms, x**2 + y**2, rcond=None)
    rows, columns = np.indices(region.shape)
    # The outline runs through the outermost pixels' middles: half a pixel within the rim.
    radius = np.sqrt(max(0.0, rest + cx**2 + cy**2)) + 0.5
    return np.asarray(np.hypot(columns - cx, rows - cy) <= radius)


def _clearest(seen: np.ndarray) -> np.ndarray:
    """Return the clearest colour of cells' pixels, uint8 (N, 3): float32, (3,)."""
    return np.maximum(np.percentile(seen, CLEAREST, axis=0), 8).astype(np.float32)


def on_background(pixels: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Put a background where the black around cells was: the clearest colour that they have.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).
    cells : numpy.ndarray
        int32, (H, W), as `find_cutouts` returns it.

    Returns
    -------
    numpy.ndarray
        RGB, uint8, (H, W, 3).
    """
    reach = 2 * max(1, round(RIM * min(cells.shape))) + 1
    inner = cv2.erode((cells > 0).astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
    clear = _clearest(pixels[inner if inner.any() else cells > 0])
    return np.where(inner[..., None], pixels, clear.astype(np.uint8))


def with_nuclei(nucleus: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep those cells that have a nucleus: red cells are cut out too, and are none of ours.

    Parameters
    ----------
    nucleus : numpy.ndarray
        bool, (H, W).
    cells : numpy.ndarray
        int32, (H, W), as `find_cutouts` returns it.

    Returns
    -------
    nucleus : numpy.ndarray
        bool, (H, W): inside the cells kept.
    cells : numpy.ndarray
        int32, (H, W): gaps in the numbering where one was left out.
    """
    count = int(cells.max()) + 1
    kept = np.bincount(cells[nucleus], minlength=count) >= LEAST_NUCLEUS * np.bincount(cells.ravel(), minlength=count)
    kept[0] = False
    return nucleus & kept[cells], np.where(kept[cells], cells, 0).astype(np.int32)

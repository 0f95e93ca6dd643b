"""Measures of single cells: size, shape, colour."""

from __future__ import annotations

import math

import cv2
import numpy as np
from scipy import ndimage

from leuk.segmentation.field import Field
from leuk.segmentation.stain import optical_density, white_point
from leuk.segmentation.values import Cell

LEAST_CYTOPLASM = 0.03
"""Share of the cell that must be cytoplasm for its colour to be measured: less is the edge of the nucleus."""
LEAST_LOBE = 0.08
"""Share of the nucleus that a separate part must have to count as a lobe."""


def perimeter(mask: np.ndarray) -> float:
    """Estimate the length of a shape's outline, holes included, by Crofton's formula in four directions.

    Counting how often the lines of four directions cross the outline has no bias on a disk, unlike the length of
    the staircase that runs around its pixels.

    Parameters
    ----------
    mask : numpy.ndarray
        bool or 0/1, (H, W).

    Returns
    -------
    float
        Length in pixels; 0 for an empty mask.

    References
    ----------
    S. Rivollier, J. Debayle, J.-C. Pinoli, "Analyse d'images histologiques par la formule de Crofton"; the same
    estimate as `skimage.measure.perimeter_crofton` with four directions.

    Examples
    --------
    >>> y, x = np.mgrid[-40:41, -40:41]
    >>> round(perimeter(x**2 + y**2 <= 30**2) / (2 * np.pi * 30), 2)
    1.0
    """
    m = np.pad(np.asarray(mask, dtype=bool), 1)
    straight = np.count_nonzero(m[1:] != m[:-1]) + np.count_nonzero(m[:, 1:] != m[:, :-1])
    diagonal = np.count_nonzero(m[1:, 1:] != m[:-1, :-1]) + np.count_nonzero(m[1:, :-1] != m[:-1, 1:])
    return math.pi / 8 * (straight + diagonal / math.sqrt(2))


def circularity(mask: np.ndarray) -> float:
    """4π·area / perimeter² of a shape, 1 for a disk (where the estimate exceeds 1, it is cut to 1); 0 if empty."""
    length = perimeter(mask)
    return min(1.0, 4 * math.pi * np.count_nonzero(mask) / length**2) if length else 0.0


def eccentricity(mask: np.ndarray) -> float:
    """Eccentricity of the ellipse with the shape's second moments, 0 (circle) … 1 (line); 0 if empty."""
    m = cv2.moments(np.asarray(mask, dtype=np.uint8), binaryImage=True)
    if not m["m00"]:
        return 0.0
    # Each pixel is a unit square rather than a point: 1/12 is its own second moment.
    xx, yy, xy = m["mu20"] / m["m00"] + 1 / 12, m["mu02"] / m["m00"] + 1 / 12, m["mu11"] / m["m00"]
    spread = math.hypot((xx - yy) / 2, xy)
    major, minor = (xx + yy) / 2 + spread, (xx + yy) / 2 - spread
    return math.sqrt(min(1.0, max(0.0, 1 - minor / major)))


def solidity(mask: np.ndarray) -> float:
    """Area of a shape over that of its convex hull, both counted in pixels, 0 … 1; 0 if empty."""
    drawn = np.ascontiguousarray(mask, dtype=np.uint8)
    contours, _ = cv2.findContours(drawn, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return 0.0
    hull = np.zeros_like(drawn)
    cv2.fillConvexPoly(hull, cv2.convexHull(np.concatenate(contours)), 1)
    return int(np.count_nonzero(drawn)) / int(np.count_nonzero(hull | drawn))


def indentation(mask: np.ndarray) -> float:
    """Measure how deep the deepest cleft of a shape is, over its diameter.

    The depth is the way from the side of the convex hull that bridges the cleft's mouth to the farthest point of the
    outline behind it; the diameter is that of the disk of the shape's area.

    Parameters
    ----------
    mask : numpy.ndarray
        bool or 0/1, (H, W); of several parts, the largest counts.

    Returns
    -------
    float
        0 (convex: round or oval), about 0.4 (a kidney) and 0.9 (a horseshoe), cut to 1; 0 if empty. Clefts of less
        than a pixel and a half are the staircase of the outline and count as none.

    Examples
    --------
    >>> y, x = np.mgrid[-40:41, -40:41]
    >>> indentation(x**2 + y**2 <= 30**2)
    0.0
    """
    drawn = np.ascontiguousarray(mask, dtype=np.uint8)
    contours, _ = cv2.findContours(drawn, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return 0.0
    part = max(contours, key=cv2.contourArea)
    if len(part) < 4:
        return 0.0
    # OpenCV's own measure of clefts refuses outlines that touch themselves, as those of thin lobes do.
    corners = np.sort(cv2.convexHull(part, returnPoints=False).ravel())
    outline = np.roll(part[:, 0].astype(np.float64), -corners[0], axis=0)
    corners -= corners[0]
    side = np.searchsorted(corners, np.arange(len(outline)), side="right") - 1
    begin, end = outline[corners[side]], outline[np.roll(corners, -1)[side]]
    along, offset = end - begin, outline - begin
    length = np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)
    deepest = float((np.abs(along[:, 0] * offset[:, 1] - along[:, 1] * offset[:, 0]) / length).max())
    filled = np.zeros_like(drawn)
    cv2.drawContours(filled, [part], -1, 1, cv2.FILLED)
    diameter = 2 * math.sqrt(np.count_nonzero(filled & drawn) / math.pi)
    return min(1.0, deepest / diameter) if deepest > 1.5 else 0.0


def lobes(mask: np.ndarray) -> int:
    """Count the parts of a nucleus that lie apart, each at least `LEAST_LOBE` of it; 0 if empty.

    Segments joined by a thread that is wide enough to be seen count as one.
    """
    drawn = np.ascontiguousarray(mask, dtype=np.uint8)
    whole = int(np.count_nonzero(drawn))
    if not whole:
        return 0
    stats = cv2.connectedComponentsWithStats(drawn, connectivity=8)[2]
    return max(1, int(np.count_nonzero(stats[1:, cv2.CC_STAT_AREA] >= LEAST_LOBE * whole)))


def texture(density: np.ndarray, mask: np.ndarray) -> float | None:
    """Measure how coarse chromatin is: the spread of its optical density over the mean.

    Parameters
    ----------
    density : numpy.ndarray
        Optical density in green, float, (H, W): where nuclear dye absorbs most.
    mask : numpy.ndarray
        bool, (H, W): the nucleus. Its outermost pixels, half covered by it, are left out.

    Returns
    -------
    float or None
        Coefficient of variation, without unit, from 0 (even, as in blasts) upwards (clumped); None for a nucleus of
        fewer than 12 inner pixels or without dye. Coarse photographs lower it: compare cells of one field.
    """
    inner = cv2.erode(np.pad(mask, 1).astype(np.uint8), np.ones((3, 3), np.uint8))[1:-1, 1:-1] > 0
    values = density[inner]
    mean = float(values.mean()) if values.size >= 12 else 0.0
    return float(values.std()) / mean if mean > 0.02 else None


def basophilia(density: np.ndarray, mask: np.ndarray) -> float | None:
    """Measure how blue cytoplasm is: its mean optical density in red less that in blue.

    Methylene blue and azure B, bound by the ribosomes of young cells, absorb red light; eosin and haemoglobin absorb
    green and blue. Exposure and white balance cancel out, since densities are relative to the background.

    Parameters
    ----------
    density : numpy.ndarray
        Optical density, R, G, B, float, (H, W, 3).
    mask : numpy.ndarray
        bool, (H, W): the cytoplasm.

    Returns
    -------
    float or None
        Optical density: above 0 blue (basophilic), about 0 grey or lilac, below 0 pink (eosinophilic); None for fewer
        than 12 pixels.
    """
    if np.count_nonzero(mask) < 12:
        return None
    return float((density[..., 0] - density[..., 2])[mask].mean())


def nucleus_offset(mask: np.ndarray, nucleus: np.ndarray) -> float | None:
    """Measure how far off the middle a nucleus lies: the way between both centroids over the cell's radius.

    Parameters
    ----------
    mask, nucleus : numpy.ndarray
        bool, (H, W): the whole cell and its nucleus.

    Returns
    -------
    float or None
        0 (central) … 1 (at the edge, as in plasma cells; cut to 1); None without a nucleus. The radius is that of the
        disk of the cell's area.
    """
    if not nucleus.any():
        return None
    (y, x), (v, u) = (np.argwhere(m).mean(axis=0) for m in (mask, nucleus))
    return min(1.0, math.hypot(x - u, y - v) / math.sqrt(np.count_nonzero(mask) / math.pi))


def measure(
    pixels: np.ndarray, nucleus: np.ndarray, instances: np.ndarray, field: Field | None = None
) -> tuple[Cell, ...]:
    """Measure every labelled cell, each inside its own box.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).
    nucleus : numpy.ndarray
        bool, (H, W).
    instances : numpy.ndarray
        int32, (H, W): labels 1 … N without gaps, 0 outside.
    field : Field, optional
        Of the same picture: densities are measured in its even light, and a cell that meets its surround touches the
        border.

    Returns
    -------
    tuple of Cell
        In the order of the labels.
    """
    height, width = instances.shape
    cells = []
    step = max(1, math.isqrt(height * width // 250_000))  # the background needs no more
    even = pixels if field is None else field.pixels
    white = white_point(even[::step, ::step])
    beside = _meeting(instances, None if field is None else field.surround)
    for label, found in enumerate(ndimage.find_objects(instances), start=1):
        if found is None:
            raise ValueError(f"instances: expected labels without gaps, got none of {label}")
        rows, columns = found
        mask = instances[found] == label
        area = int(np.count_nonzero(mask))
        own = mask & nucleus[found]
        inner = int(np.count_nonzero(own))
        density = optical_density(np.ascontiguousarray(even[found]), white)
        # The nucleus's blurred rim is no cytoplasm. The cell's own is left in, though its blur makes cytoplasm up to a
        # fifth paler: without it half of the cells in a field of 224 pixels would have too little left to measure.
        rim = cv2.dilate(own.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        cytoplasm = mask & ~rim
        enough = np.count_nonzero(cytoplasm) >= LEAST_CYTOPLASM * area
        # Of a channel that is 255 throughout, rounding makes a hair more.
        mean = cv2.mean(np.ascontiguousarray(pixels[found]), mask.astype(np.uint8))[:3]
        red, green, blue = (min(255.0, level) for level in mean)
        cells.append(
            Cell(
                label=label,
                box=(int(columns.start), int(rows.start), int(columns.stop), int(rows.stop)),
                area=area,
                nucleus_area=inner,
                nc_ratio=inner / area,
                eccentricity=eccentricity(mask),
                circularity=circularity(mask),
                solidity=solidity(mask),
                mean_color=(red, green, blue),
                nucleus_eccentricity=eccentricity(own) if inner else None,
                nucleus_circularity=circularity(own) if inner else None,
                indentation=indentation(own) if inner else None,
                lobes=lobes(own),
                chromatin_texture=texture(density[..., 1], own),
                basophilia=basophilia(density, cytoplasm) if enough else None,
                nucleus_offset=nucleus_offset(mask, own),
                touches_border=bool(
                    rows.start == 0
                    or columns.start == 0
                    or rows.stop == height
                    or columns.stop == width
                    or label in beside
                ),
            )
        )
    return tuple(cells)


def _meeting(instances: np.ndarray, surround: np.ndarray | None) -> frozenset[int]:
    """Return the labels that meet a field's surround."""
    if surround is None:
        return frozenset()
    near = cv2.dilate(surround.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return frozenset(np.unique(instances[near]).tolist()) - {0}

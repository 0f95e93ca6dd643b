"""Measures of single cells: size, shape, colour."""

from __future__ import annotations

import math

import cv2
import numpy as np
from scipy import ndimage

from leuk.segmentation.values import Cell


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


def measure(pixels: np.ndarray, nucleus: np.ndarray, instances: np.ndarray) -> tuple[Cell, ...]:
    """Measure every labelled cell, each inside its own box.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).
    nucleus : numpy.ndarray
        bool, (H, W).
    instances : numpy.ndarray
        int32, (H, W): labels 1 … N without gaps, 0 outside.

    Returns
    -------
    tuple of Cell
        In the order of the labels.
    """
    height, width = instances.shape
    cells = []
    for label, found in enumerate(ndimage.find_objects(instances), start=1):
        if found is None:
            raise ValueError(f"instances: expected labels without gaps, got none of {label}")
        rows, columns = found
        mask = instances[found] == label
        area = int(np.count_nonzero(mask))
        inner = int(np.count_nonzero(mask & nucleus[found]))
        red, green, blue, _ = cv2.mean(np.ascontiguousarray(pixels[found]), mask.astype(np.uint8))
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
                touches_border=bool(
                    rows.start == 0 or columns.start == 0 or rows.stop == height or columns.stop == width
                ),
            )
        )
    return tuple(cells)

"""The default method: nuclei by their dye, whole cells by a watershed that grows from them.

Romanowsky stains colour nuclei with azure-eosin purple, which absorbs green light and lets blue through, while
haemoglobin absorbs blue as well as green. The difference of the two optical densities therefore shows nuclei and
hides red cells whatever the tint of the background, the exposure or the depth of the stain, which a fixed hue does
not. Everything else follows from that channel, at a working scale set by the size of what is found in it.
"""

from __future__ import annotations

import cv2
import numpy as np

LOOK = 320
"""Longer side, in pixels, of the first look that finds the scale."""
NUCLEUS_RADIUS = 12.0
"""Radius in pixels to which nuclei are reduced (never enlarged) for the work."""
LEAST_DYE = 0.06
"""Optical density (green minus blue) below which nothing is a nucleus."""


def white_point(pixels: np.ndarray) -> np.ndarray:
    """Estimate the colour of the empty background: the median of the brightest in green, glare left out.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).

    Returns
    -------
    numpy.ndarray
        R, G, B as float32, (3,), at least 8.
    """
    green = pixels[:, :, 1]
    low, high = np.percentile(green, [85, 99])
    return np.maximum(np.median(pixels[(green >= low) & (green <= high)], axis=0), 8).astype(np.float32)


def optical_density(pixels: np.ndarray, white: np.ndarray) -> np.ndarray:
    """Optical density relative to the background, by channel: float32, (H, W, 3), 0 where there is nothing."""
    table = -np.log10(np.maximum(np.arange(256, dtype=np.float32), 6)[:, None] / white[None])
    return np.dstack([table[:, i].astype(np.float32)[pixels[:, :, i]] for i in range(3)])


def otsu(values: np.ndarray, low: float, high: float) -> float:
    """Otsu's threshold between two classes of values, from a histogram of 256 bins over low … high."""
    counts, edges = np.histogram(values, bins=256, range=(low, high))
    weight = np.cumsum(counts, dtype=np.float64)
    total = np.cumsum(counts * (edges[:-1] + edges[1:]) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (total[-1] * weight / weight[-1] - total) ** 2 / (weight * (weight[-1] - weight))
    between[~np.isfinite(between)] = -1
    return float(edges[int(between.argmax()) + 1])


def _nuclei(density: np.ndarray, least_area: float) -> tuple[np.ndarray, np.ndarray]:
    """Threshold the dye channel: the channel itself, and a mask without specks."""
    dye = cv2.GaussianBlur(density[:, :, 1] - density[:, :, 2], (0, 0), 0.8)
    mask = dye > max(LEAST_DYE, otsu(dye, -0.1, 1.2))
    labels, stats = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)[1:3]
    keep = stats[:, cv2.CC_STAT_AREA] >= least_area
    keep[0] = False
    return dye, keep[labels]


def _radius(mask: np.ndarray) -> float | None:
    """Typical radius of the parts of a mask, each counted by its area so that specks have no say; None if empty."""
    labels = cv2.connectedComponents(mask.astype(np.uint8))[1]
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    count = int(labels.max())
    if not count:
        return None
    deepest = np.zeros(count + 1)
    np.maximum.at(deepest, labels.ravel(), depth.ravel())
    area = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    order = np.argsort(deepest[1:])
    half = np.searchsorted(np.cumsum(area[order]), area.sum() / 2)
    return float(deepest[1:][order[half]])


def dye_watershed(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find white cells in a field of any scale, stain and background.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).

    Returns
    -------
    nucleus : numpy.ndarray
        bool, (H, W).
    labels : numpy.ndarray
        int32, (H, W): whole cells, 0 outside.
    """
    height, width = pixels.shape[:2]
    nothing = np.zeros((height, width), dtype=bool), np.zeros((height, width), dtype=np.int32)
    if min(height, width) < 8:
        return nothing
    reduce = min(1.0, LOOK / max(height, width))
    look = _resized(pixels, reduce)
    white = white_point(look)
    radius = _radius(_nuclei(optical_density(look, white), 4)[1])
    if radius is None:
        return nothing
    factor = min(1.0, max(reduce, reduce * NUCLEUS_RADIUS / radius))
    work = _resized(pixels, factor)
    density = optical_density(work, white)
    radius = radius * factor / reduce
    dye, nucleus = _nuclei(density, 0.3 * np.pi * radius**2)
    labels = _cells(density, dye, nucleus, radius)
    nucleus &= labels > 0
    if factor < 1:
        labels = cv2.resize(labels.astype(np.float32), (width, height), interpolation=cv2.INTER_NEAREST)
        nucleus = cv2.resize(nucleus.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) > 0.5
        labels = labels.astype(np.int32)
    return nucleus, labels


def _resized(pixels: np.ndarray, factor: float) -> np.ndarray:
    """Reduce an image by averaging; the image itself for a factor of 1."""
    if factor >= 1:
        return pixels
    size = max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _cells(density: np.ndarray, dye: np.ndarray, nucleus: np.ndarray, radius: float) -> np.ndarray:
    """Split nuclei that touch and grow each into its cytoplasm: int32 labels."""
    depth = cv2.distanceTransform(nucleus.astype(np.uint8), cv2.DIST_L2, 5)
    smooth = cv2.GaussianBlur(depth, (0, 0), max(1.0, radius / 4))
    window = 2 * max(1, round(0.8 * radius)) + 1
    peak = (smooth >= cv2.dilate(smooth, np.ones((window, window), np.uint8))) & (depth > 0.4 * radius)
    markers = cv2.connectedComponents(peak.astype(np.uint8))[1].astype(np.int32)
    away = cv2.distanceTransform((~nucleus).astype(np.uint8), cv2.DIST_L2, 5)
    coloured = cv2.GaussianBlur(dye, (0, 0), 1) > max(0.04, 0.25 * float(np.median(dye[nucleus])))
    ground = coloured & (away < 1.0 * radius) | nucleus
    outside = int(markers.max()) + 1
    markers[~ground] = outside
    relief = np.clip(255 - smooth * 255 / max(smooth.max(), 1e-6), 0, 255)
    relief[~nucleus] = 255
    flooded = cv2.watershed(np.dstack([relief.astype(np.uint8)] * 3), markers.copy())
    flooded[(flooded < 0) | (flooded == outside)] = 0
    # cv2.watershed draws its lines, and a frame, as -1: give them back to the cell beside them.
    flooded = np.where((flooded == 0) & ground, cv2.dilate(flooded.astype(np.float32), np.ones((3, 3))), flooded)
    return flooded.astype(np.int32)

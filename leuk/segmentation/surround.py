"""What lies around a field: the black beyond an eyepiece's circle, and frames.

A camera held to an eyepiece sees a bright circle in black, and pictures taken from slides and papers have frames. To
whatever learns an image's colours from that image, such a surround is the densest stain in it.
"""

from __future__ import annotations

import cv2
import numpy as np

from leuk.image import reduced
from leuk.segmentation.default import LOOK
from leuk.segmentation.stain import otsu

DARK, DIM = 0.25, 0.7
"""Brightness relative to the field's, below which all is black, and below which the edge of the black is blurred."""
LEAST_EDGE = 0.04
"""Share of the image's edge that a black surround takes at least; no cell is black, and few are as long."""
RIM = 0.02
"""Largest width of that blurred edge, relative to the image's shorter side."""
WHITE = 250
"""Level of all channels from which a pixel is white."""
LEAST_AROUND, LEAST_FIELD = 0.05, 0.5
"""Shares of the image that a white surround, and the field in it, take at least."""
WHOLE = 0.97
"""Share of its own convex hull that such a field takes at least."""


def find_surround(pixels: np.ndarray) -> np.ndarray | None:
    """Find what lies around a field.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).

    Returns
    -------
    numpy.ndarray or None
        bool, (H, W): black regions at the image's edge with their blurred rim, and white around a field without
        dents; None if there is neither, or nothing else.
    """
    height, width = pixels.shape[:2]
    look = reduced(pixels, min(1.0, LOOK / max(height, width)))
    surround = _black(look.max(axis=2)) | _white(look.min(axis=2))
    # Lines that the look mixes with the field's count as surround.
    surround = cv2.dilate(surround.astype(np.uint8), np.ones((3, 3), np.uint8))
    if not surround.any() or surround.all():
        return None
    return cv2.resize(surround, (width, height), interpolation=cv2.INTER_NEAREST) > 0


def _black(value: np.ndarray) -> np.ndarray:
    """Mark black regions at the edge, with their blurred rim, by brightness, uint8 (h, w): bool, (h, w)."""
    light = float(np.percentile(value, 95))
    count, labels = cv2.connectedComponents((value < DARK * light).astype(np.uint8), connectivity=4)
    edge = np.concatenate([labels[0], labels[-1], labels[1:-1, 0], labels[1:-1, -1]])
    long = np.bincount(edge, minlength=count) >= LEAST_EDGE * len(edge)
    long[0] = False
    black = long[labels]
    reach = 2 * max(2, round(RIM * min(value.shape))) + 1
    rim = cv2.dilate(black.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))) > 0
    return black | (rim & (value < DIM * light))


def _white(value: np.ndarray) -> np.ndarray:
    """Mark the white around a field without dents, by the least channel, uint8 (h, w): bool, (h, w).

    A field's own background can be as white, but what is left without it has dents, or is small.
    """
    nothing = np.zeros(value.shape, bool)
    white = value >= WHITE
    labels, stats = cv2.connectedComponentsWithStats((~white).astype(np.uint8), connectivity=8)[1:3]
    if len(stats) < 2:
        return nothing
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    outline = cv2.findContours((labels == largest).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    field = cv2.fillPoly(np.zeros(value.shape, np.uint8), outline, 1)
    hull = cv2.fillPoly(np.zeros(value.shape, np.uint8), [cv2.convexHull(np.concatenate(outline))], 1)
    if field.sum() < LEAST_FIELD * field.size or field.sum() < WHOLE * hull.sum():
        return nothing
    around = white & (hull == 0)
    return around if around.mean() >= LEAST_AROUND else nothing


def covered(pixels: np.ndarray, surround: np.ndarray) -> np.ndarray:
    """Put a field's own background where its surround is.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).
    surround : numpy.ndarray
        bool, (H, W), as `find_surround` returns it.

    Returns
    -------
    numpy.ndarray
        RGB, uint8, (H, W, 3).
    """
    return np.where(surround[..., None], _background(pixels[~surround]), pixels)


def _background(seen: np.ndarray) -> np.ndarray:
    """Return the typical colour of the brighter part of a field's pixels (N, 3): uint8, (3,)."""
    green = seen[:, 1]
    bright = green >= otsu(green.astype(np.float32), 0.0, 255.0)
    return np.median(seen[bright] if bright.any() else seen, axis=0).astype(np.uint8)

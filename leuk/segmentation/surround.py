"""What lies around a field: the black beyond an eyepiece's circle, and frames of any plain colour.

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
PLAIN, RINGING = 3, 24
"""Levels by which the pixels of a plain frame differ from its colour at most, and where JPEG draws the field's edge
into it."""
LEAST_WIDTH, MOST_WIDTH = 0.015, 0.4
"""Width of a plain frame on one side, relative to the image's side across it."""
MOST_FRAMES = 3
"""Frames within one another that are looked for."""
ALIKE, NEARLY = 0.98, 0.9
"""Shares of a line of a frame, and of one that JPEG draws into, that are of its colour at least."""
EDGE, BEYOND = 2, 0.3
"""How many lines further the field has begun, and the share of a line that is of the frame's colour there at most. A
cell in a ground as plain as a frame begins as narrow as it is round."""

SMOOTHED, FADING = 1.5, 0.1
"""Pixels over which a field's last colours are averaged, and how far they fade into its background beyond, relative to
the image's shorter side."""
FILLED = 1024
"""Longer side in pixels at which that is done; what comes of it is smooth."""
LEAST_ENDS = 0.05
"""Share of the image that a field takes at least to be continued so: a spot's colours are no field's."""


def find_surround(pixels: np.ndarray) -> np.ndarray | None:
    """Find what lies around a field.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).

    Returns
    -------
    numpy.ndarray or None
        bool, (H, W): black regions at the image's edge with their blurred rim, white around a field without dents, and
        lines of one plain colour along the edges; None if there is none of these, or nothing else.
    """
    height, width = pixels.shape[:2]
    look = reduced(pixels, min(1.0, LOOK / max(height, width)))
    surround = _black(look.max(axis=2)) | _white(look.min(axis=2))
    # Lines that the look mixes with the field's count as surround.
    surround = cv2.dilate(surround.astype(np.uint8), np.ones((3, 3), np.uint8))
    whole = cv2.resize(surround, (width, height), interpolation=cv2.INTER_NEAREST) > 0
    top, left, bottom, right = _frames(pixels)
    whole[:top] = whole[height - bottom :] = True
    whole[:, :left] = whole[:, width - right :] = True
    return whole if whole.any() and not whole.all() else None


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


def _frames(pixels: np.ndarray) -> tuple[int, int, int, int]:
    """Return how many lines of RGB uint8 (h, w, 3) frames take, one within the other: top, left, bottom, right.

    A window's bar of one colour hides that the margin below it, of another, is a frame.
    """
    height, width = pixels.shape[:2]
    top = left = bottom = right = 0
    for _ in range(MOST_FRAMES):
        # As `numpy.rot90` turns them up, the sides come in this order.
        up, turned, down, far = _frame(pixels[top : height - bottom, left : width - right])
        top, right, bottom, left = top + up, right + turned, bottom + down, left + far
        if not up + turned + down + far:
            break
    return top, left, bottom, right


def _frame(pixels: np.ndarray) -> list[int]:
    """Return how many lines of RGB uint8 (h, w, 3) are a plain frame's: by side, as `numpy.rot90` turns it up."""
    turned = [np.rot90(pixels, side) for side in range(4)]
    colours = [np.median(rows[0], axis=0) for rows in turned]
    plain = [_lines(rows, colour, PLAIN, ALIKE) for rows, colour in zip(turned, colours, strict=True)]
    if any(lines > MOST_WIDTH * len(rows) for lines, rows in zip(plain, turned, strict=True)):
        return [0, 0, 0, 0]  # what is left is a spot, and no field
    found = []
    for side, (rows, colour) in enumerate(zip(turned, colours, strict=True)):
        # What is left between the frame's other sides.
        left, right = plain[(side - 1) % 4], plain[(side + 1) % 4]
        between = rows[:, left : rows.shape[1] - right]
        found.append(0)
        if plain[side] < max(3, LEAST_WIDTH * len(rows)) or not between.size:
            continue
        for levels, share in ((RINGING, NEARLY), (PLAIN, ALIKE)):
            lines = _lines(between, colour, levels, share)
            beyond = between[lines : lines + EDGE + 1]
            if len(beyond) > EDGE and _alike(beyond[EDGE], colour, levels) <= BEYOND:
                found[side] = lines
                break
    return found


def _lines(rows: np.ndarray, colour: np.ndarray, levels: int, share: float) -> int:
    """Return how many rows from above are of a colour."""
    return next((n for n, row in enumerate(rows) if _alike(row, colour, levels) < share), len(rows))


def _alike(row: np.ndarray, colour: np.ndarray, levels: int) -> float:
    """Return the share of a row's pixels, (w, 3), that differ from a colour by so many levels at most."""
    return float((np.abs(row.astype(np.float32) - colour).max(axis=1) <= levels).mean())


def covered(pixels: np.ndarray, surround: np.ndarray) -> np.ndarray:
    """Put a field's own background where its surround is, beginning with the colours that the field ends with.

    An edge between field and background would be the sharpest line in the picture, along which outlines leak.

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
    height, width = surround.shape
    background = _background(pixels[~surround])
    if (~surround).mean() < LEAST_ENDS:
        return np.where(surround[..., None], background, pixels)
    factor = min(1.0, FILLED / max(height, width))
    look = reduced(pixels, factor)
    hidden = cv2.resize(surround.astype(np.uint8), look.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    field = hidden == 0
    weight = cv2.GaussianBlur(field.astype(np.float32), (0, 0), SMOOTHED)[..., None]
    smooth = cv2.GaussianBlur(np.where(field[..., None], look, 0).astype(np.float32), (0, 0), SMOOTHED)
    smooth = smooth / np.maximum(weight, 1e-3)
    distance, nearest = cv2.distanceTransformWithLabels(hidden, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    places = np.zeros(int(nearest.max()) + 1, np.int64)
    places[nearest[field]] = np.flatnonzero(field)
    ends = smooth.reshape(-1, 3)[places[nearest]]
    share = np.exp(-distance / (FADING * min(field.shape)))[..., None]
    fill = (share * ends + (1 - share) * background + 0.5).astype(np.uint8)
    if factor < 1:
        fill = cv2.resize(fill, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.where(surround[..., None], fill, pixels)


def _background(seen: np.ndarray) -> np.ndarray:
    """Return the typical colour of the brighter part of a field's pixels (N, 3): uint8, (3,)."""
    green = seen[:, 1]
    bright = green >= otsu(green.astype(np.float32), 0.0, 255.0)
    return np.median(seen[bright] if bright.any() else seen, axis=0).astype(np.uint8)

"""Scale bars and lettering that cameras burn into a photograph, and arrows and rings that its users draw there.

Drawn in black or a pure colour, they are denser and more vivid than anything that stains: to whatever learns an image's
colours from that image a black bar is the darkest dye in it, and a network that never saw one calls the field foreign.
White ones pass for background.
"""

from __future__ import annotations

import cv2
import numpy as np

from leuk.segmentation.instances import greatest

LONGEST = 2600
"""Longer side in pixels to which an image is reduced for the search."""
DARK, NEUTRAL = 0.25, 0.16
"""Brightness relative to the field's below which ink is black, and largest difference of its channels likewise; the
darkest nuclei have 0.36."""
LOW, HIGH = 60, 195
"""Levels between which no channel of a pure colour lies: red, green, yellow, cyan, magenta. Blue are nuclei, too."""
MARK, SOLID = 0.06, 0.12
"""Length of the shortest mark and width that no part of one reaches, relative to the image's shorter side. Marks may be
anywhere, so they have to be in red, green, yellow or cyan, or a stroke of black: strongly stained nuclei come close to
blue and magenta, and dirt is black, too."""
STROKE = 0.3
"""Width of the widest part of a black mark relative to its length, at most."""
NEARLY, SOFTER, REST = 0.3, 40, 0.1
"""In underexposed or oversaturated pictures stain is black or pure, too, but then much else nearly is: as dark relative
to the field's brightness, or with channels so much nearer to each other. Beside a mark it may take this share of it."""
THICK = 0.03
"""Width relative to the image's shorter side that no stroke reaches, while dirt, pigment and dark surrounds do."""
BAR, SLENDER = 0.04, 2.5
"""Length of the shortest bar relative to the image's width, and of one without end marks to its height, at least."""
MARGIN = 0.25
"""Share of the height along the edges above and below in which bars and lettering stand."""
LEAST_LETTER = 5
"""Height of the lowest letter, pixels."""
LETTERS = 3
"""Number of letters in a line that are lettering without a bar."""
FULL = 0.45
"""Width of the widest stroke of a letter, or of a bar with end marks, relative to its height, at most."""
MIXED, OFF = 0.3, 0.12
"""Share of ink in a pixel from which it is part of a thin stroke, and how far its colour may lie beside the line from
the ground's to the ink's, relative to that line."""


def find_lettering(pixels: np.ndarray) -> np.ndarray | None:
    """Find scale bars, lettering and marks.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).

    Returns
    -------
    numpy.ndarray or None
        bool, (H, W): strokes of bars, of letters beside one or at least `LETTERS` in a line, and of marks, with their
        blurred edges; None if there are none.
    """
    height, width = pixels.shape[:2]
    factor = min(1.0, LONGEST / max(height, width))
    look = pixels
    if factor < 1:
        look = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    thick = max(4, round(THICK * min(look.shape[:2])))
    ink, (black, *colours) = _inks(look)
    if not ink.any():
        return None
    strokes = _thin(ink, thick)
    # A camera can be mounted sideways, and a picture turned.
    written = _drawn(strokes, thick) | _drawn(strokes.T, thick).T
    # The black around a field is none of it.
    drawn = [written, _alone(_marks(black[0], STROKE), _off_the_edge(black[1]), written)]
    drawn += [_alone(_marks(pure), nearly, written) for pure, nearly in colours]
    drawn = [_with_faint_strokes(one, look) for one in drawn if one.any()]
    if not drawn:
        return None
    kept = np.bitwise_or.reduce(drawn)
    # Blur and compression spread ink by a part of its width, and by a pixel or two at least.
    reach = 2 * max(2, round(0.3 * _width(kept))) + 1
    kept = cv2.dilate(kept, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    return cv2.resize(kept, (width, height), interpolation=cv2.INTER_NEAREST) > 0


def _inks(pixels: np.ndarray) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Mark all ink, and of each kind what is ink and what nearly is: black, then red, green, yellow, cyan if there.

    Masks are uint8, (h, w), 0 or 1.
    """
    # OpenCV's extremes, not NumPy's over the last axis: these would take half a second of five megapixels.
    channels = cv2.split(pixels)
    most = cv2.max(cv2.max(channels[0], channels[1]), channels[2])
    least = cv2.min(cv2.min(channels[0], channels[1]), channels[2])
    light = float(np.percentile(most[:: max(1, len(most) // 500)], 95))
    black = (most < DARK * light) & (cv2.subtract(most, least) < NEUTRAL * light)
    kinds = [(black.astype(np.uint8), (most < NEARLY * light).astype(np.uint8))]
    pure = (least < LOW) & (most > HIGH) & (cv2.max(channels[0], channels[1]) >= LOW)
    if not pure.any():
        return kinds[0][0], kinds
    for channel in channels:
        pure &= (channel < LOW) | (channel > HIGH)
    for parts in ((1, 0, 0), (0, 1, 0), (1, 1, 0), (0, 1, 1)):
        colour, nearly = pure.copy(), np.ones_like(pure)
        for channel, high in zip(channels, parts, strict=True):
            colour &= channel > HIGH if high else channel < LOW
            nearly &= channel > HIGH - SOFTER if high else channel < LOW + SOFTER
        if colour.any():
            kinds.append((colour.astype(np.uint8), nearly.astype(np.uint8)))
    return (black | pure).astype(np.uint8), kinds


def _marks(ink: np.ndarray, full: float | None = None) -> np.ndarray:
    """Keep the parts of a mask that are long and slim enough for a mark, and no wider than `full` times their length.

    The mask and what is returned are uint8, (h, w).
    """
    if not ink.any():
        return ink
    short, bridge = min(ink.shape), 5  # compression breaks thin lines
    spread = cv2.dilate(ink, np.ones((bridge, bridge), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(spread, connectivity=8)
    long = np.maximum(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]) - (bridge - 1)
    width = max(3, round(SOLID * short))
    kept = long >= MARK * short
    kept[labels[cv2.erode(ink, np.ones((width, width), np.uint8)) > 0]] = False
    labels *= ink
    if full is not None:
        kept &= 2 * greatest(cv2.distanceTransform(ink, cv2.DIST_L2, 3), labels, count - 1) <= full * long
    kept[0] = False
    return kept[labels].astype(np.uint8)


def _alone(marks: np.ndarray, nearly: np.ndarray, written: np.ndarray) -> np.ndarray:
    """Return marks, or none if beside them and lettering much is nearly of their kind."""
    if not marks.any():
        return marks
    beside = (nearly > 0) & (cv2.dilate(marks | written, np.ones((9, 9), np.uint8)) == 0)
    return marks if np.count_nonzero(beside) <= REST * np.count_nonzero(marks) else np.zeros_like(marks)


def _off_the_edge(mask: np.ndarray) -> np.ndarray:
    """Leave out the connected parts of a mask that touch the picture's edge."""
    labels = cv2.connectedComponents(mask, connectivity=8)[1]
    edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    return np.where(np.isin(labels, edge[edge > 0]), np.uint8(0), mask)


def _thin(ink: np.ndarray, thick: int) -> np.ndarray:
    """Leave out the connected parts of a mask that are as wide as `thick` somewhere."""
    if not ink.any():
        return ink
    labels = cv2.connectedComponents(ink, connectivity=8)[1]
    wide = np.unique(labels[cv2.erode(ink, np.ones((thick, thick), np.uint8)) > 0])
    return (ink > 0) & ~np.isin(labels, wide)


def _drawn(strokes: np.ndarray, thick: int) -> np.ndarray:
    """Keep bars that lie along the rows, letters beside one, and letters in a line: uint8, (h, w)."""
    height, width = strokes.shape
    strokes = strokes.astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(strokes, connectivity=8)
    wide, high = stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]
    widest = 2 * greatest(cv2.distanceTransform(strokes, cv2.DIST_L2, 3), labels, count - 1)
    least = max(12, round(BAR * width))
    straight = cv2.morphologyEx(strokes, cv2.MORPH_OPEN, np.ones((1, least), np.uint8))
    slender = (wide >= SLENDER * high) | ((wide >= high) & (widest <= FULL * high))
    bar = np.isin(np.arange(count), labels[straight > 0]) & slender
    # Dark nuclei can lie in a row, too, but letters are strokes and nuclei are full.
    letter = ~bar & (high >= LEAST_LETTER) & (high <= 0.1 * height) & (wide <= 2 * high) & (widest <= FULL * high)
    bar[0] = letter[0] = False
    # Letters of one line lie closer together than they are high, and close to their bar.
    tall = float(np.median(high[letter])) if letter.any() else 0.0
    reach = 2 * max(thick, round(tall)) + 1
    near = np.where((bar | letter)[labels], np.uint8(1), np.uint8(0))
    groups = cv2.connectedComponents(cv2.dilate(near, np.ones((reach, reach), np.uint8)), connectivity=8)[1]
    group = np.zeros(count, np.int32)
    group[labels.ravel()] = groups.ravel()
    kept = np.zeros(count, dtype=bool)
    # Dots and the parts of broken letters go along.
    size = max(LEAST_LETTER, tall)
    small = (high < size) & (widest <= FULL * size)
    middle = stats[:, cv2.CC_STAT_TOP] + high / 2
    group[0] = 0
    for one in np.unique(group[bar | letter]):
        here = group == one
        if MARGIN * height < np.median(middle[here & (bar | letter)]) < (1 - MARGIN) * height:
            continue
        if (bar & here).any() or _in_a_line(stats[letter & here]):
            kept |= here & (bar | letter | small)
    return kept[labels].astype(np.uint8)


def _in_a_line(stats: np.ndarray) -> bool:
    """Tell whether at least `LETTERS` boxes, as OpenCV gives them, are alike in height and stand on one line."""
    top, high = stats[:, cv2.CC_STAT_TOP], stats[:, cv2.CC_STAT_HEIGHT]
    for foot, tall in zip(top + high, high, strict=True):
        if np.count_nonzero((abs(top + high - foot) <= 0.25 * tall) & (abs(high - tall) <= 0.35 * tall)) >= LETTERS:
            return True
    return False


def _with_faint_strokes(kept: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Add to strokes in a pure colour what is mixed of it and the ground near by: thin letters are nothing else.

    Of black this would take red cells and nuclei along, and its thin letters are black enough to be found.
    """
    rows, columns = np.flatnonzero(kept.any(axis=1)), np.flatnonzero(kept.any(axis=0))
    reach = max(rows[-1] - rows[0], columns[-1] - columns[0]) // 2 + 8
    box = np.s_[max(0, rows[0] - reach) : rows[-1] + reach, max(0, columns[0] - reach) : columns[-1] + reach]
    seen, found = pixels[box].astype(np.float32), kept[box] > 0
    ink, ground = np.median(seen[found], axis=0), np.median(seen[~found], axis=0)
    if ink.max() - ink.min() < HIGH - LOW:
        return kept
    toward = ink - ground
    share = (seen - ground) @ toward / (toward @ toward)
    off = np.linalg.norm(seen - ground - share[..., None] * toward, axis=2) / np.linalg.norm(toward)
    mixed = kept.copy()
    mixed[box] |= ((share > MIXED) & (off < OFF)).astype(np.uint8)
    return mixed


def _width(strokes: np.ndarray) -> float:
    """Return the width of the widest stroke, pixels."""
    return 2 * float(cv2.distanceTransform(strokes, cv2.DIST_L2, 3).max())


def without(pixels: np.ndarray, lettering: np.ndarray) -> np.ndarray:
    """Draw the colours around over lettering.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).
    lettering : numpy.ndarray
        bool, (H, W), as `find_lettering` returns it.

    Returns
    -------
    numpy.ndarray
        RGB, uint8, (H, W, 3), a copy.

    References
    ----------
    A. Telea, "An image inpainting technique based on the fast marching method", J Graph Tools 9 (2004).
    """
    rows, columns = np.flatnonzero(lettering.any(axis=1)), np.flatnonzero(lettering.any(axis=0))
    edge = 8
    box = np.s_[max(0, rows[0] - edge) : rows[-1] + edge, max(0, columns[0] - edge) : columns[-1] + edge]
    clean = pixels.copy()
    clean[box] = cv2.inpaint(np.ascontiguousarray(pixels[box]), lettering[box].astype(np.uint8), 5, cv2.INPAINT_TELEA)
    return clean

"""What closed paths take for white cells and is not one: the lobes of a segmented nucleus, and platelets.

Where cytoplasm hardly differs from its surroundings, closed paths run around the lobes instead of the cell. The bundled
segmenter, which knows what granulocytes look like, is asked about such neighbours, and about these only: blasts that
touch it would join as readily, but they fill their outlines and are of one size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.segmentation import expand_labels

from leuk.segmentation import instances
from leuk.segmentation.network import (
    LARGEST_FACTOR,
    brought,
    light_of,
    nearest,
    predict,
    resized,
    separate,
    typical_diameter,
)

if TYPE_CHECKING:
    from leuk.segmentation.unet import Segmenter

SMALL = 30.0
"""Diameter in pixels to which cells are brought here: less than for outlines, for speed."""
COARSE = 20.0
"""The same for finding neighbours."""
REACH = 0.25
"""Gap between two outlines, in cell diameters, up to which they may be of one cell."""
FILLED = 0.62
"""N:C ratio above which two equal neighbours are two blasts rather than two lobes."""
UNEQUAL = 0.45
"""Ratio of the smaller nucleus to the larger below which neighbours are parts of one whatever their N:C ratio."""
WHOLE, MANY = 1.6, 8
"""How many times the median nucleus's area two lobes may have together, in a field of so many cells or more."""
INSIDE = 0.7
"""Share of each nucleus that must lie in the same redrawn cell."""
PLATELET = 0.4
"""Diameter below which, relative to the other cells' median, a whole cell is none: the largest platelets measure some
4 µm, the smallest lymphocytes 7, and white cells together 12 to 15."""
LOOK = 640
"""Longer side in pixels of the image in which density's mean and spread are measured."""


def join_lobes(
    network: Callable[[], Segmenter], pixels: np.ndarray, nucleus: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Join cells that are parts of one.

    Parameters
    ----------
    network : callable
        Gives the segmenter; called only if there is something to ask it.
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).
    nucleus : numpy.ndarray
        bool, (H, W).
    labels : numpy.ndarray
        int32, (H, W): whole cells, 0 outside.

    Returns
    -------
    numpy.ndarray
        int32, (H, W): labels, gaps allowed. A joined cell also covers what the segmenter draws between its parts.
    """
    diameter = typical_diameter(labels)
    if diameter is None:
        return labels
    areas = np.bincount(labels.ravel()).astype(float)
    inner = np.bincount(labels[nucleus], minlength=len(areas)).astype(float)
    nuclei = inner[1:][inner[1:] > 0]
    # Lobes together are as large as the nucleus of another cell.
    most = WHOLE * float(np.median(nuclei)) if len(nuclei) >= MANY else np.inf
    pairs = [
        (a, b)
        for a, b in _neighbours(labels, diameter)
        if inner[a] + inner[b] < most
        and ((inner[a] + inner[b]) / (areas[a] + areas[b]) < FILLED + 0.05 or _unequal(inner[a], inner[b]))
    ]
    if not pairs:
        return labels
    segmenter = network()
    light = light_of(resized(pixels, min(1.0, LOOK / max(pixels.shape[:2]))))
    boxes = ndimage.find_objects(labels)
    joined = labels.copy()
    parent = np.arange(len(areas))
    for a, b in pairs:
        frame = _frame(boxes[a - 1], boxes[b - 1], 0.75 * diameter)
        mine, dyed, cut = labels[frame], nucleus[frame], np.ascontiguousarray(pixels[frame])
        factor = min(LARGEST_FACTOR, SMALL / diameter)
        sketch = np.dstack([dyed, mine > 0]).astype(np.uint8) * 255
        maps = predict(segmenter, resized(cut, factor), resized(sketch, factor), light)
        drawn = brought(separate(maps)[1], mine.shape)
        home = _home(drawn[dyed & (mine == a)])
        if not home or home != _home(drawn[dyed & (mine == b)]):
            continue
        whole = (drawn == home) | (mine == a) | (mine == b)
        if (inner[a] + inner[b]) / whole.sum() > FILLED and not _unequal(inner[a], inner[b]):
            continue
        parent[parent == parent[b]] = parent[a]
        here = joined[frame]
        here[whole & (here == 0)] = a
    return parent[joined].astype(np.int32)


def without_platelets(labels: np.ndarray) -> np.ndarray:
    """Drop what lies whole in the image and is far smaller than the other cells.

    Parameters
    ----------
    labels : numpy.ndarray
        int32, (H, W): whole cells, 0 outside, gaps allowed.

    Returns
    -------
    numpy.ndarray
        int32, (H, W), gaps allowed. All is kept where there is nothing whole to compare with.
    """
    areas = np.bincount(labels.ravel()).astype(float)
    areas[0] = 0
    cut = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    areas[cut] = 0
    whole = np.flatnonzero(areas)
    if len(whole) < 2:
        return labels
    small = [one for one in whole if areas[one] < PLATELET**2 * np.median(areas[whole[whole != one]])]
    return np.where(np.isin(labels, small), 0, labels) if small else labels


def _unequal(one: float, other: float) -> bool:
    return bool(min(one, other) < UNEQUAL * max(one, other))


def _neighbours(labels: np.ndarray, diameter: float) -> list[tuple[int, int]]:
    """Return the pairs of labels with a gap of no more than `REACH` between them."""
    height, width = labels.shape
    factor = min(1.0, COARSE / diameter)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    small = nearest(labels, size)
    wide = expand_labels(small, REACH / 2 * diameter * factor)
    return sorted(instances.saddles(wide, np.ones(wide.shape, np.float32)))


def _frame(one: tuple[slice, slice], other: tuple[slice, slice], margin: float) -> tuple[slice, slice]:
    """Return the box around two boxes, widened by a margin."""
    return tuple(  # type: ignore[return-value]
        slice(max(0, round(min(a.start, b.start) - margin)), round(max(a.stop, b.stop) + margin))
        for a, b in zip(one, other, strict=True)
    )


def _home(drawn: np.ndarray) -> int:
    """Return the label that most of a nucleus lies in, 0 if there is none."""
    counts = np.bincount(drawn)
    best = int(counts.argmax()) if len(counts) else 0
    return best if best and counts[best] > INSIDE * counts.sum() else 0

"""What every network is given: the field at the training scale, with the corner that may hold a scale bar hidden."""

from __future__ import annotations

import numpy as np

# The bars burnt into the Taleqani fields (224 x 224) begin at x 193 and y 194; their style follows the class.
CORNER_X = 191 / 224
CORNER_Y = 192 / 224


def hide_corner(pixels: np.ndarray) -> np.ndarray:
    """Cover the bottom-right corner of a field, where scale bars are burnt in, with the strip above it, mirrored.

    Every field is treated alike, with a bar or without, so that neither the bar nor its absence can be learnt.

    Parameters
    ----------
    pixels : numpy.ndarray
        uint8, (H, W, 3).

    Returns
    -------
    numpy.ndarray
        A copy, same shape and dtype.
    """
    height, width = pixels.shape[:2]
    y0, x0 = round(height * CORNER_Y), round(width * CORNER_X)
    covered = pixels.copy()
    rows = height - y0
    if rows and rows <= y0 and x0 < width:
        covered[y0:, x0:] = pixels[y0 - rows : y0, x0:][::-1]
    return covered

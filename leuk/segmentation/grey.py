"""Photographs without colour: what is much denser than red cells is tinted as dye would tint it."""

from __future__ import annotations

import numpy as np

from leuk.image import reduced, without_colour
from leuk.segmentation.default import LOOK
from leuk.segmentation.recipes import kmeans_1d
from leuk.segmentation.stain import white_point

DENSER = 2.3
"""How many times the density of red cells that of nuclei is at least; where less, grey does not tell them apart."""
TINT = 0.8
"""Share of the light taken up that is given back to blue."""


def tint(pixels: np.ndarray) -> np.ndarray | None:
    """Tint the nuclei of a picture without colour.

    Its levels are sorted into background, red cells and nuclei; blue is raised where a pixel is as dark as the last.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).

    Returns
    -------
    numpy.ndarray or None
        RGB, uint8, (H, W, 3); None if the picture has colour, or its densities do not part.
    """
    look = reduced(pixels, min(1.0, LOOK / max(pixels.shape[:2])))
    if not without_colour(look):
        return None
    white = float(white_point(look)[1])
    _, levels = kmeans_1d(np.bincount(look[..., 1].ravel(), minlength=256), 3)
    if len(levels) < 3:
        return None
    dark, red = (np.log10(white / max(float(level), 6.0)) for level in levels[:2])
    if dark < DENSER * max(red, 0.01):
        return None
    middle, width = float(levels[:2].mean()), max(1.0, 0.1 * float(levels[1] - levels[0]))
    steps = np.arange(256, dtype=np.float64)
    share = TINT / (1 + np.exp(np.clip((steps - middle) / width, -30, 30)))
    blue = np.clip(steps + share * np.maximum(white - steps, 0) + 0.5, 0, 255).astype(np.uint8)
    return np.dstack([pixels[..., :2], blue[pixels[..., 2]]])

"""Light that falls off towards an edge or a corner, as from a lamp out of centre or an objective's rim.

Whatever is learnt from an image's colours takes a dark corner for stain. Real fields of the data at hand are lit
evenly to a tenth; what is far from that, and smooth, is light.
"""

from __future__ import annotations

import cv2
import numpy as np

from leuk.image import reduced
from leuk.segmentation.default import LOOK

TILES = 8
"""Parts along each side, of each of which the brighter pixels are taken for background."""
BRIGHTER = 85
"""Percentile of a part's green that stands for its background."""
DARKER, NEAR = 0.03, 0.06
"""Difference of logarithms below the surface from which a part counts less, and within which it lies on it."""
LEAST_FALL = 1.3
"""Ratio of the brightest to the darkest place from which light counts as uneven."""
LEAST_NEAR = 0.5
"""Share of the parts that lie on the surface at least; where cells fill most, their green says nothing of light."""
ROUNDS = 10


def find_illumination(pixels: np.ndarray, surround: np.ndarray | None = None) -> np.ndarray | None:
    """Find how the light varies over a field.

    A surface of the second degree is fitted to the logarithm of the background, parts darker than it counting less
    and less.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).
    surround : numpy.ndarray, optional
        bool, (H, W): what does not belong to the field, as `find_surround` returns it.

    Returns
    -------
    numpy.ndarray or None
        float32, (H, W), 1 where the field is brightest, above 0; None if the light is even, or can't be told from
        what it shines on.

    References
    ----------
    B. Likar et al., "Retrospective shading correction based on entropy minimization", J. Microsc. 197 (2000), for
    polynomials of the second degree as models of shading.
    """
    height, width = pixels.shape[:2]
    reduction = min(1.0, LOOK / max(height, width))
    green = cv2.GaussianBlur(reduced(pixels, reduction)[..., 1], (0, 0), 1.0)
    if min(green.shape) < TILES:
        return None
    outside = np.zeros(green.shape, bool) if surround is None else _shrunk(surround, green.shape)
    places, levels = [], []
    for rows in np.array_split(np.arange(green.shape[0]), TILES):
        for columns in np.array_split(np.arange(green.shape[1]), TILES):
            part = np.ix_(rows, columns)
            inside = green[part][~outside[part]]
            if 2 * inside.size > outside[part].size:
                places.append((rows.mean() / green.shape[0], columns.mean() / green.shape[1]))
                levels.append(np.percentile(inside, BRIGHTER))
    design = _terms(*np.array(places).reshape(-1, 2).T)
    measured = np.log(np.maximum(levels, 6.0))
    if len(measured) < 2 * design.shape[1]:
        return None
    weight = np.ones(len(measured))
    for _ in range(ROUNDS):
        root = np.sqrt(weight)
        factors = np.linalg.lstsq(design * root[:, None], measured * root, rcond=None)[0]
        off = measured - design @ factors
        weight = np.where(off < -DARKER, (DARKER / np.maximum(-off, DARKER)) ** 2, 1.0)
    fitted = design @ factors
    if np.exp(np.ptp(fitted)) < LEAST_FALL or np.mean(np.abs(off) < NEAR) < LEAST_NEAR:
        return None
    # Smooth as it is, the light is laid out at the look's size and enlarged.
    y, x = np.indices(green.shape).reshape(2, -1) / np.array(green.shape)[:, None]
    light = np.exp(np.clip(_terms(y, x) @ factors - fitted.max(), -3.0, 0.0)).reshape(green.shape)
    return cv2.resize(light.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)


def _terms(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the terms of a surface of the second degree at places (N,), 0 … 1: (N, 6)."""
    return np.column_stack([np.ones_like(y), y, x, y * y, y * x, x * x])


def _shrunk(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return cv2.resize(mask.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST) > 0


def evened(pixels: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Show a field as if lit everywhere as where it is brightest.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).
    light : numpy.ndarray
        float32, (H, W), above 0, as `find_illumination` returns it.

    Returns
    -------
    numpy.ndarray
        RGB, uint8, (H, W, 3).
    """
    return np.asarray(cv2.multiply(pixels, cv2.merge([1 / light] * 3), dtype=cv2.CV_8U))

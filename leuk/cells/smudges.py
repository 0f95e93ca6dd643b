"""What tells a smudge from a cell: the shape of its outline, how sharply it ends, and what the networks of types see.

Smudges are nuclei burst and flattened when the smear was made, without a rim of their own. What is measured of the rim
is measured against the cell's inside, so that neither a soft photograph nor a pale stain passes for one.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from leuk.cells.crops import Crops
from leuk.segmentation.values import Cell

MORE = 17
"""Measures that `describe` adds to what the networks see."""
_RIM = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
_CORE = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
_FAINT = 0.02
"""Optical density added to a mean before it divides: where there is next to no dye, nothing grows beyond bounds."""
_NO_TEXTURE = 0.1
"""Chromatin texture, a usual one, of nuclei too small to have theirs measured."""


def describe(cells: Sequence[Cell], crops: Crops, seen: np.ndarray) -> np.ndarray:
    """Return what a smudge is told by.

    Parameters
    ----------
    cells : sequence of Cell
    crops : Crops
        Of these cells; ``white`` may also be one colour for each, (N, 3).
    seen : numpy.ndarray
        "features" of `leuk.cells.store.run` for these cells, float32 (N, F).

    Returns
    -------
    numpy.ndarray
        float64, (N, F + `MORE`): ``seen``, seven measures of the cell's shape, ten of its rim and inside.
    """
    shapes = [
        (
            cell.solidity,
            cell.circularity,
            cell.nc_ratio,
            cell.eccentricity,
            _NO_TEXTURE if cell.chromatin_texture is None else cell.chromatin_texture,
            cell.indentation or 0.0,
            cell.nucleus_circularity or 0.0,
        )
        for cell in cells
    ]
    white = np.broadcast_to(crops.white, (len(cells), 3))
    rims = [_rim(*one) for one in zip(crops.pixels, crops.masks, white, strict=True)]
    return np.hstack([seen, np.array(shapes).reshape(-1, 7), np.array(rims).reshape(-1, 10)])


def _rim(pixels: np.ndarray, mask: np.ndarray, white: np.ndarray) -> tuple[float, ...]:
    """Measure a crop's rim and inside, by its optical density, the mean of the three channels."""
    table = np.log10(np.maximum(white, 8))[:, None] - np.log10(np.maximum(np.arange(256), 6))
    density = sum(table[i].astype(np.float32)[pixels[..., i]] for i in range(3)) / np.float32(3)
    smooth = cv2.GaussianBlur(density, (0, 0), 1.0)
    slope = np.hypot(*(cv2.Sobel(smooth, cv2.CV_32F, *along, scale=1 / 8) for along in ((1, 0), (0, 1))))
    curvature = cv2.Laplacian(cv2.GaussianBlur(density, (0, 0), 0.8), cv2.CV_32F)
    around = cv2.dilate(mask, _RIM) > 0
    rim = _values(slope, around & (cv2.erode(mask, _RIM) == 0))
    core = cv2.erode(mask, _CORE) > 0
    inside, grain = _values(slope, core), float(_values(curvature, core).std())
    mean = float(_values(density, mask > 0).mean())
    quarter, tenth = np.quantile(rim, (0.25, 0.1))
    beyond = float(_values(density, around & (mask == 0)).mean())
    of = mean + _FAINT
    level = float(np.log(max(of, _FAINT / 2)))
    return (
        float(rim.mean()),
        float(quarter),
        float(tenth),
        float(rim.mean()) / of,
        float(inside.mean()),
        float(inside.mean()) / of,
        grain,
        grain / of,
        level,
        beyond / of,
    )


def _values(picture: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Return a picture's values somewhere, one zero where that is nowhere."""
    found = picture[where]
    return found if found.size else np.zeros(1, np.float32)

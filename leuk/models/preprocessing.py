"""What every network is given: the field with the corner that may hold a scale bar hidden, as its system wants it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import cv2
import numpy as np

from leuk.errors import ModelError

PHOTO_SIDE = 224
"""Side in pixels of the photographs trained on."""
# The bars burnt into them begin at x 193 and y 194; their style follows the class.
CORNER_X = 191 / PHOTO_SIDE
CORNER_Y = 192 / PHOTO_SIDE


CELLS = "cells"
"""Preprocessing of a network that is shown white cells alone, see `leuk.models.cell_reader`."""


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


def _rgb(pixels: np.ndarray) -> np.ndarray:
    return pixels


def _grey(pixels: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None]


def _gabor_kernels() -> tuple[np.ndarray, ...]:
    kernels = []
    for angle in (0, 45, 90, 135):
        kernel = cv2.getGaborKernel((11, 11), 2.5, np.deg2rad(angle), 6.0, 0.6, 0.0, ktype=cv2.CV_32F)
        kernels.append(kernel - kernel.mean())
    return tuple(kernels)


_GABOR = _gabor_kernels()


def edge_map(pixels: np.ndarray) -> np.ndarray:
    """Return the edges of a field: Gabor filters of four orientations, coded by which would fire first, blurred.

    In first-spike coding the stronger a response, the earlier its spike; each pixel keeps its earliest, here as
    brightness, the earliest hundredth of a field's spikes being white.

    Parameters
    ----------
    pixels : numpy.ndarray
        uint8, (H, W, 3), RGB.

    Returns
    -------
    numpy.ndarray
        uint8, (H, W, 1).

    References
    ----------
    A. Noshad and S. Fallahi 2022, doi 10.1080/21681163.2022.2157748, which gives neither wavelengths nor widths.
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    strongest = np.max([np.abs(cv2.filter2D(grey, cv2.CV_32F, kernel)) for kernel in _GABOR], axis=0)
    first = float(np.percentile(strongest, 99))
    coded = np.clip(strongest / max(first, 1.0), 0, 1) * 255
    return np.asarray(cv2.GaussianBlur(coded, (0, 0), 1.0) + 0.5).astype(np.uint8)[..., None]


def segmented(pixels: np.ndarray) -> np.ndarray:
    """Return a field as the data set's "Segmented" images show it: hue, saturation and value inside a fixed window.

    The authors' code reads BGR as if it were RGB and stores HSV triples in BGR order; both are repeated here, so that
    any field gets the twin that the data set's own fields have (up to compression).

    Parameters
    ----------
    pixels : numpy.ndarray
        uint8, (H, W, 3), RGB.

    Returns
    -------
    numpy.ndarray
        uint8, (H, W, 3): value, saturation and hue; 0 outside the window.

    References
    ----------
    M. Ghaderzadeh et al. 2022, doi 10.1002/int.22753.
    """
    hsv = cv2.cvtColor(pixels, cv2.COLOR_BGR2HSV)
    kept = cv2.inRange(hsv, np.array([168, 50, 50]), np.array([182, 255, 255]))
    return np.ascontiguousarray(cv2.bitwise_and(hsv, hsv, mask=kept)[..., ::-1])


def _pair(pixels: np.ndarray) -> np.ndarray:
    return np.concatenate([pixels, segmented(pixels)], axis=2)


def masked(pixels: np.ndarray) -> np.ndarray:
    """Return a field with all but the reddest of seven a*-clusters painted black: the recipe of Resnet152v2ALL."""
    from leuk.segmentation.recipes import lab_kmeans

    return np.where(lab_kmeans(pixels)[0][..., None], pixels, np.uint8(0)).astype(np.uint8)


PREPROCESSINGS: Mapping[str, tuple[Callable[[np.ndarray], np.ndarray], int]] = MappingProxyType(
    {
        "rgb": (_rgb, 3),
        "grey": (_grey, 1),
        "edges": (edge_map, 1),
        "segmented": (segmented, 3),
        "pair": (_pair, 6),
        "a_kmeans": (masked, 3),
        # Its tiles are no fields but single cells, cut out where fields are cut into tiles.
        CELLS: (_rgb, 4),
    }
)
"""By name: the function of a field, uint8 (H, W, 3) to uint8 (H, W, C), and C."""


def shrink(pixels: np.ndarray, size: int) -> np.ndarray:
    """Bring an image of any number of channels to a square of a size: uint8 (size, size, C)."""
    if pixels.shape[:2] == (size, size):
        return pixels
    how = cv2.INTER_AREA if size < pixels.shape[0] else cv2.INTER_LINEAR
    # OpenCV resizes four channels at most.
    parts = [
        cv2.resize(np.ascontiguousarray(pixels[..., i : i + 3]), (size, size), interpolation=how).reshape(
            size, size, -1
        )
        for i in range(0, pixels.shape[2], 3)
    ]
    return np.concatenate(parts, axis=2) if len(parts) > 1 else np.asarray(parts[0], dtype=np.uint8)


def preprocess(tiles: np.ndarray, name: str = "rgb", size: int | None = None) -> np.ndarray:
    """Turn fields, corner hidden, into what a network is given.

    Parameters
    ----------
    tiles : numpy.ndarray
        uint8, (T, S, S, 3), RGB.
    name : str
        One of `PREPROCESSINGS`; carried out at the fields' own size.
    size : int, optional
        Side in pixels of the result; S by default.

    Returns
    -------
    numpy.ndarray
        uint8, (T, size, size, C).

    Raises
    ------
    ModelError
        If there is no such preprocessing.
    """
    if name not in PREPROCESSINGS:
        raise ModelError(f"There is no preprocessing {name!r}; a card must name one of: {', '.join(PREPROCESSINGS)}.")
    if name in ("rgb", CELLS) and size in (None, tiles.shape[1]):
        return tiles
    work = PREPROCESSINGS[name][0]
    return np.stack([shrink(work(tile), size or tiles.shape[1]) for tile in tiles])

"""What the light says about the stain: background, optical density, and a channel in which nuclei stand out."""

from __future__ import annotations

import cv2
import numpy as np


def white_point(pixels: np.ndarray) -> np.ndarray:
    """Estimate the colour of the empty background: the median of the brightest in green, glare left out.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).

    Returns
    -------
    numpy.ndarray
        R, G, B as float32, (3,), 8 … 255.
    """
    green = pixels[:, :, 1]
    low, high = np.percentile(green, [85, 99])
    bright = green >= low
    # Without the brightest, which may be glare, unless they are all there is, as in a picture of a few pixels.
    plain = bright & (green <= high)
    return np.maximum(np.median(pixels[plain if plain.any() else bright], axis=0), 8).astype(np.float32)


def optical_density(pixels: np.ndarray, white: np.ndarray) -> np.ndarray:
    """Optical density relative to the background, by channel.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).
    white : numpy.ndarray
        R, G, B of the background, (3,).

    Returns
    -------
    numpy.ndarray
        float32, (H, W, 3): log10 of background over pixel, 0 where there is nothing. Levels below 6 count as 6, since
        the logarithm of sensor noise says nothing.
    """
    levels = np.maximum(np.arange(256, dtype=np.float32), 6)
    table = (np.log10(white)[None] - np.log10(levels)[:, None]).astype(np.float32)
    return np.dstack([table[:, i][pixels[:, :, i]] for i in range(3)])


def otsu(values: np.ndarray, low: float, high: float) -> float:
    """Otsu's threshold between two classes of values, from a histogram of 256 bins over low … high.

    For values that all fall into one bin there are no two classes; the threshold is then the upper edge of that bin.
    """
    counts, edges = np.histogram(values, bins=256, range=(low, high))
    weight = np.cumsum(counts, dtype=np.float64)
    total = np.cumsum(counts * (edges[:-1] + edges[1:]) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (total[-1] * weight / weight[-1] - total) ** 2 / (weight * (weight[-1] - weight))
    if not np.isfinite(between).any():
        used = np.flatnonzero(counts)
        return float(edges[used[-1] + 1]) if len(used) else high
    between[~np.isfinite(between)] = -1
    return float(edges[int(between.argmax()) + 1])


def red_weight(density: np.ndarray) -> float:
    """Decide how much of the red channel the dye channel needs to hide this slide's red cells.

    Where red cells are pink or tan they absorb little red, and green minus blue hides them. On slides and cameras that
    show them grey or blue they absorb red as much as green; then green minus red hides them better.

    Parameters
    ----------
    density : numpy.ndarray
        Optical density, float32, (H, W, 3).

    Returns
    -------
    float
        0 (leave red out) … 1 (as much as blue); 0 where no red cells are seen.
    """
    red, green, blue = (density[:, :, i] for i in range(3))
    both = 2 * green - red - blue
    nuclei = both > max(0.1, otsu(both, -0.2, 2.0))
    away = cv2.dilate(nuclei.astype(np.uint8), np.ones((5, 5), np.uint8)) == 0
    strongest = np.maximum(red, green)
    if np.count_nonzero(away) < 100:
        return 0.0
    cells = away & (strongest > max(0.03, otsu(strongest[away], 0.0, 1.0)))
    if np.count_nonzero(cells) < 0.01 * cells.size:
        return 0.0
    ratio = float(np.median(red[cells])) / max(float(np.median(green[cells])), 0.01)
    return float(np.clip((ratio - 0.65) / 0.3, 0.0, 1.0))


def dye_channel(density: np.ndarray, red_share: float) -> np.ndarray:
    """Difference of optical densities that shows nuclear dye and hides red cells.

    Green minus blue, and as far as `red_share` says green minus red as well; lightly smoothed against the blocks that
    colour leaves in a JPEG.

    Parameters
    ----------
    density : numpy.ndarray
        Optical density, float32, (H, W, 3).
    red_share : float
        0 … 1, see `red_weight`.

    Returns
    -------
    numpy.ndarray
        float32, (H, W).
    """
    red, green, blue = (density[:, :, i] for i in range(3))
    dye = (1 + red_share) * green - blue - red_share * red
    # What absorbs much green and nearly as much blue is haemoglobin or ink (a red scale bar), never dye.
    dye[(green > 0.25) & (blue > 0.6 * green)] = 0
    return cv2.GaussianBlur(dye, (0, 0), 0.8)


def cytoplasm_evidence(density: np.ndarray, near: np.ndarray, far: np.ndarray) -> np.ndarray:
    """Say for each pixel whether its colour is that of cytoplasm, learning cytoplasm from this image alone.

    What is common around nuclei and rare far from them is cytoplasm. Three colour histograms are compared: of the
    neighbourhood of nuclei, of the empty background, and of the red cells, the latter two far from any nucleus. The
    neighbourhood holds background and red cells too, but a smaller share than they have in their own histograms, so
    that their evidence falls below zero.

    Parameters
    ----------
    density : numpy.ndarray
        Optical density, float32, (H, W, 3), smoothed.
    near, far : numpy.ndarray
        bool, (H, W): where to learn cytoplasm, and where to learn everything else.

    Returns
    -------
    numpy.ndarray
        float32, (H, W): log of the ratio of likelihoods, above 0 for cytoplasm.
    """
    # Channel by channel and in small integers, since an image of several megapixels is large in itself.
    red, green, blue = (np.clip((density[:, :, i] + 0.1) * 24, 0, 15.999).astype(np.int16) for i in range(3))
    index = (red * 16 + green) * 16 + blue
    strongest = density.max(axis=2)
    edge = max(0.03, otsu(strongest[far], 0.0, 1.0)) if far.any() else 0.06
    others = [
        _histogram(index[kind])
        for kind in (far & (strongest <= edge), far & (strongest > edge))
        if np.count_nonzero(kind) > 0.01 * far.size
    ]
    if others and near.any():
        ratio = np.log((_histogram(index[near]) + 1e-4) / (np.max(others, axis=0) + 1e-4))
    else:
        ratio = np.zeros(16**3, np.float32)
    # What is as clear as the background is background, even where its tint changes close to a cell.
    clear = 1.5 / (1 + np.exp(np.clip((strongest - 0.6 * edge) / (0.15 * edge), -30, 30)))
    return cv2.GaussianBlur((ratio[index] - clear).astype(np.float32), (0, 0), 0.7)


def _histogram(index: np.ndarray) -> np.ndarray:
    """Histogram of 16 x 16 x 16 colours, smoothed so that neighbours share what few pixels there are; sums to 1."""
    counts = np.bincount(index, minlength=16**3).astype(np.float32).reshape(16, 16, 16)
    kernel = np.array([0.23, 0.54, 0.23], np.float32)
    for axis in range(3):
        padded = np.pad(counts, [(1, 1) if a == axis else (0, 0) for a in range(3)], mode="edge")
        counts = sum(k * np.take(padded, np.arange(i, i + 16), axis=axis) for i, k in enumerate(kernel))
    return counts.ravel() / max(float(counts.sum()), 1e-6)

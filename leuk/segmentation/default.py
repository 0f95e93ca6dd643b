"""The default method: nuclei by their dye, whole cells by the best closed path around them.

Romanowsky stains colour nuclei with azure-eosin purple, which absorbs green light and lets blue through, while
haemoglobin absorbs blue as well as green. The difference of the two optical densities therefore shows nuclei and
hides red cells whatever the tint of the background, the exposure or the depth of the stain, which a fixed hue does
not. Cytoplasm has no colour of its own across laboratories; it is learnt in each image from what lies around nuclei
and nowhere else. Everything runs at a working scale set by the size of the nuclei found.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from scipy import ndimage

from leuk.image import reduced
from leuk.segmentation import instances
from leuk.segmentation.recipes import fill_holes
from leuk.segmentation.stain import cytoplasm_evidence, dye_channel, optical_density, otsu, red_weight, white_point

LOOK = 320
"""Longer side, in pixels, of the first look that finds the scale."""
LOOKS = (LOOK, 2 * LOOK, 4 * LOOK, 8 * LOOK)
"""All looks, one after the other until nuclei are seen."""
LEAST_SEEN, SURELY_SEEN = 4.0, 6.0
"""Half width of nuclei, in pixels, below which a look may have lost them; above the second it has not. Between the two
the next look decides: if it sees them smaller than `CLUMP` times as wide, the first saw their clumps."""
CLUMP = 0.7
NUCLEUS_RADIUS = 12.0
"""Half width in pixels to which nuclei are reduced (never enlarged) for the work."""
LARGEST_WORK = 1_000_000
"""Pixels of the largest working image, unless nuclei were then smaller than `LEAST_RADIUS`."""
LEAST_RADIUS = 6.0
"""Half width in pixels below which nuclei are not reduced while the work has less than `LARGEST_OF_SMALL` pixels."""
LARGEST_OF_SMALL = 4_000_000
"""Pixels of the largest working image where nuclei are that small."""
LEAST_DYE = 0.06
"""Level of the dye channel below which nothing is a nucleus."""
FAINT, FAINTER = 0.12, 1.25
"""Mean level of the dye channel below which a nucleus is none, if that is below so many times the red cells' density in
green too; on a faded slide both are low."""
GAP = 0.36
"""Density of a hole among nuclei, relative to theirs, below which it is a gap between cells; cytoplasm has more."""
PASSES = 2
"""How often cytoplasm is learnt again from the cells traced so far."""
# A red cell is 7.5 µm wide, the smallest nucleus of a white cell about 5, a platelet 2 to 3.
SMALLEST_NUCLEUS = 0.42
LEAST_RED_CELLS = 8
LARGEST_HOLE = 0.05
"""Share of the image up to which a hole among red cells is the pale middle of one."""


def dye_and_path(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find white cells in a field of any scale, stain and background.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).

    Returns
    -------
    nucleus : numpy.ndarray
        bool, (H, W).
    labels : numpy.ndarray
        int32, (H, W): whole cells, 0 outside.

    References
    ----------
    A. C. Ruifrok, D. A. Johnston, "Quantification of histochemical staining by color deconvolution", Anal. Quant.
    Cytol. Histol. 23 (2001), for stains in optical density. F. Meyer, S. Beucher, "Morphological segmentation", J. Vis.
    Commun. Image Represent. 1 (1990), for taking nuclei apart.
    """
    height, width = pixels.shape[:2]
    nothing = np.zeros((height, width), dtype=bool), np.zeros((height, width), dtype=np.int32)
    if min(height, width) < 8:
        return nothing
    seen = _look(pixels, LOOKS[0])
    # Where cells are many and small, as at low magnification, a coarse look loses them, or sees only their clumps.
    for side in LOOKS[1:]:
        if seen.radius >= SURELY_SEEN or max(height, width) <= side // 2:
            break
        finer = _look(pixels, side)
        if seen.radius >= LEAST_SEEN and finer.radius / finer.reduction > CLUMP * seen.radius / seen.reduction:
            break
        # What only a coarse look sees, blurred perhaps, is kept.
        seen = finer if finer.radius or not seen.radius else seen
    reduction, radius, white, red_share = seen
    if not radius:
        return nothing
    least = min(reduction * LEAST_RADIUS / radius, math.sqrt(LARGEST_OF_SMALL / (height * width)))
    factor = max(reduction, reduction * NUCLEUS_RADIUS / radius)
    factor = min(1.0, factor, max(least, math.sqrt(LARGEST_WORK / (height * width))))
    radius *= factor / reduction
    density = optical_density(reduced(pixels, factor), white)
    nucleus, labels = _cells(density, red_share, radius)
    if factor < 1:
        labels = instances.enlarged(labels, height, width)
        soft = cv2.resize(nucleus.astype(np.uint8) * 255, (width, height), interpolation=cv2.INTER_LINEAR)
        nucleus = soft > 127
    return nucleus & (labels > 0), labels


class _Look(NamedTuple):
    """What a reduced image tells: its scale, the half width of nuclei in it, and the slide's colours."""

    reduction: float
    radius: float
    white: np.ndarray
    red_share: float


def _look(pixels: np.ndarray, side: int) -> _Look:
    """Look at an image reduced to a longer side; the radius is 0 where no nucleus is seen."""
    reduction = min(1.0, side / max(pixels.shape[:2]))
    look = reduced(pixels, reduction)
    white = white_point(look)
    density = optical_density(look, white)
    red_share = red_weight(density)
    seen = _dyed(density, dye_channel(density, red_share), red_share, 1.0)
    return _Look(reduction, instances.typical_radius(seen) or 0.0, white, red_share)


def _dyed(density: np.ndarray, dye: np.ndarray, red_share: float, least_area: float) -> np.ndarray:
    """Threshold the dye channel and keep the parts that dye makes up, not sheer density: bool, (H, W)."""
    mask = dye > max(LEAST_DYE, otsu(dye, -0.1, 1.5))
    mask = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0
    mask = instances.drop_small(mask, least_area)
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return mask
    # Of the green that a part absorbs, dye leaves blue (and red) through; red cells and dirt absorb them all alike.
    index = np.arange(1, count)
    green = (1 + red_share) * np.asarray(ndimage.mean(density[:, :, 1], labels, index))
    purity = np.asarray(ndimage.mean(dye, labels, index)) / np.maximum(green, 0.01)
    keep = np.concatenate([[False], purity > 0.45 - 0.2 * red_share])
    return keep[labels]


def _cells(density: np.ndarray, red_share: float, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Find nuclei and cells at the working scale: bool and int32, (H, W)."""
    dye = dye_channel(density, red_share)
    nucleus, gaps = _closed(_dyed(density, dye, red_share, 0.12 * math.pi * radius**2), density.mean(axis=2), radius)
    nuclei = instances.pieces(nucleus, radius)
    nuclei = _without_platelets(nuclei, density, dye)
    nucleus = nuclei > 0
    if not nucleus.any():
        return nucleus, nuclei
    smooth = cv2.GaussianBlur(density, (0, 0), 1.0)
    away = instances.depth_of(~nucleus)
    far = away > 2 * radius
    if np.count_nonzero(far) < 0.05 * far.size:
        far = away > np.percentile(away, 90)
    evidence = cytoplasm_evidence(smooth, (away > 0) & (away < radius), far)
    body = ((evidence > 0) & (away < radius)) | nucleus
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    body = (cv2.morphologyEx(body.astype(np.uint8), cv2.MORPH_OPEN, disk) > 0) | nucleus
    body |= fill_holes(body, smaller_than=int(math.pi * radius**2)) & ~gaps
    labels = instances.watershed(away, nuclei, mask=body).astype(np.int32)
    depth = instances.depth_of(nucleus)
    widest = np.sqrt(np.bincount(nuclei.ravel()) / math.pi)
    widest[0] = 0

    new = instances.join(labels, nuclei, depth, widest)
    nuclei, widest = new[nuclei], _widest(widest, new)
    labels = instances.trace(evidence, nuclei)
    for _ in range(PASSES):
        near = (labels > 0) & ~nucleus
        far = instances.depth_of(labels == 0) > 0.3 * radius
        if np.count_nonzero(near) < 50 or np.count_nonzero(far) < 0.02 * far.size:
            break
        evidence = cytoplasm_evidence(smooth, near, far)
        new = instances.join(labels, nuclei, depth, widest)
        nuclei, labels, widest = new[nuclei], new[labels], _widest(widest, new)
        labels = instances.trace(evidence, nuclei, labels)
    return nucleus, instances.largest_part(labels, nuclei)


def _closed(nucleus: np.ndarray, dense: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Fill a mask's small holes, but not gaps between cells, holes up to a nucleus's size as thin as the background.

    Parameters
    ----------
    nucleus : numpy.ndarray
        bool, (H, W).
    dense : numpy.ndarray
        Optical density, mean of the channels, float32, (H, W).
    radius : float
        Typical half width of nuclei, pixels.

    Returns
    -------
    nucleus, gaps : numpy.ndarray
        bool, (H, W).
    """
    filled = fill_holes(nucleus, smaller_than=int(0.25 * math.pi * radius**2) + 1)
    around = fill_holes(nucleus, smaller_than=int(math.pi * radius**2))
    count, holes = cv2.connectedComponents((around & ~nucleus).astype(np.uint8), connectivity=4)
    if count < 2:
        return filled, np.zeros_like(filled)
    held = np.asarray(ndimage.mean(dense, holes, np.arange(1, count)))
    gaps = np.concatenate([[False], held < GAP * dense[nucleus].mean()])[holes]
    return filled & ~gaps, gaps


def _without_platelets(nuclei: np.ndarray, density: np.ndarray, dye: np.ndarray) -> np.ndarray:
    """Drop pieces much smaller than the red cells around, and those with hardly more dye than these have density.

    The nucleus of no white cell is so small, and platelets are; nor is it so faint, and where a field has no white
    cell, shadows, smears and red cells are. Red cells are measured by how deep their inside lies; with too few of them
    there is no measure, and all is kept.
    """
    dense = density.mean(axis=2)
    near = cv2.dilate((nuclei > 0).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    red = (dense > max(0.06, otsu(dense, 0.0, 1.0))) & ~near
    # Their pale middle is filled, but not the background that a crowd of them, or a frame, surrounds.
    filled = fill_holes(red, smaller_than=int(LARGEST_HOLE * red.size))
    if filled.all():
        # No ground to stand out from, and so no depth.
        return nuclei
    depth = instances.depth_of(filled)
    crest = (depth >= cv2.dilate(depth.astype(np.float32), np.ones((9, 9), np.uint8)) - 1e-6) & (depth > 2)
    if np.count_nonzero(crest) < LEAST_RED_CELLS:
        return nuclei
    smallest = SMALLEST_NUCLEUS * float(np.median(depth[crest]))
    areas = np.bincount(nuclei.ravel())
    dyed = np.asarray(ndimage.mean(dye, nuclei, np.arange(len(areas))))
    kept = (areas >= math.pi * smallest**2) & (
        (dyed >= FAINT) | (dyed >= FAINTER * float(np.median(density[:, :, 1][red])))
    )
    kept[0] = False
    # Numbered without gaps, as what follows expects.
    return np.where(kept, np.cumsum(kept), 0).astype(nuclei.dtype)[nuclei]


def _widest(widest: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Carry the radius of each label's largest piece over to new labels."""
    carried = np.zeros(int(new.max()) + 1)
    np.maximum.at(carried, new, widest)
    return carried

"""From a mask of nuclei to single cells: taking apart what touches, joining lobes, tracing outlines."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

import cv2
import numpy as np
from scipy import ndimage
from skimage.segmentation import watershed

ANGLES, RADII = 40, 40
"""Rays around a cell, and samples along each."""
TOGETHER = 512
"""Cells traced at once; cv2.remap takes less than 32,768 rays."""


def depth_of(mask: np.ndarray) -> np.ndarray:
    """Distance of each pixel of a mask to the mask's outside, pixels, float32; 0 outside."""
    return cv2.distanceTransform(np.ascontiguousarray(mask, dtype=np.uint8), cv2.DIST_L2, 5)


def greatest(values: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Greatest value (0 or more) inside each label 1 … count: float, (count + 1,), 0 for label 0."""
    most = np.zeros(count + 1)
    inside = labels > 0
    np.maximum.at(most, labels[inside], values[inside])
    return most


def drop_small(mask: np.ndarray, least_area: float) -> np.ndarray:
    """Remove the connected parts of a bool mask that have fewer than `least_area` pixels."""
    labels, stats = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)[1:3]
    keep = stats[:, cv2.CC_STAT_AREA] >= least_area
    keep[0] = False
    return keep[labels]


def typical_radius(mask: np.ndarray) -> float | None:
    """Typical half width of the parts of a mask, each counted by its area so that specks have no say; None if empty."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return None
    deepest = greatest(depth_of(mask), labels, count - 1)[1:]
    area = stats[1:, cv2.CC_STAT_AREA]
    order = np.argsort(deepest, kind="stable")
    return float(deepest[order][np.searchsorted(np.cumsum(area[order]), area.sum() / 2)])


THIN = 0.4
"""Area of a body of nuclei, relative to a typical one's, from which it is kept however thin it is."""


def pieces(nuclei: np.ndarray, radius: float) -> np.ndarray:
    """Cut a mask of nuclei at its waists: each piece is a nucleus, or a lobe or a part of one.

    Cuts too often rather than too rarely; `join` puts together what belongs together.

    Parameters
    ----------
    nuclei : numpy.ndarray
        bool, (H, W).
    radius : float
        Typical half width, pixels.

    Returns
    -------
    numpy.ndarray
        int32, (H, W): labels, 0 outside.
    """
    depth = depth_of(nuclei)
    smooth = cv2.GaussianBlur(depth, (0, 0), max(0.8, radius / 6))
    width = 2 * max(1, round(0.6 * radius)) + 1
    around = cv2.dilate(smooth, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)))
    bodies = cv2.connectedComponents(nuclei.astype(np.uint8), connectivity=8)[1]
    deep = depth > 0.35 * radius
    # A nucleus of thin lobes, nowhere deep, is one all the same if it has a nucleus's area.
    thin = np.bincount(bodies.ravel()) > THIN * math.pi * radius**2
    thin[bodies[deep]] = False
    peaks = (smooth >= around) & (deep | (thin[bodies] & nuclei))
    markers = cv2.connectedComponents(peaks.astype(np.uint8), connectivity=8)[1]
    return watershed(-smooth, markers, mask=nuclei).astype(np.int32)


def saddles(labels: np.ndarray, depth: np.ndarray) -> dict[tuple[int, int], float]:
    """Greatest depth at which each pair of neighbouring labels meets."""
    found: dict[tuple[int, int], float] = {}
    for a, b, da, db in (
        (labels[1:], labels[:-1], depth[1:], depth[:-1]),
        (labels[:, 1:], labels[:, :-1], depth[:, 1:], depth[:, :-1]),
    ):
        meet = (a != b) & (a > 0) & (b > 0)
        low, high = np.minimum(a[meet], b[meet]).tolist(), np.maximum(a[meet], b[meet]).tolist()
        for x, y, d in zip(low, high, np.minimum(da[meet], db[meet]).tolist(), strict=True):
            found[x, y] = max(found.get((x, y), 0.0), d)
    return found


def join(regions: np.ndarray, nuclei: np.ndarray, nucleus_depth: np.ndarray, widest: np.ndarray) -> np.ndarray:
    """Decide which regions are one cell: the lobes of a segmented nucleus, the parts of a notched one.

    Lobes lie in one body of cytoplasm: going from one to the other inside the cell, its width hardly narrows. Cells
    that touch meet at a waist. Where the nuclei fill their regions (blasts), the body says little, and the waist of
    the nuclei themselves decides.

    Parameters
    ----------
    regions : numpy.ndarray
        int32, (H, W): a region around each nucleus label, labels 1 … N.
    nuclei : numpy.ndarray
        int32, (H, W): the same labels, on nuclei only.
    nucleus_depth : numpy.ndarray
        Distance to the outside of the mask of nuclei, float32, (H, W).
    widest : numpy.ndarray
        float, (N + 1,): radius of the largest piece of each label.

    Returns
    -------
    numpy.ndarray
        int32, (N + 1,): new label of each old one, 1 … M without gaps, 0 for 0.
    """
    count = len(widest) - 1
    depth = depth_of(regions > 0)
    bodies = by_label(saddles(regions, depth))
    waists = by_label(saddles(nuclei, nucleus_depth))
    peak, inner = greatest(depth, regions, count).tolist(), greatest(nucleus_depth, nuclei, count).tolist()
    nucleus_area = np.bincount(nuclei.ravel(), minlength=count + 1).astype(float).tolist()
    area = np.maximum(np.bincount(regions.ravel(), minlength=count + 1), 1).astype(float).tolist()
    wide = widest.astype(float).tolist()

    def evidence(x: int, y: int) -> float:
        body = max(min(peak[x], peak[y]), 0.5)
        nc_ratio = (nucleus_area[x] + nucleus_area[y]) / (area[x] + area[y])
        waist = waists.get(x, {}).get(y, 0.0) / max(min(inner[x], inner[y]), 0.5)
        filled = 1 / (1 + math.exp(min(30.0, max(-30.0, (0.72 - min(wide[x], wide[y]) / body) / 0.04))))
        return (1 - filled) * (bodies[x][y] / body - 0.72 - 0.3 * (nc_ratio - 0.6)) + filled * (waist - 0.75)

    def absorb(x: int, y: int) -> None:
        nucleus_area[x] += nucleus_area[y]
        area[x] += area[y]
        for measure in (peak, inner, wide):
            measure[x] = max(measure[x], measure[y])
        _take_over(waists, y, x)

    parent = unite(count, bodies, evidence, absorb)
    return np.unique(parent, return_inverse=True)[1].astype(np.int32)


def by_label(pairs: dict[tuple[int, int], float]) -> dict[int, dict[int, float]]:
    """Arrange values of pairs by each of their labels."""
    arranged: dict[int, dict[int, float]] = {}
    for (x, y), value in pairs.items():
        arranged.setdefault(x, {})[y] = value
        arranged.setdefault(y, {})[x] = value
    return arranged


def unite(
    count: int,
    neighbours: dict[int, dict[int, float]],
    evidence: Callable[[int, int], float],
    absorb: Callable[[int, int], None],
) -> np.ndarray:
    """Unite the neighbours with the most evidence for it, again and again, while there is any.

    Parameters
    ----------
    count : int
        Labels are 1 … count.
    neighbours : dict
        From `by_label`; kept up to date.
    evidence : callable
        How much speaks for uniting two neighbours, more than 0 if anything.
    absorb : callable
        Called with two labels when the first takes over the second, before the neighbours change.

    Returns
    -------
    numpy.ndarray
        int, (count + 1,): what each label belongs to now.
    """
    parent = np.arange(count + 1)
    # A field may have thousands of cells: a heap, in which an entry is stale once either of its labels has changed.
    changes = [0] * (count + 1)
    best: list[tuple[float, int, int, int, int]] = []

    def weigh(x: int, y: int) -> None:
        gain = evidence(x, y)
        if gain > 0:
            heapq.heappush(best, (-gain, -x, -y, changes[x], changes[y]))

    for x, others in neighbours.items():
        for y in others:
            if x < y:
                weigh(x, y)
    while best:
        _, x, y, change_x, change_y = heapq.heappop(best)
        x, y = -x, -y
        if (changes[x], changes[y]) != (change_x, change_y):
            continue
        parent[parent == y] = x
        absorb(x, y)
        _take_over(neighbours, y, x)
        changes[x] += 1
        changes[y] += 1
        for other in neighbours[x]:
            weigh(min(x, other), max(x, other))
    return parent


def _take_over(values: dict[int, dict[int, float]], old: int, new: int) -> None:
    """Let one label take over another's neighbours; of two values the greater stays."""
    for other, value in values.pop(old, {}).items():
        del values[other][old]
        if other != new:
            value = max(values.setdefault(new, {}).get(other, 0.0), value)
            values[new][other] = values[other][new] = value


def trace(evidence: np.ndarray, nuclei: np.ndarray, previous: np.ndarray | None = None) -> np.ndarray:
    """Trace each cell as the closed path around its nucleus that gathers the most evidence of cytoplasm.

    In polar coordinates a cell's outline is one radius for each angle. The best sequence of radii, neighbours differing
    by one step at most, is found by dynamic programming, for all cells at once. A cell that touches red cells of
    its own colour thus keeps a smooth outline instead of spilling into them.

    Parameters
    ----------
    evidence : numpy.ndarray
        float32, (H, W): above 0 for cytoplasm.
    nuclei : numpy.ndarray
        int32, (H, W): nuclei by cell, labels 1 … N without gaps. They stay inside their own cell and outside others.
    previous : numpy.ndarray, optional
        int32, (H, W): the same cells as traced before. The rays then start from the cell's centre rather than from
        that of its nucleus, and distances count from its outline.

    Returns
    -------
    numpy.ndarray
        int32, (H, W): whole cells; where two claim a pixel, it goes to the nearer nucleus.

    References
    ----------
    The path search is that of circular shortest paths: B. Appleton, C. Sun, Pattern Recognit. Lett. 24 (2003).
    """
    shape = nuclei if previous is None else previous
    count = int(nuclei.max(initial=0))
    if not count:
        return np.zeros_like(nuclei)
    ys, xs = np.nonzero(shape)
    owner = shape[ys, xs] - 1
    area = np.bincount(owner, minlength=count)
    center = np.stack([np.bincount(owner, weights=along, minlength=count) / area for along in (ys, xs)], axis=1)
    round_radius = np.sqrt(area / np.pi)
    extent = np.zeros(count)
    np.maximum.at(extent, owner, np.hypot(ys - center[owner, 0], xs - center[owner, 1]))
    reach = extent + (1.5 if previous is None else 1.0) * round_radius + 2

    sampled = evidence.astype(np.float32), nuclei.astype(np.float32), shape.astype(np.float32)
    # Thousands of cells at once would take as much memory as the image does.
    corners = [
        _paths(sampled, part + 1, center[part], round_radius[part], reach[part], first=previous is None)
        for part in np.array_split(np.arange(count), -(-count // TOGETHER))
    ]
    return _drawn(np.concatenate(corners), nuclei)


def _paths(
    images: tuple[np.ndarray, np.ndarray, np.ndarray],
    index: np.ndarray,
    center: np.ndarray,
    round_radius: np.ndarray,
    reach: np.ndarray,
    *,
    first: bool,
) -> np.ndarray:
    """Trace the cells numbered in `index` on evidence, nuclei and shapes, float32: corners (x, y), (N, ANGLES, 2)."""
    evidence, nuclei, shape = images
    angle = np.arange(ANGLES) * 2 * np.pi / ANGLES
    radius = reach[:, None] * ((np.arange(RADII) + 0.5) / RADII)[None]  # (N, RADII)
    x = (center[:, 1, None, None] + np.cos(angle)[None, :, None] * radius[:, None]).astype(np.float32)
    y = (center[:, 0, None, None] + np.sin(angle)[None, :, None] * radius[:, None]).astype(np.float32)
    score = _sampled(evidence, x, y, cv2.INTER_LINEAR)
    nucleus = _sampled(nuclei, x, y, cv2.INTER_NEAREST)
    mine = nucleus == index[:, None, None]
    inside = mine if first else _sampled(shape, x, y, cv2.INTER_NEAREST) == index[:, None, None]
    # Cytoplasm is likely close to the nucleus and less and less so away from it.
    edge = np.where(inside, radius[:, None], 0).max(axis=2)
    beyond = np.maximum(0, radius[:, None] - edge[:, :, None]) / round_radius[:, None, None]
    score = np.clip(score + (1.0 - 1.2 * beyond if first else 0.5 - 2.0 * beyond), -4, 4)
    score = np.where(mine, 8.0, np.where(nucleus > 0, -8.0, score))
    # The evidence gathered inside a radius, by area, and a bonus for ending where evidence drops.
    ring = (radius * (reach / RADII)[:, None] / (round_radius**2)[:, None])[:, None]
    gain = np.cumsum(score * ring, axis=2) * (ANGLES / 6)
    gain[:, :, 1:-1] += 0.2 * np.clip(score[:, :, :-2] - score[:, :, 2:], -2, 6)
    steps = _best_circle(gain)

    outline = (steps + 1) / RADII * reach[:, None]
    return np.stack([center[:, 1, None] + np.cos(angle) * outline, center[:, 0, None] + np.sin(angle) * outline], 2)


def _sampled(image: np.ndarray, x: np.ndarray, y: np.ndarray, interpolation: int) -> np.ndarray:
    """Sample a float32 image at (N, ANGLES, RADII) places, 0 outside."""
    rows = x.reshape(-1, x.shape[2]), y.reshape(-1, y.shape[2])
    return cv2.remap(image, *rows, interpolation).reshape(x.shape)


def _best_circle(gain: np.ndarray) -> np.ndarray:
    """Find the best closed sequence of steps through (N, ANGLES, RADII): int, (N, ANGLES)."""
    count, angles, radii = gain.shape
    cost = 0.6  # of changing the radius by a step
    far_off = np.full((count, 1), -1e9)
    best = np.zeros((count, radii))
    # Twice around; of the two turns the middle is free of where the path started and ended.
    back = np.zeros((2 * angles, count, radii), np.int8)
    for k in range(2 * angles):
        outer = np.hstack([best[:, 1:] - cost, far_off])
        inner = np.hstack([far_off, best[:, :-1] - cost])
        back[k] = np.where(inner > np.maximum(best, outer), -1, np.where(outer > best, 1, 0))
        best = np.maximum(np.maximum(best, outer), inner) + gain[:, k % angles]
    path = np.zeros((2 * angles, count), np.int64)
    place, everyone = best.argmax(axis=1), np.arange(count)
    for k in range(2 * angles - 1, -1, -1):
        path[k] = place
        place = place + back[k, everyone, place]
    half = angles // 2
    return np.concatenate([path[angles : angles + half], path[half:angles]]).T


def _drawn(corners: np.ndarray, nuclei: np.ndarray) -> np.ndarray:
    """Fill outlines (N, corners, 2) as labels, contested pixels to the nearer nucleus, nuclei always to their own."""
    height, width = nuclei.shape
    labels = np.zeros_like(nuclei)
    nearest = np.full(nuclei.shape, np.inf, np.float32)
    for label, points in enumerate(corners, start=1):
        x0, y0 = np.maximum(np.floor(points.min(axis=0)).astype(int) - 1, 0)
        x1, y1 = np.minimum(np.ceil(points.max(axis=0)).astype(int) + 2, (width, height))
        if x0 >= x1 or y0 >= y1:
            continue
        filled = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(filled, [np.round((points - (x0, y0)) * 16).astype(np.int32)], 1, shift=4)
        own = nuclei[y0:y1, x0:x1] == label
        away = cv2.distanceTransform((~own).astype(np.uint8), cv2.DIST_L2, 3)
        take = (filled > 0) & (away < nearest[y0:y1, x0:x1])
        nearest[y0:y1, x0:x1][take] = away[take]
        labels[y0:y1, x0:x1][take] = label
    return np.where(nuclei > 0, nuclei, labels)


def largest_part(labels: np.ndarray, nuclei: np.ndarray) -> np.ndarray:
    """Keep of each cell only the largest of its connected parts and those that hold some of its nucleus."""
    kept = labels.copy()
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        mask = labels[box] == label
        count, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
        if count > 2:
            keep = np.zeros(count, dtype=bool)
            keep[np.unique(parts[(nuclei[box] == label)])] = True
            keep[1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())] = True
            keep[0] = False
            kept[box][mask & ~keep[parts]] = 0
    return kept


def enlarged(labels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bring labels to a larger size with smooth edges: each cell is enlarged as a soft mask, the strongest wins.

    Parameters
    ----------
    labels : numpy.ndarray
        int32, (h, w).
    height, width : int
        Of the result.

    Returns
    -------
    numpy.ndarray
        int32, (height, width).
    """
    small_height, small_width = labels.shape
    fy, fx = small_height / height, small_width / width
    # Of a camera's 48 megapixels an array of 32 bits takes 190 MB.
    out = np.zeros((height, width), np.int16 if int(labels.max(initial=0)) < 2**15 else np.int32)
    strongest = np.full((height, width), 0.5, np.float32)
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        rows, columns = box
        y0, y1 = max(0, int(rows.start / fy) - 2), min(height, math.ceil(rows.stop / fy) + 2)
        x0, x1 = max(0, int(columns.start / fx) - 2), min(width, math.ceil(columns.stop / fx) + 2)
        soft = (labels[box] == label).astype(np.float32)
        # At the image's edge a cell goes on as it is; elsewhere it ends.
        top, bottom = int(rows.start > 0), int(rows.stop < small_height)
        left, right = int(columns.start > 0), int(columns.stop < small_width)
        soft = np.pad(np.pad(soft, [(top, bottom), (left, right)]), 1, mode="edge")
        at_x = (0.5 + x0) * fx - 0.5 - (columns.start - left - 1)
        at_y = (0.5 + y0) * fy - 0.5 - (rows.start - top - 1)
        soft = cv2.GaussianBlur(soft, (3, 3), 0, borderType=cv2.BORDER_REPLICATE)
        large = cv2.warpAffine(
            soft,
            np.array([[fx, 0, at_x], [0, fy, at_y]]),
            (x1 - x0, y1 - y0),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        take = large > strongest[y0:y1, x0:x1]
        strongest[y0:y1, x0:x1][take] = large[take]
        out[y0:y1, x0:x1][take] = label
    del strongest
    return out.astype(np.int32)

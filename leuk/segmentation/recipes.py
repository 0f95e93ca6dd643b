"""Published colour recipes, as their authors wrote them: the yardsticks for anything better.

All three look at the colour of single pixels with fixed or global thresholds. They find dark purple; none of them
tells nucleus from cytoplasm, so each docstring says what stands for either. Touching cells stay together.
"""

from __future__ import annotations

import cv2
import numpy as np

SPECK = 0.0004
"""Parts smaller than this share of the image (20 pixels of 224 x 224) are not counted as cells."""


def _parts(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split a mask into its connected parts, without specks: the mask that is left, and int32 labels."""
    labels, stats = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)[1:3]
    keep = stats[:, cv2.CC_STAT_AREA] >= max(1.0, SPECK * mask.size)
    keep[0] = False
    number = np.where(keep, np.cumsum(keep), 0).astype(np.int32)
    labels = number[labels]
    return labels > 0, labels


def fill_holes(mask: np.ndarray, smaller_than: int | None = None) -> np.ndarray:
    """Fill the holes of a bool mask (background that no 4-connected path leads out of), all or the small ones only."""
    outside, stats = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4, ltype=cv2.CV_32S)[1:3]
    x, y, w, h, area = (stats[:, i] for i in range(5))
    open_ended = (x == 0) | (y == 0) | (x + w == mask.shape[1]) | (y + h == mask.shape[0])
    fill = ~open_ended if smaller_than is None else area < smaller_than
    fill[0] = True  # label 0 is the mask itself
    return fill[outside]


def hsv_window(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep a fixed window of hue, saturation and value: the recipe behind the Taleqani set's "Segmented" images.

    The authors' code reads BGR as if it were RGB and keeps hues of 168 to 182; with the channels in their right
    order that is H 121 to 132 (of 180), S and V from 50.

    What it yields stands for both nucleus and whole cell: it holds dark purple nuclei with the purple part of their
    cytoplasm, and next to nothing of pale cells.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).

    Returns
    -------
    nucleus : numpy.ndarray
        bool, (H, W).
    labels : numpy.ndarray
        int32, (H, W): connected parts, 0 outside.

    References
    ----------
    M. Ghaderzadeh et al., "A fast and efficient CNN model for B-ALL diagnosis and its subtypes classification using
    peripheral blood smear images", Int. J. Intell. Syst. 37 (2022), doi 10.1002/int.22753.
    """
    hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)
    return _parts(cv2.inRange(hsv, np.array([121, 50, 50]), np.array([132, 255, 255])) > 0)


def kmeans_1d(counts: np.ndarray, clusters: int) -> tuple[np.ndarray, np.ndarray]:
    """Cluster a histogram into intervals with the least within-cluster variance, exactly.

    On one 8-bit channel the optimum is found by dynamic programming over the levels in use, so that nothing depends on
    a seed, on the order of pixels, or on a random generator shared with other threads.

    Parameters
    ----------
    counts : numpy.ndarray
        How often each level 0 … 255 occurs, (256,).
    clusters : int
        At least 1. With fewer levels in use, each is a cluster of its own.

    Returns
    -------
    table : numpy.ndarray
        int, (256,): the cluster of each level, ascending; of levels not in use, that of the next lower one in use.
    centers : numpy.ndarray
        float, (clusters in use,): mean level of each cluster.
    """
    levels = np.flatnonzero(counts)
    weight = counts[levels].astype(np.float64)
    clusters = min(clusters, len(levels))
    w = np.concatenate([[0.0], np.cumsum(weight)])
    s = np.concatenate([[0.0], np.cumsum(weight * levels)])
    q = np.concatenate([[0.0], np.cumsum(weight * levels.astype(np.float64) ** 2)])
    # cost[i, j]: squared deviation of the levels i … j - 1 in one cluster.
    with np.errstate(divide="ignore", invalid="ignore"):
        cost = q[None] - q[:, None] - (s[None] - s[:, None]) ** 2 / (w[None] - w[:, None])
    size = len(levels) + 1
    cost[np.tril_indices(size)] = np.inf
    best = cost[0]
    starts = []
    for _ in range(1, clusters):
        total = best[:, None] + cost
        starts.append(total.argmin(axis=0))
        best = total.min(axis=0)
    edges = [size - 1]
    for start in reversed(starts):
        edges.append(int(start[edges[-1]]))
    edge = np.array([0, *reversed(edges)])
    centers = (s[edge[1:]] - s[edge[:-1]]) / (w[edge[1:]] - w[edge[:-1]])
    table = np.searchsorted(levels[edge[1:-1]], np.arange(256), side="right")
    return table, centers


def lab_kmeans(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cluster the a* channel into seven and keep the reddest: the recipe of system 3, Resnet152v2ALL.

    Resize to 224 x 224, take a* of CIE L*a*b*, replace each pixel by its cluster's centre (8 bits), keep what exceeds
    141, fill holes, drop objects under 200 pixels, fill holes under 250 pixels, and bring the mask back to the input's
    size. The published k-means starts from seed 0; on one channel the clusters can be found exactly (`kmeans_1d`), so
    here they depend on no seed.

    What it yields stands for both nucleus and whole cell: in pink-purple stains nearly the whole cell, in others also
    red cells.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).

    Returns
    -------
    nucleus : numpy.ndarray
        bool, (H, W).
    labels : numpy.ndarray
        int32, (H, W): connected parts, 0 outside.

    References
    ----------
    Maruf et al., arXiv 2508.17216.
    """
    height, width = pixels.shape[:2]
    small = cv2.resize(pixels, (224, 224), interpolation=cv2.INTER_AREA)
    a = cv2.cvtColor(small, cv2.COLOR_RGB2LAB)[:, :, 1]
    table, centers = kmeans_1d(np.bincount(a.ravel(), minlength=256), 7)
    mask = fill_holes((centers.astype(np.uint8)[table] > 141)[a])
    labels, stats = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4, ltype=cv2.CV_32S)[1:3]
    large = stats[:, cv2.CC_STAT_AREA] >= 200
    large[0] = False
    mask = fill_holes(large[labels], smaller_than=250)
    full = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) > 0.5
    return _parts(full)


def otsu_green(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take the darkest of three Otsu classes of the green channel, where the nuclear dye absorbs most.

    What it yields is the nuclei; it finds no cytoplasm, so they stand for the whole cell too, holes filled. Where a
    field has no white cell, or pale ones, its red cells are the darkest class.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).

    Returns
    -------
    nucleus : numpy.ndarray
        bool, (H, W).
    labels : numpy.ndarray
        int32, (H, W): connected parts, 0 outside.

    References
    ----------
    N. Otsu, "A threshold selection method from gray-level histograms", IEEE Trans. SMC 9 (1979), section III.B
    (several thresholds). P.-S. Liao, T.-S. Chen, P.-C. Chung, J. Inf. Sci. Eng. 17 (2001), for three classes.
    """
    green = pixels[:, :, 1]
    # Otsu's criterion for three classes is the one that k-means minimises for three clusters.
    table, centers = kmeans_1d(np.bincount(green.ravel(), minlength=256), 3)
    if len(centers) < 3:  # one or two levels of grey: no three classes, so nothing to call darkest
        empty = np.zeros(green.shape, dtype=bool)
        return empty, empty.astype(np.int32)
    return _parts(fill_holes((table == 0)[green]))

"""Fields with their white cells painted out: what remains is background, red cells and stain."""

from __future__ import annotations

import cv2
import numpy as np


def erase_cells(pixels: np.ndarray, cell: np.ndarray, rng: np.random.Generator, margin: int = 3) -> np.ndarray:
    """Paint white cells out with pieces of the same field that show none.

    Copied pieces keep red cells, grain and focus, so that the painting itself is not what a network learns; where a
    field has no free piece of the size, the colours around are drawn in.

    Parameters
    ----------
    pixels : numpy.ndarray
        uint8, (H, W, 3).
    cell : numpy.ndarray
        bool, (H, W): whole white cells.
    rng : numpy.random.Generator
        Chooses the pieces.
    margin : int
        Pixels around each cell that go with it.

    Returns
    -------
    numpy.ndarray
        uint8, same shape.
    """
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1, 2 * margin + 1))
    hidden = cv2.dilate(cell.astype(np.uint8), kernel)
    height, width = hidden.shape
    count, labels, stats, _ = cv2.connectedComponentsWithStats(hidden, connectivity=8)
    free = np.pad(np.cumsum(np.cumsum(hidden, 0, dtype=np.int64), 1), ((1, 0), (1, 0)))
    erased, left = pixels.copy(), np.zeros_like(hidden)
    for label in range(1, count):
        x, y, w, h = stats[label, :4]
        part = (labels[y : y + h, x : x + w] == label).astype(np.float32)
        # Corners of all windows of this size that hold no hidden pixel.
        sums = free[h:, w:] - free[:-h, w:] - free[h:, :-w] + free[:-h, :-w]
        places = np.argwhere(sums == 0) if h <= height and w <= width else np.empty((0, 2), int)
        if not len(places):
            left[y : y + h, x : x + w][part > 0] = 1
            continue
        py, px = places[rng.integers(len(places))]
        piece = pixels[py : py + h, px : px + w]
        if rng.random() < 0.5:
            piece = piece[:, ::-1]
        alpha = cv2.GaussianBlur(cv2.copyMakeBorder(part, 3, 3, 3, 3, cv2.BORDER_REPLICATE), (0, 0), 1.2)[
            3:-3, 3:-3, None
        ]
        alpha = np.maximum(alpha, part[..., None] * (alpha > 0.5))
        region = erased[y : y + h, x : x + w]
        erased[y : y + h, x : x + w] = (region * (1 - alpha) + piece * alpha + 0.5).astype(np.uint8)
    if left.any():
        erased = cv2.inpaint(erased, left, 5, cv2.INPAINT_TELEA)
    return erased

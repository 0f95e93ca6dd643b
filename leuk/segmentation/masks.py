"""A segmentation in the forms that files, tables and browsers take."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

from leuk.segmentation.values import Segmentation

BACKGROUND, CYTOPLASM, NUCLEUS = 0, 128, 255

Outline = tuple[int, list[tuple[float, float]]]
"""A label, and the corners of a polygon around it as x, y in pixels."""


def to_mask_image(segmentation: Segmentation) -> np.ndarray:
    """Draw a segmentation as one grey image: 0 background, 128 cytoplasm, 255 nucleus.

    Returns
    -------
    numpy.ndarray
        uint8, (H, W), the size of the segmented image.
    """
    drawn = np.where(segmentation.cell, np.uint8(CYTOPLASM), np.uint8(BACKGROUND))
    drawn[segmentation.nucleus] = NUCLEUS
    return drawn


def nucleus_labels(segmentation: Segmentation) -> np.ndarray:
    """Label each nucleus pixel with its cell: int32, (H, W), 0 outside nuclei."""
    return np.where(segmentation.nucleus, segmentation.instances, np.int32(0))


def outlines(labels: np.ndarray, tolerance_px: float = 0.5) -> list[Outline]:
    """Trace shapes as polygons, for drawing over the image as vectors.

    Parameters
    ----------
    labels : numpy.ndarray
        Integer labels (H, W), 0 outside; or a bool mask, whose separate parts are then numbered from 1.
        For the cells of a segmentation its `instances`, for their nuclei `nucleus_labels`.
    tolerance_px : float
        How far the polygon may leave the traced outline, pixels, 0 or more. Larger means fewer corners.

    Returns
    -------
    list of (int, list of (float, float))
        Label and corners as x, y; several polygons a label where it lies in several parts. Coordinates count from
        the image's top left corner, so that the centre of the first pixel is (0.5, 0.5). Holes are left out.

    Raises
    ------
    ValueError
        If the array is not two-dimensional or the tolerance is negative.
    """
    if labels.ndim != 2:
        raise ValueError(f"labels: expected shape (H, W), got {labels.shape}")
    if not tolerance_px >= 0:
        raise ValueError(f"tolerance_px: expected 0 or more, got {tolerance_px}")
    if labels.dtype == np.bool_:
        labels = cv2.connectedComponents(np.ascontiguousarray(labels, dtype=np.uint8), connectivity=8)[1]
    traced: list[Outline] = []
    for label, found in enumerate(ndimage.find_objects(labels), start=1):
        if found is None:
            continue
        part = (labels[found] == label).astype(np.uint8)
        offset = (found[1].start, found[0].start)
        for contour in cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=offset)[0]:
            corners = cv2.approxPolyDP(contour, tolerance_px, True)[:, 0, :]
            if len(corners) < 3:
                # A line or a dot has no inside: draw the pixels that it covers.
                x, y, w, h = cv2.boundingRect(contour)
                points = [
                    (float(x), float(y)),
                    (float(x + w), float(y)),
                    (float(x + w), float(y + h)),
                    (float(x), float(y + h)),
                ]
            else:
                points = [(float(x) + 0.5, float(y) + 0.5) for x, y in corners]
            traced.append((label, points))
    return traced

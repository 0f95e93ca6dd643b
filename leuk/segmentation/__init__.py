"""White cells: where they are, one by one, and their measures."""

from leuk.segmentation.masks import nucleus_labels, outlines, to_mask_image
from leuk.segmentation.methods import DEFAULT_METHOD, METHODS, Method, segment
from leuk.segmentation.values import Cell, Segmentation

__all__ = [
    "DEFAULT_METHOD",
    "METHODS",
    "Cell",
    "Method",
    "Segmentation",
    "nucleus_labels",
    "outlines",
    "segment",
    "to_mask_image",
]

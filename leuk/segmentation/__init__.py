"""White cells: where they are, one by one, and their measures."""

from leuk.segmentation.values import Cell, Segmentation

__all__ = ["Cell", "Segmentation"]

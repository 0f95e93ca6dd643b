"""What a segmentation is: masks, separate cells, and each cell's measures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Cell:
    """One white cell and its measures.

    Attributes
    ----------
    label : int
        The cell's number in `Segmentation.instances`, from 1.
    box : tuple of int
        x0, y0, x1, y1 in pixels, half-open.
    area : int
        Whole cell (nucleus and cytoplasm), pixels.
    nucleus_area : int
        Nucleus, pixels, 0 … area.
    nc_ratio : float
        Nucleus area over whole-cell area, 0 … 1.
    eccentricity : float
        Of the ellipse with the cell's second moments, 0 (circle) … 1 (line).
    circularity : float
        4π·area / perimeter², 0 … 1 (circle).
    solidity : float
        Area over area of the convex hull, 0 … 1.
    mean_color : tuple of float
        Mean R, G, B over the whole cell, 0 … 255.
    touches_border : bool
        Whether the cell is cut by the image's edge, so that its measures are of a part only.
    """

    label: int
    box: tuple[int, int, int, int]
    area: int
    nucleus_area: int
    nc_ratio: float
    eccentricity: float
    circularity: float
    solidity: float
    mean_color: tuple[float, float, float]
    touches_border: bool


@dataclass(frozen=True, eq=False)
class Segmentation:
    """White cells found in one image.

    Attributes
    ----------
    nucleus : numpy.ndarray
        bool, (H, W): nuclei of white cells. A subset of `cell`.
    cell : numpy.ndarray
        bool, (H, W): whole white cells, nucleus and cytoplasm. Equal to ``instances > 0``.
    instances : numpy.ndarray
        int32, (H, W): 0 where there is no white cell, else the cell's label, 1 … N.
    cells : tuple of Cell
        One per label, in the order of the labels (top to bottom, then left to right).
    method : str
        Name of the method that found them.
    """

    nucleus: np.ndarray
    cell: np.ndarray
    instances: np.ndarray
    cells: tuple[Cell, ...]
    method: str

    @property
    def cell_diameter(self) -> float | None:
        """Median equivalent diameter in pixels of the cells that no edge cuts (of all, if all are cut); None if none."""
        cells = [c for c in self.cells if not c.touches_border] or list(self.cells)
        return float(np.median([2 * (c.area / np.pi) ** 0.5 for c in cells])) if cells else None


# To be completed by the owner of this package: __post_init__ checks in both (expected … got …), arrays made read-only.
# leuk/segmentation/__init__.py exports: Cell, Segmentation, METHODS, DEFAULT_METHOD, segment
#   METHODS: mapping name -> Method(name, title, source (paper), find: (pixels) -> (nucleus mask, instance labels))
#   segment(image: SmearImage, method: str = DEFAULT_METHOD) -> Segmentation     (OptionError for an unknown method)

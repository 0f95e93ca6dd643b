"""What a segmentation is: masks, separate cells, and each cell's measures."""

from __future__ import annotations

import math
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
    nucleus_eccentricity, nucleus_circularity : float or None
        As of the cell, of its nucleus (all lobes together), 0 … 1; None without a nucleus.
    indentation : float or None
        Depth of the nucleus's deepest cleft over its diameter, 0 (round or oval) … 1; None without a nucleus. See
        `leuk.segmentation.morphometry.indentation`.
    lobes : int
        Parts of the nucleus that lie apart; 0 without a nucleus.
    chromatin_texture : float or None
        Spread of the nucleus's optical density in green over its mean, no unit, from 0 (even); None for a nucleus too
        small to tell.
    basophilia : float or None
        Mean optical density of the cytoplasm in red less that in blue: above 0 blue, below 0 pink; None where there is
        too little cytoplasm.
    nucleus_offset : float or None
        Way from the cell's centroid to the nucleus's over the cell's radius, 0 (central) … 1 (at the edge); None
        without a nucleus.

    Raises
    ------
    ValueError
        If a measure lies outside its range, or the measures contradict each other.
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
    nucleus_eccentricity: float | None = None
    nucleus_circularity: float | None = None
    indentation: float | None = None
    lobes: int = 0
    chromatin_texture: float | None = None
    basophilia: float | None = None
    nucleus_offset: float | None = None

    def __post_init__(self) -> None:
        if self.label < 1:
            raise ValueError(f"label: expected 1 or more, got {self.label}")
        if len(self.box) != 4:
            raise ValueError(f"box: expected x0, y0, x1, y1, got {len(self.box)} numbers")
        x0, y0, x1, y1 = self.box
        if not (0 <= x0 < x1 and 0 <= y0 < y1):
            raise ValueError(f"box: expected 0 <= x0 < x1 and 0 <= y0 < y1, got {self.box}")
        if not 1 <= self.area <= (x1 - x0) * (y1 - y0):
            raise ValueError(f"area: expected 1 to {(x1 - x0) * (y1 - y0)} (its box), got {self.area}")
        if not 0 <= self.nucleus_area <= self.area:
            raise ValueError(f"nucleus_area: expected 0 to {self.area} (the cell's area), got {self.nucleus_area}")
        for name in ("nc_ratio", "eccentricity", "circularity", "solidity"):
            value = getattr(self, name)
            if not 0 <= value <= 1:  # also refuses NaN
                raise ValueError(f"{name}: expected 0 to 1, got {value}")
        for name in ("nucleus_eccentricity", "nucleus_circularity", "indentation", "nucleus_offset"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name}: expected 0 to 1, got {value}")
        for name in ("lobes", "chromatin_texture"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{name}: expected 0 or more, got {value}")
        if self.basophilia is not None and not math.isfinite(self.basophilia):
            raise ValueError(f"basophilia: expected an optical density, got {self.basophilia}")
        if not math.isclose(self.nc_ratio, self.nucleus_area / self.area, abs_tol=1e-6):
            raise ValueError(f"nc_ratio: expected {self.nucleus_area} / {self.area}, got {self.nc_ratio}")
        if len(self.mean_color) != 3 or not all(0 <= c <= 255 for c in self.mean_color):
            raise ValueError(f"mean_color: expected R, G, B of 0 to 255 each, got {self.mean_color}")

    @property
    def diameter(self) -> float:
        """Diameter, in pixels, of the disk of the cell's area."""
        return 2 * math.sqrt(self.area / math.pi)

    @property
    def nucleus_diameter(self) -> float:
        """Diameter, in pixels, of the disk of the nucleus's area; 0 without a nucleus."""
        return 2 * math.sqrt(self.nucleus_area / math.pi)


@dataclass(frozen=True, eq=False)
class Segmentation:
    """White cells found in one image.

    Attributes
    ----------
    nucleus : numpy.ndarray
        bool, (H, W): nuclei of white cells. A subset of `cell`. Read-only.
    cell : numpy.ndarray
        bool, (H, W): whole white cells, nucleus and cytoplasm. Equal to ``instances > 0``. Read-only.
    instances : numpy.ndarray
        int32, (H, W): 0 where there is no white cell, else the cell's label, 1 … N. Read-only.
    cells : tuple of Cell
        One per label, in the order of the labels (top to bottom, then left to right).
    method : str
        Name of the method that found them.

    Raises
    ------
    TypeError
        If an array has another dtype.
    ValueError
        If the arrays differ in shape, the masks contradict the labels, or the cells do not match the labels.
    """

    nucleus: np.ndarray
    cell: np.ndarray
    instances: np.ndarray
    cells: tuple[Cell, ...]
    method: str

    def __post_init__(self) -> None:
        for name, dtype in (("nucleus", np.bool_), ("cell", np.bool_), ("instances", np.int32)):
            array = getattr(self, name)
            if not isinstance(array, np.ndarray) or array.dtype != dtype:
                got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
                raise TypeError(f"{name}: expected an array of {np.dtype(dtype)}, got {got}")
            if array.ndim != 2 or array.size == 0:
                raise ValueError(f"{name}: expected shape (H, W) of at least 1 x 1, got {array.shape}")
        for name in ("nucleus", "cell", "instances"):
            array = getattr(self, name)
            if array.shape != self.instances.shape:
                raise ValueError(f"{name}: expected the shape of instances {self.instances.shape}, got {array.shape}")
            # A view, so that the caller's own array is left as it was.
            view = array.view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)
        object.__setattr__(self, "cells", tuple(self.cells))
        if not np.array_equal(self.cell, self.instances > 0):
            raise ValueError("cell: expected instances > 0, got a mask that differs")
        if (self.nucleus & ~self.cell).any():
            raise ValueError("nucleus: expected a subset of cell, got pixels outside it")
        lowest, highest = int(self.instances.min()), int(self.instances.max())
        if lowest < 0 or highest != len(self.cells):
            raise ValueError(f"instances: expected labels 0 to {len(self.cells)}, got {lowest} to {highest}")
        for number, cell in enumerate(self.cells, start=1):
            if cell.label != number:
                raise ValueError(f"cells: expected label {number} at position {number - 1}, got {cell.label}")
            x0, y0, x1, y1 = cell.box
            area = int(np.count_nonzero(self.instances[y0:y1, x0:x1] == number))
            if area != cell.area:
                raise ValueError(f"cells: expected {cell.area} pixels of label {number} in its box, got {area}")
        if sum(cell.area for cell in self.cells) != int(np.count_nonzero(self.cell)):
            raise ValueError("cells: expected every labelled pixel inside its cell's box, got some outside")

    @property
    def cell_diameter(self) -> float | None:
        """Median equivalent diameter, pixels, of the cells that no edge cuts (of all, if all are cut); None if none."""
        cells = [c for c in self.cells if not c.touches_border] or list(self.cells)
        return float(np.median([2 * (c.area / np.pi) ** 0.5 for c in cells])) if cells else None

"""What was found of an image's cells, kept small: another model or heat map need not find them again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np

from leuk.cells import CellType
from leuk.segmentation import Cell, Segmentation
from leuk.segmentation.scale import Scale

LARGEST_LABEL = np.iinfo(np.uint16).max
"""Cells up to which their numbers fit into a 16-bit picture."""


@dataclass(frozen=True, eq=False)
class Found:
    """Cells, their types and the scale, all that is found before a model reads the image; masks as PNG.

    Attributes
    ----------
    sha256 : str
        Of the image that they were found in.
    method : str
        Way of finding cells.
    masks : mapping of str to bytes
        ``instances`` (16-bit) and ``nucleus``.
    cells : tuple of Cell
    cell_types : tuple of CellType
    scale : Scale or None
    """

    sha256: str
    method: str
    masks: Mapping[str, bytes] = field(repr=False)
    cells: tuple[Cell, ...]
    cell_types: tuple[CellType, ...]
    scale: Scale | None

    @classmethod
    def of(
        cls, sha256: str, segmentation: Segmentation, cell_types: tuple[CellType, ...], scale: Scale | None
    ) -> Found:
        """Encode what was found in the image of this hash; of at most `LARGEST_LABEL` cells."""
        if len(segmentation.cells) > LARGEST_LABEL:
            raise ValueError(f"expected at most {LARGEST_LABEL} cells, got {len(segmentation.cells)}")
        arrays: dict[str, np.ndarray] = {
            "instances": segmentation.instances.astype(np.uint16),
            "nucleus": segmentation.nucleus.astype(np.uint8),
        }
        masks = {name: cv2.imencode(".png", array)[1].tobytes() for name, array in arrays.items()}
        return cls(sha256, segmentation.method, masks, segmentation.cells, cell_types, scale)

    @property
    def segmentation(self) -> Segmentation:
        """The segmentation as it was."""
        instances, nucleus = (
            np.asarray(cv2.imdecode(np.frombuffer(self.masks[name], np.uint8), cv2.IMREAD_UNCHANGED))
            for name in ("instances", "nucleus")
        )
        labels = instances.astype(np.int32)
        return Segmentation(nucleus > 0, labels > 0, labels, self.cells, self.method)

    @property
    def nbytes(self) -> int:
        """Bytes held: the masks, and about what cells and types take."""
        return sum(map(len, self.masks.values())) + 2000 * len(self.cells)


class Memory:
    """What was found in the images of one visit, as much as fits; the longest unused goes first. For any thread.

    Parameters
    ----------
    most : int
        Bytes.
    """

    def __init__(self, most: int = 32 * 2**20) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str], Found] = OrderedDict()

    def get(self, sha256: str, method: str) -> Found | None:
        """Return what was found in an image in one way, or None."""
        with self._lock:
            found = self._kept.get((sha256, method))
            if found is not None:
                self._kept.move_to_end((sha256, method))
            return found

    def put(self, found: Found) -> None:
        """Keep what was found."""
        with self._lock:
            self._kept[found.sha256, found.method] = found
            self._kept.move_to_end((found.sha256, found.method))
            while sum(one.nbytes for one in self._kept.values()) > self._most:
                self._kept.popitem(last=False)

    def forget(self, sha256: str | None = None) -> None:
        """Forget what was found in one image, or in all."""
        with self._lock:
            for key in [key for key in self._kept if sha256 in (None, key[0])]:
                del self._kept[key]

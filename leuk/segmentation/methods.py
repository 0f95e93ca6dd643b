"""The methods to choose from, and the one call that runs any of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from scipy import ndimage

from leuk.errors import OptionError
from leuk.image import SmearImage
from leuk.segmentation import default, pipeline, recipes
from leuk.segmentation.field import find_field
from leuk.segmentation.grey import tint
from leuk.segmentation.morphometry import measure
from leuk.segmentation.values import Segmentation

Find = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Takes pixels, RGB uint8 (H, W, 3), which it must leave as they are; gives the nuclei, bool (H, W), and the whole
cells, int32 labels (H, W) with 0 outside. Neither the numbering nor gaps in it matter. Called by several threads."""


@dataclass(frozen=True)
class Method:
    """A way to find white cells.

    A trained network joins by being one of these: its `find` is a function of pixels like any other.

    Attributes
    ----------
    name : str
        What options and file names call it.
    title : str
        What a user reads.
    source : str
        The paper or the code that it comes from.
    find : callable
        From pixels to nuclei and labels, see `Find`.
    """

    name: str
    title: str
    source: str
    find: Find


def _prepared(find: Find) -> Find:
    """Let a method see a field without its surround and in even light, and a photograph without colour tinted."""

    def found(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        field = find_field(pixels)
        colored = tint(field.pixels)
        nucleus, labels = find(field.pixels if colored is None else colored)
        if field.surround is None:
            return nucleus, labels
        return nucleus & ~field.surround, np.where(field.surround, 0, labels).astype(np.int32)

    return found


DEFAULT_METHOD = "default"

METHODS: Mapping[str, Method] = MappingProxyType(
    {
        method.name: method
        for method in (
            Method(
                "default",
                "Dye and closed path, redrawn (Leuk)",
                "Leuk; the method below, lobes joined and outlines redrawn by a U-Net after Ronneberger et al. 2015",
                _prepared(pipeline.find),
            ),
            Method(
                "dye_and_path",
                "Dye and closed path (Leuk)",
                "Leuk; optical density after Ruifrok & Johnston 2001, circular paths after Appleton & Sun 2003",
                _prepared(default.dye_and_path),
            ),
            Method(
                "hsv",
                "HSV window (data set's own)",
                "Ghaderzadeh et al. 2022, doi 10.1002/int.22753",
                recipes.hsv_window,
            ),
            Method(
                "lab_kmeans",
                "L*a*b* k-means (Resnet152v2ALL)",
                "Maruf et al., arXiv 2508.17216",
                recipes.lab_kmeans,
            ),
            Method(
                "otsu_green",
                "Three-class Otsu on green",
                "Otsu 1979, IEEE Trans. SMC 9:62",
                recipes.otsu_green,
            ),
        )
    }
)


def in_reading_order(labels: np.ndarray) -> np.ndarray:
    """Renumber labels 1 … N from top to bottom, then left to right, by the top left corners of their boxes.

    Parameters
    ----------
    labels : numpy.ndarray
        int32, (H, W), 0 outside, gaps allowed.

    Returns
    -------
    numpy.ndarray
        int32, (H, W), without gaps.
    """
    found = [(box[0].start, box[1].start, label) for label, box in enumerate(ndimage.find_objects(labels), 1) if box]
    number = np.zeros(int(labels.max(initial=0)) + 1, dtype=np.int32)
    number[[label for _, _, label in sorted(found)]] = np.arange(1, len(found) + 1)
    return number[labels]


def segment(image: SmearImage, method: str = DEFAULT_METHOD) -> Segmentation:
    """Find the white cells of an image and measure them.

    Parameters
    ----------
    image : SmearImage
        The field, at any scale.
    method : str
        A key of `METHODS`.

    Returns
    -------
    Segmentation
        Possibly of no cells at all.

    Raises
    ------
    OptionError
        If there is no such method.
    """
    if method not in METHODS:
        raise OptionError(f"There is no segmentation method '{method}'; choose one of {', '.join(METHODS)}.")
    nucleus, labels = METHODS[method].find(image.pixels)
    instances = in_reading_order(labels)
    cell = instances > 0
    nucleus = nucleus & cell
    return Segmentation(nucleus, cell, instances, measure(image.pixels, nucleus, instances), method)

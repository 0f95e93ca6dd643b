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
from leuk.segmentation.cutouts import with_nuclei
from leuk.segmentation.field import Field, find_field
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
    prepared : bool
        Whether it is shown the field alone, in even light, and a photograph without colour tinted; the published
        recipes take a photograph as it is.
    one_outline : bool
        Whether one outline stands for nucleus and whole cell, so that nothing can be told of either by itself.
    """

    name: str
    title: str
    source: str
    find: Find
    prepared: bool = False
    one_outline: bool = False

    def locate(self, pixels: np.ndarray, field: Field | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Find nuclei and whole cells in a photograph.

        Parameters
        ----------
        pixels : numpy.ndarray
            RGB, uint8, (H, W, 3).
        field : Field, optional
            Of the same photograph, if it is at hand.

        Returns
        -------
        nucleus : numpy.ndarray
            bool, (H, W).
        labels : numpy.ndarray
            int32, (H, W), see `Find`.
        """
        if not self.prepared:
            return self.find(pixels)
        field = field or find_field(pixels)
        colored = tint(field.pixels)
        nucleus, labels = self.find(field.pixels if colored is None else colored)
        if field.cutouts is not None:
            return with_nuclei(nucleus, field.cutouts)
        if field.surround is None:
            return nucleus, labels
        return nucleus & ~field.surround, np.where(field.surround, 0, labels).astype(np.int32)


DEFAULT_METHOD = "default"

METHODS: Mapping[str, Method] = MappingProxyType(
    {
        method.name: method
        for method in (
            Method(
                "default",
                "Dye and closed path, redrawn (Leuk)",
                "Leuk; the method below, lobes joined and outlines redrawn by a U-Net after Ronneberger et al. 2015",
                pipeline.find,
                prepared=True,
            ),
            Method(
                "dye_and_path",
                "Dye and closed path (Leuk)",
                "Leuk; optical density after Ruifrok & Johnston 2001, circular paths after Appleton & Sun 2003",
                default.dye_and_path,
                prepared=True,
            ),
            Method(
                "hsv",
                "HSV window (data set's own)",
                "Ghaderzadeh et al. 2022, doi 10.1002/int.22753",
                recipes.hsv_window,
                one_outline=True,
            ),
            Method(
                "lab_kmeans",
                "L*a*b* k-means (Resnet152v2ALL)",
                "Maruf et al., arXiv 2508.17216",
                recipes.lab_kmeans,
                one_outline=True,
            ),
            Method(
                "otsu_green",
                "Three-class Otsu on green",
                "Otsu 1979, IEEE Trans. SMC 9:62",
                recipes.otsu_green,
                one_outline=True,
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


def segment(image: SmearImage, method: str = DEFAULT_METHOD, field: Field | None = None) -> Segmentation:
    """Find the white cells of an image and measure them.

    Parameters
    ----------
    image : SmearImage
        The field, at any scale.
    method : str
        A key of `METHODS`.
    field : Field, optional
        Of the same image, if it is at hand.

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
    field = field or find_field(image.pixels)
    nucleus, labels = METHODS[method].locate(image.pixels, field)
    instances = in_reading_order(labels)
    cell = instances > 0
    nucleus = nucleus & cell
    return Segmentation(nucleus, cell, instances, measure(image.pixels, nucleus, instances, field), method)

"""The default method: dye and closed paths, lobes joined and outlines redrawn by the segmenter, platelets left out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from leuk.models.cards import weights_folder
from leuk.segmentation.default import dye_and_path
from leuk.segmentation.lobes import join_lobes, without_platelets
from leuk.segmentation.network import NAME, load_segmenter, redraw, resized, windows, working_factor

if TYPE_CHECKING:
    from leuk.segmentation.unet import Segmenter

LARGEST_REDRAWN = 450_000
"""Pixels at the segmenter's scale up to which a whole image is redrawn, and beyond which only what lies around its
cells, if it is no more than that: a crowded camera field would take seconds."""
LARGE = 6_000_000
"""Pixels of a photograph beyond which that is no matter, since to read it takes seconds anyway."""


def find(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find white cells with the bundled segmenter, or without one where its weights are not there.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).

    Returns
    -------
    nucleus : numpy.ndarray
        bool, (H, W).
    labels : numpy.ndarray
        int32, (H, W): whole cells, 0 outside.

    Raises
    ------
    ModelError
        If the segmenter's weights are there but not whole.
    """
    folder = weights_folder()
    there = (folder / f"{NAME}.json").is_file()
    return find_with(functools.partial(load_segmenter, folder) if there else None, pixels)


def find_with(
    network: Callable[[], Segmenter] | None, pixels: np.ndarray, largest: int = LARGEST_REDRAWN
) -> tuple[np.ndarray, np.ndarray]:
    """Do what `find` does with a given segmenter, or with none.

    Parameters
    ----------
    network : callable or None
        Gives the segmenter; called only if there is a cell.
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).
    largest : int
        Pixels at the segmenter's scale up to which an image, or what lies around its cells, is redrawn.
    """
    nucleus, labels = dye_and_path(pixels)
    if network is not None:
        labels = join_lobes(network, pixels, nucleus, labels)
    labels = without_platelets(labels)
    nucleus = nucleus & (labels > 0)
    factor = working_factor(labels)
    if network is None or factor is None:
        return nucleus, labels
    if factor**2 * labels.size <= largest:
        return redraw(network(), pixels, nucleus, labels)
    small = resized((labels > 0).view(np.uint8), factor) > 0
    area = sum((rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in windows(small))
    if area > largest and labels.size < LARGE:
        return nucleus, labels
    return redraw(network(), pixels, nucleus, labels, around=area < small.size)

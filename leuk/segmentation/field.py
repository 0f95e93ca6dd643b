"""A photograph as what looks at it should see it: the field alone, in even light, with nothing written on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leuk.segmentation.cutouts import find_cutouts, on_background
from leuk.segmentation.illumination import evened, find_illumination
from leuk.segmentation.lettering import find_lettering, without
from leuk.segmentation.surround import covered, find_surround


@dataclass(frozen=True, eq=False)
class Field:
    """What of a photograph is to be looked at.

    Attributes
    ----------
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3): evenly lit, the field's own background where its surround was, and the colours around
        where a scale bar, lettering or a mark was; the photograph itself where there is nothing to change.
    surround : numpy.ndarray or None
        bool, (H, W), see `leuk.segmentation.surround.find_surround`.
    darkest : float
        Light at the darkest place relative to the brightest, 0 … 1; 1 where it is even.
    lettering : numpy.ndarray or None
        bool, (H, W), see `leuk.segmentation.lettering.find_lettering`.
    cutouts : numpy.ndarray or None
        int32, (H, W), see `leuk.segmentation.cutouts.find_cutouts`.
    """

    pixels: np.ndarray
    surround: np.ndarray | None
    darkest: float
    lettering: np.ndarray | None = None
    cutouts: np.ndarray | None = None

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the smallest box that holds the field; all where there is no surround."""
        height, width = self.pixels.shape[:2]
        if self.surround is None:
            return slice(0, height), slice(0, width)
        rows, columns = (np.flatnonzero(~self.surround.all(axis=axis)) for axis in (1, 0))
        return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was changed, one sentence each."""
        found = []
        if self.cutouts is not None:
            found.append(
                "Outlines are those that the cells were cut out by; for want of an empty background, colours were "
                "measured against the clearest in the cells."
            )
        if self.surround is not None:
            share = float(self.surround.mean())
            found.append(f"{100 * share:.0f} % of the picture lies around the field and was left out.")
        if self.darkest < 1:
            found.append(f"The light falls off to {100 * self.darkest:.0f} %; the field was read as if lit evenly.")
        if self.lettering is not None:
            found.append("A scale bar, lettering or a mark drawn in the picture was covered before it was read.")
        return tuple(found)


def find_field(pixels: np.ndarray) -> Field:
    """Find the field in a photograph, cover what is written on it, and even its light.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).
    """
    cutouts = find_cutouts(pixels)
    if cutouts is not None:
        return Field(on_background(pixels, cutouts), None, 1.0, cutouts=cutouts)
    lettering = find_lettering(pixels)
    if lettering is not None:
        pixels = without(pixels, lettering)
    surround = find_surround(pixels)
    light = find_illumination(pixels, surround)
    seen = pixels if light is None else evened(pixels, light)
    seen = seen if surround is None else covered(seen, surround)
    return Field(seen, surround, 1.0 if light is None else float(light.min()), lettering)

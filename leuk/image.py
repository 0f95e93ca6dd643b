"""The one way in for pixels: bytes or a path become a `SmearImage`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class SmearImage:
    """A decoded photograph of a smear, with nothing of its file's metadata.

    Attributes
    ----------
    pixels : numpy.ndarray
        RGB, uint8, shape (H, W, 3), both sides at least 1 pixel; read-only.
    sha256 : str
        SHA-256 of the original bytes (of the pixels, for an image made in memory), 64 hexadecimal digits.
    name : str
        What to call the image on a screen: the file's name without its folder.
    notes : tuple of str
        What was done on reading that a user should know, one sentence each (first page of several, 16 bits rescaled).
    """

    pixels: np.ndarray
    sha256: str
    name: str
    notes: tuple[str, ...] = ()

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])


# To be completed by the owner of this module:
#   SmearImage.__post_init__ checks (expected … got …), pixels made read-only
#   SmearImage.from_array(pixels, name="image") -> SmearImage
#   read_image(source: bytes | str | os.PathLike, name: str | None = None) -> SmearImage
#   (bytes need a name for messages; a path supplies its own)

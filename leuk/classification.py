"""From a `SmearImage` to a `Prediction`: scale, tiles, batches, calibrated probabilities, and "I can't tell"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CANNOT_TELL = "cannot_tell"


@dataclass(frozen=True)
class Tile:
    """One square of the image as the network read it.

    Attributes
    ----------
    box : tuple of int
        x0, y0, x1, y1 in the image's pixels, half-open.
    probabilities : tuple of float
        One per class, in the card's order, sum 1.
    weight : float
        This tile's share in the pooled probabilities, 0 … 1; the weights of an image sum to 1.
    """

    box: tuple[int, int, int, int]
    probabilities: tuple[float, ...]
    weight: float


@dataclass(frozen=True)
class Prediction:
    """What a model suggests for one image.

    Attributes
    ----------
    model : str
        Name of the model.
    classes : tuple of str
        Class keys in the card's order, for example ("benign", "early_pre_b", "pre_b", "pro_b").
    probabilities : tuple of float
        One per class, 0 … 1, sum 1; calibrated on fields the model had not seen.
    suggestion : str
        The class key suggested, or "cannot_tell".
    reasons : tuple of str
        Why there is no suggestion, or what limits it, one sentence each; empty when nothing does.
    outside : bool
        Whether the picture lies outside what the model has learnt from.
    tiles : tuple of Tile
        The squares read, at least one.
    scale : float
        Pixels of the training scale per pixel of this image (below 1: the image was reduced).
    """

    model: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    suggestion: str
    reasons: tuple[str, ...]
    outside: bool
    tiles: tuple[Tile, ...]
    scale: float

    @property
    def malignant_probability(self) -> float:
        """Probability of any class but benign, 0 … 1."""
        return float(1.0 - self.probabilities[self.classes.index("benign")])


__all__ = ["CANNOT_TELL", "Prediction", "Tile", "np"]

"""One image, one call: cells, reading and heat maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from leuk.classification import Prediction
from leuk.explanation import Explanation
from leuk.image import SmearImage
from leuk.segmentation import Segmentation

Progress = Callable[[float, str], None]
"""Called with the fraction done, 0 … 1, and a short name of the stage; raising `Cancelled` in it stops the work."""


@dataclass(frozen=True, eq=False)
class Analysis:
    """Everything Leuk has to say about one image.

    Attributes
    ----------
    image : SmearImage
    segmentation : Segmentation
    prediction : Prediction
    explanations : mapping of str to Explanation
        By class key; empty if none was asked for.
    """

    image: SmearImage
    segmentation: Segmentation
    prediction: Prediction
    explanations: Mapping[str, Explanation] = field(default_factory=dict)


# def analyze(image, *, model="reader", method="default", explain: str | None = None, device="cpu",
#             progress: Progress | None = None) -> Analysis
#     explain: one of EXPLAINERS -> a map for every class; None -> no maps

"""Analyses made by hand from synthetic smears whose truth is known: no network, no waiting."""

from __future__ import annotations

import numpy as np

from leuk.analysis import Analysis
from leuk.classification import Prediction, Tile
from leuk.data.synthetic import generate
from leuk.explanation import Explanation
from leuk.segmentation import Segmentation
from leuk.segmentation.morphometry import measure

CLASSES = ("benign", "early_pre_b", "pre_b", "pro_b")


def make(
    *,
    cells: int = 4,
    size: tuple[int, int] = (160, 120),
    suggestion: str = "pre_b",
    probabilities: tuple[float, ...] = (0.1, 0.2, 0.6, 0.1),
    outside: bool = False,
    cut_out: bool = False,
    heat: float | None = 0.8,
) -> Analysis:
    """Make an analysis; `heat` is the strength of the maps' upper left quarter, None for no maps."""
    smear = generate(7, *size, style="pre", cells=cells)
    segmentation = Segmentation(
        smear.nucleus,
        smear.cell,
        smear.instances,
        measure(smear.image.pixels, smear.nucleus, smear.instances),
        "default",
    )
    tile = Tile((0, 0, *size), probabilities, 1.0)
    reasons = ("The picture is unlike the fields that the model learnt from.",) if outside else ()
    prediction = Prediction(
        "reader", CLASSES, probabilities, suggestion, reasons, outside, (tile,), 1.0, cut_out=cut_out
    )
    maps = {}
    if heat is not None:
        values = np.zeros((6, 8), np.float32)
        values[:3, :4] = heat
        maps = {
            key: Explanation("gradcam", key, values * (i + 1) / 4, 0.25 + i / 10 if heat else None, 0.2)
            for i, key in enumerate(CLASSES)
        }
    return Analysis(smear.image, segmentation, prediction, maps)

"""Import torchvision, also where its compiled operators can't load.

The torchvision of the package registry is built for one build of torch; beside another (a CPU build, say) its shared
library doesn't load, and then its import fails over two operators for detecting objects, which Leuk never calls.
Declaring them, without code behind them, lets models and transforms be imported. An installation that works is left as
it is.

Import this module before torchvision and anything that imports torchvision (grad-cam does).
"""

from __future__ import annotations

import logging

import torch

logger = logging.getLogger(__name__)

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)

declared: torch.library.Library | None = None
"""Holds the declarations, which end with it; None where torchvision's own operators work."""

try:
    import torchvision
except RuntimeError as error:
    if "torchvision::" not in str(error):
        raise
    logger.info("torchvision's compiled operators can't load (%s); declaring them without code", error)
    declared = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        declared.define(schema)
    import torchvision

__all__ = ["declared", "torchvision"]

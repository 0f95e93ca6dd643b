"""Where in the image a class's score depends on it: class activation maps, and how much of their heat lies on cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from leuk import _torchvision  # noqa: F401 - before pytorch_grad_cam, which imports torchvision
from leuk.classification import View, inputs, to_tensor
from leuk.errors import OptionError
from leuk.models.preprocessing import CELLS
from leuk.models.store import Model
from leuk.segmentation import Segmentation

EXPLAINERS = ("gradcam", "gradcam++", "hirescam", "layercam", "eigencam")
_BATCH = 16


@dataclass(frozen=True, eq=False)
class Explanation:
    """A heat map of one class's score over one image.

    Attributes
    ----------
    method : str
        One of `EXPLAINERS`.
    target : str
        Class key whose score the map explains.
    heat : numpy.ndarray
        float32, (h, w), 0 … 1, in the image's frame but at the network's own coarse resolution: stretch it over the
        whole image to show it. 1 is the strength that the card calls strong, so a flat map stays dark.
    heat_on_cells : float or None
        Share of all heat that lies on white cells, 0 … 1; None where there is no heat.
    cells_share : float
        Share of what was read that white cells cover, 0 … 1: what heat_on_cells would be if heat fell evenly on it.
        Beyond the tiles of a large field there is no heat, and a model of single cells reads hardly more than cells.
    """

    method: str
    target: str
    heat: np.ndarray
    heat_on_cells: float | None
    cells_share: float

    def __post_init__(self) -> None:
        if self.method not in EXPLAINERS:
            raise ValueError(f"expected a method among {EXPLAINERS}, got {self.method!r}")
        if self.heat.ndim != 2 or self.heat.dtype != np.float32:
            raise ValueError(f"expected heat as float32 (h, w), got {self.heat.dtype} {self.heat.shape}")
        if self.heat.size and not (0 <= float(self.heat.min()) and float(self.heat.max()) <= 1):
            raise ValueError(f"expected heat of 0 … 1, got {self.heat.min()} … {self.heat.max()}")
        self.heat.setflags(write=False)


class _Unstretched:
    """Mixed into the library's classes: their maps as computed, neither stretched from min to max nor enlarged."""

    def compute_cam_per_layer(self, input_tensor: torch.Tensor, targets: Any, eigen_smooth: bool) -> np.ndarray:
        holder: Any = self
        activations = holder.activations_and_grads.activations[0].numpy()
        gradients = holder.activations_and_grads.gradients
        gradient = gradients[0].numpy() if gradients else None
        layer = holder.target_layers[0]
        maps = holder.get_cam_image(input_tensor, layer, targets, activations, gradient, eigen_smooth)
        return np.asarray(maps, dtype=np.float32)

    def aggregate_multi_layers(self, maps: np.ndarray) -> np.ndarray:
        return maps


class _Tail(nn.Module):
    """What a network does after its last activations, with a seam where the library can look at them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.seam = nn.Identity()
        # A method, not a part: the library must neither walk nor change the shared network.
        self._read = network.read
        # The library asks the first parameter where the network is.
        self.place = nn.Parameter(next(network.parameters()).new_empty(0), requires_grad=False)

    def forward(self, activations: torch.Tensor) -> torch.Tensor:
        return self._read(self.seam(activations))  # type: ignore[operator]


def _library(method: str) -> type:
    import pytorch_grad_cam as library

    classes = {
        "gradcam": library.GradCAM,
        "gradcam++": library.GradCAMPlusPlus,
        "hirescam": library.HiResCAM,
        "layercam": library.LayerCAM,
        "eigencam": library.EigenCAM,
    }
    return type(f"Unstretched{classes[method].__name__}", (_Unstretched, classes[method]), {})


def raw_maps(model: Model, tiles: np.ndarray, targets: Sequence[int], method: str) -> np.ndarray:
    """Compute maps of several classes over tiles, in the method's own units.

    Parameters
    ----------
    model : Model
    tiles : numpy.ndarray
        uint8, (T, S, S, 3), RGB, of which the model's preprocessing makes what its network takes; of single cells
        (T, S, S, 4).
    targets : sequence of int
        Class indices.
    method : str
        One of `EXPLAINERS`. Eigen-CAM knows no class: its maps are alike for all.

    Returns
    -------
    numpy.ndarray
        float32, (len(targets), T, h, w), ≥ 0, at the size of the network's last maps (S / 16 for the reader). For the
        reader's Grad-CAM and HiResCAM the unit is the class's logit: the mean over a tile, before negative values are
        cut, is the tile's logit less the bias.

    Raises
    ------
    OptionError
        If the method is unknown.
    ValueError
        If the tiles have another shape or type.

    References
    ----------
    Grad-CAM: R. Selvaraju et al., ICCV 2017. Grad-CAM++: A. Chattopadhay et al., WACV 2018. HiResCAM: R. Draelos and
    L. Carin, arXiv 2011.08891. LayerCAM: P.-T. Jiang et al., IEEE Trans Image Process 2021;30:5875. Eigen-CAM:
    M. Muhammad and M. Yeasin, IJCNN 2020.
    """
    if method not in EXPLAINERS:
        raise OptionError(f"There is no heat-map method {method!r}; choose one of: {', '.join(EXPLAINERS)}.")
    channels = 4 if model.card.preprocessing == CELLS else 3
    if tiles.dtype != np.uint8 or tiles.ndim != 4 or tiles.shape[3] != channels or tiles.shape[1] != tiles.shape[2]:
        raise ValueError(f"expected tiles as uint8 (T, S, S, {channels}), got {tiles.dtype} {tiles.shape}")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    given = inputs(model.card, tiles)
    wanted = list(targets) if method != "eigencam" else list(targets)[:1]
    network, maps = model.network, []
    # Activations are computed once for all classes, by a forward pass that nobody else can disturb. The library hooks
    # and differentiates only the tail, so that its cost is a few milliseconds; one caller at a time all the same.
    with torch.inference_mode():
        batches = [
            network.features(to_tensor(given[start : start + _BATCH], model.device))  # type: ignore[operator]
            for start in range(0, len(given), _BATCH)
        ]
    with model.lock:
        tail = _Tail(network)
        cam = _library(method)(model=tail, target_layers=[tail.seam])
        try:
            for target in wanted:
                for activations in batches:
                    start = activations.clone().requires_grad_(True)
                    maps.append(cam(input_tensor=start, targets=[ClassifierOutputTarget(target)] * len(start)))
        finally:
            cam.activations_and_grads.release()
    stacked = np.concatenate(maps).reshape(len(wanted), len(tiles), *maps[0].shape[1:])
    if method == "eigencam":
        # A principal direction has no sign of its own: the stronger side counts as heat.
        low, high = stacked.min(axis=(2, 3), keepdims=True), stacked.max(axis=(2, 3), keepdims=True)
        stacked = np.repeat(np.where(-low > high, -stacked, stacked), len(targets), axis=0)
    else:
        # The logit is read from a mean over the map, so gradients carry 1 / area: undo it, for tiles of any size.
        stacked = stacked * (stacked.shape[2] * stacked.shape[3])
    return np.maximum(stacked, 0).astype(np.float32)


def explain(
    model: Model, view: View, segmentation: Segmentation, method: str = "gradcam", targets: Sequence[str] | None = None
) -> dict[str, Explanation]:
    """Map where classes' scores depend on an image.

    Parameters
    ----------
    model : Model
    view : View
        The image as it was read.
    segmentation : Segmentation
        Of the same image.
    method : str
        One of `EXPLAINERS`.
    targets : sequence of str, optional
        Class keys; all of the card's by default.

    Returns
    -------
    dict of str to Explanation

    Raises
    ------
    OptionError
        If the method or a class is unknown.
    """
    classes = model.card.classes
    names = classes if targets is None else tuple(targets)
    unknown = [name for name in names if name not in classes]
    if unknown:
        raise OptionError(
            f"The model {model.card.name!r} has no class {unknown[0]!r}; choose one of: {', '.join(classes)}."
        )
    maps = raw_maps(model, view.tiles, [classes.index(name) for name in names], method)
    strong = float(model.card.strong[method])
    return {
        name: _assemble(method, name, np.clip(tiles / strong, 0, 1), view, segmentation)
        for name, tiles in zip(names, maps, strict=True)
    }


def _assemble(method: str, target: str, maps: np.ndarray, view: View, segmentation: Segmentation) -> Explanation:
    """Lay tiles' maps over the image, averaging where they overlap."""
    tile, step = view.tiles.shape[1], view.tiles.shape[1] // maps.shape[1]
    # A grid at a quarter of the stride: fine enough to place overlapping tiles, coarse enough to stay small. Single
    # cells have edges to keep to.
    alone = view.tiles.shape[3] == 4
    fine = max(1, step // (8 if alone else 4))
    height, width = -(-view.height // fine), -(-view.width // fine)
    total, count = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    side = -(-tile // fine)
    (first_x, first_y), (last_x, last_y) = (
        (at // fine for at in view.field[:2]),
        (-(-at // fine) for at in view.field[2:]),
    )
    for (x, y), coarse, shown in zip(view.places, maps, view.tiles, strict=True):
        enlarged = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR)
        # On what a tile leaves out around its cell no score can depend.
        seen = np.ones((side, side), np.float32)
        if alone:
            seen = cv2.resize(shown[..., 3].astype(np.float32) / 255, (side, side), interpolation=cv2.INTER_AREA)
        left, top = round(x / fine), round(y / fine)
        x0, y0 = max(first_x, left), max(first_y, top)
        x1, y1 = min(last_x, left + side), min(last_y, top + side)
        inner = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
        total[y0:y1, x0:x1] += (enlarged * seen)[inner]
        count[y0:y1, x0:x1] += seen[inner]
    heat = np.clip(total / np.maximum(count, 1), 0, 1).astype(np.float32)
    cells = cv2.resize(segmentation.cell.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    # Of the grid's squares at the field's edge only a part lies in it.
    across, down = (
        np.clip(np.minimum(np.arange(1, n + 1), last / fine) - np.maximum(np.arange(n), first / fine), 0, 1)
        for n, first, last in ((width, *view.field[::2]), (height, *view.field[1::2]))
    )
    inside = np.outer(down, across)

    def on_cells(weight: np.ndarray) -> float | None:
        within = weight * inside
        return min(1.0, float((within * cells).sum() / within.sum())) if within.any() else None

    return Explanation(method, target, heat, on_cells(heat), on_cells(np.minimum(count, 1)) or 0.0)

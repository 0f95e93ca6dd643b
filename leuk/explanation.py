"""Where in the image a class's score depends on it: class activation maps, and how much of their heat lies on cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from leuk import _torchvision  # noqa: F401 - before pytorch_grad_cam, which imports torchvision
from leuk.classification import View, inputs, to_tensor
from leuk.errors import ModelError, OptionError
from leuk.models.network import Network
from leuk.models.preprocessing import CELLS, CORNER_X, CORNER_Y
from leuk.models.store import Model
from leuk.segmentation import Segmentation

EXPLAINERS = ("gradcam", "gradcam++", "hirescam", "layercam", "eigencam")
PLACE_BY_PLACE = ("hirescam", "layercam")
"""Methods that weigh every place by its own gradient, and so can be drawn on early, fine maps, as LayerCAM's authors
do; the others weigh whole channels, which means something on the last maps only."""
FINE = 4
"""Pixels of a tile to a place of a map, up to which it is smoothed."""
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
        whole image to show it. 1 is the strength that the card calls strong, so a flat map stays dark; 0 in the corner
        that is covered before any network sees it.
    heat_on_cells : float or None
        Share of all heat that lies on white cells, 0 … 1; None where there is no heat.
    cells_share : float
        Share of what was read that white cells cover, 0 … 1: what heat_on_cells would be if heat fell evenly on it.
        Beyond the tiles of a large field there is no heat, and a model of single cells reads hardly more than cells.
    fine : bool
        Whether heat was drawn on maps finer than the network's last, which often don't tell where a score comes from:
        ``docs/heat.md``.
    """

    method: str
    target: str
    heat: np.ndarray
    heat_on_cells: float | None
    cells_share: float
    fine: bool = False

    def __post_init__(self) -> None:
        if self.method not in EXPLAINERS:
            raise ValueError(f"expected a method among {EXPLAINERS}, got {self.method!r}")
        if self.heat.ndim != 2 or self.heat.dtype != np.float32:
            raise ValueError(f"expected heat as float32 (h, w), got {self.heat.dtype} {self.heat.shape}")
        if self.heat.size and not (0 <= float(self.heat.min()) and float(self.heat.max()) <= 1):
            raise ValueError(f"expected heat of 0 … 1, got {self.heat.min()} … {self.heat.max()}")
        self.heat.setflags(write=False)


def _library(method: str) -> Any:
    """Return the library's method, for its arithmetic alone: it neither runs nor hooks the shared network."""
    import pytorch_grad_cam as library

    classes = {
        "gradcam": library.GradCAM,
        "gradcam++": library.GradCAMPlusPlus,
        "hirescam": library.HiResCAM,
        "layercam": library.LayerCAM,
        "eigencam": library.EigenCAM,
    }
    # It asks the first parameter where the network is.
    return classes[method](model=nn.Linear(1, 1), target_layers=[])


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
        float32, (len(targets), T, h, w), ≥ 0, at the size of the network's last maps (S / 16 for the reader), for
        `PLACE_BY_PLACE` at that of its fine ones (S / 4). For the reader's Grad-CAM the unit is the class's logit: the
        mean over a tile, before negative values are cut, is the tile's logit less the bias.

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
    network: Any = model.network
    given, wanted = inputs(model.card, tiles), list(targets) if method != "eigencam" else list(targets)[:1]
    begin, end = (network.fine, network.read_fine) if method in PLACE_BY_PLACE else (network.features, network.read)
    cam, maps = _library(method), [[] for _ in wanted]  # type: ignore[var-annotated]
    # One caller at a time: the graph of a batch takes memory.
    with model.lock:
        for start in range(0, len(given), _BATCH):
            with torch.inference_mode():
                found = begin(to_tensor(given[start : start + _BATCH], model.device))
            # All classes share the forward pass from here.
            found = found.clone().requires_grad_(True)
            with torch.enable_grad():
                logits = end(found)
            activations = found.detach().cpu().numpy()
            for target, drawn in zip(wanted, maps, strict=True):
                (slope,) = torch.autograd.grad(logits[:, target].sum(), found, retain_graph=True)
                drawn.append(cam.get_cam_image(None, None, None, activations, slope.cpu().numpy(), False))
    stacked = np.stack([np.concatenate(one) for one in maps]).astype(np.float32)
    if method == "eigencam":
        # A principal direction has no sign of its own: the stronger side counts as heat.
        low, high = stacked.min(axis=(2, 3), keepdims=True), stacked.max(axis=(2, 3), keepdims=True)
        stacked = np.repeat(np.where(-low > high, -stacked, stacked), len(targets), axis=0)
    else:
        # The logit is read from a mean over the map, so gradients carry 1 / area: undo it, for tiles of any size.
        stacked = stacked * (stacked.shape[2] * stacked.shape[3])
    stacked = np.maximum(stacked, 0)
    if method in PLACE_BY_PLACE and tiles.shape[1] // stacked.shape[2] <= FINE:
        # Maps this fine show the grid of the strides below them: each place takes from those beside it.
        for one in stacked.reshape(-1, *stacked.shape[2:]):
            cv2.GaussianBlur(one, (0, 0), 1, dst=one)
    return stacked


def peaks(maps: np.ndarray, side: int) -> np.ndarray:
    """Return how strong maps over tiles are, float (N,): their highest value, of fine maps that of the fiftieth part.

    Parameters
    ----------
    maps : numpy.ndarray
        float32, (N, h, w), of one class as `raw_maps` gives them.
    side : int
        Of the tiles, in pixels.
    """
    if side // maps.shape[1] > FINE:
        return np.asarray(maps.max(axis=(1, 2)))
    # Of thousands of places a single one says nothing, and by it all others would look pale.
    return np.asarray(np.quantile(maps, 0.98, axis=(1, 2)))


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
    ModelError
        If the model's card does not say how strong such maps are.
    """
    classes = model.card.classes
    names = classes if targets is None else tuple(targets)
    unknown = [name for name in names if name not in classes]
    if unknown:
        raise OptionError(
            f"The model {model.card.name!r} has no class {unknown[0]!r}; choose one of: {', '.join(classes)}."
        )
    maps = raw_maps(model, view.tiles, [classes.index(name) for name in names], method)
    if method not in model.card.strong:
        raise ModelError(
            f"The card of {model.card.name!r} does not say how strong maps by {method} are; restore it, or train anew."
        )
    strong = float(model.card.strong[method])
    network = model.network
    finer = isinstance(network, Network) and type(network).fine is not Network.fine
    return {
        name: replace(
            _assemble(method, name, np.clip(tiles / strong, 0, 1), view, segmentation),
            fine=finer and method in PLACE_BY_PLACE,
        )
        for name, tiles in zip(names, maps, strict=True)
    }


def _assemble(method: str, target: str, maps: np.ndarray, view: View, segmentation: Segmentation) -> Explanation:
    """Lay tiles' maps over the image; where they overlap, one passes into the other."""
    tile, step = view.tiles.shape[1], view.tiles.shape[1] // maps.shape[1]
    # A grid at a quarter of the stride: fine enough to place overlapping tiles, coarse enough to stay small. Single
    # cells have edges to keep to.
    alone = view.tiles.shape[3] == 4
    fine = max(2, step // (8 if alone else 4))
    height, width = -(-view.height // fine), -(-view.width // fine)
    total, count, shown = (np.zeros((height, width), np.float32) for _ in range(3))
    # The grid is laid over the whole image: its squares are that much smaller where they don't go into it evenly.
    down, across = view.height / height, view.width / width
    first_x, first_y = int(view.field[0] / across), int(view.field[1] / down)
    last_x, last_y = math.ceil(view.field[2] / across), math.ceil(view.field[3] / down)

    def laid(values: np.ndarray, x: int, y: int, x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
        """Return a part of the grid from a map over a tile at x, y, between whose places it lies exactly."""
        place = tile / values.shape[1]
        matrix = np.array(
            [
                [across / place, 0, ((x0 + 0.5) * across - x) / place - 0.5],
                [0, down / place, ((y0 + 0.5) * down - y) / place - 0.5],
            ]
        )
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(
            cv2.warpAffine(values, matrix, (x1 - x0, y1 - y0), flags=how, borderMode=cv2.BORDER_REPLICATE)
        )

    def depth(first: int, last: int, each: float, start: int) -> np.ndarray:
        """Return how deep the middles of squares lie in a tile, as seen along one axis."""
        middles = (np.arange(first, last) + 0.5) * each - start
        return np.maximum(np.minimum(middles, tile - middles), 1e-3).astype(np.float32)

    for (x, y), coarse, pixels in zip(view.places, maps, view.tiles, strict=True):
        # The squares whose middle lies in the tile and in the field.
        x0, y0 = max(first_x, math.ceil(x / across - 0.5)), max(first_y, math.ceil(y / down - 0.5))
        x1, y1 = (
            min(last_x, math.ceil((x + tile) / across - 0.5)),
            min(last_y, math.ceil((y + tile) / down - 0.5)),
        )
        if x0 >= x1 or y0 >= y1:
            continue
        box, part = (x, y, x0, y0, x1, y1), np.s_[y0:y1, x0:x1]
        if alone:
            # On what a tile leaves out around its cell no score can depend.
            seen = laid(pixels[..., 3].astype(np.float32) / 255, *box)
            weight = seen
        else:
            # A mean of two maps would end as abruptly at each one's edge as the maps do.
            seen = np.ones((y1 - y0, x1 - x0), np.float32)
            weight = np.outer(depth(y0, y1, down, y), depth(x0, x1, across, x))
        total[part] += laid(coarse, *box) * weight
        count[part] += weight
        shown[part] += seen
    # What is covered before any network sees it (`hide_corner`) no score can depend on.
    corner_x = math.ceil((view.field[0] + CORNER_X * (view.field[2] - view.field[0])) / across)
    corner_y = math.ceil((view.field[1] + CORNER_Y * (view.field[3] - view.field[1])) / down)
    for one in (total, count, shown):
        one[corner_y:last_y, corner_x:last_x] = 0
    least = 1.0 if alone else np.finfo(np.float32).tiny
    heat = np.clip(total / np.maximum(count, least), 0, 1).astype(np.float32)
    cells = cv2.resize(segmentation.cell.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    # Of the grid's squares at the field's edge only a part lies in it.
    columns, rows = (
        np.clip(np.minimum(np.arange(1, n + 1), last / each) - np.maximum(np.arange(n), first / each), 0, 1)
        for n, each, first, last in ((width, across, *view.field[::2]), (height, down, *view.field[1::2]))
    )
    inside = np.outer(rows, columns)

    def on_cells(weight: np.ndarray) -> float | None:
        within = weight * inside
        return min(1.0, float((within * cells).sum() / within.sum())) if within.any() else None

    return Explanation(method, target, heat, on_cells(heat), on_cells(np.minimum(shown, 1)) or 0.0)

"""A small network redraws what dye and closed paths found.

That method carries over to laboratories that nobody has seen, since it learns each image's colours from that image;
what it lacks is knowledge of how cells look. The network is shown the image at the scale that was measured, together
with those masks, and draws nuclei, cells and depths. Where its drawing is withheld it errs as networks do on unseen
stains; with it, it has little to lose. Taking cells apart is plain watershed on the depths.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from scipy import ndimage
from skimage.segmentation import expand_labels, watershed

from leuk.errors import ModelError
from leuk.models.cards import read_as, write_card
from leuk.segmentation import instances
from leuk.segmentation.recipes import fill_holes

if TYPE_CHECKING:
    from torch import Tensor

    from leuk.segmentation.unet import Segmenter

NAME = "segmenter"
DIAMETER = 42.0
"""Diameter in pixels to which cells are brought for the network."""
FINE = 52.0
"""The same where that makes a small image: edges are finer, for more work."""
LARGEST_VIEWED = 200_000
"""Pixels at that scale, over all views, up to which an image is seen from several sides."""
LARGEST_FACTOR = 2.5
LARGEST_WORK = 4_000_000
"""Pixels to which an image is brought at most, whatever the size of its cells."""
AROUND, SURE = 48, 24
"""Pixels around a cell that the network is shown of a large field, and those of them of which it is asked."""
TILE, OVERLAP = 512, 96
TRUST = 0.95
"""How much the network's masks weigh against those it was given, 0 … 1: it must be sure to overrule them."""
LEAST_LEFT = 0.3
"""Share of a given cell that the network must keep."""
LEAST_ADDED = 0.15
"""Area, in squares of the cells' diameter (a disk has 0.79), of the smallest cell that only the network sees."""
SEVERAL, CLUMP, PART, FILLED = 4, 1.5, 0.45, 0.72
"""Parts of a cell are cells if together they have `CLUMP` times the median area of so many cells or more, and each
`PART` of it; or if they are alike in size and of that N:C ratio."""
SADDLE = 0.72
"""Parts of a cell mask whose depths dip to less than this share of the shallower one's are two cells."""


@dataclass(frozen=True, eq=False)
class SegmenterCard:
    """What stands beside the segmenter's weights.

    Attributes
    ----------
    name, title : str
    kind : str
        "segmenter", by which it is told from models that classify.
    widths : tuple of int
        Of the network.
    sha256 : str
        Of the weights file.
    cell_diameter : float
        Pixels to which cells are brought.
    training, metrics : mapping
        Data, recipe, versions; figures by source.
    limits : tuple of str
    """

    name: str
    title: str
    kind: str
    widths: tuple[int, ...]
    sha256: str
    cell_diameter: float
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    limits: tuple[str, ...] = ()


def read_segmenter_card(path: Path) -> SegmenterCard:
    """Read the segmenter's card.

    Raises
    ------
    ModelError
        If the file is missing, is no JSON, or lacks a field.
    """
    try:
        return read_as(SegmenterCard, path, ("widths", "limits"))
    except FileNotFoundError:
        raise ModelError(f"There is no {path.name} among the weights; restore it or choose another method.") from None


def save_segmenter(folder: Path, card: SegmenterCard, network: Segmenter) -> SegmenterCard:
    """Write weights in half precision and their card, whose SHA-256 is filled in and which is returned."""
    from leuk.models.weights import rounded, write_weights

    written = replace(card, sha256=write_weights(folder, card.name, rounded(network))[0])
    write_card(written, folder / f"{card.name}.json")
    return written


@functools.lru_cache(maxsize=2)
def load_segmenter(folder: Path) -> Segmenter:
    """Load the segmenter from a folder of weights, once a process.

    Returns
    -------
    Segmenter
        In evaluation mode, norms folded into the convolutions; shared by threads.

    Raises
    ------
    ModelError
        If the weights are missing, are not those that the card describes, or do not fit the network.
    """
    import torch

    from leuk.models.weights import fitting, read_weights
    from leuk.segmentation.unet import Segmenter, folded

    card, what = read_segmenter_card(folder / f"{NAME}.json"), "the segmenter"
    tensors = read_weights(folder, NAME, card.sha256, what=what)
    with fitting(what):
        network = Segmenter(card.widths)
        network.load_state_dict(tensors)
    return folded(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def redraw(
    network: Segmenter, pixels: np.ndarray, nucleus: np.ndarray, labels: np.ndarray, *, around: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Draw anew what has been found, at the network's scale.

    Outlines are the network's and, to a lesser part (`TRUST`), those given. Cells stay apart as they were given, and
    clumps are taken apart; a cell of which the network keeps little is dropped, and one that only the network sees is
    added.

    Parameters
    ----------
    network : Segmenter
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).
    nucleus : numpy.ndarray
        bool, (H, W).
    labels : numpy.ndarray
        int32, (H, W): whole cells, 0 outside, gaps allowed.
    around : bool
        Look at the cells given and what lies around them, and at nothing else: for large fields with few cells. None is
        then added elsewhere.

    Returns
    -------
    nucleus : numpy.ndarray
        bool, (H, W).
    labels : numpy.ndarray
        int32, (H, W), gaps allowed.
    """
    height, width = labels.shape
    diameter, views = _look(labels)
    factor = working_factor(labels, diameter)
    if factor is None:
        return nucleus, labels
    small = resized(np.dstack([nucleus, labels > 0]).view(np.uint8) * np.uint8(255), factor)
    seen = resized(pixels, factor)
    maps = _around(network, seen, small) if around else _viewed(network, seen, small, views)
    given = cv2.GaussianBlur(small.astype(np.float32) / 255, (0, 0), 1.0).transpose(2, 0, 1)
    maps[:2] = TRUST * maps[:2] + (1 - TRUST) * given
    own = separate(maps, diameter)[1]
    apart = _parted(own, maps[0] > 0.5, nearest(labels, (maps.shape[2], maps.shape[1])))
    # What lies at a window's rim may be part of a cell.
    cells = _kept_apart(own, apart, math.inf if around else LEAST_ADDED * diameter**2)
    # Masks are enlarged as the soft maps, whose level line is finer than their pixels.
    large = [cv2.resize(maps[i], (width, height), interpolation=cv2.INTER_LINEAR) > 0.5 for i in (0, 1)]
    spread = brought(expand_labels(cells, 2).astype(np.int32), (height, width))
    rim = cv2.dilate((cells > 0).astype(np.uint8), np.ones((3, 3), np.uint8))
    near = cv2.resize(rim, (width, height), interpolation=cv2.INTER_NEAREST).astype(np.bool_)
    # In place: of a camera's 48 megapixels each copy of the labels would be 190 MB.
    spread[~(large[1] & near)] = 0
    _keep_largest_parts(spread)
    return large[0] & (spread > 0), spread


def working_factor(labels: np.ndarray, to: float = DIAMETER) -> float | None:
    """Return the factor that brings an image's cells to a diameter in pixels, None if there are none."""
    diameter = typical_diameter(labels)
    if diameter is None:
        return None
    return min(LARGEST_FACTOR, to / diameter, math.sqrt(LARGEST_WORK / labels.size))


def _look(labels: np.ndarray) -> tuple[float, int]:
    """Choose how closely `redraw` looks: the cells' diameter in pixels, and the number of views, 1, 2, 4 or 8."""
    area = (working_factor(labels, FINE) or 0.0) ** 2 * labels.size
    for views in (8, 4, 2, 1):
        if views * area <= LARGEST_VIEWED:
            return FINE, views
    return DIAMETER, 1


def _viewed(network: Segmenter, pixels: np.ndarray, sketch: np.ndarray, views: int) -> np.ndarray:
    """Return the mean of what `predict` draws of an image turned and mirrored in 1, 2, 4 or 8 ways."""
    total = np.zeros((3, *pixels.shape[:2]), np.float32)
    for number in range(views):
        # The first two differ by half a turn, the first four by their diagonals too, the rest are mirrored.
        step = (-1 if (number & 1) ^ (number >> 2) else 1), (-1 if number & 1 else 1)

        def seen(array: np.ndarray, step: tuple[int, int] = step, across: int = number & 2) -> np.ndarray:
            turned = array[:: step[0], :: step[1]]
            return np.ascontiguousarray(turned.swapaxes(0, 1) if across else turned)

        maps = predict(network, seen(pixels), seen(sketch)).transpose(1, 2, 0)
        total += (maps.swapaxes(0, 1) if number & 2 else maps)[:: step[0], :: step[1]].transpose(2, 0, 1)
    return total / views


def windows(cell: np.ndarray) -> list[tuple[slice, slice]]:
    """Return boxes that hold all cells of a mask, bool (h, w), and `AROUND` pixels around each."""
    spread = cv2.dilate(cell.astype(np.uint8), np.ones((2 * SURE + 1, 2 * SURE + 1), np.uint8))
    boxes = ndimage.find_objects(cv2.connectedComponents(spread, connectivity=8)[1])
    return [_widened(box, AROUND - SURE, cell.shape) for box in boxes]


def _widened(box: tuple[slice, slice], by: int, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Widen a box, or with a negative number narrow it, but for its sides on the edge of the image."""
    rows, columns = (
        slice(
            0 if side.start == 0 else max(0, side.start - by), full if side.stop == full else min(full, side.stop + by)
        )
        for side, full in zip(box, shape, strict=True)
    )
    return rows, columns


def _around(network: Segmenter, pixels: np.ndarray, sketch: np.ndarray) -> np.ndarray:
    """Return what `predict` draws of the cells sketched and what is near them; elsewhere there is nothing."""
    light = light_of(pixels)
    maps = np.zeros((3, *pixels.shape[:2]), np.float32)
    for box in windows(sketch[:, :, 1] > 127):
        drawn = predict(network, np.ascontiguousarray(pixels[box]), np.ascontiguousarray(sketch[box]), light)
        kept = _widened(box, SURE - AROUND, maps.shape[1:])
        inner = tuple(slice(k.start - b.start, k.stop - b.start) for k, b in zip(kept, box, strict=True))
        # Where windows overlap, both see what lies there; a cell is drawn whole by its own.
        maps[:, kept[0], kept[1]] = np.maximum(maps[:, kept[0], kept[1]], drawn[:, inner[0], inner[1]])
    return maps


def _kept_apart(own: np.ndarray, given: np.ndarray, least: float) -> np.ndarray:
    """Part the cells that the network draws as they were given, and drop new ones below an area: int32, (h, w)."""
    size = np.bincount(given.ravel())
    left = np.bincount(given[own > 0], minlength=len(size))
    kept = left > LEAST_LEFT * size
    kept[0] = False
    marks = np.where(kept[given] & (own > 0), given, 0)
    met = np.zeros(int(own.max()) + 1, bool)
    met[np.unique(own[marks > 0])] = True
    new = ~met & (np.bincount(own.ravel()) >= least)
    marks = np.where((own > 0) & new[own], own + len(size), marks)
    return np.where((own > 0) & (met | new)[own], expand_labels(marks, FINE), 0).astype(np.int32)


def _parted(own: np.ndarray, nucleus: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Take given cells apart where the network draws several: int32, (h, w).

    A cell of a segmented nucleus may be drawn as several too. Its parts are together of one cell's size, and full of
    cytoplasm; those of a clump are of a cell's size each, or are filled by their nuclei as blasts are.
    """
    size = np.bincount(own.ravel())[1:]
    size = size[size > 0]
    typical = float(np.median(size)) if len(size) >= SEVERAL else math.inf
    parted, first = given.copy(), int(given.max()) + 1
    for g, box in enumerate(ndimage.find_objects(given), start=1):
        if box is None:
            continue
        here, drawn = given[box] == g, own[box]
        parts = np.bincount(drawn[here], minlength=2)
        parts[0] = 0
        whole = np.flatnonzero(parts > PART * typical)
        if len(whole) < 2 or parts[whole].sum() < CLUMP * typical:
            inner = np.bincount(drawn[here & nucleus[box]], minlength=len(parts))
            whole = np.flatnonzero((parts > PART * parts.max()) & (inner > FILLED * parts))
        if len(whole) > 1:
            marks = np.where(here & np.isin(drawn, whole), drawn + first, 0)
            parted[box][here] = watershed(np.zeros(here.shape), marks, mask=here)[here]
            first += len(parts)
    return parted


def brought(labels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bring labels to the size of an image, (H, W)."""
    if labels.shape[0] < shape[0]:
        return instances.enlarged(labels, *shape)
    return nearest(labels, (shape[1], shape[0]))


def nearest(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize labels to a width and height, without mixing them."""
    # OpenCV takes no int32, and float32 holds every label there can be.
    return cv2.resize(labels.astype(np.float32), size, interpolation=cv2.INTER_NEAREST).astype(np.int32)


def resized(pixels: np.ndarray, factor: float) -> np.ndarray:
    """Resize by averaging or, enlarging, by interpolation."""
    size = max(8, round(pixels.shape[1] * factor)), max(8, round(pixels.shape[0] * factor))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)


def typical_diameter(labels: np.ndarray) -> float | None:
    """Typical diameter of the cells, each counted by its area so that specks have no say; of whole ones if any are."""
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    if not areas.any():
        return None
    cut = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    inner = areas.copy()
    inner[cut] = 0
    # Parts of cells say little, unless the whole ones are specks beside them.
    if inner.sum() > 0.25 * areas.sum():
        areas = inner
    areas = np.sort(areas[areas > 0])
    return float(2 * np.sqrt(areas[np.searchsorted(np.cumsum(areas), areas.sum() / 2)] / np.pi))


def predict(
    network: Segmenter, pixels: np.ndarray, sketch: np.ndarray, light: tuple[Tensor, Tensor] | None = None
) -> np.ndarray:
    """Run the network on an image at its working scale, tile by tile where it is large.

    Parameters
    ----------
    network : Segmenter
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).
    sketch : numpy.ndarray
        uint8, (H, W, 2): nuclei and whole cells as the default method finds them, 0 … 255.
    light : tuple of torch.Tensor, optional
        Of the image that `pixels` is cut from, see `light_of`; by default of `pixels`.

    Returns
    -------
    numpy.ndarray
        float32, (3, H, W): nucleus, cell, depth, each 0 … 1. Tiles overlap and are blended, so that no seam shows.
    """
    import torch

    from leuk.segmentation.unet import normalize

    height, width = pixels.shape[:2]
    margin = 16
    with torch.inference_mode():
        x = normalize(_tensor(pixels), light)
        seen = torch.from_numpy(np.ascontiguousarray(sketch)).permute(2, 0, 1)[None].float() / 127.5 - 1
        x = torch.cat([x, seen], 1)
        # What lies beyond the edge is taken to mirror what lies within.
        stride = network.stride
        down, right = -height % stride + margin, -width % stride + margin
        array = np.pad(x[0].numpy(), [(0, 0), (margin, down), (margin, right)], mode="symmetric")
        x = torch.from_numpy(array)[None].contiguous(memory_format=torch.channels_last)
        if max(x.shape[2:]) <= TILE + OVERLAP:
            y = network(x)[0].sigmoid_().numpy()
        else:
            y = _tiled(network, x)
    return np.ascontiguousarray(y[:, margin : margin + height, margin : margin + width])


def light_of(pixels: np.ndarray) -> tuple[Tensor, Tensor]:
    """Measure an image's light and stain, RGB uint8 (H, W, 3), for `predict` on parts of it."""
    from leuk.segmentation import unet

    return unet.light_of(_tensor(pixels))


def _tensor(pixels: np.ndarray) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float().div_(255)


def _tiled(network: Segmenter, x: Any) -> np.ndarray:
    """Blend the maps of overlapping tiles of a padded image: float32, (3, H, W)."""
    height, width = x.shape[2:]
    total = np.zeros((3, height, width), np.float32)
    weight = np.zeros((height, width), np.float32)
    rows, columns = _starts(height, network.stride), _starts(width, network.stride)
    for y0 in rows:
        for x0 in columns:
            y1, x1 = min(height, y0 + TILE), min(width, x0 + TILE)
            maps = network(x[:, :, y0:y1, x0:x1])[0].sigmoid_().numpy()
            share = np.outer(_ramp(y0, y1, height), _ramp(x0, x1, width))
            total[:, y0:y1, x0:x1] += maps * share
            weight[y0:y1, x0:x1] += share
    return total / weight


def _starts(length: int, stride: int) -> list[int]:
    """Where tiles begin along one side, multiples of the stride, so that all are pooled alike."""
    if length <= TILE:
        return [0]
    count = math.ceil((length - OVERLAP) / (TILE - OVERLAP))
    last = length - TILE
    return [round(last * i / (count - 1) / stride) * stride for i in range(count)]


def _ramp(start: int, stop: int, length: int) -> np.ndarray:
    """Weight along a tile: rising from an inner edge over the overlap, the outermost 24 pixels counting for nothing."""
    place = np.arange(start, stop, dtype=np.float32)
    ramp = np.ones(stop - start, np.float32)
    if start > 0:
        ramp = np.minimum(ramp, np.clip((place - start - 23) / (OVERLAP - 48), 1e-4, 1))
    if stop < length:
        ramp = np.minimum(ramp, np.clip((stop - place - 24) / (OVERLAP - 48), 1e-4, 1))
    return ramp


def separate(maps: np.ndarray, diameter: float = DIAMETER) -> tuple[np.ndarray, np.ndarray]:
    """Turn maps into separate cells, each with some nucleus.

    Parameters
    ----------
    maps : numpy.ndarray
        float32, (3, H, W), see `predict`.
    diameter : float
        To which the cells were brought, pixels.

    Returns
    -------
    nucleus : numpy.ndarray
        bool, (H, W).
    labels : numpy.ndarray
        int32, (H, W), gaps allowed.
    """
    nucleus, cell = maps[0] > 0.5, maps[1] > 0.5
    least = 0.06 * diameter**2
    cell = fill_holes(instances.drop_small(cell | nucleus, least), smaller_than=int(0.3 * diameter**2))
    nucleus = fill_holes(nucleus & cell, smaller_than=int(0.05 * diameter**2))
    if not cell.any():
        return nucleus, np.zeros(cell.shape, np.int32)
    depth = cv2.GaussianBlur(maps[2], (0, 0), 1.5)
    around = cv2.dilate(depth, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7)))
    peaks = (depth >= around) & cell & (depth > 0.2)
    markers = cv2.connectedComponents(peaks.astype(np.uint8), connectivity=8)[1]
    bodies = cv2.connectedComponents(cell.astype(np.uint8), connectivity=4)[1]
    # A body too shallow to have a peak is one cell.
    without = np.bincount(bodies.ravel(), weights=(markers > 0).ravel()) == 0
    without[0] = False
    markers = np.where(without[bodies], bodies + markers.max(), markers)
    labels = watershed(-depth, markers, mask=cell).astype(np.int32)
    labels = _joined(labels, depth, nucleus, least)
    return nucleus & (labels > 0), labels


def _joined(labels: np.ndarray, depth: np.ndarray, nucleus: np.ndarray, least: float) -> np.ndarray:
    """Put together the parts of one cell, and drop what has no nucleus or is smaller than `least`."""
    labels = np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)
    count = int(labels.max())
    peak = instances.greatest(depth, labels, count)
    area = np.bincount(labels.ravel(), minlength=count + 1).astype(float)
    inner = np.bincount(labels.ravel(), weights=nucleus.ravel(), minlength=count + 1)
    neighbours = instances.by_label(instances.saddles(labels, depth))

    def evidence(x: int, y: int) -> float:
        share = neighbours[x][y] / max(min(peak[x], peak[y]), 1e-3) - SADDLE
        # A part without a nucleus of its own is part of its neighbour.
        return share + (0.5 if min(inner[x] / area[x], inner[y] / area[y]) < 0.08 else 0.0)

    def absorb(x: int, y: int) -> None:
        area[x] += area[y]
        inner[x] += inner[y]
        peak[x] = max(peak[x], peak[y])

    parent = instances.unite(count, neighbours, evidence, absorb)
    labels = parent[labels].astype(np.int32)
    keep = (inner > 0.05 * area) & (area > least)
    keep[0] = False
    return np.where(keep[labels], labels, 0).astype(np.int32)


def _keep_largest_parts(labels: np.ndarray) -> None:
    """Keep of each label its largest connected part, in place."""
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        mask = labels[box] == label
        count, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
        if count > 2:
            largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
            labels[box][mask & (parts != largest)] = 0

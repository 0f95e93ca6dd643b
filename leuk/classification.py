"""From a `SmearImage` to a `Prediction`: scale, tiles, batches, calibrated probabilities, and "I can't tell"."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import nn

from leuk.image import SmearImage
from leuk.models.cards import Card
from leuk.models.cell_reader import SIDE, ZOOM, cell_tile, field_density, no_cell, spots
from leuk.models.preprocessing import CELLS, PHOTO_SIDE, hide_corner, preprocess
from leuk.models.store import Model, available, load_model
from leuk.probability import softmax
from leuk.segmentation import Segmentation
from leuk.segmentation.field import Field, find_field
from leuk.segmentation.network import nearest

CANNOT_TELL = "cannot_tell"
# A photograph of the training fields' own size is taken to be of their magnification unless its cells are this much
# larger or smaller: in some of those fields they are by nearly as much. Of any other size, the cells alone tell.
SCALE_TOLERANCE = 2.0
LARGEST_READ = 40_000_000
"""Pixels at the training scale up to which an image is read; a larger one is read smaller than trained on."""
# A field of more tiles than this is read where most white cells are.
MOST_TILES = 48
# Of more cells than this, evenly spread ones are read.
MOST_CELLS = 240
_BATCH = 16


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
    cell : int or None
        Label of the one cell that the tile shows, from 1 in the segmentation's order; None for a tile of the field.
    """

    box: tuple[int, int, int, int]
    probabilities: tuple[float, ...]
    weight: float
    cell: int | None = None

    def __post_init__(self) -> None:
        _check_probabilities(self.probabilities)
        x0, y0, x1, y1 = self.box
        if not (0 <= x0 < x1 and 0 <= y0 < y1):
            raise ValueError(f"expected a box x0 < x1, y0 < y1 from 0, got {self.box}")


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
        Pixels of what was read per pixel of this image (below 1: the image was reduced): of the training scale, for a
        network that is shown cells alone of its tiles.
    read_by : str
        What the tiles are: "tiles" of the field, or its "cells", one each.
    cut_out : bool
        Whether the picture shows cells that were cut out of their field.
    farness : float
        How far the picture lies from what the model has learnt from, in units of the distance up to which one counts
        as known: above 1 it lies outside.
    """

    model: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    suggestion: str
    reasons: tuple[str, ...]
    outside: bool
    tiles: tuple[Tile, ...]
    scale: float
    read_by: str = "tiles"
    cut_out: bool = False
    farness: float = 0.0

    def __post_init__(self) -> None:
        if len(self.probabilities) != len(self.classes):
            raise ValueError(f"expected {len(self.classes)} probabilities, got {len(self.probabilities)}")
        _check_probabilities(self.probabilities)
        if self.suggestion not in (*self.classes, CANNOT_TELL):
            raise ValueError(f"expected a suggestion among {(*self.classes, CANNOT_TELL)}, got {self.suggestion!r}")
        if not self.tiles:
            raise ValueError("expected at least one tile, got none")

    @property
    def malignant_probability(self) -> float:
        """Probability of any class but benign, 0 … 1."""
        return float(1.0 - self.probabilities[self.classes.index("benign")])


def _check_probabilities(probabilities: Sequence[float]) -> None:
    if not all(0 <= p <= 1 for p in probabilities) or abs(sum(probabilities) - 1) > 1e-4:
        raise ValueError(f"expected probabilities of 0 … 1 with sum 1, got {tuple(probabilities)}")


@dataclass(frozen=True, eq=False)
class View:
    """An image as a network reads it: at the training scale, in tiles, or in single cells.

    Attributes
    ----------
    scale : float
        Pixels of what is read per pixel of the image: of the training scale, for a network that is shown cells alone of
        its tiles.
    height, width : int
        Of the image at the training scale, before padding.
    tiles : numpy.ndarray
        uint8, (T, S, S, 3), T ≥ 1; for a network that is shown cells alone (T, S, S, 4), a cell each.
    places : tuple of tuple
        x, y of each tile's top left corner at the training scale; before the field's where this is smaller than a tile
        and was continued by its mirror image.
    weights : numpy.ndarray
        float, (T,), sum 1: each tile's share of the white-cell area; of single cells all alike.
    remarks : tuple of str
        What of the photograph was changed for reading, one sentence each.
    cells : tuple
        (T,) label of the cell that each tile shows, None for tiles of the field.
    field : tuple of int
        x0, y0, x1, y1 of the field at the training scale, half-open: what lies around it is in no tile.
    cut_out : bool
        Whether the image shows cells that were cut out of their field.
    """

    scale: float
    height: int
    width: int
    tiles: np.ndarray
    places: tuple[tuple[int, int], ...]
    weights: np.ndarray
    remarks: tuple[str, ...]
    cells: tuple[int | None, ...]
    field: tuple[int, int, int, int]
    cut_out: bool = False


def _starts(length: int, tile: int) -> list[int]:
    """Return evenly spread starts of tiles that cover a length."""
    if length <= tile:
        return [-((tile - length) // 2)]
    count = -(-length // tile)
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


def prepare(image: SmearImage, segmentation: Segmentation, card: Card, field: Field | None = None) -> View:
    """Bring an image's field to the training scale by the size of its white cells and cut it into tiles.

    Parameters
    ----------
    image : SmearImage
    segmentation : Segmentation
        Of the same image.
    card : Card
        Gives the training scale and the side of a tile.
    field : Field, optional
        Of the same image, if it is at hand.

    Returns
    -------
    View
    """
    tile = card.tile
    field = field or find_field(image.pixels)
    # A frame is no part of the field, and the network has seen none.
    box = field.box
    pixels = field.pixels[box]
    measured = segmentation.cell_diameter
    if measured is None:
        # Without a cell there is no measure: one look at the whole.
        scale = min(card.photo_scale, 2 * tile / max(pixels.shape[:2]))
    else:
        scale = card.cell_diameter / measured
        if of_training_size(pixels) and 1 / SCALE_TOLERANCE < scale / card.photo_scale < SCALE_TOLERANCE:
            scale = card.photo_scale
    # Enlarging invents no detail, and specks must not blow a picture up without bound.
    scale = min(scale, 4.0, math.sqrt(LARGEST_READ / (image.height * image.width)))
    whole_height, whole_width = max(1, round(image.height * scale)), max(1, round(image.width * scale))
    if card.preprocessing == CELLS:
        shape = (whole_height, whole_width)
        return _single_cells(field, segmentation.instances, scale, shape)
    height, width = max(1, round(pixels.shape[0] * scale)), max(1, round(pixels.shape[1] * scale))
    left, top = min(round(box[1].start * scale), whole_width - 1), min(round(box[0].start * scale), whole_height - 1)
    cells: np.ndarray = segmentation.cell[box].astype(np.uint8)
    pixels = hide_corner(pixels)
    if (height, width) != pixels.shape[:2]:
        shrink = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        pixels = np.asarray(cv2.resize(pixels, (width, height), interpolation=shrink), dtype=np.uint8)
        cells = cv2.resize(cells, (width, height), interpolation=cv2.INTER_NEAREST)
    before_y, before_x = max(0, (tile - height) // 2), max(0, (tile - width) // 2)
    after_y, after_x = max(0, tile - height - before_y), max(0, tile - width - before_x)
    padding = ((before_y, after_y), (before_x, after_x))
    if any(map(any, padding)):
        pixels = np.pad(pixels, (*padding, (0, 0)), mode="symmetric")
        cells = np.pad(cells, padding)
    places = [(x, y) for y in _starts(height, tile) for x in _starts(width, tile)]
    inside = [(x + before_x, y + before_y) for x, y in places]
    weights = np.array([float(cells[y : y + tile, x : x + tile].sum()) for x, y in inside])
    if weights.sum() > 0:
        # Tiles without a white cell have nothing to say.
        kept = sorted(np.argsort(-weights, kind="stable")[:MOST_TILES].tolist())
        kept = [i for i in kept if weights[i] > 0.02 * weights.max()]
    else:
        weights[:] = 1
        kept = list(range(min(len(places), MOST_TILES)))
    tiles = np.stack([pixels[y : y + tile, x : x + tile] for x, y in (inside[i] for i in kept)])
    weights = weights[kept]
    kept_places = tuple((places[i][0] + left, places[i][1] + top) for i in kept)
    return View(
        scale=scale,
        height=whole_height,
        width=whole_width,
        tiles=tiles,
        places=kept_places,
        weights=weights / weights.sum(),
        remarks=field.remarks,
        cells=(None,) * len(kept),
        field=(left, top, min(left + width, whole_width), min(top + height, whole_height)),
        cut_out=field.cutouts is not None,
    )


def _single_cells(seen: Field, instances: np.ndarray, scale: float, shape: tuple[int, int]) -> View:
    """Cut a field's white cells out, after bringing it by a factor to the training fields' scale, (H, W)."""
    pixels, (height, width) = hide_corner(seen.pixels), shape
    if shape != instances.shape:
        how = cv2.INTER_AREA if width < pixels.shape[1] else cv2.INTER_LINEAR
        pixels = np.asarray(cv2.resize(pixels, (width, height), interpolation=how), dtype=np.uint8)
        instances = nearest(instances, (width, height))
    height, width = round(height * ZOOM), round(width * ZOOM)
    density, found = field_density(pixels), spots(instances)
    if len(found) > MOST_CELLS:
        found = [found[i] for i in np.linspace(0, len(found) - 1, MOST_CELLS).astype(int)]
    tiles = [_cut(density, instances, one) for one in found]
    places = tuple((round((x + 0.5) * ZOOM - SIDE / 2), round((y + 0.5) * ZOOM - SIDE / 2)) for _, x, y in found)
    return View(
        scale=scale * ZOOM,
        height=height,
        width=width,
        tiles=np.stack(tiles or [no_cell()]),
        places=places or ((0, 0),),
        weights=np.full(max(1, len(found)), 1 / max(1, len(found))),
        remarks=seen.remarks,
        cells=tuple(label for label, _, _ in found) or (None,),
        field=(0, 0, width, height),
        cut_out=seen.cutouts is not None,
    )


def _cut(density: np.ndarray, instances: np.ndarray, one: tuple[int, float, float]) -> np.ndarray:
    """Cut a cell out of its surroundings alone: in large fields a look at all others for each takes seconds."""
    label, x, y = one
    reach = math.ceil(SIDE / ZOOM / 2) + 2
    left, top = max(0, int(x) - reach), max(0, int(y) - reach)
    around = np.s_[top : int(y) + reach + 1, left : int(x) + reach + 1]
    return cell_tile(density[around], instances[around] == label, (x - left, y - top))


def inputs(card: Card, tiles: np.ndarray) -> np.ndarray:
    """Return tiles, uint8 (T, S, S, 3), as the card's network is given them, uint8 (T, size, size, C)."""
    return preprocess(tiles, card.preprocessing, card.size)


def to_tensor(tiles: np.ndarray, device: torch.device) -> torch.Tensor:
    """Return uint8 tiles (T, S, S, C) as float (T, C, S, S), 0 … 1."""
    return torch.from_numpy(np.ascontiguousarray(tiles)).to(device).permute(0, 3, 1, 2).float() / 255


def forward(model: Model, tiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Run the network over tiles, in batches.

    Parameters
    ----------
    model : Model
    tiles : numpy.ndarray
        uint8, (T, S, S, 3), of single cells (T, S, S, 4).

    Returns
    -------
    logits : numpy.ndarray
        float32, (T, C), as the network gives them.
    embeddings : numpy.ndarray
        float32, (T, D): of a middle stage, see `leuk.models.network.Network.describe`.
    """
    return run_network(model.network, inputs(model.card, tiles), model.device)


def run_network(network: nn.Module, tiles: np.ndarray, device: torch.device) -> tuple[np.ndarray, np.ndarray]:
    """Do what `forward` does with a network that is no model yet and tiles that are preprocessed."""
    logits, embeddings = [], []
    with torch.inference_mode():
        for start in range(0, len(tiles), _BATCH):
            middle, last = network.activations(to_tensor(tiles[start : start + _BATCH], device))  # type: ignore[operator]
            logits.append(network.read(last).cpu())  # type: ignore[operator]
            embeddings.append(network.describe(middle).cpu())  # type: ignore[operator]
    return torch.cat(logits).numpy(), torch.cat(embeddings).numpy()


def last_maps(model: Model, tiles: np.ndarray) -> np.ndarray:
    """Return the network's last activations over tiles, float32 (T, C', h, w); tiles as for `forward`."""
    found = []
    with torch.inference_mode():
        for start in range(0, len(tiles), _BATCH):
            shown = to_tensor(inputs(model.card, tiles[start : start + _BATCH]), model.device)
            found.append(model.network.features(shown).float().cpu())  # type: ignore[operator]
    return torch.cat(found).numpy()


def distance(embeddings: np.ndarray, means: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Return each embedding's Mahalanobis distance to the nearest class of training fields.

    Parameters
    ----------
    embeddings : numpy.ndarray
        float, (N, D).
    means : numpy.ndarray
        (C, D).
    precision : numpy.ndarray
        (D, D).

    Returns
    -------
    numpy.ndarray
        float64, (N,), divided by √D, so that a typical training field has about 1.

    References
    ----------
    K. Lee et al., A simple unified framework for detecting out-of-distribution samples, NeurIPS 2018.
    """
    offset = embeddings[:, None, :].astype(np.float64) - means[None]
    squares = np.einsum("ncd,de,nce->nc", offset, precision, offset).clip(min=0)
    return np.asarray(np.sqrt(squares.min(axis=1) / embeddings.shape[1]))


def foreignness(model: Model, view: View, embeddings: np.ndarray) -> tuple[float, float]:
    """Return a picture's distance from what a model has learnt from, and the one up to which it counts as known.

    Parameters
    ----------
    model : Model
    view : View
        The picture as this model reads it.
    embeddings : numpy.ndarray
        Of the view's tiles, as `forward` returns them.
    """
    far = float(view.weights @ distance(embeddings, model.means, model.precision))
    # As many equally weighted tiles would have a mean that varies as much.
    return far, model.card.familiar_up_to(max(1.0, 1 / float((view.weights**2).sum())))


def _beyond(far: float, limit: float) -> str:
    """Say how far beyond a limit a distance lies."""
    if far > 10 * limit:
        return "at more than ten times"
    times = round(far / limit, 1)
    return f"at {times:.1f} times" if times > 1 else "just past"


def describe_classes(embeddings: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Describe training fields by what `distance` needs.

    Parameters
    ----------
    embeddings : numpy.ndarray
        float, (N, D).
    labels : numpy.ndarray
        int, (N,).

    Returns
    -------
    means : numpy.ndarray
        float64, (C, D): of each class that is there, in the order of the labels.
    precision : numpy.ndarray
        float64, (D, D): inverse of the shrunken covariance within classes.

    References
    ----------
    O. Ledoit and M. Wolf, A well-conditioned estimator for large-dimensional covariance matrices, J Multivar Anal
    2004;88:365.
    """
    from sklearn.covariance import LedoitWolf  # only training needs it, and it takes a second to load

    embeddings = embeddings.astype(np.float64)
    there, place = np.unique(labels, return_inverse=True)
    means = np.stack([embeddings[place == c].mean(0) for c in range(len(there))])
    return means, np.asarray(LedoitWolf(assume_centered=True).fit(embeddings - means[place]).precision_)


def classify(model: Model, image: SmearImage, segmentation: Segmentation, view: View | None = None) -> Prediction:
    """Read one image.

    Parameters
    ----------
    model : Model
    image : SmearImage
    segmentation : Segmentation
        Of the same image; its cells set the scale and weigh the tiles.
    view : View, optional
        As `prepare` gives it, if it is at hand.

    Returns
    -------
    Prediction
    """
    card = model.card
    view = view or prepare(image, segmentation, card)
    logits, embeddings = forward(model, view.tiles)
    votes = softmax(logits, card.temperature)
    if card.pooled == "logits":
        pooled = softmax((view.weights @ logits)[None], card.temperature)[0]
    else:
        pooled = view.weights @ votes
    pooled = pooled / pooled.sum()
    if card.guard and card.guard != card.name and card.guard in available():
        guard = load_model(card.guard, str(model.device))
        whole = prepare(image, segmentation, guard.card)
        far, limit = foreignness(guard, whole, forward(guard, whole.tiles)[1])
    else:
        far, limit = foreignness(model, view, embeddings)
    reasons = []
    # Of cells without their field only a model that is shown single cells has learnt anything.
    fieldless = view.cut_out and bool(segmentation.cells) and card.preprocessing != CELLS
    outside = fieldless or far > limit
    if fieldless:
        reasons.append(
            "The picture shows cells cut out of their field, and the model reads whole fields: go by the cells, or "
            "give it the field that they come from."
        )
    elif outside:
        reasons.append(
            f"This picture lies outside what the model has learnt from ({_beyond(far, limit)} the limit of what counts "
            "as known): it may be no smear, or come from a stain or camera it has never seen."
        )
    if not segmentation.cells:
        reasons.append("No white cell was found, so there is nothing to read.")
    elif card.preprocessing == CELLS and not view.tiles[..., 3].any():
        reasons.append("No white cell is large enough to read; photograph the field closer.")
    best = int(pooled.argmax())
    if not reasons and pooled[best] < card.confident:
        reasons.append("The classes are too close for a suggestion.")
    tiles = tuple(
        Tile(_to_image(place, card.tile, view, image), tuple(map(float, vote)), float(weight), cell)
        for place, vote, weight, cell in zip(view.places, votes, view.weights, view.cells, strict=True)
    )
    return Prediction(
        model=card.name,
        classes=card.classes,
        probabilities=tuple(map(float, pooled)),
        suggestion=CANNOT_TELL if reasons else card.classes[best],
        # Of a picture in which there was nothing to read, what was changed for reading is of no use.
        reasons=(*reasons, *(view.remarks if segmentation.cells or not outside else ())),
        outside=outside,
        tiles=tiles,
        scale=view.scale,
        read_by="cells" if card.preprocessing == CELLS else "tiles",
        cut_out=view.cut_out,
        farness=far / limit if limit else math.inf,
    )


def of_training_size(pixels: np.ndarray, slack: int = 0) -> bool:
    """Tell whether a field is as large as the photographs of the public set, but for so many pixels."""
    return all(abs(side - PHOTO_SIDE) <= slack for side in pixels.shape[:2])


def _to_image(place: tuple[int, int], tile: int, view: View, image: SmearImage) -> tuple[int, int, int, int]:
    """Return a tile's box in the image's own pixels."""
    (x, y), ratio_x, ratio_y = place, image.width / view.width, image.height / view.height
    left, top, right, bottom = view.field
    x0, y0 = round(max(left, x) * ratio_x), round(max(top, y) * ratio_y)
    x1, y1 = round(min(right, x + tile) * ratio_x), round(min(bottom, y + tile) * ratio_y)
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)

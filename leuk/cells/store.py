"""The weights of the classifier of cells, and the one call that suggests a type for every cell of an image."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from leuk.cells import crops as cutting
from leuk.cells import smudges
from leuk.cells.network import CellNetwork
from leuk.cells.values import ARTEFACT, TYPES, UNIDENTIFIED, CellType
from leuk.errors import ModelError
from leuk.image import SmearImage
from leuk.models.cards import read_as, weights_folder, write_card
from leuk.models.weights import fitting, read_weights, rounded, write_weights
from leuk.probability import softmax
from leuk.segmentation.field import Field, find_field
from leuk.segmentation.scale import FEWEST, red_cells_beside
from leuk.segmentation.values import Segmentation

NAME = "cells"
KINDS = tuple(key for key in TYPES if key != "blast")
"""Types that the first network tells apart."""
BLASTS = "blasts"
SIDES = {"types": 64, BLASTS: 48}
"""Side in pixels of what each network is given."""
COARSE = 2.4
"""Blur, in pixels of a crop, that brings every cell down to the detail in which blasts were learnt."""
_BATCH = 64
_ARTEFACT = "artefact.line"
_SMUDGE = "smudge.line"
_STATISTICS = 9  # as many as _statistics returns
MATURE = ("neutrophil", "eosinophil", "basophil", "platelet")
"""Types that no blast turns into: granules and lobes tell them, which only the network of types sees."""
NO_BLAST = (0.99, 0.995)
"""Probability of a mature type from which on it speaks against a blast, and beyond which there is none.

By cells of a fifth that the networks were trained on: the highest that free PBC of as many false blasts as lower ones
do, which cost malignant fields some of theirs."""
CROWD = 200
"""Cells above which each is looked at in two ways instead of four: a count over so many bears it, and waits less."""


@dataclass(frozen=True, eq=False)
class CellCard:
    """What stands beside the weights of the classifier of cells.

    Attributes
    ----------
    name, title, kind : str
        Name of the two files, one line for people, and "cells", which sets the card apart from those of models that
        read fields.
    types : tuple of str
        As `leuk.cells.TYPES`.
    arguments : mapping
        Of the two networks, by "types" and "blasts".
    temperatures : mapping of str to float
        By which the logits of each are divided.
    sha256 : str
        Of the weights file.
    confident : float
        Least probability for a suggestion, 0 … 1; below it a cell is unidentified.
    training, metrics : mapping
    limits : tuple of str
    """

    name: str
    title: str
    kind: str
    types: tuple[str, ...]
    arguments: Mapping[str, Any]
    temperatures: Mapping[str, float]
    sha256: str
    confident: float
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    limits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if tuple(self.types) != TYPES:
            raise ModelError(f"The card of {self.name!r} names other cell types than this Leuk; restore both files.")
        if not all(self.temperatures.get(key, 0) > 0 for key in SIDES):
            raise ModelError(f"The card of {self.name!r} must give a temperature above 0 for each network; mend it.")


@dataclass(frozen=True, eq=False)
class CellModel:
    """The two networks ready to read, shared by threads.

    Attributes
    ----------
    card : CellCard
    networks : mapping of str to CellNetwork
        By "types" and "blasts"; in evaluation mode, frozen.
    artefact : numpy.ndarray or None
        float32, (F + 1,): weights of a cell's features (see `run`) and a constant, whose sum is above 0 for what is no
        stained white cell; None: everything is taken for one.
    smudge : numpy.ndarray or None
        float32, (F + 18,): weights of what `leuk.cells.smudges.describe` tells and a constant, whose sum is above 0 for
        a smudge; None: everything is taken for a cell.
    """

    card: CellCard
    networks: Mapping[str, CellNetwork]
    artefact: np.ndarray | None = None
    smudge: np.ndarray | None = None

    def strangeness(self, features: np.ndarray) -> np.ndarray:
        """Return by how much each of (N, F) looks like no stained white cell: float, (N,), above 0 if it does."""
        if self.artefact is None:
            return np.full(len(features), -np.inf)
        return np.asarray(features @ self.artefact[:-1] + self.artefact[-1])

    def smudged(self, told: np.ndarray) -> np.ndarray:
        """Return which of (N, F + 17), as `leuk.cells.smudges.describe` tells them, look like smudges: bool, (N,)."""
        if self.smudge is None:
            return np.zeros(len(told), dtype=bool)
        return np.asarray(told @ self.smudge[:-1] + self.smudge[-1] > 0)


def views(pixels: np.ndarray, masks: np.ndarray, which: str) -> tuple[np.ndarray, np.ndarray]:
    """Return crops at the side, and with the detail, that a network takes.

    Parameters
    ----------
    pixels, masks : numpy.ndarray
        As in `leuk.cells.crops.Crops`, (N, SIDE, SIDE, 3) and (N, SIDE, SIDE).
    which : str
        "types" or "blasts".

    Returns
    -------
    pixels, masks : numpy.ndarray
        uint8, (N, S, S, 3) and (N, S, S).
    """
    side = SIDES[which]
    small = np.zeros((len(pixels), side, side, 3), np.uint8)
    shapes = np.zeros((len(pixels), side, side), np.uint8)
    for i, (image, mask) in enumerate(zip(pixels, masks, strict=True)):
        soft = cv2.GaussianBlur(image, (0, 0), COARSE) if which == BLASTS else image
        small[i] = cv2.resize(soft, (side, side), interpolation=cv2.INTER_AREA)
        shapes[i] = cv2.resize(mask * 255, (side, side), interpolation=cv2.INTER_AREA) > 127
    return small, shapes


def run(networks: Mapping[str, CellNetwork], crops: cutting.Crops | Any, ways: int = 4) -> dict[str, np.ndarray]:
    """Return what both networks say of cells, over mirror images.

    Parameters
    ----------
    networks : mapping of str to CellNetwork
    crops : Crops
        Whose ``white`` may also be one colour for each, (N, 3).
    ways : int
        How many mirror images of a cell are looked at, 1 … 4.

    Returns
    -------
    dict
        The logits by "types" and "blasts", float32 (N, 8) and (N, 2); by "features" what the networks see in each cell
        and the statistics of its optical densities, float32 (N, F).
    """
    count = len(crops.pixels)
    out = {"types": np.zeros((count, len(KINDS)), np.float32), BLASTS: np.zeros((count, 2), np.float32)}
    seen: list[np.ndarray] = []
    white = np.broadcast_to(crops.white, (count, 3))
    for start in range(0, count, _BATCH):
        part = slice(start, start + _BATCH)
        sizes = torch.from_numpy(np.ascontiguousarray(crops.sizes[part], dtype=np.float32))
        features: list[np.ndarray] = []
        for which, network in networks.items():
            shown = zip(*views(crops.pixels[part], crops.masks[part], which), white[part], strict=True)
            density = torch.from_numpy(np.stack([cutting.to_density(p, m, w) for p, m, w in shown]))
            with torch.inference_mode():
                # A cell has no up and no left: four ways to look at it are better than one.
                turned = (density, density.flip(3), density.flip(2), density.transpose(2, 3))[:ways]
                looks = [network.describe(way) for way in turned]
                out[which][part] = torch.stack([network.judge(look, sizes) for look in looks]).mean(dim=0).numpy()
                features.append(torch.stack(looks).mean(dim=0).numpy())
            if which == "types":
                features.append(_statistics(density.numpy()))
        seen.append(np.hstack(features))
    return out | {"features": np.vstack(seen) if seen else np.zeros((0, 0), np.float32)}


def _statistics(density: np.ndarray) -> np.ndarray:
    """Return mean and spread of each channel's densities in a cell, and how the channels go together: (N, 9)."""
    inside = np.abs(density).max(axis=1, keepdims=True) > 1e-3
    count = np.maximum(inside.sum(axis=(2, 3)), 1)
    mean = (density * inside).sum(axis=(2, 3)) / count
    off = (density - mean[..., None, None]) * inside
    spread = np.sqrt((off**2).sum(axis=(2, 3)) / count)
    together = [
        (off[:, a] * off[:, b]).sum(axis=(1, 2)) / count[:, 0] / (spread[:, a] * spread[:, b] + 1e-4)
        for a, b in ((0, 1), (0, 2), (1, 2))
    ]
    return np.hstack([mean, spread, np.stack(together, axis=1)]).astype(np.float32)


def combine(logits: Mapping[str, np.ndarray], temperatures: Mapping[str, float], cut_out: bool = False) -> np.ndarray:
    """Join both networks' logits: probabilities, float64 (N, len(TYPES)), of a blast and of each type if it is none.

    The network of blasts looks at a coarse picture, in which a basophil's granules are a dark nucleus. Where the other,
    at full detail, is certain of a mature type, there is no blast; lymphocytes, monocytes, immature granulocytes and
    erythroblasts say nothing against one, since blasts look like them.

    Parameters
    ----------
    logits : mapping
        As `run` returns them.
    temperatures : mapping of str to float
        By which these are divided.
    cut_out : bool
        Whether the cells were laid on black. With no background to measure them against they are darker or paler than
        they were, and the network of types is certain without reason: of ALL-IDB2's blasts it then takes 3 of 18 for
        basophils with 0.99 or more, of these as photographed none.
    """
    blast = softmax(logits[BLASTS], temperatures[BLASTS])[:, 1:]
    kinds = softmax(logits["types"], temperatures["types"])
    if not cut_out:
        mature = kinds[:, [KINDS.index(key) for key in MATURE]].max(axis=1, keepdims=True)
        left = 1 - np.clip((mature - NO_BLAST[0]) / (NO_BLAST[1] - NO_BLAST[0]), 0, 1)
        # Of the odds so much is left; in this form a probability of 1 is no division by 0.
        blast = blast * left / np.maximum(1 - blast * (1 - left), 1e-9)
    kinds = kinds * (1 - blast)
    at = TYPES.index("blast")
    return np.hstack([kinds[:, :at], blast, kinds[:, at:]])


_loading = threading.Lock()
_loaded: dict[str, CellModel] = {}


def load_cells() -> CellModel:
    """Load the classifier, once a process.

    Raises
    ------
    ModelError
        If the weights are missing, are not the ones that the card describes, or do not fit the networks.
    """
    folder = weights_folder()
    with _loading:
        if str(folder) not in _loaded:
            _loaded[str(folder)] = _load(folder)
        return _loaded[str(folder)]


def has_cells() -> bool:
    """Tell whether the classifier's weights and card are here."""
    return all((weights_folder() / f"{NAME}.{suffix}").is_file() for suffix in ("json", "safetensors"))


def read_cell_card(folder: Path) -> CellCard:
    """Read the classifier's card.

    Raises
    ------
    ModelError
        If it is missing or damaged.
    """
    try:
        return read_as(CellCard, folder / f"{NAME}.json", ("types", "limits"))
    except FileNotFoundError:
        raise ModelError("The weights that tell cell types are not here; restore weights/cells.*.") from None


def _load(folder: Path) -> CellModel:
    card = read_cell_card(folder)
    what = "the classifier of cells"
    tensors = read_weights(folder, NAME, card.sha256, what=what)
    networks = {}
    with fitting(what):
        for which in SIDES:
            network = CellNetwork(**card.arguments[which])
            prefix = which + "."
            network.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
            networks[which] = network.eval().requires_grad_(False)
        features = sum(network.features for network in networks.values()) + _STATISTICS
        lines = {name: tensors[name].numpy() for name in (_ARTEFACT, _SMUDGE) if name in tensors}
        for name, line in lines.items():
            count = features + (smudges.MORE if name == _SMUDGE else 0) + 1
            if line.shape != (count,):
                raise ValueError(f"{name}: expected ({count},), got {line.shape}")
    return CellModel(card, networks, lines.get(_ARTEFACT), lines.get(_SMUDGE))


def save_cells(
    folder: Path,
    card: CellCard,
    networks: Mapping[str, CellNetwork],
    artefact: np.ndarray | None = None,
    smudge: np.ndarray | None = None,
) -> CellCard:
    """Write weights in half precision and their card, whose SHA-256 is filled in; return the card as written."""
    tensors = {
        f"{which}.{name}": value for which, network in networks.items() for name, value in rounded(network).items()
    }
    for name, line in ((_ARTEFACT, artefact), (_SMUDGE, smudge)):
        if line is not None:
            tensors[name] = torch.from_numpy(np.ascontiguousarray(line, dtype=np.float32))
    written = dataclasses.replace(card, sha256=write_weights(folder, NAME, tensors)[0])
    write_card(written, folder / f"{NAME}.json")
    return written


def classify_cells(
    image: SmearImage,
    segmentation: Segmentation,
    model: CellModel | None = None,
    field: Field | None = None,
    red: np.ndarray | None = None,
) -> tuple[CellType, ...]:
    """Suggest a type for every cell, or that it is none but a smudge.

    What looks like a platelet stays one: granular and without a sharp rim it has much of a smudge. Cells laid on black
    are not asked about, since their rims are those of the cutting. A cell of which the edge of the picture leaves less
    than about half is unidentified.

    Parameters
    ----------
    image : SmearImage
    segmentation : Segmentation
        Of the same image.
    model : CellModel, optional
        The one in the folder of weights by default.
    field : Field, optional
        Of the same image, if it is at hand.
    red : numpy.ndarray, optional
        Diameters of the field's red cells, as `leuk.segmentation.scale.red_cell_diameters` measures them, if at hand.

    Returns
    -------
    tuple of CellType
        In the order of `Segmentation.cells`; empty where these look like no stained white cells, unless their
        surroundings say so: red cells, or the black that cells were laid on.

    Raises
    ------
    ModelError
        If the weights can't be used.
    """
    model = model or load_cells()
    if not segmentation.cells:
        return ()
    field = field or find_field(image.pixels)
    if red is None:
        red = red_cells_beside(field.pixels, segmentation)
    crops = cutting.cut(field.pixels, segmentation, red=red)
    ways = 4 if len(segmentation.cells) <= CROWD else 2
    told = run(model.networks, crops, ways)
    if field.cutouts is None and len(red) < FEWEST:
        seen = told["features"]
        if any(cell.touches_border for cell in segmentation.cells):
            # What the edge cuts looks more like a cell once it is completed, whatever it is.
            plain = cutting.cut(field.pixels, segmentation, red=red, complete=False)
            seen = run(model.networks, plain, ways)["features"]
        if model.strangeness(seen).mean() > 0:
            return ()
    probabilities = combine(told, model.card.temperatures, cut_out=field.cutouts is not None)
    smudged = np.zeros(len(segmentation.cells), dtype=bool)
    if field.cutouts is None and model.smudge is not None:
        smudged = model.smudged(smudges.describe(segmentation.cells, crops, told["features"]))
        smudged &= probabilities.argmax(axis=1) != TYPES.index("platelet")
    found, shape = [], image.pixels.shape[:2]
    for cell, p, smudge in zip(segmentation.cells, probabilities, smudged, strict=True):
        sure = p.max() >= model.card.confident and cutting.mostly_seen(cell, *shape)
        key = TYPES[int(p.argmax())] if sure else UNIDENTIFIED
        found.append(CellType(cell.label, ARTEFACT if smudge else key, _tuple(p)))
    return tuple(found)


def _tuple(probabilities: np.ndarray) -> tuple[float, ...]:
    p = np.clip(probabilities, 0, 1)
    return tuple(float(v) for v in p / p.sum())

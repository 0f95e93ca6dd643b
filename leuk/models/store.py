"""Models ready to read: loaded once a process, and stored with their cards."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from leuk.errors import ModelError, OptionError
from leuk.models.cards import Card, available, read_card, weights_folder, write_card
from leuk.models.preprocessing import PREPROCESSINGS
from leuk.models.systems import ARCHITECTURES, SYSTEMS, build
from leuk.models.weights import fitting, read_weights, shipped, write_weights

__all__ = ["DEFAULT_MODEL", "Model", "available", "choose_device", "load_model", "save_model", "weights_folder"]

DEFAULT_MODEL = "reader"
# Statistics of the training fields' embeddings travel in the same file as the weights, under this prefix.
_STATISTICS = "familiarity."


@dataclass(frozen=True, eq=False)
class Model:
    """A network ready to read, shared by threads.

    Attributes
    ----------
    card : Card
    network : torch.nn.Module
        In evaluation mode, frozen, never hooked: forward passes need no lock.
    lock : threading.Lock
        Held while heat maps are computed.
    device : torch.device
    means : numpy.ndarray
        float64, (C, D): mean embedding of each class's training fields.
    precision : numpy.ndarray
        float64, (D, D): inverse of the embeddings' covariance within classes.
    """

    card: Card
    network: nn.Module
    device: torch.device
    means: np.ndarray
    precision: np.ndarray
    lock: threading.Lock = field(default_factory=threading.Lock)


def choose_device(name: str) -> torch.device:
    """Return a device: "auto" is a GPU where there is one, else the processor.

    Raises
    ------
    OptionError
        If the device does not exist here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
        if device.type == "meta":
            raise RuntimeError("holds no numbers")
    except (RuntimeError, AssertionError, ImportError):
        raise OptionError(f"There is no device {name!r} here; use auto, cpu, or a GPU that torch can see.") from None
    return device


def load_model(name: str = DEFAULT_MODEL, device: str = "auto") -> Model:
    """Load a model, and keep it beside the default one until another is asked for.

    The large systems take hundreds of megabytes each: a server that kept all of them would outgrow a small host.

    Parameters
    ----------
    name : str
        One of `available`.
    device : str
        "auto", "cpu", "cuda", …

    Returns
    -------
    Model

    Raises
    ------
    OptionError
        If there is no model of this name, or no such device.
    ModelError
        If the weights are not the ones that the card describes, or do not fit the network.
    """
    where, folder = choose_device(device), weights_folder()
    key = (str(folder), name, str(where))
    with _loading:
        if key not in _loaded:
            model = _load(folder, name, where)
            for other in [one for one in _loaded if one[1] != DEFAULT_MODEL and name != DEFAULT_MODEL]:
                del _loaded[other]
            _loaded[key] = model
        return _loaded[key]


_loading = threading.Lock()
_loaded: dict[tuple[str, str, str], Model] = {}


def _load(folder: Path, name: str, device: torch.device) -> Model:
    if name not in available():
        others = ", ".join(available())
        raise OptionError(
            f"There is no model {name!r} here; "
            + (f"choose one of: {others}." if others else f"no weights at all are in {folder.name}; restore them.")
            + (f" The weights of {name} are made by python -m leuk train {name} --data DIR." if name in SYSTEMS else "")
        )
    card = read_card(folder / f"{name}.json")
    tensors = read_weights(folder, name, card.sha256, card.shards)
    if card.architecture not in ARCHITECTURES:
        raise ModelError(f"The card of {name!r} names the unknown architecture {card.architecture!r}; update Leuk.")
    if card.preprocessing not in PREPROCESSINGS:
        raise ModelError(f"The card of {name!r} names the unknown preprocessing {card.preprocessing!r}; update Leuk.")
    with fitting(repr(name)):
        means = tensors.pop(_STATISTICS + "means").double().numpy()
        precision = tensors.pop(_STATISTICS + "precision").double().numpy()
        network = build(card.architecture, len(card.classes), **card.arguments)
        network.load_state_dict(tensors)
        network.eval().requires_grad_(False)
        # A preprocessing of other channels would be found out only by the first picture, in words of torch's.
        side, channels = card.size or card.tile, PREPROCESSINGS[card.preprocessing][1]
        network.activations(torch.zeros(1, channels, side, side))  # type: ignore[operator]
    network.to(device)
    return Model(card, network, device, means, precision)


def save_model(folder: Path, card: Card, network: nn.Module, means: np.ndarray, precision: np.ndarray) -> Card:
    """Write weights and their card, whose SHA-256 is filled in.

    Weights are kept in half precision, and kernels and matrices in 8 bits where one file could not hold the network
    otherwise.

    Parameters
    ----------
    folder : pathlib.Path
    card : Card
        Its ``sha256`` and ``shards`` are replaced.
    network : torch.nn.Module
    means, precision : numpy.ndarray
        As in `Model`; kept in single precision.

    Returns
    -------
    Card
        As written.
    """
    tensors = shipped(network)
    tensors[_STATISTICS + "means"] = torch.from_numpy(means).float()
    tensors[_STATISTICS + "precision"] = torch.from_numpy(precision).float()
    sha256, shards = write_weights(folder, card.name, tensors)
    written = replace(card, sha256=sha256, shards=shards)
    write_card(written, folder / f"{card.name}.json")
    return written

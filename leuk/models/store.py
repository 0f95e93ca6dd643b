"""The one way in for weights: safetensors whose SHA-256 the card confirms."""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from leuk.errors import ModelError, OptionError
from leuk.models.cards import Card, read_card, write_card
from leuk.models.reader import Reader

ARCHITECTURES: dict[str, type[nn.Module]] = {"reader": Reader}
DEFAULT_MODEL = "reader"
# Statistics of the training fields' embeddings travel in the same file as the weights, under this prefix.
_STATISTICS = "familiarity."


def weights_folder() -> Path:
    """Return the folder of weights: ``LEUK_WEIGHTS`` if it is set, else ``weights`` beside the package."""
    return Path(os.environ.get("LEUK_WEIGHTS") or Path(__file__).parents[2] / "weights")


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
    except (RuntimeError, AssertionError):
        raise OptionError(f"There is no device {name!r} here; use auto, cpu, or a GPU that torch can see.") from None
    return device


def available() -> tuple[str, ...]:
    """Return the names of the models whose weights and card are here, sorted."""
    cards = sorted(weights_folder().glob("*.json"))
    return tuple(card.stem for card in cards if card.with_suffix(".safetensors").is_file())


def load_model(name: str = DEFAULT_MODEL, device: str = "auto") -> Model:
    """Load a model, once a process for each name and device.

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
            _loaded[key] = _load(folder, name, where)
        return _loaded[key]


_loading = threading.Lock()
_loaded: dict[tuple[str, str, str], Model] = {}


def _load(folder: Path, name: str, device: torch.device) -> Model:
    if name not in available():
        raise OptionError(f"There is no model {name!r} here; choose one of: {', '.join(available()) or 'none'}.")
    card = read_card(folder / f"{name}.json")
    data = (folder / f"{name}.safetensors").read_bytes()
    if hashlib.sha256(data).hexdigest() != card.sha256:
        raise ModelError(f"The weights of {name!r} are not the ones its card describes; restore both files.")
    if card.architecture not in ARCHITECTURES:
        raise ModelError(f"The card of {name!r} names the unknown architecture {card.architecture!r}; update Leuk.")
    try:
        tensors = {key: value.float() for key, value in load_tensors(data).items()}
        means = tensors.pop(_STATISTICS + "means").double().numpy()
        precision = tensors.pop(_STATISTICS + "precision").double().numpy()
        network = ARCHITECTURES[card.architecture](classes=len(card.classes), **card.arguments)
        network.load_state_dict(tensors)
    except (SafetensorError, KeyError, RuntimeError, TypeError):
        raise ModelError(f"The weights of {name!r} don't fit the network on its card; restore both files.") from None
    network.eval().requires_grad_(False).to(device)
    return Model(card, network, device, means, precision)


def save_model(folder: Path, card: Card, network: nn.Module, means: np.ndarray, precision: np.ndarray) -> Card:
    """Write weights in half precision and their card, whose SHA-256 is filled in.

    Parameters
    ----------
    folder : pathlib.Path
    card : Card
        Its ``sha256`` is replaced.
    network : torch.nn.Module
    means, precision : numpy.ndarray
        As in `Model`; kept in single precision.

    Returns
    -------
    Card
        As written.
    """
    tensors = {key: value.detach().half().contiguous() for key, value in network.state_dict().items()}
    tensors[_STATISTICS + "means"] = torch.from_numpy(means).float().contiguous()
    tensors[_STATISTICS + "precision"] = torch.from_numpy(precision).float().contiguous()
    data = save_tensors(tensors)
    content = {name: getattr(card, name) for name in Card.__dataclass_fields__}
    content["sha256"] = hashlib.sha256(data).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{card.name}.safetensors").write_bytes(data)
    written = Card(**content)
    write_card(written, folder / f"{card.name}.json")
    return written

"""The one way in for weights: safetensors whose SHA-256 the card confirms."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from leuk.errors import ModelError, OptionError
from leuk.models.cards import Card, available, read_card, weights_files, weights_folder, write_card
from leuk.models.preprocessing import PREPROCESSINGS
from leuk.models.systems import ARCHITECTURES, build

__all__ = ["DEFAULT_MODEL", "Model", "available", "choose_device", "load_model", "save_model", "weights_folder"]

DEFAULT_MODEL = "reader"
# Files of more than 100 MB can't be kept in a plain Git repository.
LARGEST_FILE = 90_000_000
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
    except (RuntimeError, AssertionError):
        raise OptionError(f"There is no device {name!r} here; use auto, cpu, or a GPU that torch can see.") from None
    return device


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
    try:
        parts = [path.read_bytes() for path in card.files(folder)]
    except FileNotFoundError as error:
        missing = Path(error.filename).name
        raise ModelError(f"The weights of {name!r} lack the file {missing}; restore it beside its card.") from None
    if hashlib.sha256(b"".join(parts)).hexdigest() != card.sha256:
        raise ModelError(f"The weights of {name!r} are not the ones its card describes; restore both files.")
    if card.architecture not in ARCHITECTURES:
        raise ModelError(f"The card of {name!r} names the unknown architecture {card.architecture!r}; update Leuk.")
    if card.preprocessing not in PREPROCESSINGS:
        raise ModelError(f"The card of {name!r} names the unknown preprocessing {card.preprocessing!r}; update Leuk.")
    try:
        tensors = {
            key: value.float() if value.is_floating_point() else value
            for part in parts
            for key, value in load_tensors(part).items()
        }
        means = tensors.pop(_STATISTICS + "means").double().numpy()
        precision = tensors.pop(_STATISTICS + "precision").double().numpy()
        network = build(card.architecture, len(card.classes), **card.arguments)
        network.load_state_dict(tensors)
    except (SafetensorError, KeyError, RuntimeError, TypeError, ValueError):
        raise ModelError(f"The weights of {name!r} don't fit the network on its card; restore both files.") from None
    network.eval().requires_grad_(False).to(device)
    return Model(card, network, device, means, precision)


def save_model(folder: Path, card: Card, network: nn.Module, means: np.ndarray, precision: np.ndarray) -> Card:
    """Write weights in half precision and their card, whose SHA-256 is filled in.

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
    tensors = {key: value.contiguous() for key, value in rounded(network).items()}
    tensors[_STATISTICS + "means"] = torch.from_numpy(means).float().contiguous()
    tensors[_STATISTICS + "precision"] = torch.from_numpy(precision).float().contiguous()
    shares: list[dict[str, torch.Tensor]] = [{}]
    room = LARGEST_FILE
    for key, value in tensors.items():
        if value.nbytes > room and shares[-1]:
            shares.append({})
            room = LARGEST_FILE
        shares[-1][key] = value
        room -= value.nbytes
    parts = [save_tensors(share) for share in shares]
    folder.mkdir(parents=True, exist_ok=True)
    written = replace(card, sha256=hashlib.sha256(b"".join(parts)).hexdigest(), shards=len(parts))
    for path, part in zip(weights_files(folder, card.name, len(parts)), parts, strict=True):
        path.write_bytes(part)
    write_card(written, folder / f"{card.name}.json")
    return written


def rounded(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return a network's weights as they are shipped: in half precision but for what it can't hold."""
    kept = {}
    for key, value in network.state_dict().items():
        # Running variances and kernels pass what half precision holds, and counts are no fractions.
        exact = not value.is_floating_point() or key.endswith(("running_mean", "running_var")) or "machine." in key
        kept[key] = value.detach().cpu() if exact else value.detach().cpu().half()
    return kept

"""Training of any system: plain functions, resumable after a kill at any moment.

A run is a folder: ``run.json`` says what is trained, on what and how; ``fold-N`` holds the checkpoint, the log and,
once done, the network of fold N, which has seen the other folds only.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from leuk.classification import run_network
from leuk.errors import DataError
from leuk.models.preprocessing import hide_corner, preprocess
from leuk.models.systems import System, build_network, find_system

FIELD = 224
"""Side in pixels of the fields that systems are trained on; other fields are brought to it."""


@dataclass(frozen=True)
class Run:
    """What a run's folder holds.

    Attributes
    ----------
    system : str
        Name of the system.
    partition : str
        "grouped" or "random".
    size : int
        Side in pixels of the network's input.
    epochs : int
    seed : int
    pretrained : bool
    classes : tuple of str
    data : str
        Name of the data set.
    files : tuple of str
        Relative names of the fields.
    labels, folds : tuple of int
        Class index and fold of each field.
    """

    system: str
    partition: str
    size: int
    epochs: int
    seed: int
    pretrained: bool
    classes: tuple[str, ...]
    data: str
    files: tuple[str, ...]
    labels: tuple[int, ...]
    folds: tuple[int, ...]


def read_run(folder: Path) -> Run:
    """Read what a run's folder holds.

    Raises
    ------
    DataError
        If it is no run's folder.
    """
    try:
        content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        known: dict[str, Any] = {name: content[name] for name in Run.__dataclass_fields__}
        known.update({name: tuple(value) for name, value in known.items() if isinstance(value, list)})
        return Run(**known)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"The folder {folder.name} holds no run ({error}); name one that `train` wrote.") from error


def write_run(run: Run, folder: Path) -> None:
    """Write what a run's folder holds, before anything else is in it."""
    part = folder / "run.json.part"
    part.write_text(json.dumps(asdict(run), indent=1) + "\n", encoding="utf-8")
    part.replace(folder / "run.json")


def fold_folder(run: Path, fold: int) -> Path:
    """Return the folder of a fold."""
    return run / f"fold-{fold}"


def folds_done(run: Path) -> tuple[int, ...]:
    """Return the folds whose networks are trained, ascending."""
    found = (path.parent.name.removeprefix("fold-") for path in run.glob("fold-*/network.safetensors"))
    return tuple(sorted(int(name) for name in found if name.isdigit()))


def load_fold_network(run: Path, fold: int, device: str = "cpu") -> nn.Module:
    """Return a fold's trained network, its weights rounded as they would be shipped.

    Parameters
    ----------
    run : pathlib.Path
        The run's folder.
    fold : int
    device : str

    Returns
    -------
    torch.nn.Module
        In evaluation mode, frozen.

    Raises
    ------
    DataError
        If the fold's network is not trained yet.
    """
    described = read_run(run)
    path = fold_folder(run, fold) / "network.safetensors"
    if not path.is_file():
        raise DataError(f"The run {run.name} has no network of fold {fold} yet; finish its training with --resume.")
    network = build_network(find_system(described.system), described.size)
    network.load_state_dict({key: v.float() if v.is_floating_point() else v for key, v in load_file(path).items()})
    return network.eval().requires_grad_(False).to(torch.device(device))


def present(pixels: np.ndarray, system: System, size: int | None = None) -> np.ndarray:
    """Turn photographed fields into what a system's network is given.

    Parameters
    ----------
    pixels : numpy.ndarray
        uint8, (N, H, W, 3), RGB, as photographed.
    system : System
    size : int, optional
        Side in pixels of the network's input; as described by default.

    Returns
    -------
    numpy.ndarray
        uint8, (N, size, size, C): corner hidden, at `FIELD` preprocessed, at last resized.
    """
    hidden = np.stack([hide_corner(field) for field in pixels])
    if hidden.shape[1:3] != (FIELD, FIELD):
        hidden = preprocess(hidden, "rgb", FIELD)
    return preprocess(hidden, system.preprocessing, size or system.size)


def predict(network: nn.Module, system: System, pixels: np.ndarray, size: int | None = None) -> np.ndarray:
    """Return a system's logits for photographed fields, preprocessing included.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode.
    system : System
    pixels : numpy.ndarray
        uint8, (N, H, W, 3), RGB, as photographed.
    size : int, optional
        Side in pixels of the network's input (`Run.size`); as described by default.

    Returns
    -------
    numpy.ndarray
        float32, (N, C), classes in the system's order.
    """
    if not len(pixels):
        return np.empty((0, len(system.classes)), np.float32)
    device = next(network.parameters()).device
    found = [
        run_network(network, present(pixels[start : start + 64], system, size), device)[0]
        for start in range(0, len(pixels), 64)
    ]
    return np.concatenate(found)

"""Where the reader begins: a network that tells types of single cells, laid side by side as if in a field, apart."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from leuk.data.datasets import load_dataset
from leuk.errors import DataError, ImageError
from leuk.files import whole
from leuk.image import read_image
from leuk.models.reader import Reader
from leuk.training.evaluate import place_of
from leuk.training.fields import middle_square
from leuk.training.loop import PROCESSOR, read_network, save_network, writing
from leuk.training.train import Recipe, train

log = logging.getLogger(__name__)

ACROSS = 3
"""Cells side by side in a mosaic. Of a picture of PBC's 54 pixels remain, of its cell some 30: still more than cells of
the fields measure, 18 to 19 at the training scale, so that their details are not lost."""
MOSAICS = 3000
Tell = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class SingleCells:
    """Pictures of single cells, by type.

    Attributes
    ----------
    pixels : numpy.ndarray
        uint8, (N, S, S, 3), RGB.
    labels : numpy.ndarray
        int64, (N,): index into `types`.
    types : tuple of str
    place : str
        What their folder is called, as `leuk.training.evaluate.place_of` says it.
    sha256 : str
        Over the names, labels and pixels, in order.
    """

    pixels: np.ndarray
    labels: np.ndarray
    types: tuple[str, ...]
    place: str
    sha256: str


def gather(folder: Path, size: int) -> SingleCells:
    """Read a folder of folders, one for each type, of pictures of a cell each.

    Parameters
    ----------
    folder : pathlib.Path
        Such as PBC's (A. Acevedo et al., Data in Brief 30, 2020).
    size : int
        Side in pixels of the mosaics.

    Returns
    -------
    SingleCells
        With ``S = ceil(size / ACROSS)``; of what is no square, the middle.

    Raises
    ------
    DataError
        If there are fewer than two types, or a picture can't be read.
    """
    dataset = load_dataset(folder)
    if len(dataset.classes) < 2:
        raise DataError(
            f"{folder} holds one type of cells, and two are needed to tell apart; name another with --begin."
        )
    side = -(-size // ACROSS)
    pixels = np.empty((len(dataset), side, side, 3), np.uint8)
    digest = hashlib.sha256()
    for row, name in enumerate(dataset.files):
        try:
            square = middle_square(read_image(dataset.path(row)).pixels)
        except ImageError as error:
            raise DataError(
                f"{name} in {folder} can't be read ({str(error).rstrip('.')}); mend it, or take it out."
            ) from error
        pixels[row] = cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA)
        digest.update(os.fsencode(name) + dataset.classes[dataset.labels[row]].encode() + pixels[row].tobytes())
    return SingleCells(pixels, dataset.labels, dataset.classes, place_of(folder), digest.hexdigest())


def mosaics(cells: SingleCells, size: int, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Lay cells of one type side by side, each turned by chance, the types in turn.

    Returns
    -------
    pixels : numpy.ndarray
        uint8, (count, size, size, 3).
    labels : numpy.ndarray
        int64, (count,).
    """
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(cells.labels == label) for label in range(len(cells.types))]
    labels = np.arange(count) % len(members)
    pixels = np.empty((count, size, size, 3), np.uint8)
    for row, label in enumerate(labels):
        chosen = [np.rot90(cells.pixels[i], int(rng.integers(4))) for i in rng.choice(members[label], ACROSS**2)]
        lines = [np.hstack(chosen[start : start + ACROSS]) for start in range(0, ACROSS**2, ACROSS)]
        pixels[row] = np.vstack(lines)[:size, :size]
    return pixels, labels


def begin(
    cells: SingleCells,
    folder: Path,
    recipe: Recipe,
    *,
    device: torch.device = PROCESSOR,
    tell: Tell | None = None,
) -> None:
    """Train a reader on mosaics of cell types; goes on where it was stopped.

    Parameters
    ----------
    cells : SingleCells
    folder : pathlib.Path
        For ``checkpoint.pt``, ``log.csv``, ``begun.json`` and, once done, ``network.safetensors``.
    recipe : Recipe
    device : torch.device
    tell : callable, optional
        Given a line of progress.

    Raises
    ------
    DataError
        If the folder holds a beginning on other cells.
    """
    tell = tell or log.info
    folder.mkdir(parents=True, exist_ok=True)
    noted = folder / "begun.json"
    if noted.is_file() and begun(folder)["data_sha256"] != cells.sha256:
        raise DataError(f"{folder.parent.name} was begun with other cells in --begin; name those, or a new folder.")
    note: dict[str, Any] = {
        "place": cells.place,
        "types": list(cells.types),
        "cells": len(cells.pixels),
        "mosaics": MOSAICS,
        "across": ACROSS,
        "data_sha256": cells.sha256,
        "recipe": asdict(recipe),
    }
    with writing(noted), whole(noted) as written:
        written.write_text(json.dumps(note) + "\n", encoding="utf-8")
    done = folder / "network.safetensors"
    if done.is_file():
        return
    pixels, labels = mosaics(cells, recipe.augmentation.size, MOSAICS)
    network = train(
        pixels,
        labels,
        recipe,
        folder,
        classes=len(cells.types),
        device=device,
        resume=True,
        report=lambda row: tell("cell types: " + ", ".join(f"{key} {value:.4g}" for key, value in row.items())),
    )
    save_network(network.state_dict(), done)


def begun(folder: Path) -> dict[str, Any]:
    """Return what `begin` noted of the cells and the recipe; empty where nothing was begun from cells."""
    noted = folder / "begun.json"
    return dict(json.loads(noted.read_text(encoding="utf-8"))) if noted.is_file() else {}


def weights(folder: Path, recipe: Recipe, classes: int) -> dict[str, torch.Tensor]:
    """Return what `begin` has learnt, under a last layer of random weights for other classes."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        fresh = Reader(classes=classes, **recipe.network).state_dict()  # type: ignore[arg-type]
    learnt = read_network(folder / "network.safetensors")
    return {key: fresh[key] if key.startswith("head.") else value for key, value in learnt.items()}

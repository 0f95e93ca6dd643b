"""Training of the reader: plain functions, resumable after a kill at any moment."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from leuk.errors import DataError
from leuk.models.reader import Reader
from leuk.training.augment import Augmentation, augment, lab_statistics
from leuk.training.loop import train_epochs

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """How a reader is trained.

    Attributes
    ----------
    epochs : int
    batch : int
        Labelled fields a step.
    rate : float
        Highest learning rate (AdamW, warmed up, then a cosine to zero).
    decay : float
        Weight decay.
    average : float
        Decay of the running average of the weights, a step; the averaged weights are the result.
    smoothing : float
        Label smoothing.
    blank : float
        Fields that show nothing to read (cells painted out, pictures that are no smears), a labelled field; their
        target is the uniform distribution.
    balance : float
        Classes are drawn with frequency to the power 1 - balance: 0 as they come, 1 evenly.
    precision : str
        "bfloat16", "float32", or "auto": the first where the processor computes in it.
    seed : int
    network : dict
        Arguments of `Reader`.
    augmentation : Augmentation
    """

    epochs: int = 40
    batch: int = 32
    rate: float = 2e-3
    decay: float = 0.05
    average: float = 0.99
    smoothing: float = 0.05
    blank: float = 0.125
    balance: float = 0.5
    precision: str = "auto"
    seed: int = 0
    network: dict[str, object] = field(default_factory=dict)
    augmentation: Augmentation = field(default_factory=Augmentation)


Report = Callable[[dict[str, float]], None]


def _batches(
    fields: np.ndarray, labels: np.ndarray, blanks: np.ndarray, classes: int, recipe: Recipe, epoch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield augmented batches and their target distributions; all randomness hangs on the seed and the epoch."""
    rng = np.random.default_rng([recipe.seed, epoch])
    counts = np.bincount(labels, minlength=classes).astype(float)
    weights = counts[labels] ** -recipe.balance
    pool = np.stack([lab_statistics(image) for image in fields[rng.permutation(len(fields))[:600]]])
    order = rng.choice(len(fields), size=len(fields) // recipe.batch * recipe.batch, p=weights / weights.sum())
    if recipe.balance == 0:
        order = rng.permutation(len(fields))[: len(order)]
    extra = round(recipe.batch * recipe.blank) if len(blanks) else 0
    for start in range(0, len(order), recipe.batch):
        chosen = order[start : start + recipe.batch]
        images = [
            augment(fields[i], recipe.augmentation, np.random.default_rng(rng.integers(2**63)), pool) for i in chosen
        ]
        target = np.full((len(chosen) + extra, classes), recipe.smoothing / classes, dtype=np.float32)
        target[np.arange(len(chosen)), labels[chosen]] += 1 - recipe.smoothing
        if extra:
            picked = rng.integers(len(blanks), size=extra)
            images += [
                augment(blanks[i], recipe.augmentation, np.random.default_rng(rng.integers(2**63)), pool)
                for i in picked
            ]
            target[len(chosen) :] = 1 / classes
        batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().div_(255)
        yield batch, torch.from_numpy(target)


def train(
    pixels: np.ndarray,
    labels: np.ndarray,
    recipe: Recipe,
    folder: Path,
    *,
    blanks: np.ndarray | None = None,
    initial: Mapping[str, Tensor] | None = None,
    classes: int = 4,
    resume: bool = False,
    report: Report | None = None,
) -> Reader:
    """Train a reader and return it with its averaged weights.

    Parameters
    ----------
    pixels : numpy.ndarray
        uint8, (N, H, W, 3): training fields, corner hidden.
    labels : numpy.ndarray
        int, (N,).
    recipe : Recipe
    folder : pathlib.Path
        For the checkpoint and the log, which is written an epoch at a time.
    blanks : numpy.ndarray, optional
        uint8, (M, H, W, 3): fields that show nothing to read.
    initial : mapping of str to torch.Tensor, optional
        Weights to begin with; random ones by default.
    classes : int
    resume : bool
        Go on from the folder's checkpoint if there is one; an interrupted epoch is begun again.
    report : callable, optional
        Given each epoch's figures.

    Returns
    -------
    Reader
        In evaluation mode.

    Raises
    ------
    DataError
        If a class has no field, or the checkpoint belongs to another recipe.
    """
    empty = set(range(classes)) - set(labels.tolist())
    if empty:
        raise DataError(f"Classes {sorted(empty)} have no field to train on; add some or leave the class out.")
    torch.manual_seed(recipe.seed)
    network = Reader(classes=classes, **recipe.network)  # type: ignore[arg-type]
    if initial is not None:
        network.load_state_dict(initial)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    nothing = np.empty((0, *pixels.shape[1:]), dtype=np.uint8) if blanks is None else blanks

    def read(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return network(batch[0].contiguous(memory_format=torch.channels_last)), batch[1]

    train_epochs(
        network,
        recipe,
        folder,
        lambda epoch: _batches(pixels, labels, nothing, classes, recipe, epoch),
        read,
        steps=recipe.epochs * (len(pixels) // recipe.batch),
        precision=recipe.precision,
        resume=resume,
        report=report,
    )
    return network

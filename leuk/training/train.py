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
from leuk.training import augment_batch
from leuk.training.augment import Augmentation, augment, lab_statistics
from leuk.training.loop import PROCESSOR, train_epochs

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
    pool = np.stack([lab_statistics(image) for image in fields[rng.permutation(len(fields))[:600]]])
    order = _order(labels, classes, recipe, rng)
    extra = round(recipe.batch * recipe.blank) if len(blanks) else 0
    for start in range(0, len(order), recipe.batch):
        chosen = order[start : start + recipe.batch]
        images = [
            augment(fields[i], recipe.augmentation, np.random.default_rng(rng.integers(2**63)), pool) for i in chosen
        ]
        target = _target(labels[chosen], extra, classes, recipe)
        if extra:
            picked = rng.integers(len(blanks), size=extra)
            images += [
                augment(blanks[i], recipe.augmentation, np.random.default_rng(rng.integers(2**63)), pool)
                for i in picked
            ]
        batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().div_(255)
        yield batch, torch.from_numpy(target)


def _order(labels: np.ndarray, classes: int, recipe: Recipe, rng: np.random.Generator) -> np.ndarray:
    """Draw the fields of an epoch, whole batches of them."""
    whole = len(labels) // recipe.batch * recipe.batch
    if recipe.balance == 0:
        return rng.permutation(len(labels))[:whole]
    weights = np.bincount(labels, minlength=classes).astype(float)[labels] ** -recipe.balance
    return rng.choice(len(labels), size=whole, p=weights / weights.sum())


def _target(labels: np.ndarray, blanks: int, classes: int, recipe: Recipe) -> np.ndarray:
    """Return the target distributions of labelled fields, smoothed, and after them of blanks, even."""
    target = np.full((len(labels) + blanks, classes), recipe.smoothing / classes, dtype=np.float32)
    target[np.arange(len(labels)), labels] += 1 - recipe.smoothing
    target[len(labels) :] = 1 / classes
    return target


def need_fields(labels: np.ndarray, classes: int, batch: int) -> None:
    """Refuse to train where a class has no field, or where all have not enough for one step: nothing would be learnt.

    Raises
    ------
    DataError
    """
    empty = set(range(classes)) - set(labels.tolist())
    if empty:
        raise DataError(f"Classes {sorted(empty)} have no field to train on; add some or leave the class out.")
    if len(labels) < batch:
        raise DataError(f"There are {len(labels)} fields to train on, and a single step takes {batch}; add some.")


class OnDevice:
    """Fields kept on a device, and augmented there a batch at a time."""

    def __init__(self, fields: np.ndarray, blanks: np.ndarray, device: torch.device) -> None:
        self.images = torch.from_numpy(np.concatenate([fields, blanks])).permute(0, 3, 1, 2).contiguous().to(device)
        self.fields = len(fields)
        whole = self.images[: self.fields].split(256)
        self.pool = torch.cat([augment_batch.lab_statistics(part.float()) for part in whole])

    def batches(self, labels: np.ndarray, classes: int, recipe: Recipe, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield what `_batches` yields; which fields hangs on the seed and the epoch, the rest on torch's generator."""
        rng = np.random.default_rng([recipe.seed, epoch])
        order = _order(labels, classes, recipe, rng).reshape(-1, recipe.batch)
        blanks = len(self.images) - self.fields
        extra = round(recipe.batch * recipe.blank) if blanks else 0
        picked = rng.integers(max(blanks, 1), size=(len(order), extra)) + self.fields
        device = self.images.device
        # An epoch's indices and targets go over at once.
        chosen = torch.from_numpy(np.concatenate([order, picked], axis=1)).to(device)
        targets = np.stack([_target(labels[row], extra, classes, recipe) for row in order])
        for rows, target in zip(chosen, torch.from_numpy(targets).to(device), strict=True):
            images = augment_batch.augment_batch(self.images[rows], recipe.augmentation, self.pool)
            yield images.div_(255), target


def train(
    pixels: np.ndarray,
    labels: np.ndarray,
    recipe: Recipe,
    folder: Path,
    *,
    blanks: np.ndarray | None = None,
    initial: Mapping[str, Tensor] | None = None,
    classes: int = 4,
    device: torch.device = PROCESSOR,
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
    device : torch.device
        On a processor fields are augmented one by one, elsewhere a batch at a time.
    resume : bool
        Go on from the folder's checkpoint if there is one; what came after it is done again.
    report : callable, optional
        Given each epoch's figures.

    Returns
    -------
    Reader
        In evaluation mode.

    Raises
    ------
    DataError
        If a class has no field, all have fewer than a step takes, or the checkpoint belongs to another recipe.
    """
    need_fields(labels, classes, recipe.batch)
    torch.manual_seed(recipe.seed)
    network = Reader(classes=classes, **recipe.network)  # type: ignore[arg-type]
    if initial is not None:
        network.load_state_dict(initial)
    network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    nothing = np.empty((0, *pixels.shape[1:]), dtype=np.uint8) if blanks is None else blanks

    def read(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return network(batch[0].contiguous(memory_format=torch.channels_last)), batch[1]

    if device.type == "cpu":

        def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
            return _batches(pixels, labels, nothing, classes, recipe, epoch)

    else:
        there = OnDevice(pixels, nothing, device)

        def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
            return there.batches(labels, classes, recipe, epoch)

    train_epochs(
        network,
        recipe,
        folder,
        batches,
        read,
        steps=recipe.epochs * (len(pixels) // recipe.batch),
        precision=recipe.precision,
        resume=resume,
        # A GPU has done with an epoch sooner than its checkpoint is written.
        interval=0.0 if device.type == "cpu" else 10.0,
        report=report,
    )
    return network

"""What every training loop here shares: batches ahead of time, the rate, averaged weights, and checkpoints."""

from __future__ import annotations

import csv
import dataclasses
import errno
import json
import math
import pickle  # noqa: S403 - only for the name of what torch raises
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional

from leuk.errors import DataError
from leuk.files import whole

Item = TypeVar("Item")
PROCESSOR = torch.device("cpu")


def ahead(batches: Iterator[Item], depth: int = 4) -> Iterator[Item]:
    """Prepare batches in a thread while the network works."""
    ready: queue.Queue[Item | BaseException | None] = queue.Queue(depth)
    stop = threading.Event()

    def work() -> None:
        end: BaseException | None = None
        try:
            for item in batches:
                while not stop.is_set():
                    try:
                        ready.put(item, timeout=0.5)
                        break
                    except queue.Full:
                        continue
                if stop.is_set():
                    return
        except Exception as error:  # noqa: BLE001 - handed to the consumer, which raises it
            end = error
        ready.put(end)

    threading.Thread(target=work, daemon=True).start()
    try:
        while True:
            item = ready.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()


def resolved(precision: str, device: torch.device = PROCESSOR) -> str:
    """Return the precision that training computes in.

    Parameters
    ----------
    precision : str
        "bfloat16", "float32", or "auto": bfloat16 where the device has instructions for it. A processor without them
        emulates it, at ten times the time.
    device : torch.device

    Returns
    -------
    str
        "bfloat16" or "float32".

    Raises
    ------
    ValueError
        If there is no such precision.
    """
    if precision not in ("auto", "bfloat16", "float32"):
        raise ValueError(f"precision: expected auto, bfloat16 or float32, got {precision!r}")
    if precision != "auto":
        return precision
    if device.type == "cuda":
        able = torch.cuda.is_bf16_supported()
    else:
        able = device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return "bfloat16" if able else "float32"


def mixed(precision: str, device: torch.device = PROCESSOR) -> torch.autocast:
    """Return the context for a forward pass in a precision, as `resolved` takes it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=resolved(precision, device) == "bfloat16")


def optimizer_of(network: nn.Module, rate: float, decay: float) -> torch.optim.AdamW:
    """Return AdamW with weight decay on kernels and matrices, none on biases and norms."""
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    return torch.optim.AdamW(
        [{"params": decayed, "weight_decay": decay}, {"params": plain, "weight_decay": 0.0}], lr=rate
    )


def step_with(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Tensor,
    averaged: dict[str, Tensor],
    *,
    rate: float,
    average: float,
    step: int,
    steps: int,
) -> None:
    """Take one step: the rate warmed up over a twentieth, then a cosine to zero; gradients clipped; weights averaged.

    Parameters
    ----------
    network : torch.nn.Module
    optimizer : torch.optim.Optimizer
    loss : torch.Tensor
    averaged : dict of str to torch.Tensor
        Running average of the weights, changed in place.
    rate : float
        The highest.
    average : float
        Decay of the running average, a step; early on it is shorter.
    step, steps : int
        Steps done, and in all.
    """
    warm = min(1.0, (step + 1) / max(1, steps // 20))
    for group in optimizer.param_groups:
        group["lr"] = rate * warm * 0.5 * (1 + math.cos(math.pi * step / steps))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 2.0)
    optimizer.step()
    keep = min(average, (step + 1) / (step + 11))
    state = network.state_dict()
    fractions = [name for name, value in state.items() if value.is_floating_point()]
    with torch.no_grad():
        # In one call: on a GPU, a call for each tensor would take as long as the step itself.
        torch._foreach_lerp_([averaged[name] for name in fractions], [state[name] for name in fractions], 1 - keep)
        for name in state.keys() - set(fractions):
            averaged[name].copy_(state[name])


def train_epochs(
    network: nn.Module,
    recipe: Any,
    folder: Path,
    batches: Callable[[int], Iterator[Item]],
    read: Callable[[Item], tuple[Tensor, Tensor]],
    *,
    steps: int,
    name: str = "",
    precision: str = "auto",
    resume: bool = False,
    interval: float = 0.0,
    report: Callable[[dict[str, float]], None] | None = None,
) -> None:
    """Train a network that classifies, in place; it ends with its averaged weights, in evaluation mode.

    Parameters
    ----------
    network : torch.nn.Module
        With the weights to begin with, on the device to train on.
    recipe : dataclass
        Has ``epochs``, ``rate``, ``decay``, ``average`` and ``seed``; a checkpoint fits only its own.
    folder : pathlib.Path
        For the checkpoint and the log, which is written an epoch at a time.
    batches : callable
        Given an epoch, from 0, yields its batches; all their randomness must hang on it, so that a resumed run repeats
        an undisturbed one.
    read : callable
        Given a batch, returns logits (N, C), with gradients, and target distributions (N, C).
    steps : int
        Batches in all.
    name : str
        Begins the names of ``checkpoint.pt`` and ``log.csv``, where a folder holds several.
    precision : str
        As `resolved` takes it.
    resume : bool
        Go on from the folder's checkpoint if there is one; what came after it is done again.
    interval : float
        Least seconds between checkpoints, which are written at an epoch's end.
    report : callable, optional
        Given each epoch's figures: epoch, counted from 1; loss and accuracy, means over its samples, for the accuracy
        over those whose target is a class; seconds.

    Raises
    ------
    DataError
        If the checkpoint belongs to another recipe.
    """
    folder.mkdir(parents=True, exist_ok=True)
    device = next(network.parameters()).device
    averaged = {key: value.detach().clone() for key, value in network.state_dict().items()}
    optimizer = optimizer_of(network, recipe.rate, recipe.decay)
    described = json.dumps(dataclasses.asdict(recipe))
    checkpoint, record = folder / f"{name}checkpoint.pt", folder / f"{name}log.csv"
    state = restore_progress(checkpoint, described, network, optimizer, averaged) if resume else None
    first, step = (state["epoch"], state["step"]) if state is not None else (0, 0)
    rows = [row | {"epoch": int(row["epoch"])} for row in read_log(folder, name)[:first]] if first else []
    written = time.monotonic()
    for epoch in range(first, recipe.epochs):
        began, seen = time.perf_counter(), 0
        # Summed up where they arise: on a GPU, to ask for a number is to wait for it.
        total, right, labelled = (torch.zeros((), device=device) for _ in range(3))
        # Dropout draws from torch's generator: seeded by the epoch, so that a resumed run repeats the same draws.
        torch.manual_seed(recipe.seed * 100_003 + epoch)
        network.train()
        # Batches that are made on a GPU draw from its generator, as dropout does, and so have to wait their turn.
        for batch in ahead(batches(epoch)) if device.type == "cpu" else batches(epoch):
            with mixed(precision, device):
                logits, target = read(batch)
            loss = functional.cross_entropy(logits.float(), target)
            rates = {"rate": recipe.rate, "average": recipe.average}
            step_with(network, optimizer, loss, averaged, **rates, step=step, steps=steps)
            step += 1
            # An even target names no class.
            named = target.max(dim=1).values > 1.5 / target.shape[1]
            total += loss.detach() * len(target)
            right += ((logits.argmax(1) == target.argmax(1)) & named).sum()
            seen, labelled = seen + len(target), labelled + named.sum()
        row = {"epoch": epoch + 1, "loss": float(total) / max(seen, 1)}
        row |= {"accuracy": float(right / labelled.clamp_min(1)), "seconds": time.perf_counter() - began}
        rows.append(row)
        if epoch + 1 == recipe.epochs or time.monotonic() - written >= interval:
            write_log(record, rows)
            save_progress(checkpoint, described, network, optimizer, averaged, epoch=epoch + 1, step=step)
            written = time.monotonic()
        if report is not None:
            report(row)
    network.load_state_dict(averaged)
    network.eval()


def restore_progress(
    path: Path, recipe: str, network: nn.Module, optimizer: torch.optim.Optimizer, averaged: dict[str, Tensor]
) -> dict[str, Any] | None:
    """Bring a training back to its checkpoint.

    Parameters
    ----------
    path : pathlib.Path
        The checkpoint's, as `save_progress` wrote it.
    recipe : str
        Description of the training.
    network : torch.nn.Module
    optimizer : torch.optim.Optimizer
    averaged : dict of str to torch.Tensor
        Running average of the weights; all three are changed in place.

    Returns
    -------
    dict or None
        The checkpoint's content with its counters; None, and nothing changed, if there is none.

    Raises
    ------
    DataError
        If it is damaged, or was made by another recipe.
    """
    if not path.is_file():
        return None
    device = next(network.parameters()).device
    content = read_checkpoint(path, ("recipe", "network", "optimizer", "averaged"))
    if content["recipe"] != recipe:
        raise DataError(f"The checkpoint in {path.parent.name} was made by another recipe; start anew or name its own.")
    network.load_state_dict(content["network"])
    optimizer.load_state_dict(content["optimizer"])
    averaged.update({key: value.to(device) for key, value in content["averaged"].items()})
    return content


def save_progress(
    path: Path,
    recipe: str,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    averaged: Mapping[str, Tensor],
    **counters: int,
) -> None:
    """Write a training's checkpoint, for `restore_progress`."""
    content = {
        "recipe": recipe,
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "averaged": dict(averaged),
    }
    write_checkpoint(path, content | counters)


def write_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write a checkpoint, see `whole` and `writing`."""
    with writing(path), whole(path) as part:
        try:
            torch.save(dict(content), part)
        except RuntimeError as error:
            # So torch puts it, in words of its own, where the disk has become full.
            raise OSError(errno.ENOSPC, "perhaps no space is left") from error


_UNREADABLE = (EOFError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, pickle.UnpicklingError)
"""What torch raises on bytes that are no checkpoint, by where in them it stumbles."""


def read_checkpoint(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    """Read a checkpoint, its tensors on the processor.

    Parameters
    ----------
    path : pathlib.Path
        As `write_checkpoint` wrote it.
    keys : sequence of str
        What it must hold.

    Raises
    ------
    DataError
        If it is damaged, or no checkpoint of this kind.
    """
    try:
        content: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        lacking = [key for key in keys if key not in content]
    except OSError as error:
        raise _unreadable(path, error) from error
    except _UNREADABLE as error:
        raise damaged(path) from error
    if lacking:
        raise damaged(path)
    return content


def _unreadable(path: Path, error: OSError) -> DataError:
    """Return the error that says of a file of a run that it can't be opened; its content may well be sound."""
    return DataError(f"{path} can't be read ({error.strerror}); ask for the right to read it, or name another run.")


def damaged(path: Path) -> DataError:
    """Return the error that says of a file of a run that it is not what it should be."""
    return DataError(f"{path} is damaged, or not what training wrote there; delete it to train that network anew.")


def read_network(path: Path) -> dict[str, Tensor]:
    """Return the weights of a network as training left them in a run.

    Raises
    ------
    DataError
        If the file is damaged, or may not be read.
    """
    try:
        # Not by safetensors' own reader, to which a file that may not be read is one that is not there.
        return load(path.read_bytes())
    except OSError as error:
        raise _unreadable(path, error) from error
    except SafetensorError as error:
        raise damaged(path) from error


def save_network(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write the weights of a network into a run, see `whole` and `writing`.

    Not by safetensors' own writer, whose files nobody but their owner may read.
    """
    with writing(path), whole(path) as part:
        part.write_bytes(save({key: value.contiguous() for key, value in weights.items()}))


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what a disk refuses into one sentence.

    Parameters
    ----------
    path : pathlib.Path
        What is written.

    Raises
    ------
    DataError
        If it can't be written.
    """
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{path} can't be written ({error.strerror}); make room and go on with --resume, or name another folder."
        ) from error


def append_row(path: Path, row: Mapping[str, float]) -> None:
    """Append a row to a CSV log, with a head line if it is the first."""
    fresh = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(row))
        if fresh:
            writer.writeheader()
        writer.writerow(row)


def write_log(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write a CSV log, a row an epoch, over the old one."""
    with writing(path), whole(path) as part, part.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def read_log(folder: Path, name: str = "") -> list[dict[str, float]]:
    """Return the rows of a folder's ``log.csv``, an epoch each; a name begins the file's, as in `train_epochs`."""
    with (folder / f"{name}log.csv").open(newline="", encoding="utf-8") as stream:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(stream)]


def shortened(rows: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """Return a log's rows with five digits, for a card."""
    return [{key: float(f"{value:.5g}") for key, value in row.items()} for row in rows]


def mean_weights(networks: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Return the mean of networks' weights, tensor by tensor; what is no float is the last one's.

    References
    ----------
    P. Izmailov et al., Averaging weights leads to wider optima and better generalization, UAI 2018.
    """
    return {
        key: torch.stack([one[key] for one in networks]).mean(0) if value.is_floating_point() else value
        for key, value in networks[-1].items()
    }

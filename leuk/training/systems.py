"""Training of any system: plain functions, resumable after a kill at any moment.

A run is a folder: ``run.json`` says what is trained, on what and how; ``fold-N`` holds the checkpoint, the log and,
once done, the network of fold N, which has seen the other folds only.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from leuk.classification import run_network, to_tensor
from leuk.errors import DataError, OptionError
from leuk.files import whole
from leuk.models.preprocessing import hide_corner, preprocess
from leuk.models.store import choose_device
from leuk.models.systems import System, build_network, find_system, with_edges
from leuk.models.weights import shipped, unpacked
from leuk.training.fields import FIELD, TrainingSet
from leuk.training.loop import (
    ahead,
    damaged,
    mixed,
    read_checkpoint,
    read_log,
    read_network,
    save_network,
    write_checkpoint,
    write_log,
    writing,
)
from leuk.training.presets import Preset, Warp
from leuk.training.selection import fit_components, replace_head, set_components

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """What a run's folder holds.

    Attributes
    ----------
    system : str
        Name of the system.
    partition : str
        "grouped" or "random".
    preset : dict
        The training, as `leuk.training.presets.Preset` has it, size filled in.
    seed : int
    pretrained : bool
    classes : tuple of str
    data : str
        Name of the data set.
    files : tuple of str
        Relative names of the fields.
    labels, folds : tuple of int
        Class index and fold of each field.
    fingerprint : str
        Of the fields (`TrainingSet.fingerprint`); "" where the run was begun before runs kept it.
    """

    system: str
    partition: str
    preset: dict[str, Any]
    seed: int
    pretrained: bool
    classes: tuple[str, ...]
    data: str
    files: tuple[str, ...]
    labels: tuple[int, ...]
    folds: tuple[int, ...]
    fingerprint: str = ""

    @property
    def size(self) -> int:
        """Side in pixels of the network's input."""
        return int(self.preset["size"])

    @property
    def epochs(self) -> int:
        """Epochs of training."""
        return int(self.preset["epochs"])


def read_run(folder: Path) -> Run:
    """Read what a run's folder holds.

    Raises
    ------
    DataError
        If it is no run's folder.
    """
    try:
        content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        content.setdefault("fingerprint", "")
        known: dict[str, Any] = {name: content[name] for name in Run.__dataclass_fields__}
        known.update({name: tuple(value) for name, value in known.items() if isinstance(value, list)})
        return Run(**known)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"The folder {folder.name} holds no run ({reason}); name one that `train` wrote.") from error


def write_run(run: Run, folder: Path) -> None:
    """Write what a run's folder holds, before anything else is in it."""
    path = folder / "run.json"
    with writing(path), whole(path) as part:
        part.write_text(json.dumps(asdict(run), indent=1) + "\n", encoding="utf-8")


def system_of(run: Run) -> System:
    """Return a run's system, with the classes of the run's data, and edge maps or none as the run has it."""
    system = replace(find_system(run.system), classes=run.classes)
    edges = run.preset.get("edges")
    return system if edges is None else with_edges(system, edges)


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
        If the fold's network is not trained yet, or damaged.
    """
    described = read_run(run)
    path = fold_folder(run, fold) / "network.safetensors"
    if not path.is_file():
        raise DataError(f"The run {run.name} has no network of fold {fold} yet; finish its training with --resume.")
    system = extended(system_of(described), arguments_of(run, fold))
    network = build_network(system, described.size)
    try:
        network.load_state_dict(unpacked(read_network(path)))
    except RuntimeError as error:
        raise damaged(path) from error
    return network.eval().requires_grad_(False).to(torch.device(device))


def arguments_of(run: Path, fold: int) -> dict[str, Any]:
    """Return the arguments that a fold's network has beyond its system's: sizes of what was fitted in training."""
    path = fold_folder(run, fold) / "arguments.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
    except (OSError, ValueError, TypeError) as error:
        raise damaged(path.with_name("network.safetensors")) from error


def extended(system: System, arguments: Mapping[str, Any]) -> System:
    """Return a system whose network has further arguments."""
    return replace(system, arguments=dict(system.arguments) | dict(arguments))


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


@dataclass(frozen=True)
class Step:
    """Where training stands.

    Attributes
    ----------
    fold, epoch, epochs : int
        Epochs count from 1.
    step, steps : int
        Done, and in all, of this fold.
    loss, accuracy : float
        Means over this epoch's samples so far.
    """

    fold: int
    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    accuracy: float


Report = Callable[[Step], None]


def warp(sample: np.ndarray, options: Warp, rng: np.random.Generator) -> np.ndarray:
    """Return a changed copy of a sample.

    Parameters
    ----------
    sample : numpy.ndarray
        uint8, (S, S, C).
    options : Warp
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray
        uint8, same shape.
    """
    side = sample.shape[0]
    angle = rng.uniform(-options.rotation, options.rotation)
    zoom = rng.uniform(1 - options.zoom, 1 + options.zoom)
    shift = rng.uniform(-options.shift, options.shift, 2) * side
    mirror, flip = options.mirror and rng.random() < 0.5, options.flip and rng.random() < 0.5
    brightness = rng.uniform(1 - options.brightness, 1 + options.brightness)
    contrast = rng.uniform(1 - options.contrast, 1 + options.contrast)
    changed = sample
    if options.rotation or options.zoom or options.shift:
        matrix = cv2.getRotationMatrix2D((side / 2 - 0.5, side / 2 - 0.5), angle, zoom)
        matrix[:, 2] += shift
        parts = [
            cv2.warpAffine(
                np.ascontiguousarray(sample[..., i : i + 3]), matrix, (side, side), borderMode=cv2.BORDER_REFLECT_101
            ).reshape(side, side, -1)
            for i in range(0, sample.shape[2], 3)
        ]
        changed = np.concatenate(parts, axis=2) if len(parts) > 1 else parts[0]
    if mirror:
        changed = changed[:, ::-1]
    if flip:
        changed = changed[::-1]
    if options.brightness or options.contrast:
        levels = np.arange(256, dtype=np.float64) * brightness
        # Contrast turns about the sample's own mean, as torchvision's does.
        mean = float(changed.mean()) * brightness
        table = np.clip((levels - mean) * contrast + mean + 0.5, 0, 255).astype(np.uint8)
        changed = cv2.LUT(np.ascontiguousarray(changed), table).reshape(changed.shape)
    return np.ascontiguousarray(changed)


def batches(
    samples: np.ndarray, labels: np.ndarray, preset: Preset, seed: int, epoch: int, first: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield an epoch's batches from one on; all their randomness hangs on the seed, the epoch and the batch.

    A last batch of one sample is left out: batch normalization can't read it.

    Parameters
    ----------
    samples : numpy.ndarray
        uint8, (N, S, S, C).
    labels : numpy.ndarray
        int64, (N,).
    preset : Preset
    seed, epoch, first : int

    Yields
    ------
    images : torch.Tensor
        float32, (B, C, S, S), 0 … 1.
    labels : torch.Tensor
        int64, (B,).
    """
    order = np.random.default_rng([seed, epoch]).permutation(len(samples))
    for number in range(first, steps_of(len(samples), preset.batch)):
        chosen = order[number * preset.batch : (number + 1) * preset.batch]
        rng = np.random.default_rng([seed, epoch, number])
        images = np.stack([warp(samples[i], preset.warp, rng) for i in chosen])
        yield to_tensor(images, torch.device("cpu")), torch.from_numpy(labels[chosen])


def steps_of(samples: int, batch: int) -> int:
    """Return the steps of an epoch."""
    return samples // batch + (samples % batch > 1)


def rate_at(preset: Preset, step: int, steps: int) -> float:
    """Return the learning rate of a step, counted from 0."""
    if preset.schedule == "steps":
        return preset.rate * 0.96 ** (step // 40)
    if preset.schedule == "cosine":
        return preset.rate * min(1.0, (step + 1) / max(1, steps // 20)) * 0.5 * (1 + math.cos(math.pi * step / steps))
    return preset.rate


@dataclass
class _State:
    """All that training goes on from, whenever it is stopped."""

    step: int = 0
    loss: float = 0.0
    right: float = 0.0
    seen: float = 0.0
    seconds: float = 0.0


def train_one_epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: Iterator[tuple[Tensor, Tensor]],
    preset: Preset,
    state: _State,
    steps: int,
    *,
    seed: int = 0,
    precision: str = "auto",
    after: Callable[[_State], None] | None = None,
) -> None:
    """Train until the data end; the state counts steps and sums up loss and accuracy.

    Parameters
    ----------
    network : torch.nn.Module
    optimizer : torch.optim.Optimizer
    data : iterator
        As `batches` yields.
    preset : Preset
    state : _State
        Changed in place.
    steps : int
        Of the whole training, for the learning rate.
    seed : int
    precision : str
        "bfloat16", "float32", or "auto": bfloat16 where it is faster.
    after : callable, optional
        Called after each step.
    """
    device = next(network.parameters()).device
    if precision == "auto" and device.type == "cpu" and not preset.half:
        precision = "float32"
    network.train()
    for images, labels in data:
        images = images.to(device).contiguous(memory_format=torch.channels_last)
        labels = labels.to(device)
        # Dropout draws from torch's generator: seeded by the step, so that a resumed run repeats the same draws.
        torch.manual_seed(seed * 1_000_003 + state.step)
        for group in optimizer.param_groups:
            group["lr"] = rate_at(preset, state.step, steps)
        with mixed(precision, device):
            logits = network(images)
        loss = functional.cross_entropy(logits.float(), labels)
        total = loss + network.penalty() if hasattr(network, "penalty") else loss  # type: ignore[operator]
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()
        state.step += 1
        state.loss += float(loss.detach()) * len(labels)
        state.right += float((logits.argmax(1) == labels).sum())
        state.seen += len(labels)
        if after is not None:
            after(state)


def held_accuracy(network: nn.Module, samples: np.ndarray, labels: np.ndarray) -> float:
    """Return the accuracy on held samples; nan where there are none."""
    if not len(samples):
        return float("nan")
    logits, _ = run_network(network.eval(), samples, next(network.parameters()).device)
    return float((logits.argmax(1) == labels).mean())


def normalizes(network: nn.Module) -> bool:
    """Tell whether a network keeps statistics of batch normalization, which `recount` counts anew."""
    return any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in network.modules())


def recount(network: nn.Module, samples: np.ndarray, batch: int = 32, most: int = 1024) -> None:
    """Count the statistics of batch normalization anew, as a mean over training samples as they are.

    Where there are more than `most` samples, over that many of them, drawn at random but the same each time.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    if not layers:
        return
    device, momenta = next(network.parameters()).device, [layer.momentum for layer in layers]
    chosen = np.random.default_rng(0).permutation(len(samples))[:most]
    network.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
        layer.train()
    with torch.no_grad():
        for start in range(0, len(chosen) - 1, batch):
            network(to_tensor(samples[chosen[start : start + batch]], device))
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    network.eval()


def train(
    system: System,
    samples: np.ndarray,
    labels: np.ndarray,
    preset: Preset,
    folder: Path,
    *,
    held: tuple[np.ndarray, np.ndarray] | None = None,
    fold: int = 0,
    seed: int = 0,
    pretrained: bool = False,
    device: str = "auto",
    precision: str = "auto",
    resume: bool = False,
    interval: float = 60.0,
    report: Report | None = None,
) -> nn.Module:
    """Train a system's network on samples that are preprocessed.

    Parameters
    ----------
    system : System
    samples : numpy.ndarray
        uint8, (N, S, S, C), as `present` gives them.
    labels : numpy.ndarray
        int64, (N,).
    preset : Preset
        Its size is S.
    folder : pathlib.Path
        For ``checkpoint.pt``, ``log.csv`` and, at the end, ``network.safetensors``.
    held : tuple of numpy.ndarray, optional
        Held samples and labels, for the log alone: nothing is chosen by them.
    fold, seed : int
    pretrained : bool
        Begin with published weights.
    device, precision : str
    resume : bool
        Go on from the folder's checkpoint if there is one.
    interval : float
        Seconds between checkpoints; one is written at each epoch's end too.
    report : callable, optional
        Told each step.

    Returns
    -------
    torch.nn.Module
        In evaluation mode.

    Raises
    ------
    DataError
        If a class has no sample, the checkpoint is damaged or belongs to another training, or nothing can be written.
    ModelError
        If pretrained weights are wanted and can't be had.
    OptionError
        If the preset wants what the system has not.
    """
    _need_every_class(labels, system.classes, fold)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    checkpoint, done = folder / "checkpoint.pt", folder / "network.safetensors"
    described = json.dumps([system.name, system.classes, preset.described(), seed, pretrained, len(samples)])
    parts = ("training", "arguments", "network", "optimizer", "state", "rows")
    content = read_checkpoint(checkpoint, parts) if resume and checkpoint.is_file() else None
    if content is not None and content["training"] != described:
        raise DataError(
            f"The checkpoint in {folder.parent.name}/{folder.name} belongs to another training; name another run, or "
            "the same options."
        )
    check_options(system, preset, pretrained)
    extra: dict[str, Any] = {} if content is None else content["arguments"]
    if preset.pca and content is None:
        center, basis = fit_components(samples, preset.pca)
        extra = {"components": len(basis)}
    torch.manual_seed(seed)
    # A resumed run needs no download: its weights are in the checkpoint.
    network = build_network(extended(system, extra), samples.shape[1], pretrained and content is None)
    if preset.pca and content is None:
        set_components(network, center, basis)  # type: ignore[arg-type]
    network = network.to(choose_device(device)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters(), lr=preset.rate, weight_decay=preset.decay)
    state, rows = _State(), []
    if content is not None:
        network.load_state_dict(content["network"])
        optimizer.load_state_dict(content["optimizer"])
        state, rows = _State(**content["state"]), content["rows"]
    else:
        done.unlink(missing_ok=True)
        (folder / "arguments.json").unlink(missing_ok=True)
    each = steps_of(len(samples), preset.batch)
    steps = each * preset.epochs
    last = time.monotonic()

    def keep() -> None:
        write_checkpoint(
            checkpoint,
            {
                "training": described,
                "arguments": extra,
                "network": network.state_dict(),
                "optimizer": optimizer.state_dict(),
                "state": asdict(state),
                "rows": rows,
            },
        )

    for epoch in range(state.step // each, preset.epochs):
        began, before = time.monotonic(), state.seconds

        def after(state: _State, epoch: int = epoch, began: float = began, before: float = before) -> None:
            nonlocal last
            state.seconds = before + time.monotonic() - began
            if report is not None:
                shown = state.loss / state.seen, state.right / state.seen
                report(Step(fold, epoch + 1, preset.epochs, state.step, steps, *shown))
            if time.monotonic() - last > interval and state.step % each:
                keep()
                last = time.monotonic()

        data = ahead(batches(samples, labels, preset, seed, epoch, state.step - epoch * each))
        train_one_epoch(network, optimizer, data, preset, state, steps, seed=seed, precision=precision, after=after)
        row = {"epoch": epoch + 1, "loss": state.loss / state.seen, "accuracy": state.right / state.seen}
        row["held_accuracy"] = held_accuracy(network, *held) if held is not None else float("nan")
        rows.append(row | {"seconds": round(state.seconds, 1)})
        state = _State(step=state.step)
        keep()
        last = time.monotonic()
        write_log(folder / "log.csv", rows)
    write_log(folder / "log.csv", rows)
    if preset.recount:
        recount(network, samples)
    if preset.select:
        extra = extra | replace_head(network, samples, labels, seed)
    if extra:
        path = folder / "arguments.json"
        with writing(path), whole(path) as part:
            part.write_text(json.dumps(extra) + "\n", encoding="utf-8")
    weights = shipped(network)
    save_network(weights, done)
    network.load_state_dict(unpacked(weights))
    return network.eval()


def _need_every_class(labels: np.ndarray, classes: Sequence[str], fold: int) -> None:
    """Refuse to train a fold where a class has no field."""
    lacking = [name for index, name in enumerate(classes) if not (labels == index).any()]
    if lacking:
        raise DataError(
            f"There is no field of {', '.join(lacking)} to train fold {fold} on; add some, or choose another partition "
            "or other folds."
        )


def describe_run(
    system: System, data: TrainingSet, partition: str, preset: Preset, seed: int, pretrained: bool
) -> tuple[Run, Preset]:
    """Return what a run is, and its preset with the size filled in."""
    whole = replace(preset, size=preset.size or system.size)
    run = Run(
        system=system.name,
        partition=partition,
        preset=json.loads(json.dumps(whole.described())),
        seed=seed,
        pretrained=pretrained,
        classes=data.classes,
        data=data.name,
        files=data.files,
        labels=tuple(map(int, data.labels)),
        folds=tuple(map(int, data.folds)),
        fingerprint=data.fingerprint(),
    )
    return run, whole


def check_options(system: System, preset: Preset, pretrained: bool) -> None:
    """Refuse what a system has not.

    Raises
    ------
    OptionError
        If the preset asks for steps of another system, or for pretrained weights where none are published.
    """
    if (preset.pca or preset.select) and system.architecture != "deep_leukemia_net":
        raise OptionError(f"PCA and feature selection belong to DeepLeukemiaNet; train {system.name} without them.")
    if preset.edges is not None:
        with_edges(system, preset.edges)
    if pretrained and not system.pretrained:
        raise OptionError(f"There are no pretrained weights of {system.name}; train it without --pretrained.")


def fit(
    system: System,
    data: TrainingSet,
    folder: Path,
    preset: Preset,
    *,
    partition: str = "grouped",
    folds: Sequence[int] | None = None,
    seed: int = 0,
    pretrained: bool = False,
    device: str = "auto",
    resume: bool = False,
    interval: float = 60.0,
    report: Report | None = None,
) -> Run:
    """Train a run's networks, one for each fold, on the other folds.

    Parameters
    ----------
    system : System
    data : TrainingSet
    folder : pathlib.Path
        Of the run.
    preset : Preset
    partition : str
        What the data's folds are: "grouped" or "random".
    folds : sequence of int, optional
        Each is trained once; all by default.
    seed : int
    pretrained : bool
    device : str
    resume : bool
        Leave trained folds as they are and go on with the one that was stopped; without it, what is begun is refused.
    interval : float
        Seconds between checkpoints.
    report : callable, optional
        Told each step.

    Returns
    -------
    Run

    Raises
    ------
    DataError
        If the folder holds another run or a damaged one, the images are others than it was begun with, a fold does
        not exist, a class has no field to train on, or nothing can be written.
    ModelError
        If pretrained weights are wanted and can't be had.
    """
    # Before anything is written: what is refused must not stand in the way of what is then asked for.
    check_options(system, preset, pretrained)
    run, preset = describe_run(system, data, partition, preset, seed, pretrained)
    chosen = sorted(set(run.folds)) if folds is None else list(dict.fromkeys(folds))
    unknown = set(chosen) - set(run.folds)
    if unknown:
        raise DataError(f"There is no fold {min(unknown)}; choose among {', '.join(map(str, sorted(set(run.folds))))}.")
    if (folder / "run.json").is_file():
        begun = read_run(folder)
        if replace(begun, fingerprint=run.fingerprint) != run:
            raise DataError(f"The folder {folder.name} holds another run; name another folder, or the same options.")
        if begun.fingerprint not in ("", run.fingerprint):
            raise DataError(
                f"The images of {data.name} are no longer those that the run in {folder.name} was begun with, though "
                "their names are; bring them back, or name another folder."
            )
    files = ("network.safetensors", "checkpoint.pt")
    kept = [n for n in chosen if any((fold_folder(folder, n) / name).is_file() for name in files)]
    if kept and not resume:
        raise DataError(
            f"{folder.name} holds the training of fold {kept[0]} already, which would be lost; go on with --resume, or "
            "name another folder with --run."
        )
    left = [n for n in chosen if n not in folds_done(folder)]
    # Before hours of training on the folds that have them all.
    for fold in left:
        _need_every_class(data.labels[data.folds != fold], run.classes, fold)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_run(run, folder)
    # What is done but damaged is said now, not after hours of training the others.
    for fold in set(chosen) - set(left):
        load_fold_network(folder, fold)
    if not left:
        return run
    system = system_of(run)
    shown = present(data.pixels, system, run.size)
    # Where plain fields are samples beside the preprocessed ones, a field's two samples share its fold.
    plain = present(data.pixels, replace(system, preprocessing="rgb"), run.size) if system.both else None
    for fold in left:
        seen, held = data.folds != fold, data.folds == fold
        samples, labels = shown[seen], data.labels[seen]
        if plain is not None:
            samples, labels = np.concatenate([samples, plain[seen]]), np.concatenate([labels, labels])
        train(
            system,
            samples,
            labels,
            preset,
            fold_folder(folder, fold),
            held=(shown[held], data.labels[held]),
            fold=fold,
            seed=seed,
            pretrained=pretrained,
            device=device,
            resume=resume,
            interval=interval,
            report=report,
        )
    write_curves(folder)
    return run


UNSETTLED = 0.05
"""Accuracy on held-out fields that moves by less from epoch to epoch has come to rest."""


def held_range(run: Run, folder: Path, folds: Sequence[int]) -> dict[str, float] | None:
    """Return how far accuracy on held-out fields moves over the last quarter of a run's epochs.

    At a constant rate it may never come to rest, and figures then hang on the epoch at which training ends.

    Parameters
    ----------
    run : Run
    folder : pathlib.Path
        Of the run.
    folds : sequence of int
        Trained ones.

    Returns
    -------
    dict or None
        ``fold`` with the widest range, its ``low`` and ``high``, 0 … 1, and the number of ``epochs``; None if it
        comes to rest (`UNSETTLED`), if the quarter is one epoch, or if statistics are counted anew at the end, before
        which accuracy tells nothing.
    """
    last = run.epochs // 4
    if last < 2 or run.preset["recount"]:
        return None
    found = []
    for fold in folds:
        held = [row["held_accuracy"] for row in read_log(fold_folder(folder, fold))[-last:]]
        if max(held) - min(held) >= UNSETTLED:
            found.append({"fold": fold, "epochs": last, "low": round(min(held), 4), "high": round(max(held), 4)})
    return max(found, key=lambda one: one["high"] - one["low"], default=None)


def write_curves(folder: Path) -> Path:
    """Draw a run's training curves, all folds in one page: ``curves.html`` in the run's folder."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    run = read_run(folder)
    figure = make_subplots(rows=1, cols=2, subplot_titles=("Loss", "Accuracy"))
    for log_file in sorted(folder.glob("fold-*/log.csv")):
        rows, name = read_log(log_file.parent), log_file.parent.name.replace("-", " ")
        epochs = [row["epoch"] for row in rows]
        for column, key, dash in ((1, "loss", "solid"), (2, "accuracy", "solid"), (2, "held_accuracy", "dot")):
            title = {"loss": "loss", "accuracy": "training", "held_accuracy": "held out"}[key]
            line = {"dash": dash}
            trace = go.Scatter(x=epochs, y=[row[key] for row in rows], name=f"{name}, {title}", line=line)
            figure.add_trace(trace, row=1, col=column)
    figure.update_xaxes(title="Epoch")
    figure.update_layout(title=f"{find_system(run.system).title}: {run.partition} partition", template="plotly_white")
    path = folder / "curves.html"
    with writing(path):
        figure.write_html(path, include_plotlyjs=True)
    return path

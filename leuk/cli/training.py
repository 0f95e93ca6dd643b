"""Commands on systems: train."""

from __future__ import annotations

import argparse
import functools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from leuk.cli.common import READ, check_data, check_file, make_folder
from leuk.errors import OptionError

if TYPE_CHECKING:
    from leuk.data.taleqani import Fields
    from leuk.training.systems import Step


def add(commands: Any) -> None:
    """Add the commands to a parser's subparsers."""
    from leuk.models.systems import SYSTEMS

    train = commands.add_parser("train", help="train a system on labelled fields and write its weights and card")
    names = [*SYSTEMS, "cells", "segmenter"]
    train.add_argument(
        "system", choices=names, metavar="SYSTEM", help=f"what to train: {', '.join(names)} (types of single cells)"
    )
    train.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="class folders, Original/Segmented, ALL-IDB's names, or a CSV of path and label",
    )
    train.add_argument(
        "--run",
        type=Path,
        dest="folder",
        metavar="DIR",
        help="checkpoints, logs and curves (default: runs/SYSTEM.PARTITION)",
    )
    train.add_argument(
        "--weights", type=Path, metavar="DIR", help="where to write the result (default: the run's folder)"
    )
    train.add_argument("--resume", action="store_true", help="go on where a stopped run was; what is done stays")
    train.add_argument(
        "--partition",
        choices=["grouped", "random"],
        help="what is held out (default: grouped; random where nothing says which fields belong together)",
    )
    train.add_argument("--folds", metavar="N,N", help="folds to train, from 0 (default: all)")
    train.add_argument("--epochs", type=int, metavar="N", help="instead of the preset's")
    train.add_argument(
        "--size",
        type=int,
        metavar="N",
        help=f"side of the input in pixels, {SMALLEST_SIZE} to {LARGEST_SIZE}, instead of the preset's",
    )
    train.add_argument("--reduced", action="store_true", help="the shorter preset, for a few processor cores")
    train.add_argument(
        "--recount",
        action="store_true",
        help="count the statistics of batch normalization anew at the end, over 1,024 of the training fields at most",
    )
    train.add_argument("--pretrained", action="store_true", help="begin with ImageNet weights, downloaded once")
    train.add_argument(
        "--edges",
        action=argparse.BooleanOptionalAction,
        help="DeepLeukemiaNet: read edge maps, or the fields themselves (default: edge maps with two classes only)",
    )
    train.add_argument("--pca", action="store_true", help="DeepLeukemiaNet: keep 99 %% of the images' variance")
    train.add_argument(
        "--select", action="store_true", help="DeepLeukemiaNet: end in a support vector machine on selected features"
    )
    train.add_argument("--seed", type=int, default=0, metavar="N", help="of all randomness (default: 0)")
    train.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, … (default: auto)")
    train.add_argument("--skip-broken", action="store_true", help="leave images out that can't be read, and name them")
    train.add_argument("--others", type=Path, metavar="DIR", help="for the reader: pictures that are no smears")
    train.add_argument("--begin", type=Path, metavar="DIR", help="for the reader: single cells, a folder for each type")
    train.set_defaults(run=_train)


LARGEST_SEED = 2**32 - 1
"""That all generators take."""

SMALLEST_SIZE, LARGEST_SIZE = 32, 1024
"""Pixels of the input's side: training fields have 224, and what is far larger takes all memory there is."""

_FOR_SYSTEMS = ("epochs", "size", "reduced", "recount", "pretrained", "edges", "pca", "select", "skip_broken", "seed")
"""Options that Leuk's own networks, each with its one recipe, don't take."""


def _train(options: argparse.Namespace) -> int:
    if options.system in ("cells", "segmenter", "reader", "cell_reader"):
        given = [name for name in _FOR_SYSTEMS if getattr(options, name) not in (None, False, 0)]
        given += ["no-edges"] * (options.edges is False)
        if options.system not in ("reader", "cell_reader"):
            given += ["folds"] * bool(options.folds) + ["partition"] * (options.partition is not None)
        if options.system != "reader":
            given += ["others"] * (options.others is not None) + ["begin"] * (options.begin is not None)
            given += ["device"] * (options.device not in ("auto", "cpu"))
        if given:
            raise OptionError(
                f"--{given[0].replace('_', '-')} does not apply to {options.system}, "
                "which has a recipe of its own; leave it out."
            )
    check_data(options.data)
    if options.system == "cells":
        return _train_cells(options)
    if options.system == "segmenter":
        return _train_segmenter(options)
    if options.system in ("reader", "cell_reader"):
        options.partition = options.partition or "grouped"
        options.folder = options.folder or _usual_folder(options)
        return (_train_reader if options.system == "reader" else _train_cell_reader)(options)
    return _train_system(options)


def _usual_folder(options: argparse.Namespace) -> Path:
    return Path("runs") / f"{options.system}.{options.partition}"


def _usual_partition(options: argparse.Namespace) -> str:
    from leuk.training.fields import usual_partition

    usual = usual_partition(options.data)
    if usual == "random":
        print(
            f"Nothing says which fields of {options.data.name} belong together, so they are held out at random: where "
            "several are of one slide, figures are too good. A CSV with a column session would keep them together."
        )
    return usual


def _train_cells(options: argparse.Namespace) -> int:
    from leuk.training.cells import finish, fit

    tell = functools.partial(print, flush=True)
    folder = make_folder(options.folder or Path("runs") / "cells")
    weights = _weights_folder(options, folder)
    fit(options.data, folder, tell)
    card = finish(options.data, folder, weights, tell)
    print(f"PBC, held-out fifth: macro-F1 {card.metrics['pbc']['macro_f1']['value']:.4f}")
    return READ


def _train_segmenter(options: argparse.Namespace) -> int:
    from leuk.training.segmenter import finish, fit

    folder = make_folder(options.folder or Path("runs") / "segmenter")
    weights = _weights_folder(options, folder)
    network = fit(options.data, folder, resume=options.resume, tell=functools.partial(print, flush=True))
    card = finish(network, weights, options.data)
    for source, found in card.metrics["held-out fifth, Dice"].items():
        print(f"{source}, held-out fifth: nucleus {found['nucleus']:.4f}, cell {found['cell']:.4f}")
    return READ


def _weights_folder(options: argparse.Namespace, run: Path) -> Path:
    """Return the folder for the result; where it takes none, that is said before the training, not after it."""
    folder = Path(options.weights or run)
    for suffix in (".json", ".safetensors"):
        check_file(folder / f"{options.system}{suffix}")
    return folder


def _fields_and_folds(options: argparse.Namespace) -> tuple[Fields, list[int] | None, list[int]]:
    """Return the fields of a readers' run, the folds asked for if any are, and those that there are."""
    from leuk.data.datasets import random_folds
    from leuk.data.taleqani import load_fields

    fields, chosen = load_fields(options.data), _numbers(options.folds)
    if options.partition == "random":
        fields = replace(fields, folds=random_folds(fields.labels))
    there = sorted({int(fold) for fold in fields.folds})
    if chosen is not None and not set(chosen) <= set(there):
        raise OptionError(
            f"--folds {options.folds} names a fold that is not there; there are {there[0]} to {there[-1]}."
        )
    return fields, chosen, there


def _train_cell_reader(options: argparse.Namespace) -> int:
    from leuk.training.cell_reader import finish, fit

    fields, chosen, _ = _fields_and_folds(options)
    tell, folder = functools.partial(print, flush=True), make_folder(options.folder)
    weights = _weights_folder(options, folder) if options.partition == "grouped" else None
    fit(fields, folder, folds=chosen, tell=tell)
    if weights:
        finish(fields, folder, weights, tell=tell)
    _print_next(options)
    return READ


def _print_next(options: argparse.Namespace) -> None:
    print(
        f"The networks are in {options.folder}; python -m leuk evaluate {options.system} --data {options.data} "
        f"--partition {options.partition} --run {options.folder} measures them."
    )


def _train_reader(options: argparse.Namespace) -> int:
    from leuk.training import mosaics
    from leuk.training.reader import ALL_FIELDS, TILE, finish, fit, pictures_in

    others = pictures_in(options.others) if options.others else ()
    cells = mosaics.gather(options.begin, TILE) if options.begin else None
    fields, chosen, there = _fields_and_folds(options)
    whole = chosen is None and options.partition == "grouped"
    parts = [str(fold) for fold in (there if chosen is None else chosen)] + [ALL_FIELDS] * whole
    tell = functools.partial(print, flush=True)
    weights = _weights_folder(options, options.folder) if whole else None
    run = make_folder(options.folder)
    fit(fields, run, others=others, cells=cells, parts=parts, device=options.device, tell=tell)
    if not weights:
        # The card speaks of all five grouped folds.
        _print_next(options)
        return READ
    card = finish(fields, options.folder, weights, tell=tell)
    _print_figures(card.metrics)
    return READ


def _train_system(options: argparse.Namespace) -> int:
    from leuk.models.store import choose_device
    from leuk.models.systems import build_network, find_system
    from leuk.training.fields import gather
    from leuk.training.finish import finish
    from leuk.training.presets import PRESETS, REDUCED
    from leuk.training.systems import fit, normalizes

    system = find_system(options.system)
    _within(0, LARGEST_SEED, options.seed, "--seed")
    for name in ("others", "begin"):
        if getattr(options, name) is not None:
            raise OptionError(f"--{name} does not apply to {options.system}; leave it out.")
    preset = (REDUCED if options.reduced else PRESETS)[options.system]
    otherwise = []
    if options.epochs not in (None, preset.epochs):
        otherwise.append(f"{options.epochs} epoch{'s' * (options.epochs != 1)} instead of {preset.epochs}")
        preset = replace(preset, epochs=_at_least(1, options.epochs, "--epochs"))
    if options.size not in (None, preset.size or system.size):
        otherwise.append(f"{options.size} pixels instead of {preset.size or system.size}")
        preset = replace(preset, size=_within(SMALLEST_SIZE, LARGEST_SIZE, options.size, "--size"))
    if options.recount and not preset.recount:
        if not normalizes(build_network(system, preset.size or system.size)):
            raise OptionError(f"{options.system} has no batch normalization to count anew; leave --recount out.")
        otherwise.append("statistics of batch normalization counted anew at the end")
        preset = replace(preset, recount=True)
    if otherwise:
        preset = replace(preset, source=f"{preset.source}, but {' and '.join(otherwise)}")
    preset = replace(preset, pca=0.99 if options.pca else 0.0, select=options.select, edges=options.edges)
    choose_device(options.device)
    options.partition = options.partition or _usual_partition(options)
    options.folder = options.folder or _usual_folder(options)
    weights = _weights_folder(options, make_folder(options.folder))
    data = gather(options.data, system, options.partition, skip_broken=options.skip_broken, run=options.folder)
    for problem in data.problems:
        print(problem)
    with _Bar() as bar:
        run = fit(
            system,
            data,
            options.folder,
            preset,
            partition=options.partition,
            folds=_numbers(options.folds),
            seed=options.seed,
            pretrained=options.pretrained,
            device=options.device,
            resume=options.resume,
            report=bar.show,
        )
    tell = functools.partial(print, flush=True)
    card = finish(run, data, options.folder, weights, device=options.device, tell=tell)
    _print_figures(card.metrics["random"] if card.training["partition"] != options.partition else card.metrics)
    return READ


class _Bar:
    """A bar a fold: steps, loss, accuracy and the time left."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._fold = -1

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *reason: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, step: Step) -> None:
        """Show where training stands."""
        if step.fold != self._fold:
            self.__exit__()
            # What a stopped run had done counts as done, but not as done now: the time left stays true.
            self._bar = tqdm(total=step.steps, initial=step.step - 1, unit="step", desc=f"fold {step.fold}")
            self._fold = step.fold
        if self._bar is not None:
            self._bar.set_postfix_str(
                f"epoch {step.epoch}/{step.epochs}, loss {step.loss:.4f}, accuracy {step.accuracy:.4f}", refresh=False
            )
            self._bar.update()


def _at_least(least: int, value: int, option: str) -> int:
    if value < least:
        raise OptionError(f"{option} {value} is too small; use at least {least}.")
    return value


def _within(least: int, most: int, value: int, option: str) -> int:
    if _at_least(least, value, option) > most:
        raise OptionError(f"{option} {value} is too large; use at most {most}.")
    return value


def _numbers(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise OptionError(f"--folds {text} is no list of numbers; write for example --folds 0,1.") from None


def _print_figures(metrics: Any) -> None:
    for name in ("accuracy", "macro_f1", "benign_recall", "malignant_auroc"):
        if figure := metrics[name]:  # None where held-out fields of one class can't give it
            low, high = figure["interval"]
            print(f"{name}: {figure['value']:.4f} ({low:.4f} to {high:.4f})")

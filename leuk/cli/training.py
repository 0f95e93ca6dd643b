"""Commands on systems: train."""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import Any

from leuk.cli.common import READ, make_folder


def add(commands: Any) -> None:
    """Add the commands to a parser's subparsers."""
    train = commands.add_parser("train", help="train the reader on the public set and write its weights and card")
    train.add_argument("system", choices=["reader"], help="what to train")
    train.add_argument("--data", type=Path, required=True, metavar="DIR", help="holds Original/ and groups.csv")
    train.add_argument(
        "--run", type=Path, required=True, dest="folder", metavar="DIR", help="checkpoints and logs; goes on"
    )
    train.add_argument("--others", type=Path, metavar="DIR", help="pictures that are no smears")
    train.add_argument(
        "--weights", type=Path, metavar="DIR", help="where to write the result (default: the run's folder)"
    )
    train.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> int:
    from leuk.data.taleqani import load_fields
    from leuk.training.reader import finish, fit, pictures_in

    fields = load_fields(options.data)
    tell = functools.partial(print, flush=True)
    fit(fields, make_folder(options.folder), others=pictures_in(options.others) if options.others else (), tell=tell)
    card = finish(fields, options.folder, make_folder(options.weights or options.folder), tell=tell)
    for name in ("accuracy", "macro_f1", "benign_recall", "malignant_auroc"):
        low, high = card.metrics[name]["interval"]
        print(f"{name}: {card.metrics[name]['value']:.4f} ({low:.4f} to {high:.4f})")
    return READ

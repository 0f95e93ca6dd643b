"""Commands on what is known of systems: models, evaluate, compare."""

from __future__ import annotations

import argparse
import csv
import functools
import io
import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leuk.cli.common import READ, check_file, check_files, make_folder, write_text
from leuk.errors import OptionError
from leuk.models.cards import weights_folder

if TYPE_CHECKING:
    from leuk.training.results import Row


def add(commands: Any) -> None:
    """Add the commands to a parser's subparsers."""
    models = commands.add_parser("models", help="list all systems: paper, size, weights, figures")
    models.add_argument("--json", type=Path, metavar="FILE", help="write the list to this file; - for the screen")
    models.set_defaults(run=_models)

    evaluate = commands.add_parser(
        "evaluate", help="measure a trained run out of fold, under stress and on other laboratories' pictures"
    )
    evaluate.add_argument("system", metavar="SYSTEM", help="a system's name, or: controls, cells")
    evaluate.add_argument("--data", type=Path, metavar="DIR", help="what the run, or the cells' types, were trained on")
    evaluate.add_argument(
        "--run",
        type=Path,
        dest="folder",
        metavar="DIR",
        help="the training run; of the reader, the folds that come with Leuk by default",
    )
    evaluate.add_argument(
        "--partition",
        default="grouped",
        choices=["grouped", "random"],
        help="of the reader's run; other runs know their own (default: grouped)",
    )
    evaluate.add_argument(
        "--every", type=int, default=1, metavar="N", help="measure stresses on every n-th field only (default: 1)"
    )
    evaluate.add_argument(
        "--elsewhere",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="pictures of other laboratories: named as in ALL-IDB (…_1, …_0), or PBC's folders of normal cells; "
        "without --data, only these are read, with the weights that are here (controls: beside --data)",
    )
    evaluate.add_argument("--out", type=Path, metavar="DIR", help="for the table (default: weights/predictions)")
    evaluate.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, … (default: auto)")
    evaluate.add_argument("--skip-broken", action="store_true", help="leave images out that can't be read")
    evaluate.set_defaults(run=_evaluate, default=evaluate.get_default)

    compare = commands.add_parser("compare", help="one table of all systems, controls and the papers' claims")
    compare.add_argument("--json", type=Path, metavar="FILE", help="write it to this file; - for the screen")
    compare.add_argument("--csv", type=Path, metavar="FILE", help="write it to this file; - for the screen")
    compare.add_argument("--markdown", type=Path, metavar="FILE", help="write it to this file; - for the screen")
    compare.set_defaults(run=_compare)


def _models(options: argparse.Namespace) -> int:
    from leuk.training.results import listing, systems

    _check_outputs(options.json)
    if options.json:
        write_text(options.json, json.dumps(listing(), indent=1, ensure_ascii=False) + "\n")
        return READ
    print(f"{'name':<24}{'parameters':>12}{'mult-adds':>12}  {'weights':<9}{'random':>8}{'grouped':>9}  paper")
    for row in systems():
        print(
            f"{row.name:<24}{row.parameters or 0:>12,}{_short(row.multiply_adds):>12}  "
            f"{'here' if row.weights else 'train':<9}{_value(row, 'random'):>8}{_value(row, 'grouped'):>9}  {row.paper}"
        )
    print("Weights that are not here: python -m leuk train NAME --data DIR. " + _UNIT + " *: of fewer than five folds.")
    return READ


_UNIT = "Accuracy by field, out of fold; grouped holds out pseudo-sessions, not patients."


def _short(number: int | None) -> str:
    return "" if number is None else f"{number / 1e9:.2f} G"


def _value(row: Row, partition: str) -> str:
    figure = row.figure("accuracy", partition)
    if not figure:
        return "-"
    # A fold is no five: the mark keeps an easy one from being read as a better system.
    return f"{figure['value']:.3f}" + ("*" if row.folds.get(partition, 5) < 5 else "")


def _evaluate(options: argparse.Namespace) -> int:
    tell = functools.partial(print, flush=True)
    only_elsewhere = bool(options.elsewhere) and options.data is None
    if options.system in ("cells", "controls") or only_elsewhere:
        unused = ["folder", "partition", "every", "device", "skip_broken"]
    elif options.system in ("reader", "cell_reader"):
        unused = ["skip_broken"]
    else:
        unused = []
    for name in unused:
        if getattr(options, name) != options.default(name):
            what = "pictures of other laboratories alone" if only_elsewhere else options.system
            raise OptionError(
                f"--{'run' if name == 'folder' else name.replace('_', '-')} does not apply to {what}; leave it out."
            )
    if options.system == "cells":
        from leuk.training import cells

        if options.out or not (options.data or options.elsewhere):
            raise OptionError(
                "Types of single cells are measured with the weights that are here: name --data, --elsewhere or both, "
                "and nothing else."
            )
        _table_folder(options)
        if options.data:
            cells.evaluate(options.data, tell)
        if options.elsewhere:
            cells.add_elsewhere(options.elsewhere, tell)
        return READ
    if only_elsewhere and options.system != "controls":
        from leuk.training.evaluate import add_elsewhere

        add_elsewhere(options.system, options.elsewhere, tell, _table_folder(options))
        return READ
    if options.data is None:
        raise OptionError("Name the labelled fields with --data: what the run was trained on.")
    if options.system == "controls":
        from leuk.data.taleqani import load_fields
        from leuk.training.controls import measure_controls

        folder = _table_folder(options)
        measure_controls(load_fields(options.data), folder, tell, options.elsewhere)
        return READ
    if options.system in ("reader", "cell_reader") and options.device not in ("auto", "cpu"):
        raise OptionError(
            f"The {options.system.replace('_', ' ')} is measured on the processor; leave --device {options.device} out."
        )
    from leuk.models.store import choose_device
    from leuk.training.evaluate import evaluate

    if options.every < 1:
        raise OptionError(f"--every {options.every} is too small; use at least 1.")
    result = evaluate(
        options.system,
        options.data,
        options.folder,
        partition=options.partition,
        every=options.every,
        elsewhere=options.elsewhere,
        folder=_table_folder(options),
        device=str(choose_device(options.device)),
        skip_broken=options.skip_broken,
        tell=tell,
    )
    for name in ("accuracy", "macro_f1", "benign_recall", "malignant_auroc", "ece"):
        figure = result["figures"][name]
        if figure:
            print(f"{name}: {figure['value']:.4f} ({figure['interval'][0]:.4f} to {figure['interval'][1]:.4f})")
    return READ


def _table_folder(options: argparse.Namespace) -> Path | None:
    """Return the folder for a table if one is named; what can't be written is refused here, not after the reading."""
    if options.out:
        return make_folder(options.out)
    tables = make_folder(weights_folder() / "predictions")
    for path in (*tables.iterdir(), *tables.parent.iterdir()):
        if path.is_file() and path.name.startswith(f"{options.system}."):
            check_file(path)
    return None


def _compare(options: argparse.Namespace) -> int:
    from leuk.training.results import comparison

    _check_outputs(options.json, options.csv, options.markdown)
    rows = comparison()
    if options.json:
        write_text(options.json, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    if options.csv:
        out = io.StringIO()
        writer = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(options.csv, out.getvalue())
    if options.markdown:
        write_text(options.markdown, _as_markdown(rows))
    if options.json or options.csv or options.markdown:
        return READ
    columns = {
        "claimed": ("claim", 8),
        "random": ("random", 21),
        "grouped": ("grouped", 21),
        "benign_recall": ("benign recall", 21),
        "worst_stress": ("worst stress", 13),
        "stain_swap": ("swap", 7),
        "elsewhere": ("elsewhere", 10),
    }
    print(f"{'':<25}" + "".join(f"{title:>{width}}" for title, width in columns.values()) + "  folds, training")
    for row in rows:
        cells = []
        for key, (_, width) in columns.items():
            text = "-" if row[key] is None else f"{row[key]:.3f}"
            if row.get(f"{key}_low") is not None and width > 20:
                text += f" ({row[f'{key}_low']:.3f}-{row[f'{key}_high']:.3f})"
            cells.append(f"{text:>{width}}")
        print(f"{row['name']:<25}" + "".join(cells) + "  " + "; ".join(filter(None, (row["folds"], row["training"]))))
    print("Claim: the authors', on a random split. " + _UNIT + " Controls are random forests that see no cell.")
    return READ


_PAGE = """# The published systems, by one protocol

Research use only, not a medical device.

Written by `python -m leuk compare --markdown FILE` from the tables in `weights/predictions`; the Models page shows
the same with confusion matrices, reliability and training curves. Accuracy by field, out of fold, with its 95 %
interval by bootstrap over pseudo-sessions (nobody knows the patients of this data set).

- *claim*: the authors' own figure, on a random split. The comparison of backbones gives one, of two branches of its
  best, DenseNet-201; none is known of a backbone alone.
- *random*, *grouped*: here, on a random split, which deals out single fields, copies included (57 of 73 groups of
  near-duplicates are on both sides, and 68 of 74 pseudo-sessions), and with pseudo-sessions held out.
- *reader*: what Leuk's reader gets on the same fields as *grouped*, where these are not all.
- *worst stress*: the lowest of brightness, gamma, white balance, hue, stain, JPEG, blur, noise and half the resolution.
- *swap*: every field recoloured like another class, so that colour points to the wrong answer.
- *elsewhere*: how often "malignant" is right on ALL-IDB1, ALL-IDB2 and normal PBC cells, none of which was trained on:
  the mean of sensitivity and specificity, so that calling everything one thing gives 0.5. Its interval adds up the
  exact ones of each place (Zou et al. 2009): it is of counting pictures, and says nothing of other laboratories.
- *folds*: single folds differ in how hard they are; figures of one fold do not compare with figures of five.

Controls are random forests that see no cell: what they get right is no morphology.

How likely Leuk's reader takes benign to be before it sees a field, 0.4, was chosen in view of its grouped predictions.
Chosen for each fold on the other folds alone, it gets 0.975 to 0.976 there, with a benign recall of 0.980 to 0.982:
several values are often equally good.

Epochs, rates and changes to samples are the papers', whatever comes of them; those of the backbones, which no paper
gives, are the ones of DenseNet-201 for B-ALL. A shorter training whose rate falls to zero (`--reduced`) brought some
networks further in earlier runs, random and grouped: MobileNetV3-Small 0.988 and 0.979 (five folds, 8 epochs at 96
pixels), DenseNet-201 0.990 and 0.990 (fold 0, 8 epochs at 128), DenseNet-201 for B-ALL 0.992 and 0.984 (the same),
two branches 0.980 and 0.990 (fold 0, 4 and 8 epochs at 128), DeepLeukemiaNet with four classes 0.988 and 0.971 (five
folds, 6 epochs at 100), EfficientNet-B0 0.981 and 0.958 (five folds, 8 epochs at 64). Their worst stress was 0.24 to
0.44, their swap 0.16 to 0.28.

What the papers' recipes leave behind is often not the weights but the running averages of batch normalization.
Trained without fold 0, DenseNet-201 for B-ALL ends with averages by which it reads 0.80 of the fields that it was
trained on; counted anew over these (`--recount`) it reads 1.00 of them, and 0.986 of fold 0 instead of 0.757. So it
is, by less, with two branches (0.992 for 0.982), EfficientNet-B0 (0.984 for 0.970), ResNet-50 (0.968 for 0.960) and
MobileNetV3-Small (0.992 for 0.990). The table has what the recipes leave, but where a name bears a mark.

"""


def _as_markdown(rows: list[dict[str, Any]]) -> str:
    """Return the comparison as a page of documentation."""
    from leuk.training.results import (
        controls_and_traps,
        elsewhere_by_cells,
        elsewhere_random,
        elsewhere_seen,
        elsewhere_unearned,
        named,
        partly_stressed,
        recounted,
        reduced,
        systems,
        unsettled,
    )

    columns = {
        "claimed": "claim",
        "random": "random",
        "grouped": "grouped",
        "reader_same": "reader",
        "benign_recall": "benign recall",
        "worst_stress": "worst stress",
        "stain_swap": "swap",
        "elsewhere": "elsewhere",
    }
    lines = ["| | " + " | ".join(columns.values()) + " | folds | training |", "|---" * (len(columns) + 3) + "|"]
    for row in rows:
        cells = ["" if row[key] is None else f"{row[key]:.3f}" for key in columns]
        for place, key in enumerate(columns):
            if key in ("random", "grouped", "elsewhere") and row[f"{key}_low"] is not None:
                cells[place] += f" ({row[f'{key}_low']:.3f} to {row[f'{key}_high']:.3f})"
        if row["elsewhere_in"] == "random":
            cells[-1] += ", random"
        lines.append("| " + " | ".join([named(row), *cells, row["folds"], row["training"]]) + " |")
    told_of = (elsewhere_unearned, elsewhere_random, elsewhere_seen, partly_stressed, unsettled)
    told = [tell(rows) for tell in told_of]
    told.insert(2, elsewhere_by_cells())
    told = [recounted(systems()), *told, controls_and_traps()]
    notes = [textwrap.fill(text, 118) for text in told if text]
    beside = [textwrap.fill(text, 118) + "\n\n" for text in (reduced(rows),) if text]
    return _PAGE + "".join(beside) + "\n".join(lines) + "\n" + "".join(f"\n{text}\n" for text in notes)


def _check_outputs(*paths: Path | None) -> None:
    check_files(paths, weights_folder().rglob("*"))

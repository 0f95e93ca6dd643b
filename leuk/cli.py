"""The command line: ``python -m leuk analyze | segment | samples | train``."""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from leuk import __version__
from leuk.errors import LeukError, OptionError
from leuk.image import find_images, read_image

READ, REFUSED, MISUSED = 0, 1, 2
"""Exit status: all files were read, some were refused, the command itself can't be carried out."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; the process's own by default.

    Returns
    -------
    int
        `READ`, `REFUSED` or `MISUSED`.
    """
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except LeukError as error:
        print(f"leuk: {error}", file=sys.stderr)
        return MISUSED
    except KeyboardInterrupt:
        print("leuk: stopped.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m leuk",
        description="White cells in photographs of blood and marrow smears. Research use only, not a medical device.",
    )
    parser.add_argument("--version", action="version", version=f"leuk {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    analyze = commands.add_parser(
        "analyze", help="find cells, suggest a class, map where its score depends on the image"
    )
    analyze.add_argument("paths", nargs="+", metavar="PATH", help="images, or folders searched through all subfolders")
    analyze.add_argument("--model", default="reader", metavar="NAME", help="model (default: reader)")
    analyze.add_argument("--method", default="default", metavar="NAME", help="segmentation method (default: default)")
    analyze.add_argument("--json", type=Path, metavar="FILE", help="write all readings to this file, in input order")
    analyze.add_argument(
        "--explain", metavar="METHOD", help="heat maps by gradcam, gradcam++, hirescam, layercam or eigencam"
    )
    analyze.add_argument("--out", type=Path, metavar="DIR", help="write each image with its overlays into this folder")
    analyze.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, … (default: auto)")
    analyze.set_defaults(run=_analyze)

    segment = commands.add_parser("segment", help="write masks and measures of white cells")
    segment.add_argument("paths", nargs="+", metavar="PATH", help="images, or folders searched through all subfolders")
    segment.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the masks and tables")
    segment.add_argument("--method", default="default", metavar="NAME", help="segmentation method (default: default)")
    segment.set_defaults(run=_segment)

    samples = commands.add_parser("samples", help="write synthetic smears and their masks")
    samples.add_argument("folder", type=Path, metavar="DIR", help="folder for the images")
    samples.set_defaults(run=_samples)

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
    return parser


def _analyze(options: argparse.Namespace) -> int:
    from leuk.analysis import analyze
    from leuk.explanation import EXPLAINERS
    from leuk.models.store import load_model
    from leuk.overlay import burn_png
    from leuk.report import main_class, record, refused

    # What holds for every file is checked before the first, so that a slip of the pen is not reported file by file.
    if options.explain is not None and options.explain not in EXPLAINERS:
        raise OptionError(f"There is no heat-map method {options.explain!r}; choose one of: {', '.join(EXPLAINERS)}.")
    _check_method(options.method)
    model = load_model(options.model, options.device)
    names = _Names(_folder(options.out)) if options.out else None
    if options.json:
        _folder(options.json.parent)

    def read(path: Path) -> dict[str, Any]:
        found = analyze(read_image(path), model=model, method=options.method, explain=options.explain)
        if names is not None:
            heat = main_class(found) if options.explain else None
            names.claim(path, "_overlay.png").write_bytes(burn_png(found, heat=heat))
        return record(found, str(path))

    records = _each(options.paths, read, refused)
    if options.json:
        _write(options.json, json.dumps(records, indent=1, ensure_ascii=False) + "\n")
    rows = [
        (
            row["file"],
            "refused: " + row["error"]
            if row["status"] == "refused"
            else f"{row['suggestion']:<13} {max(row['probabilities'].values()):5.0%}   {len(row['cells'])} cells",
        )
        for row in records
    ]
    _table(rows)
    print("Suggestions, to be confirmed by immunophenotyping. Research use only, not a medical device.")
    return REFUSED if any(row["status"] == "refused" for row in records) or not records else READ


def _segment(options: argparse.Namespace) -> int:
    import cv2

    from leuk.report import cell_rows, to_csv
    from leuk.segmentation import segment, to_mask_image

    _check_method(options.method)
    names = _Names(_folder(options.out))

    def find(path: Path) -> tuple[str, str]:
        found = segment(read_image(path), options.method)
        mask = names.claim(path, "_mask.png")
        mask.write_bytes(cv2.imencode(".png", to_mask_image(found))[1].tobytes())
        table = mask.with_name(mask.name.removesuffix("_mask.png") + "_cells.csv")
        table.write_text(to_csv(cell_rows(found, path.name)), encoding="utf-8", newline="")
        return str(path), f"{len(found.cells)} cells"

    failed: list[str] = []

    def refuse(file: str, error: str) -> tuple[str, str]:
        failed.append(file)
        return file, f"refused: {error}"

    rows = _each(options.paths, find, refuse)
    _table(rows)
    return REFUSED if failed or not rows else READ


def _samples(options: argparse.Namespace) -> int:
    from leuk.data.synthetic import samples, write_samples

    with tqdm(total=len(samples()), unit="smear", disable=None) as bar:

        def tell(done: int, total: int, title: str) -> None:
            bar.set_postfix_str(title, refresh=False)
            bar.update()

        written = write_samples(options.folder, tell)
    for path in written:
        print(path)
    return READ


def _train(options: argparse.Namespace) -> int:
    from leuk.data.taleqani import load_fields
    from leuk.training.reader import finish, fit, pictures_in

    fields = load_fields(options.data)
    tell = functools.partial(print, flush=True)
    fit(fields, _folder(options.folder), others=pictures_in(options.others) if options.others else (), tell=tell)
    card = finish(fields, options.folder, _folder(options.weights or options.folder), tell=tell)
    for name in ("accuracy", "macro_f1", "benign_recall", "malignant_auroc"):
        low, high = card.metrics[name]["interval"]
        print(f"{name}: {card.metrics[name]['value']:.4f} ({low:.4f} to {high:.4f})")
    return READ


def _each(paths: Sequence[str], work: Callable[[Path], Any], refuse: Callable[[str, str], Any]) -> list[Any]:
    """Do the work for each image; one that is refused becomes a row with its reason, and the rest goes on."""
    images = find_images(paths)
    if not images:
        print("leuk: these folders hold no image that Leuk reads (JPEG, PNG, BMP, TIFF).", file=sys.stderr)
    done = []
    # The bar is for people: it stays away where standard error is no terminal.
    for path in tqdm(images, unit="image", disable=None):
        try:
            done.append(work(path))
        except LeukError as error:
            done.append(refuse(str(path), str(error)))
    return done


class _Names:
    """Names of output files: STEM and a suffix, numbered where two inputs share a stem."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._taken: set[str] = set()

    def claim(self, path: Path, suffix: str) -> Path:
        stem, number = path.stem, 1
        while stem.casefold() in self._taken:
            number += 1
            stem = f"{path.stem}-{number}"
        self._taken.add(stem.casefold())
        return self._folder / f"{stem}{suffix}"


def _check_method(name: str) -> None:
    from leuk.segmentation import METHODS

    if name not in METHODS:
        raise OptionError(f"There is no segmentation method {name!r}; choose one of: {', '.join(METHODS)}.")


def _folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(f"The folder {folder} can't be made ({error.strerror}); name another.") from error
    return folder


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OptionError(f"The file {path} can't be written ({error.strerror}); name another.") from error


def _table(rows: Iterable[tuple[str, str]]) -> None:
    rows = list(rows)
    width = min(60, max((len(file) for file, _ in rows), default=0))
    for file, outcome in rows:
        shown = file if len(file) <= width else "…" + file[-(width - 1) :]
        print(f"{shown:<{width}}  {outcome}")

"""Commands on images: analyze, segment, samples."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from tqdm import tqdm

from leuk.cells.values import TITLES, USUAL_COUNT
from leuk.cli.common import (
    READ,
    REFUSED,
    Names,
    check_file,
    check_method,
    each,
    make_folder,
    table,
    tell_renamed,
    write_outputs,
    write_text,
)
from leuk.errors import OptionError
from leuk.image import find_images, read_image


def add(commands: Any) -> None:
    """Add the commands to a parser's subparsers."""
    analyze = commands.add_parser(
        "analyze", help="find cells, suggest a class, map where its score depends on the image"
    )
    analyze.add_argument("paths", nargs="+", metavar="PATH", help="images, or folders searched through all subfolders")
    analyze.add_argument("--model", default="reader", metavar="NAME", help="model (default: reader)")
    analyze.add_argument("--method", default="default", metavar="NAME", help="segmentation method (default: default)")
    analyze.add_argument(
        "--json", type=Path, metavar="FILE", help="write all readings to this file, in input order; - for the screen"
    )
    analyze.add_argument(
        "--explain", metavar="METHOD", help="heat maps by gradcam, gradcam++, hirescam, layercam or eigencam"
    )
    analyze.add_argument("--out", type=Path, metavar="DIR", help="write each image with its overlays into this folder")
    _add_scale(analyze)
    analyze.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, … (default: auto)")
    analyze.set_defaults(run=_analyze)

    segment = commands.add_parser("segment", help="write masks and measures of white cells")
    segment.add_argument("paths", nargs="+", metavar="PATH", help="images, or folders searched through all subfolders")
    segment.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the masks and tables")
    segment.add_argument("--method", default="default", metavar="NAME", help="segmentation method (default: default)")
    segment.add_argument(
        "--instances", action="store_true", help="also write STEM_instances.png, 16-bit: each cell's number, from 1"
    )
    _add_scale(segment)
    segment.set_defaults(run=_segment)

    samples = commands.add_parser("samples", help="write synthetic smears and their masks")
    samples.add_argument("folder", type=Path, metavar="DIR", help="folder for the images")
    samples.set_defaults(run=_samples)


def _add_scale(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--um-per-px",
        type=float,
        dest="micrometres",
        metavar="N",
        help="width of a pixel of these images in micrometres (default: estimated from red cells)",
    )


def _check_scale(micrometres: float | None) -> None:
    if micrometres is not None and not 0 < micrometres < math.inf:
        raise OptionError(f"--um-per-px {micrometres:g} is no width; give micrometres above 0, such as 0.12.")


def _analyze(options: argparse.Namespace) -> int:
    from leuk.analysis import analyze
    from leuk.explanation import EXPLAINERS
    from leuk.models.store import load_model
    from leuk.overlay import burn_png
    from leuk.report import Review, corrected, main_class, record, refused

    # What holds for every file is checked before the first, so that a slip of the pen is not reported file by file.
    if options.explain is not None and options.explain not in EXPLAINERS:
        raise OptionError(f"There is no heat-map method {options.explain!r}; choose one of: {', '.join(EXPLAINERS)}.")
    check_method(options.method)
    _check_scale(options.micrometres)
    model = load_model(options.model, options.device)
    images = find_images(options.paths)
    check_file(options.json, images)
    names = Names(make_folder(options.out), find_images(options.paths, written=True)) if options.out else None

    def read(path: Path) -> dict[str, Any]:
        found = analyze(read_image(path), model=model, method=options.method, explain=options.explain)
        if names is not None:
            heat = main_class(found) if options.explain else None
            write_outputs(path, {names.claim(path, "_overlay.png"): burn_png(found, heat=heat)})
        return corrected(record(found, str(path)), Review(micrometres=options.micrometres))

    def put() -> None:
        if options.json:
            write_text(options.json, json.dumps(records, indent=1, ensure_ascii=False) + "\n")

    records: list[dict[str, Any]] = []
    try:
        each(options.paths, read, refused, records)
    except KeyboardInterrupt:
        # Hours of reading are kept; where there was none, so is what an earlier command wrote.
        if records:
            put()
        raise
    put()
    if str(options.json) == "-":
        return _status(records)
    table([(row["file"], _told(row)) for row in records])
    for row in records:
        for remark in (*row["remarks"], row.get("from_cells")):
            if remark:
                print(f"{row['file']}: {remark}")
    for line in _together(records):
        print(line)
    if names is not None:
        tell_renamed(names)
    print("Suggestions, to be confirmed by immunophenotyping. Research use only, not a medical device.")
    return _status(records)


def _status(records: list[dict[str, Any]]) -> int:
    return REFUSED if any(row["status"] == "refused" for row in records) or not records else READ


def _told(row: dict[str, Any]) -> str:
    """Return a file's line in the table."""
    from leuk.classification import CANNOT_TELL
    from leuk.report import chance

    if row["status"] == "refused":
        return f"refused: {row['error']}"
    # Beside "cannot tell" a probability would read as if that were certain.
    likely = "" if row["suggestion"] == CANNOT_TELL else chance(max(row["probabilities"].values()))
    return f"{row['suggestion']:<13} {likely:>6}   {_cells(len(row['cells']))}"


def _together(records: list[dict[str, Any]]) -> list[str]:
    """Return the lines that count the cells of several files as one smear's."""
    from leuk.report import from_pool, percent, pooled, pooled_count

    pool = pooled(records)
    if pool["files"] < 2:
        return []
    count = pooled_count(pool)
    shares = sorted(count["types"].items(), key=lambda one: -one[1]["count"])
    told = ", ".join(
        f"{TITLES[key].lower()} {percent(one['share'])} ({100 * one['low']:.0f} to {100 * one['high']:.0f})"
        for key, one in shares
    )
    twice = pool["repeated"]
    again = f" ({twice} more {'repeats one' if twice == 1 else 'repeat others'})" if twice else ""
    white = f"{count['total']} white {'cell' if count['total'] == 1 else 'cells'}"
    few = f"; {USUAL_COUNT} are usual" if count["total"] < USUAL_COUNT else ""
    lines = [f"If all is of one smear: {white} in {pool['files']} files{again}{few}. {told[:1].upper()}{told[1:]}."]
    note = from_pool(pool, count)
    return [*lines, note] if note else lines


def _cells(count: int) -> str:
    return f"{count} cell{'' if count == 1 else 's'}"


def _segment(options: argparse.Namespace) -> int:
    import cv2
    import numpy as np

    from leuk.report import cell_rows, to_csv
    from leuk.segmentation import segment, to_mask_image
    from leuk.segmentation.field import find_field
    from leuk.segmentation.scale import Scale, estimate_scale, red_cells_beside

    check_method(options.method)
    _check_scale(options.micrometres)
    names = Names(make_folder(options.out), find_images(options.paths, written=True))

    def find(path: Path) -> tuple[str, str]:
        image = read_image(path)
        field = find_field(image.pixels)
        found = segment(image, options.method, field)
        if options.micrometres is not None:
            scale: Scale | None = Scale(options.micrometres, "entered")
        else:
            scale = estimate_scale(field.pixels, found.cell, red=red_cells_beside(field.pixels, found))
        mask = names.claim(path, "_mask.png", *["_instances.png"] * options.instances)
        stem = mask.name.removesuffix("_mask.png")
        rows = cell_rows(found, path.name, image.sha256, scale)
        written = {
            mask: cv2.imencode(".png", to_mask_image(found))[1].tobytes(),
            mask.with_name(f"{stem}_cells.csv"): to_csv(rows).encode("utf-8", "backslashreplace"),
        }
        if options.instances:
            labels = cv2.imencode(".png", found.instances.astype(np.uint16))[1].tobytes()
            written[mask.with_name(f"{stem}_instances.png")] = labels
        write_outputs(path, written)
        return str(path), _cells(len(found.cells))

    failed: list[str] = []

    def refuse(file: str, error: str) -> tuple[str, str]:
        failed.append(file)
        return file, f"refused: {error}"

    rows: list[tuple[str, str]] = []
    each(options.paths, find, refuse, rows)
    table(rows)
    tell_renamed(names)
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

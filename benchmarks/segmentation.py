"""Dice of each segmentation method on real images with drawn masks, by source, and how often cells are counted right.

    python -m benchmarks.segmentation [--data ../shared/data] [--every 1] [--methods default otsu_green ...]

Sources: Zheng 1 and 2, BCCD, ALL-IDB2 (annotator A), each image counting once; then the Pro fields of the Taleqani set
in which a method keeps under 1 % of the pixels, the WBC boxes of BCCD (matched where they overlap by 0.4 or more),
and the blast centres of ALL-IDB1 (found: inside a cell; apart: inside a cell of their own).
"""

from __future__ import annotations

import argparse
import os
import time
import xml.etree.ElementTree as ElementTree  # noqa: S405 - files of a known data set
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from leuk.image import read_image
from leuk.segmentation import METHODS, Segmentation, segment

Masks = tuple[np.ndarray, np.ndarray]


def read_levels(path: Path) -> Masks:
    """Nucleus and whole cell of a mask stored as background, cytoplasm, nucleus of rising level."""
    levels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    return levels > 205, levels > 78


def read_colours(path: Path) -> Masks:
    """Nucleus and whole cell of ALL-IDB2's first annotator: white background, blue cytoplasm, cyan nucleus."""
    blue, green, red = cv2.split(cv2.imread(str(path)))
    return (red < 128) & (green > 128) & (blue > 128), red < 128


def drawn(data: Path) -> Iterator[tuple[str, Path, Path]]:
    """Source, image, mask."""
    for number in (1, 2):
        for path in sorted((data / f"zheng/dataset{number}").glob("*.bmp")):
            yield f"zheng{number}", path, path.with_suffix(".png")
    for path in sorted((data / "bccd/images").iterdir()):
        yield "bccd", path, data / "bccd/masks" / f"{path.stem}.png"
    for path in sorted((data / "all_idb2/img").iterdir()):
        yield "all_idb2", path, data / "all_idb2/masks_a" / path.name


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    total = int(found.sum()) + int(truth.sum())
    return 2 * int((found & truth).sum()) / total if total else 1.0


def overlap(a: tuple[int, ...], b: tuple[int, ...]) -> float:
    """Intersection over union of two boxes."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def matched(found: Segmentation, path: Path) -> tuple[int, int, int]:
    """How many cells match a WBC box of BCCD, how many cells there are, how many boxes."""
    boxes = [
        tuple(int(item.findtext(f"bndbox/{side}", "0")) for side in ("xmin", "ymin", "xmax", "ymax"))
        for item in ElementTree.parse(path).getroot().iter("object")  # noqa: S314
        if item.findtext("name") == "WBC"
    ]
    free, hits = list(boxes), 0
    for cell in found.cells:
        best = max(free, key=lambda box: overlap(cell.box, box), default=None)
        if best is not None and overlap(cell.box, best) >= 0.4:
            free.remove(best)
            hits += 1
    return hits, len(found.cells), len(boxes)


def evaluate(method: str, data: Path, every: int) -> None:
    scores: dict[str, list[tuple[float, float]]] = {}
    counted = np.zeros(3, int)
    for number, (source, image, mask) in enumerate(drawn(data)):
        if number % every:
            continue
        found = segment(read_image(image), method)
        nucleus, cell = read_colours(mask) if source == "all_idb2" else read_levels(mask)
        scores.setdefault(source, []).append((dice(found.nucleus, nucleus), dice(found.cell, cell)))
        boxes = data / "bccd/boxes" / f"{image.stem}.xml"
        if source == "bccd" and boxes.is_file():
            counted += matched(found, boxes)
    for source, pairs in scores.items():
        mean, low = np.mean(pairs, axis=0), np.percentile(pairs, 10, axis=0)
        print(
            f"{method:11s} {source:9s} {len(pairs):4d} images   Dice nucleus {mean[0]:.3f} (p10 {low[0]:.3f})"
            f"   cell {mean[1]:.3f} (p10 {low[1]:.3f})",
            flush=True,
        )
    hits, cells, boxes_in_all = counted.tolist()
    print(f"{method:11s} bccd boxes: precision {hits / max(cells, 1):.3f}, recall {hits / max(boxes_in_all, 1):.3f}")

    fields = sorted((data / "taleqani/Original/Pro").iterdir())[::every]
    empty = [path.name for path in fields if segment(read_image(path), method).cell.mean() < 0.01]
    print(f"{method:11s} Pro fields under 1 %: {len(empty)} of {len(fields)} {empty[:5]}", flush=True)

    blasts = inside = apart = 0
    for path in sorted((data / "all_idb1/im").iterdir()):
        text = (data / "all_idb1/xyc" / f"{path.stem}.xyc").read_text(encoding="ascii").split()
        centres = np.array(text, dtype=int).reshape(-1, 2)
        began = time.perf_counter()
        found = segment(read_image(path), method)
        seconds = time.perf_counter() - began
        labels = found.instances[centres[:, 1], centres[:, 0]]
        blasts, inside, apart = (
            blasts + len(centres),
            inside + int((labels > 0).sum()),
            apart + len(np.unique(labels[labels > 0])),
        )
    print(
        f"{method:11s} ALL-IDB1 blasts {blasts}: found {inside}, apart {apart}; last field {seconds:.2f} s", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("LEUK_DATA", "../shared/data")))
    parser.add_argument("--every", type=int, default=1, help="take each n-th image only")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    options = parser.parse_args()
    for method in options.methods:
        evaluate(method, options.data, options.every)


if __name__ == "__main__":
    main()

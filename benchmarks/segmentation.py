"""Every segmentation method on the same real images: a table in docs/segmentation.md.

    python -m benchmarks.segmentation [--data ../shared/data] [--every 1] [--methods default otsu_green ...]
                                      [--unseen DIR] [--write docs/segmentation.md]

Sources: Zheng 1 and 2, BCCD, ALL-IDB2 against each annotator, each image counting once; the WBC boxes of BCCD (matched
where they overlap by 0.4 or more); the blast centres of ALL-IDB1 (found: inside a cell; apart: inside a cell that holds
no other), at full size and at an eighth of it in fields as large; the share of Pro fields of the Taleqani set of which
a method keeps at least 1 %; and the time for the largest field. With --unseen, a folder that holds zheng1.pt, zheng2.pt
and bccd.pt as `leuk.training.segmenter.fit` gives them without that source, the default method is measured on each
source by the weights that never saw it.
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
from scipy import ndimage
from skimage import color, feature, filters, morphology, segmentation
from skimage import measure as shapes

from leuk.image import read_image
from leuk.segmentation import METHODS, Segmentation
from leuk.segmentation.methods import Find, in_reading_order
from leuk.segmentation.morphometry import measure
from leuk.training.segmenter import DRAWN, dice, drawn_images, read_levels

SMALL = 1 / 8
"""To which ALL-IDB1 is reduced so that its blasts are 15 to 19 pixels wide."""

Masks = tuple[np.ndarray, np.ndarray]


def read_colours(path: Path) -> Masks:
    """Nucleus and whole cell of ALL-IDB2's first annotator: white background, blue cytoplasm, cyan nucleus."""
    red, green, blue = cv2.split(read_image(path).pixels)
    return (red < 128) & (green > 128) & (blue > 128), red < 128


def drawn(data: Path) -> Iterator[tuple[str, Path, Path]]:
    """Source, image, mask."""
    for source in DRAWN:
        for image, mask in drawn_images(data, source):
            yield source, image, mask
    for path in sorted((data / "all_idb2/img").iterdir()):
        yield "all_idb2", path, data / "all_idb2/masks_a" / path.name


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


def otsu_watershed(pixels: np.ndarray) -> Masks:
    """scikit-image's own way: Otsu's thresholds on the haematoxylin channel, watershed on distances.

    Nuclei lie above the upper of two thresholds, cells above the lower where they hold a nucleus.
    """
    stain = filters.gaussian(color.rgb2hed(pixels)[..., 0], 1)
    lower, upper = filters.threshold_multiotsu(stain, 3)
    nucleus = morphology.remove_small_objects(stain > upper, max_size=stain.size // 2000)
    distance = ndimage.distance_transform_edt(nucleus)
    parts = shapes.label(nucleus)
    peaks = feature.peak_local_max(distance, min_distance=max(4, max(stain.shape) // 60), labels=parts)
    markers = np.zeros(stain.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return nucleus, segmentation.watershed(-distance, markers, mask=(stain > lower) | nucleus).astype(np.int32)


def run(find: Find, pixels: np.ndarray, name: str) -> Segmentation:
    """Do what `segment` does, for any function."""
    nucleus, labels = find(pixels)
    instances = in_reading_order(labels)
    cell = instances > 0
    nucleus = nucleus & cell
    return Segmentation(nucleus, cell, instances, measure(pixels, nucleus, instances), name)


def evaluate(finds: dict[str, Find], data: Path, every: int, slow: bool) -> dict[str, str]:
    """Figures of one method as text, by row of the table; `finds` holds its function for each source, "" for others."""
    scores: dict[str, list[tuple[float, float]]] = {}
    counted, seen = np.zeros(3, int), dict.fromkeys(SOURCES, -1)
    for source, image, mask in drawn(data):
        seen[source] += 1
        if seen[source] % every and source != "all_idb2":
            continue
        found = run(finds.get(source, finds[""]), read_image(image).pixels, "")
        nucleus, cell = read_colours(mask) if source == "all_idb2" else read_levels(mask)
        scores.setdefault(source, []).append((dice(found.nucleus, nucleus), dice(found.cell, cell)))
        if source == "all_idb2":
            nucleus, cell = read_levels(data / "all_idb2/masks_b" / f"{image.stem}.png")
            scores.setdefault("all_idb2 b", []).append((dice(found.nucleus, nucleus), dice(found.cell, cell)))
        boxes = data / "bccd/boxes" / f"{image.stem}.xml"
        if source == "bccd" and boxes.is_file():
            counted += matched(found, boxes)
    rows = {}
    for source, pairs in scores.items():
        mean = np.mean(pairs, axis=0)
        rows[f"{TITLES[source]}, {len(pairs)} images: nucleus / cell"] = f"{mean[0]:.3f} / {mean[1]:.3f}"
    hits, cells, boxes_in_all = np.maximum(counted, (0, 1, 1)).tolist()
    precision, recall = hits / cells, hits / boxes_in_all
    f1 = 2 * hits / (cells + boxes_in_all)
    rows["BCCD boxes: precision / recall / F1"] = f"{precision:.3f} / {recall:.3f} / {f1:.3f}"
    find = finds[""]
    fields = sorted((data / "taleqani/Original/Pro").iterdir())[:: 8 * every]
    kept = sum(bool((find(read_image(path).pixels)[1] > 0).mean() >= 0.01) for path in fields)
    rows["Pro fields with cells"] = f"{kept} of {len(fields)}"
    counts, seconds = blasts(find, sorted((data / "all_idb1/im").iterdir())[:: 1 if slow else 4])
    rows[f"ALL-IDB1, {counts[0]} blasts: found / apart"] = f"{counts[1]} / {counts[2]}"
    rows["Largest field (5 MP), seconds"] = f"{seconds:.1f}"
    counts, _ = blasts(find, sorted((data / "all_idb1/im").glob("*_1.jpg"))[:: 1 if slow else 4], SMALL)
    rows[f"Small in 5 MP, {counts[0]} blasts: found / apart"] = f"{counts[1]} / {counts[2]}"
    return rows


def blasts(find: Find, paths: list[Path], scale: float = 1.0) -> tuple[tuple[int, int, int], float]:
    """Blasts of ALL-IDB1 in all, found and apart; seconds for the largest field.

    At a smaller scale each field, mirrored, fills the size that it had, as if it had been taken at low magnification.
    """
    marked = inside = apart = largest = 0
    seconds = 0.0
    for path in paths:
        text = (path.parent.parent / "xyc" / f"{path.stem}.xyc").read_text(encoding="ascii").split()
        centres = np.array(text, dtype=int).reshape(-1, 2)
        pixels = read_image(path).pixels
        if scale < 1:
            pixels, centres = mirrored(pixels, centres, scale)
        began = time.perf_counter()
        labels = find(pixels)[1]
        if pixels.size >= largest:
            largest, seconds = pixels.size, time.perf_counter() - began
        labels = labels[centres[:, 1], centres[:, 0]]
        marked += len(centres)
        inside += int((labels > 0).sum())
        # Two blasts in one outline are both found, and neither is apart.
        apart += int((np.unique(labels[labels > 0], return_counts=True)[1] == 1).sum())
    return (marked, inside, apart), seconds


def mirrored(pixels: np.ndarray, centres: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Reduce a field and repeat it, mirrored at its edges, to its former size; the same for places (x, y) in it."""
    height, width = pixels.shape[:2]
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    down, along = small.shape[:2]
    below, right = max(0, height - down), max(0, width - along)
    filled = np.pad(small, [(0, below), (0, right), (0, 0)], mode="symmetric")
    x, y = ((centres + 0.5) * scale).astype(int).T
    places = [
        (column * along + (along - 1 - x if column % 2 else x), row * down + (down - 1 - y if row % 2 else y))
        for row in range(-(-height // down))
        for column in range(-(-width // along))
    ]
    found = np.concatenate([np.stack(place, axis=1) for place in places])
    # A blast that an edge cuts in half touches its own image.
    return filled, found[((found >= 0) & (found < (width, height))).all(axis=1)]


SOURCES = ("zheng1", "zheng2", "bccd", "all_idb2")
TITLES = {
    "zheng1": "Zheng 1",
    "zheng2": "Zheng 2",
    "bccd": "BCCD",
    "all_idb2": "ALL-IDB2, annotator A",
    "all_idb2 b": "ALL-IDB2, annotator B",
}


def weighed(path: Path) -> Find:
    """Give the default method the weights of a training run."""
    import torch

    from leuk.segmentation.pipeline import find_with
    from leuk.segmentation.unet import Segmenter, folded

    network = Segmenter()
    network.load_state_dict(torch.load(path, weights_only=True))
    network = folded(network)
    return lambda pixels: find_with(lambda: network, pixels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("LEUK_DATA", "../shared/data")))
    parser.add_argument(
        "--every",
        type=int,
        default=1,
        help="each n-th image, of ALL-IDB2 all; 5: those not trained on",
    )
    parser.add_argument("--quick", action="store_true", help="a quarter of the ALL-IDB1 fields only")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--unseen", type=Path, metavar="DIR", help="weights that never saw zheng1, zheng2, bccd")
    parser.add_argument("--write", type=Path, metavar="FILE", help="where the table goes; it is always printed")
    options = parser.parse_args()
    columns = {name: {"": METHODS[name].locate} for name in options.methods}
    if options.unseen:
        left_out = {source: weighed(options.unseen / f"{source}.pt") for source in ("zheng1", "zheng2", "bccd")}
        columns["default, source unseen"] = {"": left_out["zheng1"], **left_out}
    columns["Otsu + watershed (scikit-image)"] = {"": otsu_watershed}
    found = {}
    for name, finds in columns.items():
        found[name] = evaluate(finds, options.data, options.every, not options.quick)
        print(name, found[name], flush=True)
    names = list(found)
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    lines += [f"| {row} | " + " | ".join(found[name][row] for name in names) + " |" for row in found[names[0]]]
    print("\n".join(lines))
    if options.write:
        text = options.write.read_text(encoding="utf-8") if options.write.is_file() else "# Segmentation\n"
        head = text.split("<!-- table -->")[0].rstrip()
        options.write.write_text(head + "\n\n<!-- table -->\n" + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

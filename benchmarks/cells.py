"""How well the shipped classifier tells cell types: PBC's held-out fifth and ALL-IDB2, from photograph to type.

Run with ``python -m benchmarks.cells DATA``, DATA laid out as in the README of the shared images; two to three minutes.
What is found and cut out here is what the page finds and cuts out; a picture in which no cell is found, and a cell that
is taken for a smudge, count as wrong. Of every fifth of these cells but platelets it is also asked what remains of the
answer where the photograph's edge cuts the cell.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from leuk.cells import ARTEFACT, TYPES, UNIDENTIFIED
from leuk.cells.store import KINDS, CellModel, classify_cells, load_cells
from leuk.image import SmearImage, read_image
from leuk.segmentation import DEFAULT_METHOD, METHODS, segment
from leuk.training.cells import HELD_OUT, auroc, central_cell, fold_of


def cut_out(image: SmearImage, outlines: Path) -> SmearImage:
    """Lay the cell that an annotator of ALL-IDB2 outlined on black, as C-NMC has its cells."""
    drawn = cv2.imread(str(outlines), cv2.IMREAD_COLOR)
    if drawn is None:
        raise SystemExit(f"{outlines} is no picture; check the data.")
    labels, stats = cv2.connectedComponentsWithStats((drawn.min(axis=2) <= 200).astype(np.uint8))[1:3]
    cell = labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return SmearImage.from_array(np.where(cell[..., None], image.pixels, 0).astype(np.uint8), image.name)


def cut_off(path: Path, share: float, model: CellModel) -> tuple[bool, bool, bool] | None:
    """Say of a cell of which only a share is seen whether it is called a blast, as when whole, or nothing at all."""
    image = read_image(path)
    found = segment(image)
    cell = central_cell(found)
    if cell is None or cell.touches_border:
        return None
    whole = classify_cells(image, found, model)
    x0, y0, x1, y1 = cell.box
    end = round(x0 + share * (x1 - x0))
    part = SmearImage.from_array(np.ascontiguousarray(image.pixels[:, :end]), image.name)
    found = segment(part)
    kinds = classify_cells(part, found, model)
    left = [
        one for one in found.cells if one.box[2] >= end and abs(one.box[1] + one.box[3] - y0 - y1) < 0.8 * (y1 - y0)
    ]
    if not left or not whole:
        return None
    kind = kinds[max(left, key=lambda one: one.area).label - 1].type if kinds else UNIDENTIFIED
    return kind == "blast", kind == whole[cell.label - 1].type, kind == UNIDENTIFIED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--method", default=DEFAULT_METHOD, choices=list(METHODS), help="segmentation method")
    options = parser.parse_args()
    model = load_cells()

    def look(path: Path, outlines: Path | None = None) -> tuple[str, np.ndarray]:
        image = read_image(path)
        if outlines is not None:
            image = cut_out(image, outlines)
        found = segment(image, options.method)
        cell, kinds = central_cell(found), classify_cells(image, found, model)
        # A picture whose cells look like no white cells at all gets no types.
        if cell is None or not kinds:
            return UNIDENTIFIED, np.zeros(len(TYPES))
        told = kinds[cell.label - 1]
        return told.type, np.array(told.probabilities)

    truth, called, sure, paths = [], [], [], []
    for name in KINDS:
        for path in sorted((options.data / "pbc" / name).glob("*")):
            if fold_of(f"{name}/{path.name}") == HELD_OUT:
                kind, p = look(path)
                paths.append(path)
                truth.append(name)
                called.append(kind if kind == ARTEFACT or not p.any() else TYPES[int(p.argmax())])
                sure.append(kind != UNIDENTIFIED)
    truth_, called_, sure_ = np.array(truth), np.array(called), np.array(sure)
    scores = []
    print(f"PBC, held-out fifth, {len(truth)} cells, segmentation {options.method}")
    for name in KINDS:
        right = np.count_nonzero((truth_ == name) & (called_ == name))
        both = np.count_nonzero(truth_ == name) + np.count_nonzero(called_ == name)
        scores.append(2 * right / max(1, both))
        print(f"  {name:14} F1 {scores[-1]:.3f}, recall {right / max(1, np.count_nonzero(truth_ == name)):.3f}")
    print(f"  macro-F1 {np.mean(scores):.4f}; unidentified {1 - sure_.mean():.3f}; ", end="")
    print(f"accuracy of the rest {(truth_ == called_)[sure_].mean():.4f}")

    for share in (0.35, 0.5, 0.75):
        pieces = [
            piece for path in paths[::5] if path.parent.name != "platelet" and (piece := cut_off(path, share, model))
        ]
        blasts, same, none = (np.mean([piece[at] for piece in pieces]) for at in range(3))
        print(f"  {share:.2f} of a cell seen, {len(pieces)} cells: called a blast {blasts:.3f}, ", end="")
        print(f"as when whole {same:.3f}, unidentified {none:.3f}")

    for title, outlines in (("as photographed", None), ("cut out on black", options.data / "all_idb2" / "masks_a")):
        blasts, values = [], []
        for path in sorted((options.data / "all_idb2" / "img").glob("*")):
            kind, p = look(path, None if outlines is None else outlines / path.name)
            blasts.append(path.stem.endswith("_1"))
            values.append(p[TYPES.index("blast")])
        score = auroc(np.array(blasts), np.array(values))
        print(f"ALL-IDB2, {len(values)} cells, {title}: blast against normal, AUROC {score:.4f}")


if __name__ == "__main__":
    main()

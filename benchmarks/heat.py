"""How far heat maps tell where a score comes from: a table in docs/heat.md.

    python -m benchmarks.heat [--data ../shared/data] [--models reader cell_reader ...] [--fields 12]
                              [--write docs/heat.md]

A tile is divided into squares; each in turn is blurred until nothing in it can be told apart, and the network says by
how much the log-odds of the class that it had called fall. Where a map is true, heat lies on the squares whose loss
costs most: the agreement is the correlation of the two over a tile's squares. As a control the same map is laid on
upside down. Hiding places is the test of V. Petsiuk et al., RISE, BMVC 2018.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from leuk.classification import inputs, prepare, run_network
from leuk.explanation import EXPLAINERS, raw_maps
from leuk.image import read_image
from leuk.models.preprocessing import CELLS
from leuk.models.store import Model, load_model
from leuk.models.systems import SYSTEMS, readers
from leuk.segmentation import segment

SQUARES, SQUARES_OF_A_CELL = 10, 8
"""Squares along the side of a tile."""
TITLES = {
    "gradcam": "Grad-CAM",
    "gradcam++": "Grad-CAM++",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
    "eigencam": "Eigen-CAM",
}
HEAD = """# Heat maps

Research use only, not a medical device.

How far each method's map tells where the score comes from, by `python -m benchmarks.heat --fields {each}`. Of {fields}
Taleqani fields, {squares} squares of a tile (of a single cell {of_a_cell}) are blurred one by one; the figure is the
mean correlation of a map's heat with what the log-odds of the class called lose with each square: 1 where the map says
exactly that, 0 where it says nothing of it. In brackets the same map laid on upside down: what chance and the layout of
fields give.

HiResCAM and LayerCAM weigh each place by its own gradient. For Leuk's two readers they are drawn on the first stage's
maps, four pixels to a place; the other methods, and all methods for the other systems, on the last maps, as published.
Which stage to draw on was chosen with other fields than these.

| system | {methods} |
|---|{rules}|
"""


def odds(logits: np.ndarray, target: int) -> np.ndarray:
    """Return a class's log-odds, (N,), of logits, (N, C)."""
    others = np.delete(logits, target, axis=1)
    most = others.max(1)
    return logits[:, target] - most - np.log(np.exp(others - most[:, None]).sum(1))


def cost(model: Model, tile: np.ndarray, squares: int) -> tuple[int, np.ndarray]:
    """Return the class called on a tile, and what its log-odds lose with each square, (squares, squares)."""
    side = tile.shape[0]
    blurred = cv2.GaussianBlur(np.ascontiguousarray(tile[..., :3]), (0, 0), side / 10)
    edges = np.linspace(0, side, squares + 1).astype(int)
    shown = [tile]
    for y0, y1 in zip(edges[:-1], edges[1:], strict=True):
        for x0, x1 in zip(edges[:-1], edges[1:], strict=True):
            hidden = tile.copy()
            hidden[y0:y1, x0:x1, :3] = blurred[y0:y1, x0:x1]
            shown.append(hidden)
    logits = run_network(model.network, inputs(model.card, np.stack(shown)), model.device)[0]
    target = int(logits[0].argmax())
    left = odds(logits, target)
    return target, (left[0] - left[1:]).reshape(squares, squares)


def agreement(heat: np.ndarray, lost: np.ndarray) -> float:
    """Return the correlation of a map with what hiding costs; nan where either is even."""
    squares = len(lost)
    way = cv2.INTER_AREA if len(heat) >= squares else cv2.INTER_LINEAR
    reduced = cv2.resize(heat, (squares, squares), interpolation=way)
    if not (reduced.std() and lost.std()):
        return float("nan")
    return float(np.corrcoef(reduced.ravel(), lost.ravel())[0, 1])


def measure(model: Model, files: list[Path]) -> dict[str, tuple[float, float]]:
    """Return each method's mean agreement, and that of its maps upside down."""
    found: dict[str, list[tuple[float, float]]] = {method: [] for method in EXPLAINERS}
    single = model.card.preprocessing == CELLS
    for file in files:
        image = read_image(file)
        for tile in prepare(image, segment(image), model.card).tiles[: 3 if single else 1]:
            target, lost = cost(model, tile, SQUARES_OF_A_CELL if single else SQUARES)
            for method in EXPLAINERS:
                heat = raw_maps(model, tile[None], [target], method)[0, 0]
                found[method].append((agreement(heat, lost), agreement(heat[::-1], lost)))
    return {method: tuple(np.nanmean(pairs, axis=0)) for method, pairs in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--models", nargs="*", default=list(readers()), help="systems with weights")
    parser.add_argument("--fields", type=int, default=12, help="of each class")
    parser.add_argument("--write", type=Path, help="where to write the table")
    options = parser.parse_args()
    files = []
    for name in ("Benign", "Early", "Pre", "Pro"):
        there = sorted((options.data / "taleqani/Original" / name).iterdir())
        files += there[20 :: max(1, (len(there) - 20) // options.fields)][: options.fields]
    lines = []
    for name in options.models:
        told = measure(load_model(name, "cpu"), files)
        figures = " | ".join(f"{told[method][0]:.2f} ({told[method][1]:.2f})" for method in EXPLAINERS)
        lines.append(f"| {SYSTEMS[name].title} | {figures} |")
        print(lines[-1], flush=True)
    if options.write:
        head = HEAD.format(
            each=options.fields,
            fields=len(files),
            squares=SQUARES**2,
            of_a_cell=SQUARES_OF_A_CELL**2,
            methods=" | ".join(TITLES[method] for method in EXPLAINERS),
            rules="---|" * (len(EXPLAINERS) - 1) + "---",
        )
        options.write.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

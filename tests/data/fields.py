"""Plain coloured fields with discs for cells, drawn in a millisecond, and a folder of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def draw(rng: np.random.Generator, side: int = 96) -> np.ndarray:
    """A field that says nothing about its class: uint8 (side, side, 3), RGB."""
    tint = rng.integers(215, 245, 3)
    field = np.clip(tint + rng.normal(0, 2, (side, side, 3)), 0, 255).astype(np.uint8)
    for _ in range(rng.integers(8, 14)):
        colour = (int(rng.integers(190, 215)), int(rng.integers(150, 180)), int(rng.integers(165, 185)))
        cv2.circle(field, tuple(int(v) for v in rng.integers(0, side, 2)), 6, colour, -1)
    for _ in range(rng.integers(2, 7)):
        centre = tuple(int(v) for v in rng.integers(0, side, 2))
        cv2.circle(field, centre, int(rng.integers(7, 12)), (110, int(rng.integers(50, 80)), 160), -1)
    return cv2.GaussianBlur(field, (3, 3), 0)


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels[:, :, ::-1])


def folder(root: Path, each: int = 40, classes: tuple[str, ...] = ("benign", "malignant"), seed: int = 0) -> Path:
    """A folder of class folders whose classes differ in nothing."""
    rng = np.random.default_rng(seed)
    for name in classes:
        for number in range(each):
            write(root / name / f"{name}-{number:03d}.png", draw(rng))
    return root

"""Floors on real images, from a few of each source; the whole is measured by benchmarks/segmentation.py."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from leuk.image import SmearImage, read_image
from leuk.segmentation import segment


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize(
    ("images", "masks", "step", "nucleus_floor", "cell_floor"),
    [
        ("zheng/dataset1/*.bmp", "zheng/dataset1", 16, 0.93, 0.9),
        ("zheng/dataset2/*.bmp", "zheng/dataset2", 8, 0.93, 0.85),
        ("bccd/images/*.jpg", "bccd/masks", 30, 0.88, 0.85),
    ],
)
def test_dice_on_drawn_masks(
    data_dir: Path, images: str, masks: str, step: int, nucleus_floor: float, cell_floor: float
) -> None:
    scores = []
    for path in sorted(data_dir.glob(images))[::step]:
        truth = cv2.imread(str(data_dir / masks / f"{path.stem}.png"), cv2.IMREAD_GRAYSCALE)
        found = segment(read_image(path))
        scores.append((dice(found.nucleus, truth > 205), dice(found.cell, truth > 78)))
    nucleus, cell = np.mean(scores, axis=0)
    assert nucleus > nucleus_floor
    assert cell > cell_floor


def test_outlines_do_not_leak_along_an_eyepieces_circle(data_dir: Path) -> None:
    scores = []
    for name in ("Im003_1", "Im005_1", "Im096_1"):
        pixels = read_image(data_dir / f"all_idb2/img/{name}.tif").pixels
        y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]] - pixels.shape[0] / 2
        inside = np.hypot(y, x) < pixels.shape[0] / 2
        truth = cv2.imread(str(data_dir / f"all_idb2/masks_b/{name}.png"), cv2.IMREAD_GRAYSCALE) > 78
        found = segment(SmearImage.from_array(pixels * inside[..., None].astype(np.uint8), name))
        scores.append(dice(found.cell, truth & inside))
    assert min(scores) > 0.9


def test_pale_fields_keep_their_cells(data_dir: Path) -> None:
    paths = sorted((data_dir / "taleqani/Original/Pro").iterdir())[::60]
    shares = {path.name: float(segment(read_image(path)).cell.mean()) for path in paths}
    assert not {name: share for name, share in shares.items() if share < 0.01}


def test_blasts_of_a_large_field_are_found_one_by_one(data_dir: Path) -> None:
    centres = np.loadtxt(data_dir / "all_idb1/xyc/Im003_1.xyc", dtype=int, ndmin=2)
    found = segment(read_image(data_dir / "all_idb1/im/Im003_1.jpg"))
    labels = found.instances[centres[:, 1], centres[:, 0]]
    assert (labels > 0).all()
    assert len(set(labels.tolist())) >= 9


def test_lobes_of_a_granulocyte_are_one_cell(data_dir: Path) -> None:
    # Each of these fields shows one white cell, whose lobes closed paths alone take for several.
    names = ["BloodImage_00097", "BloodImage_00227", "BloodImage_00252", "BloodImage_00387", "BloodImage_00409"]
    found = [len(segment(read_image(data_dir / f"bccd/images/{name}.jpg")).cells) for name in names]
    assert found == [1] * len(names)

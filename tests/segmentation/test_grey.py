"""Photographs without colour."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from leuk.data.synthetic import generate
from leuk.image import SmearImage
from leuk.segmentation import segment
from leuk.segmentation.grey import tint


def _grey(pixels: np.ndarray) -> np.ndarray:
    return np.dstack([cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)] * 3)


@pytest.mark.parametrize("method", ["default", "dye_and_path"])
@pytest.mark.parametrize("style", ["benign", "camera"])
def test_dark_nuclei_are_found_without_colour(style: str, method: str) -> None:
    smear = generate(3, 480, 480, style=style)
    found = segment(SmearImage.from_array(_grey(smear.image.pixels), "grey"), method)
    truth = smear.instances > 0
    assert 2 * (found.cell & truth).sum() / (found.cell.sum() + truth.sum()) > 0.85
    assert abs(len(found.cells) - len(np.unique(smear.instances)) + 1) <= 2
    # What is measured is the picture, not its tint.
    assert all(cell.mean_color[0] == cell.mean_color[2] for cell in found.cells)


@pytest.mark.parametrize("style", ["benign", "camera", "lilac"])
def test_red_cells_alone_are_not_taken_for_white_ones(style: str) -> None:
    pixels = _grey(generate(4, 320, 240, style=style, cells=0).image.pixels)
    assert tint(pixels) is None
    assert not segment(SmearImage.from_array(pixels, "grey")).cells


def test_colour_is_left_as_it_is() -> None:
    assert tint(generate(3, 240, 240, style="camera").image.pixels) is None


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_even_picture_stays_even(level: int) -> None:
    assert tint(np.full((40, 60, 3), level, np.uint8)) is None

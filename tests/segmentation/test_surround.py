"""Fields in the black beyond an eyepiece's circle, or in a frame."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from leuk.data.stains import STYLES
from leuk.data.synthetic import SyntheticSmear, generate
from leuk.image import SmearImage, read_image
from leuk.segmentation import segment
from leuk.segmentation.surround import find_surround


@pytest.fixture(scope="module")
def smear() -> SyntheticSmear:
    return generate(2, 640, 480, style="pre")


def _disk(shape: tuple[int, ...], radius: float) -> np.ndarray:
    """A soft disk, 1 inside: float32 (H, W)."""
    height, width = shape[:2]
    y, x = np.mgrid[:height, :width]
    disk = np.hypot(y - height / 2, x - width / 2) < radius * min(height, width)
    return cv2.GaussianBlur(disk.astype(np.float32), (0, 0), 3)


def _framed(shape: tuple[int, ...], width: int) -> np.ndarray:
    inside = np.zeros(shape[:2], np.float32)
    inside[width:-width, width:-width] = 1
    return inside


def _in(pixels: np.ndarray, inside: np.ndarray, level: int) -> np.ndarray:
    return (pixels * inside[..., None] + level * (1 - inside[..., None])).astype(np.uint8)


@pytest.mark.parametrize("method", ["default", "dye_and_path"])
@pytest.mark.parametrize(
    ("shape", "size", "level"), [("disk", 0.48, 6), ("disk", 0.4, 0), ("frame", 30, 0), ("frame", 30, 255)]
)
def test_cells_in_a_surround_are_found(smear: SyntheticSmear, shape: str, size: float, level: int, method: str) -> None:
    pixels = smear.image.pixels
    inside = _disk(pixels.shape, size) if shape == "disk" else _framed(pixels.shape, int(size))
    surround = find_surround(_in(pixels, inside, level))
    assert surround is not None
    assert surround[inside < 0.02].all()
    assert surround[inside > 0.98].mean() < 0.02
    found = segment(SmearImage.from_array(_in(pixels, inside, level), "field"), method)
    assert not found.cell[surround].any()
    whole = [label for label in np.unique(smear.instances)[1:] if not surround[smear.instances == label].any()]
    assert len(whole) >= 4
    met = [found.cell[smear.instances == label].mean() > 0.8 for label in whole]
    assert np.mean(met) >= 0.8
    # A cell that the surround cuts is no whole cell, and counts as one that the picture's edge cuts.
    near = cv2.dilate(surround.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    for cell in found.cells:
        if near[found.instances == cell.label].any():
            assert cell.touches_border
    assert any(cell.touches_border for cell in found.cells)
    assert not all(cell.touches_border for cell in found.cells)
    touched = np.count_nonzero(np.unique(smear.instances[~surround]))
    assert len(found.cells) <= touched + 1


@pytest.mark.parametrize("colour", [(90, 90, 90), (128, 128, 128), (20, 30, 90), (180, 170, 60), (238, 238, 238)])
def test_a_frame_of_any_plain_colour_is_left_out(smear: SyntheticSmear, colour: tuple[int, int, int]) -> None:
    pixels = smear.image.pixels
    framed = np.full((560, 720, 3), colour, np.uint8)
    framed[30:510, 60:700] = pixels  # a side is as wide as it is
    surround = find_surround(framed)
    assert surround is not None
    assert not surround[32:508, 62:698].any()
    assert surround[:29].all() and surround[511:].all() and surround[:, :59].all() and surround[:, 701:].all()
    found, alone = segment(SmearImage.from_array(framed, "framed")), segment(SmearImage.from_array(pixels, "field"))
    assert abs(len(found.cells) - len(alone.cells)) <= 1
    # Above and below only, and as JPEG keeps it.
    barred = np.full((560, 640, 3), colour, np.uint8)
    barred[40:520] = pixels
    data = cv2.imencode(".jpg", barred[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 75])[1].tobytes()
    surround = find_surround(read_image(data, "barred.jpg").pixels)
    if min(colour) < 200:  # JPEG mixes a field's own light ground with a frame as light
        assert surround is not None
        assert surround[:38].all() and surround[522:].all()
        assert surround[56:504].mean() < 0.01


@pytest.mark.parametrize("bar", [(60, 60, 60), (40, 80, 180)])
def test_a_window_with_a_bar_and_a_margin_of_another_colour_is_left_out(
    smear: SyntheticSmear, bar: tuple[int, int, int]
) -> None:
    pixels = smear.image.pixels
    window = np.full((600, 800, 3), 235, np.uint8)
    window[:30] = bar
    window[80:560, 100:740] = pixels
    surround = find_surround(window)
    assert surround is not None
    assert surround[:79].all() and surround[561:].all() and surround[:, :99].all() and surround[:, 741:].all()
    assert not surround[82:558, 102:738].any()
    found, alone = segment(SmearImage.from_array(window, "window")), segment(SmearImage.from_array(pixels, "field"))
    assert abs(len(found.cells) - len(alone.cells)) <= 1


@pytest.mark.parametrize("style", STYLES)
def test_a_field_has_no_surround(style: str) -> None:
    pixels = generate(3, 320, 240, style=style).image.pixels
    assert find_surround(pixels) is None
    # Its background white through and through, or the whole field dark.
    assert find_surround(cv2.convertScaleAbs(pixels, alpha=1.6)) is None
    assert find_surround(cv2.convertScaleAbs(pixels, alpha=0.3)) is None


def test_a_ground_as_plain_as_a_frame_is_none() -> None:
    pixels = np.full((120, 120, 3), (221, 214, 205), np.uint8)
    cv2.circle(pixels, (60, 62), 36, (150, 90, 160), -1, cv2.LINE_AA)
    assert find_surround(pixels) is None


def test_a_cell_that_fills_a_white_picture_is_no_field() -> None:
    smear = generate(1, 160, 160, style="camera", cells=1, cell_diameter=130.0, margin=1.2)
    white = np.where((smear.instances > 0)[..., None], smear.image.pixels, 255).astype(np.uint8)
    assert 0.2 < (smear.instances > 0).mean() < 0.6
    assert find_surround(white) is None


@pytest.mark.parametrize("level", [0, 255])
def test_an_even_picture_has_no_surround(level: int) -> None:
    assert find_surround(np.full((64, 96, 3), level, np.uint8)) is None


@pytest.mark.parametrize("size", [1, 2, 3, 20])
def test_a_spot_in_the_black_is_segmented_without_complaint(size: int) -> None:
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[20 : 20 + size, 30 : 30 + 3 * size] = 200
    assert not segment(SmearImage.from_array(pixels, "spot")).cells


def test_a_crowd_of_red_cells_does_not_hide_white_ones(smear: SyntheticSmear) -> None:
    """Red cells all along the edge once made everything between them one huge red cell, and white ones platelets."""
    pixels = smear.image.pixels.copy()
    pixels[_framed(pixels.shape, 16) == 0] = (190, 170, 200)
    found = segment(SmearImage.from_array(pixels, "field"), "dye_and_path")
    assert len(found.cells) >= 0.7 * (len(np.unique(smear.instances)) - 1)

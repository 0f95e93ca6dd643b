import cv2
import numpy as np
import pytest

from leuk.data.synthetic import generate
from leuk.segmentation.scale import RED_CELL, Scale, estimate_scale, unless_disproved


def smear(diameter: float, touching: bool = False, cells: int = 5, size: int = 400) -> np.ndarray:
    """Red cells with pale middles on an empty background, in rows."""
    image = np.full((size, size, 3), (240, 236, 225), np.uint8)
    step = diameter if touching else diameter * 1.5
    for row in range(cells):
        for column in range(cells):
            at = tuple(int((v + 0.5) * 1.0 + diameter * 0.7 + k * step) for v, k in ((0, column), (0, row)))
            at = (at[0], int(diameter * 0.7 + row * diameter * 1.6))
            cv2.circle(image, at, round(diameter / 2), (205, 150, 150), -1, cv2.LINE_AA)
            cv2.circle(image, at, round(diameter / 6), (232, 215, 205), -1, cv2.LINE_AA)
    return image


@pytest.mark.parametrize("touching", [False, True])
@pytest.mark.parametrize("diameter", [16, 30, 44])
def test_red_cells_give_the_scale(diameter, touching):
    found = estimate_scale(smear(diameter, touching), np.zeros((400, 400), bool))
    assert found.source == "estimated"
    assert found.red_cells >= 10
    # Cells drawn as perfect disks: real ones are measured a tenth smaller by the disk that fits into them.
    assert found.micrometres == pytest.approx(RED_CELL / diameter, rel=0.16)


def test_without_red_cells_there_is_no_scale():
    assert estimate_scale(np.full((300, 300, 3), 235, np.uint8), np.zeros((300, 300), bool)) is None
    assert estimate_scale(smear(40, cells=1), np.zeros((400, 400), bool)) is None
    assert estimate_scale(np.full((4, 4, 3), 235, np.uint8), np.zeros((4, 4), bool)) is None


def test_what_is_as_wide_as_half_the_picture_is_no_red_cell():
    pixels = generate(1, 320, 240, style="camera").image.pixels
    framed = np.pad(pixels, ((60, 60), (60, 60), (0, 0)), constant_values=190)
    found = estimate_scale(framed, np.zeros(framed.shape[:2], bool))
    assert found is None or found.micrometres > RED_CELL / 180


@pytest.mark.parametrize(("micrometres", "source"), [(0, "entered"), (float("nan"), "entered"), (0.1, "guessed")])
def test_a_scale_checks_itself(micrometres, source):
    with pytest.raises(ValueError, match="expected"):
        Scale(micrometres, source)


def test_red_cells_that_white_ones_disprove_are_none() -> None:
    red = np.array([30.0, 31, 32, 33, 34])
    for white, kept in ((None, 5), (20.0, 5), (60.0, 5), (100.0, 5), (12.0, 0), (140.0, 0)):
        assert len(unless_disproved(red, white)) == kept
    assert len(unless_disproved(red[:0], 12.0)) == 0

from __future__ import annotations

import numpy as np
import pytest

from leuk.segmentation import morphometry


def ellipse(a: float, b: float, angle: float = 0.0, size: int = 141) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - size // 2
    c, s = np.cos(angle), np.sin(angle)
    return ((x * c + y * s) / a) ** 2 + ((y * c - x * s) / b) ** 2 <= 1


@pytest.mark.parametrize("radius", [8.5, 15.5, 30.5, 60.5])
def test_a_disk_is_round_whole_and_without_direction(radius: float) -> None:
    disk = ellipse(radius, radius)
    assert morphometry.perimeter(disk) == pytest.approx(2 * np.pi * radius, rel=0.05)
    assert morphometry.circularity(disk) == pytest.approx(1, abs=0.06)
    assert morphometry.eccentricity(disk) < 0.1
    assert morphometry.solidity(disk) > 0.94


@pytest.mark.parametrize("angle", [0, 0.3, np.pi / 4, 1.2])
def test_an_ellipse_has_the_eccentricity_of_its_axes_whichever_way_it_lies(angle: float) -> None:
    shape = ellipse(50, 30, angle)
    assert morphometry.eccentricity(shape) == pytest.approx(0.8, abs=0.01)
    # Ramanujan's circumference.
    h = (20 / 80) ** 2
    around = np.pi * 80 * (1 + 3 * h / (10 + (4 - 3 * h) ** 0.5))
    assert morphometry.circularity(shape) == pytest.approx(4 * np.pi * (np.pi * 1500) / around**2, abs=0.04)


def test_a_cross_fills_five_ninths_of_its_square_but_seven_of_its_hull() -> None:
    cross = np.zeros((90, 90), bool)
    cross[30:60] = True
    cross[:, 30:60] = True
    # The hull cuts the square's four corners, each half of a ninth.
    assert morphometry.solidity(cross) == pytest.approx(5 / 7, abs=0.01)
    assert morphometry.circularity(cross) < 0.7


def test_a_line_is_as_eccentric_as_can_be() -> None:
    line = np.zeros((5, 60), bool)
    line[2] = True
    assert morphometry.eccentricity(line) > 0.999
    assert morphometry.solidity(line) == 1


@pytest.mark.parametrize("measure", [morphometry.circularity, morphometry.eccentricity, morphometry.solidity])
def test_a_single_pixel_and_none_at_all_have_measures_in_range(measure: object) -> None:
    assert 0 <= measure(np.ones((1, 1), bool)) <= 1  # type: ignore[operator]
    assert measure(np.zeros((3, 3), bool)) == 0  # type: ignore[operator]


def test_cells_are_measured_apart() -> None:
    pixels = np.zeros((60, 80, 3), np.uint8)
    instances = np.zeros((60, 80), np.int32)
    instances[10:30, 10:30] = 1
    instances[40:60, 50:80] = 2
    pixels[instances == 1] = (100, 50, 150)
    nucleus = np.zeros((60, 80), bool)
    nucleus[15:25, 15:25] = True
    first, second = morphometry.measure(pixels, nucleus, instances)
    assert first.box == (10, 10, 30, 30)
    assert (first.area, first.nucleus_area, first.nc_ratio) == (400, 100, 0.25)
    assert first.mean_color == (100, 50, 150)
    assert not first.touches_border
    assert second.box == (50, 40, 80, 60)
    assert (second.nucleus_area, second.mean_color, second.touches_border) == (0, (0, 0, 0), True)


def test_a_gap_in_the_labels_is_refused() -> None:
    instances = np.zeros((9, 9), np.int32)
    instances[2:4, 2:4] = 2
    with pytest.raises(ValueError, match="without gaps"):
        morphometry.measure(np.zeros((9, 9, 3), np.uint8), instances > 5, instances)

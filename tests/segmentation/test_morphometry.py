from __future__ import annotations

import cv2
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


@pytest.mark.parametrize("angle", [0, 0.5, 1.1])
def test_the_cleft_of_a_kidney_is_as_deep_as_it_was_cut(angle: float) -> None:
    kidney = ellipse(50, 50)
    y, x = np.mgrid[:141, :141] - 70
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    kidney[(along > 20) & (np.abs(across) < 8)] = False  # from the edge at 50 down to 20
    diameter = 2 * (np.count_nonzero(kidney) / np.pi) ** 0.5
    # The hull closes the mouth with a chord, a little nearer than the circle was.
    assert morphometry.indentation(kidney) == pytest.approx((np.hypot(50, 0) - 0.65 - 20) / diameter, abs=0.02)


@pytest.mark.parametrize("depth", [12, 30, 42, 54])
def test_a_cleft_deeper_than_half_the_nucleus_is_as_deep_as_it_was_cut(depth: int) -> None:
    u = np.zeros((70, 70), bool)
    u[5:65, 5:65] = True
    u[5 : 5 + depth, 23:47] = False
    diameter = 2 * (np.count_nonzero(u) / np.pi) ** 0.5
    assert morphometry.indentation(u) == pytest.approx(depth / diameter, abs=0.02)
    # Another part beside it changes neither the cleft nor what it is held against.
    beside = np.pad(u, ((0, 0), (0, 60)))
    beside[20:50, 80:110] = True
    assert morphometry.indentation(beside) == morphometry.indentation(u)


def test_a_horseshoe_is_indented_by_most_of_its_diameter() -> None:
    y, x = np.mgrid[-40:41, -40:41]
    r = np.hypot(x, y)
    assert 0.85 < morphometry.indentation((r <= 30) & (r > 15) & ~((np.abs(x) <= 8) & (y < 0))) < 0.95


@pytest.mark.parametrize(("a", "b"), [(30, 30), (40, 25), (9, 9)])
def test_a_round_or_oval_nucleus_has_no_cleft(a: float, b: float) -> None:
    assert morphometry.indentation(ellipse(a, b, 0.4)) == 0


@pytest.mark.parametrize(("centers", "count"), [([0], 1), ([-20, 20], 2), ([-45, 0, 45], 3)])
def test_lobes_apart_are_counted_and_specks_are_not(centers: list[int], count: int) -> None:
    y, x = np.mgrid[:141, :141] - 70
    nucleus = np.zeros((141, 141), bool)
    for at in centers:
        nucleus |= (x - at) ** 2 + y**2 < 15**2
    nucleus[2:5, 2:5] = True
    assert morphometry.lobes(nucleus) == count


def test_texture_is_the_spread_of_density_over_its_mean() -> None:
    mask = np.zeros((40, 42), bool)
    mask[5:35, 5:37] = True
    density = np.where(np.arange(42) < 21, 0.4, 0.6) * np.ones((40, 1))
    assert morphometry.texture(np.full((40, 42), 0.5), mask) == pytest.approx(0, abs=1e-6)
    assert morphometry.texture(density, mask) == pytest.approx(0.2, abs=1e-6)
    assert morphometry.texture(density, mask & (density < 0)) is None


@pytest.mark.parametrize(("density", "expected"), [((0.5, 0.3, 0.1), 0.4), ((0.1, 0.5, 0.4), -0.3), ((0.3,) * 3, 0)])
def test_blue_cytoplasm_is_above_and_pink_below_zero(density: tuple[float, ...], expected: float) -> None:
    field = np.ones((20, 20, 3)) * density
    assert morphometry.basophilia(field, np.ones((20, 20), bool)) == pytest.approx(expected)
    assert morphometry.basophilia(field, np.zeros((20, 20), bool)) is None


def test_a_nucleus_off_the_middle_is_told_in_radii() -> None:
    y, x = np.mgrid[:141, :141] - 70
    cell, nucleus = x**2 + y**2 <= 50**2, (x - 20) ** 2 + (y - 15) ** 2 <= 20**2
    assert morphometry.nucleus_offset(cell, nucleus) == pytest.approx(0.5, abs=0.01)
    assert morphometry.nucleus_offset(cell, ellipse(20, 20)) == pytest.approx(0, abs=0.01)
    assert morphometry.nucleus_offset(cell, nucleus & ~cell) is None


@pytest.mark.parametrize(("gain", "cast"), [(1.0, (1, 1, 1)), (0.7, (1, 1, 1)), (1.0, (1.0, 0.9, 0.8))])
def test_colour_measures_do_not_depend_on_exposure_or_white_balance(gain: float, cast: tuple[float, ...]) -> None:
    cell, nucleus = ellipse(45, 45), ellipse(25, 25)
    density = np.zeros((141, 141, 3))
    density[cell] = (0.35, 0.3, 0.1)
    density[nucleus] = (0.5, 0.8, 0.2)
    density[nucleus & (np.arange(141) < 70)] *= 0.8
    pixels = np.round(240 * gain * np.array(cast) * 10**-density).astype(np.uint8)
    (found,) = morphometry.measure(pixels, nucleus, cell.astype(np.int32))
    assert found.basophilia == pytest.approx(0.25, abs=0.02)
    assert found.chromatin_texture == pytest.approx(0.11, abs=0.02)
    assert found.diameter == pytest.approx(90, rel=0.01)
    assert found.nucleus_diameter == pytest.approx(50, rel=0.01)
    assert (found.lobes, found.indentation) == (1, 0)


def test_blur_makes_cytoplasm_a_fifth_paler_at_most() -> None:
    cell, nucleus = ellipse(45, 45), ellipse(25, 25)
    density = np.zeros((141, 141, 3))
    density[cell], density[nucleus] = (0.35, 0.3, 0.1), (0.5, 0.8, 0.2)
    sharp = 240 * 10**-density
    blurred = np.round(cv2.GaussianBlur(sharp, (0, 0), 1.5)).astype(np.uint8)
    (found,) = morphometry.measure(blurred, nucleus, cell.astype(np.int32))
    assert 0.8 * 0.25 < found.basophilia < 0.25


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


@pytest.mark.parametrize("side", range(9, 40, 3))
def test_a_channel_clipped_by_over_exposure_is_full_and_no_more(side: int) -> None:
    """Its mean came out a hair above 255 for some areas, and the whole field was refused."""
    instances = np.zeros((48, 48), np.int32)
    instances[4 : 4 + side, 3 : 3 + side] = 1
    instances[4, 3] = 0
    pixels = np.full((48, 48, 3), 255, np.uint8)
    pixels[..., 1] = 180
    (cell,) = morphometry.measure(pixels, instances > 0, instances)
    assert cell.mean_color[2] == pytest.approx(255)
    assert cell.mean_color[2] <= 255

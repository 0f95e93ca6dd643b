from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from leuk.data.stains import STYLES
from leuk.data.synthetic import generate
from leuk.errors import OptionError
from leuk.image import SmearImage
from leuk.segmentation import DEFAULT_METHOD, METHODS, Segmentation, segment
from leuk.segmentation.methods import in_reading_order

# Background, red cells, cytoplasm, nuclei, as measured on several laboratories' slides.
STAINS = {
    "pink": ((235, 235, 235), (205, 180, 190), (200, 180, 220), (150, 100, 190)),
    "yellow": ((255, 255, 175), (245, 215, 155), (190, 150, 120), (110, 30, 95)),
    "blue": ((244, 255, 252), (175, 205, 240), (220, 222, 250), (150, 150, 250)),
    "pale": ((254, 255, 250), (217, 227, 233), (249, 238, 250), (205, 180, 245)),
    "dark": ((165, 162, 150), (150, 130, 122), (120, 110, 140), (95, 50, 132)),
}


def draw(
    stain: str,
    cells: list[tuple[int, int, int, int]],
    size: tuple[int, int] = (224, 224),
    red: bool = True,
    scale: float = 1.0,
) -> tuple[SmearImage, np.ndarray, np.ndarray]:
    """Draw cells (x, y, radius, radius of the nucleus) among red cells; the image, the nuclei, the whole cells."""
    background, red_cell, cytoplasm, nucleus = STAINS[stain]
    height, width = size
    pixels = np.full((height, width, 3), background, np.uint8)
    cell_mask, nucleus_mask = np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint8)
    for x, y, outer, inner in cells:
        cv2.circle(cell_mask, (x, y), outer, 1, -1)
        cv2.circle(nucleus_mask, (x, y), inner, 1, -1)
    if red:
        r = round(9 * scale)
        for y in range(2 * r, height - r, round(2.6 * r)):
            for x in range(2 * r, width - r, round(2.6 * r)):
                if not cell_mask[max(0, y - r) : y + r, max(0, x - r) : x + r].any():
                    cv2.circle(pixels, (x, y), r, red_cell, -1)
    pixels[cell_mask > 0] = cytoplasm
    pixels[nucleus_mask > 0] = nucleus
    pixels = cv2.GaussianBlur(pixels, (0, 0), 0.8 * scale)
    noise = np.random.default_rng(5).normal(0, 2, pixels.shape)
    return SmearImage.from_array(np.clip(pixels + noise, 0, 255).astype(np.uint8)), nucleus_mask > 0, cell_mask > 0


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("stain", STAINS)
def test_cells_are_found_whatever_the_stain(stain: str) -> None:
    image, nucleus, cell = draw(stain, [(50, 60, 17, 12), (150, 80, 15, 11), (110, 170, 18, 10)])
    found = segment(image)
    assert len(found.cells) == 3
    assert dice(found.nucleus, nucleus) > 0.88
    assert dice(found.cell, cell) > 0.85
    assert found.cell_diameter == pytest.approx(34, rel=0.15)


@pytest.mark.parametrize("stain", STAINS)
def test_red_cells_alone_are_no_white_cells(stain: str) -> None:
    assert segment(draw(stain, [])[0]).cells == ()


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "pixels",
    [
        np.full((1, 1, 3), 128, np.uint8),
        np.random.default_rng(0).integers(0, 256, (2, 2, 3), dtype=np.uint8),
        np.full((3, 200, 3), 255, np.uint8),
        np.zeros((64, 64, 3), np.uint8),
        np.full((224, 224, 3), (240, 238, 230), np.uint8),
        np.random.default_rng(1).integers(0, 256, (90, 70, 3), dtype=np.uint8),
        np.repeat(np.random.default_rng(2).integers(0, 256, (60, 60, 1), dtype=np.uint8), 3, axis=2),
    ],
    ids=["pixel", "four pixels", "strip", "black", "background", "noise", "grey"],
)
def test_no_picture_is_too_odd_to_segment(method: str, pixels: np.ndarray) -> None:
    found = segment(SmearImage.from_array(pixels), method)
    assert found.method == method
    assert found.instances.shape == pixels.shape[:2]


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_flat_picture_has_no_cells(value: int) -> None:
    assert segment(SmearImage.from_array(np.full((150, 150, 3), value, np.uint8))).cells == ()


def test_a_grey_picture_shows_only_cells_much_denser_than_red_ones() -> None:
    for stain, seen in (("pink", True), ("pale", False)):
        image, _, cell = draw(stain, [(60, 60, 17, 12)])
        grey = np.repeat(cv2.cvtColor(image.pixels, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)
        found = segment(SmearImage.from_array(grey))
        assert len(found.cells) == seen
        assert not seen or dice(found.cell, cell) > 0.85


def test_cells_that_touch_are_two() -> None:
    image, _, cell = draw("pink", [(80, 100, 17, 14), (113, 100, 17, 14)])
    found = segment(image)
    assert len(found.cells) == 2
    assert dice(found.cell, cell) > 0.9
    left, right = sorted(found.cells, key=lambda c: c.box)
    assert left.area == pytest.approx(right.area, rel=0.2)


@pytest.mark.parametrize("half", [21, 22])
def test_cells_around_a_gap_are_not_one(half: int) -> None:
    y, x = np.mgrid[:200, :200]
    near = np.min([np.hypot(x - cx, y - cy) for cx in (100 - half, 100 + half) for cy in (100 - half, 100 + half)], 0)
    pixels = np.full((200, 200, 3), (228, 222, 226), np.uint8)
    pixels[near < 22] = (96, 44, 138)
    assert len(segment(SmearImage.from_array(pixels), "dye_and_path").cells) == 4


def test_lobes_are_one_cell() -> None:
    image, _, _ = draw("pink", [(110, 110, 26, 1)])
    pixels = image.pixels.copy()
    for x, y in ((100, 102), (121, 105), (108, 123)):
        cv2.circle(pixels, (x, y), 8, STAINS["pink"][3], -1)
    assert len(segment(SmearImage.from_array(pixels)).cells) == 1


def test_five_hundred_cells_are_five_hundred() -> None:
    smear = generate(4, 2000, 1600, style="pre", cells=500, cell_diameter=42.0)
    found = segment(smear.image)
    assert abs(len(found.cells) - 500) <= 25
    assert found.instances.max() == len(found.cells)


def test_cells_on_the_border_are_marked_as_cut() -> None:
    found = segment(draw("pink", [(0, 100, 18, 13), (223, 60, 18, 13)])[0])
    assert [cell.touches_border for cell in found.cells] == [True, True]


@pytest.mark.parametrize("ink", [(0, 0, 0), (220, 20, 30)])
def test_a_scale_bar_is_not_a_cell(ink: tuple[int, int, int]) -> None:
    image, _, _ = draw("blue", [(60, 60, 17, 13)])
    pixels = image.pixels.copy()
    pixels[196:222, 150:222] = 255
    cv2.line(pixels, (156, 216), (216, 216), ink, 4)
    cv2.putText(pixels, "200 px", (158, 208), cv2.FONT_HERSHEY_SIMPLEX, 0.45, ink, 1)
    found = segment(SmearImage.from_array(pixels))
    assert len(found.cells) == 1
    assert not found.cell[196:, 150:].any()


def test_a_large_field_gives_the_same_cells_as_a_small_one() -> None:
    cells = [(50, 60, 17, 12), (150, 80, 15, 11), (110, 170, 18, 10)]
    large = [tuple(6 * v for v in cell) for cell in cells]
    image, nucleus, cell = draw("dark", large, (6 * 224, 6 * 224), scale=6)  # type: ignore[arg-type]
    found = segment(image)
    assert len(found.cells) == 3
    assert dice(found.nucleus, nucleus) > 0.93
    assert dice(found.cell, cell) > 0.9
    assert found.cell_diameter == pytest.approx(6 * 34, rel=0.15)


@pytest.mark.parametrize("clumped", [False, True])
def test_small_cells_of_a_camera_field_are_found(clumped: bool) -> None:
    # 16 pixels wide in 5 megapixels, as at low magnification: two pixels in a first look of 320.
    step = 4 if clumped else 1
    cells = [
        (x + 18 * (i % 2), y + 18 * (i // 2), 8, 6)
        for x in range(60, 2500, 100 * step // 2 + 50)
        for y in range(60, 1850, 120 * step // 2)
        for i in range(step)
    ]
    image, _, drawn = draw("pink", cells, size=(1944, 2592), scale=0.6)
    found = segment(image)
    assert abs(len(found.cells) - len(cells)) <= 0.03 * len(cells)
    assert dice(found.cell, drawn) > 0.8


def test_red_cells_of_a_camera_field_are_no_white_cells_however_small() -> None:
    image, _, _ = draw("pink", [], size=(1944, 2592), scale=0.6)
    assert not segment(image).cells


def test_the_same_picture_gives_the_same_cells_in_any_thread() -> None:
    images = [draw(stain, [(50, 60, 17, 12), (83, 60, 17, 12), (110, 170, 18, 10)])[0] for stain in STAINS]

    def fingerprint(image: SmearImage) -> str:
        found = segment(image)
        return hashlib.sha256(found.instances.tobytes() + found.nucleus.tobytes()).hexdigest()

    alone = [fingerprint(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(fingerprint, images * 2)) == alone * 2


def test_an_unknown_method_is_the_users_error() -> None:
    with pytest.raises(OptionError, match="no segmentation method 'magic'; choose one of default"):
        segment(SmearImage.from_array(np.zeros((9, 9, 3), np.uint8)), "magic")


def test_labels_run_from_top_to_bottom_then_left_to_right() -> None:
    labels = np.zeros((20, 20), np.int32)
    labels[12:15, 2:5], labels[1:4, 12:15], labels[1:4, 2:5] = 3, 9, 4
    ordered = in_reading_order(labels)
    assert (ordered[2, 3], ordered[2, 13], ordered[13, 3]) == (1, 2, 3)


def test_every_method_says_where_it_comes_from() -> None:
    assert DEFAULT_METHOD in METHODS
    for name, method in METHODS.items():
        assert name == method.name
        assert method.title
        assert method.source


@pytest.mark.parametrize("method", METHODS)
def test_a_method_says_whether_nucleus_and_cell_have_one_outline(method: str) -> None:
    found = segment(draw("pale", [(50, 60, 17, 12), (150, 80, 15, 11)])[0], method)
    assert found.cells
    assert np.array_equal(found.nucleus, found.cell) == METHODS[method].one_outline


def test_a_result_is_whole() -> None:
    found = segment(draw("pink", [(50, 60, 17, 12), (150, 80, 15, 11)])[0])
    assert isinstance(found, Segmentation)
    for cell in found.cells:
        assert 0.3 < cell.nc_ratio < 0.8
        assert cell.circularity > 0.9


@pytest.mark.parametrize("style", STYLES)
def test_red_cells_platelets_and_shadows_are_no_white_cells(style: str) -> None:
    """Where there is no white cell, the most dyed of what there is used to be taken for some, up to a dozen a field."""
    found = [len(segment(generate(seed, 480, 480, style=style, cells=0).image).cells) for seed in (3, 5, 6, 7)]
    assert max(found) <= 1  # the smear of a burst nucleus is still taken for a cell
    assert sum(found) <= 2


def test_pale_nuclei_of_a_faded_slide_are_kept() -> None:
    smear = generate(3, 480, 480, style="pro")
    faded = np.clip(140 + 0.35 * (smear.image.pixels.astype(np.float32) - 128), 0, 255).astype(np.uint8)
    found = segment(SmearImage.from_array(faded, "faded"))
    assert abs(len(found.cells) - len(np.unique(smear.instances)) + 1) <= 1

"""Scale bars, lettering and marks in a photograph."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from leuk.data.stains import STYLES
from leuk.data.synthetic import SyntheticSmear, generate
from leuk.image import SmearImage, find_images, read_image
from leuk.segmentation import segment
from leuk.segmentation.field import find_field
from leuk.segmentation.lettering import find_lettering, without

BLACK, RED, GREEN, YELLOW, CYAN = (0, 0, 0), (255, 0, 0), (0, 255, 0), (255, 255, 0), (0, 255, 255)


@pytest.fixture(scope="module")
def smear() -> SyntheticSmear:
    return generate(2, 640, 480, style="pre")


def _written(
    pixels: np.ndarray,
    ink: tuple[int, int, int],
    place: str = "bottom left",
    *,
    bar: bool = True,
    boxed: bool = False,
    quality: int = 92,
) -> tuple[np.ndarray, np.ndarray]:
    """Burn a bar and "50 um" in, and compress: the picture, and where ink was put."""
    height, width = pixels.shape[:2]
    x = 20 if "left" in place else width - 130
    y = height - 20 if "bottom" in place else 50
    drawn = np.zeros((height, width, 3), np.uint8)
    if bar:
        cv2.line(drawn, (x, y), (x + 110, y), (255, 255, 255), 4)
    cv2.putText(drawn, "50 um", (x + 10, y - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (255, 255, 255), 2, cv2.LINE_AA)
    share = drawn[..., :1] / 255
    under = pixels.copy()
    if boxed:
        under[y - 44 : y + 14, x - 8 : x + 120] = 255
    burnt = (under * (1 - share) + np.array(ink) * share).astype(np.uint8)
    done, data = cv2.imencode(".jpg", burnt[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]), drawn[..., 0] > 250


@pytest.mark.parametrize("place", ["bottom left", "bottom right", "top left", "top right"])
@pytest.mark.parametrize("ink", [BLACK, RED, GREEN, YELLOW])
def test_a_bar_and_its_letters_are_covered_wherever_they_stand(
    smear: SyntheticSmear, ink: tuple[int, int, int], place: str
) -> None:
    pixels, drawn = _written(smear.image.pixels, ink, place)
    found = find_lettering(pixels)
    assert found is not None
    assert found[drawn].mean() > 0.97
    assert found.mean() < 0.03
    clean = without(pixels, found)
    np.testing.assert_array_equal(clean[~found], pixels[~found])
    # What is left has the field's colours: nothing as dark, or as vivid, as the ink.
    darkest = int(smear.image.pixels.max(axis=2).min())
    assert int(clean[drawn].max(axis=1).min()) >= 0.8 * darkest
    assert find_lettering(clean) is None


def _marked(pixels: np.ndarray, ink: tuple[int, int, int], mark: str) -> tuple[np.ndarray, np.ndarray]:
    """Draw an arrow, a ring or a box in the middle, and compress: the picture, and where ink was put."""
    drawn = np.zeros(pixels.shape, np.uint8)
    if mark == "arrow":
        cv2.line(drawn, (400, 150), (345, 215), (255, 255, 255), 5, cv2.LINE_AA)
        cv2.fillPoly(drawn, [np.array([[328, 236], [338, 204], [358, 222]])], (255, 255, 255), cv2.LINE_AA)
    elif mark == "ring":
        cv2.ellipse(drawn, (320, 240), (48, 36), 20, 0, 360, (255, 255, 255), 3, cv2.LINE_AA)
    else:
        cv2.rectangle(drawn, (280, 200), (370, 280), (255, 255, 255), 3)
    share = drawn[..., :1] / 255
    burnt = (pixels * (1 - share) + np.array(ink) * share).astype(np.uint8)
    done, data = cv2.imencode(".jpg", burnt[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    assert done
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]), drawn[..., 0] > 250


@pytest.mark.parametrize("mark", ["arrow", "ring", "box"])
@pytest.mark.parametrize("ink", [BLACK, RED, GREEN, YELLOW, CYAN])
def test_marks_in_the_middle_are_covered(smear: SyntheticSmear, ink: tuple[int, int, int], mark: str) -> None:
    pixels, drawn = _marked(smear.image.pixels, ink, mark)
    found = find_lettering(pixels)
    assert found is not None
    assert found[drawn].mean() > 0.97
    assert found.mean() < 0.03
    before, after = segment(smear.image), segment(SmearImage.from_array(pixels, "field"))
    assert abs(len(after.cells) - len(before.cells)) <= 1
    assert (after.cell & before.cell).sum() / max((after.cell | before.cell).sum(), 1) > 0.93


def test_cells_are_found_as_without_it(smear: SyntheticSmear) -> None:
    before = segment(smear.image)
    for boxed in (False, True):
        pixels, _ = _written(smear.image.pixels, BLACK, boxed=boxed)
        after = segment(SmearImage.from_array(pixels, "field"))
        assert abs(len(after.cells) - len(before.cells)) <= 1
        both = (after.cell & before.cell).sum() / max((after.cell | before.cell).sum(), 1)
        assert both > 0.93


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_in_a_turned_picture_too(smear: SyntheticSmear, turns: int) -> None:
    pixels, drawn = _written(smear.image.pixels, BLACK)
    found = find_lettering(np.ascontiguousarray(np.rot90(pixels, turns)))
    assert found is not None
    assert found[np.rot90(drawn, turns)].mean() > 0.97


def test_letters_alone(smear: SyntheticSmear) -> None:
    pixels, drawn = _written(smear.image.pixels, BLACK, bar=False)
    found = find_lettering(pixels)
    assert found is not None
    assert found[drawn].mean() > 0.9


@pytest.mark.parametrize("side", [224, 2400])
def test_at_any_size(side: int) -> None:
    pixels = cv2.resize(generate(4, 448, 448, style="pro").image.pixels, (side, side), interpolation=cv2.INTER_AREA)
    thick = max(2, side // 150)
    drawn = pixels.copy()
    cv2.line(drawn, (side // 20, side - side // 14), (side // 4, side - side // 14), BLACK, thick)
    found = find_lettering(drawn)
    assert found is not None
    assert found[(drawn != pixels).any(axis=2)].all()


@pytest.mark.parametrize("style", STYLES)
def test_there_is_none_where_nothing_is_written(style: str) -> None:
    pixels = generate(3, 320, 240, style=style).image.pixels
    for light in (1.0, 0.5, 0.3):
        assert find_lettering(cv2.convertScaleAbs(pixels, alpha=light)) is None
    for gamma in (1.4, 1.7):
        assert find_lettering((255 * (pixels / 255) ** gamma).astype(np.uint8)) is None


@pytest.mark.parametrize("source", ["pbc", "zheng"])
@pytest.mark.parametrize("change", ["dark", "hard"])
def test_black_and_vivid_stain_is_hardly_ever_taken_for_a_mark(source: str, change: str, data_dir: Path) -> None:
    paths = [path for path in find_images([data_dir / source]) if "mask" not in str(path).lower()]
    found = 0
    for path in paths[:: len(paths) // 60][:60]:
        pixels = read_image(path).pixels / 255
        seen = pixels**2 if change == "dark" else (pixels - 0.5) * 1.6 + 0.5
        found += find_lettering((255 * seen.clip(0, 1)).astype(np.uint8)) is not None
    assert found <= 4


def test_dirt_pigment_and_a_dark_surround_are_no_lettering(smear: SyntheticSmear) -> None:
    rng = np.random.default_rng(0)
    pixels = smear.image.pixels.copy()
    for _ in range(40):
        x, y = int(rng.integers(640)), int(rng.integers(480))
        cv2.circle(pixels, (x, y), int(rng.integers(1, 7)), (12, 10, 14), -1)
    pixels[:60] = 3
    assert find_lettering(pixels) is None


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (3, 400), (64, 96)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_even_picture_of_any_shape_has_none(shape: tuple[int, int], level: int) -> None:
    assert find_lettering(np.full((*shape, 3), level, np.uint8)) is None


def test_the_reading_says_so(smear: SyntheticSmear) -> None:
    assert find_field(smear.image.pixels).remarks == ()
    field = find_field(_written(smear.image.pixels, BLACK)[0])
    assert field.remarks == ("A scale bar, lettering or a mark drawn in the picture was covered before it was read.",)

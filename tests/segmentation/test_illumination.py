"""Light that falls off towards an edge or a corner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from leuk.data.stains import STYLES
from leuk.data.synthetic import SyntheticSmear, generate
from leuk.image import SmearImage, read_image
from leuk.segmentation import segment
from leuk.segmentation.field import find_field
from leuk.segmentation.illumination import evened, find_illumination

# Of places from -1 to 1 across the field and down it, to the light there.
LIGHTS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "rim": lambda x, y: 1 - 0.35 * (x * x + y * y),
    "side": lambda x, y: 0.75 - 0.25 * x,
    "corner": lambda x, y: 0.675 + 0.1625 * (x + y),
    "lamp": lambda x, y: 0.35 + 0.65 * np.exp(-((x - 0.2) ** 2 + (y + 0.1) ** 2) / 0.9),
}


def _lit(pixels: np.ndarray, light: str) -> np.ndarray:
    height, width = pixels.shape[:2]
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    return np.clip(pixels * LIGHTS[light](x, y)[..., None] + 0.5, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def smear() -> SyntheticSmear:
    return generate(2, 640, 480, style="pre")


@pytest.mark.parametrize("method", ["default", "dye_and_path"])
@pytest.mark.parametrize("light", LIGHTS)
def test_cells_in_uneven_light_are_found(smear: SyntheticSmear, light: str, method: str) -> None:
    found = segment(SmearImage.from_array(_lit(smear.image.pixels, light), "field"), method)
    true = np.unique(smear.instances)[1:]
    met = [found.cell[smear.instances == label].mean() > 0.7 for label in true]
    assert np.mean(met) >= 0.9
    assert len(found.cells) <= len(true) + 1


def test_what_is_measured_of_a_cell_hangs_little_on_the_light(smear: SyntheticSmear) -> None:
    plain = segment(smear.image)
    lit = segment(SmearImage.from_array(_lit(smear.image.pixels, "side"), "field"))
    pairs = [
        (cell, other)
        for cell in plain.cells
        for other in lit.cells
        if np.mean(lit.instances[plain.instances == cell.label] == other.label) > 0.8
    ]
    assert len(pairs) >= 0.8 * len(plain.cells)
    for name in ("chromatin_texture", "basophilia"):
        values = np.array(
            [[getattr(one, name) for one in pair] for pair in pairs if getattr(pair[0], name) is not None]
        )
        assert np.median(np.abs(values[:, 1] / values[:, 0] - 1)) < 0.25
    # The colour is the photograph's, which is darker at one side.
    assert np.mean([other.mean_color[1] / cell.mean_color[1] for cell, other in pairs]) < 0.95


@pytest.mark.parametrize("light", LIGHTS)
def test_the_light_is_measured(smear: SyntheticSmear, light: str) -> None:
    pixels = smear.image.pixels
    found = find_illumination(_lit(pixels, light))
    assert found is not None
    assert found.shape == pixels.shape[:2]
    assert found.dtype == np.float32
    assert found.max() == pytest.approx(1, abs=0.02)
    even = evened(_lit(pixels, light), found)
    assert even.dtype == np.uint8
    assert find_illumination(even) is None
    # The field as it was lit at first, but for its brightness.
    ground = smear.instances == 0
    ratio = even[ground].astype(float) / np.maximum(pixels[ground], 1)
    assert np.std(ratio) < 0.1


EVEN = [name for name, style in STYLES.items() if max(style.vignette) <= 0.15]


@pytest.mark.parametrize("style", EVEN)
@pytest.mark.parametrize("gain", [0.5, 1.0, 1.5])
def test_even_light_is_left_as_it_is(style: str, gain: float) -> None:
    pixels = cv2.convertScaleAbs(generate(3, 320, 240, style=style).image.pixels, alpha=gain)
    field = find_field(pixels)
    assert field.pixels is pixels
    assert field.remarks == ()


def test_a_cell_at_one_side_is_not_taken_for_darkness() -> None:
    smear = generate(1, 160, 160, style="camera", cells=1, cell_diameter=110.0, margin=1.2)
    pixels = np.roll(smear.image.pixels, 40, axis=1)
    assert find_illumination(pixels) is None


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (300, 7), (9, 9), (40, 2000)])
def test_pictures_of_any_size_and_level_are_taken(shape: tuple[int, int]) -> None:
    for level in (0, 128, 255):
        assert find_illumination(np.full((*shape, 3), level, np.uint8)) is None
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert find_field(noise).pixels.shape == noise.shape


def test_light_is_measured_within_the_eyepiece_alone(smear: SyntheticSmear) -> None:
    pixels = _lit(smear.image.pixels, "side")
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width]
    inside = np.hypot(y - height / 2, x - width / 2) < 0.48 * height
    field = find_field(np.where(inside[..., None], pixels, 4).astype(np.uint8))
    assert field.surround is not None
    assert field.darkest < 0.9
    assert len(field.remarks) == 2
    assert all(remark.endswith(".") for remark in field.remarks)
    red, green, blue = (field.pixels[..., i].astype(float) for i in range(3))
    # What was black is background now, and no side is darker than the other.
    assert min(np.median(channel[~inside]) for channel in (red, green, blue)) > 100
    left, right = (np.median(green[inside & side]) for side in (x < width / 2, x >= width / 2))
    assert left == pytest.approx(right, rel=0.06)


def test_real_fields_are_lit_evenly(data_dir: Path) -> None:
    fields = [
        path
        for kind in ("Benign", "Early", "Pre", "Pro")
        for path in sorted((data_dir / "taleqani/Original" / kind).glob("*.jpg"))[3::60]
    ]
    fields += sorted((data_dir / "bccd/images").glob("*"))[::20]
    lit = [find_illumination(read_image(path).pixels) is None for path in fields]
    assert np.mean(lit) >= 0.95

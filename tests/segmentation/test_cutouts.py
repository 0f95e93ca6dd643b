"""Cells cut out of their field and laid on black: told from a field in black, and found by their own outlines."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from leuk.analysis import analyze
from leuk.cells.store import classify_cells
from leuk.cells.values import TYPES
from leuk.data.stains import STYLES
from leuk.data.synthetic import SyntheticSmear, generate
from leuk.image import SmearImage, read_image
from leuk.segmentation import segment
from leuk.segmentation.cutouts import find_cutouts


@pytest.fixture(scope="module", params=["pre", "benign"])
def smear(request: pytest.FixtureRequest) -> SyntheticSmear:
    return generate(5, 640, 480, style=request.param, cells=6)


def cut(pixels: np.ndarray, mask: np.ndarray, side: int | None = None) -> np.ndarray:
    """Lay what a mask holds on black; with a side, its largest part alone, in the middle, over 0.6 of it."""
    if side is None:
        return np.where(mask[..., None], pixels, 0).astype(np.uint8)
    labels, stats = cv2.connectedComponentsWithStats(mask.astype(np.uint8))[1:3]
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    x, y, width, height = stats[largest, :4]
    factor = 0.6 * side / max(width, height)
    matrix = np.array(
        [[factor, 0, side / 2 - factor * (x + width / 2)], [0, factor, side / 2 - factor * (y + height / 2)]]
    )
    shown = cv2.warpAffine(pixels, matrix, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.warpAffine((labels == largest).astype(np.uint8), matrix, (side, side), flags=cv2.INTER_NEAREST)
    return cut(shown, inside > 0)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


@pytest.mark.parametrize("side", [100, 450, 1200])
def test_a_cut_out_cell_is_one_cell_within_its_own_outline(smear: SyntheticSmear, side: int) -> None:
    for label in range(1, len(smear.kinds) + 1):
        own = smear.instances == label
        if own[[0, -1]].any() or own[:, [0, -1]].any():
            continue
        pixels = cut(smear.image.pixels, own, side)
        found = segment(SmearImage.from_array(pixels))
        assert len(found.cells) == 1
        assert dice(found.cell, pixels.any(axis=2)) > 0.98
        nucleus = cut(np.repeat(smear.nucleus[..., None] * np.uint8(255), 3, axis=2), own, side)[..., 0] > 127
        assert dice(found.nucleus, nucleus) > 0.85
        assert not found.cells[0].touches_border


def test_each_cell_of_a_field_without_its_background_is_found(smear: SyntheticSmear) -> None:
    pixels = cut(smear.image.pixels, smear.cell)
    for shown in (pixels, cv2.imdecode(cv2.imencode(".jpg", pixels)[1], cv2.IMREAD_COLOR)):
        cells = find_cutouts(shown)
        assert cells is not None
        assert dice(cells > 0, smear.cell) > 0.97
        assert len(segment(SmearImage.from_array(shown)).cells) >= len(np.unique(cells)) - 2


@pytest.mark.parametrize("style", sorted(STYLES))
def test_a_field_in_black_is_a_field(style: str) -> None:
    pixels = generate(3, 480, 480, style=style).image.pixels
    y, x = np.mgrid[:480, :480]
    circles = [np.hypot(y - cy, x - cx) < r for cy, cx, r in [(240, 240, 110), (240, 240, 235), (200, 170, 230)]]
    frame = np.zeros((480, 480), bool)
    frame[80:-80, 120:-120] = True
    assert find_cutouts(pixels) is None
    for inside in (*circles, frame):
        assert find_cutouts(cut(pixels, inside)) is None


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_even_picture_shows_no_cut_out_cell(level: int) -> None:
    assert find_cutouts(np.full((64, 96, 3), level, np.uint8)) is None


def test_a_red_cell_cut_out_is_no_white_cell() -> None:
    pixels = np.zeros((140, 140, 3), np.uint8)
    cv2.ellipse(pixels, (70, 70), (58, 48), 20, 0, 360, (205, 130, 120), -1)
    cv2.ellipse(pixels, (72, 68), (24, 19), 20, 0, 360, (232, 190, 180), -1)
    assert not segment(SmearImage.from_array(pixels)).cells


def test_a_cell_without_its_field_gets_a_type_and_no_suggestion(smear: SyntheticSmear) -> None:
    found = analyze(SmearImage.from_array(cut(smear.image.pixels, smear.instances == 3, 450)))
    assert found.prediction.cut_out
    assert found.prediction.outside
    assert found.prediction.suggestion == "cannot_tell"
    assert "cut out of their field" in found.prediction.reasons[0]
    assert not any("light" in reason for reason in found.prediction.reasons)
    assert len(found.cell_types) == 1
    whole = analyze(smear.image).prediction
    assert not whole.cut_out


def test_blasts_cut_out_are_told_about_as_well_as_in_their_field(data_dir: Path) -> None:
    # ALL-IDB2, never trained on; one of its annotators drew the outlines.
    nuclei, blasts, others = [], [], []
    for path in sorted((data_dir / "all_idb2/img").glob("*.tif")):
        drawn = cv2.imread(str(data_dir / "all_idb2/masks_a" / path.name), cv2.IMREAD_COLOR)
        cell = drawn.min(axis=2) <= 200
        nucleus = np.repeat(((drawn[..., 1] > 128) & cell)[..., None] * np.uint8(255), 3, axis=2)
        image = SmearImage.from_array(cut(read_image(path).pixels, cell, 450))
        found = segment(image)
        assert len(found.cells) == 1
        nuclei.append(dice(found.nucleus, cut(nucleus, cell, 450)[..., 0] > 127))
        (told,) = classify_cells(image, found)
        (blasts if path.stem.endswith("_1") else others).append(told.probabilities[TYPES.index("blast")])
    assert np.mean(nuclei) > 0.95
    assert np.mean(np.subtract.outer(blasts, others) > 0) > 0.85

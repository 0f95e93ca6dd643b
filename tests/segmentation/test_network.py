"""The trained method: its scale, its tiles, its separation of cells, its weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from leuk.data.synthetic import generate
from leuk.errors import ModelError
from leuk.image import SmearImage
from leuk.models.cards import weights_folder
from leuk.segmentation.default import dye_and_path
from leuk.segmentation.network import (
    SegmenterCard,
    load_segmenter,
    predict,
    redraw,
    save_segmenter,
    separate,
)
from leuk.segmentation.pipeline import find_with
from leuk.segmentation.unet import INPUTS, Segmenter, folded, normalize


class Trusting(torch.nn.Module):
    """Gives back the sketch as it was: what the method makes of perfect maps."""

    stride = 16

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        nucleus, cell = x[:, 3:4], x[:, 4:5]
        return 8 * torch.cat([nucleus, cell, cell], 1)


@pytest.fixture(scope="module")
def network() -> Segmenter:
    torch.manual_seed(3)
    return folded(Segmenter((8, 8, 16, 16, 16)))


def blobs(*places: tuple[float, float, float], size: tuple[int, int] = (120, 200)) -> np.ndarray:
    """Maps of round cells (x, y, radius): nuclei of half the radius, depths that fall to the edge."""
    y, x = np.mgrid[: size[0], : size[1]]
    maps = np.zeros((3, *size), np.float32)
    for cx, cy, radius in places:
        away = np.hypot(x - cx, y - cy) / radius
        maps[0] = np.maximum(maps[0], away < 0.5)
        maps[1] = np.maximum(maps[1], away < 1)
        maps[2] = np.maximum(maps[2], np.clip(1 - away, 0, 1))
    return maps


def test_touching_cells_come_apart_and_one_cell_stays_one() -> None:
    assert len(np.unique(separate(blobs((60, 60, 21), (99, 60, 21)))[1])) == 1 + 2
    assert len(np.unique(separate(blobs((60, 60, 21)))[1])) == 1 + 1


def test_a_part_without_a_nucleus_is_no_cell() -> None:
    maps = blobs((50, 60, 21), (150, 60, 21))
    maps[0, :, 100:] = 0
    labels = separate(maps)[1]
    assert labels[60, 50] > 0
    assert labels[60, 150] == 0


def test_nothing_gives_nothing() -> None:
    nucleus, labels = separate(np.zeros((3, 64, 64), np.float32))
    assert not nucleus.any()
    assert not labels.any()


def test_tiles_leave_no_seam(network: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    from leuk.segmentation import network as module

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (300, 640, 3), dtype=np.uint8)
    sketch = rng.integers(0, 2, (300, 640, 2), dtype=np.uint8) * 255
    monkeypatch.setattr(module, "TILE", 4096)
    whole = predict(network, pixels, sketch)
    monkeypatch.setattr(module, "TILE", 256)
    tiled = predict(network, pixels, sketch)
    assert whole.shape == tiled.shape == (3, 300, 640)
    assert np.abs(whole - tiled).max() < 0.02


@pytest.mark.parametrize("shape", [(9, 9), (37, 61), (120, 64)])
def test_any_size_is_drawn(network: Segmenter, shape: tuple[int, int]) -> None:
    maps = predict(network, np.full((*shape, 3), 200, np.uint8), np.zeros((*shape, 2), np.uint8))
    assert maps.shape == (3, *shape)
    assert np.isfinite(maps).all()


@pytest.mark.parametrize(("size", "cells", "margin"), [(224, 1, 1.2), (256, 6, 0.0)])
def test_perfect_maps_give_the_cells_of_the_sketch(size: int, cells: int, margin: float) -> None:
    smear = generate(4, size, size, style="pre", cells=cells, margin=margin, clustering=0.0)
    nucleus, sketched = dye_and_path(smear.image.pixels)
    labels = redraw(Trusting(), smear.image.pixels, nucleus, sketched)[1]  # type: ignore[arg-type]
    both = 2 * ((sketched > 0) & (labels > 0)).sum() / ((sketched > 0).sum() + (labels > 0).sum())
    assert both > 0.97
    assert len(np.unique(labels)) == len(np.unique(sketched))


@pytest.fixture
def one_view(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have an image seen once, as it stands: `Seeing` does not turn its maps."""
    monkeypatch.setattr("leuk.segmentation.network.LARGEST_VIEWED", 0)


class Seeing(torch.nn.Module):
    """Draws given maps, whatever it is shown."""

    stride = 16

    def __init__(self, maps: np.ndarray) -> None:
        super().__init__()
        self.maps = torch.from_numpy(maps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        drawn = torch.nn.functional.pad(self.maps, (16, 0, 16, 0))
        drawn = torch.nn.functional.pad(drawn, (0, x.shape[3] - drawn.shape[2], 0, x.shape[2] - drawn.shape[1]))
        return 16 * drawn[None] - 8


@pytest.mark.parametrize("turn", [lambda a: a[::-1], lambda a: a[:, ::-1], lambda a: a.swapaxes(0, 1)])
def test_a_small_image_is_drawn_alike_however_it_is_turned(
    turn: Callable[[np.ndarray], np.ndarray],
) -> None:
    smear = generate(5, 128, 128, style="early", cells=1, margin=1.2, cell_diameter=60.0)
    bundled = load_segmenter(weights_folder())
    pixels, nucleus, labels = smear.image.pixels, smear.nucleus, smear.instances.astype(np.int32)
    drawn = redraw(bundled, pixels, nucleus, labels)
    turned = redraw(bundled, *(np.ascontiguousarray(turn(array)) for array in (pixels, nucleus, labels)))
    for one, other in zip(drawn, turned, strict=True):
        assert (turn(one > 0) != (other > 0)).mean() < 2e-4


@pytest.mark.parametrize(("largest", "large"), [(200_000, 10**9), (1000, 0)])
def test_of_a_large_field_what_lies_around_its_cells_is_redrawn_as_the_whole_would_be(
    largest: int, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = load_segmenter(weights_folder())
    smear = generate(3, 1100, 1400, style="early", cells=4, cell_diameter=60.0)
    pixels = smear.image.pixels
    whole = find_with(lambda: bundled, pixels, largest=10**9)[1]
    monkeypatch.setattr("leuk.segmentation.pipeline.LARGE", large)
    shown: list[int] = []
    hook = bundled.register_forward_pre_hook(lambda _, given: shown.append(given[0].shape[2] * given[0].shape[3]))
    around = find_with(lambda: bundled, pixels, largest=largest)[1]
    hook.remove()
    # The network was shown a fraction of the field.
    assert 0 < sum(shown) < 0.35 * pixels.size / 3 * (42 / 60) ** 2
    assert len(np.unique(around)) == len(np.unique(whole)) == 5
    assert 2 * ((around > 0) & (whole > 0)).sum() / ((around > 0).sum() + (whole > 0).sum()) > 0.985
    # Too many cells for the time that a photograph of this size is given: they stay as they were found.
    monkeypatch.setattr("leuk.segmentation.pipeline.LARGE", 10**9)
    left = find_with(lambda: bundled, pixels, largest=1000)[1]
    assert np.array_equal(left, find_with(None, pixels)[1])


@pytest.mark.usefixtures("one_view")
def test_what_the_network_denies_goes_and_what_only_it_sees_comes() -> None:
    maps = blobs((60, 60, 21), (150, 60, 21))
    given = np.zeros((120, 200), np.int32)
    y, x = np.mgrid[:120, :200]
    given[np.hypot(x - 60, y - 60) < 21] = 3
    given[np.hypot(x - 60, y - 105) < 14] = 7
    pixels = np.full((120, 200, 3), 180, np.uint8)
    small_nuclei = (np.hypot(x - 60, y - 60) < 10) | (np.hypot(x - 60, y - 105) < 8)
    labels = redraw(Seeing(maps), pixels, small_nuclei, given)[1]  # type: ignore[arg-type]
    assert labels[60, 60] == 3
    assert labels[60, 150] > 0
    assert not labels[110:, 50:70].any()
    # A speck that only the network sees is no cell; one that was given is.
    speck = blobs((60, 60, 21), (150, 60, 8))
    assert not redraw(Seeing(speck), pixels, small_nuclei, given)[1][:, 120:].any()  # type: ignore[arg-type]
    given[np.hypot(x - 150, y - 60) < 8] = 9
    assert redraw(Seeing(speck), pixels, given > 0, given)[1][60, 150] == 9  # type: ignore[arg-type]


@pytest.mark.usefixtures("one_view")
def test_cells_given_apart_stay_apart() -> None:
    y, x = np.mgrid[:120, :200]
    one, other = np.hypot(x - 70, y - 60) < 21, np.hypot(x - 112, y - 60) < 21
    given = np.where(one, 1, np.where(other, 2, 0)).astype(np.int32)
    # The network draws both as one long cell.
    maps = np.stack([one | other, one | other, one | other]).astype(np.float32)
    pixels = np.full((120, 200, 3), 180, np.uint8)
    labels = redraw(Seeing(maps), pixels, given > 0, given)[1]  # type: ignore[arg-type]
    assert set(np.unique(labels)) == {0, 1, 2}


@pytest.mark.usefixtures("one_view")
@pytest.mark.parametrize(("filled", "several", "cells"), [(0.95, 99, 2), (0.5, 99, 1), (0.5, 4, 2)])
def test_a_clump_comes_apart_if_its_parts_are_blasts_or_of_a_cells_size(
    filled: float, several: int, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leuk.segmentation.network.SEVERAL", several)
    places = [(46, 46), (88, 46), *((46 + 60 * i, 110) for i in range(5))]
    y, x = np.mgrid[:160, :360]
    maps = blobs(*((cx, cy, 21) for cx, cy in places), size=(160, 360))
    maps[0] = np.max([np.hypot(x - cx, y - cy) < 21 * filled for cx, cy in places], axis=0)
    # Those given hold the first two as one.
    given = np.zeros((160, 360), np.int32)
    for label, (cx, cy) in enumerate(places):
        given[np.hypot(x - cx, y - cy) < 21] = max(1, label)
    pixels = np.full((160, 360, 3), 180, np.uint8)
    labels = redraw(Seeing(maps), pixels, maps[0] > 0, given)[1]  # type: ignore[arg-type]
    assert len(np.unique(labels[:80])) == 1 + cells
    assert len(np.unique(labels)) == 1 + cells + 5


def test_an_empty_field_and_a_speck_have_no_cells(network: Segmenter) -> None:
    for shape in ((5, 5), (64, 96)):
        nucleus, labels = find_with(lambda: network, np.full((*shape, 3), 230, np.uint8))
        assert nucleus.shape == labels.shape == shape
        assert not labels.any()


def test_folding_changes_nothing() -> None:
    torch.manual_seed(0)
    network = Segmenter((8, 8, 16)).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    x = torch.randn(1, INPUTS, 32, 32)
    before = network(x).detach()
    torch.testing.assert_close(folded(network)(x), before, rtol=1e-3, atol=1e-3)


def test_light_is_taken_out() -> None:
    x = torch.rand(1, 3, 20, 20) * 0.5 + 0.3
    torch.testing.assert_close(normalize(x), normalize(x * 0.7), rtol=0.1, atol=0.05)


def test_weights_must_be_those_of_the_card(tmp_path: Path) -> None:
    card = SegmenterCard("segmenter", "t", "segmenter", (8, 8, 16), "", 42.0)
    save_segmenter(tmp_path, card, Segmenter((8, 8, 16)))
    load_segmenter(tmp_path)
    load_segmenter.cache_clear()
    content = json.loads((tmp_path / "segmenter.json").read_text(encoding="utf-8"))
    (tmp_path / "segmenter.json").write_text(json.dumps(content | {"sha256": "0" * 64}), encoding="utf-8")
    with pytest.raises(ModelError, match="not the ones"):
        load_segmenter(tmp_path)
    with pytest.raises(ModelError, match="no segmenter.json"):
        load_segmenter(tmp_path / "nowhere")


@pytest.mark.parametrize("seed", [8, 9, 11])
def test_the_bundled_network_draws_what_is_there_as_well_as_its_sketch(seed: int) -> None:
    from leuk.segmentation import segment

    smear = generate(seed, 224, 224, style="early", cells=4, margin=1.2, clustering=0.0)
    found, sketch = segment(smear.image), segment(smear.image, "dye_and_path")

    def dice(a: np.ndarray, b: np.ndarray) -> float:
        return float(2 * (a & b).sum() / (a.sum() + b.sum()))

    assert found.method == "default"
    assert len(found.cells) == 4
    assert dice(found.nucleus, smear.nucleus) > 0.9
    # In field 8 the sketch itself spills (0.74), and the network follows it.
    assert dice(found.cell, smear.cell) > (0.9 if seed != 8 else 0.0)
    assert dice(found.cell, smear.cell) > dice(sketch.cell, smear.cell) - 0.05


def test_the_bundled_network_counts_a_crowd() -> None:
    from leuk.segmentation import segment

    smear = generate(2, 900, 900, style="pre", cells=150, cell_diameter=40.0, red_cells=False, clustering=0.2)
    assert abs(len(segment(smear.image).cells) - 150) <= 12


def test_the_bundled_network_leaves_cells_at_the_border_as_cut() -> None:
    from leuk.segmentation import segment

    smear = generate(6, 160, 160, style="early", cells=1, margin=1.2, cell_diameter=60.0, red_cells=False)
    x0, y0, x1, y1 = segment(smear.image).cells[0].box
    cut = SmearImage.from_array(np.ascontiguousarray(smear.image.pixels[(y0 + y1) // 2 :]))
    assert all(cell.touches_border for cell in segment(cut).cells)
    assert segment(cut).cells


def test_a_photograph_gives_few_cells_at_most() -> None:
    from leuk.segmentation import segment

    # A drawn sunset over grass: no purple dye.
    y, x = np.mgrid[:180, :240]
    sky = np.dstack([255 - y // 3, 180 - y // 2, 90 + y // 4])
    grass = np.dstack([60 + x % 17, 120 + (x * 7 + y * 3) % 40, 40 + y % 9])
    picture = np.where((y > 110)[..., None], grass, sky).clip(0, 255).astype(np.uint8)
    assert len(segment(SmearImage.from_array(picture)).cells) <= 1

"""Leuk's cell reader: what it is shown, and that nothing else reaches it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from leuk.classification import CANNOT_TELL, classify, forward, prepare
from leuk.data.synthetic import generate
from leuk.explanation import EXPLAINERS, explain
from leuk.image import SmearImage
from leuk.models.cards import Card
from leuk.models.cell_reader import SIDE, ZOOM, CellReader, cell_tile, field_density, no_cell, spots
from leuk.models.store import Model, load_model, save_model
from leuk.probability import softmax
from leuk.segmentation import segment

WIDTHS = [8, 8, 16, 16]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A cut-down cell reader with random weights, stored and loaded."""
    torch.manual_seed(3)
    network = CellReader(widths=WIDTHS)
    card = Card(
        name="cells_alone",
        title="Cut-down cell reader",
        architecture="cell_reader",
        arguments={"widths": WIDTHS},
        classes=("benign", "early_pre_b", "pre_b", "pro_b"),
        sha256="",
        tile=SIDE,
        cell_diameter=26.0,
        photo_scale=1.0,
        temperature=0.5,
        familiar=1e6,
        confident=0.0,
        strong=dict.fromkeys(EXPLAINERS, 0.5),
        preprocessing="cells",
        size=SIDE,
        pooled="logits",
    )
    folder: Path = tmp_path_factory.mktemp("weights")
    save_model(folder, card, network, np.zeros((4, 2 * WIDTHS[2])), np.eye(2 * WIDTHS[2]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEUK_WEIGHTS", str(folder))
        return load_model("cells_alone", "cpu")


def test_density_is_free_of_light() -> None:
    pixels = generate(5, 224, 224, style="pre", cells=6).image.pixels
    darker = (pixels * np.array([0.7, 0.6, 0.65])).astype(np.uint8)
    one, other = field_density(pixels), field_density(darker)
    assert one.mean(axis=(0, 1)) == pytest.approx([0, 0, 0], abs=1e-3)
    # A channel that hardly varies is not blown up.
    assert (one.std(axis=(0, 1)) <= 1).all()
    assert (one.std(axis=(0, 1)) > 0.7).all()
    assert np.abs(one - other).mean() < 0.08
    assert np.isfinite(field_density(np.full((9, 9, 3), 200, np.uint8))).all()


def test_surroundings_are_left_out_of_a_tile() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:80, :80]
    own = np.hypot(x - 30, y - 44) < 12
    density = rng.normal(0, 1, (80, 80, 3)).astype(np.float32)
    elsewhere = np.hypot(x - 30, y - 44) > 17
    changed = np.where(elsewhere[..., None], 5.0, density).astype(np.float32)
    tile = cell_tile(density, own, (30.0, 44.0))
    assert tile.shape == (SIDE, SIDE, 4)
    assert tile.dtype == np.uint8
    np.testing.assert_array_equal(tile, cell_tile(changed, own, (30.0, 44.0)))
    outside = tile[..., 3] == 0
    np.testing.assert_array_equal(tile[outside], no_cell()[outside])
    # The cell is in the middle, at its size.
    area = (tile[..., 3] > 127).sum()
    assert own.sum() * ZOOM**2 < area < 1.5 * own.sum() * ZOOM**2
    rows, columns = np.nonzero(tile[..., 3])
    assert (rows.mean(), columns.mean()) == pytest.approx((SIDE / 2 - 0.5,) * 2, abs=0.3)


def test_small_outlines_are_not_read() -> None:
    labels = np.zeros((60, 60), np.int32)
    labels[5:25, 10:30], labels[40:44, 40:44] = 4, 7
    assert spots(labels) == [(4, 19.5, 14.5)]
    assert spots(np.zeros((5, 5), np.int32)) == []


def test_cells_centred_in_the_hidden_corner_are_not_read() -> None:
    labels = np.zeros((224, 224), np.int32)
    labels[200:220, 200:220], labels[180:210, 170:200] = 1, 2
    assert [label for label, _, _ in spots(labels)] == [2]


def test_a_field_is_the_mean_of_its_cells(field: SmearImage, model: Model) -> None:
    segmentation = segment(field)
    view = prepare(field, segmentation, model.card)
    assert view.tiles.shape == (len(segmentation.cells), SIDE, SIDE, 4)
    logits, _ = forward(model, view.tiles)
    found = classify(model, field, segmentation, view)
    assert found.probabilities == pytest.approx(softmax(logits.mean(0)[None], 0.5)[0], abs=1e-6)
    for tile, cell in zip(found.tiles, segmentation.cells, strict=True):
        x0, y0, x1, y1 = tile.box
        assert x0 - 2 <= (cell.box[0] + cell.box[2]) / 2 <= x1 + 2
        assert y0 - 2 <= (cell.box[1] + cell.box[3]) / 2 <= y1 + 2
        assert tile.weight == pytest.approx(1 / len(found.tiles))


def test_a_background_of_another_colour_changes_nothing_but_the_measure(field: SmearImage, model: Model) -> None:
    """With the field's mean and spread kept, what lies between cells has no say."""
    segmentation = segment(field)
    view = prepare(field, segmentation, model.card)
    shuffled = field.pixels.copy()
    away = segmentation.instances == 0
    near = np.zeros_like(away)
    for cell in segmentation.cells:
        x0, y0, x1, y1 = cell.box
        near[max(0, y0 - 6) : y1 + 6, max(0, x0 - 6) : x1 + 6] = True
    corner = np.zeros_like(away)
    corner[150:, 150:] = True
    free = away & ~near & ~corner
    shuffled[free] = np.random.default_rng(1).permutation(shuffled[free])
    moved = prepare(SmearImage.from_array(shuffled, "shuffled"), segmentation, model.card)
    assert np.abs(moved.tiles.astype(int) - view.tiles).max() <= 1


@pytest.mark.parametrize("factor", [3, 5])
def test_enlarged_cells_are_brought_back(field: SmearImage, model: Model, factor: int) -> None:
    large = SmearImage.from_array(np.repeat(np.repeat(field.pixels, factor, axis=0), factor, axis=1), name="large")
    view = prepare(large, segment(large), model.card)
    own = prepare(field, segment(field), model.card)
    assert abs(len(view.tiles) - len(own.tiles)) <= 1
    sizes = [(tiles[..., 3] > 127).sum(axis=(1, 2)).mean() for tiles in (view.tiles, own.tiles)]
    assert 0.6 < sizes[0] / sizes[1] < 1.7


def test_no_cell_no_suggestion(model: Model) -> None:
    image = SmearImage.from_array(np.full((224, 224, 3), 235, np.uint8), name="empty")
    found = classify(model, image, segment(image))
    assert found.suggestion == CANNOT_TELL
    assert any("No white cell" in reason for reason in found.reasons)


def test_cells_too_small_to_read_give_no_suggestion(field: SmearImage, model: Model) -> None:
    """An empty tile has logits too; they must not pass for a reading."""
    segmentation = segment(field)
    tiny = Model(replace(model.card, cell_diameter=4.0), model.network, model.device, model.means, model.precision)
    assert segmentation.cells
    found = classify(tiny, field, segmentation)
    assert found.suggestion == CANNOT_TELL
    assert "large enough" in found.reasons[0]


def test_hundreds_of_cells_are_read_evenly_spread(model: Model) -> None:
    smear = generate(9, 1200, 1000, style="pre", cells=330, cell_diameter=24, overlap=0.0)
    segmentation = segment(smear.image, "dye_and_path")
    view = prepare(smear.image, segmentation, model.card)
    assert len(view.tiles) == min(240, len(segmentation.cells))
    assert view.weights.sum() == pytest.approx(1)


def test_each_vote_names_its_cell_at_the_edge_too(model: Model) -> None:
    smear = generate(9, 600, 500, style="pre", cells=80, cell_diameter=24, overlap=0.0)
    segmentation = segment(smear.image, "dye_and_path")
    cells, tiles = segmentation.cells, classify(model, smear.image, segmentation).tiles
    labels = [tile.cell for tile in tiles]
    assert sorted(set(labels)) == sorted(labels)
    assert any(cells[label - 1].touches_border for label in labels if label is not None)
    for label, tile in zip(labels, tiles, strict=True):
        assert label is not None
        (x0, y0, x1, y1), (left, top, right, foot) = cells[label - 1].box, tile.box
        assert left <= (x0 + x1) / 2 <= right
        assert top <= (y0 + y1) / 2 <= foot


@pytest.mark.parametrize("method", EXPLAINERS)
def test_heat_lies_where_cells_are(field: SmearImage, model: Model, method: str) -> None:
    segmentation = segment(field)
    view = prepare(field, segmentation, model.card)
    maps = explain(model, view, segmentation, method)
    assert tuple(maps) == model.card.classes
    far = cv2.dilate(segmentation.cell.astype(np.uint8), np.ones((17, 17), np.uint8)) == 0
    for found in maps.values():
        heat = cv2.resize(found.heat, (224, 224), interpolation=cv2.INTER_NEAREST)
        assert heat[far].max(initial=0) == 0
    assert max(found.heat.max() for found in maps.values()) > 0


def test_another_model_may_judge_what_is_foreign(
    field: SmearImage, model: Model, small_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From cells alone a picture of another laboratory is not told; the guard sees the whole field."""
    monkeypatch.setenv("LEUK_WEIGHTS", str(small_weights))
    segmentation = segment(field)
    guarded, gone = (
        Model(
            replace(model.card, guard=name, familiar=limit), model.network, model.device, model.means, model.precision
        )
        for name, limit in (("small", 0.0), ("gone", 0.0))
    )
    # The guard of these weights knows everything; without it the model's own limit counts.
    assert not classify(guarded, field, segmentation).outside
    assert classify(gone, field, segmentation).outside

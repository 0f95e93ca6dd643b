"""Reading: scale, tiles, pooling, and when there is nothing to suggest."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from leuk import classification
from leuk.classification import CANNOT_TELL, Prediction, Tile, classify, distance, foreignness, forward, prepare
from leuk.data.synthetic import generate
from leuk.explanation import explain
from leuk.image import SmearImage
from leuk.models.preprocessing import hide_corner
from leuk.models.store import Model
from leuk.probability import softmax
from leuk.segmentation import segment


def _with(model: Model, **changes: object) -> Model:
    return Model(
        replace(model.card, **changes),  # type: ignore[arg-type]
        model.network,
        model.device,
        model.means,
        model.precision,
    )


def test_field_at_the_training_scale_is_one_tile(field: SmearImage, small_model: Model) -> None:
    found = classify(small_model, field, segment(field))
    assert found.classes == small_model.card.classes
    assert sum(found.probabilities) == pytest.approx(1)
    assert [tile.box for tile in found.tiles] == [(0, 0, 224, 224)]
    assert found.tiles[0].probabilities == pytest.approx(found.probabilities)
    assert found.scale == pytest.approx(160 / 224)
    assert found.malignant_probability == pytest.approx(1 - found.probabilities[0])
    assert found.suggestion == found.classes[int(np.argmax(found.probabilities))]


@pytest.mark.parametrize("factor", [4, 6])
def test_enlarged_field_is_brought_back_by_its_cells(field: SmearImage, small_model: Model, factor: int) -> None:
    """A field photographed at several times the size is read at about the scale of the original."""
    large = SmearImage.from_array(np.repeat(np.repeat(field.pixels, factor, axis=0), factor, axis=1), name="large")
    found = classify(small_model, large, segment(large))
    expected = small_model.card.cell_diameter / segment(large).cell_diameter  # type: ignore[operator]
    assert found.scale == pytest.approx(expected)
    assert found.scale < 0.5


def test_specks_in_a_large_picture_do_not_fill_the_memory(
    field: SmearImage, small_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = segment(field)
    assert prepare(field, found, small_model.card).scale > 0.5
    monkeypatch.setattr(classification, "LARGEST_READ", 10_000)
    view = prepare(field, found, small_model.card)
    assert view.height * view.width == pytest.approx(10_000, rel=0.02)


@pytest.mark.parametrize("factor", [0.6, 0.75, 1.4])
def test_only_the_training_size_stands_for_its_magnification(
    field: SmearImage, small_model: Model, factor: float
) -> None:
    """Cells of one kind are half as large again in some training fields; in a photograph of another size they tell."""
    side = round(224 * factor)
    other = SmearImage.from_array(cv2.resize(field.pixels, (side, side), interpolation=cv2.INTER_AREA), name="other")
    measured = segment(other)
    found = classify(small_model, other, measured)
    assert found.scale == pytest.approx(small_model.card.cell_diameter / measured.cell_diameter)  # type: ignore[operator]
    assert classify(small_model, field, segment(field)).scale == small_model.card.photo_scale


def test_large_field_is_read_in_tiles_that_cover_its_cells(small_model: Model) -> None:
    smear = generate(9, 900, 700, style="pre", cells=40, cell_diameter=22)
    segmentation = segment(smear.image)
    found = classify(small_model, smear.image, segmentation)
    assert len(found.tiles) > 4
    assert sum(tile.weight for tile in found.tiles) == pytest.approx(1)
    pooled = sum(np.array(tile.probabilities) * tile.weight for tile in found.tiles)
    assert found.probabilities == pytest.approx(tuple(pooled), abs=1e-6)
    covered = np.zeros((700, 900), bool)
    for x0, y0, x1, y1 in (tile.box for tile in found.tiles):
        covered[y0:y1, x0:x1] = True
    assert covered[segmentation.cell].mean() > 0.95


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (300, 7), (40, 40), (500, 500)])
def test_any_size_is_read(shape: tuple[int, int], small_model: Model) -> None:
    image = SmearImage.from_array(np.full((*shape, 3), 220, np.uint8), name="even")
    found = classify(small_model, image, segment(image))
    assert sum(found.probabilities) == pytest.approx(1)
    for x0, y0, x1, y1 in (tile.box for tile in found.tiles):
        assert 0 <= x0 < x1 <= shape[1]
        assert 0 <= y0 < y1 <= shape[0]


def test_no_cells_no_suggestion(small_model: Model) -> None:
    image = SmearImage.from_array(np.full((224, 224, 3), 235, np.uint8), name="empty")
    found = classify(small_model, image, segment(image))
    assert found.suggestion == CANNOT_TELL
    assert any("No white cell" in reason for reason in found.reasons)


def test_uneven_light_changes_the_reading_little_and_is_said(field: SmearImage, small_model: Model) -> None:
    down = np.linspace(1, 0.5, field.height)[:, None, None]
    dark = SmearImage.from_array((field.pixels * down).astype(np.uint8), "dark below")
    segmentation = segment(field)
    plain, lit = (prepare(image, segmentation, small_model.card).tiles.astype(int) for image in (field, dark))
    assert np.abs(lit - plain).mean() < 12 < np.abs(dark.pixels.astype(int) - field.pixels).mean()
    reading, found = classify(small_model, field, segmentation), classify(small_model, dark, segment(dark))
    assert found.suggestion == reading.suggestion
    assert [reason for reason in found.reasons if "light falls off" in reason]
    assert not [reason for reason in reading.reasons if "light falls off" in reason]


@pytest.mark.parametrize("level", [0, 255])
def test_a_frame_is_no_part_of_the_field(field: SmearImage, small_model: Model, level: int) -> None:
    border = {"top": 30, "bottom": 50, "left": 40, "right": 60}
    framed = cv2.copyMakeBorder(field.pixels, *border.values(), cv2.BORDER_CONSTANT, value=(level,) * 3)
    image = SmearImage.from_array(framed, "framed")
    segmentation = segment(image)
    view = prepare(image, segmentation, small_model.card)
    reading, found = classify(small_model, field, segment(field)), classify(small_model, image, segmentation, view)
    assert found.probabilities == pytest.approx(reading.probabilities, abs=0.1)
    for x0, y0, x1, y1 in (tile.box for tile in found.tiles):
        assert x0 >= 39
        assert y0 >= 29
        assert x1 <= 40 + 224 + 1
        assert y1 <= 30 + 224 + 1
    shown = explain(small_model, view, segmentation)[found.classes[0]]
    # What heat on cells is held against does not shrink as the frame grows.
    assert shown.cells_share == pytest.approx(segmentation.cell[30:254, 40:264].mean(), rel=0.03)
    heat = cv2.resize(shown.heat, (324, 304))
    assert heat[:20].max() == heat[-40:].max() == heat[:, :30].max() == heat[:, -50:].max() == 0
    assert heat[30:254, 40:264].max() > 0


def test_unfamiliar_picture_gets_no_suggestion(field: SmearImage, small_model: Model) -> None:
    found = classify(_with(small_model, familiar=0.0), field, segment(field))
    assert found.outside
    assert found.suggestion == CANNOT_TELL
    assert "outside what the model has learnt from (at more than ten times the limit" in found.reasons[0]


@pytest.mark.parametrize(("times", "words"), [(0.9, None), (1.001, "just past the limit"), (1.9, "at 1.9 times the")])
def test_reason_says_how_far_outside_a_picture_lies(
    field: SmearImage, small_model: Model, times: float, words: str | None
) -> None:
    segmentation = segment(field)
    view = prepare(field, segmentation, small_model.card)
    far, _ = foreignness(small_model, view, forward(small_model, view.tiles)[1])
    found = classify(_with(small_model, familiar=far / times, familiar_means=()), field, segmentation)
    assert found.outside == (words is not None)
    assert words is None or words in found.reasons[0]


def test_many_tiles_are_held_to_less_than_one(small_model: Model) -> None:
    small = generate(5, 224, 224, style="early", cells=6).image
    large = generate(6, 900, 900, style="early", cells=40, cell_diameter=26).image
    known = _with(small_model, familiar=1e6, familiar_means=(1e6, 0.0))
    assert not classify(known, small, segment(small)).outside
    found = classify(known, large, segment(large))
    assert len(found.tiles) > 4
    assert found.outside


def test_limit_of_a_mean_follows_the_number_of_tiles(small_model: Model) -> None:
    card = replace(small_model.card, familiar=1.5, familiar_means=(1.4, 1.3))
    found = [card.familiar_up_to(n) for n in (1, 2**0.5, 2, 2**1.5, 4, 8, 48)]
    assert found == pytest.approx([1.5, 1.45, 1.4, 1.35, 1.3, 1.3, 1.3])
    assert replace(card, familiar_means=()).familiar_up_to(48) == 1.5


def test_close_call_gets_no_suggestion(field: SmearImage, small_model: Model) -> None:
    found = classify(_with(small_model, confident=1.0), field, segment(field))
    assert not found.outside
    assert found.suggestion == CANNOT_TELL
    assert "too close" in found.reasons[0]


def test_scale_bar_does_not_reach_the_network(small_model: Model) -> None:
    plain, barred = (generate(21, 224, 224, style="early", cells=5, scale_bar=bar).image for bar in (False, True))
    segmentation = segment(plain)
    assert (plain.pixels != barred.pixels).any()
    assert classify(small_model, plain, segmentation).probabilities == pytest.approx(
        classify(small_model, barred, segmentation).probabilities
    )


@pytest.mark.parametrize("shape", [(224, 224), (160, 160), (1, 1), (3, 500)])
def test_hidden_corner_keeps_shape_and_input(shape: tuple[int, int]) -> None:
    pixels = np.arange(shape[0] * shape[1] * 3, dtype=np.uint32).astype(np.uint8).reshape(*shape, 3)
    before = pixels.copy()
    hidden = hide_corner(pixels)
    assert hidden.shape == pixels.shape
    np.testing.assert_array_equal(pixels, before)
    if shape == (224, 224):
        assert (hidden[195:, 195:] != pixels[195:, 195:]).any()
        np.testing.assert_array_equal(hidden[:192], pixels[:192])


def test_batches_do_not_change_the_reading(small_model: Model) -> None:
    tiles = np.random.default_rng(0).integers(0, 256, (37, 64, 64, 3), dtype=np.uint8)
    together, _ = forward(small_model, tiles)
    alone = np.concatenate([forward(small_model, tile[None])[0] for tile in tiles])
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_temperature_keeps_order_and_softens() -> None:
    logits = np.array([[2.0, 1.0, 0.0, -1.0]])
    sharp, soft = softmax(logits, 1.0), softmax(logits, 2.0)
    assert soft.max() < sharp.max()
    np.testing.assert_array_equal(np.argsort(sharp), np.argsort(soft))


def test_distance_counts_in_spreads() -> None:
    means = np.array([[0.0, 0.0], [10.0, 0.0]])
    found = distance(np.array([[0, 0], [10, 3], [4, 0]], np.float32), means, np.eye(2))
    assert found == pytest.approx([0, 3 / 2**0.5, 4 / 2**0.5])


def test_view_weights_follow_cells(small_model: Model) -> None:
    smear = generate(9, 900, 700, style="pre", cells=12, cell_diameter=22)
    view = prepare(smear.image, segment(smear.image), small_model.card)
    assert view.weights.sum() == pytest.approx(1)
    assert len(view.tiles) == len(view.places) == len(view.weights)
    assert view.tiles.shape[1:] == (160, 160, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"probabilities": (0.5, 0.5)}, "expected 4 probabilities, got 2"),
        ({"probabilities": (0.5, 0.5, 0.5, 0.5)}, "with sum 1"),
        ({"suggestion": "leukaemia"}, "expected a suggestion among"),
        ({"tiles": ()}, "at least one tile"),
    ],
)
def test_prediction_checks_itself(changes: dict[str, object], message: str) -> None:
    good: dict[str, object] = {
        "model": "small",
        "classes": ("benign", "early_pre_b", "pre_b", "pro_b"),
        "probabilities": (0.25, 0.25, 0.25, 0.25),
        "suggestion": "benign",
        "reasons": (),
        "outside": False,
        "tiles": (Tile((0, 0, 1, 1), (0.25, 0.25, 0.25, 0.25), 1.0),),
        "scale": 1.0,
    }
    Prediction(**good)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        Prediction(**(good | changes))  # type: ignore[arg-type]

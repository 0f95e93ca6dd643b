"""Heat maps: shares, flatness, any class, and equality under threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from leuk.classification import classify, prepare
from leuk.data.synthetic import generate
from leuk.errors import ModelError, OptionError
from leuk.explanation import EXPLAINERS, PLACE_BY_PLACE, Explanation, explain, raw_maps
from leuk.image import SmearImage
from leuk.models.store import Model
from leuk.segmentation import segment


@pytest.fixture(scope="module")
def seen(field: SmearImage, small_model: Model):
    segmentation = segment(field)
    return segmentation, prepare(field, segmentation, small_model.card)


@pytest.mark.parametrize("method", EXPLAINERS)
def test_every_method_maps_every_class(method: str, seen, small_model: Model) -> None:
    segmentation, view = seen
    # The corner of scale bars is covered before a field is read.
    seen_by_networks = np.ones(segmentation.cell.shape, bool)
    seen_by_networks[192:, 191:] = False
    maps = explain(small_model, view, segmentation, method)
    assert tuple(maps) == small_model.card.classes
    for target, found in maps.items():
        assert (found.method, found.target) == (method, target)
        assert found.heat.dtype == np.float32
        assert 0 <= found.heat.min() <= found.heat.max() <= 1
        assert found.heat[-1, -1] == 0
        assert found.cells_share == pytest.approx(segmentation.cell[seen_by_networks].mean(), rel=0.01)
        assert found.heat_on_cells is None or 0 <= found.heat_on_cells <= 1


def test_gradcam_sums_to_the_logit(seen, small_model: Model) -> None:
    """With HiResCAM on a mean-pooled network the map before clipping is the logit, so the clipped one is no less."""
    import torch

    _, view = seen
    maps = raw_maps(small_model, view.tiles, [0, 1, 2, 3], "gradcam")
    from leuk.classification import to_tensor

    logits = small_model.network(to_tensor(view.tiles, small_model.device))
    bias = small_model.network.head.bias
    unclipped_mean = (logits - bias).detach().T
    assert torch.all(torch.from_numpy(maps.mean(axis=(2, 3))) >= unclipped_mean - 1e-3)


@pytest.mark.parametrize("method", EXPLAINERS)
def test_what_goes_place_by_place_is_drawn_on_fine_maps(method: str, seen, small_model: Model) -> None:
    segmentation, view = seen
    side = view.tiles.shape[1] // (4 if method in PLACE_BY_PLACE else 16)
    assert raw_maps(small_model, view.tiles, [1], method).shape == (1, len(view.tiles), side, side)
    assert explain(small_model, view, segmentation, method)["pro_b"].fine == (method in PLACE_BY_PLACE)


def test_weak_heat_is_not_stretched(seen, small_model: Model) -> None:
    """A map of a tenth of the strength is shown at a tenth, where the library alone would stretch it to the full."""
    from dataclasses import replace

    segmentation, view = seen
    strong = explain(small_model, view, segmentation)["benign"].heat.max()
    weaker = Model(
        replace(small_model.card, strong={name: 10 * value for name, value in small_model.card.strong.items()}),
        small_model.network,
        small_model.device,
        small_model.means,
        small_model.precision,
    )
    assert explain(weaker, view, segmentation)["benign"].heat.max() <= max(0.1001, strong / 10 + 1e-4)


def test_heat_is_held_against_what_cells_cover_of_the_tiles_that_were_read(small_model: Model) -> None:
    image = generate(6, 900, 900, style="early", cells=12, cell_diameter=26).image
    segmentation = segment(image)
    view = prepare(image, segmentation, small_model.card)
    read = np.zeros(segmentation.cell.shape, bool)
    for x0, y0, x1, y1 in (tile.box for tile in classify(small_model, image, segmentation, view).tiles):
        read[max(0, y0) : y1, max(0, x0) : x1] = True
    assert read.mean() < 0.8
    found = explain(small_model, view, segmentation, targets=["pro_b"])["pro_b"]
    assert found.cells_share == pytest.approx(segmentation.cell[read].mean(), rel=0.05)
    assert found.cells_share > 1.2 * segmentation.cell.mean()


def test_where_tiles_overlap_one_map_passes_into_the_other(small_model: Model) -> None:
    """At the edge of either tile the heat is the other one's own: a mean of the two would jump there."""
    image = generate(6, 320, 224, style="early", cells=9, cell_diameter=21).image
    segmentation = segment(image)
    view = prepare(image, segmentation, small_model.card)
    across = view.places.index((0, 0)), next(i for i, (x, y) in enumerate(view.places) if x > 0 and y == 0)
    side, x = view.tiles.shape[1], view.places[across[1]][0]
    assert 0 < x < side, "they overlap"

    def heat(*tiles: int) -> np.ndarray:
        which = list(tiles)
        some = replace(
            view,
            tiles=view.tiles[which],
            places=tuple(view.places[i] for i in which),
            weights=np.full(len(which), 1 / len(which)),
            cells=tuple(view.cells[i] for i in which),
        )
        drawn = explain(small_model, some, segmentation, "hirescam", ["pro_b"])["pro_b"].heat
        grid = drawn.shape[1] / view.width
        return drawn[: int(side * grid), [round(x * grid), round((x + side) * grid) - 1]]

    both, left, right = heat(*across), heat(across[0]), heat(across[1])
    apart = np.abs(left - right).max(axis=0)
    assert (apart > 0.05).all(), "or nothing could be told"
    assert np.abs(both[:, 0] - left[:, 0]).max() < 0.1 * apart[0]
    assert np.abs(both[:, 1] - right[:, 1]).max() < 0.1 * apart[1]


def test_a_card_without_the_strength_of_maps_is_one_sentence(seen, small_model: Model) -> None:
    segmentation, view = seen
    card = replace(small_model.card, strong={"gradcam": 1.0})
    with pytest.raises(ModelError, match="does not say how strong maps by layercam are"):
        explain(replace(small_model, card=card), view, segmentation, "layercam")


def test_no_cells_no_share(small_model: Model) -> None:
    blank = SmearImage.from_array(np.full((160, 160, 3), 235, np.uint8), name="blank")
    segmentation = segment(blank)
    found = explain(small_model, prepare(blank, segmentation, small_model.card), segmentation, targets=["pro_b"])
    assert list(found) == ["pro_b"]
    assert found["pro_b"].cells_share == 0
    assert found["pro_b"].heat_on_cells in (None, 0.0)


def test_unknown_method_and_class_are_named(seen, small_model: Model) -> None:
    segmentation, view = seen
    with pytest.raises(OptionError, match="gradcam, gradcam"):
        explain(small_model, view, segmentation, "saliency")
    with pytest.raises(OptionError, match="no class 'mature'"):
        explain(small_model, view, segmentation, targets=["mature"])


@pytest.mark.parametrize(
    ("shape", "dtype"), [((1, 32, 32, 6), np.uint8), ((1, 32, 32), np.uint8), ((1, 32, 32, 3), np.float32)]
)
def test_tiles_of_another_shape_are_refused(shape: tuple[int, ...], dtype: type, small_model: Model) -> None:
    with pytest.raises(ValueError, match=r"expected tiles as uint8 \(T, S, S, 3\)"):
        raw_maps(small_model, np.zeros(shape, dtype), [0], "gradcam")


@pytest.mark.parametrize("method", EXPLAINERS)
def test_threads_get_their_own_maps(method: str, small_model: Model) -> None:
    """Four threads on one model: each of 40 maps equals its single-threaded twin, with forward passes in between."""
    from leuk.classification import forward

    rng = np.random.default_rng(3)
    tiles = [rng.integers(0, 256, (1, 64, 64, 3), dtype=np.uint8) for _ in range(10)]
    jobs = [(tile, target) for tile in tiles for target in range(4)]
    alone = [raw_maps(small_model, tile, [target], method) for tile, target in jobs]
    logits = [forward(small_model, tile)[0] for tile, _ in jobs]

    def both(job: tuple[np.ndarray, int]) -> tuple[np.ndarray, np.ndarray]:
        return raw_maps(small_model, job[0], [job[1]], method), forward(small_model, job[0])[0]

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(both, jobs))
    for (heat, logit), expected_heat, expected_logit in zip(together, alone, logits, strict=True):
        np.testing.assert_array_equal(heat, expected_heat)
        np.testing.assert_array_equal(logit, expected_logit)


def test_explanation_checks_itself() -> None:
    with pytest.raises(ValueError, match="expected heat of 0 … 1"):
        Explanation("gradcam", "benign", np.full((2, 2), 2, np.float32), None, 0.0)
    with pytest.raises(ValueError, match="expected heat as float32"):
        Explanation("gradcam", "benign", np.zeros((2, 2)), None, 0.0)
    with pytest.raises(ValueError, match="expected a method among"):
        Explanation("guess", "benign", np.zeros((2, 2), np.float32), None, 0.0)

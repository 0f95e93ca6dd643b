"""Augmentation and stress: what each step does to a field, and what it must leave alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from leuk.image import SmearImage
from leuk.training.augment import Augmentation, augment, jitter_stain, lab_statistics, recolor, rotate_hue, thin
from leuk.training.stress import STRESSES, swap_stain


def test_same_generator_same_field(field: SmearImage) -> None:
    pool = np.stack([lab_statistics(field.pixels)])
    one, two, other = (
        augment(field.pixels, Augmentation(size=96), np.random.default_rng(seed), pool) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()
    assert (one.shape, one.dtype) == ((96, 96, 3), np.uint8)


def test_recolor_takes_on_the_statistics(field: SmearImage) -> None:
    target = lab_statistics(field.pixels) + np.array([[-20, 6, -6], [0, 0, 0]], np.float32)
    found = lab_statistics(recolor(field.pixels, target))
    np.testing.assert_allclose(found, target, atol=3)


def test_identities(field: SmearImage) -> None:
    same = jitter_stain(field.pixels, np.ones(3), np.zeros(3))
    assert np.abs(same.astype(int) - field.pixels).max() <= 1
    assert np.abs(rotate_hue(field.pixels, 0).astype(int) - field.pixels).mean() < 1.5


@pytest.mark.parametrize("name", STRESSES)
def test_every_stress_changes_the_field_and_keeps_its_form(name: str, field: SmearImage) -> None:
    before = field.pixels.copy()
    stressed = STRESSES[name](field.pixels, np.random.default_rng(0))
    np.testing.assert_array_equal(field.pixels, before)
    assert (stressed.shape, stressed.dtype) == (before.shape, np.uint8)
    assert (stressed != before).any()


def test_stress_is_of_the_size_it_says(field: SmearImage) -> None:
    rng = np.random.default_rng(0)
    mean = field.pixels.mean()
    assert STRESSES["brightness x0.6"](field.pixels, rng).mean() == pytest.approx(0.6 * mean, rel=0.02)
    assert np.ptp(STRESSES["grey"](field.pixels, rng).astype(int), axis=2).max() == 0
    assert (
        cv2.Laplacian(STRESSES["blur 1.5"](field.pixels, rng), cv2.CV_64F).var()
        < 0.3 * cv2.Laplacian(field.pixels, cv2.CV_64F).var()
    )


def test_swap_takes_another_class(field: SmearImage) -> None:
    own = lab_statistics(field.pixels)
    pool = np.stack([own, own + np.array([[-25, 8, -8], [0, 0, 0]], np.float32)])
    swapped = swap_stain(field.pixels, 0, np.array([0, 1]), pool, np.random.default_rng(0))
    assert np.abs(lab_statistics(swapped)[0] - pool[1][0]).max() < 6


def test_a_thinned_field_keeps_some_cells_and_paints_out_the_rest() -> None:
    pixels, erased = np.full((40, 60, 3), 90, np.uint8), np.full((40, 60, 3), 220, np.uint8)
    cells = np.zeros((40, 60), np.uint8)
    for number, x in enumerate((4, 24, 44), start=1):
        cells[12:26, x : x + 10] = number
    left = set()
    for seed in range(20):
        found = thin(pixels, erased, cells, np.random.default_rng(seed))
        middles = {n: found[15:23, x + 3 : x + 7] for n, x in ((1, 4), (2, 24), (3, 44))}
        kept = [n for n, middle in middles.items() if (middle == 90).all()]
        gone = [n for n, middle in middles.items() if (middle == 220).all()]
        assert sorted(kept + gone) == [1, 2, 3]
        assert kept
        assert gone
        assert (found[:6] == 220).all()
        left.add(tuple(kept))
    assert len(left) > 3


def test_a_field_of_one_cell_is_not_thinned() -> None:
    pixels, cells = np.full((20, 20, 3), 90, np.uint8), np.zeros((20, 20), np.uint8)
    cells[5:10, 5:10] = 7
    assert thin(pixels, pixels + 1, cells, np.random.default_rng(0)) is pixels

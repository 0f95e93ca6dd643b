"""Augmentation and stress: what each step does to a field, and what it must leave alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from leuk.image import SmearImage
from leuk.training.augment import Augmentation, augment, jitter_stain, lab_statistics, recolor, rotate_hue
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


@pytest.mark.parametrize("name", STRESSES)
def test_every_stress_takes_a_single_pixel(name: str) -> None:
    assert STRESSES[name](np.full((1, 1, 3), 100, np.uint8), np.random.default_rng(0)).shape == (1, 1, 3)


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

"""The augmentation of whole batches does to a field what the one of single fields does."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from leuk.data.synthetic import STYLES, generate
from leuk.training import augment, augment_batch
from leuk.training.augment import Augmentation


@pytest.fixture(scope="module")
def fields() -> np.ndarray:
    drawn = [generate(seed, style=style).image.pixels for seed, style in enumerate(list(STYLES)[:4])]
    return np.stack([cv2.resize(pixels, (160, 160)) for pixels in drawn])


def as_batch(fields: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(fields).permute(0, 3, 1, 2).float()


def apart(batch: torch.Tensor, fields: list[np.ndarray]) -> float:
    """Mean absolute difference in grey levels."""
    return float((batch.permute(0, 2, 3, 1) - torch.from_numpy(np.stack(fields)).float()).abs().mean())


def test_lab_and_back(fields: np.ndarray) -> None:
    lab = augment_batch.lab_of(as_batch(fields))
    assert apart(lab, [cv2.cvtColor(field, cv2.COLOR_RGB2LAB) for field in fields]) < 1.0
    assert apart(augment_batch.rgb_of(lab), list(fields)) < 0.1
    single = np.stack([augment.lab_statistics(field) for field in fields])
    assert np.allclose(augment_batch.lab_statistics(as_batch(fields)).numpy(), single, atol=1.0)


def test_recolors_alike(fields: np.ndarray) -> None:
    statistics = np.stack([augment.lab_statistics(field) for field in fields[::-1]])
    found = augment_batch.recolor(as_batch(fields), torch.from_numpy(statistics), torch.ones(4, 1, 1, 1))
    wanted = [augment.recolor(field, one) for field, one in zip(fields, statistics, strict=True)]
    assert apart(found, list(fields)) > 3
    assert apart(found, wanted) < 1.5


def test_stains_and_hues_alike(fields: np.ndarray) -> None:
    gains, shifts = np.array([0.7, 1.2, 1.1]), np.array([0.02, -0.01, 0.03])
    tensors = [torch.from_numpy(one).float().expand(4, 3) for one in (gains, shifts)]
    found = augment_batch.jitter_stain(as_batch(fields), *tensors)
    assert apart(found, [augment.jitter_stain(field, gains, shifts) for field in fields]) < 1.0
    turned = augment_batch.rotate_hue(as_batch(fields), torch.full((4, 1, 1, 1), 20.0))
    assert apart(turned, [augment.rotate_hue(field, 20) for field in fields]) < 1.5


def test_camera_alike(fields: np.ndarray) -> None:
    blurred = augment_batch.blur(as_batch(fields), torch.full((4,), 1.5))
    assert apart(blurred, [cv2.GaussianBlur(field, (0, 0), 1.5) for field in fields]) < 0.7
    for quality in (30, 80):
        found = augment_batch.jpeg(as_batch(fields), torch.full((4,), float(quality)))
        wanted = [augment.jpeg(field, quality) for field in fields]
        lost = apart(as_batch(fields), wanted)
        assert apart(found, wanted) < 0.5 * lost + 0.3
        assert apart(found, list(fields)) == pytest.approx(lost, rel=0.35)


def test_places_within_the_field(fields: np.ndarray) -> None:
    torch.manual_seed(0)
    still = Augmentation(size=160, zoom=(1.0, 1.0))
    many = as_batch(fields)[:1].expand(64, -1, -1, -1)
    placed = augment_batch.place(many, still)
    upright = [torch.rot90(many[0], turns, (1, 2)) for turns in range(4)]
    known = torch.stack(upright + [one.flip(2) for one in upright])
    gap = (placed[:, None] - known[None]).abs().mean(dim=(2, 3, 4)).min(1).values
    # Half of the fields are only turned by right angles and mirrored, and lose nothing by it.
    assert 16 < int((gap < 0.05).sum()) < 48
    smaller = augment_batch.place(many, Augmentation(size=96, zoom=(0.6, 0.6)))
    assert smaller.shape == (64, 3, 96, 96)
    assert smaller.mean() == pytest.approx(float(many.mean()), rel=0.05)


def test_same_seed_same_batch(fields: np.ndarray) -> None:
    options = Augmentation(size=128, mild=0.3, bright=0.5, camera=0.5)
    images = torch.from_numpy(fields).permute(0, 3, 1, 2)
    pool = augment_batch.lab_statistics(images.float())
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(augment_batch.augment_batch(images, options, pool))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert found[0].shape == (4, 3, 128, 128)
    assert found[0].isfinite().all()
    assert 0 <= float(found[0].min()) and float(found[0].max()) <= 255


def test_strengths_alike(fields: np.ndarray) -> None:
    """Over many draws a batch is changed about as much as single fields are."""
    options = Augmentation(size=160, zoom=(1.0, 1.0), mild=0.4, bright=0.4)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    pool = np.stack([augment.lab_statistics(field) for field in fields])
    images = torch.from_numpy(fields).permute(0, 3, 1, 2).repeat(40, 1, 1, 1)
    batch = augment_batch.augment_batch(images, options, torch.from_numpy(pool))
    single = np.stack([augment.augment(field, options, rng, pool) for field in np.tile(fields, (40, 1, 1, 1))])
    means, spreads = single.mean(axis=(1, 2)), single.std(axis=(1, 2))
    assert np.allclose(batch.mean(dim=(2, 3)).mean(0), means.mean(0), atol=8)
    assert np.allclose(batch.mean(dim=(2, 3)).std(0), means.std(0), rtol=0.25)
    assert np.allclose(batch.std(dim=(2, 3)).mean(0), spreads.mean(0), rtol=0.15)

"""A small run on synthetic smears: it learns, and a stopped run ends like an undisturbed one."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from leuk.data.synthetic import generate
from leuk.errors import DataError
from leuk.training.augment import Augmentation
from leuk.training.train import OnDevice, Recipe, train

RECIPE = Recipe(
    epochs=3,
    batch=8,
    precision="float32",
    network={"widths": [8, 8, 16, 16]},
    augmentation=Augmentation(size=64, zoom=(0.9, 1.2)),
)


@pytest.fixture(scope="module")
def fields() -> tuple[np.ndarray, np.ndarray]:
    """Thirty-two small fields of two looks."""
    looks = [(0, "benign"), (1, "pre")]
    drawn = [
        generate(10 * seed + label, 64, 64, style=style, cells=2, cell_diameter=18).image.pixels
        for seed in range(16)
        for label, style in looks
    ]
    return np.stack(drawn), np.tile([0, 1], 16)


class Stopped(Exception):
    """Stands for a kill between epochs."""


def test_resumed_run_ends_like_an_undisturbed_one(fields: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    pixels, labels = fields
    whole = train(pixels, labels, RECIPE, tmp_path / "whole", classes=2)

    def stop(row: dict[str, float]) -> None:
        if row["epoch"] == 2:
            raise Stopped

    with pytest.raises(Stopped):
        train(pixels, labels, RECIPE, tmp_path / "cut", classes=2, report=stop)
    resumed = train(pixels, labels, RECIPE, tmp_path / "cut", classes=2, resume=True)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, msg=name)
    with (tmp_path / "cut" / "log.csv").open(encoding="utf-8") as stream:
        assert [row["epoch"] for row in csv.DictReader(stream)] == ["1", "2", "3"]


def test_half_a_checkpoint_is_never_left(fields: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    """A kill while writing leaves the part file beside a whole checkpoint, and the run goes on from that."""
    pixels, labels = fields
    short = replace(RECIPE, epochs=1)
    train(pixels, labels, short, tmp_path, classes=2)
    (tmp_path / "checkpoint.part").write_bytes(b"half")
    train(pixels, labels, short, tmp_path, classes=2, resume=True)


def test_it_learns_what_can_be_seen(fields: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    pixels, labels = fields
    calm = replace(RECIPE.augmentation, mild=1.0, camera=0.0)
    network = train(pixels, labels, replace(RECIPE, epochs=20, augmentation=calm), tmp_path, classes=2)
    with torch.inference_mode():
        found = network(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255).argmax(1).numpy()
    assert (found == labels).mean() > 0.9


def test_blank_pictures_are_learnt_as_undecided(fields: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    pixels, labels = fields
    blanks = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), dtype=np.uint8)
    calm = replace(RECIPE.augmentation, mild=1.0, camera=0.0)
    recipe = replace(RECIPE, epochs=60, blank=0.8, rate=4e-3, smoothing=0.0, augmentation=calm)
    network = train(pixels, labels, recipe, tmp_path, classes=2, blanks=blanks)
    with torch.inference_mode():
        batches = [torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255 for x in (pixels, blanks)]
        sure, unsure = (network(x).softmax(1).max(1).values.mean() for x in batches)
    assert unsure < 0.6 < 0.8 < sure


def test_other_recipe_is_not_resumed(fields: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    pixels, labels = fields
    train(pixels, labels, replace(RECIPE, epochs=1), tmp_path, classes=2)
    with pytest.raises(DataError, match="another recipe"):
        train(pixels, labels, replace(RECIPE, epochs=1, rate=0.1), tmp_path, classes=2, resume=True)


def test_class_without_fields_is_refused(fields: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="have no field to train on"):
        train(*fields, RECIPE, tmp_path, classes=3)


def test_too_few_fields_for_a_step_are_refused(fields: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    few = slice(0, RECIPE.batch - 1)
    labels = np.arange(RECIPE.batch - 1) % 2
    with pytest.raises(DataError, match=f"There are {RECIPE.batch - 1} fields to train on, .* takes {RECIPE.batch}"):
        train(fields[0][few], labels, RECIPE, tmp_path, classes=2)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_batches_made_on_a_device(fields: tuple[np.ndarray, np.ndarray]) -> None:
    """What a GPU is given: as many fields and blanks as on a processor, the same draw each time, and even targets."""
    pixels, labels = fields
    recipe = replace(RECIPE, blank=0.25)
    there = OnDevice(pixels, pixels[:3], torch.device("cpu"))
    runs = []
    for epoch in (0, 0, 1):
        torch.manual_seed(epoch)
        runs.append(list(there.batches(labels, 2, recipe, epoch)))
    assert len(runs[0]) == 4
    for images, target in runs[0]:
        assert images.shape == (10, 3, 64, 64)
        assert 0 <= float(images.min()) and float(images.max()) <= 1
        torch.testing.assert_close(target.sum(1), torch.ones(10))
        torch.testing.assert_close(target[8:], torch.full((2, 2), 0.5))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(runs[0], runs[1], strict=True))
    assert not torch.equal(runs[0][0][0], runs[2][0][0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_trains_on_a_gpu(fields: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    pixels, labels = fields
    recipe = replace(RECIPE, epochs=30, precision="auto")
    network = train(pixels, labels, recipe, tmp_path, classes=2, device=torch.device("cuda")).cpu()
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        assert (network(images).argmax(1).numpy() == labels).mean() > 0.8

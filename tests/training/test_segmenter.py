"""Training of the segmenter: what it is shown, and that a stopped run goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from leuk.errors import DataError
from leuk.training.segmenter import Recipe, depth_map, empty_examples, make_example, synthetic_examples, train

SMALL = Recipe(
    steps=4, stage=2, batch=2, crop=32, widths=(8, 8, 16), shares={"synthetic": 1.0}, precision="float32", average=0.5
)


def test_depth_falls_to_the_edge_and_between_neighbours() -> None:
    labels = np.zeros((40, 60), np.int32)
    labels[5:35, 10:30], labels[5:35, 30:50] = 1, 2
    depth = depth_map(labels)
    assert depth[20, 20] > 0.8
    assert depth[20, 29] < 0.1
    assert depth[20, 30] < 0.1
    assert not depth[labels == 0].any()


def test_examples_are_of_one_scale() -> None:
    labels = np.zeros((300, 300), np.int32)
    y, x = np.mgrid[:300, :300]
    labels[np.hypot(x - 150, y - 150) < 104] = 1
    example = make_example(np.full((300, 300, 3), 220, np.uint8), labels > 0, labels, "bccd", "a")
    assert example.pixels.shape == (75, 75, 3)
    assert 2 * np.sqrt((example.truth[..., 1] > 127).sum() / np.pi) == pytest.approx(52, abs=1)


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    examples = list(synthetic_examples(3))
    whole = train(examples, SMALL, tmp_path / "whole").state_dict()

    class Stopped(Exception):
        pass

    def stop(_: dict[str, float]) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        train(examples, SMALL, tmp_path / "part", report=stop)
    resumed = train(examples, SMALL, tmp_path / "part", resume=True).state_dict()
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, rtol=1e-4, atol=1e-5)


def test_another_recipe_does_not_resume(tmp_path: Path) -> None:
    import dataclasses

    examples = list(synthetic_examples(2))
    train(examples, dataclasses.replace(SMALL, steps=2), tmp_path)
    with pytest.raises(DataError, match="another recipe"):
        train(examples, SMALL, tmp_path, resume=True)


def test_nothing_to_train_on_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no image"):
        train([], SMALL, tmp_path)
    assert list(empty_examples([])) == []

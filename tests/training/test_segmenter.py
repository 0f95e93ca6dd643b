"""Training of the segmenter: what it is shown, and that a stopped run goes on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from leuk.data.synthetic import generate
from leuk.errors import DataError
from leuk.segmentation.network import load_segmenter, read_segmenter_card
from leuk.segmentation.unet import Segmenter
from leuk.training.segmenter import (
    DRAWN,
    Example,
    Recipe,
    depth_map,
    empty_examples,
    finish,
    fit,
    held_in,
    make_example,
    synthetic_examples,
    train,
)

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
    examples = list(synthetic_examples(2))
    train(examples, dataclasses.replace(SMALL, steps=2), tmp_path)
    with pytest.raises(DataError, match="another recipe"):
        train(examples, SMALL, tmp_path, resume=True)


@pytest.mark.parametrize("mild", [0.0, 1.0])
def test_mild_crops_keep_the_colours_they_were_photographed_in(
    mild: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = []
    monkeypatch.setattr("leuk.training.segmenter.restained", lambda pixels, *_: changed.append(1) or pixels)
    train(list(synthetic_examples(2)), dataclasses.replace(SMALL, steps=2, mild=mild), tmp_path)
    assert len(changed) == (0 if mild else 2 * SMALL.batch)


def test_nothing_to_train_on_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no image"):
        train([], SMALL, tmp_path)
    assert list(empty_examples([])) == []


def write_set(folder: Path) -> None:
    """Draw a data folder of every source that training uses, a few images each."""
    numbers = iter(range(100))

    def smear(path: Path, mask: Path | None = None, size: int = 96) -> None:
        one = generate(next(numbers), size, size, style="early", cells=2, cell_diameter=34)
        for file, content in ((path, one.image.pixels), (mask, one.mask())):
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(content).save(file)

    for number in range(6):
        for name in ("dataset1", "dataset2"):
            path = folder / "zheng" / name / f"{number:03}.bmp"
            smear(path, path.with_suffix(".png"))
        smear(folder / f"bccd/images/{number}.jpg", folder / f"bccd/masks/{number}.png")
    for kind in ("Benign", "Early", "Pre", "Pro"):
        smear(folder / f"taleqani/Original/{kind}/a.jpg", size=160)
    for kind in ("basophil", "eosinophil", "erythroblast", "ig", "lymphocyte", "monocyte", "neutrophil", "platelet"):
        smear(folder / f"pbc/{kind}/a.jpg")
    for kind in ("photo", "xray", "microscopy_other"):
        smear(folder / f"ood/{kind}/a.png")


def test_a_segmenter_is_trained_measured_and_written(tmp_path: Path) -> None:
    write_set(tmp_path / "data")
    first = dataclasses.replace(SMALL, shares={"synthetic": 0.5, "taleqani": 0.5}, withheld=1.0)
    last = dataclasses.replace(SMALL, shares={"zheng1": 0.4, "zheng2": 0.3, "bccd": 0.3}, seed=2)
    told: list[str] = []
    network = fit(tmp_path / "data", tmp_path / "run", cycles=(first, last), drawn=3, tell=told.append)
    assert "zheng1: 6 images" in told
    assert any(line.startswith("cycle 2, step 4") for line in told)
    card = finish(network, tmp_path / "run", tmp_path / "data", (first, last))
    measured = card.metrics["held-out fifth, Dice"]
    # Of six, the first and the sixth are left out.
    assert {source: found["images"] for source, found in measured.items()} == dict.fromkeys(DRAWN, 2)
    assert all(0 <= found[part] <= 1 for found in measured.values() for part in ("nucleus", "cell"))
    assert read_segmenter_card(tmp_path / "run/segmenter.json").widths == SMALL.widths
    assert load_segmenter(tmp_path / "run").stride == 4


def test_a_cycle_begins_with_the_mean_of_those_that_it_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []

    def train(examples: object, recipe: Recipe, folder: Path, *, initial: object, **options: object) -> Segmenter:
        begun.append(initial and float(next(iter(initial.values())).mean()))
        network = Segmenter(recipe.widths)
        with torch.no_grad():
            next(network.parameters()).fill_(recipe.seed)
        return network

    monkeypatch.setattr("leuk.training.segmenter.train", train)
    write_set(tmp_path / "data")
    cycles = [dataclasses.replace(SMALL, seed=seed, follows=follows) for seed, follows in ((2, 1), (4, 1), (7, 2))]
    fit(tmp_path / "data", tmp_path / "run", cycles=cycles, drawn=1)
    assert begun == [None, 2, 3]


def test_every_fifth_drawn_image_is_held_out() -> None:
    def example(source: str, number: int) -> Example:
        return Example(*(np.zeros((2, 2, 3), np.uint8),) * 3, source, str(number))

    given = [example(source, number) for source in ("zheng1", "synthetic", "bccd") for number in range(11)]
    kept = {(one.source, one.name) for one in held_in(given)}
    left = {(one.source, one.name) for one in given} - kept
    assert left == {(source, name) for source in ("zheng1", "bccd") for name in ("0", "5", "10")}

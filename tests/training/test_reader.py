"""The whole way from a folder of fields to weights that `analyze` loads, in small."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from leuk.analysis import analyze
from leuk.cli import MISUSED, READ, main
from leuk.data.datasets import random_folds
from leuk.data.taleqani import CLASSES, Fields, load_fields
from leuk.errors import DataError
from leuk.explanation import EXPLAINERS
from leuk.image import SmearImage
from leuk.models.reader import Reader, grown
from leuk.training import mosaics, reader
from leuk.training.evaluate import read_elsewhere, record_reader
from leuk.training.predictions import predictions_path, read_predictions
from leuk.training.results import read_result

SMALL = replace(reader.RECIPE, epochs=1, batch=4, precision="float32", network={"widths": [8, 8, 16, 16]})
DEEPER = replace(SMALL, network={**SMALL.network, "blocks": [1, 2, 3]})


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """Two types of single cells, one round and grey, the other dark in its lower half, on pictures of two shapes."""
    for number, name in enumerate(("lymphocyte", "lymphocyte", "monocyte", "monocyte")):
        (tmp_path / "cells" / name).mkdir(parents=True, exist_ok=True)
        pixels = np.full((120, 120 + 40 * (number % 2), 3), 200, np.uint8)
        pixels[60 if name == "monocyte" else 0 :] = 90
        cv2.imwrite(str(tmp_path / "cells" / name / f"{number}.png"), pixels)
    return tmp_path / "cells"


def test_mosaics_show_cells_of_one_type_and_every_type(cells: Path) -> None:
    found = mosaics.gather(cells, 160)
    assert found.types == ("lymphocyte", "monocyte")
    assert found.pixels.shape == (4, 54, 54, 3)
    pixels, labels = mosaics.mosaics(found, 160, 6)
    assert pixels.shape == (6, 160, 160, 3)
    assert labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert (pixels[labels == 0] == 90).all()
    # Each cell lies turned as chance has it: half of it is dark whichever way.
    corner = pixels[labels == 1][:, :54, :54]
    np.testing.assert_allclose((corner == 90).mean(axis=(1, 2, 3)), 0.5, atol=0.02)
    assert (mosaics.mosaics(found, 160, 6)[0] == pixels).all()


def test_a_run_keeps_to_what_it_was_begun_from(
    folder: Path, cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mosaics, "MOSAICS", 8)
    fields, found = load_fields(folder), mosaics.gather(cells, reader.TILE)

    def fit(run: str, begin: mosaics.SingleCells | None) -> None:
        reader.fit(fields, tmp_path / run, cells=begin, cycles=(SMALL,), parts=("0",), tell=lambda line: None)

    fit("cells", found)
    fit("random", None)
    first = mosaics.weights(tmp_path / "cells" / reader.CELLS, SMALL, len(CLASSES))
    assert first["head.weight"].shape[0] == len(CLASSES)
    networks = [reader.load_network(tmp_path / run, "0", SMALL).state_dict() for run in ("cells", "random")]
    near, far = (float((one["stem.0.weight"] - first["stem.0.weight"]).abs().mean()) for one in networks)
    assert near < far / 2
    (cells / "monocyte" / "2.png").unlink()
    for run, begin, told in (
        ("cells", None, "was begun from types of cells"),
        ("random", found, "was begun from random weights"),
        ("cells", mosaics.gather(cells, reader.TILE), "begun with other cells in --begin"),
    ):
        with pytest.raises(DataError, match=told):
            fit(run, begin)


def test_cells_that_teach_nothing_are_refused(cells: Path) -> None:
    (cells / "monocyte" / "2.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"monocyte/2.png in .* can't be read"):
        mosaics.gather(cells, reader.TILE)
    shutil.rmtree(cells / "monocyte")
    with pytest.raises(DataError, match="one type of cells"):
        mosaics.gather(cells, reader.TILE)


def test_from_fields_to_weights_and_back(
    folder: Path,
    cells: Path,
    field: SmearImage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fields = load_fields(folder)
    told: list[str] = []
    others = reader.pictures_in(folder / "others")
    assert len(others) == 1
    monkeypatch.setattr(mosaics, "MOSAICS", 8)

    def fit() -> None:
        reader.fit(
            fields,
            tmp_path / "run",
            others=others,
            cells=mosaics.gather(cells, reader.TILE),
            cycles=(SMALL, DEEPER),
            parts=("0", "1", "all"),
            tell=told.append,
        )

    fit()
    assert sum("epoch 1" in line for line in told) == 7
    # What is done is not done again.
    told.clear()
    fit()
    assert told == []

    card = reader.finish(fields, tmp_path / "run", tmp_path / "weights", (SMALL, DEEPER), tell=told.append)
    assert card.classes == CLASSES
    assert set(card.strong) == set(EXPLAINERS)
    assert min(card.strong.values()) > 0
    assert list(card.familiar_means) == sorted(card.familiar_means, reverse=True)
    assert len(card.familiar_means) == 3
    assert card.familiar_means[0] <= card.familiar
    assert card.metrics["fields"] == 16
    assert np.sum(card.metrics["confusion"]) == 16
    # These are no fields of the public set, and the card doesn't say so.
    assert "Taleqani" not in json.dumps(card.training)
    assert not any("one hospital" in limit or "ALL-IDB1" in limit for limit in card.limits)
    assert {"grey", "JPEG 40", "stain swap"} <= set(card.metrics["stress_accuracy"])
    written = json.loads((tmp_path / "weights" / "reader.json").read_text("utf-8"))
    assert written["training"]["data_sha256"] == reader.fingerprint(fields)
    assert written["training"]["begun_from"]["types"] == ["lymphocyte", "monocyte"]
    assert written["training"]["begun_from"]["cells"] == 4

    monkeypatch.setenv("LEUK_WEIGHTS", str(tmp_path / "weights"))
    found = analyze(field, explain="gradcam", device="cpu")
    assert found.prediction.classes == CLASSES
    assert tuple(found.explanations) == CLASSES

    # The folds come along: whoever has the fields gets the card's figures without training.
    command = ["evaluate", "reader", "--data", str(folder), "--out", str(tmp_path / "again")]
    assert main(command) == READ
    again = read_result(predictions_path("reader", "grouped", tmp_path / "again"))
    assert again["run"]["begun_from"] == "2 types of cells"
    # What it was begun from is no other laboratory's to it.
    shutil.copytree(cells, tmp_path / "clinic" / "cells")
    for place, seen in ((tmp_path / "clinic" / "cells", True), (tmp_path / "clinic", None)):
        assert read_elsewhere("reader", place).get("seen") is seen
    assert again["figures"]["confusion"] == written["metrics"]["confusion"]
    assert {name: one["value"] for name, one in again["stress"].items()} | {
        "stain swap": again["stain_swap"]["value"]
    } == pytest.approx(written["metrics"]["stress_accuracy"])
    assert main([*command, "--partition", "random"]) == MISUSED
    other = tmp_path / "weights" / "reader.folds.safetensors"
    other.write_bytes(other.read_bytes()[:-1] + b"x")
    assert main(command) == MISUSED
    assert "the reader's folds are not the ones its card describes" in capsys.readouterr().err


def test_a_grown_reader_begins_where_the_smaller_one_stood() -> None:
    torch.manual_seed(4)
    small, large = (Reader(blocks=blocks).eval() for blocks in ((1, 1, 1), (2, 1, 3)))
    images = torch.rand(2, 3, 64, 64)
    assert not torch.equal(small(images), large(images))
    large.load_state_dict(grown(small.state_dict(), small.blocks, large))
    torch.testing.assert_close(large(images), small(images))
    large.train()(images).sum().backward()
    # What was added learns from the first step on.
    assert all(block.norm2.weight.grad.abs().max() > 0 for block in large.stages)


def test_where_nothing_is_read_benign_is_as_likely_as_said() -> None:
    labels = np.repeat(np.arange(4), [4, 9, 16, 25])
    # A network that has learnt nothing but how often it met each class: the square roots.
    bias = torch.tensor([2.0, 3.0, 4.0, 5.0]).log()
    found = reader.level({"head.bias": bias, "head.weight": bias}, labels, balance=0.5)
    np.testing.assert_allclose(found["head.bias"].softmax(0), [0.4, 0.2, 0.2, 0.2], atol=1e-6)
    assert torch.equal(found["head.weight"], bias)


def test_out_of_fold_means_unseen(folder: Path, tmp_path: Path) -> None:
    """A field's out-of-fold logits come from the network of its own fold, which was trained on the others."""
    fields = load_fields(folder)
    reader.fit(fields, tmp_path, cycles=(SMALL,), parts=("0", "1"), tell=lambda line: None)
    networks = reader.fold_networks(fields, tmp_path, SMALL)
    painted = reader.painted_out(fields, tmp_path).__getitem__
    outcome = reader.predict_out_of_fold(fields, networks, painted, lambda line: None)
    found = outcome["logits"]["as photographed"]
    for fold in (0, 1):
        held = np.flatnonzero(fields.folds == fold)
        expected, _ = reader.run_network(networks[fold], [reader.shrink(fields.pixels[i]) for i in held])
        np.testing.assert_allclose(found[held], expected, atol=1e-5)


def test_a_run_of_one_fold_is_read_in_that_fold_alone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = load_fields(folder)
    with pytest.raises(DataError, match="no trained fold"):
        reader.fold_networks(fields, tmp_path / "run", SMALL)
    reader.fit(fields, tmp_path / "run", cycles=(SMALL,), parts=("1",), tell=lambda line: None)
    networks = reader.fold_networks(fields, tmp_path / "run", SMALL)
    erased = reader.painted_out(fields, tmp_path / "run").__getitem__
    outcome = reader.predict_out_of_fold(fields, networks, erased, tell=lambda line: None)
    held = fields.folds == 1
    assert np.isnan(outcome["logits"]["grey"][~held]).all()
    assert not np.isnan(outcome["logits"]["grey"][held]).any()

    monkeypatch.setenv("LEUK_WEIGHTS", str(tmp_path / "weights"))
    assert record_reader(outcome, fields, "random")["figures"]["fields"] == held.sum()
    assert read_predictions(predictions_path("reader", "random")).files == tuple(np.array(fields.files)[held])

    for change in (
        {"folds": 1 - fields.folds},
        {"labels": (fields.labels + 1) % len(CLASSES)},
        {"pixels": 255 - fields.pixels},
        {"files": fields.files[::-1]},
    ):
        other = replace(fields, **change)
        with pytest.raises(DataError, match="other fields or another partition"):
            reader.fit(other, tmp_path / "run", cycles=(SMALL,), parts=("1",))
        with pytest.raises(DataError, match="other fields or another partition"):
            reader.painted_out(other, tmp_path / "run")
    with pytest.raises(DataError, match="other pictures in --others"):
        reader.fit(fields, tmp_path / "run", others=[folder / "others" / "noise.png"], cycles=(SMALL,), parts=("1",))


def test_a_folder_without_pictures_is_refused(folder: Path, tmp_path: Path) -> None:
    assert [path.name for path in reader.pictures_in(folder / "others")] == ["noise.png"]
    for empty in (tmp_path, tmp_path / "typo"):
        with pytest.raises(DataError, match="no folder of pictures; name one with --others"):
            reader.pictures_in(empty)


def test_the_command_trains_chosen_folds_of_either_partition(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: dict[str, object] = {}

    def fit(fields: Fields, run: Path, **options: object) -> None:
        seen.update(options, folds=fields.folds)

    monkeypatch.setattr(reader, "fit", fit)
    command = ["train", "reader", "--data", str(folder), "--run", str(tmp_path / "run")]
    assert main([*command, "--partition", "random", "--folds", "0"]) == READ
    assert seen["parts"] == ["0"]
    assert (seen["folds"] == random_folds(load_fields(folder).labels)).all()
    assert "python -m leuk evaluate reader" in capsys.readouterr().out
    for wrong, told in ((["--folds", "7"], "a fold that is not there"), (["--epochs", "3"], "--epochs does not apply")):
        assert main([*command, *wrong]) == MISUSED
        assert told in capsys.readouterr().err
    for system in ("cells", "segmenter"):
        assert main(["train", system, "--data", str(folder), "--partition", "random"]) == MISUSED
        assert f"--partition does not apply to {system}" in capsys.readouterr().err
    for system in ("cells", "segmenter", "cell_reader"):
        assert main(["train", system, "--data", str(folder), "--device", "cuda"]) == MISUSED
        assert f"--device does not apply to {system}" in capsys.readouterr().err
    for system in ("cell_reader", "simple_cnn"):
        assert main(["train", system, "--data", str(folder), "--begin", str(folder)]) == MISUSED
        assert f"--begin does not apply to {system}" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["0", "all"])
def test_a_damaged_network_of_a_run_is_named(part: str, tmp_path: Path) -> None:
    (tmp_path / part).mkdir()
    (tmp_path / part / "network.safetensors").write_bytes(b"cut short")
    with pytest.raises(DataError, match="network.safetensors is damaged"):
        reader.load_network(tmp_path, part)

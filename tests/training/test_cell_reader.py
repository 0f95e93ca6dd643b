"""From labelled fields to a cell reader that `analyze` loads, in small."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from leuk.analysis import analyze
from leuk.cli import MISUSED, READ, main
from leuk.data.synthetic import generate
from leuk.data.taleqani import CLASSES, Fields, load_fields
from leuk.errors import DataError
from leuk.image import SmearImage
from leuk.models.cards import read_card
from leuk.training import cell_reader, evaluate
from leuk.training.predictions import read_predictions

SMALL = replace(cell_reader.RECIPE, epochs=2, batch=4, cells=3, precision="float32", network={"widths": [8, 8, 16, 16]})


def quiet(line: str) -> None:
    """Tell nobody."""


@pytest.fixture(scope="module")
def fields(folder: Path) -> Fields:
    """The fields of that set."""
    return load_fields(folder)


@pytest.fixture(scope="module")
def run(fields: Fields, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run of both folds."""
    where = tmp_path_factory.mktemp("run")
    cell_reader.fit(fields, where, recipe=SMALL, tell=quiet)
    return where


def test_what_is_done_is_not_done_again(fields: Fields, run: Path) -> None:
    told: list[str] = []
    cell_reader.fit(fields, run, recipe=SMALL, tell=told.append)
    assert told == []
    with pytest.raises(DataError, match="belongs to other fields"):
        cell_reader.fit(replace(fields, files=fields.files[::-1]), run, recipe=SMALL)
    with pytest.raises(DataError, match="or another partition"):
        cell_reader.predict_out_of_fold(replace(fields, folds=fields.folds[::-1]), run, recipe=SMALL)
    with pytest.raises(DataError, match="other fields, labels"):
        cell_reader.fit(replace(fields, labels=fields.labels[::-1]), run, recipe=SMALL)


def test_too_few_fields_for_a_step_are_refused(fields: Fields, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There are 8 fields to train on, and a single step takes 32"):
        cell_reader.fit(fields, tmp_path, recipe=replace(SMALL, batch=32), tell=quiet)
    assert not (tmp_path / "0" / "network.safetensors").exists()


def test_a_stopped_training_ends_like_an_undisturbed_one(fields: Fields, run: Path, tmp_path: Path) -> None:
    outlines = cell_reader.outlines_of(fields, run, quiet)

    class Stopped(Exception):
        """Stands for a kill between epochs."""

    def stop(row: dict[str, float]) -> None:
        raise Stopped

    data = fields.pixels, outlines, fields.labels, SMALL
    whole = cell_reader.train(*data, tmp_path / "whole")
    with pytest.raises(Stopped):
        cell_reader.train(*data, tmp_path / "cut", report=stop)
    resumed = cell_reader.train(*data, tmp_path / "cut", resume=True)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, msg=name)


def test_it_learns_to_tell_cells_apart(tmp_path: Path) -> None:
    """Two kinds of cell in fields of one look: trained on some fields, it tells new ones."""
    drawn = [
        generate(2 * seed + label, 128, 128, style="camera", kinds=(kind,), cells=3, cell_diameter=28)
        for seed in range(16)
        for label, kind in enumerate(("neutrophil", "lymphocyte"))
    ]
    pixels, outlines = np.stack([d.image.pixels for d in drawn]), np.stack([d.instances for d in drawn])
    labels, recipe = np.tile([0, 1], 16), replace(SMALL, epochs=30, batch=8, rate=4e-3, average=0.9)
    network = cell_reader.train(pixels[:24], outlines[:24], labels[:24], recipe, tmp_path)
    told = [cell_reader.read(network, cell_reader.tiles_of(pixels[i], outlines[i]))[0].argmax() for i in range(24, 32)]
    assert (np.array(told) == labels[24:]).sum() >= 7


def test_out_of_fold_means_unseen(fields: Fields, run: Path) -> None:
    logits = cell_reader.predict_out_of_fold(fields, run, every=2, recipe=SMALL, tell=quiet)
    outlines = cell_reader.outlines_of(fields, run, quiet)
    for fold in (0, 1):
        network, held = cell_reader.load_network(run, fold, SMALL), np.flatnonzero(fields.folds == fold)
        for i in held:
            expected, _ = cell_reader.read(network, cell_reader.tiles_of(fields.pixels[i], outlines[i]))
            np.testing.assert_allclose(logits[evaluate.PLAIN][i], expected, atol=1e-5)
        # Under stress every second one was read.
        assert np.isnan(logits["grey"][held]).any(1).tolist() == [False, True] * (len(held) // 2)


def test_from_a_run_to_weights_figures_and_a_reading(
    fields: Fields, folder: Path, run: Path, field: SmearImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEUK_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(cell_reader, "RECIPE", SMALL)
    card = cell_reader.finish(fields, run, tmp_path, recipe=SMALL, most=4, tell=quiet)
    assert min(card.strong.values()) > 0
    assert card.metrics["weights"]["fields"] == 8
    assert [row["epoch"] for row in card.training["log"]] == [1, 2]
    assert "Taleqani" not in json.dumps(card.training)
    assert not any("one hospital" in limit for limit in card.limits)
    result = evaluate.evaluate("cell_reader", folder, run, every=4, tell=quiet)
    assert result["figures"]["fields"] == 16
    assert set(result["stress"]) >= {"grey", "JPEG 40"}
    table = read_predictions(tmp_path / "predictions" / "cell_reader.grouped.csv.gz")
    assert table.files == fields.files
    # The figures are on the card too, and what only training knew is still there.
    written = read_card(tmp_path / "cell_reader.json")
    assert written.metrics["accuracy"] == result["figures"]["accuracy"]
    assert written.metrics["weights"] == card.metrics["weights"]
    found = analyze(field, model="cell_reader", explain="gradcam", device="cpu")
    assert found.prediction.classes == CLASSES
    assert len(found.prediction.tiles) == len(found.segmentation.cells)
    assert tuple(found.explanations) == CLASSES


def test_runs_without_networks_or_cells_are_refused(fields: Fields, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no trained fold of the cell reader"):
        cell_reader.predict_out_of_fold(fields, tmp_path)
    with pytest.raises(DataError, match="no trained fold of the cell reader"):
        cell_reader.finish(fields, tmp_path, tmp_path)
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "network.safetensors").write_bytes(b"cut short")
    with pytest.raises(DataError, match="network.safetensors is damaged"):
        cell_reader.load_network(tmp_path, 0)
    nothing = np.zeros(fields.pixels.shape[:3], np.uint16)
    with pytest.raises(DataError, match="No cell was found"):
        cell_reader.train(fields.pixels, nothing, fields.labels, SMALL, tmp_path)


def test_the_command_trains_chosen_folds(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: dict[str, object] = {}
    monkeypatch.setattr(cell_reader, "fit", lambda fields, where, **options: seen.update(options))
    monkeypatch.setattr(cell_reader, "finish", lambda *given, **options: seen.update(finished=True))
    command = ["train", "cell_reader", "--data", str(folder), "--run", str(tmp_path / "run")]
    assert main([*command, "--folds", "1"]) == READ
    assert seen["folds"] == [1]
    assert seen["finished"]
    assert "python -m leuk evaluate cell_reader" in capsys.readouterr().out
    assert main([*command, "--size", "64"]) == MISUSED
    assert "--size does not apply to cell_reader" in capsys.readouterr().err

"""Training any system in small: from fields to weights that are read, stopped at any moment, and refusals."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from leuk.analysis import analyze
from leuk.classification import CANNOT_TELL, forward
from leuk.cli import MISUSED, READ, main
from leuk.data.synthetic import generate
from leuk.errors import DataError
from leuk.models.cards import differs, read_card
from leuk.models.preprocessing import hide_corner
from leuk.models.store import Model, load_model
from leuk.models.systems import SYSTEMS, find_system
from leuk.training import results
from leuk.training.fields import gather, usual_partition
from leuk.training.finish import finish
from leuk.training.loop import read_log, write_log
from leuk.training.presets import PRESETS, REDUCED, Preset, Warp
from leuk.training.systems import (
    Step,
    batches,
    describe_run,
    fit,
    folds_done,
    held_range,
    load_fold_network,
    predict,
    rate_at,
    read_run,
    recount,
    train,
    warp,
)

STYLES = {"Benign": "benign", "Early": "early", "Pre": "pre", "Pro": "pro"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four classes of six fields, and a table of sessions and folds."""
    root = tmp_path_factory.mktemp("set")
    lines = ["file,class,near_dup_group,scale_bar,session,fold"]
    for name, style in STYLES.items():
        (root / "Original" / name).mkdir(parents=True)
        for number in range(6):
            pixels = generate(number + 20 * len(lines), 96, 96, style=style, cells=3).image.pixels
            file = f"Original/{name}/{name}-{number}.png"
            cv2.imwrite(str(root / file), pixels[..., ::-1])
            lines.append(f"{file},{name},{len(lines)},red,{number % 4},{number % 2}")
    (root / "groups.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def _train(folder: Path, run: Path, *more: str, system: str = "deep_leukemia_net") -> list[str]:
    command = ["train", system, "--data", str(folder), "--run", str(run), "--epochs", "3", "--size", "48"]
    return [*command, "--device", "cpu", *more]


def test_from_fields_to_a_binary_record(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(_train(folder, tmp_path / "run", "--folds", "0", "--weights", str(tmp_path / "weights"))) == READ
    card = json.loads((tmp_path / "weights" / "deep_leukemia_net.json").read_text("utf-8"))
    assert card["classes"] == ["benign", "malignant"]
    assert card["preprocessing"] == "edges"
    assert card["confident"] == 0.75, "of two classes one always has half or more"
    assert card["metrics"]["folds"] == [0]
    assert "one fold of 2" in card["limits"][0]
    assert "not converged" in card["limits"][0]
    assert (tmp_path / "run" / "curves.html").read_text("utf-8").count("held out") >= 1
    assert [row["epoch"] for row in read_log(tmp_path / "run" / "fold-0")] == [1, 2, 3]

    monkeypatch.setenv("LEUK_WEIGHTS", str(tmp_path / "weights"))
    field = generate(3, 224, 224, style="pre", cells=5).image
    found = analyze(field, model="deep_leukemia_net", explain="gradcam", device="cpu")
    assert found.prediction.classes == ("benign", "malignant")
    assert set(found.explanations) == {"benign", "malignant"}
    model = load_model("deep_leukemia_net", "cpu")
    strict = Model(replace(model.card, familiar=0.0), model.network, model.device, model.means, model.precision)
    beyond = analyze(field, model=strict).prediction
    assert beyond.outside
    assert beyond.suggestion == CANNOT_TELL


def test_weights_reproduce_the_card(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "weights"
    assert main(_train(folder, tmp_path / "run", "--weights", str(weights), system="simple_cnn_segmented")) == READ
    monkeypatch.setenv("LEUK_WEIGHTS", str(weights))
    model = load_model("simple_cnn_segmented", "cpu")
    data = gather(folder, find_system("simple_cnn_segmented"))
    held = data.folds == model.card.metrics["weights"]["fold"]
    logits, _ = forward(model, np.stack([hide_corner(field) for field in data.pixels[held]]))
    accuracy = float((logits.argmax(1) == data.labels[held]).mean())
    assert accuracy == pytest.approx(model.card.metrics["weights"]["accuracy"], abs=1e-4)
    by_hand = predict(
        load_fold_network(tmp_path / "run", 0), find_system("simple_cnn_segmented"), data.pixels[held], size=48
    )
    np.testing.assert_allclose(by_hand, logits, atol=1e-4)


def test_random_run_adds_to_the_grouped_card(folder: Path, tmp_path: Path) -> None:
    weights = ["--weights", str(tmp_path / "weights")]
    assert main(_train(folder, tmp_path / "grouped", "--folds", "0", *weights)) == READ
    before = (tmp_path / "weights" / "deep_leukemia_net.safetensors").read_bytes()
    assert main(_train(folder, tmp_path / "random", "--partition", "random", "--folds", "0", *weights)) == READ
    card = json.loads((tmp_path / "weights" / "deep_leukemia_net.json").read_text("utf-8"))
    assert card["training"]["partition"] == "grouped"
    assert card["metrics"]["random"]["partition"].startswith("random")
    assert (tmp_path / "weights" / "deep_leukemia_net.safetensors").read_bytes() == before


def run_to_be_killed(folder: str, run: str, speak: bool = True) -> None:
    """Train on one thread, as any number of threads would, and say each step."""
    torch.set_num_threads(1)
    system = find_system("mobilenet_v3_small")
    preset = Preset(epochs=3, batch=4, size=32, recount=True, warp=Warp(rotation=20, zoom=0.1, brightness=0.1))

    def report(step: Step) -> None:
        if speak:
            sys.stdout.write(f"{step.step}\n")
            sys.stdout.flush()

    data = gather(Path(folder), system)
    fit(system, data, Path(run), preset, folds=[0], device="cpu", resume=True, interval=0.05, report=report)


def test_killed_mid_epoch_and_resumed_ends_as_undisturbed(folder: Path, tmp_path: Path) -> None:
    """SIGKILL, twice, in the middle of epochs; dropout, Adam and augmentation must go on as if nothing had been."""
    code = "import sys; from test_systems import run_to_be_killed; run_to_be_killed(*sys.argv[1:])"
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": f"{here.parents[1]}{os.pathsep}{here}"}
    for steps in (2, 3):
        command = [sys.executable, "-c", code, str(folder), str(tmp_path / "cut")]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as run:
            assert run.stdout is not None
            for _ in range(steps):
                assert run.stdout.readline().strip()
            run.send_signal(signal.SIGKILL)
            assert run.wait(timeout=60) == -signal.SIGKILL
        assert not folds_done(tmp_path / "cut")
    threads = torch.get_num_threads()
    try:
        for name in ("cut", "whole"):
            run_to_be_killed(str(folder), str(tmp_path / name), speak=False)
    finally:
        torch.set_num_threads(threads)
    one, other = (load_fold_network(tmp_path / name, 0).state_dict() for name in ("whole", "cut"))
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, rtol=1e-3, atol=1e-3, msg=name)
    logs = [read_log(tmp_path / name / "fold-0") for name in ("whole", "cut")]
    assert len(logs[0]) == len(logs[1]) == 3
    for a, b in zip(*logs, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-3)
        assert b["held_accuracy"] == a["held_accuracy"]


def test_accuracy_that_still_moves_is_told(folder: Path, tmp_path: Path) -> None:
    system = find_system("simple_cnn")
    data, preset = gather(folder, system), Preset(epochs=8, batch=4, size=32)
    run, _ = describe_run(system, data, "grouped", preset, 0, False)
    for fold, ends in ((0, (0.9, 0.91)), (1, (0.7, 0.95)), (2, (0.8, 0.9))):
        rows = [{"epoch": n, "held_accuracy": value} for n, value in enumerate((0.1,) * 6 + ends, start=1)]
        (tmp_path / f"fold-{fold}").mkdir()
        write_log(tmp_path / f"fold-{fold}" / "log.csv", rows)
    assert held_range(run, tmp_path, [0, 1, 2]) == {"fold": 1, "epochs": 2, "low": 0.7, "high": 0.95}
    assert held_range(run, tmp_path, [0]) is None
    counted, _ = describe_run(system, data, "grouped", replace(preset, recount=True), 0, False)
    assert held_range(counted, tmp_path, [0, 1, 2]) is None


def test_a_run_among_the_class_folders_is_no_class(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "Original", tmp_path / "set")
    command = ["train", "simple_cnn", "--data", str(tmp_path / "set"), "--partition", "random", "--folds", "0"]
    command += ["--epochs", "1", "--size", "32", "--device", "cpu"]
    assert main([*command, "--run", str(tmp_path / "set" / "runs" / "first")]) == READ
    # A table's labels are its own, whatever folders lie beside it.
    (tmp_path / "set" / "other").mkdir()
    pictures = sorted((tmp_path / "set").glob("*/*.png"))
    lines = [f"{path.relative_to(tmp_path / 'set').as_posix()},{path.parent.name}" for path in pictures]
    (tmp_path / "set" / "t.csv").write_text("path,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    table = gather(tmp_path / "set" / "t.csv", find_system("simple_cnn"), "random")
    assert len(table.files) == len(lines)
    with pytest.raises(DataError, match="The class folder other is empty"):
        gather(tmp_path / "set", find_system("simple_cnn"), "random")


def test_done_folds_are_left_as_they_are(folder: Path, tmp_path: Path) -> None:
    system = find_system("deep_leukemia_net")
    data, preset = gather(folder, system), Preset(epochs=1, batch=4, size=32)
    seen: list[int] = []
    fit(system, data, tmp_path, preset, folds=[0], device="cpu")
    fit(system, data, tmp_path, preset, device="cpu", resume=True, report=lambda step: seen.append(step.fold))
    assert set(seen) == {1}
    assert folds_done(tmp_path) == (0, 1)
    # Who forgets to say so does not lose what took hours.
    before = (tmp_path / "fold-0" / "network.safetensors").read_bytes()
    with pytest.raises(DataError, match="holds the training of fold 0 already, .* go on with --resume"):
        fit(system, data, tmp_path, preset, device="cpu")
    assert (tmp_path / "fold-0" / "network.safetensors").read_bytes() == before
    with pytest.raises(DataError, match="holds another run"):
        fit(system, data, tmp_path, preset, seed=1, device="cpu", resume=True)


def test_changed_images_of_the_same_names_are_another_run(folder: Path, tmp_path: Path) -> None:
    system, preset = find_system("deep_leukemia_net"), Preset(epochs=1, batch=4, size=32)
    data = gather(folder, system)
    fit(system, data, tmp_path, preset, folds=[0], device="cpu")
    turned = replace(data, pixels=np.ascontiguousarray(data.pixels[:, ::-1]))
    with pytest.raises(DataError, match="no longer those that the run in .* was begun with"):
        fit(system, turned, tmp_path, preset, device="cpu", resume=True)
    # Runs of before kept no fingerprint.
    content = json.loads((tmp_path / "run.json").read_text("utf-8"))
    assert content.pop("fingerprint") == data.fingerprint()
    (tmp_path / "run.json").write_text(json.dumps(content), encoding="utf-8")
    assert read_run(tmp_path).fingerprint == ""
    fit(system, data, tmp_path, preset, folds=[0], device="cpu", resume=True)
    assert read_run(tmp_path).fingerprint == data.fingerprint()


@pytest.mark.parametrize("name", ["network.safetensors", "arguments.json", "checkpoint.pt"])
def test_a_damaged_fold_is_one_sentence_before_others_are_trained(folder: Path, tmp_path: Path, name: str) -> None:
    system, preset = find_system("deep_leukemia_net"), Preset(epochs=1, batch=4, size=32, pca=0.9)
    data = gather(folder, system)
    fit(system, data, tmp_path, preset, folds=[0], device="cpu")
    path, done = tmp_path / "fold-0" / name, tmp_path / "fold-0" / "network.safetensors"
    if name == "checkpoint.pt":
        done.unlink()
    path.write_bytes(path.read_bytes()[:-20])
    seen: list[Step] = []
    with pytest.raises(DataError, match="is damaged, or not .*; delete it to train that network anew") as caught:
        fit(system, data, tmp_path, preset, device="cpu", resume=True, report=seen.append)
    assert not seen
    Path(str(caught.value).split(" is damaged")[0]).unlink()
    fit(system, data, tmp_path, preset, folds=[0], device="cpu", resume=True)
    assert load_fold_network(tmp_path, 0)


@pytest.mark.parametrize("name", ["run.json", "network.safetensors"])
def test_a_full_disk_is_one_sentence(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    def fill(*given: object, **named: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text" if name == "run.json" else "write_bytes", fill)
    assert main([*_train(folder, tmp_path / "run", "--folds", "0"), "--epochs", "1"]) == MISUSED
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"{name} can't be written" in said and "No space left" in said and "make room" in said


def test_each_fold_is_trained_once(folder: Path, tmp_path: Path) -> None:
    system, preset = find_system("simple_cnn"), replace(REDUCED["simple_cnn"], epochs=1, size=32)
    seen: list[Step] = []
    fit(system, gather(folder, system), tmp_path, preset, folds=[0, 0], device="cpu", report=seen.append)
    assert len(seen) == seen[0].steps


def test_no_fold_is_trained_where_one_lacks_a_class(folder: Path, tmp_path: Path) -> None:
    system, preset = find_system("simple_cnn"), replace(REDUCED["simple_cnn"], epochs=1, size=32)
    data = gather(folder, system)
    alone = replace(data, folds=np.where(data.labels == 3, 1, data.folds))
    with pytest.raises(DataError, match="no field of pro_b to train fold 1 on"):
        fit(system, alone, tmp_path / "run", preset, device="cpu")
    assert not (tmp_path / "run").exists()


def test_what_held_out_fields_of_one_class_can_not_give_is_null(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, preset = find_system("simple_cnn"), replace(REDUCED["simple_cnn"], epochs=1, size=32)
    data = gather(folder, system)
    data = replace(data, folds=np.where((data.labels == 0) & (data.folds == 0), 0, 1))
    run = fit(system, data, tmp_path / "run", preset, folds=[0], device="cpu")
    finish(run, data, tmp_path / "run", tmp_path / "weights", device="cpu", tell=lambda line: None)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    text = (tmp_path / "weights" / "simple_cnn.json").read_text("utf-8")
    figures = json.loads(text, parse_constant=refuse)["metrics"]
    assert figures["malignant_auroc"] is figures["malignant_sensitivity"] is figures["recall"]["pro_b"] is None
    assert figures["accuracy"]["value"] == figures["benign_recall"]["value"] == figures["recall"]["benign"]
    # What reads cards bears it.
    monkeypatch.setenv("LEUK_WEIGHTS", str(tmp_path / "weights"))
    for command in (["models"], ["models", "--json"], ["compare"], ["compare", "--json"]):
        out = tmp_path / "out.json"
        assert main([*command, str(out)] if command[-1] == "--json" else command) == READ
    (row,) = (one for one in json.loads(out.read_text("utf-8"), parse_constant=refuse) if one["name"] == "simple_cnn")
    assert row["auroc"] is None
    assert row["grouped"] == figures["accuracy"]["value"]


def test_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    system = find_system("deep_leukemia_net")
    samples = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 1), dtype=np.uint8)
    labels = np.tile([0, 1], 4)
    train(system, samples, labels, Preset(epochs=1, batch=4, size=32), tmp_path, device="cpu")
    with pytest.raises(DataError, match="belongs to another training"):
        train(system, samples, labels, Preset(epochs=1, batch=2, size=32), tmp_path, device="cpu", resume=True)


def test_twins_share_their_fold(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """System 3 trains on plain and masked fields: of held fields it may see neither."""
    from leuk.training import systems

    system = find_system("resnet152_v2")
    data = gather(folder, system)
    given: list[int] = []

    def count(system: object, samples: np.ndarray, labels: np.ndarray, *more: object, **options: object) -> None:
        given.append(len(samples))
        assert len(labels) == len(samples)

    monkeypatch.setattr(systems, "train", count)
    systems.fit(system, data, tmp_path, Preset(epochs=1, size=32), folds=[0], device="cpu")
    assert given == [2 * int((data.folds != 0).sum())]


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A copy of the data set that a test may harm."""
    shutil.copytree(folder, tmp_path / "set")
    return tmp_path / "set"


def test_empty_class_folder_is_refused(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "Original" / "Hairy").mkdir()
    assert main(_train(copy, tmp_path / "run")) == MISUSED
    assert "class folder Hairy is empty" in capsys.readouterr().err
    # What a Mac puts into its archives beside each image is none.
    (copy / "Original" / "Hairy" / "._one.png").write_bytes(b"x")
    assert main(_train(copy, tmp_path / "run")) == MISUSED
    assert "class folder Hairy is empty" in capsys.readouterr().err
    (copy / "Original" / "Hairy" / "one.webp").write_bytes(b"x")
    assert main(_train(copy, tmp_path / "run")) == MISUSED
    assert "class folder Hairy holds no image that Leuk reads" in capsys.readouterr().err


@pytest.mark.parametrize("system", ["simple_cnn", "reader", "cell_reader", "cells", "segmenter"])
def test_data_that_are_not_there_leave_no_run(system: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert main(["train", system, "--data", str(tmp_path / "nowhere"), "--run", str(run)]) == 2
    assert "There is no folder or table" in capsys.readouterr().err
    assert not run.exists()


def test_folder_without_classes_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "set").mkdir()
    cv2.imwrite(str(tmp_path / "set" / "one.png"), np.full((40, 40, 3), 200, np.uint8))
    assert main(_train(tmp_path / "set", tmp_path / "run")) == MISUSED
    assert capsys.readouterr().err.count("\n") == 1


def test_broken_image_is_named_and_left_out_only_on_request(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copy / "Original" / "Pre" / "Pre-3.png").write_bytes(b"no image")
    assert main(_train(copy, tmp_path / "run")) == MISUSED
    error = capsys.readouterr().err
    assert "Original/Pre/Pre-3.png" in error
    assert "--skip-broken" in error
    whole = gather(copy, find_system("simple_cnn"), skip_broken=True)
    assert len(whole.files) == 23
    assert "Original/Pre/Pre-3.png was left out" in whole.problems[0]
    (copy / "Original" / "Pre" / "Pre-3.png").unlink()
    (copy / "Original" / "Pre" / "Pre-3.png").write_bytes(b"no image")
    assert main(_train(copy, tmp_path / "run", "--skip-broken", "--epochs", "1", "--folds", "0")) == READ
    told = capsys.readouterr()
    assert (told.out + told.err).count("Original/Pre/Pre-3.png was left out") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--folds", "x"], "no list of numbers"),
        (["--folds", "9"], "no fold 9"),
        (["--epochs", "0"], "too small"),
        (["--size", "8"], "too small"),
        (["--size", "100000"], "too large; use at most 1024"),
        (["--pretrained"], "without --pretrained"),
        (["--seed", "-1"], "too small"),
        (["--others", "x"], "does not apply"),
        (["--device", "quantum"], "no device"),
    ],
)
def test_options_are_refused_with_a_sentence(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(_train(folder, tmp_path / "run", *options)) == MISUSED
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run" / "run.json").exists(), "what was refused stands in no other run's way"


def test_steps_of_another_system_are_refused_before_anything_is_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(_train(folder, tmp_path / "run", "--select", system="simple_cnn")) == MISUSED
    assert "belong to DeepLeukemiaNet" in capsys.readouterr().err
    assert not (tmp_path / "run" / "run.json").exists()


def test_fields_of_no_known_session_are_left_out_of_a_grouped_run(copy: Path) -> None:
    table = copy / "groups.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join(lines[:-3]) + "\n", encoding="utf-8")
    grouped = gather(copy, find_system("simple_cnn"))
    assert len(grouped.files) == 21
    assert any("3 fields, such as Original/Pro/Pro-3.png, were left out" in said for said in grouped.problems)
    assert len(gather(copy, find_system("simple_cnn"), "random").files) == 24


def _table(folder: Path, head: str, rows: Sequence[str], pixels: Sequence[int]) -> Path:
    """A CSV of flat images by shade, every second one benign."""
    lines = [f"path,label,{head}"]
    for number, (row, shade) in enumerate(zip(rows, pixels, strict=True)):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((40, 40, 3), shade, np.uint8))
        lines.append(f"{number}.png,{'benign' if number % 2 else 'pre_b'},{row}")
    (folder / "set.csv").write_text("\n".join(lines) + "\n")
    return folder / "set.csv"


def test_folds_that_part_a_session_are_not_grouped(tmp_path: Path) -> None:
    table = _table(tmp_path, "session,fold", ["a,0", "b,0", "c,1", "d,1", "a,1", ",0"], range(100, 106))
    with pytest.raises(DataError, match=r"part a session: 0\.png lies in fold 0 and 4\.png in fold 1"):
        gather(table, find_system("deep_leukemia_net"))
    assert len(gather(table, find_system("deep_leukemia_net"), "random").files) == 6


def test_rows_of_no_known_session_are_not_dealt_out(tmp_path: Path) -> None:
    table = _table(tmp_path, "session", ["a", "b", "c", "d", "", "", "a", "b"], range(100, 108))
    data = gather(table, find_system("deep_leukemia_net"), folds=2)
    assert data.files == ("0.png", "1.png", "2.png", "3.png", "6.png", "7.png")
    assert data.folds[0] == data.folds[4] and set(data.folds.tolist()) == {0, 1}
    assert "2 fields, such as 4.png, were left out: nothing says to which session" in data.problems[0]


def test_the_same_pixels_in_two_folds_are_told(tmp_path: Path) -> None:
    table = _table(tmp_path, "session,fold", ["a,0", "b,0", "c,1", "d,1", "a,0"], [100, 101, 100, 103, 100])
    data = gather(table, find_system("deep_leukemia_net"))
    assert len(data.problems) == 1
    assert "3 fields show the same pixels as one in another fold, such as 0.png and 2.png" in data.problems[0]


def test_all_idb_is_trained_on_as_it_is_downloaded(tmp_path: Path) -> None:
    for folder in ("im", "xyc"):
        (tmp_path / folder).mkdir()
    for number in range(6):
        name = f"Im00{number}_{number % 2}"
        cv2.imwrite(str(tmp_path / "im" / f"{name}.png"), np.full((40, 40, 3), 200 - number, np.uint8))
        (tmp_path / "xyc" / f"{name}.xyc").write_text("1 2\n")
    data = gather(tmp_path, find_system("deep_leukemia_net"), "random")
    assert data.labels.tolist() == [0, 1] * 3


def test_a_single_session_can_not_be_held_out(tmp_path: Path) -> None:
    lines = ["path,label,session"]
    for number in range(6):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((40, 40, 3), 200 - number, np.uint8))
        lines.append(f"{number}.png,{'benign' if number % 2 else 'pre_b'},one")
    (tmp_path / "set.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match="of one session"):
        gather(tmp_path / "set.csv", find_system("deep_leukemia_net"))


def test_a_card_says_what_of_the_recipe_was_changed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from leuk.training import systems

    kept: list[Preset] = []

    def stop(system: object, data: object, run: object, preset: Preset, **options: object) -> None:
        kept.append(preset)
        raise DataError("enough")

    monkeypatch.setattr(systems, "fit", stop)
    shown = ["train", "simple_cnn", "--data", str(folder), "--run", str(tmp_path)]
    for more in ([], ["--epochs", "3"], ["--epochs", "15", "--size", "64"], ["--reduced", "--epochs", "8"]):
        main([*shown, *more])
    assert [one.source for one in kept[:3]] == [
        "the paper's recipe",
        "the paper's recipe, but 3 epochs instead of 15",
        "the paper's recipe, but 64 pixels instead of 224",
    ]
    assert kept[3].source.endswith("but 8 epochs instead of 4")
    main([*shown[:1], "mobilenet_v3_small", *shown[2:], "--recount"])
    assert kept[4].recount
    assert kept[4].source.endswith("but statistics of batch normalization counted anew at the end")
    assert main([*shown, "--recount"]) == MISUSED  # the simple CNN keeps none
    assert len(kept) == 5


def test_without_sessions_nothing_can_be_grouped(tmp_path: Path) -> None:
    for name in ("benign", "malignant"):
        (tmp_path / name).mkdir()
        for number in range(3):
            cv2.imwrite(str(tmp_path / name / f"x{number}.png"), np.full((40, 40, 3), 200 - number, np.uint8))
    with pytest.raises(DataError, match="--partition random"):
        gather(tmp_path, find_system("deep_leukemia_net"), "grouped")
    data = gather(tmp_path, find_system("deep_leukemia_net"), "random")
    assert data.classes == ("benign", "malignant")
    assert data.pixels.shape == (6, 224, 224, 3)


def test_a_folder_without_sessions_is_dealt_out_at_random_and_that_is_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder / "Original", tmp_path / "set")
    for path in sorted((tmp_path / "set").glob("*/*.png")):
        path.rename(path.with_name(f"x{path.name}"))  # no names of the public set, whose sessions are known
    command = _train(tmp_path / "set", tmp_path / "run", "--folds", "0")
    assert main(command) == READ
    assert "held out at random" in capsys.readouterr().out
    assert read_run(tmp_path / "run").partition == "random"
    assert main([*command[:5], str(tmp_path / "other"), *command[6:], "--partition", "grouped"]) == MISUSED
    assert "belong together" in capsys.readouterr().err
    assert usual_partition(folder) == "grouped"


def test_a_table_of_one_class_names_what_was_left_out(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), np.full((40, 40, 3), 200, np.uint8))
    (tmp_path / "set.csv").write_text("path,label\n0.png,benign\n1.png,pre\n")
    with pytest.raises(DataError, match=r"only the class benign; give it .* at least one other\. .*1\.png"):
        gather(tmp_path / "set.csv", find_system("deep_leukemia_net"), "random")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--pca"], "These weights go with PCA."),
        (["--pca", "--select"], "These weights go with PCA, selected features and a support vector machine."),
        ([], "and these weights go without."),
    ],
)
def test_a_card_tells_the_stages_that_its_weights_have(
    folder: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    assert main(_train(folder, tmp_path, "--folds", "0", *options)) == READ
    changed = json.loads((tmp_path / "deep_leukemia_net.json").read_text("utf-8"))["changed"]
    assert [line.endswith(said) for line in changed if "PCA" in line] == [True]


@pytest.mark.parametrize(
    ("system", "option", "preprocessing", "title"),
    [
        ("deep_leukemia_net", "--no-edges", "grey", "on grey fields"),
        ("deep_leukemia_net_four", "--edges", "edges", "on edge maps"),
        ("deep_leukemia_net_four", "--no-edges", "rgb", "on colour"),
    ],
)
def test_edge_maps_are_an_option(
    folder: Path,
    tmp_path: Path,
    system: str,
    option: str,
    preprocessing: str,
    title: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    assert main(_train(folder, run, "--folds", "0", option, system=system)) == READ
    card = read_card(run / f"{system}.json")
    assert (card.preprocessing, card.title.rpartition(", ")[2]) == (preprocessing, title)
    assert [("edges" in limit) for limit in card.limits].count(True) == (2 if preprocessing == "edges" else 0)
    assert any("Gabor" in line for line in card.changed) == (preprocessing == "edges")
    assert differs(card, {"preset": PRESETS[system].described()}), "no training as the variant is described"
    assert main(_train(folder, run, "--folds", "0", "--resume", system=system)) == MISUSED
    assert "holds another run" in capsys.readouterr().err
    # What was trained so is read so: by the run's own folds, and by whoever loads the weights.
    evaluate = ["evaluate", system, "--data", str(folder), "--run", str(run), "--out", str(tmp_path / "tables")]
    assert main(evaluate) == READ
    monkeypatch.setenv("LEUK_WEIGHTS", str(run))
    assert load_model(system, "cpu").card.preprocessing == preprocessing
    row = next(row for row in results.systems() if row.name == system)
    assert row.title == card.title
    assert ("edge map" in row.input) == (preprocessing == "edges")


def test_edge_maps_belong_to_one_network(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for system in ("simple_cnn", "reader"):
        assert main(["train", system, "--data", str(folder), "--run", str(tmp_path / "run"), "--no-edges"]) == MISUSED
        said = capsys.readouterr().err
        assert "edges" in said
        assert said.count("\n") == 1
    assert not (tmp_path / "run" / "run.json").exists()


def test_batches_hang_on_seed_epoch_and_number_alone() -> None:
    samples = np.random.default_rng(0).integers(0, 256, (9, 16, 16, 6), dtype=np.uint8)
    labels = np.arange(9) % 2
    preset = Preset(epochs=1, batch=4, warp=Warp(rotation=30, zoom=0.2, shift=0.1, flip=True, contrast=0.1))
    whole = list(batches(samples, labels, preset, 0, 1))
    rest = list(batches(samples, labels, preset, 0, 1, first=1))
    assert len(whole) == 2  # the ninth sample alone is no batch
    torch.testing.assert_close(whole[1][0], rest[0][0])
    other = next(batches(samples, labels, preset, 0, 2))
    assert not torch.equal(whole[0][0], other[0])


def test_no_change_leaves_the_sample() -> None:
    sample = np.random.default_rng(0).integers(0, 256, (16, 16, 1), dtype=np.uint8)
    np.testing.assert_array_equal(warp(sample, Warp(mirror=False), np.random.default_rng(0)), sample)


@pytest.mark.parametrize(
    ("schedule", "step", "rate"),
    [("constant", 90, 1.0), ("steps", 80, 0.96**2), ("cosine", 50, 0.5), ("cosine", 0, 0.2)],
)
def test_rates(schedule: str, step: int, rate: float) -> None:
    assert rate_at(Preset(epochs=1, rate=1.0, schedule=schedule), step, 100) == pytest.approx(rate)


def test_recounted_statistics_are_the_samples_own() -> None:
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(1))
    samples = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1), dtype=np.uint8)
    recount(network, samples)
    assert float(network[0].running_mean) == pytest.approx(samples.mean() / 255, abs=1e-3)
    assert network[0].momentum == 0.1


def test_every_system_has_its_presets() -> None:
    assert set(PRESETS) == set(REDUCED) == set(SYSTEMS) - {"reader", "cell_reader"}


def test_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no run"):
        read_run(tmp_path)

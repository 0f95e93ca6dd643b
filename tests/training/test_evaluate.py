"""From a run to a table, its figures, and what they are worth."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from leuk.cli import main
from leuk.data.synthetic import generate
from leuk.data.taleqani import CLASSES, Fields
from leuk.errors import DataError, OptionError
from leuk.models.systems import SPLIT, TALEQANI, find_system
from leuk.training import controls
from leuk.training.evaluate import add_elsewhere, check_places, evaluate, read_elsewhere, record
from leuk.training.fields import TrainingSet, gather
from leuk.training.finish import finish
from leuk.training.predictions import predictions_path, read_predictions
from leuk.training.presets import REDUCED
from leuk.training.results import pseudo_sessions
from leuk.training.stress import STRESSES
from leuk.training.systems import Run, fit


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders with five small fields each."""
    folder = tmp_path_factory.mktemp("data")
    for number, name in enumerate(("Benign", "Early", "Pre", "Pro")):
        (folder / name).mkdir()
        for index in range(5):
            pixels = generate(10 * number + index, 96, 96, style="pre", cells=2).image.pixels
            cv2.imwrite(str(folder / name / f"{index}.png"), pixels[..., ::-1])
    return folder


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of which one fold of five is trained, for one epoch."""
    folder = tmp_path_factory.mktemp("run")
    system = find_system("simple_cnn")
    preset = replace(REDUCED["simple_cnn"], epochs=1, size=32, batch=8)
    fit(system, gather(data, system, "random"), folder, preset, partition="random", folds=[0])
    return folder


def test_evaluate_writes_table_and_figures(
    data: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEUK_WEIGHTS", str(tmp_path / "weights"))
    out = tmp_path / "out"
    assert main(["evaluate", "simple_cnn", "--data", str(data), "--run", str(run), "--out", str(out)]) == 0
    assert "accuracy:" in capsys.readouterr().out
    table = read_predictions(predictions_path("simple_cnn", "random", out))
    assert table.classes == CLASSES
    assert set(table.folds) == {0}
    assert len(table) == 4
    told = json.loads((out / "simple_cnn.random.json").read_text())
    assert set(told["stress"]) == set(STRESSES)
    assert told["stain_swap"]["fields"] == 4
    assert 0 <= told["cells_erased"]["mean_confidence"] <= 1
    assert told["run"]["size"] == 32
    assert told["run"]["recount"] is False
    assert told["figures"]["folds"] == [0]


def test_a_table_elsewhere_leaves_the_card_alone(
    small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "weights"
    shutil.copytree(small_weights, copy)
    monkeypatch.setenv("LEUK_WEIGHTS", str(copy))
    before = (copy / "small.json").read_bytes()
    logits = {"as photographed": np.eye(4)}
    record("small", "grouped", list("abcd"), np.arange(4), np.arange(4), CLASSES, logits, tmp_path / "out")
    assert (copy / "small.json").read_bytes() == before
    record("small", "grouped", list("abcd"), np.arange(4), np.arange(4), CLASSES, logits)
    assert (copy / "small.json").read_bytes() != before


def test_other_fields_do_not_take_the_place_of_a_table(data: Path, run: Path, tmp_path: Path) -> None:
    logits = {"as photographed": np.eye(4)}
    record("simple_cnn", "random", list("abcd"), np.arange(4), np.zeros(4, int), CLASSES, logits, tmp_path)
    with pytest.raises(DataError, match="is of other fields; name another folder"):
        evaluate("simple_cnn", data, run, folder=tmp_path)
    with pytest.raises(DataError, match="is of other fields"):
        record("simple_cnn", "random", list("efgh"), np.arange(4), np.zeros(4, int), CLASSES, logits, tmp_path)
    assert read_predictions(predictions_path("simple_cnn", "random", tmp_path)).files == tuple("abcd")


def test_a_table_of_more_fields_is_kept_before_anything_is_read(
    data: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = find_system("simple_cnn")
    fields = gather(data, system, "random")
    logits = {"as photographed": np.eye(4)[fields.labels]}
    record("simple_cnn", "random", fields.files, fields.labels, fields.folds, CLASSES, logits, tmp_path)
    table = predictions_path("simple_cnn", "random", tmp_path)
    before = table.read_bytes()

    def read(*_: object) -> None:
        raise AssertionError("hours of reading")

    with monkeypatch.context() as patch:
        patch.setattr("leuk.training.systems.predict", read)
        with pytest.raises(DataError, match="holds 20 fields, 16 of which this run does not have; name another folder"):
            evaluate("simple_cnn", data, run, folder=tmp_path)
    assert table.read_bytes() == before
    # One that holds all of them, and more, takes its place.
    held = fields.folds == 0
    few = [file for file, kept in zip(fields.files, held, strict=True) if kept][:3]
    rows = np.flatnonzero(held)[:3]
    table.unlink()
    logits = {"as photographed": np.eye(4)[fields.labels[rows]]}
    record("simple_cnn", "random", few, fields.labels[rows], fields.folds[rows], CLASSES, logits, tmp_path)
    assert evaluate("simple_cnn", data, run, folder=tmp_path)["figures"]["fields"] == 4


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Finish without measuring cells and heat, where a card's words are looked at."""
    monkeypatch.setattr("leuk.training.finish.typical_diameter", lambda fields: 20.0)
    monkeypatch.setattr("leuk.training.finish.strengths", lambda model, pixels: dict(model.card.strong))


def _fit(
    fields: TrainingSet, folder: Path, partition: str = "random", size: int = 32, name: str = "simple_cnn"
) -> tuple[Run, TrainingSet, Path]:
    preset = replace(REDUCED[name], epochs=1, size=size, batch=8)
    options = {"partition": partition, "folds": [0], "device": "cpu", "resume": True}
    return fit(find_system(name), fields, folder, preset, **options), fields, folder


def test_what_a_run_has_seen_is_not_called_held_out(data: Path, run: Path, tmp_path: Path) -> None:
    """Data whose folds, labels or pixels have changed since are not those that the run held out."""
    known = json.loads((run / "run.json").read_text("utf-8"))
    for key, value, told in (
        ("folds", known["folds"][::-1], "classes or folds of"),
        ("labels", known["labels"][::-1], "classes or folds of"),
        ("fingerprint", "0" * 64, "though their names are"),
    ):
        other = tmp_path / key
        shutil.copytree(run, other)
        (other / "run.json").write_text(json.dumps(known | {key: value}), encoding="utf-8")
        with pytest.raises(DataError, match=told):
            evaluate("simple_cnn", data, other, folder=tmp_path / "out")
    (tmp_path / "folds" / "run.json").write_text(json.dumps(known | {"partition": "grouped"}), encoding="utf-8")
    with pytest.raises(OptionError, match="is on the grouped partition; leave --partition random out"):
        evaluate("simple_cnn", data, tmp_path / "folds", partition="random", folder=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_places_of_one_name_are_refused(tmp_path: Path) -> None:
    places = [tmp_path / "a" / "test", tmp_path / "b" / "test"]
    with pytest.raises(OptionError, match="would both be called test; rename one"):
        check_places(places)
    check_places([*places[:1], tmp_path / "b"])


def test_a_damaged_table_is_made_anew(tmp_path: Path) -> None:
    labels = np.arange(8) % 4
    files = [f"{i}.png" for i in range(8)]
    table = predictions_path("vgg19", "random", tmp_path)
    table.write_bytes(b"no gzip")
    record("vgg19", "random", files, labels, labels, CLASSES, {"as photographed": np.eye(4)[labels]}, tmp_path)
    assert read_predictions(table).files == tuple(files)


def test_a_card_and_its_weights_speak_for_their_own_training_only(
    data: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, told = tmp_path / "weights", []
    fields = gather(data, find_system("simple_cnn"), "random")
    finish(*_fit(fields, run), weights, device="cpu", tell=told.append)
    assert told[-1] == f"weights and card of simple_cnn are written to {weights}"
    monkeypatch.setenv("LEUK_WEIGHTS", str(weights))
    clinic = tmp_path / "clinic"
    clinic.mkdir()
    cv2.imwrite(str(clinic / "x_1.png"), generate(1, 96, 96, style="pre", cells=1).image.pixels)
    card = weights / "simple_cnn.json"

    result = evaluate("simple_cnn", data, run, elsewhere=[clinic])
    own = json.loads(card.read_text())
    assert own["metrics"]["elsewhere"]["clinic"]["images"] == result["elsewhere"]["clinic"]["images"] == 1
    assert "grey" in own["metrics"]["stress_accuracy"]
    assert own["metrics"]["weights"]["fold"] == 0, "what only training knows stays"

    before = card.read_bytes()
    _fit(fields, tmp_path / "larger", size=48)
    told.clear()
    result = evaluate("simple_cnn", data, tmp_path / "larger", elsewhere=[clinic], tell=told.append)
    assert result["run"]["size"] == 48
    assert "elsewhere" not in result, "the weights here are not this run's"
    assert card.read_bytes() == before
    assert sum("pictures of other laboratories are left out" in line for line in told) == 1
    assert told[-1].startswith("the card simple_cnn.json is left as it is")
    assert told[-1].endswith("(48 pixels instead of 32)")
    with pytest.raises(DataError, match="of another training than its weights"):
        add_elsewhere("simple_cnn", [clinic])


@pytest.mark.usefixtures("quick")
def test_finishing_carries_over_figures_of_the_same_training_and_says_so(data: Path, tmp_path: Path) -> None:
    weights, told = tmp_path / "weights", []
    path = weights / "simple_cnn.json"

    def end(run: tuple[Run, TrainingSet, Path]) -> dict[str, object]:
        told.clear()
        finish(*run, weights, device="cpu", tell=told.append)
        return json.loads(path.read_text())["metrics"]

    fields = gather(data, find_system("simple_cnn"), "random")
    strange = replace(fields, pixels=255 - fields.pixels)
    grouped = _fit(fields, tmp_path / "grouped", "grouped")
    assert "random" not in end(grouped)
    random = end(_fit(fields, tmp_path / "random"))["random"]
    assert "figures of the random partition are added" in told[-1]
    assert end(grouped)["random"] == random
    assert told[-1].endswith("of whose figures those of the random partition are kept")

    kept = path.read_bytes(), path.with_suffix(".safetensors").read_bytes()
    end(_fit(strange, tmp_path / "strange"))
    assert (path.read_bytes(), path.with_suffix(".safetensors").read_bytes()) == kept
    assert "stays as it is" in told[-3]
    assert "other fields" in told[-3]
    assert told[-1] == f"weights and card of simple_cnn are written to {tmp_path / 'strange'}"
    there = json.loads((tmp_path / "strange" / "simple_cnn.json").read_text())
    assert there["training"]["partition"] == "random"
    assert (tmp_path / "strange" / "simple_cnn.safetensors").is_file()

    assert "random" not in end(_fit(strange, tmp_path / "strange grouped", "grouped"))
    assert told[-1].endswith("of another training (other fields), of whose figures none is kept")


@pytest.mark.usefixtures("quick")
def test_a_card_claims_what_is_true_of_its_data(data: Path, tmp_path: Path) -> None:
    own = gather(data, find_system("deep_leukemia_net"), "random")
    names = sorted(pseudo_sessions())[:20]
    four = gather(data, find_system("simple_cnn"), "random")
    runs = {
        "random": (four, "random", "simple_cnn"),
        "grouped": (four, "grouped", "simple_cnn"),
        "binary": (own, "random", "deep_leukemia_net"),
        "public": (replace(own, files=tuple(names)), "grouped", "deep_leukemia_net"),
    }
    cards = {}
    for key, (fields, partition, name) in runs.items():
        run = _fit(fields, tmp_path / key, partition, 48, name)
        cards[key] = finish(*run, tmp_path / key, device="cpu", tell=lambda line: None)
    assert SPLIT not in cards["random"].changed
    assert SPLIT in cards["grouped"].changed
    assert TALEQANI not in cards["binary"].changed
    assert TALEQANI in cards["public"].changed
    for key, card in cards.items():
        said = " ".join(card.limits)
        assert ("one hospital" in said) == ("hematogones here" in said) == (key == "public")
        assert ("dealt out one by one" in said) == (card.training["partition"] == "random")
        assert ("pseudo-sessions" in card.metrics["partition"]) == (key == "public")


@pytest.mark.parametrize("closed", ["simple_cnn.random.csv.gz", "simple_cnn.random.json"])
def test_what_can_not_be_written_is_one_sentence(closed: str, tmp_path: Path) -> None:
    (tmp_path / closed).mkdir()
    logits = {"as photographed": np.eye(4)}
    with pytest.raises(DataError, match=rf"{closed} can't be written \(.+\); .*name another folder"):
        record("simple_cnn", "random", list("abcd"), np.arange(4), np.zeros(4, int), CLASSES, logits, tmp_path)


def test_readers_are_measured_on_the_processor(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "reader", "--data", str(data), "--run", str(data), "--device", "cuda"]) == 2
    assert "leave --device cuda out" in capsys.readouterr().err


def test_a_run_is_refused_with_other_data_or_another_system(data: Path, run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="simple_cnn"):
        evaluate("vgg19", data, run)
    fewer = tmp_path / "fewer"
    for path in sorted(data.rglob("*.png"))[::2]:
        (fewer / path.parent.name).mkdir(parents=True, exist_ok=True)
        (fewer / path.parent.name / path.name).write_bytes(path.read_bytes())
    with pytest.raises(DataError, match="other files"):
        evaluate("simple_cnn", fewer, run)


def test_elsewhere_counts_both_kinds(small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEUK_WEIGHTS", str(small_weights))
    folder = tmp_path / "all_idb9" / "im"
    folder.mkdir(parents=True)
    for index, kind in enumerate((1, 1, 0)):
        pixels = generate(index, 96, 96, style="pre", cells=2).image.pixels
        cv2.imwrite(str(folder / f"Im00{index}_{kind}.png"), pixels[..., ::-1])
    told = read_elsewhere("small", folder)
    assert told["place"] == "all_idb9"
    assert told["images"] == 3
    sensitivity, specificity = told["sensitivity"]["value"], told["specificity"]["value"]
    assert told["accuracy"]["value"] == pytest.approx((2 * sensitivity + specificity) / 3, abs=1e-3)
    with pytest.raises(DataError, match="ALL-IDB"):
        read_elsewhere("small", small_weights)


def test_elsewhere_alone_adds_to_what_is_there(
    small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, folder = tmp_path / "weights", tmp_path / "pbc" / "lymphocyte"
    folder.mkdir(parents=True)
    weights.mkdir()
    cv2.imwrite(str(folder / "LY_1.png"), generate(1, 96, 96, style="pre", cells=1).image.pixels[..., ::-1])
    card = json.loads((small_weights / "small.json").read_text()) | {"name": "reader"}
    (weights / "reader.json").write_text(json.dumps(card | {"metrics": {"stress_accuracy": {"grey": 0.5}}}))
    (weights / "reader.safetensors").write_bytes((small_weights / "small.safetensors").read_bytes())
    monkeypatch.setenv("LEUK_WEIGHTS", str(weights))
    command = ["evaluate", "reader", "--elsewhere", str(folder.parent)]
    assert main(command) == 2
    assert "no predictions of reader" in capsys.readouterr().err
    labels = np.arange(8) % 4
    files = [f"{i}.png" for i in range(8)]
    record("reader", "grouped", files, labels, labels, CLASSES, {"as photographed": np.eye(4)[labels]})
    assert main(command) == 0
    kept = json.loads((weights / "reader.json").read_text())["metrics"]
    assert kept["elsewhere"]["pbc"]["images"] == 1
    assert kept["elsewhere"]["pbc"]["sensitivity"] is None
    low, high = kept["elsewhere"]["pbc"]["specificity"]["interval"]
    assert high - low == pytest.approx(0.975, abs=1e-3), "one picture says next to nothing"
    (tmp_path / "clinic").mkdir()
    shutil.copy(folder / "LY_1.png", tmp_path / "clinic" / "x_1.png")
    assert main(["evaluate", "reader", "--elsewhere", str(tmp_path / "clinic")]) == 0
    assert set(json.loads((weights / "reader.json").read_text())["metrics"]["elsewhere"]) == {"pbc", "clinic"}
    assert kept["stress_accuracy"] == {"grey": 0.5}
    assert kept["accuracy"]["value"] == 1


def test_controls_tell_classes_by_colour_and_not_by_chance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 10)
    pixels = np.full((40, 64, 64, 3), 200, np.uint8)
    pixels[..., 0] -= (labels * 30).astype(np.uint8)[:, None, None]  # each class has a colour of its own
    pixels -= rng.integers(0, 8, pixels.shape, dtype=np.uint8)
    files = tuple(f"{i}.png" for i in range(40))
    fields = Fields(files, pixels, labels, np.arange(40) % 5, np.arange(40), np.arange(40))
    monkeypatch.setenv("LEUK_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(controls, "TREES", 10)
    clinic = tmp_path / "clinic"
    clinic.mkdir()
    for index, truth in ((0, "0"), (10, "1"), (11, "1")):
        cv2.imwrite(str(clinic / f"{index}_{truth}.png"), pixels[index][..., ::-1])
    controls.measure_controls(fields, places=[clinic])
    from leuk.training import results

    rows = {row.name: row for row in results.controls()}
    assert set(rows) == set(controls.CONTROLS)
    medians = rows["control_medians"]
    assert medians.figure("accuracy", "random")["value"] == 1
    assert medians.figure("stain_swap", "random")["value"] < 0.3
    for row in rows.values():
        assert set(row.results["grouped"]["stress"]) == set(STRESSES)
    assert medians.figure("blur 1.5", "grouped")["value"] == 1, "blur leaves colours as they are"
    worst = medians.figure("worst_stress", "grouped")
    assert worst["value"] < 0.6, "light does not"
    assert medians.figure("cells_erased", "grouped")["value"] == 1, "there was no cell to erase"
    assert rows["control_background"].figure("cells_erased", "grouped") is None, "its cells are erased anyway"
    assert medians.elsewhere()["clinic"] | {"accuracy": None} == {
        "images": 3,
        "accuracy": None,
        "sensitivity": {"value": 1.0, "interval": [0.1581, 1.0]},
        "specificity": {"value": 1.0, "interval": [0.025, 1.0]},
        "cannot_tell": 0.0,
    }
    # What is known of a place stays when another is read, or none.
    controls.measure_controls(fields)
    assert {row.name: row.elsewhere() for row in results.controls()}["control_medians"] == medians.elsewhere()
    with pytest.raises(DataError, match="ALL-IDB"):
        controls.measure_controls(fields, places=[tmp_path / "nowhere"])
    p = controls.predict_controls({"as photographed": rng.normal(size=(40, 3))}, labels, np.arange(40) % 5)[
        "as photographed"
    ]
    assert (p.argmax(1) == labels).mean() < 0.6
    np.testing.assert_allclose(p.sum(1), 1)
    assert p.min() > 0

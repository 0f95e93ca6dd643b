"""What is known of systems: the list, the figures beside the tables, the comparison, and no torch for any of it."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from leuk.cli import main
from leuk.models.systems import SYSTEMS
from leuk.training import results
from leuk.training.evaluate import card_metrics, known_elsewhere, record, truth_of
from leuk.training.predictions import predictions_path, read_predictions
from leuk.training.presets import PRESETS
from leuk.training.results import figures_path, read_result
from tests.conftest import ROOT

CLASSES = ("benign", "early_pre_b", "pre_b", "pro_b")


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of weights in which one system was evaluated, right on everything but under two stresses."""
    monkeypatch.setenv("LEUK_WEIGHTS", str(tmp_path))
    files = list(results.pseudo_sessions())[::40]
    labels = np.array([["Benign", "Early", "Pre", "Pro"].index(file.split("/")[1]) for file in files])
    right = np.eye(4)[labels] * 6.0
    half = right.copy()
    half[::2] = np.roll(half[::2], 1, axis=1)
    partly = np.full_like(right, np.nan)
    partly[:10] = right[:10]
    record(
        "simple_cnn",
        "grouped",
        files,
        labels,
        np.arange(len(files)) % 5,
        CLASSES,
        {
            "as photographed": right,
            "blur 1.5": half,
            "JPEG 40": partly,
            "grey": np.roll(right, 1, axis=1),
            "stain swap": half,
            "cells erased": half,
        },
        run={"size": 96, "epochs": 3},
        elsewhere={
            "clinic": {"images": 9, "sensitivity": {"value": 0.0}, "specificity": {"value": 1.0}, "cannot_tell": 0.1},
            "donors": {"images": 9, "sensitivity": None, "specificity": {"value": 1.0}, "cannot_tell": 0.1},
        },
    )
    return tmp_path


def test_how_far_cells_get_elsewhere_is_the_mean_over_places(measured: Path) -> None:
    assert results.elsewhere_by_cells() == ""  # no card of cells is here

    def share(value: float) -> dict[str, float]:
        return {"value": value}

    places = {
        "clinic": {"images": 8, "accuracy": share(0.75), "sensitivity": share(0.5), "specificity": share(1.0)},
        "donors": {"images": 10, "accuracy": share(0.9), "sensitivity": None, "specificity": share(0.9)},
    }
    (measured / "cells.json").write_text(json.dumps({"metrics": {"elsewhere": places}}), encoding="utf-8")
    assert "6 of 8 clinic, 9 of 10 donors: 0.725 by the measure" in results.elsewhere_by_cells()
    assert "tells nothing" not in results.elsewhere_by_cells()
    places["clinic"]["cannot_tell"], places["donors"]["cannot_tell"] = 0.375, 0.2
    (measured / "cells.json").write_text(json.dumps({"metrics": {"elsewhere": places}}), encoding="utf-8")
    said = "Of 3 clinic and 2 donors it tells nothing; these count as not malignant."
    assert said in results.elsewhere_by_cells()


def test_a_place_that_a_network_was_begun_from_is_left_out() -> None:
    places = {
        "all_idb1": {"sensitivity": {"value": 0.5}, "specificity": {"value": 0.9}},
        "pbc": {"sensitivity": None, "specificity": {"value": 0.1}},
    }
    assert results.mean_of_places(places) == pytest.approx(0.5)
    places["pbc"]["seen"] = True
    assert results.mean_of_places(places) == pytest.approx(0.7)
    rows = [{"short": "Reader", "elsewhere_seen": "pbc"}, {"short": "Other", "elsewhere_seen": None}]
    said = "Reader was begun from normal cells of PBC: its mean elsewhere leaves these out."
    assert results.elsewhere_seen(rows) == said
    assert results.elsewhere_seen(rows[1:]) == ""


def test_the_mean_of_places_has_an_interval_of_their_exact_ones() -> None:
    def share(value: float, low: float, high: float) -> dict[str, object]:
        return {"value": value, "interval": [low, high]}

    places = {
        "clinic": {"sensitivity": share(1.0, 0.6, 1.0), "specificity": share(0.5, 0.2, 0.9)},
        "donors": {"sensitivity": None, "specificity": share(0.9, 0.8, 1.0)},
    }
    # One sensitivity by half, two specificities by a quarter each.
    low, high = results.interval_of_places(places)
    assert low == pytest.approx(0.85 - np.sqrt(0.2**2 + 0.075**2 + 0.025**2), abs=1e-4)
    assert high == pytest.approx(0.85 + np.sqrt(0.1**2 + 0.025**2), abs=1e-4)
    places["clinic"]["seen"] = True
    assert results.interval_of_places(places) == (0.8, 1.0)
    del places["donors"]["specificity"]["interval"]
    assert results.interval_of_places(places) is None
    assert results.interval_of_places({}) is None


def test_intervals_elsewhere_hold_what_drawing_the_pictures_again_gives() -> None:
    rng, row = np.random.default_rng(0), next(row for row in results.systems() if row.name == "reader")
    places, draws = row.elsewhere(), []
    for _ in range(2000):
        drawn = {
            name: {
                kind: {"value": rng.binomial(half, one[kind]["value"]) / half}
                for kind in ("sensitivity", "specificity")
                if one[kind]
                for half in (one["images"] // 2 if one["sensitivity"] else one["images"],)
            }
            for name, one in places.items()
        }
        draws.append(results.mean_of_places(drawn))
    low, high = results.interval_of_places(places)
    assert low < np.quantile(draws, 0.025) and np.quantile(draws, 0.975) < high  # exact ones are never too narrow
    assert high - low < 1.6 * (np.quantile(draws, 0.975) - np.quantile(draws, 0.025))


def test_what_was_measured_is_told(measured: Path) -> None:
    row = next(row for row in results.systems() if row.name == "simple_cnn")
    assert row.figure("accuracy")["value"] == 1.0
    worst = row.figure("worst_stress")
    assert worst["name"] == "blur 1.5"  # grey stands apart
    assert worst["value"] == pytest.approx(0.5, abs=0.02)
    assert worst["interval"][0] < worst["value"] < worst["interval"][1]
    assert row.figure("grey")["value"] == 0
    assert row.results["grouped"]["stress"]["JPEG 40"]["fields"] == 10
    assert row.figure("cells_erased")["mean_confidence"] > 0.9
    assert row.size == 96
    assert row.weights is None
    assert row.folds == {"grouped": 5}
    assert row.training == f"3 of {PRESETS['simple_cnn'].epochs} epochs, 96 of 224 pixels, not converged"


def test_figures_of_another_table_are_taken_anew(measured: Path) -> None:
    table = predictions_path("simple_cnn", "grouped")
    assert read_result(table)["stress"]
    other = read_predictions(table)
    from leuk.training.predictions import Predictions, write_predictions

    wrong = Predictions(
        other.system,
        other.partition,
        other.files,
        other.labels,
        other.folds,
        other.classes,
        np.roll(other.probabilities, 1, axis=1),
    )
    write_predictions(wrong, table)
    anew = read_result(table)
    assert anew["figures"]["accuracy"]["value"] == 0
    assert "stress" not in anew


def test_fields_are_known_in_whatever_folder_they_lie() -> None:
    files = list(results.pseudo_sessions())[:600:20]
    groups = results.groups_of(files)
    assert len(np.unique(groups)) < len(files)
    np.testing.assert_array_equal(results.groups_of([name.removeprefix("Original/") for name in files]), groups)


def test_groups_of_other_data_are_kept_beside_the_table(tmp_path: Path) -> None:
    count = 60
    files = [f"lab/{index}.png" for index in range(count)]
    labels, sessions = np.arange(count) % 2, np.arange(count) // 10
    logits = np.eye(2)[np.where(sessions == 0, 1 - labels, labels)] * 4.0
    more = (files, labels, sessions % 5, ("benign", "malignant"), {"as photographed": logits, "grey": logits}, tmp_path)
    whole = record("mine", "grouped", *more, groups=sessions)
    alone = record("other", "grouped", *more)
    for one in (whole["figures"]["accuracy"], whole["stress"]["grey"]):
        low, high = alone["figures"]["accuracy"]["interval"]
        assert one["interval"][1] - one["interval"][0] > 1.3 * (high - low), "one session of six is wrong throughout"
    again = results.write_result(predictions_path("mine", "grouped", tmp_path))
    assert again["figures"]["accuracy"] == whole["figures"]["accuracy"]
    assert again["figures"]["groups"] == 6


def test_one_fold_is_calibrated_by_its_other_groups(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    files = list(results.pseudo_sessions())[::6]
    labels = np.array([["Benign", "Early", "Pre", "Pro"].index(file.split("/")[1]) for file in files])
    truth = rng.normal(size=(len(files), 4)) + 2 * np.eye(4)[labels]
    told = record(
        "mine", "grouped", files, labels, np.zeros(len(files), int), CLASSES, {"as photographed": 3 * truth}, tmp_path
    )["figures"]
    assert told["ece"]["value"] < 0.6 * told["ece_before"]["value"]
    assert told["brier"]["value"] < told["brier_before"]["value"]


def test_rows_measured_on_a_part_are_named() -> None:
    rows = [{"short": name, "stressed": share} for name, share in (("A", 1.0), ("B", 0.1), ("C", 0.25), ("D", None))]
    said = results.partly_stressed(rows)
    assert "every fourth (C), every tenth (B)" in said and "A" not in said.split(":")[1]
    assert results.partly_stressed(rows[:1]) == ""


def test_rows_that_did_not_come_to_rest_are_named() -> None:
    moved = {"unsettled_low": 0.819, "unsettled_high": 0.992, "unsettled_in": "fold 1, random"}
    rows = [{"short": "A", "unsettled_in": None}, {"short": "B"} | moved]
    assert "B 0.82 to 0.99 (fold 1, random)." in results.unsettled(rows)
    assert results.unsettled(rows[:1]) == ""


def test_recounted_figures_are_told_from_recounted_weights() -> None:
    rows = {row.name: row for row in results.systems()}
    for name, row in rows.items():
        counted = row.card is not None and (row.card.training.get("preset") or {}).get("recount")
        assert row.recounted <= bool(counted), name
        said = results.recounted([row])
        assert bool(said) == bool(counted), name
        assert (f"Figures of {results.short_title(row)} are of networks" in said) == row.recounted
        assert (results.COUNTED_ANEW in row.training) == row.recounted
    # Weights alone: the network that comes along is another one than the table's.
    for name in ("densenet201_ball", "deep_leukemia_net_four"):
        weights, table = rows[name].card.metrics["weights"], read_predictions(predictions_path(name, "grouped"))
        held = table.folds == weights["fold"]
        same = (table.probabilities.argmax(1) == table.labels)[held].mean() == pytest.approx(
            weights["accuracy"], abs=1e-3
        )
        assert same == rows[name].recounted
    told = [results.named(row) for row in results.comparison()]
    assert [name for name in told if name.endswith(results.RECOUNTED)] == ["DeepLeukemiaNet, 4 classes †"]
    assert results.recounted([rows["vgg19"]]) == ""


def test_what_was_trained_with_less_than_published_is_counted() -> None:
    whole = {"short": "A", "training": "9 of 9 epochs", "size": 224, "published_size": 224, "begun_from": None}
    small = whole | {"size": 128, "begun_from": "random weights"}
    claimed = small | {"training": "", "begun_from": None}
    assert results.reduced([whole, claimed]) == ""
    said = results.reduced([whole, small, small | {"size": 96}, claimed, whole | {"begun_from": "ImageNet weights"}])
    assert "2 systems on smaller inputs (128 pixels instead of 224, 96 pixels instead of 224)" in said
    assert "2 systems from random weights where ImageNet's exist" in said
    # What the table says of a system its card says too.
    for row in results.systems():
        told = " ".join((*results.changes(row), *results.limits(row)))
        for part in ("random weights", f"{row.size} pixels instead of {row.published_size}"):
            assert part in told or part.replace(" pixels instead", "") not in row.training, row.name


def test_the_card_of_a_system_without_weights_tells_how_its_figures_came_about() -> None:
    row = next(row for row in results.systems() if row.name == "densenet201")
    if row.card is not None:
        pytest.skip("its weights are here")
    assert results.changes(row)[0] == f"Training began with {row.begun_from}."
    told = " ".join(results.limits(row))
    assert f"{row.size} pixels instead of {row.published_size}" in told
    assert ("Of the random partition one fold of 5 was measured" in told) == (row.folds["random"] == 1)
    assert ("does not come to rest" in told) == (row.unsettled is not None)


def test_a_broken_table_leaves_the_others(measured: Path) -> None:
    predictions_path("vgg19", "random").write_bytes(b"nonsense")
    predictions_path("resnet50", "random").write_bytes(gzip.compress(b"file,class,fold,p_benign,p_pre_b\n"))
    figures = figures_path(predictions_path("simple_cnn", "grouped"))
    figures.write_text(json.dumps(json.loads(figures.read_text()) | {"stress": "none"}))
    (measured / "controls.json").write_text('{"controls": [{}, null, {"name": "x"}]}')
    assert results.controls() == []
    rows = {row.name: row for row in results.systems()}
    assert not rows["vgg19"].results
    assert not rows["resnet50"].results
    assert rows["simple_cnn"].results


def test_card_metrics_keep_their_old_keys(measured: Path) -> None:
    metrics = card_metrics(read_result(predictions_path("simple_cnn", "grouped")))
    assert metrics["accuracy"]["value"] == 1.0
    assert isinstance(metrics["ece"], float)
    assert metrics["stress_accuracy"]["stain swap"] == pytest.approx(0.5, abs=0.02)
    assert set(metrics["cells_erased"]) == {"accuracy", "mean_confidence"}
    assert metrics["recall"] == dict.fromkeys(CLASSES, 1.0)
    json.dumps(metrics)


def test_models_lists_every_system_with_the_keys_promised(measured: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "models.json"
    assert main(["models", "--json", str(out)]) == 0
    told = json.loads(out.read_text())
    assert [one["name"] for one in told] == list(SYSTEMS)
    keys = {"name", "title", "paper", "parameters", "multiply_adds", "input", "weights", "classes", "metrics"}
    assert all(keys <= set(one) for one in told)
    assert told[0]["name"] == "reader"
    assert all(Path(one["weights"]).is_file() for one in told if one["weights"])
    assert next(one for one in told if one["name"] == "simple_cnn")["metrics"]["grouped"]["accuracy"]["value"] == 1


def test_compare_on_the_screen_as_csv_and_as_json(
    measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare"]) == 0
    assert "epochs, 96 of 224 pixels, not converged" in capsys.readouterr().out
    assert main(["compare", "--json", str(tmp_path / "c.json"), "--csv", str(tmp_path / "c.csv")]) == 0
    rows = json.loads((tmp_path / "c.json").read_text())
    row = next(one for one in rows if one["name"] == "simple_cnn")
    assert row["grouped"] == 1.0
    assert row["claimed"] == 0.7745
    assert row["random"] is None
    # It called everything benign in both places.
    assert row["elsewhere"] == 0.5
    assert len((tmp_path / "c.csv").read_text().splitlines()) == len(rows) + 1
    assert main(["compare", "--markdown", str(tmp_path / "c.md")]) == 0
    table = [line for line in (tmp_path / "c.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    assert len(table) == len(rows) + 1
    assert any(line.startswith("| Simple CNN | 0.774 |  | 1.000 (") for line in table)


def test_the_page_of_all_systems_tells_what_the_shipped_tables_hold(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--markdown", "-"]) == 0
    assert capsys.readouterr().out == (ROOT / "docs" / "systems.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["evaluate", "simple_cnn", "--data", "here"], "--run"),
        (["evaluate", "simple_cnn", "--data", "here", "--run", "nowhere"], "nowhere"),
        (["evaluate", "alexnet", "--data", "here", "--run", "nowhere"], "alexnet"),
        (["evaluate", "simple_cnn", "--data", "here", "--run", "nowhere", "--every", "0"], "--every"),
        (["evaluate", "reader", "--data", "here", "--skip-broken"], "--skip-broken does not apply to reader"),
        (["evaluate", "controls", "--data", "here", "--run", "nowhere"], "--run does not apply to controls"),
        (["evaluate", "cells", "--data", "here", "--every", "2"], "--every does not apply to cells"),
        (
            ["evaluate", "simple_cnn", "--elsewhere", "a", "--partition", "random"],
            "--partition does not apply to pictures of other laboratories alone",
        ),
        (["compare", "--json", "x.out", "--csv", "./x.out"], "x.out is named for two outputs"),
    ],
)
def test_evaluate_refuses_in_one_sentence(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("path", "truth"),
    [
        ("im/Im001_1.jpg", True),
        ("im/Im090_0.jpg", False),
        ("pbc/lymphocyte/LY_12.jpg", False),
        ("pbc/lymphocyte/LY_1.jpg", False),
        ("other/Im7.jpg", None),
        ("other/1.jpg", None),
    ],
)
def test_names_say_what_pictures_show(path: str, truth: bool | None) -> None:
    assert truth_of(Path(path)) is truth


def test_masks_that_lie_beside_pictures_are_none(tmp_path: Path) -> None:
    for place in ("img", "masks_a", "Masks B/cells"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "Im001_1.png").touch()
    assert known_elsewhere(tmp_path) == [(tmp_path / "img/Im001_1.png", True)]
    assert known_elsewhere(tmp_path / "masks_a") == [(tmp_path / "masks_a/Im001_1.png", True)]


def test_listing_needs_no_torch() -> None:
    code = (
        "import sys; from leuk.cli import main; main(['models']); main(['compare']); "
        "sys.exit(sum(name in sys.modules for name in ('torch', 'sklearn')))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

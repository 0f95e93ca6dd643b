"""Any system goes the reader's way: stored, checked, read, explained."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from leuk.analysis import analyze
from leuk.data.synthetic import generate
from leuk.errors import ModelError
from leuk.explanation import EXPLAINERS
from leuk.models import weights
from leuk.models.cards import Card, available
from leuk.models.preprocessing import PREPROCESSINGS
from leuk.models.store import load_model, save_model
from leuk.models.systems import BINARY, SUBTYPES, build

KINDS: dict[str, tuple[str, dict[str, Any], str, tuple[str, ...]]] = {
    "binary": ("deep_leukemia_net", {"channels": 1, "size": 64}, "edges", BINARY),
    "four": ("deep_leukemia_net", {"channels": 3, "size": 64}, "rgb", SUBTYPES),
    "grey": ("deep_leukemia_net", {"channels": 1, "size": 64}, "grey", SUBTYPES),
    "backbone": ("backbone", {"name": "mobilenet_v3_small"}, "rgb", SUBTYPES),
    "branches": ("two_branch", {"name": "mobilenet_v3_small"}, "pair", SUBTYPES),
    "masked": ("resnet152_v2", {"size": 64, "blocks": [1, 1, 1, 1], "width": 8}, "a_kmeans", SUBTYPES),
    "segmented": ("simple_cnn", {"size": 64}, "segmented", SUBTYPES),
}


def _store(folder: Path, kind: str) -> Card:
    architecture, arguments, preprocessing, classes = KINDS[kind]
    torch.manual_seed(0)
    network = build(architecture, len(classes), **arguments).eval()
    with torch.inference_mode():
        middle, _ = network.activations(torch.rand(2, PREPROCESSINGS[preprocessing][1], 64, 64))
        dimension = network.describe(middle).shape[1]
    card = Card(
        name=kind,
        title=kind,
        architecture=architecture,
        arguments=arguments,
        classes=classes,
        sha256="",
        tile=224,
        cell_diameter=22.0,
        photo_scale=1.0,
        temperature=1.0,
        familiar=1e9,
        confident=0.0,
        strong=dict.fromkeys(EXPLAINERS, 0.5),
        preprocessing=preprocessing,
        size=64,
    )
    return save_model(folder, card, network, np.zeros((len(classes), dimension)), np.eye(dimension))


@pytest.mark.parametrize("kind", KINDS)
def test_analysis_runs_any_system(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEUK_WEIGHTS", str(tmp_path))
    _store(tmp_path, kind)
    # Larger than a tile, so that maps are laid side by side.
    field = generate(5, 400, 250, style="pre", cells=8, cell_diameter=22).image
    found = analyze(field, model=kind, explain="gradcam", device="cpu")
    classes = KINDS[kind][3]
    assert found.prediction.classes == classes
    assert len(found.prediction.tiles) > 1
    assert sum(found.prediction.probabilities) == pytest.approx(1)
    assert set(found.explanations) == set(classes)
    for explanation in found.explanations.values():
        height, width = explanation.heat.shape
        assert height / width == pytest.approx(250 / 400, rel=0.1)


@pytest.mark.parametrize("method", EXPLAINERS)
def test_all_maps_of_a_flattening_network(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six maps' columns do not divide a tile: the map must still reach its last pixel."""
    monkeypatch.setenv("LEUK_WEIGHTS", str(tmp_path))
    _store(tmp_path, "binary")
    field = generate(5, 224, 224, style="pre", cells=8).image
    for explanation in analyze(field, model="binary", explain=method, device="cpu").explanations.values():
        assert np.isfinite(explanation.heat).all()


def test_a_map_of_even_heat_covers_the_whole_tile() -> None:
    from leuk.classification import View
    from leuk.explanation import _assemble
    from leuk.segmentation import segment

    field = generate(5, 224, 224, style="pre", cells=8).image
    view = View(
        1.0, 224, 224, np.zeros((1, 224, 224, 3), np.uint8), ((0, 0),), np.ones(1), (), (None,), (0, 0, 224, 224)
    )
    for side in (1, 4, 6, 7, 14, 54):
        heat = _assemble("gradcam", "benign", np.ones((1, side, side), np.float32), view, segment(field)).heat
        # But for the corner that is covered before any network sees it.
        size = len(heat)
        top, left = 192 / 224 * size, 191 / 224 * size
        assert not heat[math.ceil(top) :, math.ceil(left) :].any(), side
        assert heat[: int(top)].min() == heat[:, : int(left)].min() == 1, side


@pytest.mark.parametrize("width", [224, 225, 233, 237, 300])
def test_heat_lies_where_it_came_from_in_fields_of_any_width(width: int) -> None:
    from leuk.classification import View
    from leuk.explanation import _assemble
    from leuk.segmentation import segment

    x = (width - 224) // 2
    tiles, box = np.zeros((1, 224, 224, 3), np.uint8), (0, 0, width, 224)
    view = View(1.0, 224, width, tiles, ((x, 0),), np.ones(1), (), (None,), box)
    field = generate(5, 224, width, style="pre", cells=8).image
    maps = np.zeros((1, 8, 8), np.float32)
    maps[0, :, 6] = 1
    heat = _assemble("gradcam", "benign", maps, view, segment(field)).heat[0]
    middle = float((heat * (np.arange(len(heat)) + 0.5)).sum() / heat.sum()) * width / len(heat)
    assert middle == pytest.approx(x + 6.5 / 8 * 224, abs=2)


def test_large_weights_are_cut_into_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEUK_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(weights, "LARGEST_FILE", 400_000)
    card = _store(tmp_path, "four")
    assert card.shards >= 2
    files = card.files(tmp_path)
    assert sorted(tmp_path.glob("*.safetensors")) == sorted(files)
    assert max(path.stat().st_size for path in files) < 500_000
    assert available() == ("four",)
    assert load_model("four", "cpu").card.shards == card.shards


@pytest.mark.parametrize(
    ("harm", "message"), [("alter", "not the ones its card describes"), ("remove", "lack the file")]
)
def test_harmed_shards_are_refused(harm: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEUK_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(weights, "LARGEST_FILE", 400_000)
    last = _store(tmp_path, "four").files(tmp_path)[-1]
    if harm == "remove":
        last.unlink()
    else:
        last.write_bytes(last.read_bytes()[:-1] + b"\x55")
    with pytest.raises(ModelError, match=message):
        load_model("four", "cpu")


def test_classes_that_do_not_fit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEUK_WEIGHTS", str(tmp_path))
    _store(tmp_path, "binary")
    card = tmp_path / "binary.json"
    card.write_text(card.read_text("utf-8").replace('"malignant"', '"early_pre_b", "pre_b"'), encoding="utf-8")
    with pytest.raises(ModelError, match="don't fit the network"):
        load_model("binary", "cpu")


def test_half_precision_keeps_statistics_exact() -> None:
    network = build("backbone", 4, name="mobilenet_v3_small")
    kept = weights.rounded(network)
    assert kept["head.weight"].dtype == torch.float16
    assert all(value.dtype == torch.float32 for key, value in kept.items() if "running" in key)

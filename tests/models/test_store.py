"""Weights: only those that the card confirms, and that fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from leuk.errors import ModelError, OptionError
from leuk.models.reader import Reader
from leuk.models.store import available, choose_device, load_model


@pytest.fixture
def folder(small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the cut-down model that a test may harm."""
    copy = tmp_path / "weights"
    shutil.copytree(small_weights, copy)
    monkeypatch.setenv("LEUK_WEIGHTS", str(copy))
    return copy


def _edit(folder: Path, **changes: object) -> None:
    card = folder / "small.json"
    card.write_text(json.dumps(json.loads(card.read_text("utf-8")) | changes), encoding="utf-8")


def test_loads_once_and_reads(folder: Path) -> None:
    assert available() == ("small",)
    model = load_model("small", "cpu")
    assert load_model("small", "cpu") is model
    assert model.card.classes == ("benign", "early_pre_b", "pre_b", "pro_b")
    assert not model.network.training
    assert not any(parameter.requires_grad for parameter in model.network.parameters())


def test_unknown_name_lists_what_is_there(folder: Path) -> None:
    with pytest.raises(OptionError, match="choose one of: small"):
        load_model("large", "cpu")


@pytest.mark.parametrize("name", ["../small", "small.json", ""])
def test_name_is_no_path(folder: Path, name: str) -> None:
    with pytest.raises(OptionError):
        load_model(name, "cpu")


def test_altered_weights_are_refused(folder: Path) -> None:
    weights = folder / "small.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ModelError, match="not the ones its card describes"):
        load_model("small", "cpu")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ["benign", "pro_b"]}, "don't fit the network"),
        ({"classes": ["a", "b", "c", "d"]}, "benign among them"),
        ({"arguments": {"widths": [8, 8, 16, 32]}}, "don't fit the network"),
        ({"architecture": "oracle"}, "unknown architecture"),
        ({"temperature": 0}, "above 0"),
        ({"tile": 100}, "multiple of 16"),
    ],
)
def test_card_that_does_not_fit_is_refused(folder: Path, changes: dict[str, object], message: str) -> None:
    _edit(folder, **changes)
    with pytest.raises(ModelError, match=message):
        load_model("small", "cpu")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "small"}'])
def test_broken_card_is_refused(folder: Path, text: str) -> None:
    (folder / "small.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=r"small\.json can't be used"):
        load_model("small", "cpu")


def test_device_that_is_not_here_is_refused() -> None:
    assert choose_device("auto").type in ("cpu", "cuda")
    with pytest.raises(OptionError, match="no device"):
        choose_device("quantum")


def test_reader_takes_any_multiple_of_16_and_ignores_brightness() -> None:
    import torch

    network = Reader(widths=(8, 8, 16, 16)).eval()
    picture = torch.rand(2, 3, 96, 128) * 0.5 + 0.25
    assert network(picture).shape == (2, 4)
    assert network.features(picture).shape == (2, 16, 6, 8)
    with torch.no_grad():
        np.testing.assert_allclose(network.normalize(picture), network.normalize(picture * 0.6), atol=0.12)

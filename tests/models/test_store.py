"""Weights: only those that the card confirms, and that fit."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from leuk.errors import ModelError, OptionError
from leuk.models import store, weights
from leuk.models.cards import write_card
from leuk.models.reader import Reader
from leuk.models.store import available, choose_device, load_model, save_model


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


def test_the_default_model_and_the_last_other_are_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("reader", "second"):
        for suffix in (".json", ".safetensors"):
            shutil.copy(folder / f"small{suffix}", folder / f"{name}{suffix}")
        _rename(folder / f"{name}.json", name)
    monkeypatch.setattr(store, "_loaded", {})
    default, first = load_model("reader", "cpu"), load_model("small", "cpu")
    second = load_model("second", "cpu")
    assert load_model("reader", "cpu") is default
    assert load_model("second", "cpu") is second
    assert load_model("small", "cpu") is not first, "a host's memory is not filled by models that were once looked at"


def _rename(card: Path, name: str) -> None:
    card.write_text(json.dumps(json.loads(card.read_text("utf-8")) | {"name": name}), encoding="utf-8")


def test_unknown_name_lists_what_is_there(folder: Path) -> None:
    with pytest.raises(OptionError, match=r"choose one of: small\.$"):
        load_model("large", "cpu")
    with pytest.raises(OptionError, match="small.* python -m leuk train densenet201 --data DIR"):
        load_model("densenet201", "cpu")


def test_a_folder_without_weights_says_so(folder: Path) -> None:
    (folder / "small.safetensors").unlink()
    with pytest.raises(OptionError, match="no weights at all are in weights; restore them"):
        load_model("small", "cpu")


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
        ({"preprocessing": "pair"}, "don't fit the network"),
        ({"temperature": 0}, "above 0"),
        ({"tile": 100}, "multiple of 16"),
        ({"tile": "160"}, "gives '160' as its tile; it must be a whole number"),
        ({"size": "160"}, "gives '160' as its size; it must be a whole number, or null"),
        ({"metrics": None}, "gives None as its metrics; it must be a mapping"),
        ({"training": []}, "as its training; it must be a mapping"),
        ({"strong": None}, "as its strong; it must be a mapping"),
        ({"shards": "1"}, "as its shards; it must be a whole number"),
        ({"shards": 0}, "gives 0 as its shards; use more than 0"),
        ({"confident": "0.5"}, "as its confident; it must be a number"),
        ({"familiar": True}, "as its familiar; it must be a number"),
        ({"familiar_means": "160"}, "as its familiar_means; it must be a list of numbers"),
        ({"photo_scale": 0}, "gives 0 as its photo_scale; use more than 0"),
        ({"architecture": []}, "as its architecture; it must be text"),
        ({"limits": [1]}, "as its limits; it must be a list of texts"),
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


def test_a_large_network_is_kept_in_eight_bits(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model("small", "cpu")
    before = model.network.state_dict()
    monkeypatch.setattr(weights, "LARGEST_HALF", 20_000)
    monkeypatch.setenv("LEUK_WEIGHTS", str(tmp_path / "packed"))
    save_model(tmp_path / "packed", model.card, model.network, model.means, model.precision)
    half = (folder / "small.safetensors").stat().st_size
    assert (tmp_path / "packed" / "small.safetensors").stat().st_size < 0.8 * half
    again = load_model("small", "cpu")
    np.testing.assert_array_equal(again.means, model.means.astype(np.float32))
    for name, value in again.network.state_dict().items():
        if value.ndim < 2:
            torch.testing.assert_close(value, before[name].half().float(), msg=name)
            continue
        row = before[name].flatten(1).abs().amax(1)
        gap = (value - before[name]).flatten(1).abs().amax(1)
        assert (gap <= row / 127 * 0.51 + 1e-6).all(), name
    assert any(value.ndim > 1 for value in before.values())


def test_weights_that_can_not_be_written_leave_the_old_ones(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model("small", "cpu")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    real = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        real(path, data[:5])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ModelError, match=r"weights of 'small' can't be written .*\(No space left on device\)"):
        save_model(folder, model.card, model.network, model.means + 1, model.precision)
    with pytest.raises(ModelError, match=r"card .*small\.json can't be written \(No space left on device\)"):
        write_card(model.card, folder / "small.json")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_no_shard_takes_its_place_before_all_are_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "LARGEST_FILE", 10_000)
    old, new = ({str(i): torch.full((2_000,), value) for i in range(3)} for value in (1.0, 2.0))
    sha256, shards = weights.write_weights(folder, "split", old)
    assert shards > 1
    real, count = Path.write_bytes, iter(range(10))

    def full(path: Path, data: bytes) -> int:
        if next(count) == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ModelError, match="make room"):
        weights.write_weights(folder, "split", new)
    assert weights.read_weights(folder, "split", sha256, shards)["0"][0] == 1

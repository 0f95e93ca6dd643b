"""What the training loops share."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import torch

from leuk.errors import DataError
from leuk.files import STALE
from leuk.training.loop import (
    mixed,
    read_checkpoint,
    read_network,
    resolved,
    restore_progress,
    save_network,
    save_progress,
    whole,
    write_checkpoint,
)


@pytest.mark.parametrize(
    ("asked", "avx512", "amx", "expected"),
    [
        ("auto", False, False, "float32"),
        ("auto", True, False, "bfloat16"),
        ("auto", False, True, "bfloat16"),
        ("bfloat16", False, False, "bfloat16"),
        ("float32", True, True, "float32"),
    ],
)
def test_half_precision_only_where_the_processor_computes_in_it(
    monkeypatch: pytest.MonkeyPatch, asked: str, avx512: bool, amx: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert resolved(asked) == expected
    with mixed(asked):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if expected == "bfloat16" else torch.float32)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "blanks.npz"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), whole(path) as part:
        part.write_text("ne")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    with whole(path) as part:
        part.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_two_who_write_a_file_at_once_each_write_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    with whole(path) as one:
        one.write_text("one")
        with whole(path) as other:
            other.write_text("other")
        assert path.read_text() == "other"
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]


def test_what_kills_left_goes_when_a_later_process_writes(tmp_path: Path) -> None:
    with whole(tmp_path / "kept") as part:
        old, young = part.with_name(f"{part.stem}0.part"), part.with_name(f"{part.stem}1.part")
        part.write_text("kept")
    later = tmp_path / "later"  # to a process a folder is new but once
    later.mkdir()
    for left in (old, young):
        (later / left.name).write_text("half")
    os.utime(later / old.name, (time.time() - STALE - 60,) * 2)
    with whole(later / "new") as part:
        part.write_text("new")
    assert {path.name for path in later.iterdir()} == {"new", young.name}, "the young one may be another's at work"


DAMAGES = {
    "truncated": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "random": lambda content: bytes(range(1, 256)) * 40,
    "text": lambda content: b"Service unavailable\n",
}


@pytest.mark.parametrize("damage", [*DAMAGES, "foreign"])
def test_a_damaged_checkpoint_is_one_sentence(tmp_path: Path, damage: str) -> None:
    network, path = torch.nn.Linear(2, 2), tmp_path / "checkpoint.pt"
    optimizer = torch.optim.Adam(network.parameters())
    save_progress(path, "recipe", network, optimizer, {"weight": torch.ones(2)}, epoch=1)
    averaged: dict[str, torch.Tensor] = {}
    restored = restore_progress(path, "recipe", network, optimizer, averaged)
    assert restored is not None and restored["epoch"] == 1 and averaged["weight"].tolist() == [1, 1]
    if damage == "foreign":
        write_checkpoint(path, {"state": 1})
    else:
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(DataError, match=r"checkpoint\.pt is damaged.*delete it"):
        restore_progress(path, "recipe", network, optimizer, averaged)


def test_a_network_that_may_not_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    save_network({"weight": torch.ones(2, 3).T}, path)
    assert read_network(path)["weight"].shape == (3, 2)
    usual = tmp_path / "usual"
    usual.write_bytes(b"")
    assert path.stat().st_mode == usual.stat().st_mode, "who may read other files of the run may read this one"
    # A folder can't be read as a file, whoever one is; root may read all files.
    for read in (read_network, lambda one: read_checkpoint(one, ())):
        with pytest.raises(DataError, match=r"can't be read \(Is a directory\); ask for the right"):
            read(tmp_path)


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(path, {"step": 1})

    def fill(content: object, part: Path) -> None:
        part.write_bytes(b"half")
        raise RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0")

    monkeypatch.setattr(torch, "save", fill)
    with pytest.raises(DataError, match=r"checkpoint\.pt can't be written \(perhaps no space is left\); make room"):
        write_checkpoint(path, {"step": 2})
    assert torch.load(path, weights_only=True) == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="expected auto, bfloat16 or float32, got 'half'"):
        resolved("half")

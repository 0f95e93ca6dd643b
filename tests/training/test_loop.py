"""What the training loops share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from leuk.training.loop import mixed, resolved, whole


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


def test_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="expected auto, bfloat16 or float32, got 'half'"):
        resolved("half")

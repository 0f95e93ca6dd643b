"""What the benchmarks count."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest


def test_two_blasts_in_one_outline_are_found_and_not_apart(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    from benchmarks.segmentation import blasts

    for name in ("im", "xyc"):
        (tmp_path / name).mkdir()
    path = tmp_path / "im" / "a_1.png"
    cv2.imwrite(str(path), np.full((40, 40, 3), 200, np.uint8))
    (tmp_path / "xyc" / "a_1.xyc").write_text("5 5\n15 5\n5 30\n35 35\n", encoding="ascii")

    def find(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        labels = np.zeros(pixels.shape[:2], np.int32)
        labels[:10, :20], labels[25:, :10] = 1, 2
        return labels > 0, labels

    assert blasts(find, [path])[0] == (4, 3, 1)

"""Lobes of one cell come together, blasts stay apart, platelets go."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from leuk.data.synthetic import generate
from leuk.segmentation import METHODS
from leuk.segmentation.default import dye_and_path
from leuk.segmentation.instances import pieces
from leuk.segmentation.lobes import join_lobes, without_platelets


class Uniting(torch.nn.Module):
    """Draws everything that it is shown, gaps closed, as one cell."""

    stride = 16

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        nucleus, cell = x[:, 3:4], x[:, 4:5]
        wide = functional.max_pool2d(cell, 41, 1, 20)
        closed = -functional.max_pool2d(-wide, 41, 1, 20)
        return 8 * torch.cat([nucleus, closed, closed], 1)


def disks(*places: tuple[float, float, float], size: tuple[int, int] = (160, 240)) -> np.ndarray:
    """Labels 1 … N of disks (x, y, radius)."""
    y, x = np.mgrid[: size[0], : size[1]]
    labels = np.zeros(size, np.int32)
    for label, (cx, cy, radius) in enumerate(places, start=1):
        labels[np.hypot(x - cx, y - cy) < radius] = label
    return labels


def joined(labels: np.ndarray, nucleus: np.ndarray) -> int:
    pixels = np.random.default_rng(0).integers(90, 200, (*labels.shape, 3), dtype=np.uint8)
    return len(np.unique(join_lobes(Uniting, pixels, nucleus, labels))) - 1


def test_a_nucleus_of_thin_lobes_is_kept_and_a_thread_is_not() -> None:
    y, x = np.mgrid[:80, :120]
    band = (np.abs(np.hypot(x - 30, y - 40) - 10) < 2.5) & ~((x > 30) & (np.abs(y - 40) < 4))
    thread = (np.abs(y - 40) < 2) & (x > 70) & (x < 100)
    found = pieces(band | thread, 12.0)
    assert np.array_equal(found > 0, band)


def test_lobes_in_wide_cytoplasm_are_one_cell() -> None:
    cells, lobes = disks((90, 80, 24), (142, 80, 24)), disks((90, 80, 13), (142, 80, 13))
    assert joined(cells, lobes > 0) == 1


def test_a_fragment_beside_a_nucleus_belongs_to_it() -> None:
    cells, nuclei = disks((90, 80, 30), (134, 80, 13)), disks((90, 80, 28), (134, 80, 12))
    assert joined(cells, nuclei > 0) == 1


def test_blasts_that_touch_stay_two() -> None:
    cells, nuclei = disks((90, 80, 24), (138, 80, 24)), disks((90, 80, 22), (138, 80, 22))
    assert joined(cells, nuclei > 0) == 2


def test_cells_far_apart_are_not_asked_about() -> None:
    def never() -> Uniting:
        raise AssertionError("the network was asked")

    cells, nuclei = disks((60, 80, 24), (180, 80, 24)), disks((60, 80, 12), (180, 80, 12))
    pixels = np.full((*cells.shape, 3), 180, np.uint8)
    np.testing.assert_array_equal(join_lobes(never, pixels, nuclei > 0, cells), cells)


def test_a_joined_cell_takes_nothing_from_others() -> None:
    cells = disks((70, 80, 24), (122, 80, 24), (96, 130, 20))
    nuclei = disks((70, 80, 13), (122, 80, 13), (96, 130, 19)) > 0
    pixels = np.full((*cells.shape, 3), 180, np.uint8)
    found = join_lobes(Uniting, pixels, nuclei, cells)
    assert (found[cells > 0] > 0).all()
    third = found[130, 96]
    assert (found[cells == 3] == third).all()


def test_platelets_go_and_what_the_edge_cuts_stays() -> None:
    labels = disks((60, 60, 30), (150, 60, 28), (110, 120, 9), (236, 120, 9))
    kept = without_platelets(labels)
    assert set(np.unique(kept)) == {0, 1, 2, 4}
    np.testing.assert_array_equal(kept[kept > 0], labels[kept > 0])


@pytest.mark.parametrize("places", [(), ((60, 60, 5),), ((60, 60, 20), (130, 60, 11))])
def test_nothing_goes_without_a_reason(places: tuple[tuple[float, float, float], ...]) -> None:
    labels = disks(*places)
    np.testing.assert_array_equal(without_platelets(labels), labels)


def test_without_the_segmenter_lobes_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEUK_WEIGHTS", str(tmp_path))
    pixels = generate(4, 224, 224, style="early", cells=5).image.pixels
    nucleus, labels = METHODS["default"].locate(pixels)
    plain = dye_and_path(pixels)
    np.testing.assert_array_equal(labels, without_platelets(plain[1]))
    assert not (nucleus & (labels == 0)).any()

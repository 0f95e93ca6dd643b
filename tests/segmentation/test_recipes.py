from __future__ import annotations

import numpy as np
import pytest

from leuk.segmentation import recipes


def test_kmeans_finds_the_best_partition_of_all() -> None:
    counts = np.zeros(256)
    levels = np.array([3, 10, 11, 60, 64, 70, 200, 201, 255])
    counts[levels] = [5, 1, 9, 2, 2, 7, 1, 3, 4]
    table, centers = recipes.kmeans_1d(counts, 3)

    def spread(cuts: tuple[int, int]) -> float:
        total = 0.0
        for part in np.split(levels, cuts):
            mean = np.average(part, weights=counts[part])
            total += float((counts[part] * (part - mean) ** 2).sum())
        return total

    best = min((spread((i, j)), (i, j)) for i in range(1, 8) for j in range(i + 1, 9))[1]
    np.testing.assert_array_equal(np.diff(table[levels]).nonzero()[0] + 1, best)
    np.testing.assert_allclose(centers, [np.average(part, weights=counts[part]) for part in np.split(levels, best)])


def test_fewer_levels_than_clusters_are_clusters_of_their_own() -> None:
    counts = np.zeros(256)
    counts[[7, 9]] = 5
    table, centers = recipes.kmeans_1d(counts, 7)
    np.testing.assert_array_equal(centers, [7, 9])
    assert (table[7], table[9]) == (0, 1)


@pytest.mark.parametrize(("smaller_than", "filled"), [(None, [True, True]), (10, [True, False]), (4, [False, False])])
def test_holes_are_filled_up_to_a_size(smaller_than: int | None, filled: list[bool]) -> None:
    mask = np.zeros((30, 30), bool)
    mask[5:25, 5:25] = True
    mask[7:9, 7:9] = False  # 4 pixels
    mask[12:18, 12:18] = False  # 36 pixels
    result = recipes.fill_holes(mask, smaller_than)
    assert [result[7, 7], result[14, 14]] == filled
    assert not result[0, 0]


def test_the_window_takes_its_own_purple_only() -> None:
    pixels = np.full((100, 100, 3), 240, np.uint8)
    pixels[10:40, 10:40] = (110, 60, 190)  # hue 131.5 of 180
    pixels[60:90, 60:90] = (220, 160, 150)  # the pink of red cells
    nucleus, labels = recipes.hsv_window(pixels)
    assert nucleus[20, 20]
    assert nucleus.sum() == 900
    assert labels.max() == 1

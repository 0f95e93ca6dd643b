from __future__ import annotations

import cv2
import numpy as np
import pytest

from leuk.segmentation import Segmentation, morphometry, nucleus_labels, outlines, to_mask_image


@pytest.fixture
def made() -> Segmentation:
    """Two cells; the second has a nucleus of two lobes."""
    instances = np.zeros((60, 100), np.int32)
    cv2.circle(instances, (25, 30), 20, 1, -1)
    cv2.circle(instances, (72, 30), 22, 2, -1)
    nucleus = np.zeros((60, 100), np.uint8)
    for x in (25, 63, 82):
        cv2.circle(nucleus, (x, 30), 6, 1, -1)
    cells = morphometry.measure(np.zeros((60, 100, 3), np.uint8), nucleus > 0, instances)
    return Segmentation(nucleus > 0, instances > 0, instances, cells, "default")


def test_mask_image_has_three_levels(made: Segmentation) -> None:
    drawn = to_mask_image(made)
    assert drawn.dtype == np.uint8
    assert drawn.shape == (60, 100)
    np.testing.assert_array_equal(drawn == 255, made.nucleus)
    np.testing.assert_array_equal(drawn == 128, made.cell & ~made.nucleus)
    np.testing.assert_array_equal(drawn == 0, ~made.cell)


@pytest.mark.parametrize("tolerance", [0, 0.5, 1.5])
def test_outlines_enclose_what_they_trace(made: Segmentation, tolerance: float) -> None:
    traced = outlines(made.instances, tolerance)
    assert [label for label, _ in traced] == [1, 2]
    for label, points in traced:
        filled = np.zeros((60, 100), np.uint8)
        cv2.fillPoly(filled, [np.round((np.array(points) - 0.5) * 16).astype(np.int32)], 1, shift=4)
        truth = made.instances == label
        assert 2 * (filled.astype(bool) & truth).sum() / (filled.sum() + truth.sum()) > 0.95


def test_more_tolerance_means_fewer_corners(made: Segmentation) -> None:
    corners = [sum(len(points) for _, points in outlines(made.instances, t)) for t in (0, 0.5, 2)]
    assert corners[0] > corners[1] > corners[2] > 5


def test_lobes_of_one_nucleus_are_polygons_of_one_label(made: Segmentation) -> None:
    assert sorted(label for label, _ in outlines(nucleus_labels(made))) == [1, 2, 2]


def test_parts_of_a_mask_are_numbered() -> None:
    mask = np.zeros((9, 9), bool)
    mask[1:4, 1:4] = mask[6:9, 6:9] = True
    assert sorted(label for label, _ in outlines(mask)) == [1, 2]


def test_a_dot_and_a_line_still_have_an_inside() -> None:
    mask = np.zeros((9, 9), bool)
    mask[2, 2] = True
    mask[5, 3:8] = True
    assert sorted(points for _, points in outlines(mask)) == [
        [(2.0, 2.0), (3.0, 2.0), (3.0, 3.0), (2.0, 3.0)],
        [(3.0, 5.0), (8.0, 5.0), (8.0, 6.0), (3.0, 6.0)],
    ]


@pytest.mark.parametrize("empty", [np.zeros((4, 4), bool), np.zeros((4, 4), np.int32), np.zeros((1, 1), bool)])
def test_nothing_has_no_outlines(empty: np.ndarray) -> None:
    assert outlines(empty) == []


@pytest.mark.parametrize(("labels", "tolerance"), [(np.zeros((3, 3, 3), bool), 1.0), (np.zeros((3, 3), bool), -1.0)])
def test_wrong_input_to_outlines_is_refused(labels: np.ndarray, tolerance: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        outlines(labels, tolerance)

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from leuk.segmentation import Cell, Segmentation

CELL = Cell(
    label=1,
    box=(2, 1, 6, 5),
    area=16,
    nucleus_area=4,
    nc_ratio=0.25,
    eccentricity=0.0,
    circularity=0.8,
    solidity=1.0,
    mean_color=(10.0, 20.0, 30.0),
    touches_border=False,
)


def arrays() -> dict[str, Any]:
    instances = np.zeros((8, 9), np.int32)
    instances[1:5, 2:6] = 1
    nucleus = np.zeros((8, 9), bool)
    nucleus[2:4, 3:5] = True
    return {"nucleus": nucleus, "cell": instances > 0, "instances": instances, "cells": (CELL,), "method": "default"}


def test_accepts_what_fits_together() -> None:
    assert Segmentation(**arrays()).cell_diameter == pytest.approx(2 * (16 / np.pi) ** 0.5)


def test_arrays_are_read_only_and_the_callers_own_stay_writable() -> None:
    given = arrays()
    made = Segmentation(**given)
    for name in ("nucleus", "cell", "instances"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(made, name)[0, 0] = 1
        assert given[name].flags.writeable


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"label": 0}, ValueError, "label: expected 1 or more, got 0"),
        ({"box": (2, 1, 2, 5)}, ValueError, "box: expected"),
        ({"box": (-1, 1, 6, 5)}, ValueError, "box: expected"),
        ({"area": 17}, ValueError, "area: expected 1 to 16"),
        ({"area": 0}, ValueError, "area: expected 1"),
        ({"nucleus_area": 17}, ValueError, "nucleus_area: expected 0 to 16"),
        ({"nc_ratio": 0.5}, ValueError, "nc_ratio: expected 4 / 16, got 0.5"),
        ({"circularity": 1.2}, ValueError, "circularity: expected 0 to 1, got 1.2"),
        ({"solidity": float("nan")}, ValueError, "solidity: expected 0 to 1, got nan"),
        ({"mean_color": (0.0, 0.0, 256.0)}, ValueError, "mean_color: expected R, G, B"),
        ({"indentation": 1.5}, ValueError, "indentation: expected 0 to 1, got 1.5"),
        ({"lobes": -1}, ValueError, "lobes: expected 0 or more"),
        ({"chromatin_texture": float("nan")}, ValueError, "chromatin_texture: expected 0 or more"),
        ({"basophilia": float("inf")}, ValueError, "basophilia: expected an optical density"),
    ],
)
def test_a_cell_checks_itself(change: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        replace(CELL, **change)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"nucleus": np.zeros((8, 9), np.uint8)}, TypeError, "nucleus: expected an array of bool, got uint8"),
        ({"instances": [[0]]}, TypeError, "instances: expected an array of int32, got list"),
        ({"nucleus": np.zeros((8, 8), bool)}, ValueError, r"nucleus: expected the shape of instances \(8, 9\)"),
        ({"cell": np.zeros((8, 9), bool)}, ValueError, "cell: expected instances > 0"),
        ({"nucleus": np.ones((8, 9), bool)}, ValueError, "nucleus: expected a subset of cell"),
        ({"cells": ()}, ValueError, "instances: expected labels 0 to 0, got 0 to 1"),
        ({"cells": (replace(CELL, label=2),)}, ValueError, "cells: expected label 1 at position 0, got 2"),
        ({"cells": (replace(CELL, box=(3, 1, 7, 5)),)}, ValueError, "expected 16 pixels of label 1 in its box, got 12"),
    ],
)
def test_a_segmentation_checks_itself(change: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Segmentation(**{**arrays(), **change})


def test_diameter_leaves_out_cut_cells_unless_there_are_no_others() -> None:
    none = np.zeros((8, 9), np.int32)
    assert Segmentation(none > 0, none > 0, none, (), "default").cell_diameter is None
    instances = np.zeros((8, 9), np.int32)
    instances[:2, :2] = 1
    instances[4:7, 4:7] = 2
    small = replace(CELL, box=(0, 0, 2, 2), area=4, nucleus_area=0, nc_ratio=0.0, touches_border=True)
    large = replace(CELL, label=2, box=(4, 4, 7, 7), area=9, nucleus_area=0, nc_ratio=0.0)
    both = Segmentation(instances < 0, instances > 0, instances, (small, large), "default")
    assert both.cell_diameter == pytest.approx(2 * (9 / np.pi) ** 0.5)
    only = np.minimum(instances, 1) * (instances == 1)
    cut = Segmentation(only < 0, only > 0, only.astype(np.int32), (small,), "default")
    assert cut.cell_diameter == pytest.approx(2 * (4 / np.pi) ** 0.5)

"""Painting cells out: they go, the rest stays."""

from __future__ import annotations

import numpy as np

from leuk.data.erase import erase_cells
from leuk.data.synthetic import generate


def test_cells_go_and_the_rest_stays() -> None:
    smear = generate(3, 224, 224, style="pre", cells=5)
    erased = erase_cells(smear.image.pixels, smear.cell, np.random.default_rng(0))
    changed = (erased != smear.image.pixels).any(axis=2)
    assert changed[smear.nucleus].mean() > 0.9
    assert changed[~smear.cell].mean() < 0.15
    # Nuclei take green light away; what stands in their place lets it through like the rest of the field.
    assert erased[smear.nucleus][:, 1].mean() > smear.image.pixels[smear.nucleus][:, 1].mean() + 30


def test_field_full_of_cells_and_empty_field() -> None:
    smear = generate(3, 96, 96, style="pre", cells=1, cell_diameter=20)
    everything = np.ones((96, 96), bool)
    assert erase_cells(smear.image.pixels, everything, np.random.default_rng(0)).shape == (96, 96, 3)
    nothing = erase_cells(smear.image.pixels, ~everything, np.random.default_rng(0))
    np.testing.assert_array_equal(nothing, smear.image.pixels)

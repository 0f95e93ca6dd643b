"""What is left of a suggestion where field and cells disagree."""

from dataclasses import replace

import numpy as np
import pytest

from leuk.analysis import analyze, doubted
from leuk.cells import TYPES, CellType
from leuk.classification import CANNOT_TELL
from leuk.data.synthetic import generate
from tests.readings import make


def types(*kinds):
    p = tuple(float(key == "lymphocyte") for key in TYPES)
    return [CellType(label, kind, p) for label, kind in enumerate(kinds, 1)]


BLASTS, NONE = types(*["blast"] * 3, *["lymphocyte"] * 4), types(*["lymphocyte"] * 7)


@pytest.mark.parametrize(
    ("suggestion", "cells", "farness", "alike", "left"),
    [
        ("benign", BLASTS, 0.95, False, CANNOT_TELL),
        ("pre_b", NONE, 0.95, False, CANNOT_TELL),
        ("benign", NONE, 0.95, False, "benign"),
        ("pre_b", BLASTS, 0.95, False, "pre_b"),
        # Hematogones look like blasts: what is well known, or as the training photographs are, stands.
        ("benign", BLASTS, 0.7, False, "benign"),
        ("benign", BLASTS, 0.95, True, "benign"),
        ("benign", BLASTS[:3], 0.95, False, "benign"),
        ("benign", [], 0.95, False, "benign"),
    ],
)
def test_a_hardly_known_field_at_odds_with_its_cells_is_not_suggested(suggestion, cells, farness, alike, left):
    read = replace(make(suggestion=suggestion).prediction, farness=farness, reasons=("It was dark.",))
    found = doubted(read, cells, alike=alike)
    assert found.suggestion == left
    if left == suggestion:
        assert found == read
    else:
        assert found.reasons[1:] == read.reasons
        assert "close to the limit of what the model has learnt from: neither is relied on." in found.reasons[0]
        assert found.probabilities == read.probabilities
        assert doubted(found, cells, alike=alike) == found


def test_what_lies_outside_is_further_than_the_limit(monkeypatch):
    monkeypatch.delenv("LEUK_WEIGHTS", raising=False)
    image = generate(3, 224, 224, style="pre", cells=7).image
    known = analyze(image).prediction
    foreign = analyze(replace(image, pixels=np.ascontiguousarray(image.pixels[..., ::-1]))).prediction
    assert 0 < known.farness <= 1 < foreign.farness
    assert (known.outside, foreign.outside) == (False, True)

"""Bundled weights reproduce what their cards say of them, on the fold that they have not seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from leuk.classification import forward
from leuk.data.datasets import load_dataset, random_folds
from leuk.data.taleqani import load_fields
from leuk.image import read_image
from leuk.models.cards import available, read_card, weights_folder
from leuk.models.preprocessing import CELLS, hide_corner
from leuk.models.store import load_model
from leuk.models.systems import BINARY, SYSTEMS
from leuk.training.cell_reader import outline, tiles_of
from leuk.training.predictions import predictions_path, read_predictions
from leuk.training.reader import bundled_networks, run_network, shrink

SMALL = 10_000_000


def _shipped() -> list[str]:
    """Names of bundled systems whose weights are small and tell which fold they have not seen."""
    found = []
    for name in available():
        if name in SYSTEMS:
            card = read_card(weights_folder() / f"{name}.json")
            size = sum(path.stat().st_size for path in card.files(weights_folder()))
            if "weights" in card.metrics and size < SMALL:
                found.append(name)
    return found


@pytest.mark.parametrize("name", _shipped())
def test_weights_reproduce_their_card(name: str, data_dir: Path) -> None:
    """The card's figure is that of its table of predictions, and the weights say field by field what the table does."""
    model = load_model(name, "cpu")
    known, partition = model.card.metrics["weights"], model.card.training["partition"]
    dataset, table = load_dataset(data_dir / "taleqani"), read_predictions(predictions_path(name, partition))
    assert dataset.fold is not None
    assert table.files == dataset.files
    folds = dataset.fold if partition == "grouped" else random_folds(dataset.labels)
    rows = np.flatnonzero(folds == known["fold"])
    assert np.array_equal(rows, np.flatnonzero(table.folds == known["fold"]))
    assert len(rows) == known["fields"]
    labels = (dataset.labels > 0).astype(int) if model.card.classes == BINARY else dataset.labels
    told = table.probabilities.argmax(1)
    assert (told[rows] == labels[rows]).mean() == pytest.approx(known["accuracy"], abs=1e-4)
    wrong, some = 0, rows[::3]
    for start in range(0, len(some), 64):
        part = some[start : start + 64]
        pixels = [read_image(dataset.path(row)).pixels for row in part]
        if model.card.preprocessing == CELLS:
            logits = np.stack([forward(model, tiles_of(field, outline(field)))[0].mean(0) for field in pixels])
        else:
            logits, _ = forward(model, np.stack([hide_corner(field) for field in pixels]))
        wrong += int((logits.argmax(1) != told[part]).sum())
    # A field on the edge between two classes may fall the other way on another processor.
    assert wrong <= 2


def test_the_readers_folds_reproduce_its_figures(data_dir: Path) -> None:
    fields = load_fields(data_dir / "taleqani")
    table = read_predictions(predictions_path("reader", "grouped"))
    assert table.files == fields.files
    wrong = 0
    for fold, network in bundled_networks(fields).items():
        rows = np.flatnonzero(fields.folds == fold)[::5]
        logits, _ = run_network(network, [shrink(fields.pixels[i]) for i in rows])
        wrong += int((logits.argmax(1) != table.probabilities[rows].argmax(1)).sum())
    # Of some 500 fields; one between two classes may fall the other way on another processor.
    assert wrong <= 2

"""Tables of predictions come back as they went, wrong ones are refused, and the random partition is even."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from leuk.data.datasets import random_folds
from leuk.data.inspection import read_table
from leuk.errors import DataError
from leuk.training.predictions import (
    PARTITIONS,
    Predictions,
    predictions_path,
    read_predictions,
    shipped,
    write_predictions,
)

CLASSES = ("benign", "early_pre_b", "pre_b", "pro_b")


def some(count: int = 12, **changed: object) -> Predictions:
    rng = np.random.default_rng(0)
    content = {
        "system": "simple_cnn",
        "partition": "random",
        "files": tuple(f"Original/{i}.jpg" for i in range(count)),
        "labels": np.arange(count) % 4,
        "folds": np.arange(count) % 5,
        "classes": CLASSES,
        "probabilities": rng.dirichlet(np.ones(4), count),
    }
    return Predictions(**{**content, **changed})  # type: ignore[arg-type]


def test_a_table_comes_back_as_it_went(tmp_path: Path) -> None:
    path = predictions_path("simple_cnn", "random", tmp_path)
    write_predictions(some(), path)
    first = path.read_bytes()
    back = read_predictions(path)
    assert (back.system, back.partition, back.classes, back.files) == ("simple_cnn", "random", CLASSES, some().files)
    np.testing.assert_array_equal(back.labels, some().labels)
    np.testing.assert_array_equal(back.folds, some().folds)
    np.testing.assert_allclose(back.probabilities, some().probabilities, rtol=1e-5)
    write_predictions(some(), path)
    assert path.read_bytes() == first
    assert shipped(tmp_path) == {("simple_cnn", "random"): path}


def test_logits_of_a_sure_network_come_back_too(tmp_path: Path) -> None:
    logits = np.array([[0.0, 40.0, -60.0, 3.0], [90.0, 0.0, 1.0, -2.0]])
    p = np.exp(logits - logits.max(1, keepdims=True))
    path = tmp_path / "simple_cnn.random.csv"
    write_predictions(some(2, probabilities=p / p.sum(1, keepdims=True)), path)
    back = read_predictions(path).logits
    np.testing.assert_allclose(np.diff(back, axis=1), np.diff(logits, axis=1), atol=1e-3)
    # What another system's table rounds to 0 is no less likely than the least that it tells.
    rounded = some(2, probabilities=np.array([[1.0, 0.0, 0.0, 0.0], [0.5, 0.5 - 1e-20, 1e-20, 0.0]]))
    assert rounded.logits.min() == pytest.approx(np.log(1e-20))


def test_a_name_that_is_not_utf_8_comes_back_too(tmp_path: Path) -> None:
    files = (os.fsdecode(b"b/caf\xe9.png"), "b/caf\u00e9.png")
    path = tmp_path / "simple_cnn.random.csv"
    write_predictions(some(2, files=files), path)
    assert read_predictions(path).files == files
    assert read_table(path.read_bytes(), path.name).files == files


@pytest.mark.parametrize(
    "changed",
    [
        {"partition": "leaky"},
        {"files": ("a",) * 12},
        {"labels": np.full(12, 4)},
        {"folds": np.zeros(3, int)},
        {"probabilities": np.full((12, 4), 0.5)},
        {"probabilities": np.full((12, 4), np.nan)},
        {"probabilities": np.full((12, 3), 1 / 3)},
    ],
)
def test_what_does_not_fit_together_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        some(**changed)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.random.csv.gz", b"no gzip"),
        ("a.random.csv.gz", gzip.compress(b"file,class\nx,benign\n")),
        ("a.random.csv.gz", gzip.compress(b"file,class,fold,p_benign,p_pre_b\nx,pro_b,0,0.5,0.5\n")),
        ("a.random.csv.gz", gzip.compress(b"file,class,fold,p_benign,p_pre_b\nx,pre_b,0,0.9,0.5\n")),
        ("a.leaky.csv", b"file,class,fold,p_benign,p_pre_b\nx,pre_b,0,0.5,0.5\n"),
        ("a.random.csv", b"file,class,fold,p_a\nx,a,99999999999999999999999,1\n"),
        ("a.random.csv", b""),
        ("a.random.csv", b"file,class,fold,p_benign,p_pre_b\n"),
        ("a.random.csv", b"x" * 200_000),
    ],
)
def test_what_is_no_table_is_refused_in_one_sentence(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError) as refused:
        read_predictions(tmp_path / name)
    assert str(refused.value).endswith(".")


def test_random_folds_are_even_and_repeat() -> None:
    labels = np.repeat([0, 1, 2, 3], [393, 721, 764, 638])
    folds = random_folds(labels)
    np.testing.assert_array_equal(folds, random_folds(labels))
    assert (folds != random_folds(labels, seed=1)).any()
    assert np.ptp(np.bincount(folds)) <= 1
    for label in range(4):
        assert np.ptp(np.bincount(folds[labels == label])) <= 1


@pytest.mark.parametrize("key", sorted(shipped()))
def test_shipped_tables_are_of_the_public_set_and_small(key: tuple[str, str]) -> None:
    from leuk.training.results import pseudo_sessions

    path = shipped()[key]
    table = read_predictions(path)
    assert (table.system, table.partition) == key
    assert key[1] in PARTITIONS
    assert set(table.files) <= set(pseudo_sessions())
    assert path.stat().st_size < 100_000

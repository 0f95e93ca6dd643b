"""From a run's networks to weights and a card: figures out of fold, what is familiar, how strong heat maps are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from leuk.classification import describe_classes, distance, run_network
from leuk.errors import ModelError
from leuk.explanation import EXPLAINERS, peaks, raw_maps
from leuk.image import SmearImage
from leuk.models.cards import Card, differs, read_card, write_card
from leuk.models.preprocessing import hide_corner
from leuk.models.store import Model, save_model
from leuk.models.systems import SPLIT, TALEQANI, WITH, WITHOUT, System, started
from leuk.probability import softmax
from leuk.segmentation import segment
from leuk.training import metrics
from leuk.training.fields import FIELD, TrainingSet
from leuk.training.loop import read_log, shortened
from leuk.training.presets import fewer, no_verdict
from leuk.training.provenance import PUBLIC, bounds, is_public, partitioned
from leuk.training.reader import CAMERA, versions
from leuk.training.results import unrest
from leuk.training.stress import STRESSES
from leuk.training.systems import (
    Run,
    arguments_of,
    folds_done,
    held_range,
    load_fold_network,
    normalizes,
    predict,
    present,
    system_of,
)

MOST = 400
"""Training fields by which the familiar is described, each as photographed and under one change of the camera."""
EVERYDAY = tuple(name for name in CAMERA if name != "brightness x1.4")
"""Changes under which 99 % of unseen fields count as known; over-exposure loses what it clips and may be foreign."""


def familiarity(
    network: nn.Module, system: System, size: int, pixels: np.ndarray, labels: np.ndarray, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Describe training fields, as photographed and under a random change of the camera each.

    Returns
    -------
    means, precision : numpy.ndarray
        As `leuk.classification.describe_classes` returns them.
    """
    rng = np.random.default_rng([seed, 11])
    chosen = rng.permutation(len(pixels))[:MOST]
    embeddings = np.concatenate(
        [
            _embed(network, system, size, pixels[chosen]),
            _embed(network, system, size, _changed(pixels[chosen], rng)),
        ]
    )
    return describe_classes(embeddings, np.concatenate([labels[chosen], labels[chosen]]))


def _changed(pixels: np.ndarray, rng: np.random.Generator, kinds: Sequence[str] = CAMERA) -> np.ndarray:
    return np.stack([STRESSES[kinds[int(rng.integers(len(kinds)))]](field, rng) for field in pixels])


def _embed(network: nn.Module, system: System, size: int, pixels: np.ndarray) -> np.ndarray:
    device = next(network.parameters()).device
    return run_network(network, present(pixels, system, size), device)[1].astype(np.float64)


def _figures(
    labels: np.ndarray, logits: np.ndarray, folds: np.ndarray, groups: np.ndarray, classes: Sequence[str]
) -> tuple[dict[str, Any], float]:
    """Return figures of out-of-fold predictions, and the temperature of all of them.

    Each fold's own temperature is fitted on the other folds; with one fold only there is none, and calibrated figures
    are left out. A figure that the fields can't give is None.
    """
    several = len(np.unique(folds)) > 1
    temperature = metrics.fit_temperature(labels, logits)
    plain = softmax(logits, 1.0)
    # Which of two fields is likelier malignant is told from scores as they are: different temperatures would change the
    # order between fields of different folds.
    probabilities = plain.copy()
    if several:
        for fold in np.unique(folds):
            held = folds == fold
            probabilities[held] = softmax(logits[held], metrics.fit_temperature(labels[~held], logits[~held]))

    def told(metric: metrics.Metric) -> dict[str, Any] | None:
        value = metric(labels, plain)
        if np.isnan(value):
            return None
        low, high = metrics.group_interval(metric, labels, plain, groups)
        return {"value": round(value, 4), "interval": [round(low, 4), round(high, 4)]}

    found: dict[str, Any] = {
        "fields": len(labels),
        "folds": [int(fold) for fold in np.unique(folds)],
        "accuracy": told(metrics.accuracy),
        "balanced_accuracy": told(metrics.balanced_accuracy),
        "macro_f1": told(metrics.macro_f1),
        "benign_recall": told(metrics.benign_recall),
        "malignant_sensitivity": told(metrics.malignant_sensitivity),
        "malignant_auroc": told(metrics.malignant_auroc),
        "recall": {
            name: None if np.isnan(value) else round(float(value), 4)
            for name, value in zip(classes, metrics.recalls(labels, probabilities), strict=True)
        },
        "confusion": metrics.confusion(labels, probabilities.argmax(1), len(classes)).tolist(),
        "ece_before": round(metrics.calibration_error(labels, plain), 4),
        "brier_before": round(metrics.brier(labels, plain), 4),
    }
    if several:
        found["ece"] = round(metrics.calibration_error(labels, probabilities), 4)
        found["brier"] = round(metrics.brier(labels, probabilities), 4)
    return found, temperature


def finish(
    run: Run, data: TrainingSet, folder: Path, weights: Path, *, device: str = "auto", tell: Callable[[str], None]
) -> Card:
    """Measure a run's networks out of fold and write the first fold's as the system's weights, with its card.

    The card's figures are those of all trained folds; ``metrics.weights`` are those that the weights themselves
    reproduce, on the fold they have not seen. Where weights of the grouped partition and the same training are there
    already, a run on the random one only adds its figures to their card, as ``metrics.random``; where they are of
    another training, they stay, and the run's own go into its folder. What was written, and what was left, is told.

    Parameters
    ----------
    run : Run
    data : TrainingSet
        The run's own.
    folder : pathlib.Path
        Of the run.
    weights : pathlib.Path
        Where ``SYSTEM.safetensors`` and ``SYSTEM.json`` go.
    device : str
    tell : callable
        Given a line of progress.

    Returns
    -------
    Card
    """
    system, done = system_of(run), folds_done(folder)
    where = "cpu" if device == "auto" and not torch.cuda.is_available() else device.replace("auto", "cuda")
    logits = np.zeros((len(data.labels), len(run.classes)), np.float32)
    for fold in done:
        held = data.folds == fold
        logits[held] = predict(load_fold_network(folder, fold, where), system, data.pixels[held], run.size)
        tell(f"fold {fold}: accuracy {metrics.accuracy(data.labels[held], logits[held]):.4f}")
    rows = np.isin(data.folds, done)
    figures, temperature = _figures(data.labels[rows], logits[rows], data.folds[rows], data.groups[rows], run.classes)
    figures = {"unit": "field", "partition": partitioned(data.files, run.partition)} | figures
    path = weights / f"{system.name}.json"
    old = _card_there(path)
    trained = {
        "data_sha256": data.fingerprint(),
        "preset": run.preset,
        "pretrained": run.pretrained,
        "seed": run.seed,
    }
    other = differs(old, trained) if old is not None else ""
    if run.partition == "random" and old is not None and old.training.get("partition") == "grouped":
        if not other:
            written = replace(old, metrics=dict(old.metrics) | {"random": figures})
            write_card(written, path)
            tell(
                f"{path}: figures of the random partition are added; the weights, of the grouped one, stay as they are"
            )
            return written
        if weights.resolve() != folder.resolve():
            tell(f"{path} stays as it is, its weights too: of the grouped partition and another training ({other})")
            weights = folder
            old = _card_there(weights / path.name)
            other = differs(old, trained) if old is not None else ""
    tell("measuring what is familiar and how strong heat maps are")
    first = done[0]
    network = load_fold_network(folder, first, where)
    seen, held = np.flatnonzero(data.folds != first), np.flatnonzero(data.folds == first)
    means, precision = familiarity(network, system, run.size, data.pixels[seen], data.labels[seen])
    some = held[:: max(1, len(held) // 200)]
    shots = np.concatenate([data.pixels[some], _changed(data.pixels[some], np.random.default_rng(7), EVERYDAY)])
    familiar = float(np.quantile(distance(_embed(network, system, run.size, shots), means, precision), 0.99))
    figures["weights"] = {
        "fold": first,
        "fields": len(held),
        "accuracy": round(metrics.accuracy(data.labels[held], logits[held]), 4),
        "macro_f1": round(metrics.macro_f1(data.labels[held], logits[held]), 4),
    }
    before = ""
    if old is not None:
        if not other and (own := old.training.get("partition")) != run.partition:
            other = f"the {run.partition} partition instead of the {own} one"
        if not other and "random" in old.metrics:
            figures["random"] = old.metrics["random"]
            before = ", in place of the same training's, of whose figures those of the random partition are kept"
        else:
            before = f", in place of those of {f'another training ({other})' if other else 'the same training'}"
            before += ", of whose figures none is kept"
    card = Card(
        name=system.name,
        title=system.title,
        architecture=system.architecture,
        arguments=system.network_arguments(run.size) | arguments_of(folder, first),
        classes=run.classes,
        sha256="",
        tile=FIELD,
        cell_diameter=typical_diameter(data),
        photo_scale=1.0,
        temperature=round(temperature, 4),
        familiar=round(familiar, 3),
        confident=least_confident(len(run.classes)),
        strong=dict.fromkeys(EXPLAINERS, 1.0),
        training={
            "data": PUBLIC if is_public(data.files) else run.data,
            "partition": run.partition,
            "fields": int(len(seen)),
            "fields_by_class": {name: int((data.labels[seen] == i).sum()) for i, name in enumerate(run.classes)},
            "split": f"weights: the network of fold {first}, trained on the other folds; figures: out of fold, of "
            f"fold{'s' if len(done) > 1 else ''} {', '.join(map(str, done))}",
            # Of a network that keeps no statistics, none were counted.
            "preset": run.preset | {"recount": run.preset["recount"] and normalizes(network)},
            "pretrained": run.pretrained,
            "seed": run.seed,
            "log": shortened(read_log(folder / f"fold-{first}")),
            "left_out": list(data.problems),
            "data_sha256": trained["data_sha256"],
            "versions": versions(),
        },
        metrics=figures,
        limits=(
            *_shortcomings(run, system, done),
            *_unrest(run, folder, done),
            *system.limits,
            *bounds(data.files, run.data, run.partition),
        ),
        preprocessing=system.preprocessing,
        size=run.size,
        paper=system.paper,
        claim=system.claim,
        changed=_changes(run, system, is_public(data.files)),
    )
    model = Model(card, network, torch.device(where), means, precision)
    card = replace(card, strong=strengths(model, data.pixels[held[:: max(1, len(held) // 24)]]))
    saved = save_model(weights, card, network, means, precision)
    tell(f"weights and card of {system.name} are written to {weights}{before}")
    return saved


def least_confident(classes: int) -> float:
    """Return the probability from which a class is suggested: 0.5, or halfway between chance and certainty for two.

    Of two classes one always has half or more, so that the toss of a coin would be a suggestion.
    """
    return 0.75 if classes == 2 else 0.5


def _card_there(path: Path) -> Card | None:
    try:
        return read_card(path)
    except ModelError:
        return None


def _shortcomings(run: Run, system: System, done: Sequence[int]) -> tuple[str, ...]:
    """Return what a short training leaves to be desired, on the card's first line."""
    folds, said = len(set(run.folds)), list(fewer(system.name, run.size, run.epochs))
    if len(done) < folds:
        said.insert(0, f"{'one fold' if len(done) == 1 else f'{len(done)} folds'} of {folds}")
    found = list(no_verdict(said))
    if len(done) < folds:
        found.append("Folds differ in how hard they are: figures of some do not compare with figures of all.")
    if len(done) == 1:
        found.append("The temperature was fitted on the fold that the figures are of.")
    return tuple(found)


def _unrest(run: Run, folder: Path, done: Sequence[int]) -> tuple[str, ...]:
    """Return on one line how far accuracy on held-out fields still moves at the end, if that is far."""
    moved = held_range(run, folder, done)
    if moved is None:
        return ()
    return (unrest(moved),)


def _changes(run: Run, system: System, public: bool) -> tuple[str, ...]:
    """Return what is not as in the paper, of a system's all that is true of this run."""
    untrue = {SPLIT} if run.partition == "random" else set()
    if not public:
        untrue.add(TALEQANI)
    kept = [sentence for sentence in system.changed if sentence not in untrue]
    stages = {"pca": "PCA", "select": "selected features and a support vector machine"}
    taken = ", ".join(name for key, name in stages.items() if run.preset.get(key))
    if taken:
        # Of both variants, though only the first one's sentences tell of these stages.
        kept = [sentence for sentence in kept if sentence != WITHOUT] + [WITH.format(taken)]
    return f"Training began with {started(run.pretrained)}; {run.preset['source']}.", *kept


def typical_diameter(data: TrainingSet, most: int = 50) -> float:
    """Return the median diameter of white cells over some fields, in pixels of a field of `FIELD`."""
    every = max(1, len(data.pixels) // most)
    found = [segment(SmearImage.from_array(p, name="field")).cell_diameter for p in data.pixels[::every]]
    known = [diameter for diameter in found if diameter is not None]
    return round(float(np.median(known)), 2) if known else 26.0


def strengths(model: Model, pixels: np.ndarray) -> dict[str, float]:
    """Measure how strong heat maps of unseen fields are: by method, the median of the likeliest class's `peaks`."""
    tiles = np.stack([hide_corner(field) for field in pixels])
    system_inputs = run_network(model.network, _inputs(model, tiles), model.device)[0]
    best, found = system_inputs.argmax(1), {}
    for method in EXPLAINERS:
        strong = [
            peaks(raw_maps(model, tiles[best == target], [int(target)], method)[0], tiles.shape[1])
            for target in np.unique(best)
        ]
        # A network that hardly depends on its maps has peaks of nothing; by these nothing may be divided.
        found[method] = float(f"{max(float(np.median(np.concatenate(strong))), 1e-6):.4g}")
    return found


def _inputs(model: Model, tiles: np.ndarray) -> np.ndarray:
    from leuk.classification import inputs

    return inputs(model.card, tiles)

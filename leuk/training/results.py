"""What is known of each system: figures of its predictions, what they are worth, and the papers' claims beside them.

Figures live beside the table of predictions they were taken from, in ``weights/predictions/SYSTEM.PARTITION.json``, and
name its SHA-256: figures whose table has changed are taken anew. Nothing here needs torch.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from leuk.errors import DataError, LeukError
from leuk.files import write_all
from leuk.models.cards import Card, available, read_card, weights_folder
from leuk.models.systems import SYSTEMS, started
from leuk.training.metrics import all_figures
from leuk.training.predictions import PARTITIONS, SUFFIX, Predictions, read_predictions, shipped

CAMERA_FREE = ("stain swap", "cells erased")
"""Conditions that are no stresses."""
DEFAULT = "reader"
FOLDS = 5
"""Folds of a partition."""
RECOUNTED = "†"
"""Beside the name of what was counted anew before it was measured, see `Row.recounted`."""
COUNTED_ANEW = "statistics counted anew"
MAIN_FIGURES = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "benign_recall",
    "malignant_sensitivity",
    "malignant_specificity",
    "malignant_auroc",
    "sensitivity_at_95_specificity",
    "ece_before",
    "ece",
    "brier_before",
    "brier",
)
"""Figures that are one value with an interval, in the order in which tables show them."""


@functools.cache
def pseudo_sessions() -> Mapping[str, int]:
    """Return the pseudo-session of each field of the public set by file name, unique across classes."""
    path = Path(__file__).parents[1] / "data" / "taleqani_groups.csv"
    with path.open(newline="", encoding="utf-8") as stream:
        rows = [(row["file"], (row["class"], int(row["session"]))) for row in csv.DictReader(stream)]
    names = {name: index for index, name in enumerate(sorted({name for _, name in rows}))}
    return {file: names[name] for file, name in rows}


def groups_of(files: Sequence[str]) -> np.ndarray:
    """Return the pseudo-session of each file, int64 (N,); a file that is not of the public set is its own.

    Fields of the public set are known by their file's name, in whatever folder they lie.
    """
    known = {PurePosixPath(file).name: session for file, session in pseudo_sessions().items()}
    alone = len(known)
    return np.array([known.get(PurePosixPath(file).name, alone + index) for index, file in enumerate(files)], np.int64)


def figures_of(predictions: Predictions, draws: int = 1000, groups: np.ndarray | None = None) -> dict[str, Any]:
    """Return all figures of a table, see `leuk.training.metrics.all_figures`, and which folds it holds.

    Groups, int (N,), are what the bootstrap keeps together: those of `groups_of` by default.
    """
    folds = predictions.folds
    groups = groups_of(predictions.files) if groups is None else groups
    held = sorted({int(fold) for fold in folds})
    # With one fold alone, temperatures are fitted on its other groups: consecutive ones, mostly of one class, are dealt
    # out in turn, so that nine tenths of each class remain.
    parts = folds if len(held) > 1 else np.unique(groups, return_inverse=True)[1] % 10
    figures = all_figures(predictions.labels, predictions.logits, predictions.classes, parts, groups, draws)
    return {"folds": held, "groups": len(np.unique(groups)), "classes": list(predictions.classes)} | figures


def figures_path(table: Path) -> Path:
    """Return where the figures of a table of predictions lie."""
    return table.with_name(table.name.removesuffix(SUFFIX) + ".json")


def write_result(table: Path, groups: np.ndarray | None = None, **more: Any) -> dict[str, Any]:
    """Take a table's figures and write them beside it.

    Parameters
    ----------
    table : pathlib.Path
        Of predictions.
    groups : numpy.ndarray, optional
        int, (N,): what the bootstrap keeps together, where that is not what `groups_of` says; kept beside the table.
    **more
        What else is to be kept, such as ``stress``, ``elsewhere`` or ``run``; what was there under other keys stays
        if the table is the same.

    Returns
    -------
    dict
        What was written.

    Raises
    ------
    DataError
        If the table can't be read, or its figures can't be written.
    """
    predictions = read_predictions(table)
    content = _read_json(figures_path(table))
    if content.get("table_sha256") != _digest(table):
        content = {}  # what was measured beside another table belongs to other networks
    content |= more
    if groups is not None and not _same_groups(groups, groups_of(predictions.files)):
        content["groups"] = [int(group) for group in groups]
    kept = np.array(content["groups"], np.int64) if "groups" in content else None
    content |= {
        "system": predictions.system,
        "partition": predictions.partition,
        "table_sha256": _digest(table),
        "figures": figures_of(predictions, groups=kept),
    }
    write_figures(content, figures_path(table))
    return content


def write_figures(content: Mapping[str, Any], path: Path) -> None:
    """Write figures as JSON; the old ones stay until they are written.

    Raises
    ------
    DataError
        If they can't be written.
    """
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        write_all({path: text.encode("utf-8", "backslashreplace")})
    except OSError as error:
        raise DataError(f"{path} can't be written ({error.strerror}); make room, or name another folder.") from error


def read_result(table: Path) -> dict[str, Any]:
    """Return a table's figures as written, or taken anew where they are missing or of another table.

    Raises
    ------
    DataError
        If the table can't be read.
    """
    content = _read_json(figures_path(table))
    whole = all(isinstance(content.get(key) or {}, Mapping) for key in ("figures", "stress", "run", "elsewhere"))
    if content.get("table_sha256") != _digest(table) or not whole:
        # What was measured beside an older table belongs to an older network.
        content = {"figures": figures_of(read_predictions(table))}
    return content


def _same_groups(one: np.ndarray, other: np.ndarray) -> bool:
    """Tell whether two groupings keep the same rows together, whatever they call the groups."""
    pairs = len(np.unique(np.stack([one, other]), axis=1).T)
    return pairs == len(np.unique(one)) == len(np.unique(other))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


@dataclass(frozen=True, eq=False)
class Row:
    """What is known of one system, a control or a claim in the literature.

    Attributes
    ----------
    name, title, kind : str
        Kind is "system" or "control".
    paper, claim : str
    claimed_accuracy : float or None
        On a random split of the Taleqani fields, 0 … 1, as the authors report it.
    parameters, multiply_adds : int or None
    input : str
        What the network is given, in words.
    size : int or None
        Side in pixels of what was trained and measured here, or of the described input.
    classes : tuple of str
    weights : pathlib.Path or None
        First weights file.
    card : Card or None
    results : mapping
        By partition, what `read_result` returns.
    """

    name: str
    title: str
    kind: str
    paper: str
    claim: str
    claimed_accuracy: float | None
    parameters: int | None
    multiply_adds: int | None
    input: str
    size: int | None
    classes: tuple[str, ...]
    weights: Path | None
    card: Card | None
    results: Mapping[str, Mapping[str, Any]]

    def figure(self, name: str, partition: str = "grouped") -> dict[str, Any] | None:
        """Return a figure with its interval, or None if it is not known.

        Parameters
        ----------
        name : str
            One of `MAIN_FIGURES`, "worst_stress", "stain_swap", "cells_erased", or the name of a stress.
        partition : str
        """
        result = self.results.get(partition, {})
        if name in ("stain_swap", "cells_erased"):
            found = result.get(name)
        elif name == "worst_stress":
            # Grey takes all colour away and is told apart: it has a column and a floor of its own.
            stress = {key: value for key, value in (result.get("stress") or {}).items() if key != "grey"}
            worst = min(stress, key=lambda key: stress[key]["value"], default=None)
            found = {"name": worst, **stress[worst]} if worst else None
        elif name in (result.get("stress") or {}):
            found = result["stress"][name]
        else:
            found = (result.get("figures") or {}).get(name)
        return dict(found) if found else None

    def elsewhere(self) -> dict[str, Any]:
        """Return by place how often "malignant" was right on pictures of other laboratories."""
        for partition in ("grouped", "random"):
            found = self.results.get(partition, {}).get("elsewhere")
            if found:
                return dict(found)
        return {}

    @property
    def elsewhere_mean(self) -> float | None:
        """How often "malignant" was right on pictures of other laboratories: 0 … 1, None where not measured.

        The mean of sensitivity and specificity, each the mean over the places that have such pictures, so that a
        system which calls everything benign, or everything malignant, has one half.
        """
        return mean_of_places(self.elsewhere())

    @property
    def elsewhere_in(self) -> str | None:
        """Partition whose network read pictures of other laboratories; None where none did, or one of all fields."""
        if self.kind == "control" or (self.card and "weights" not in self.card.metrics):
            return None
        return next((one for one in ("grouped", "random") if self.results.get(one, {}).get("elsewhere")), None)

    @property
    def stressed(self) -> float | None:
        """Share of the fields measured that were also put under stress, 0 … 1; None where that is not known."""
        result = self.results.get(_robust(self), {})
        counts = [one["fields"] for one in (result.get("stress") or {}).values() if one.get("fields")]
        fields = (result.get("figures") or {}).get("fields")
        return min(counts) / fields if counts and fields else None

    @property
    def folds(self) -> dict[str, int]:
        """Number of folds measured, by partition."""
        return {key: len(value["figures"]["folds"]) for key, value in self.results.items() if value.get("figures")}

    @property
    def training(self) -> str:
        """How long the measured networks were trained, beside the paper's recipe; empty where that is not known."""
        from leuk.training.presets import PRESETS

        told: dict[str, str] = {}
        for partition, result in self.results.items():
            run = result.get("run") or {}
            full = run.get("of") or (PRESETS[self.name].epochs if self.name in PRESETS else None)
            if run.get("epochs") and full:
                short = ", not converged" if run["epochs"] < full else ""
                seed = f", seed {run['seed']}" if run.get("seed") else ""
                begun = f", begun from {run['begun_from']}" if run.get("begun_from") else ""
                start = f", {self._began(run)}" if self._began(run) else ""
                counted = f", {COUNTED_ANEW}" if run.get("recount") else ""
                side = f"{run['size']} of {self.published_size}" if self._smaller(run) else run["size"]
                told[partition] = f"{run['epochs']} of {full} epochs, {side} pixels{seed}{short}{begun}{start}{counted}"
        if len(told) == len(self.results) and len(set(told.values())) == 1:
            return next(iter(told.values()))
        return "; ".join(f"{partition}: {text}" for partition, text in told.items())

    @property
    def published_size(self) -> int | None:
        """Side in pixels of the input as described; None of a control."""
        return SYSTEMS[self.name].size if self.name in SYSTEMS else None

    @property
    def begun_from(self) -> str | None:
        """Weights that the measured networks began with, in words; None where none are published, or unknown."""
        told = {self._began(result.get("run") or {}): None for result in self.results.values()}
        return " and ".join(filter(None, told)) or None

    def _began(self, run: Mapping[str, Any]) -> str:
        choice = self.name in SYSTEMS and SYSTEMS[self.name].pretrained and "pretrained" in run
        return started(run["pretrained"]) if choice else ""

    def _smaller(self, run: Mapping[str, Any]) -> bool:
        return bool(run.get("size") and self.published_size and run["size"] < self.published_size)

    @property
    def recounted(self) -> bool:
        """Whether figures are of networks whose statistics of batch normalization were counted anew after training."""
        return any((result.get("run") or {}).get("recount") for result in self.results.values())

    @property
    def unsettled(self) -> tuple[str, Mapping[str, float]] | None:
        """Where accuracy on held-out fields moved most when training ended, if it did: partition and range.

        The range is as `leuk.training.systems.held_range` returns it.
        """
        ranges = {key: (value.get("run") or {}).get("held_range") for key, value in self.results.items()}
        found = [(key, value) for key, value in ranges.items() if value]
        return max(found, key=lambda one: one[1]["high"] - one[1]["low"], default=None)


def mean_of_places(places: Mapping[str, Mapping[str, Any]]) -> float | None:
    """Return the mean of sensitivity and specificity, each the mean over the places that have it; see `Row`.

    A place whose pictures the network was begun from is none of another laboratory to it, and left out.
    """
    means = [np.mean([one["value"] for one in shares]) for shares in _shares_of_places(places)]
    return float(np.mean(means)) if means else None


def interval_of_places(places: Mapping[str, Mapping[str, Any]]) -> tuple[float, float] | None:
    """Return the 95 % interval of `mean_of_places`; None where a share comes without its own.

    The distances from each share to the ends of its exact interval, weighted as in the mean, are added in quadrature,
    downwards and upwards apart: shares of 0 and 1 keep their room to one side, where a normal approximation gives them
    none. It is the uncertainty of counting pictures; how much laboratories differ three of them can't tell.

    References
    ----------
    G. Y. Zou, W. Huang and X. Zhang, "A note on confidence interval estimation for a linear function of binomial
    proportions", Computational Statistics & Data Analysis 53 (2009).
    """
    kinds = _shares_of_places(places)
    mean = mean_of_places(places)
    if mean is None or not all(one.get("interval") for shares in kinds for one in shares):
        return None
    weighted = [(one, 1 / (len(shares) * len(kinds))) for shares in kinds for one in shares]
    down, up = (
        float(np.linalg.norm([(one["interval"][end] - one["value"]) * weight for one, weight in weighted]))
        for end in (0, 1)
    )
    return round(max(mean - down, 0.0), 4), round(min(mean + up, 1.0), 4)


def _shares_of_places(places: Mapping[str, Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Return the sensitivities, and the specificities, of all places that count; without a kind that none has."""
    told = [
        [place[kind] for place in places.values() if place.get(kind) and not place.get("seen")]
        for kind in ("sensitivity", "specificity")
    ]
    return [shares for shares in told if shares]


_INPUTS = {
    "rgb": "colour",
    "grey": "grey",
    "edges": "Gabor edge map",
    "segmented": "colour, outside a fixed HSV window black",
    "pair": "colour and its segmented twin",
    "a_kmeans": "colour, masked by k-means on a*",
    "cells": "one white cell in optical density, its surroundings left out",
}


def systems() -> list[Row]:
    """Return what is known of every system, Leuk's reader first.

    A table or a card that can't be read leaves its place empty, and the rest goes on.
    """
    tables, here, rows = shipped(), available(), []
    for name, system in SYSTEMS.items():
        card = None
        if name in here:
            try:
                card = read_card(weights_folder() / f"{name}.json")
            except LeukError:
                card = None
        results: dict[str, Mapping[str, Any]] = {}
        for partition in PARTITIONS:
            if (name, partition) in tables:
                try:
                    results[partition] = read_result(tables[name, partition])
                except LeukError:
                    continue
        if card is not None:
            own = str(card.training.get("partition", "grouped"))
            for partition, metrics in ((own, card.metrics), ("random", card.metrics.get("random"))):
                if isinstance(metrics, Mapping):
                    results[partition] = {**_from_card(metrics, card.classes), **results.get(partition, {})}
        ran = next((r["run"].get("size") for r in results.values() if r.get("run")), None)
        size = (card.size or card.tile) if card else ran or system.size
        given = card.preprocessing if card else system.preprocessing
        rows.append(
            Row(
                name=name,
                title=card.title if card else system.title,
                kind="system",
                paper=system.paper,
                claim=system.claim,
                claimed_accuracy=system.claimed_accuracy,
                parameters=system.parameters,
                multiply_adds=system.multiply_adds,
                input=f"{system.size} × {system.size}, {_INPUTS.get(given, given)}",
                size=size,
                classes=card.classes if card else system.classes,
                weights=card.files(weights_folder())[0] if card else None,
                card=card,
                results=results,
            )
        )
    return rows


def _from_card(metrics: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    """Return what a card knows, where there is no table of predictions or no evaluation of it."""
    told = metrics.get("stress_accuracy") or {}
    found: dict[str, Any] = {
        "stress": {name: {"value": value} for name, value in told.items() if name not in CAMERA_FREE}
    }
    if "stain swap" in told:
        found["stain_swap"] = {"value": told["stain swap"]}
    erased = metrics.get("cells_erased") or {}
    if "accuracy" in erased:
        found["cells_erased"] = {"value": erased["accuracy"], "mean_confidence": erased.get("mean_confidence")}
    if metrics.get("elsewhere"):
        found["elsewhere"] = metrics["elsewhere"]
    figures: dict[str, Any] = {
        name: value if isinstance(value, Mapping) else {"value": value}
        for name, value in metrics.items()
        if name in MAIN_FIGURES and value is not None
    }
    if "accuracy" in figures:
        known = {key: metrics[key] for key in ("confusion", "per_class", "fields") if key in metrics}
        folds = list(metrics.get("folds", range(5)))
        found["figures"] = {"folds": folds, "classes": list(classes)} | known | figures
    return found


def controls() -> list[Row]:
    """Return what is known of the controls: forests on what is not morphology, see `leuk.training.controls`."""
    content = _read_json(weights_folder() / "controls.json")
    return [
        Row(
            name=one["name"],
            title=one["title"],
            kind="control",
            paper="Leuk",
            claim="",
            claimed_accuracy=None,
            parameters=None,
            multiply_adds=None,
            input=one["input"],
            size=None,
            classes=tuple(one["classes"]),
            weights=None,
            card=None,
            results=one["partitions"],
        )
        for one in content.get("controls") or []
        if isinstance(one, Mapping)
        and all(isinstance(one.get(key), str) for key in ("name", "title", "input"))
        and isinstance(one.get("classes"), list)
        and isinstance(one.get("partitions"), Mapping)
    ]


def speeds() -> dict[str, Any]:
    """Return what ``benchmarks/systems.py`` measured; empty where it was never run."""
    return _read_json(weights_folder() / "speed.json")


def speed_of(name: str, key: str = "latency_ratio") -> float | None:
    """Return a system's figure from `speeds`, None where it is missing."""
    found = (speeds().get("systems") or {}).get(name) or {}
    return found.get(key)


def listing() -> list[dict[str, Any]]:
    """Return the list of systems that ``python -m leuk models --json`` writes."""
    root = Path(__file__).parents[2]
    return [
        {
            "name": row.name,
            "title": row.title,
            "paper": row.paper,
            "claim": row.claim,
            "claimed_accuracy": row.claimed_accuracy,
            "parameters": row.parameters,
            "multiply_adds": row.multiply_adds,
            "input": row.input,
            "weights": _relative(row.weights, root),
            "classes": list(row.classes),
            "metrics": {partition: flat(row, partition) for partition in row.results},
        }
        for row in systems()
    ]


def flat(row: Row, partition: str) -> dict[str, Any]:
    """Return a row's figures of one partition without curves: what a table or a card holds."""
    result = row.results[partition]
    figures = {key: value for key, value in (result.get("figures") or {}).items() if key != "reliability"}
    more = {key: result[key] for key in ("stress", "stain_swap", "cells_erased", "elsewhere", "run") if result.get(key)}
    worst = row.figure("worst_stress", partition)
    return figures | more | ({"worst_stress": worst} if worst else {})


def _relative(path: Path | None, root: Path) -> str | None:
    if path is None:
        return None
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path.resolve())


def comparison() -> list[dict[str, Any]]:
    """Return all systems and controls side by side: a flat row each, with intervals, None where nothing is known.

    Keys are name, title, short, kind, claimed; random, grouped, benign_recall, auroc, sensitivity_at_95, ece (the last
    four grouped), worst_stress, grey, stain_swap, cells_erased and elsewhere, each also with ``_low`` and ``_high``;
    worst_stress_name, elsewhere_in (see `Row`), elsewhere_seen (places left out of elsewhere), reader_same (the default
    reader's grouped accuracy on the same fields, where a system was measured on fewer folds), stressed (the share of
    its fields that stress and swap were measured on), recounted (see `Row`), classes, folds (in words; folds_random and
    folds_grouped count them), training, begun_from (the weights that training began with, where
    published ones exist), unsettled_low, unsettled_high and unsettled_in (between what accuracies a fold still moved
    when training ended, and which one), parameters, multiply_adds, latency and throughput (as multiples of
    DenseNet-201's), size, published_size and timed_at (sides in pixels of the input that accuracy was measured with,
    that the paper gives, and that speed was measured with; parameters and multiply-adds are of the last) and weights.
    """
    told, tables = [], shipped()
    for row in systems() + controls():
        one: dict[str, Any] = {
            "name": row.name,
            "title": row.title,
            "short": short_title(row),
            "kind": row.kind,
            "claimed": row.claimed_accuracy,
        }
        for key, (name, partition) in _COLUMNS.items():
            figure = row.figure(name, partition or _robust(row))
            low, high = (figure or {}).get("interval") or (None, None)
            one |= {key: figure["value"] if figure else None, f"{key}_low": low, f"{key}_high": high}
        worst = row.figure("worst_stress", _robust(row))
        where, moved = row.unsettled or ("", {})
        low, high = interval_of_places(row.elsewhere()) or (None, None)
        told.append(
            one
            | {
                "worst_stress_name": worst["name"] if worst else None,
                "elsewhere": row.elsewhere_mean,
                "elsewhere_low": low,
                "elsewhere_high": high,
                "elsewhere_in": row.elsewhere_in,
                "elsewhere_seen": ", ".join(name for name, one in row.elsewhere().items() if one.get("seen")) or None,
                "reader_same": _reader_on_the_same(row, tables),
                "stressed": row.stressed,
                "recounted": row.recounted,
                "classes": len(row.classes),
                "folds": ", ".join(f"{count} {partition}" for partition, count in row.folds.items()),
                "folds_random": row.folds.get("random", 0),
                "folds_grouped": row.folds.get("grouped", 0),
                "training": row.training,
                "begun_from": row.begun_from,
                "unsettled_low": moved.get("low"),
                "unsettled_high": moved.get("high"),
                "unsettled_in": f"fold {moved['fold']}, {where}" if moved else None,
                "parameters": row.parameters,
                "multiply_adds": row.multiply_adds,
                "latency": speed_of(row.name, "latency_ratio"),
                "throughput": speed_of(row.name, "throughput_ratio"),
                "size": row.size,
                "published_size": row.published_size,
                "timed_at": speed_of(row.name, "size"),
                "weights": row.weights is not None,
            }
        )
    return told


def _reader_on_the_same(row: Row, tables: Mapping[tuple[str, str], Path]) -> float | None:
    """Return the default reader's accuracy on the grouped fields that a system of fewer folds was measured on."""
    own, reader = tables.get((row.name, "grouped")), tables.get((DEFAULT, "grouped"))
    if own is None or reader is None or row.name == DEFAULT or row.folds.get("grouped", 5) >= 5:
        return None
    try:
        files, both = set(read_predictions(own).files), read_predictions(reader)
    except LeukError:
        return None
    kept = np.array([file in files for file in both.files])
    return round(float((both.probabilities.argmax(1) == both.labels)[kept].mean()), 4) if kept.any() else None


def unsettled(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say in two sentences which rows of `comparison` hang on the epoch at which training ended; empty if none."""
    told = [
        f"{row['short']} {row['unsettled_low']:.2f} to {row['unsettled_high']:.2f} ({row['unsettled_in']})"
        for row in rows
        if row["unsettled_in"]
    ]
    if not told:
        return ""
    return (
        "At the constant rates of their recipes some systems do not come to rest: over the last quarter of its epochs "
        f"one fold's accuracy on held-out fields moves as far as {', '.join(told)}. Figures are of the last epoch; to "
        "pick the best one, as is often done, would be to choose by what is reported."
    )


def named(row: Mapping[str, Any]) -> str:
    """Return the short title of a row of `comparison`, marked where its figures are of recounted networks."""
    return f"{row['short']} {RECOUNTED}" if row.get("recounted") else str(row["short"])


def recounted(rows: Sequence[Row]) -> str:
    """Say of which systems figures, and of which weights alone, are of recounted networks; empty if of none.

    The curves of both are of networks before that.
    """
    said, weights = [], []
    for row in rows:
        training = row.card.training if row.card else {}
        if row.recounted:
            said.append(
                f"{RECOUNTED} Figures of {short_title(row)} are of networks whose statistics of batch normalization "
                f"were counted anew after the last epoch{_told_apart(row)}. Whether it comes to rest its curve, which "
                "is of the networks before that, does not tell."
            )
        elif (training.get("preset") or {}).get("recount"):
            weights.append(short_title(row))
    if weights:
        said.append(
            f"Of {'; '.join(weights)} only the weights that come along were counted anew: figures and curve are of "
            "networks as the recipe leaves them."
        )
    return " ".join(said)


def _told_apart(row: Row) -> str:
    """Say what counting anew does to the network that comes along, by its curve's end; empty where unknown."""
    log = row.card.training.get("log") if row.card else None
    known = row.card.metrics.get("weights") if row.card else None
    if not log or not known or log[-1].get("held_accuracy") is None:
        return ""
    return (
        f": that of fold {known['fold']} reads {known['accuracy']:.3f} of the fields that it has not seen, and read "
        f"{log[-1]['held_accuracy']:.3f} of them as its recipe left it"
    )


def reduced(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say in sentences how many rows of `comparison` were trained with less than was published; empty if none."""
    # Of what is only claimed nothing was trained.
    small = [row for row in rows if row["training"] and row["published_size"] and row["size"] < row["published_size"]]
    begun = [row for row in rows if row["begun_from"] == started(False)]
    said = []
    if small:
        sizes = dict.fromkeys(f"{row['size']} pixels instead of {row['published_size']}" for row in small)
        said.append(f"{_systems(len(small))} on smaller inputs ({', '.join(sizes)})")
    if begun:
        said.append(f"{_systems(len(begun))} from {started(False)} where ImageNet's exist")
    if not said:
        return ""
    return (
        f"Trained here with less than was published: {', '.join(said)}; the column on training says which. What such "
        "a system falls short of its claim by is no verdict on it."
    )


def _systems(count: int) -> str:
    return f"{count} system{'s' if count != 1 else ''}"


def partly_stressed(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say in a sentence which rows of `comparison` were put under stress on a part of their fields; empty if none."""
    told: dict[int, list[str]] = {}
    for row in rows:
        if row["stressed"] is not None and row["stressed"] < 0.99:
            told.setdefault(round(1 / row["stressed"]), []).append(row["short"])
    if not told:
        return ""
    parts = [f"every {_ORDINAL.get(every, f'{every}th')} ({'; '.join(names)})" for every, names in sorted(told.items())]
    return f"Stress and swap were measured on every field, but for some systems on fewer: {', '.join(parts)}."


def controls_and_traps() -> str:
    """Say in sentences how the controls differ from what the Explorer measures under like names."""
    from leuk.data import shortcuts
    from leuk.training import controls

    here, there = controls.CONTROLS["control_background"].title, shortcuts.TITLES["background"][0]
    return (
        f"Controls are forests of {controls.TREES} trees. The Explorer's Traps measure whatever set is open, with "
        f"forests of {shortcuts.TREES}, so that the same description gets a slightly different figure there. And "
        f"{there} is not {here}: that is the colour of the brightest, least stained half of the pixels, this all "
        "colours of a field whose white cells are painted out."
    )


def elsewhere_unearned(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say in a sentence how far a row of `comparison` that sees no cell gets elsewhere; empty where the best gets more.

    More is a lead beyond what the two intervals leave open. Both are of the same pictures, which is not made use of: a
    lead has to be the clearer for it.
    """
    told = {
        kind: max((row for row in rows if row["kind"] == kind and row["elsewhere"]), key=_elsewhere, default=None)
        for kind in ("control", "system")
    }
    control, system = told["control"], told["system"]
    if control is None or system is None:
        return ""
    lead = system["elsewhere"] - control["elsewhere"]
    open_to = np.hypot(
        system["elsewhere"] - _end(system, "elsewhere_low"), _end(control, "elsewhere_high") - control["elsewhere"]
    )
    if lead > open_to:
        return ""
    own = next((row for row in rows if row["name"] == DEFAULT and row["elsewhere"]), None)
    beaten = (
        f", more than {own['short']} ({own['elsewhere']:.3f})"
        if own is not None and own is not system and own["elsewhere"] < control["elsewhere"]
        else ""
    )
    unsure = ", a lead that so few pictures leave open" if lead > 0 else ""
    return (
        f"Elsewhere, {control['short']}, which sees no cell, gets {_with_interval(control)}{beaten}, and the best "
        f"system ({system['short']}) {_with_interval(system)}{unsure}: no figure in that column says that a system "
        "reads cells."
    )


def _end(row: Mapping[str, Any], key: str) -> float:
    """Return an end of the interval elsewhere, or the figure itself where it has none."""
    return float(row["elsewhere"] if row.get(key) is None else row[key])


def _with_interval(row: Mapping[str, Any]) -> str:
    text = f"{row['elsewhere']:.3f}"
    if row.get("elsewhere_low") is None:
        return text
    return f"{text} ({row['elsewhere_low']:.3f} to {row['elsewhere_high']:.3f})"


def elsewhere_random(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say of which rows of `comparison` a network of the random partition read pictures elsewhere; empty if of none."""
    told = [row["short"] for row in rows if row.get("elsewhere_in") == "random"]
    if not told:
        return ""
    return (
        f"Elsewhere, the figure of {' and of '.join(told)} is of a network of the random partition; others are of one "
        "of the grouped partition, or of all fields."
    )


def elsewhere_seen(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say in a sentence which rows of `comparison` leave a place out because they were begun from its pictures."""
    told = []
    for row in rows:
        if row.get("elsewhere_seen"):
            places = " and ".join(_PLACES.get(one, one) for one in row["elsewhere_seen"].split(", "))
            told.append(f"{row['short']} was begun from {places}")
    return f"{'; '.join(told)}: its mean elsewhere leaves these out." if told else ""


_PLACES = {"all_idb1": "fields of ALL-IDB1", "all_idb2": "crops of ALL-IDB2", "pbc": "normal cells of PBC"}


def elsewhere_by_cells() -> str:
    """Say in sentences how far the types of single cells get elsewhere; empty where that was not measured."""
    card = _read_json(weights_folder() / "cells.json")
    places = (card.get("metrics") or {}).get("elsewhere") or {}
    mean = mean_of_places(places)
    if mean is None:
        return ""
    right = [
        f"{round(place['accuracy']['value'] * place['images'])} of {place['images']} {_PLACES.get(name, name)}"
        for name, place in places.items()
    ]
    silent = [
        f"{count} {_PLACES.get(name, name)}"
        for name, place in places.items()
        if (count := round((place.get("cannot_tell") or 0) * place["images"]))
    ]
    low, high = interval_of_places(places) or (None, None)
    figure = _with_interval({"elsewhere": mean, "elsewhere_low": low, "elsewhere_high": high})
    untold = f" Of {' and '.join(silent)} it tells nothing; these count as not malignant." if silent else ""
    return (
        "Where the reader can't tell, Review says of a field with red cells how many blasts to expect by what each "
        "cell may be. Malignant from a fifth of blasts on, the share at which acute leukaemia begins, is right on "
        f"{', '.join(right)}: {figure} by the measure of that column.{untold} Normal types were learnt from PBC, of "
        "which a fifth was kept apart for this; how long blasts were trained was decided on ALL-IDB2."
    )


def _elsewhere(row: Mapping[str, Any]) -> float:
    return float(row["elsewhere"])


_ORDINAL = {2: "second", 3: "third", 4: "fourth", 5: "fifth", 10: "tenth"}


_COLUMNS = {
    "random": ("accuracy", "random"),
    "grouped": ("accuracy", "grouped"),
    "benign_recall": ("benign_recall", "grouped"),
    "auroc": ("malignant_auroc", "grouped"),
    "sensitivity_at_95": ("sensitivity_at_95_specificity", "grouped"),
    "ece": ("ece", "grouped"),
    "worst_stress": ("worst_stress", ""),
    "grey": ("grey", ""),
    "stain_swap": ("stain_swap", ""),
    "cells_erased": ("cells_erased", ""),
}


_SHORT = {
    "deep_leukemia_net": "DeepLeukemiaNet, 2 classes",
    "deep_leukemia_net_four": "DeepLeukemiaNet, 4 classes",
    "densenet201": "DenseNet-201",
    "resnet50": "ResNet-50",
    "vgg19": "VGG-19",
    "efficientnet_b0": "EfficientNet-B0",
    "mobilenet_v3_small": "MobileNetV3-Small",
    "two_branch": "Two branches",
    "resnet152_v2": "ResNet-152 V2",
    "cell_reader": "Leuk cell reader",
    "densenet201_ball": "DenseNet-201, B-ALL",
    "simple_cnn": "Simple CNN",
    "simple_cnn_segmented": "Simple CNN, segmented",
}


def short_title(row: Row) -> str:
    """Return a title short enough for an axis."""
    return _SHORT.get(row.name, row.title)


def _robust(row: Row) -> str:
    """Return the partition whose networks were put under stress: the grouped one, else the random one."""
    return next((one for one in ("grouped", "random") if row.results.get(one, {}).get("stress")), "grouped")


def changes(row: Row) -> tuple[str, ...]:
    """Return what a system has that its paper has not, and why: as its card says; where it has none, by its results."""
    if row.card is not None and row.card.changed:
        return row.card.changed
    began = {f"Training began with {row.begun_from}.": None} if row.begun_from and row.card is None else {}
    return (*began, *(SYSTEMS[row.name].changed if row.name in SYSTEMS else ()))


def limits(row: Row) -> tuple[str, ...]:
    """Return what a system can't do: as its card says, or by its construction and its results where it has none."""
    if row.card is not None:
        return row.card.limits
    from leuk.training.presets import PRESETS, fewer, no_verdict

    found: dict[str, None] = {}
    for partition, result in row.results.items():
        run, folds = result.get("run") or {}, row.folds.get(partition, FOLDS)
        if row.name in PRESETS and run.get("size") and run.get("epochs"):
            found |= dict.fromkeys(no_verdict(fewer(row.name, run["size"], run["epochs"])))
        if folds < FOLDS:
            count = "one fold" if folds == 1 else f"{folds} folds"
            found[
                f"Of the {partition} partition {count} of {FOLDS} {'was' if folds == 1 else 'were'} measured; figures "
                "of some folds do not compare with those of all."
            ] = None
    moved = (unrest(row.unsettled[1]),) if row.unsettled else ()
    return (*found, *moved, *(SYSTEMS[row.name].limits if row.name in SYSTEMS else ()))


def unrest(moved: Mapping[str, float]) -> str:
    """Say on a card how far accuracy on held-out fields still moves at the end of training, see `Row.unsettled`."""
    return (
        f"By its recipe it does not come to rest: over its last {moved['epochs']} epochs accuracy on held-out fields "
        f"moves between {moved['low']:.3f} and {moved['high']:.3f} (fold {moved['fold']}). Its figures are of the last "
        "epoch; to pick the best one would be to choose by what is reported, and a rate that falls to zero (--reduced) "
        "may bring it further."
    )

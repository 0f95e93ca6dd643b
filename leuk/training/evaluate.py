"""What a score is worth: out-of-fold predictions of a run as photographed, under stress, and of other places."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from leuk.data.datasets import random_folds
from leuk.errors import DataError, OptionError
from leuk.image import SmearImage, find_images, read_image
from leuk.models.cards import available, differs, read_card, weights_folder, write_card
from leuk.models.systems import find_system
from leuk.probability import softmax
from leuk.training.metrics import fit_temperature, share
from leuk.training.predictions import (
    from_logits,
    predictions_path,
    read_predictions,
    shipped,
    write_predictions,
)
from leuk.training.results import MAIN_FIGURES, groups_of, read_result, write_result

log = logging.getLogger(__name__)
Tell = Callable[[str], None]

PLAIN, SWAP, ERASED = "as photographed", "stain swap", "cells erased"
_NORMAL = ("basophil", "eosinophil", "erythroblast", "ig", "lymphocyte", "monocyte", "neutrophil", "platelet")


def record(
    system: str,
    partition: str,
    files: Sequence[str],
    labels: np.ndarray,
    folds: np.ndarray,
    classes: Sequence[str],
    logits: Mapping[str, np.ndarray],
    folder: Path | None = None,
    groups: np.ndarray | None = None,
    trained: Mapping[str, Any] | None = None,
    tell: Tell | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Write a system's table of predictions, the figures beside it, and the metrics on its card if there is one.

    Parameters
    ----------
    system, partition : str
    files : sequence of str
        (N,) held-out fields.
    labels, folds : numpy.ndarray
        int, (N,).
    classes : sequence of str
    logits : mapping
        By condition, (N, C): "as photographed", the stresses by name, "stain swap" and "cells erased"; a row of nan
        stands for a field that was left out under a condition.
    folder : pathlib.Path, optional
        For the table; ``weights/predictions`` by default. With another one no card is changed.
    groups : numpy.ndarray, optional
        int, (N,): what the bootstrap keeps together; `leuk.training.results.groups_of` says it by default.
    trained : mapping, optional
        What is known of the training, see `leuk.models.cards.differs`: the card of another one is left alone. None:
        it is the card's own.
    tell : callable, optional
        Given a line if a card is left alone.
    **more
        Kept with the figures, such as ``elsewhere`` and ``run``.

    Returns
    -------
    dict
        What was written beside the table.

    Raises
    ------
    DataError
        If a table of fields that are not among these is there, or table or figures can't be written.
    """
    groups = groups_of(files) if groups is None else groups
    table = predictions_path(system, partition, folder)
    _refuse_to_lose(table, files)
    predictions = from_logits(system, partition, files, labels, folds, classes, logits[PLAIN])
    try:
        write_predictions(predictions, table)
    except OSError as error:
        raise DataError(f"{table} can't be written ({error.strerror}); name another folder with --out.") from error
    temperature = fit_temperature(labels, logits[PLAIN])
    told: dict[str, Any] = {"stress": {}}
    for name, found in logits.items():
        kept = ~np.isnan(found).any(1)
        if name == PLAIN or not kept.any():
            continue
        figure = share(found[kept].argmax(1) == labels[kept], groups[kept]) | {"fields": int(kept.sum())}
        if name == ERASED:
            figure["mean_confidence"] = round(_confidence(found[kept], temperature), 4)
            told["cells_erased"] = figure
        elif name == SWAP:
            told["stain_swap"] = figure
        else:
            told["stress"][name] = figure
    result = write_result(table, groups, **told, **more)
    if folder is None:
        _onto_card(system, partition, result, trained, tell or log.info)
    return result


def _refuse_to_lose(table: Path, files: Sequence[str]) -> None:
    """Refuse to put a table in the place of one that holds fields which it lacks: their figures would be lost."""
    if not table.is_file() or not files:
        return
    try:
        there = set(read_predictions(table).files)
    except DataError:
        # What can't be read is not lost by being replaced; to make it anew is what its reader is told.
        return
    lost = there - set(files)
    if not lost:
        return
    if lost == there:
        held = "is of other fields"
    else:
        held = f"holds {len(there):,} fields, {len(lost):,} of which this run does not have"
    raise DataError(f"{table.name} is there already and {held}; name another folder for the new one with --out.")


def record_reader(
    outcome: Mapping[str, Any], fields: Any, partition: str = "grouped", folder: Path | None = None, **more: Any
) -> dict[str, Any]:
    """Write the reader's table and figures from what `leuk.training.reader.predict_out_of_fold` returned."""
    from leuk.data.taleqani import CLASSES

    read = ~np.isnan(outcome["logits"][PLAIN]).any(1)
    files = [name for name, kept in zip(fields.files, read, strict=True) if kept]
    logits = {name: found[read] for name, found in outcome["logits"].items()}
    return record("reader", partition, files, fields.labels[read], fields.folds[read], CLASSES, logits, folder, **more)


def _confidence(logits: np.ndarray, temperature: float) -> float:
    """Return the mean probability of the likeliest class, as calibrated."""
    return float(softmax(logits, temperature).max(1).mean())


def card_metrics(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result as cards keep it: the keys that cards have always had, and what came since."""
    figures = result["figures"]
    metrics: dict[str, Any] = {
        "unit": "field",
        "partition": f"{result['partition']}, out of fold; {_groups(result)}",
        "fields": figures["fields"],
        "folds": figures["folds"],
    }
    for name in MAIN_FIGURES:
        metrics[name] = figures[name]
    # Calibration has always been a plain number on cards; its interval stands beside it.
    for name in ("ece_before", "ece", "brier_before", "brier"):
        metrics[f"{name}_interval"], metrics[name] = figures[name]["interval"], figures[name]["value"]
    metrics["per_class"] = figures["per_class"]
    metrics["recall"] = {
        name: one["recall"]["value"] if one["recall"] else None for name, one in figures["per_class"].items()
    }
    metrics["confusion"] = figures["confusion"]
    stress = {name: one["value"] for name, one in result.get("stress", {}).items()}
    if result.get("stain_swap"):
        stress[SWAP] = result["stain_swap"]["value"]
    if stress:
        metrics["stress_accuracy"] = stress
    for name in ("cells_erased", "elsewhere"):
        if result.get(name):
            metrics[name] = result[name]
    if "cells_erased" in metrics:
        erased = metrics["cells_erased"]
        metrics["cells_erased"] = {"accuracy": erased["value"], "mean_confidence": erased["mean_confidence"]}
    return metrics


def _groups(result: Mapping[str, Any]) -> str:
    """Say what the bootstrap over a result's fields keeps together."""
    if "groups" in result:
        return "groups are those of the data"
    figures = result["figures"]
    alone = figures.get("groups") == figures["fields"]
    return "fields are drawn one by one" if alone else "groups are pseudo-sessions, not patients"


def _onto_card(
    system: str, partition: str, result: Mapping[str, Any], trained: Mapping[str, Any] | None, tell: Tell
) -> None:
    if system not in available():
        return
    path = weights_folder() / f"{system}.json"
    card = read_card(path)
    other = differs(card, trained or {})
    if other:
        tell(f"the card {path.name} is left as it is: this is another training than its own ({other})")
        return
    if card.training.get("partition", "grouped") == partition:
        # What only training knows, such as the figures of the weights themselves, stays.
        metrics = dict(card.metrics) | card_metrics(result)
    else:
        metrics = dict(card.metrics) | {partition: card_metrics(result)}
    write_card(replace(card, metrics=metrics), path)


# ---- running a trained system -------------------------------------------------------------------------------------


def evaluate(
    name: str,
    data: Path,
    run: Path | None,
    *,
    partition: str = "grouped",
    every: int = 1,
    elsewhere: Sequence[Path] = (),
    folder: Path | None = None,
    device: str = "cpu",
    skip_broken: bool = False,
    tell: Tell | None = None,
) -> dict[str, Any]:
    """Read every field with the network that has not seen its fold, under all conditions, and write what comes out.

    Parameters
    ----------
    name : str
        System.
    data : pathlib.Path
        What it was trained on.
    run : pathlib.Path or None
        Folder of the training run; folds that are not trained are left out. None: the reader's bundled folds.
    partition : str
        Of the readers' runs; other runs know their own.
    every : int
        Stresses are measured on every n-th held-out field; fields as photographed are always all read.
    elsewhere : sequence of pathlib.Path
        Folders of pictures from other laboratories, see `read_elsewhere`; read with the weights that are here, and
        left out where these are of another training than the run.
    folder : pathlib.Path, optional
        For the table; ``weights/predictions`` by default.
    device : str
    skip_broken : bool
    tell : callable, optional
        Given a line of progress.

    Returns
    -------
    dict
        As `record`.

    Raises
    ------
    OptionError
        If there is no such system, the run is on the other partition, or none is named and no folds are bundled.
    DataError
        If data or run can't be used, or don't belong together.
    """
    tell = tell or log.info
    find_system(name)
    if run is None and (name != "reader" or partition != "grouped"):
        raise OptionError(
            "Name the training run with --run; python -m leuk train writes one. "
            "Only the reader's grouped folds come with Leuk."
        )
    from leuk.data.taleqani import load_fields
    from leuk.training import cell_reader, mosaics, reader
    from leuk.training.systems import read_run

    if run is not None and name not in ("reader", "cell_reader"):
        if partition != "grouped" and (own := read_run(run).partition) != partition:
            raise OptionError(f"The run {run.name} is on the {own} partition; leave --partition {partition} out.")
        return _evaluate_run(name, data, run, every, elsewhere, folder, device, skip_broken, tell)
    fields = load_fields(data)
    if partition == "random":
        fields = replace(fields, folds=random_folds(fields.labels))
    # A reader has one recipe, so that its trainings differ by their fields alone.
    trained = {"data_sha256": reader.fingerprint(fields)}
    networks: Mapping[int, Any] = {}
    if name == "cell_reader" and run is not None:
        recipe = cell_reader.RECIPE
        size, epochs, seed = find_system(name).size, recipe.epochs, recipe.seed
        held = [n for n in np.unique(fields.folds).tolist() if (run / f"{n}/network.safetensors").is_file()]
    else:
        networks = reader.bundled_networks(fields) if run is None else reader.fold_networks(fields, run)
        size, epochs, seed = reader.TILE, sum(cycle.epochs for cycle in reader.CYCLES), reader.RECIPE.seed
        held = list(networks)
    # Before hours of reading.
    rows = np.isin(fields.folds, held)
    _refuse_to_lose(
        predictions_path(name, partition, folder), [file for file, kept in zip(fields.files, rows, strict=True) if kept]
    )
    more: dict[str, Any] = _elsewhere_of(name, partition, trained, elsewhere, tell)
    more |= {"run": {"size": size, "epochs": epochs, "of": epochs, "seed": seed} | trained}
    if name == "reader":
        begun = (
            mosaics.begun(run / reader.CELLS)
            if run
            else read_card(weights_folder() / "reader.json").training.get("begun_from")
        )
        if begun:
            more["run"]["begun_from"] = f"{len(begun['types'])} types of cells"
    more |= {"trained": trained, "tell": tell}
    if name == "cell_reader" and run is not None:
        logits = cell_reader.predict_out_of_fold(fields, run, every=every, recipe=recipe, tell=tell)
        return record(name, partition, folder=folder, **cell_reader.numbers_of(logits, fields), **more)
    paint_out = functools.partial(reader.paint_out, fields)
    painted = paint_out if run is None else reader.painted_out(fields, run).__getitem__
    outcome = reader.predict_out_of_fold(fields, networks, painted, tell, every)
    return record_reader(outcome, fields, partition, folder, **more)


def _elsewhere_of(
    name: str, partition: str, trained: Mapping[str, Any], places: Sequence[Path], tell: Tell
) -> dict[str, Any]:
    """Read pictures of other laboratories for a run, if the weights that are here are of its training."""
    if not places:
        return {}
    weights = weights_folder().name
    if name not in available():
        tell(f"no weights of {name} are in {weights}: pictures of other laboratories are left out")
        return {}
    card = read_card(weights_folder() / f"{name}.json")
    other = differs(card, trained)
    if not other and (own := card.training.get("partition", "grouped")) != partition:
        other = f"{partition} folds instead of {own} ones"
    if other:
        tell(
            f"pictures of other laboratories are left out: the weights of {name} in {weights}, by which they are read, "
            f"are not this run's, which is of another training ({other}); name the folder into which python -m leuk "
            "train wrote the run's own in the environment variable LEUK_WEIGHTS"
        )
        return {}
    return {"elsewhere": _read_places(name, places, tell)}


def add_elsewhere(
    name: str, places: Sequence[Path], tell: Tell | None = None, folder: Path | None = None
) -> dict[str, Any]:
    """Read pictures of other laboratories with the weights that are here, and add that beside the tables there are.

    Tables of another training than the weights' are passed over. Places that were read before stay.

    Parameters
    ----------
    name : str
        System.
    places : sequence of pathlib.Path
        See `read_elsewhere`.
    tell : callable, optional
        Given a line of progress.
    folder : pathlib.Path, optional
        Of the tables; ``weights/predictions`` by default. With another one no card is changed.

    Returns
    -------
    dict
        By place, as `read_elsewhere`.

    Raises
    ------
    DataError
        If the system has no table of predictions yet, or none of the weights' training, or a folder can't be used.
    OptionError
        If there is no such system, or no weights of it.
    """
    find_system(name)
    tables = [path for (system, _), path in shipped(folder).items() if system == name]
    if not tables:
        where = folder or weights_folder() / "predictions"
        raise DataError(
            f"There are no predictions of {name} in {where}; evaluate a run of it first, with --data and --run."
        )
    tell = tell or log.info
    card = read_card(weights_folder() / f"{name}.json") if name in available() else None
    own = []
    for table in tables:
        trained = _trained(read_result(table))
        other = differs(card, trained) if card is not None else ""
        if other:
            tell(f"{table.name} is passed over: it is of another training than the weights that are here ({other})")
        else:
            own.append((table, trained))
    if not own:
        raise DataError(
            f"The predictions of {name} are of another training than its weights in {weights_folder().name}; evaluate "
            "the run of these first, with --data and --run."
        )
    found = _read_places(name, places, tell)
    for table, trained in own:
        result = write_result(table, elsewhere=dict(read_result(table).get("elsewhere") or {}) | found)
        if folder is None:
            _onto_card(name, result["partition"], result, trained, tell)
    return found


def _trained(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a result knows of its training, as a card has it; of results of earlier versions that is less."""
    run = dict(result.get("run") or {})
    preset = {key: run[key] for key in ("size", "epochs") if key in run}
    return {key: run[key] for key in ("data_sha256", "pretrained", "seed") if key in run} | {"preset": preset}


def check_places(places: Sequence[Path]) -> None:
    """Refuse two places of one name: the figures of one would take the place of the other's.

    Raises
    ------
    OptionError
    """
    for number, place in enumerate(places):
        for other in places[:number]:
            if place_of(place) == place_of(other):
                raise OptionError(f"{other} and {place} would both be called {place_of(place)}; rename one of them.")


def _read_places(name: str, places: Sequence[Path], tell: Tell) -> dict[str, Any]:
    check_places(places)
    found = [read_elsewhere(name, path, tell) for path in places]
    return {one.pop("place"): one for one in found}


def _evaluate_run(
    name: str,
    data: Path,
    run_folder: Path,
    every: int,
    elsewhere: Sequence[Path],
    folder: Path | None,
    device: str,
    skip_broken: bool,
    tell: Tell,
) -> dict[str, Any]:
    from leuk.training.augment import lab_statistics
    from leuk.training.fields import gather
    from leuk.training.stress import STRESSES, swap_stain
    from leuk.training.systems import (
        folds_done,
        held_range,
        load_fold_network,
        normalizes,
        predict,
        read_run,
        system_of,
    )

    run = read_run(run_folder)
    if run.system != name:
        raise DataError(
            f"The run {run_folder.name} is one of {run.system}, not of {name}; name the other system or run."
        )
    system, done = system_of(run), folds_done(run_folder)
    if not done:
        raise DataError(f"The run {run_folder.name} has no trained fold yet; finish its training with --resume.")
    fields = gather(data, system, run.partition, skip_broken=skip_broken, run=run_folder)
    for problem in fields.problems:
        tell(problem)
    if fields.files != run.files:
        raise DataError(f"The run {run_folder.name} was trained on other files than {data.name} holds; name its data.")
    # Of other folds a network would be asked about fields that it has seen, and do well.
    dealt = fields.classes, tuple(fields.labels.tolist()), tuple(fields.folds.tolist())
    if dealt != (run.classes, run.labels, run.folds):
        raise DataError(
            f"The classes or folds of {data.name} are no longer those that the run in {run_folder.name} was trained "
            "on; bring them back, or train anew."
        )
    if run.fingerprint not in ("", fields.fingerprint()):
        raise DataError(
            f"The images of {data.name} are no longer those that the run in {run_folder.name} was trained on, though "
            "their names are; bring them back, or train anew."
        )
    rows = np.isin(fields.folds, done)
    files = [file for file, kept in zip(fields.files, rows, strict=True) if kept]
    # Before hours of reading.
    _refuse_to_lose(predictions_path(name, run.partition, folder), files)
    trained = {
        "data_sha256": fields.fingerprint(),
        "preset": run.preset,
        "pretrained": run.pretrained,
        "seed": run.seed,
    }
    more = _elsewhere_of(name, run.partition, trained, elsewhere, tell)
    conditions = [PLAIN, *STRESSES, SWAP, ERASED]
    logits = {one: np.full((len(fields.files), len(run.classes)), np.nan, np.float32) for one in conditions}
    pool = np.stack([lab_statistics(pixels) for pixels in fields.pixels])
    for fold in done:
        network = load_fold_network(run_folder, fold, device)
        held = np.flatnonzero(fields.folds == fold)
        logits[PLAIN][held] = predict(network, system, fields.pixels[held], run.size)
        tell(f"fold {fold}: accuracy {(logits[PLAIN][held].argmax(1) == fields.labels[held]).mean():.4f}")
        some = held[::every]
        for one in conditions[1:]:
            rng = np.random.default_rng([fold, 7])
            if one == ERASED:
                changed = [erased(fields.pixels[i], i) for i in some]
            elif one == SWAP:
                changed = [swap_stain(fields.pixels[i], fields.labels[i], fields.labels, pool, rng) for i in some]
            else:
                changed = [STRESSES[one](fields.pixels[i], rng) for i in some]
            logits[one][some] = predict(network, system, np.stack(changed), run.size)
            tell(f"fold {fold}: {one}: {(logits[one][some].argmax(1) == fields.labels[some]).mean():.4f}")
    return record(
        name,
        run.partition,
        files,
        fields.labels[rows],
        fields.folds[rows],
        run.classes,
        {one: found[rows] for one, found in logits.items()},
        folder,
        fields.groups[rows],
        trained,
        tell,
        run={
            "size": run.size,
            "epochs": run.epochs,
            "pretrained": run.pretrained,
            "seed": run.seed,
            # Of a network that keeps none, none were counted.
            "recount": run.preset["recount"] and normalizes(network),
            "data_sha256": trained["data_sha256"],
        }
        | ({"held_range": moved} if (moved := held_range(run, run_folder, done)) else {}),
        **more,
    )


def erased(pixels: np.ndarray, index: int, seed: int = 0) -> np.ndarray:
    """Return a field with its white cells painted out; the same each time for the same index."""
    from leuk.data.erase import erase_cells
    from leuk.segmentation import segment

    cell = segment(SmearImage.from_array(pixels, name="field")).cell
    return erase_cells(pixels, cell, np.random.default_rng([seed, index]))


# ---- pictures of other laboratories -------------------------------------------------------------------------------


def truth_of(path: Path) -> bool | None:
    """Tell from its name whether a picture shows leukaemia, None where the name doesn't say.

    ALL-IDB's names end in ``_1`` for leukaemia and in ``_0`` for none; a folder named after a type of normal cell, as
    in the PBC set, holds none.
    """
    if path.parent.name.casefold() in _NORMAL:
        return False
    ending = path.stem.rpartition("_")[2]
    return ending == "1" if ending in ("0", "1") and "_" in path.stem else None


def known_elsewhere(
    folder: Path, most: int = 400, unseen: Callable[[Path], bool] = lambda path: True
) -> list[tuple[Path, bool]]:
    """Return pictures whose names say what they show, and whether it is leukaemia; of many, `most` evenly spread ones.

    Pictures that are not ``unseen`` are passed over, and so are masks, which bear their pictures' names: what lies in a
    subfolder whose name begins with "mask".

    Raises
    ------
    DataError
        If the folder holds no such picture.
    """
    found = find_images([folder]) if folder.is_dir() else []
    found = [p for p in found if not any(part.lower().startswith("mask") for part in p.relative_to(folder).parts[:-1])]
    known = [(path, truth) for path in found if (truth := truth_of(path)) is not None and unseen(path)]
    if not known:
        raise DataError(
            f"The folder {folder.name} holds no picture whose name says what it shows; use ALL-IDB's names (…_1, "
            "…_0) or PBC's folders of normal cells."
        )
    return [known[i] for i in np.unique(np.linspace(0, len(known) - 1, min(most, len(known))).astype(int))]


def read_elsewhere(name: str, folder: Path, tell: Tell | None = None, most: int = 400) -> dict[str, Any]:
    """Count how often "malignant" is right on pictures that a system was never trained on.

    A picture counts as called malignant where the probability of all classes but benign is above one half, whether or
    not the system would say that it can't tell.

    Parameters
    ----------
    name : str
        A model whose weights are here.
    folder : pathlib.Path
        Of pictures whose names say what they show, see `truth_of`.
    tell : callable, optional
    most : int
        Of more pictures than this, evenly spread ones are read.

    Returns
    -------
    dict
        ``place``, as `count_elsewhere`, and ``seen`` if the network was begun from these pictures.

    Raises
    ------
    DataError
        If the folder holds no such picture.
    """
    from leuk.classification import CANNOT_TELL, classify
    from leuk.models.store import load_model
    from leuk.segmentation import segment

    pictures = known_elsewhere(folder, most)
    model = load_model(name, "cpu")

    def call(image: SmearImage) -> tuple[bool, bool]:
        found = classify(model, image, segment(image))
        return found.malignant_probability > 0.5, found.suggestion == CANNOT_TELL

    told = call_elsewhere(folder, pictures, call, tell)
    # Its pictures are known by the folder's name alone: a copy elsewhere would pass for another laboratory's.
    seen = (model.card.training.get("begun_from") or {}).get("place") == told["place"]
    return told | ({"seen": True} if seen else {})


def call_elsewhere(
    folder: Path,
    pictures: Sequence[tuple[Path, bool]],
    call: Callable[[SmearImage], tuple[bool, bool]],
    tell: Tell | None = None,
) -> dict[str, Any]:
    """Call pictures malignant or not, and count how often that was right.

    Parameters
    ----------
    folder : pathlib.Path
        The place.
    pictures : sequence of tuple
        As `known_elsewhere` returns them.
    call : callable
        Of a picture, whether it is called malignant, and whether nothing can be told of it.
    tell : callable, optional

    Returns
    -------
    dict
        ``place``, and as `count_elsewhere`.
    """
    called, silent = np.array([call(read_image(path)) for path, _ in pictures], bool).T
    told = count_elsewhere(np.array([malignant for _, malignant in pictures]), called, int(silent.sum()))
    if tell is not None:
        tell(f"{place_of(folder)}: {told['images']} pictures, malignant is right on {told['accuracy']['value']:.3f}")
    return {"place": place_of(folder), **told}


def count_elsewhere(truth: np.ndarray, called: np.ndarray, silent: int = 0) -> dict[str, Any]:
    """Return how often "malignant" was right.

    Parameters
    ----------
    truth, called : numpy.ndarray
        bool, (N,), one or more: whether a picture shows leukaemia, and whether it was called malignant.
    silent : int
        Number of pictures of which the system says that it can't tell.

    Returns
    -------
    dict
        ``images``, ``accuracy``, ``sensitivity``, ``specificity`` (each with interval, None where there is none of
        that kind) and ``cannot_tell`` (share).
    """
    from leuk.cells.values import interval

    def of(rows: np.ndarray) -> dict[str, Any] | None:
        count, total = int((called == truth)[rows].sum()), int(rows.sum())
        # Pictures of other places are taken one by one: an exact interval, which all right or all wrong has too.
        low, high = interval(count, total) if total else (0.0, 0.0)
        return {"value": round(count / total, 4), "interval": [round(low, 4), round(high, 4)]} if total else None

    return {
        "images": len(truth),
        "accuracy": of(np.ones(len(truth), bool)),
        "sensitivity": of(truth),
        "specificity": of(~truth),
        "cannot_tell": round(silent / len(truth), 4),
    }


def place_of(folder: Path) -> str:
    """Return the name of a set: the folder's, or its parent's where the folder says only that it holds pictures."""
    resolved = folder.resolve()
    return resolved.parent.name if resolved.name in ("im", "img", "images") else resolved.name

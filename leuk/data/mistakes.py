"""What a system got wrong on a data set: predictions laid beside the files, false alarms, misses, thresholds."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

import numpy as np

from leuk.data.datasets import BENIGN_NAMES, DataSet, class_keys, is_malignant, public_files
from leuk.errors import DataError

_BLOCK = 10_000_000


class PredictionTable(Protocol):
    """What `leuk.training.predictions.Predictions` offers."""

    @property
    def system(self) -> str: ...  # noqa: D102
    @property
    def partition(self) -> str: ...  # noqa: D102
    @property
    def files(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def classes(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def folds(self) -> np.ndarray: ...  # noqa: D102
    @property
    def probabilities(self) -> np.ndarray: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class Verdicts:
    """A system's predictions in the order of a data set.

    Attributes
    ----------
    system, partition : str
    title : str
        What sentences call the system.
    probabilities : numpy.ndarray
        float64, (N, C) in the set's order of classes, nan where there is no prediction. Rows sum to 1, less
        what went to classes that the set has not.
    predicted : numpy.ndarray
        int64, (N,): likeliest class; -1 where there is no prediction.
    folds : numpy.ndarray
        int64, (N,): part in which the row was held out; -1 where not known.
    known : numpy.ndarray
        bool, (N,): the row has a prediction, and the system knows its class.
    problems : tuple of str
        One sentence each: files that are not in the set, rows without a prediction, classes unknown to the other side.
    """

    system: str
    partition: str
    probabilities: np.ndarray
    predicted: np.ndarray
    folds: np.ndarray
    known: np.ndarray
    title: str
    problems: tuple[str, ...] = ()


def align(dataset: DataSet, predictions: PredictionTable, title: str = "") -> Verdicts:
    """Lay predictions beside the files of a data set.

    Files are matched by their whole name, and those left by the end of it (``Benign/a.jpg``, then ``a.jpg``) where only
    one fits.
    On a set of benign and malignant, a system's subtypes count together as malignant.

    Parameters
    ----------
    dataset : DataSet
    predictions : PredictionTable
    title : str
        What sentences call the system; its name by default.

    Raises
    ------
    DataError
        If not one prediction fits, the system and the set share no class, an image is called a class that the set has
        not, or two of the system's classes are benign.
    """
    names = class_keys(predictions.classes)
    system = title or predictions.system
    if len(benign := sorted(set(names) & set(BENIGN_NAMES))) > 1:
        raise DataError(
            f"{system} has the classes {benign[0]} and {benign[1]}, which both mean that there is no "
            "leukaemia; add their columns up in one."
        )
    merged = []
    if set(dataset.classes) == {"benign", "malignant"} and "benign" in names:
        merged = [name for name in names if name not in dataset.classes and is_malignant(name)]
        names = ["malignant" if name in merged else name for name in names]
    shared = [name for name in dataset.classes if name in names]
    if not shared:
        raise DataError(
            f"{system} knows none of this set's classes; it knows {', '.join(names)}, "
            f"the set has {', '.join(dataset.classes)}."
        )
    problems = list(getattr(predictions, "problems", ()))
    if merged:
        problems.append(
            f"What {system} calls {', '.join(merged)} counts as malignant, which is all that this set tells."
        )
    count = len(dataset.classes)
    probabilities = np.full((len(dataset), count), np.nan)
    folds = np.full(len(dataset), -1, np.int64)
    places, unknown = _match(dataset.files, predictions.files)
    if not places:
        raise DataError(
            f"None of the {len(predictions.files)} predictions of {system} is for an image of {dataset.name}; "
            "name files as the set does."
        )
    columns = [(dataset.classes.index(name), column) for column, name in enumerate(names) if name in shared]
    sources, rows = list(places), list(places.values())
    probabilities[rows] = 0
    for to, column in columns:
        probabilities[rows, to] += predictions.probabilities[sources, column]
    folds[rows] = predictions.folds[sources]
    problems += _not_here(system, unknown)
    there = np.isfinite(probabilities).all(1)
    absent = np.flatnonzero(~there)
    if len(absent):
        problems.append(
            f"1 image has no prediction of {system}: {dataset.files[absent[0]]}."
            if len(absent) == 1
            else f"{len(absent):,} images have no prediction of {system}, such as {dataset.files[absent[0]]}."
        )
    familiar = np.array([name in names for name in dataset.classes])
    problems += _foreign(dataset, predictions, system, names, places, familiar)
    for label in np.flatnonzero(~familiar):
        number = int((dataset.labels == label).sum())
        counted = "image is not counted as an error" if number == 1 else "images are not counted as errors"
        problems.append(f"{system} does not know the class {dataset.classes[label]}; its {number:,} {counted}.")
    predicted = np.full(len(dataset), -1, np.int64)
    predicted[there] = probabilities[there].argmax(1)
    return Verdicts(
        system=predictions.system,
        partition=predictions.partition,
        probabilities=probabilities,
        predicted=predicted,
        folds=folds,
        known=there & familiar[dataset.labels],
        title=system,
        problems=tuple(problems),
    )


def _foreign(
    dataset: DataSet,
    predictions: PredictionTable,
    system: str,
    names: list[str],
    places: dict[int, int],
    familiar: np.ndarray,
) -> list[str]:
    """Say which classes a system predicts that the set has not.

    Their share of the probability is nobody else's, and stays theirs. An image called one of them is an error that no
    class of the set stands for: such a table is refused, for without those images it would look better than it is.
    """
    foreign = [column for column, name in enumerate(names) if name not in dataset.classes]
    if not foreign:
        return []
    told = ", ".join(names[column] for column in foreign)
    usable = np.isfinite(predictions.probabilities).all(1)
    called = usable & np.isin(np.where(usable[:, None], predictions.probabilities, 0).argmax(1), foreign)
    rows = [row for source, row in places.items() if called[source]]
    if familiar[dataset.labels[rows]].any():
        raise DataError(
            f"{system} calls {len(rows):,} image{'' if len(rows) == 1 else 's'} {told}, which {dataset.name} has not "
            f"as a class; give predictions of its own classes: {', '.join(dataset.classes)}."
        )
    but = f" but {len(rows):,} of a class that {system} does not know" if rows else ""
    return [f"{system} also predicts {told}, which this set has not; no image is called that{but}."]


def _not_here(system: str, unknown: Sequence[str]) -> list[str]:
    """Say in one sentence which predictions are for no image of the set.

    What Leuk ships is on all fields of the public set: that a folder holds some of them only is no fault of the table.
    """
    if not unknown:
        return []
    listed = public_files()
    strange = [name for name in unknown if name not in listed]
    if not strange:
        return []
    if len(strange) == 1:
        return [f"{system} predicts {strange[0]}, which is not in this set."]
    return [f"{system} predicts {len(strange):,} files, such as {strange[0]}, which are not in this set."]


def _match(files: Sequence[str], wanted: Sequence[str]) -> tuple[dict[int, int], list[str]]:
    """Find rows for names: index in `wanted` to row, and the names that fit none."""
    exact = {name: row for row, name in enumerate(files)}
    places = {index: exact[name] for index, name in enumerate(wanted) if name in exact}
    taken = set(places.values())
    # The surest first, whatever the order of the table.
    for length in (2, 1):
        left = [index for index in range(len(wanted)) if index not in places]
        if not left:  # as with each of Leuk's own tables, and taking names apart takes long
            break
        ends: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for row, name in enumerate(files):
            ends[PurePosixPath(name).parts[-length:]].append(row)
        for index in left:
            fit = ends.get(PurePosixPath(wanted[index]).parts[-length:], ())
            if len(fit) == 1 and fit[0] not in taken:
                places[index] = fit[0]
                taken.add(fit[0])
    return places, [name for index, name in enumerate(wanted) if index not in places]


def confusion(dataset: DataSet, verdicts: Verdicts) -> np.ndarray:
    """Return counts, int64 (C, C), rows true, columns predicted, of the rows that are known."""
    counts = np.zeros((len(dataset.classes), len(dataset.classes)), np.int64)
    np.add.at(counts, (dataset.labels[verdicts.known], verdicts.predicted[verdicts.known]), 1)
    return counts


def cell_rows(dataset: DataSet, verdicts: Verdicts, true: int, called: int) -> np.ndarray:
    """Return the rows of one cell of the confusion matrix, int64 (M,), the most confident first."""
    rows = np.flatnonzero(verdicts.known & (dataset.labels == true) & (verdicts.predicted == called))
    return rows[np.argsort(-verdicts.probabilities[rows, called], kind="stable")]


@dataclass(frozen=True, eq=False)
class Mistakes:
    """Rows that a system got wrong, the most confident first.

    Attributes
    ----------
    false_alarms : numpy.ndarray
        int64: benign called malignant, by falling 1 - p(benign).
    misses : numpy.ndarray
        int64: malignant called benign, by falling p(benign).
    confused : numpy.ndarray
        int64: malignant called malignant of another kind, by falling confidence; every error where no class is benign,
        or one beside it isn't known to be malignant.
    """

    false_alarms: np.ndarray
    misses: np.ndarray
    confused: np.ndarray

    @property
    def all(self) -> np.ndarray:
        """Every error, int64: false alarms, then misses, then those confused."""
        return np.concatenate([self.false_alarms, self.misses, self.confused])


def mistakes(dataset: DataSet, verdicts: Verdicts, threshold: float | None = None) -> Mistakes:
    """Sort a system's errors.

    Parameters
    ----------
    dataset : DataSet
    verdicts : Verdicts
    threshold : float, optional
        Called malignant from this 1 - p(benign) upwards; by default a row is called what is likeliest.
    """
    labels, predicted, known = dataset.labels, verdicts.predicted, verdicts.known
    p = np.nan_to_num(verdicts.probabilities)
    confidence = p.max(1)

    def by(chosen: np.ndarray, score: np.ndarray) -> np.ndarray:
        rows = np.flatnonzero(chosen)
        return rows[np.argsort(-score[rows], kind="stable")]

    benign = dataset.benign_beside_malignant
    nothing = np.zeros(0, np.int64)
    if benign is None:
        return Mistakes(nothing, nothing, by(known & (predicted != labels), confidence))
    truly = labels == benign
    called = predicted == benign if threshold is None else 1 - p[:, benign] < threshold
    subtype = np.where(np.arange(p.shape[1]) == benign, -1.0, p).argmax(1)
    return Mistakes(
        false_alarms=by(known & truly & ~called, 1 - p[:, benign]),
        misses=by(known & ~truly & called, p[:, benign]),
        confused=by(known & ~truly & ~called & (subtype != labels), confidence),
    )


@dataclass(frozen=True)
class Operating:
    """Counts at one threshold on 1 - p(benign).

    Attributes
    ----------
    threshold : float
    false_alarms, misses, true_alarms, true_benign : int
    sensitivity, specificity : float
        nan where there is nothing to divide by.
    sensitivity_interval, specificity_interval : tuple of float
        95 %, see `share_intervals`.
    """

    threshold: float
    false_alarms: int
    misses: int
    true_alarms: int
    true_benign: int
    sensitivity: float
    specificity: float
    sensitivity_interval: tuple[float, float]
    specificity_interval: tuple[float, float]


def operate(dataset: DataSet, verdicts: Verdicts, threshold: float) -> Operating:
    """Count false alarms and misses at a threshold: malignant is what has 1 - p(benign) >= threshold.

    Raises
    ------
    DataError
        If no class of the set is benign.
    """
    return operate_at(dataset, verdicts, [threshold])[0]


def operate_at(dataset: DataSet, verdicts: Verdicts, thresholds: Sequence[float]) -> tuple[Operating, ...]:
    """Count at several thresholds, see `operate`."""
    if dataset.benign is None:
        raise DataError("No class of this set is benign or normal, so there is no threshold to set.")
    known = verdicts.known
    score = 1 - np.where(known, verdicts.probabilities[:, dataset.benign], 0)
    alarm = known & (score >= np.reshape(thresholds, (-1, 1)))
    benign, malignant = known & (dataset.labels == dataset.benign), known & (dataset.labels != dataset.benign)
    caught, cleared = (alarm & malignant).sum(1), (~alarm & benign).sum(1)
    bad, good = int(malignant.sum()), int(benign.sum())
    sensitivity = share_intervals(dataset, verdicts, alarm, malignant)
    specificity = share_intervals(dataset, verdicts, ~alarm, benign)
    return tuple(
        Operating(
            threshold=threshold,
            false_alarms=good - int(cleared[at]),
            misses=bad - int(caught[at]),
            true_alarms=int(caught[at]),
            true_benign=int(cleared[at]),
            sensitivity=int(caught[at]) / bad if bad else float("nan"),
            specificity=int(cleared[at]) / good if good else float("nan"),
            sensitivity_interval=sensitivity[at],
            specificity_interval=specificity[at],
        )
        for at, threshold in enumerate(thresholds)
    )


def share_intervals(
    dataset: DataSet, verdicts: Verdicts, right: np.ndarray, among: np.ndarray, draws: int = 1000, seed: int = 0
) -> list[tuple[float, float]]:
    """Return 95 % intervals of shares, as far as images are like others of their session or patient.

    Where the set tells sessions or patients, by bootstrap over them, drawn as `leuk.training.metrics.all_figures` draws
    them; else Wilson's. `resting_on` says which. Of few sessions a bootstrap can come out narrower than if all images
    were independent, which is chance: then Wilson's ends stand.

    Parameters
    ----------
    dataset : DataSet
    verdicts : Verdicts
    right : numpy.ndarray
        bool, (T, N): T ways to call the images.
    among : numpy.ndarray
        bool, (N,): which rows the shares are of.
    draws, seed : int

    Returns
    -------
    list of tuple of float
        T; (nan, nan) of nothing, and where a bootstrap over images that are all right, or all wrong, tells nothing.
    """
    total, hits = int(among.sum()), (right & among).sum(1)
    groups = _groups(dataset, verdicts)
    if groups is None or not total:
        return [wilson(int(count), total) for count in hits]
    many, known = int(groups.max()) + 1, verdicts.known
    of = np.bincount(groups, among[known], many)
    sums = np.stack([np.bincount(groups, (row & among)[known], many) for row in right])
    rng, shares = np.random.default_rng(seed), []
    block = max(1, _BLOCK // many)  # so that a set of many thousand patients stays in memory
    for start in range(0, draws, block):
        drawn = rng.multinomial(many, np.full(many, 1 / many), size=min(block, draws - start)).astype(np.float64)
        with np.errstate(invalid="ignore"):
            shares.append(sums @ drawn.T / (of @ drawn.T))
    low, high = np.nanpercentile(np.concatenate(shares, axis=1), [2.5, 97.5], axis=1)
    told = (hits > 0) & (hits < total)
    found = []
    for a, b, one, count in zip(low, high, told, hits, strict=True):
        least, most = wilson(int(count), total)
        found.append((min(float(a), least), max(float(b), most)) if one else (float("nan"), float("nan")))
    return found


def resting_on(dataset: DataSet, verdicts: Verdicts) -> str:
    """Say what intervals of `share_intervals` rest on."""
    groups = _groups(dataset, verdicts)
    if groups is None:
        return "counting images as independent"
    return f"by bootstrap over {int(groups.max()) + 1:,} {dataset.session_kind}s"


def _groups(dataset: DataSet, verdicts: Verdicts) -> np.ndarray | None:
    """Return what the bootstrap keeps together, int64 from 0 on, for each known row; None where nothing is.

    An image of no session is its own.
    """
    if dataset.session is None or not verdicts.known.any():
        return None
    session = dataset.session[verdicts.known]
    if (session < 0).all():
        return None
    alone = np.arange(len(session)) + session.max() + 1
    groups = np.unique(np.where(session < 0, alone, session), return_inverse=True)[1]
    return groups if groups.max() + 1 < len(groups) else None


@dataclass(frozen=True)
class Neighbour:
    """A training image like a given one.

    Attributes
    ----------
    row : int
    label : int
    distance : float
        Euclidean, in features scaled to unit variance.
    same_session : bool or None
        None where sessions are not known.
    """

    row: int
    label: int
    distance: float
    same_session: bool | None


def nearest(
    dataset: DataSet, features: np.ndarray, row: int, verdicts: Verdicts | None = None, count: int = 6
) -> list[Neighbour]:
    """Return the images most like one, nearest first, among those the system was trained on when it judged that one.

    Parameters
    ----------
    dataset : DataSet
    features : numpy.ndarray
        float, (N, D): a system's embeddings, or `leuk.data.maps.image_features`; rows of nan are passed over.
    row : int
    verdicts : Verdicts, optional
        Its `folds` say what was training then: every other fold. Without it all other rows are candidates.
    count : int
    """
    usable = np.isfinite(features).all(1)
    if not usable[row]:
        return []
    scale = features[usable].std(0)
    used = scale > 1e-9
    distance = np.sqrt((((features[:, used] - features[row, used]) / scale[used]) ** 2).sum(1) / max(used.sum(), 1))
    candidates = usable.copy()
    candidates[row] = False
    if verdicts is not None and verdicts.folds[row] >= 0:
        candidates &= (verdicts.folds >= 0) & (verdicts.folds != verdicts.folds[row])
    rows = np.flatnonzero(candidates)
    rows = rows[np.argsort(distance[rows], kind="stable")[:count]]
    session = dataset.session
    return [
        Neighbour(
            row=int(one),
            label=int(dataset.labels[one]),
            distance=float(distance[one]),
            same_session=None
            if session is None or session[row] < 0 or session[one] < 0
            else bool(session[one] == session[row]),
        )
        for one in rows
    ]


def wilson(successes: int, total: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share; (nan, nan) of nothing.

    References
    ----------
    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    if total == 0:
        return float("nan"), float("nan")
    z = 1.959964
    share = successes / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return (middle - half if successes else 0.0), (middle + half if successes < total else 1.0)

"""Exact and near duplicates, and which of them cross a split, a fold or a class."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import cv2
import numpy as np

from leuk.data.datasets import DataSet, Progress
from leuk.data.measures import FRAME, Measures, fingerprint, frames, recalled

LOOK = 32
"""Side in points of the pictures that are compared all with all."""
ALIKE = 0.4
"""Correlation of those from which a pair is looked at again."""
SAME = 0.58
"""Correlation of detail, laid over one another, from which a pair may show the same field.

On the public set listed pairs have 0.6 and more, fields of the same slide 0.15 and less."""
EVERYWHERE = 0.35
"""Correlation that two thirds of the parts of a pair must have on their own.

Different cells that sit alike in their crops reach 0.7 as a whole, but agree in one place only."""
AROUND = 0.4
"""Correlation that the outer fifth of the frame, all round, must have on its own.

A crop shows its cell at the centre, and what else there is has hardly any detail beside the cell's outline: different
cells of one kind reach 0.73 as a whole and 0.54 in the median of the outer ninths, but 0.24 around. Listed pairs of the
public set have 0.6 and more around; copies saved again, shifted or with noise 0.76 and more."""
PARTNERS = 8
"""Most pairs looked at again for each image."""
FARTHEST = 10
"""Pixels of a frame by which a copy may be shifted."""


@dataclass(frozen=True)
class Group:
    """Images that show the same.

    Attributes
    ----------
    rows : tuple of int
    exact : bool
        All have the same pixels.
    crosses : tuple of str
        What parts them, of "split", "fold", "class"; the worst first, empty if they are kept together.
    correlation : float
        Of detail, the lowest that holds the group together, 1 for equal pixels.
    """

    rows: tuple[int, ...]
    exact: bool
    crosses: tuple[str, ...]
    correlation: float


@dataclass(frozen=True, eq=False)
class Duplicates:
    """All groups, those that cross a class, a split or a fold first, exact before near.

    Attributes
    ----------
    groups : tuple of Group
    exact_pairs, near_pairs : numpy.ndarray
        int64, (P, 2): rows, smaller first; near pairs do not include exact ones.
    group_of : numpy.ndarray
        int64, (N,): one number for each group, rows that stand alone have their own.
    """

    groups: tuple[Group, ...]
    exact_pairs: np.ndarray
    near_pairs: np.ndarray
    group_of: np.ndarray

    @property
    def same(self) -> tuple[tuple[int, ...], ...]:
        """Rows that have the same pixels, a tuple for each picture; a group may hold one beside near duplicates."""
        found: dict[int, list[int]] = {}
        first_of: dict[int, int] = {}
        for first, other in self.exact_pairs.tolist():
            if other not in first_of:
                first_of[other] = first_of.get(first, first)
                found.setdefault(first_of[other], [first_of[other]]).append(other)
        return tuple(tuple(rows) for rows in found.values())


def find_duplicates(
    dataset: DataSet,
    measures: Measures,
    progress: Progress | None = None,
    turned: bool = False,
    fold: np.ndarray | None = None,
    keep: bool = True,
) -> Duplicates:
    """Find images that show the same field.

    Exact duplicates have the same decoded pixels. For near ones every image is reduced to 32 × 32 points and
    correlated with every other; pairs that are alike are laid over one another by phase correlation, and count if
    their fine detail agrees in most parts of the frame, and around its centre. So a copy that was saved again,
    brightened, or shifted by a tenth of the frame is found, and two cells that merely sit alike in their crops are not.

    Parameters
    ----------
    dataset : DataSet
    measures : Measures
    progress : callable, optional
    turned : bool
        Whether to look for mirrored and turned copies too.
    fold : numpy.ndarray, optional
        int64, (N,): partition to hold the groups against; the set's own by default.
    keep : bool
        Whether to recall and keep the result.

    Returns
    -------
    Duplicates

    References
    ----------
    C. D. Kuglin, D. C. Hines, "The phase correlation image alignment method", Proc. IEEE Conf. Cybernetics and Society
    (1975).
    """
    by_pixels: dict[str, list[int]] = defaultdict(list)
    for row, digest in enumerate(measures.pixels_sha256):
        if digest:
            by_pixels[digest].append(row)
    exact = [(first, other) for rows in by_pixels.values() for first in rows[:1] for other in rows[1:]]
    every = [
        (rows[i], rows[j]) for rows in by_pixels.values() for i in range(len(rows)) for j in range(i + 1, len(rows))
    ]
    # One row stands for all that have its pixels.
    single = np.array(sorted(rows[0] for rows in by_pixels.values()), np.int64)
    keys = tuple(measures.pixels_sha256[row] for row in single)

    def make() -> dict[str, np.ndarray]:
        pictures = frames(dataset, single, (lambda share, text: progress(0.6 * share, text)) if progress else None)
        comparing = (lambda share, text: progress(0.6 + 0.4 * share, text)) if progress else None
        pairs, strength = _near(pictures, turned, comparing)
        return {"pairs": pairs, "strength": strength}

    results = recalled(
        fingerprint("duplicates", keys, turned, LOOK, ALIKE, SAME, EVERYWHERE, AROUND, PARTNERS, FARTHEST), make, keep
    )
    near = np.sort(single[results["pairs"].reshape(-1, 2)], axis=1)
    group_of, weakest = _groups(len(dataset), exact, near, results["strength"])
    folds = dataset.fold if fold is None else fold
    groups = []
    for rows in _members(group_of):
        same = len({measures.pixels_sha256[row] for row in rows}) == 1
        groups.append(
            Group(
                rows=rows,
                exact=same,
                crosses=_crossed(dataset, rows, folds),
                correlation=1.0 if same else weakest[int(group_of[rows[0]])],
            )
        )
    worst = {"class": 4, "split": 2, "fold": 1}
    groups.sort(key=lambda one: (-sum(worst[what] for what in one.crosses), not one.exact, -one.correlation, one.rows))
    if progress:
        progress(1.0, "duplicates found")
    return Duplicates(
        groups=tuple(groups),
        exact_pairs=np.array(sorted(every), np.int64).reshape(-1, 2),
        near_pairs=near[np.lexsort(near.T[::-1])],
        group_of=group_of,
    )


def _near(pictures: np.ndarray, turned: bool, progress: Progress | None) -> tuple[np.ndarray, np.ndarray]:
    """Find near pairs among frames, uint8 (M, S, S, 3): indices, int64 (P, 2), and correlations, float64 (P,)."""
    count = len(pictures)
    if count < 2:
        return np.zeros((0, 2), np.int64), np.zeros(0)
    grey = np.stack([cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures])
    reduced = np.stack([cv2.resize(one, (LOOK, LOOK), interpolation=cv2.INTER_AREA) for one in grey])
    base = _unit(reduced)
    turns = range(8) if turned else range(1)
    candidates: dict[tuple[int, int, int], float] = {}
    for turn in turns:
        other = base if turn == 0 else _unit(np.stack([_turn(one, turn) for one in reduced]))
        for start in range(0, count, 1000):
            likeness = base[start : start + 1000] @ other.T
            # Each pair once: the later image beside the earlier one.
            later = np.arange(count)[None] > np.arange(start, min(start + 1000, count))[:, None]
            likeness[~later] = -1
            best = np.argsort(-likeness, axis=1)[:, :PARTNERS] if count > PARTNERS else np.argsort(-likeness, axis=1)
            for row, columns in enumerate(best):
                for column in columns:
                    if likeness[row, column] < ALIKE:
                        break
                    candidates[start + row, int(column), turn] = float(likeness[row, column])
    window = cv2.createHanningWindow((FRAME, FRAME), cv2.CV_32F)
    found: dict[tuple[int, int], float] = {}
    for done, (first, second, turn) in enumerate(candidates):
        if progress and done % 200 == 0:
            progress(done / len(candidates), f"comparing {done + 1} of {len(candidates)} pairs")
        strength = _agreement(grey[first], _turn(grey[second], turn), window)
        if strength >= SAME:
            pair = (first, second)
            found[pair] = max(strength, found.get(pair, 0.0))
    return np.array(list(found), np.int64).reshape(-1, 2), np.array(list(found.values()), np.float64)


def _turn(picture: np.ndarray, turn: int) -> np.ndarray:
    """Return one of the eight ways to lay a square: quarter turns, from 4 on mirrored."""
    return np.ascontiguousarray(np.rot90(picture[:, ::-1] if turn >= 4 else picture, turn % 4))


def _unit(pictures: np.ndarray) -> np.ndarray:
    """Return pictures as rows of mean 0 and length 1; flat ones as zeros, which are like nothing."""
    rows = pictures.reshape(len(pictures), -1).astype(np.float32)
    rows -= rows.mean(1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.where(length > 1e-3, rows / np.maximum(length, 1e-3), 0)


def _detail(picture: np.ndarray) -> np.ndarray:
    values = picture.astype(np.float32)
    return values - cv2.GaussianBlur(values, (0, 0), 3)


def _agreement(first: np.ndarray, second: np.ndarray, window: np.ndarray) -> float:
    """Return the correlation of detail of two grey pictures laid over one another; -1 unless they agree all over."""
    a, b = _detail(first), _detail(second)
    (shift_x, shift_y), _ = cv2.phaseCorrelate(a, b, window)
    best = -1.0
    # Detail of a copy that was not shifted at all may be too faint for the phase; so no shift is tried as well.
    for x, y in {(round(shift_x), round(shift_y)), (0, 0)}:
        if max(abs(x), abs(y)) > FARTHEST:
            continue
        height, width = a.shape
        left = a[max(0, -y) : height - max(0, y), max(0, -x) : width - max(0, x)]
        right = b[max(0, y) : height - max(0, -y), max(0, x) : width - max(0, -x)]
        whole = _correlation(left, right)
        if whole > best and whole >= SAME and _everywhere(left, right) and _around(left, right):
            best = whole
    return best


def _correlation(left: np.ndarray, right: np.ndarray) -> float:
    spread = float(left.std() * right.std())
    return float(((left - left.mean()) * (right - right.mean())).mean()) / spread if spread > 1e-6 else 0.0


def _everywhere(left: np.ndarray, right: np.ndarray) -> bool:
    """Tell whether two pictures agree in most of nine parts, those without detail in either left out."""
    least = 0.35 * max(float(left.std()), float(right.std()))
    parts = [
        _correlation(one, other)
        for row, other_row in zip(np.array_split(left, 3), np.array_split(right, 3), strict=True)
        for one, other in zip(np.array_split(row, 3, 1), np.array_split(other_row, 3, 1), strict=True)
        if max(float(one.std()), float(other.std())) >= least
    ]
    ordered = np.sort(parts)
    return bool(ordered[len(ordered) // 3] >= EVERYWHERE and np.median(ordered) >= 0.5)


def _around(left: np.ndarray, right: np.ndarray) -> bool:
    """Tell whether two pictures agree outside the centre, or have nothing there, as where all but a cell is blank."""
    height, width = left.shape
    rim = np.ones(left.shape, bool)
    rim[height // 5 : height - height // 5, width // 5 : width - width // 5] = False
    one, other = left[rim], right[rim]
    return max(float(one.std()), float(other.std())) < 0.5 or _correlation(one, other) >= AROUND


def _groups(
    count: int, exact: list[tuple[int, int]], near: np.ndarray, strength: np.ndarray
) -> tuple[np.ndarray, dict[int, float]]:
    """Join pairs: group of each row, int64 (N,), and the weakest link of each group."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    pairs = np.concatenate([np.array(exact, np.int64).reshape(-1, 2), near])
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    group_of = connected_components(graph, directed=False)[1].astype(np.int64)
    # The weakest link that is still needed: adding the strongest first, the last that joins two parts.
    parent = np.arange(count)

    def top(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = int(parent[row])
        return row

    for first, second in exact:
        parent[top(second)] = top(first)
    weakest: dict[int, float] = {}
    for index in np.argsort(-strength, kind="stable"):
        first, second = top(int(near[index, 0])), top(int(near[index, 1]))
        if first != second:
            parent[second] = first
            weakest[int(group_of[near[index, 0]])] = float(strength[index])
    return group_of, weakest


def _members(group_of: np.ndarray) -> list[tuple[int, ...]]:
    """Return the rows of every group of two and more."""
    order = np.argsort(group_of, kind="stable")
    starts = np.flatnonzero(np.diff(group_of[order])) + 1
    return [tuple(int(row) for row in part) for part in np.split(order, starts) if len(part) > 1]


def _crossed(dataset: DataSet, rows: tuple[int, ...], folds: np.ndarray | None) -> tuple[str, ...]:
    crosses = []
    if len({int(dataset.labels[row]) for row in rows}) > 1:
        crosses.append("class")
    if dataset.split is not None and len({dataset.split[row] for row in rows} - {""}) > 1:
        crosses.append("split")
    if folds is not None and len({int(folds[row]) for row in rows} - {-1}) > 1:
        crosses.append("fold")
    return tuple(crosses)

"""Exact and near duplicates, and which of them cross a split, a fold or a class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leuk.data.datasets import DataSet, Progress
from leuk.data.measures import Measures


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
        The lowest correlation that holds the group together, 1 for equal pixels.
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


def find_duplicates(
    dataset: DataSet,
    measures: Measures,
    progress: Progress | None = None,
    turned: bool = False,
    fold: np.ndarray | None = None,
) -> Duplicates:
    """Find images that show the same field.

    Parameters
    ----------
    dataset : DataSet
    measures : Measures
    progress : callable, optional
    turned : bool
        Whether to look for mirrored and turned copies too.
    fold : numpy.ndarray, optional
        int64, (N,): partition to hold the groups against; the set's own by default.
    """
    raise NotImplementedError

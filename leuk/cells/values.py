"""What is said of single cells: their types, and the differential count with its uncertainty."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from scipy import special

TYPES = (
    "neutrophil",
    "ig",
    "eosinophil",
    "basophil",
    "lymphocyte",
    "monocyte",
    "blast",
    "erythroblast",
    "platelet",
)
"""Keys of the types that a cell can be suggested to be, in the order of every list of probabilities."""
UNIDENTIFIED = "unidentified"
"""Key of a cell that no type is suggested for, as cell counters have it."""
ARTEFACT = "artefact"
"""Key of what is left out of the count: a smudge, or no cell at all. It is suggested of smudges, at no probability."""
NOT_COUNTED = ("erythroblast", "platelet", ARTEFACT)
"""No white cells: told beside the differential, not in it."""
TITLES: Mapping[str, str] = MappingProxyType(
    {
        "neutrophil": "Neutrophil",
        "ig": "Immature granulocyte",
        "eosinophil": "Eosinophil",
        "basophil": "Basophil",
        "lymphocyte": "Lymphocyte",
        "monocyte": "Monocyte",
        "blast": "Blast",
        "erythroblast": "Erythroblast",
        "platelet": "Platelet",
        UNIDENTIFIED: "Unidentified",
        ARTEFACT: "Smudge or artefact",
    }
)
"""What a user reads, by key, in the order in which a differential lists them."""
USUAL_COUNT = 200
"""White cells that a differential count rests on as a rule."""
ACUTE = 0.2
"""Share of blasts at which acute leukaemia begins as a rule (WHO)."""


@dataclass(frozen=True)
class CellType:
    """What a classifier says of one cell.

    Attributes
    ----------
    label : int
        The cell's number in `Segmentation.instances`, from 1.
    type : str
        The type suggested, one of `TYPES`, or `UNIDENTIFIED`, or `ARTEFACT` for a smudge.
    probabilities : tuple of float
        One for each of `TYPES`, in that order, 0 … 1, sum 1: what it is if it is a cell.

    Raises
    ------
    ValueError
        If the type is unknown or the probabilities are none.
    """

    label: int
    type: str
    probabilities: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.label < 1:
            raise ValueError(f"label: expected 1 or more, got {self.label}")
        if self.type not in TITLES:
            raise ValueError(f"type: expected one of {', '.join(TITLES)}, got {self.type!r}")
        if len(self.probabilities) != len(TYPES):
            raise ValueError(f"probabilities: expected {len(TYPES)}, got {len(self.probabilities)}")
        if not all(0 <= p <= 1 for p in self.probabilities) or abs(sum(self.probabilities) - 1) > 1e-4:
            raise ValueError(f"probabilities: expected 0 to 1 each and the sum 1, got {self.probabilities}")

    @property
    def suspicion(self) -> float:
        """Probability of a blast, 0 … 1."""
        return self.probabilities[TYPES.index("blast")]


@dataclass(frozen=True)
class Share:
    """One line of a differential count.

    Attributes
    ----------
    type : str
        Key of `TITLES`.
    count : int
        Cells of this type.
    share : float
        Of the cells counted, 0 … 1.
    low, high : float
        95 % interval of the share in all the blood or marrow from which these cells are a random draw, 0 … 1.
    """

    type: str
    count: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Differential:
    """A differential count: how many cells of each type, and how far that can be trusted.

    Attributes
    ----------
    total : int
        White cells that the shares rest on, unidentified ones among them.
    shares : tuple of Share
        For the types found and for `UNIDENTIFIED` if any, in the order of `TITLES`, without `NOT_COUNTED`.
    beside : mapping of str to int
        How many of each of `NOT_COUNTED` stand beside the white cells; only those there are.
    """

    total: int
    shares: tuple[Share, ...]
    beside: Mapping[str, int]


def interval(count: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Return Clopper and Pearson's exact interval of a binomial share.

    It is what Rümke's table prints for differential counts: 40 blasts among 200 cells are 20 %, and 15 to 26 %.

    Parameters
    ----------
    count, total : int
        Cells of a type, and all cells; 0 <= count <= total.
    level : float
        Confidence, between 0 and 1.

    Returns
    -------
    low, high : float
        0 … 1; (0, 1) for a total of 0.

    Raises
    ------
    ValueError
        If the count is no part of the total.

    References
    ----------
    C. J. Clopper, E. S. Pearson, Biometrika 26 (1934) 404. C. L. Rümke, Triangle 4 (1960) 154.

    Examples
    --------
    >>> [round(x, 3) for x in interval(40, 200)]
    [0.147, 0.262]
    """
    if not 0 <= count <= total:
        raise ValueError(f"count: expected 0 to {total}, got {count}")
    if total == 0:
        return 0.0, 1.0
    tail = (1 - level) / 2
    low = float(special.betaincinv(count, total - count + 1, tail)) if count else 0.0
    high = float(special.betaincinv(count + 1, total - count, 1 - tail)) if count < total else 1.0
    return low, high


def expected_blasts(types: Iterable[str], suspicions: Iterable[float]) -> float | None:
    """Return the share of blasts to expect among the white cells of a differential.

    In a stain or camera that the classifier has never seen, many blasts stay below the confidence at which a type is
    told, and a count of those told falls short. Their probabilities still add up.

    Parameters
    ----------
    types : iterable of str
        One key of `TITLES` for each cell; those of `NOT_COUNTED` are left out.
    suspicions : iterable of float
        Probability of a blast of each, 0 … 1; where a person has told the type, 1 or 0.

    Returns
    -------
    float or None
        0 … 1; None where there is no white cell.
    """
    known = [blast for key, blast in zip(types, suspicions, strict=True) if key not in NOT_COUNTED]
    return sum(known) / len(known) if known else None


def differential(types: Iterable[str]) -> Differential:
    """Count cells by type.

    Erythroblasts and platelets stand beside the count, as laboratories report them, and so does a smudge or artefact.
    Unidentified cells are counted: to leave them out would credit their share to the types that are easy to tell.

    Parameters
    ----------
    types : iterable of str
        One key of `TITLES` for each cell.

    Raises
    ------
    ValueError
        If a key is unknown.
    """
    counts = dict.fromkeys(TITLES, 0)
    for key in types:
        if key not in counts:
            raise ValueError(f"types: expected one of {', '.join(TITLES)}, got {key!r}")
        counts[key] += 1
    beside = {key: counts.pop(key) for key in NOT_COUNTED}
    total = sum(counts.values())
    shares = tuple(Share(key, n, n / total, *interval(n, total)) for key, n in counts.items() if n)
    return Differential(total, shares, MappingProxyType({key: n for key, n in beside.items() if n}))

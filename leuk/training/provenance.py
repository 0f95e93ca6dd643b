"""What a card says of the fields behind it: whose they are, and what that bounds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from leuk.training.results import pseudo_sessions

PUBLIC = "ALL set of Taleqani Hospital, Original (doi 10.1002/int.22753)"


def is_public(files: Sequence[str]) -> bool:
    """Tell whether all fields are of the public set, known by their files' names."""
    known = {PurePosixPath(file).name for file in pseudo_sessions()}
    return all(PurePosixPath(file).name in known for file in files)


def described(files: Sequence[str]) -> str:
    """Say on a card what fields were read from memory: the public set, or others."""
    named = PUBLIC if is_public(files) else "fields other than the public set's"
    return f"{named}, scale-bar corner hidden"


def partitioned(files: Sequence[str], partition: str, how: str = "out of fold") -> str:
    """Say on a card how its figures were held out."""
    if partition == "random":
        unit = "as in the papers"
    else:
        unit = "groups are pseudo-sessions, not patients" if is_public(files) else "groups are those of the data"
    return f"{partition}, {how}; {unit}"


def bounds(files: Sequence[str], data: str, partition: str) -> tuple[str, ...]:
    """Return what bounds a card's figures and suggestions, whatever the system.

    Parameters
    ----------
    files : sequence of str
        Of the fields it was trained on and measured by.
    data : str
        What those are called.
    partition : str
        "grouped" or "random".
    """
    if is_public(files):
        learnt = "It has learnt from one hospital; who its patients are is not public" + (
            ", so that grouped figures hold out pseudo-sessions and not patients." if partition == "grouped" else "."
        )
        benign = (
            "Benign means hematogones here; by morphology alone these are often indistinguishable from lymphoblasts."
        )
    else:
        learnt = (
            f"It has learnt from the fields of {data} alone; whether its figures hold out patients depends on what "
            "these data call a session or a fold."
            if partition == "grouped"
            else f"It has learnt from the fields of {data} alone."
        )
        benign = (
            "Benign means what its data call so; hematogones, where they are meant, are by morphology alone often "
            "indistinguishable from lymphoblasts."
        )
    dealt = "Fields were dealt out one by one: those of one patient or smear may be both in training and held out."
    return (
        learnt,
        *((dealt,) if partition == "random" else ()),
        benign,
        "Subtypes are immunophenotypes, which an image can suggest and not establish.",
        "Research use only, not a medical device.",
    )

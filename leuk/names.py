"""What classes are called on pages, in figures and in reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class ClassName:
    """One class's names.

    Attributes
    ----------
    title : str
        In full, with what the class means.
    plain : str
        Without it, as on axes.
    short : str
        For a narrow place.
    note : str
        What stands beside the name wherever the class is suggested; empty if nothing.
    """

    title: str
    plain: str
    short: str
    note: str = ""


CLASS_NAMES: Mapping[str, ClassName] = MappingProxyType(
    {
        "benign": ClassName("Benign (hematogones)", "Benign", "Benign"),
        "malignant": ClassName("Malignant", "Malignant", "Malignant"),
        "early_pre_b": ClassName("Early Pre-B", "Early Pre-B", "Early", "immunophenotype"),
        "pre_b": ClassName("Pre-B", "Pre-B", "Pre", "immunophenotype"),
        "pro_b": ClassName("Pro-B", "Pro-B", "Pro", "immunophenotype"),
        "cannot_tell": ClassName("Cannot tell", "Cannot tell", "Cannot tell"),
    }
)


def class_name(key: str) -> ClassName:
    """Return a class's names; of one that Leuk doesn't know, its key in words."""
    words = key.replace("_", " ").capitalize()
    return CLASS_NAMES.get(key, ClassName(words, words, words))

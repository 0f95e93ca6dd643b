"""Everything that is checked about a data set, and about a system's predictions on it, in one call."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from leuk.data.balance import Balance, balance
from leuk.data.datasets import DataSet, Progress
from leuk.data.duplicates import Duplicates, find_duplicates
from leuk.data.labels import LabelErrors, doubted
from leuk.data.measures import Measures, measure
from leuk.data.mistakes import (
    Mistakes,
    PredictionTable,
    Verdicts,
    align,
    confusion,
    mistakes,
    operate,
    resting_on,
    share_intervals,
)
from leuk.data.shortcuts import (
    WITH_CELL,
    FixedContent,
    Shortcut,
    centred_cells,
    cramers_v,
    find_fixed_content,
    find_shortcuts,
)
from leuk.data.slices import Slice, find_slices
from leuk.names import class_name

SEVERITIES = ("serious", "warning", "note")
"""Serious: a score on this set can't be believed as it stands; warning: it may mislead; note: good to know."""


@dataclass(frozen=True)
class Finding:
    """Something found, and the images that show it.

    Attributes
    ----------
    key : str
        Stable name, such as "duplicates.cross_fold".
    section : str
        "balance", "errors", "traps", "labels", "slices" or "files".
    severity : str
        Of `SEVERITIES`.
    title : str
        One line.
    explanation : str
        What it means and what to do, a few plain sentences.
    rows : tuple of int
        Images that show it, the most telling first; may be empty.
    figures : dict of str to float
        The numbers behind it.
    """

    key: str
    section: str
    severity: str
    title: str
    explanation: str
    rows: tuple[int, ...] = ()
    figures: dict[str, float] | None = None


@dataclass(frozen=True, eq=False)
class Audit:
    """All that was found.

    Attributes
    ----------
    dataset : DataSet
    findings : tuple of Finding
        Serious first.
    balance : Balance
    measures : Measures or None
        None, as the three that follow, where the images are absent.
    duplicates : Duplicates or None
    shortcuts : tuple of Shortcut
    fixed : tuple of FixedContent
    verdicts : Verdicts or None
        None, as the four that follow, without predictions.
    confusion : numpy.ndarray or None
    mistakes : Mistakes or None
    labels : LabelErrors or None
    slices : tuple of Slice
    without_duplicates : tuple of float or None
        Accuracy with all rows, and with one row of each group of duplicates (the one named first).
    seconds : float
        How long it took.
    """

    dataset: DataSet
    findings: tuple[Finding, ...]
    balance: Balance
    measures: Measures | None = None
    duplicates: Duplicates | None = None
    shortcuts: tuple[Shortcut, ...] = ()
    fixed: tuple[FixedContent, ...] = ()
    verdicts: Verdicts | None = None
    confusion: np.ndarray | None = None
    mistakes: Mistakes | None = None
    labels: LabelErrors | None = None
    slices: tuple[Slice, ...] = ()
    without_duplicates: tuple[float, float] | None = None
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return everything but features as what JSON can hold, files by name."""
        files = self.dataset.files
        classes = self.dataset.classes

        def plain(value: Any) -> Any:
            if isinstance(value, np.ndarray):
                return plain(value.tolist())
            if isinstance(value, dict):
                return {str(key): plain(one) for key, one in value.items()}
            if isinstance(value, (list, tuple)):
                return [plain(one) for one in value]
            if isinstance(value, np.generic):
                return plain(value.item())
            # JSON has no word for what is not a number.
            return None if isinstance(value, float) and not math.isfinite(value) else value

        result: dict[str, Any] = {
            "note": "Research use only, not a medical device.",
            "dataset": {
                "name": self.dataset.name,
                "images": len(files),
                "classes": self.balance.classes,
                "problems": self.dataset.problems,
            },
            "seconds": round(self.seconds, 1),
            "findings": [
                {
                    "key": one.key,
                    "section": one.section,
                    "severity": one.severity,
                    "title": one.title,
                    "explanation": one.explanation,
                    "figures": one.figures or {},
                    "files": [files[row] for row in one.rows],
                }
                for one in self.findings
            ],
            "balance": {
                "splits": self.balance.splits,
                "pseudo_sessions": len(self.balance.sessions),
                "segmented": self.balance.segmented,
                "sizes": self.balance.sizes,
            },
            "shortcuts": {
                one.name: {
                    "accuracy": one.accuracy,
                    "interval": one.interval,
                    "grouped": one.grouped,
                    "chance": one.chance,
                }
                for one in self.shortcuts
            },
            "fixed_content": [
                {
                    "place": one.place,
                    "box": one.box,
                    "accuracy": one.accuracy,
                    "elsewhere": one.elsewhere,
                    "association": one.association,
                    "counts": one.counts,
                }
                for one in self.fixed
            ],
        }
        if self.measures is not None:
            result["unreadable"] = {files[row]: problem for row, problem in self.measures.problems.items()}
        if self.duplicates is not None:
            result["duplicates"] = [
                {
                    "files": [files[row] for row in one.rows],
                    "exact": one.exact,
                    "crosses": one.crosses,
                    "correlation": one.correlation,
                }
                for one in self.duplicates.groups
            ]
        if self.verdicts is not None and self.mistakes is not None and self.confusion is not None:
            result["predictions"] = {
                "system": self.verdicts.system,
                "partition": self.verdicts.partition,
                "problems": self.verdicts.problems,
                "classes": classes,
                "confusion": self.confusion,
                "false_alarms": [files[row] for row in self.mistakes.false_alarms],
                "misses": [files[row] for row in self.mistakes.misses],
                "confused": [files[row] for row in self.mistakes.confused],
                "accuracy_without_duplicates": self.without_duplicates,
            }
        if self.labels is not None:
            result["label_errors"] = [
                {
                    "file": files[row],
                    "label": classes[self.dataset.labels[row]],
                    "suggested": classes[to],
                    "margin": gap,
                }
                for row, to, gap in zip(self.labels.rows, self.labels.suggested, self.labels.margin, strict=True)
            ]
        result["slices"] = [
            {
                "by": one.by,
                "title": one.title,
                "images": len(one.rows),
                "accuracy": one.accuracy,
                "interval": one.interval,
                "sensitivity": one.sensitivity,
                "specificity": one.specificity,
                "rest": one.rest,
            }
            for one in self.slices
        ]
        return plain(result)


def audit(
    dataset: DataSet,
    predictions: PredictionTable | None = None,
    progress: Progress | None = None,
    keep: bool = True,
    title: str = "",
) -> Audit:
    """Check a data set, and a system's predictions on it.

    Parameters
    ----------
    dataset : DataSet
        Where it has no folder, what needs images is left out and a finding says so.
    predictions : PredictionTable, optional
        Out of fold, as `leuk.training.predictions.read_predictions` or `leuk.data.inspection.read_table` give them.
    progress : callable, optional
    keep : bool
        Whether to recall and keep results in the cache folder, see `leuk.data.measures`.
    title : str
        What sentences call the system; its name by default.

    Returns
    -------
    Audit

    Raises
    ------
    DataError
        If the predictions have nothing to do with the set.
    """
    start = time.monotonic()
    verdicts = None if predictions is None else align(dataset, predictions, title)
    measures, duplicates = None, None
    shortcuts: tuple[Shortcut, ...] = ()
    fixed: tuple[FixedContent, ...] = ()
    if dataset.root is not None and len(dataset):
        measures = measure(dataset, _part(progress, 0.0, 0.45), keep)
        folds = verdicts.folds if verdicts is not None and len(np.unique(verdicts.folds)) > 1 else None
        duplicates = find_duplicates(dataset, measures, _part(progress, 0.45, 0.55), fold=folds, keep=keep)
        shortcuts = find_shortcuts(dataset, measures, _part(progress, 0.55, 0.8), keep=keep)
        fixed = find_fixed_content(dataset, measures, _part(progress, 0.8, 1.0), keep=keep)
    counted = balance(dataset, measures)
    found = _about_files(dataset, measures) + _about_balance(dataset, measures)
    if duplicates is not None:
        found += _about_duplicates(dataset, duplicates)
    crops = measures is not None and centred_cells(measures)
    found += _about_shortcuts(dataset, shortcuts, fixed, crops)
    if measures is not None:
        found += _about_light(dataset, measures)
    errors, doubtful, counts, without = None, None, None, None
    slices: tuple[Slice, ...] = ()
    if verdicts is not None:
        counts, errors = confusion(dataset, verdicts), mistakes(dataset, verdicts)
        doubtful = doubted(dataset, verdicts)
        slices = find_slices(dataset, verdicts, measures)
        without = score_without_duplicates(dataset, verdicts, duplicates)
        found += _about_errors(dataset, verdicts, errors, without)
        found += _about_no_better(dataset, verdicts, shortcuts, crops)
        found += _about_labels(dataset, verdicts, doubtful) + _about_slices(verdicts, slices)
    if progress:
        progress(1.0, "done")
    return Audit(
        dataset=dataset,
        findings=tuple(sorted(found, key=lambda one: SEVERITIES.index(one.severity))),
        balance=counted,
        measures=measures,
        duplicates=duplicates,
        shortcuts=shortcuts,
        fixed=fixed,
        verdicts=verdicts,
        confusion=counts,
        mistakes=errors,
        labels=doubtful,
        slices=slices,
        without_duplicates=without,
        seconds=time.monotonic() - start,
    )


def _part(progress: Progress | None, low: float, high: float) -> Progress | None:
    """Return a progress that fills part of another."""
    if progress is None:
        return None
    whole = progress
    return lambda share, text: whole(low + (high - low) * share, text)


def capture_order(dataset: DataSet, verdicts: Verdicts | None = None) -> list[tuple[int, Sequence[int]]]:
    """Return per class its rows in the order of the numbers in their names, which is the order of capture as published.

    For the strip that shows right and wrong in that order.

    Parameters
    ----------
    dataset : DataSet
    verdicts : Verdicts, optional
        Rows that these do not know are left out.
    """

    def place(row: int) -> tuple[list[tuple[int, str]], str]:
        name = PurePosixPath(dataset.files[row]).stem
        parts = re.findall(r"\d+|\D+", name)
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], dataset.files[row]

    strips: list[tuple[int, Sequence[int]]] = []
    for label in range(len(dataset.classes)):
        rows = np.flatnonzero((dataset.labels == label) & (True if verdicts is None else verdicts.known))
        strips.append((label, sorted((int(row) for row in rows), key=place)))
    return strips


def score_without_duplicates(
    dataset: DataSet, verdicts: Verdicts, duplicates: Duplicates | None = None
) -> tuple[float, float] | None:
    """Return accuracy over all known rows, and with one row of each group of duplicates; None where none are known.

    Parameters
    ----------
    dataset : DataSet
    verdicts : Verdicts
    duplicates : Duplicates, optional
        Without them the groups that the set lists.
    """
    groups = dataset.near_duplicate if duplicates is None else duplicates.group_of
    known = np.flatnonzero(verdicts.known)
    if groups is None or not len(known):
        return None
    right = verdicts.predicted[known] == dataset.labels[known]
    listed = groups[known].astype(np.int64)
    alone = np.where(listed < 0, -1 - np.arange(len(known)), listed)
    first = np.unique(alone, return_index=True)[1]
    return float(right.mean()), float(right[first].mean())


def percent(share: float) -> str:
    """Write a share with one decimal; nearly all is not all, nor hardly any none: `leuk.report.percent`, finer."""
    if 0 < share < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= share < 1:
        return "> 99.9 %"
    return f"{100 * share:.1f} %"


def _several(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _rows(rows: Any) -> tuple[int, ...]:
    return tuple(int(row) for row in rows)


def _mixed(dataset: DataSet, rows: np.ndarray) -> tuple[int, ...]:
    """Order rows so that classes take turns: the first few show all of them."""
    turns = np.zeros(len(rows), np.int64)
    for label in np.unique(dataset.labels[rows]):
        members = dataset.labels[rows] == label
        turns[members] = np.arange(members.sum())
    return _rows(rows[np.lexsort((dataset.labels[rows], turns))])


def _about_files(dataset: DataSet, measures: Measures | None) -> list[Finding]:
    found = []
    if not len(dataset):
        found.append(Finding("files.none", "files", "serious", "There are no images", "The set lists no image at all."))
    if dataset.root is None:
        found.append(
            Finding(
                "files.absent",
                "files",
                "note",
                "The images are not here",
                "Counts and what follows from predictions are shown; duplicates, shortcuts and pictures need the "
                "folder of the images.",
            )
        )
    if measures is not None and measures.problems:
        rows = list(measures.problems)
        some = " ".join(measures.problems[row].rstrip(".") + "." for row in rows[:3])
        found.append(
            Finding(
                "files.unreadable",
                "files",
                "warning",
                f"{_several(len(rows), 'image', 'images')} can't be read",
                f"{some} They are left out of everything measured on pixels.",
                _rows(rows),
                {"images": len(rows)},
            )
        )
    if dataset.problems:
        number = len(dataset.problems)
        found.append(
            Finding(
                "files.left_out",
                "files",
                "note",
                f"{_several(number, 'remark', 'remarks')} on reading the set",
                " ".join(dataset.problems[:5]) + (f" And {number - 5} more." if number > 5 else ""),
                (),
                {"remarks": number},
            )
        )
    return found


def _about_balance(dataset: DataSet, measures: Measures | None) -> list[Finding]:
    found = []
    counts = np.bincount(dataset.labels, minlength=len(dataset.classes))
    if len(counts) > 1 and counts.min() and counts.max() > 3 * counts.min():
        least, most = int(counts.argmin()), int(counts.argmax())
        found.append(
            Finding(
                "balance.classes",
                "balance",
                "warning",
                f"{class_name(dataset.classes[most]).plain} has {counts.max() / counts.min():.1f} times the images of "
                f"{class_name(dataset.classes[least]).plain}",
                "Accuracy mostly reports the large class. Read recall of each class, or macro F1, instead.",
                _rows(np.flatnonzero(dataset.labels == least)),
                {"largest": int(counts.max()), "smallest": int(counts.min())},
            )
        )
    if len(counts) == 1:
        found.append(
            Finding(
                "balance.one_class",
                "balance",
                "warning",
                "There is only one class",
                "Nothing can be told apart; shortcuts, label errors and thresholds need a second class.",
            )
        )
    if dataset.session is not None:
        listed = dataset.session >= 0
        sessions = np.unique(dataset.session[listed])
        pure = sum(len(np.unique(dataset.labels[dataset.session == one])) == 1 for one in sessions)
        what = dataset.session_kind
        if len(sessions) > 1 and pure == len(sessions) and len(counts) > 1:
            found.append(
                Finding(
                    "balance.sessions",
                    "balance",
                    "warning",
                    f"No {what} holds images of two classes",
                    f"Each of the {len(sessions)} {what}s is of one class, so whatever marks a {what} (stain, light, "
                    f"camera) marks the class as well. Holding {what}s out is the least that a fair test needs, and "
                    "does not undo it."
                    + (
                        " Pseudo-sessions are estimated from colour, and are no patients."
                        if what == "pseudo-session"
                        else ""
                    ),
                    (),
                    {"sessions": len(sessions)},
                )
            )
    if measures is not None and len(counts) > 1 and measures.readable.any():
        ok = measures.readable
        pairs = np.stack([measures.values["width"][ok], measures.values["height"][ok]], 1)
        sizes, which = np.unique(pairs, axis=0, return_inverse=True)
        table = np.zeros((len(sizes), len(counts)), np.int64)
        np.add.at(table, (which.ravel(), dataset.labels[ok]), 1)
        strength = cramers_v(table)
        if len(sizes) > 1 and strength > 0.3:
            found.append(
                Finding(
                    "traps.sizes",
                    "traps",
                    "serious",
                    "The size of an image tells its class",
                    f"Images come in {len(sizes)} sizes that go with the class (Cramér's V {strength:.2f}). Resizing "
                    "leaves traces of it: bring all to one scale from one source, or expect the size to be learnt.",
                    _mixed(dataset, np.flatnonzero(ok)),
                    {"sizes": len(sizes), "association": strength},
                )
            )
    return found


def _about_duplicates(dataset: DataSet, duplicates: Duplicates) -> list[Finding]:
    kinds = (
        (
            "class",
            "serious",
            "are labelled differently",
            "The same field under two labels: at least one is wrong, and what is learnt from one is punished on the "
            "other. Look at both and correct or drop them.",
        ),
        (
            "split",
            "serious",
            "are parted by the split",
            "One copy is trained on and the other tested on, so the test rewards memory. Put all copies on one side.",
        ),
        (
            "fold",
            "serious",
            "are parted by the folds",
            "One copy is held out while the other is trained on, so the score rewards memory. Keep each group in one "
            "fold.",
        ),
    )
    found = []
    for what, severity, words, explanation in kinds:
        groups = [one for one in duplicates.groups if what in one.crosses]
        if groups:
            found.append(
                Finding(
                    f"duplicates.cross_{what}",
                    "traps",
                    severity,
                    f"{_several(len(groups), 'group', 'groups')} of duplicates {words}",
                    explanation,
                    _rows(row for one in groups for row in one.rows),
                    {"groups": len(groups), "exact": sum(one.exact for one in groups)},
                )
            )
    near = tuple(one.rows for one in duplicates.groups if not one.exact)
    for name, alike in (("exact", duplicates.same), ("near", near)):
        if not alike:
            continue
        images = sum(len(rows) for rows in alike)
        found.append(
            Finding(
                f"duplicates.{name}",
                "traps",
                "warning",
                f"{_several(len(alike), 'group', 'groups')} of {name} duplicates, {images} images",
                (
                    "Their pixels are the same, whatever the files are called. "
                    if name == "exact"
                    else "They show the same field, saved again, shifted or exposed otherwise. "
                )
                + "Each counts several times in every figure, and a random split of single images parts most of them: "
                "keep groups together, or keep one image of each.",
                _rows(row for rows in alike for row in rows),
                {"groups": len(alike), "images": images},
            )
        )
    return found


_CROPS = "Most images are crops of one cell at the centre"


def _about_shortcuts(
    dataset: DataSet, shortcuts: tuple[Shortcut, ...], fixed: tuple[FixedContent, ...], crops: bool
) -> list[Finding]:
    """Tell what tells the class beside cells; `crops` is whether images are crops of one cell at their centre."""
    found = []
    # Where folds are given, and no sessions, it is these that are held out.
    what = "folds" if dataset.session is None else f"{dataset.session_kind}s"
    for one in shortcuts:
        if not one.telling:
            continue
        with_cell = crops and one.name in WITH_CELL
        serious = one.accuracy >= one.chance + 0.5 * (1 - one.chance) and not with_cell
        meaning = (
            f"{_CROPS}, so the colour and size of that cell are part of this. A system that reads more than these has "
            "to be clearly better."
            if with_cell
            else "A system with a score like this need not have looked at a cell."
        )
        grouped = (
            ""
            if one.grouped is None
            else f" With whole {what} held out it still reaches {percent(one.grouped)}."
            if one.grouped > one.chance + 0.1
            else f" With whole {what} held out it falls to {percent(one.grouped)}."
        )
        figures = {"accuracy": one.accuracy, "chance": one.chance}
        if one.grouped is not None:
            figures["grouped"] = one.grouped
        found.append(
            Finding(
                f"shortcut.{one.name}",
                "traps",
                "serious" if serious else "warning",
                f"By {one.title[0].lower()}{one.title[1:]} alone, the class of {percent(one.accuracy)} of the images "
                "can be told",
                f"{one.explanation} A random forest on it, judged on random folds, names the class of "
                f"{percent(one.accuracy)} ({percent(one.interval[0])} to {percent(one.interval[1])}), where always "
                f"naming the largest class may reach {percent(one.chance)} by luck.{grouped} {meaning}",
                _mixed(dataset, np.flatnonzero(one.predicted == dataset.labels)),
                figures,
            )
        )
    for number, content in enumerate(fixed):
        x0, y0, x1, y1 = content.box
        if crops and min(x0, y0) > 0 and max(x1, y1) < 1 and x0 < 0.5 < x1 and y0 < 0.5 < y1:
            found.append(
                Finding(
                    f"fixed.{number}",
                    "traps",
                    "note",
                    "The centre of the frame tells the class, which is where the cells are",
                    f"{_CROPS}: the part from {100 * x0:.0f} to {100 * x1:.0f} % of the width and {100 * y0:.0f} to "
                    f"{100 * y1:.0f} % of the height names the class of {percent(content.accuracy)}, parts of the same "
                    f"size elsewhere {percent(content.elsewhere[0])} (at most {percent(content.elsewhere[1])}). That "
                    "is as it should be. A mark burnt in over the cells would not be told from them.",
                    _by_style(dataset, content.styles),
                    {"accuracy": content.accuracy, "elsewhere": content.elsewhere[0]},
                )
            )
            continue
        styles = "; ".join(
            f"style {index + 1}: "
            + ", ".join(
                f"{class_name(key).plain} {int(count)}"
                for key, count in zip(dataset.classes, counts, strict=True)
                if count
            )
            for index, counts in enumerate(content.counts)
        )
        found.append(
            Finding(
                f"fixed.{number}",
                "traps",
                "serious",
                f"Something fixed at the {content.place} of the frame tells the class",
                f"Cells lie anywhere, so every part of the frame should tell as much as any other. The part from "
                f"{100 * content.box[0]:.0f} to {100 * content.box[2]:.0f} % of the width and "
                f"{100 * content.box[1]:.0f} to {100 * content.box[3]:.0f} % of the height, its own colour taken out, "
                f"names the class of {percent(content.accuracy)}; parts of the same size elsewhere reach "
                f"{percent(content.elsewhere[0])} (at most {percent(content.elsewhere[1])}). Such content is burnt "
                f"in: a scale bar, a stamp, a border. Its looks go with the class (Cramér's V "
                f"{content.association:.2f}): {styles}. Hide this place from every model.",
                _by_style(dataset, content.styles),
                {
                    "accuracy": content.accuracy,
                    "elsewhere": content.elsewhere[0],
                    "association": content.association,
                },
            )
        )
    return found


def _by_style(dataset: DataSet, styles: np.ndarray) -> tuple[int, ...]:
    """Order rows so that looks and classes take turns."""
    rows = np.flatnonzero(styles >= 0)
    keys = styles[rows] * len(dataset.classes) + dataset.labels[rows]
    turns = np.zeros(len(rows), np.int64)
    for key in np.unique(keys):
        members = keys == key
        turns[members] = np.arange(members.sum())
    return _rows(rows[np.lexsort((keys, turns))])


def _about_light(dataset: DataSet, measures: Measures) -> list[Finding]:
    """Tell of classes that stand apart by a single measure of light, focus or colour."""
    from scipy.stats import rankdata

    words = {
        "brightness": ("darker", "brighter"),
        "contrast": ("paler", "richer in contrast"),
        "sharpness": ("more blurred", "sharper"),
        "saturation": ("less saturated", "more saturated"),
    }
    found, ok = [], measures.readable
    for name, (less, more) in words.items():
        values = measures.values[name][ok]
        if len(values) < 20:
            continue
        ranks = rankdata(values)
        for label, key in enumerate(dataset.classes):
            title = class_name(key).plain
            inside = dataset.labels[ok] == label
            count, others = int(inside.sum()), int((~inside).sum())
            if count < 10 or others < 10:
                continue
            area = float((ranks[inside].sum() - count * (count + 1) / 2) / (count * others))
            if max(area, 1 - area) >= 0.85:
                rows = np.flatnonzero(ok & (dataset.labels == label))
                order = np.argsort(measures.values[name][rows] * (1 if area < 0.5 else -1), kind="stable")
                found.append(
                    Finding(
                        f"light.{name}.{key}",
                        "traps",
                        "warning",
                        f"{title} is {less if area < 0.5 else more} than the rest",
                        f"An image of {title} is {less if area < 0.5 else more} than one of another class in "
                        f"{percent(max(area, 1 - area))} of pairs (area under the ROC curve of {name} alone). "
                        "Vary it in training, and look at scores in slices of it.",
                        _rows(rows[order]),
                        {"area": area},
                    )
                )
    return found


def _about_errors(
    dataset: DataSet,
    verdicts: Verdicts,
    errors: Mistakes,
    without: tuple[float, float] | None,
) -> list[Finding]:
    def between(right: np.ndarray, among: np.ndarray) -> str:
        ((low, high),) = share_intervals(dataset, verdicts, right[None], verdicts.known & among)
        if math.isnan(low):
            return ""
        return f" (95 % interval {percent(low)} to {percent(high)}, {resting_on(dataset, verdicts)})"

    found = []
    system, known = verdicts.title, int(verdicts.known.sum())
    if verdicts.problems:
        number = len(verdicts.problems)
        found.append(
            Finding(
                "predictions.problems",
                "files",
                "warning",
                f"{_several(number, 'remark', 'remarks')} on the predictions of {system}",
                " ".join(verdicts.problems[:5]) + (f" And {number - 5} more." if number > 5 else ""),
                _rows(np.flatnonzero(~verdicts.known)),
                {"remarks": number},
            )
        )
    if not known:
        return found
    right = int((verdicts.known & (verdicts.predicted == dataset.labels)).sum())
    score = right / known
    called_right = verdicts.predicted == dataset.labels
    if dataset.benign_beside_malignant is not None:
        benign = int((verdicts.known & (dataset.labels == dataset.benign_beside_malignant)).sum())
        malignant = known - benign
        alarms, misses = len(errors.false_alarms), len(errors.misses)
        half = operate(dataset, verdicts, 0.5)
        called_benign, truly_benign = verdicts.predicted == dataset.benign, dataset.labels == dataset.benign
        if benign:
            found.append(
                Finding(
                    "errors.false_alarms",
                    "errors",
                    "serious" if alarms / benign > 0.1 else "warning" if alarms else "note",
                    f"{alarms} of {benign} benign images {'is' if alarms == 1 else 'are'} called malignant",
                    f"Specificity is {percent(1 - alarms / benign)}{between(called_benign, truly_benign)}. "
                    "Calling malignant only from a probability of 50 % on gives "
                    f"{_several(half.false_alarms, 'false alarm', 'false alarms')} and "
                    f"{_several(half.misses, 'miss', 'misses')}. These are the errors to look at first; the most "
                    "confident lead.",
                    _rows(errors.false_alarms),
                    {"false_alarms": alarms, "benign": benign, "specificity": 1 - alarms / benign},
                )
            )
        if malignant:
            found.append(
                Finding(
                    "errors.misses",
                    "errors",
                    "serious" if misses / malignant > 0.05 else "warning" if misses else "note",
                    f"{misses} of {malignant} malignant images {'is' if misses == 1 else 'are'} called benign",
                    f"Sensitivity is {percent(1 - misses / malignant)}{between(~called_benign, ~truly_benign)}.",
                    _rows(errors.misses),
                    {"misses": misses, "malignant": malignant, "sensitivity": 1 - misses / malignant},
                )
            )
    if len(errors.confused):
        number = len(errors.confused)
        kinds = "kind" if dataset.benign_beside_malignant is not None else "class"
        subtypes = sum(class_name(key).note != "" for key in dataset.classes)
        found.append(
            Finding(
                "errors.confused",
                "errors",
                "note",
                f"{_several(number, 'image', 'images')} of one {kinds} called another",
                f"{system} names the class of {percent(score)} of all images"
                f"{between(called_right, np.ones(len(dataset), bool))}."
                + (
                    " Subtypes of acute lymphoblastic leukaemia are told apart by immunophenotype, not by morphology."
                    if subtypes > 1
                    else ""
                ),
                _rows(errors.confused),
                {"images": number, "accuracy": score},
            )
        )
    if without is not None:
        change = f"{percent(without[1])} instead of {percent(without[0])}"
        same = percent(without[0]) == percent(without[1])
        found.append(
            Finding(
                "errors.duplicates",
                "traps",
                "warning" if abs(without[0] - without[1]) > 0.01 else "note",
                f"Without duplicates the accuracy is {'the same' if same else change}",
                f"With one image of each group of duplicates {system} has an accuracy of {percent(without[1])}, with "
                f"all {percent(without[0])}.",
                (),
                {"with": without[0], "without": without[1]},
            )
        )
    return found


def _about_no_better(
    dataset: DataSet, verdicts: Verdicts, shortcuts: tuple[Shortcut, ...], crops: bool
) -> list[Finding]:
    """Hold a system against the most telling shortcut, on the images that both judged."""
    best = max(shortcuts, key=lambda one: one.accuracy, default=None)
    if best is None or not best.telling:
        return []
    # Like is held against like: sessions held out against sessions held out.
    held_out = best.grouped_predicted if verdicts.partition == "grouped" else None
    guesses = best.predicted if held_out is None else held_out
    both = verdicts.known & (guesses >= 0)
    number = int(both.sum())
    if not number:
        return []
    right = verdicts.predicted[both] == dataset.labels[both]
    guessed = guesses[both] == dataset.labels[both]
    score, against = float(right.mean()), float(guessed.mean())
    if score > against + 0.005:
        return []
    most = _most_ahead(int((right & ~guessed).sum()), int((~right & guessed).sum()), number)
    told = most <= 0.05
    name = best.title.lower()
    said = (
        f"On the {number:,} images that both judged, {verdicts.title} names the class of {percent(score)}, a random "
        f"forest on the {name} of {percent(against)}{'' if held_out is None else ' with sessions held out'}."
    )
    if not told:
        said += f" With so few images it may still be better by {percent(most)} of them, or no better at all."
    elif crops and best.name in WITH_CELL:
        said += f" {_CROPS}, so that has the colour of the cell; nothing shows that the system reads more than this."
    else:
        said += " Its score is no evidence that it reads cells."
    return [
        Finding(
            "shortcut.no_better",
            "traps",
            "serious" if told and not (crops and best.name in WITH_CELL) else "warning",
            f"{verdicts.title} is no better than: {name} alone"
            if told
            else f"Whether {verdicts.title} is better than {name} alone can't be told",
            said,
            (),
            {"system": score, "shortcut": against, "images": number},
        )
    ]


def _most_ahead(ahead: int, behind: int, number: int) -> float:
    """Return the upper end of the 95 % interval of a difference of two accuracies on the same images.

    References
    ----------
    A. Agresti, Y. Min, "Simple improved confidence intervals for comparing matched proportions", Stat. Med. 24 (2005).
    """
    b, c, n = ahead + 0.5, behind + 0.5, number + 2
    return (b - c) / n + 1.959964 * math.sqrt(b + c - (b - c) ** 2 / n) / n


def _about_labels(dataset: DataSet, verdicts: Verdicts, doubtful: LabelErrors) -> list[Finding]:
    if not len(doubtful.rows):
        return []
    number, known = len(doubtful.rows), int(verdicts.known.sum())
    return [
        Finding(
            "labels.doubtful",
            "labels",
            "warning",
            f"{_several(number, 'label is', 'labels are')} probably wrong",
            f"Confident learning doubts {percent(number / known)} of the labels: {verdicts.title}, which did not see "
            "these images in training, is surer of another class than it usually is of that class's own images. "
            "A doubt is no proof: where the system is wrong with confidence it looks the same. The most doubtful lead.",
            _rows(doubtful.rows),
            {"images": number},
        )
    ]


def _about_slices(verdicts: Verdicts, slices: tuple[Slice, ...]) -> list[Finding]:
    found = []
    for one in slices:
        # A class on its own is in the confusion matrix; what holds all rows has nothing to be held against.
        if one.by == "class" or not one.interval[1] < one.rest - 0.02:
            continue
        found.append(
            Finding(
                f"slice.{one.by}.{one.title}",
                "slices",
                "warning",
                f"On {one.title} the accuracy is {percent(one.accuracy)}, elsewhere {percent(one.rest)}",
                f"{verdicts.title} names the class of {percent(one.accuracy)} of these {len(one.rows)} images "
                f"({percent(one.interval[0])} to {percent(one.interval[1])}), of all others {percent(one.rest)}. "
                "Many slices are looked at, so a few stand out by chance.",
                _rows(one.rows),
                {"accuracy": one.accuracy, "rest": one.rest, "images": len(one.rows)},
            )
        )
        if len(found) == 8:
            break
    return found

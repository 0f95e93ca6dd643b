"""The explorer's view of one image: read, explained, and held against the rest of its set."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from leuk import overlay
from leuk.data import inspection, mistakes
from leuk.data.datasets import DataSet
from leuk.data.triage import DECISIONS, TITLES, Decision
from leuk.errors import LeukError
from leuk.names import class_name
from pages import _exploring as prepare
from pages import _exploring_parts as parts
from pages._explorer_visit import (
    embedding_if_done,
    image_words,
    jobs,
    measured,
    measures_if_done,
    model_for,
    on_close,
    on_comment,
    on_go,
    on_look,
    on_mark,
    poll,
    readings,
    reference_if_done,
    reviewer,
    said_here,
    state,
)
from pages._exploring import Opened, View


def inspector(opened: Opened, view: View | None) -> None:
    """Show one image beside everything that is known about it."""
    here = state.stack[-1]
    dataset, row, listed = opened.dataset, here["row"], here["rows"]
    state.last_row = row
    verdicts = view.verdicts if view is not None else None
    label, step = int(dataset.labels[row]), here.get("step")
    called = -1 if verdicts is None else prepare.class_at(dataset, verdicts, row, step)
    classes = list(dict.fromkeys([label, called] if called >= 0 else [label]))
    model = model_for(view)
    with_image = dataset.root is not None
    reading = readings().get(dataset, row, model) if with_image else None
    known = measures_if_done(opened)
    reference = reference_if_done(opened) if reading is not None else None  # the image itself comes first
    index = listed.index(row)
    start, film = prepare.film_window(listed, index)
    marks, elsewhere = said_here(view)
    mine = marks.get(dataset.files[row])
    pack, missing = (reading.pack, "") if reading and reading.pack else prepare.photo(dataset, row)
    found = inspection.ranges(dataset, row, classes, known, reading.cells if reading else None, reference)
    data = {
        "stamp": state.stamp,
        "set": opened.key,
        "reviewer": reviewer(),
        "row": row,
        "opened": here["opened"],
        "image": image_words(),
        "name": dataset.files[row],
        "back": f"Back to {_lower(here['title'])}" if len(state.stack) == 1 else "Back",
        "index": index,
        "total": len(listed),
        "facts": " · ".join(filter(None, [_where(dataset, row, verdicts), here.get("note")])),
        "film": [
            {
                "row": one,
                "name": dataset.files[one],
                "thumb": prepare.thumb(dataset, one, prepare.FILM_THUMB),
                "mark": marks[dataset.files[one]].decision if dataset.files[one] in marks else "",
            }
            for one in film
        ],
        "filmStart": start,
        "label": prepare.title(dataset, dataset.classes[label]),
        "called": _called(dataset, verdicts, row, step) if called >= 0 else None,
        "wrong": called >= 0 and called != label,
        "bars": _bars(dataset, verdicts, row),
        "source": _source(view, state.get("table", "")),
        "panes": _panes(dataset, view, label, called, reading, model, with_image),
        "missing": missing,
        "colors": overlay.color_table().tobytes().hex(),
        "size": [pack.header["record"]["width"], pack.header["record"]["height"]]
        if "record" in pack.header
        else pack.header.get("size"),
        "decisions": [{"key": key, "title": TITLES[key]} for key in DECISIONS],
        "decision": mine.decision if mine else "",
        "comment": mine.comment if mine else "",
        "elsewhere": _elsewhere(opened, elsewhere.get(dataset.files[row], ())),
        "progress": prepare.progress_text(listed, dataset.files, marks),
        "near": _near(opened, view, row, known),
        "ranges": {
            "items": [prepare.range_data(one) for one in found],
            "legend": [{"index": one, "title": prepare.title(dataset, dataset.classes[one])} for one in classes],
            "note": _ranges_note(with_image, known, reference, reading),
        },
        "others": _others(opened, row, label),
    }
    data["look"] = f"{hash(repr({key: value for key, value in data.items() if key != 'colors'}))}"
    parts.inspector(
        data=overlay.to_bytes(pack, **data),
        key="inspector",
        on_go_change=on_go,
        on_look_change=on_look,
        on_close_change=on_close,
        on_mark_change=on_mark,
        on_comment_change=on_comment,
    )
    if with_image:
        # While this one is looked at, the next is read.
        if index + 1 < len(listed) and reading is not None:
            readings().get(dataset, listed[index + 1], model)
        late = [
            job for job in (measured(opened), jobs().known(("reference", *opened.identity))) if job and not job.done
        ]
        if reading is None or late:
            poll(
                lambda: (
                    (reading is None and readings().get(dataset, row, model) is not None)
                    or any(job.done for job in late)
                ),
                late[0] if late else None,
            )


def _lower(heading: str) -> str:
    name = heading.split(":")[0]
    return name[0].lower() + name[1:]


def _elsewhere(opened: Opened, decisions: Sequence[Decision]) -> str:
    """Say what was decided on other predictions of the same image."""
    if not decisions:
        return ""
    whose = ", ".join(prepare.predictions_title(opened, one.predictions) for one in decisions)
    return f"Decided before: {TITLES[decisions[0].decision].lower()} of {whose}."


def _called(dataset: DataSet, verdicts: Any, row: int, step: int | None) -> str:
    """Say what an image is called, as the list says it that it was opened from: by a threshold if one made it."""
    told = prepare.title(dataset, prepare.call_at(dataset, verdicts, row, step)[0])
    if step is None or dataset.benign_beside_malignant is None:
        return told
    told += f" by the threshold {step / 100:.2f}"
    likeliest = prepare.called_of(dataset, verdicts, row)
    if likeliest == prepare.class_at(dataset, verdicts, row, step):
        return told
    return f"{told}; likeliest is {prepare.title(dataset, dataset.classes[likeliest])}"


def _where(dataset: DataSet, row: int, verdicts: Any) -> str:
    words = []
    if dataset.session is not None and dataset.session[row] >= 0:
        words.append(dataset.session_title(int(dataset.session[row])))
    if dataset.split is not None and dataset.split[row]:
        words.append(dataset.split[row])
    if verdicts is not None and verdicts.folds[row] >= 0:
        words.append(f"held out in fold {int(verdicts.folds[row])}")
    if dataset.scale_bar is not None and dataset.scale_bar[row]:
        words.append(f"scale bar {dataset.scale_bar[row].replace('_', ' ')}")
    return " · ".join(words)


def _bars(dataset: DataSet, verdicts: Any, row: int) -> list[dict[str, Any]]:
    if verdicts is None or not verdicts.known[row]:
        return []
    return [
        {"index": i, "title": prepare.title(dataset, key), "short": class_name(key).plain,
         "p": float(verdicts.probabilities[row, i])}
        for i, key in enumerate(dataset.classes)
    ]  # fmt: skip


def _source(view: View | None, table: str) -> str:
    if view is None:
        return "No predictions are open for this image."
    model = model_for(view)
    whose = "its bundled weights" if _is_of(view, model) else prepare.system_title(model)
    known = (
        f"Probabilities of {table}, not calibrated; out of fold, as you state."
        if view.own
        else f"Out-of-fold probabilities of {table}, not calibrated: the system had not seen this image."
    )
    return f"{known} The heat maps are of {whose}, which may have been trained on it."


def _is_of(view: View, model: str) -> bool:
    """Tell whether the bundled weights are those of the system whose predictions are open."""
    return view.verdicts.system == model and not view.own


def _panes(
    dataset: DataSet, view: View | None, label: int, called: int, reading: Any, model: str, with_image: bool
) -> list[dict[str, Any]]:
    photo = {"title": "Photograph", "sub": "outlines: cell yellow, nucleus cyan", "foot": []}
    if not with_image:
        return [photo | {"sub": ""}]
    if reading is None:
        photo["wait"] = "finding cells, drawing heat maps …"
    elif reading.error:
        photo["foot"] = [{"text": reading.error, "low": True}]
    elif reading.pack is not None:
        record = reading.pack.header["record"]
        count = len(record["cells"])
        photo["foot"] = [{"text": f"{count} white {'cell' if count == 1 else 'cells'} found"}]
        if record["outside"]:
            photo["foot"].append({"text": "Outside what the bundled model has learnt from.", "low": True})
    wanted = list(dict.fromkeys([called, label] if called >= 0 else [label]))
    panes = [photo]
    heat = reading.pack.header["heat"] if reading is not None and reading.pack is not None else {}
    for index in wanted:
        key = dataset.classes[index]
        role = "called and labelled" if called == label else "called" if index == called else "labelled"
        who = prepare.system_title(model)
        # Beside another system's call, a map must not pass for that system's.
        pane: dict[str, Any] = {
            "title": f"{prepare.title(dataset, key)} ({role})",
            "sub": f"where the score depends on the image · {who}",
        }
        if view is not None and not _is_of(view, model):
            pane["title"] = f"{who}'s map for {class_name(key).plain} ({role})"
            pane["sub"] = "where that reader's own score depends on the image"
        if reading is None:
            pane["wait"] = "on its way …"
        elif key in heat:
            pane["heat"] = key
            pane["foot"] = _heat_words(heat[key], reading.pack.header["read_by"] == "cells")
        else:
            pane["foot"] = [{"text": f"{who} does not know this class, so there is no map."}]
        panes.append(pane)
    return panes


def _heat_words(one: Mapping[str, Any], by_cells: bool) -> list[dict[str, Any]]:
    if one["heat_on_cells"] is None:
        return [{"text": "No heat for this class anywhere in the image."}]
    words = [
        {
            "text": f"{prepare.percent(one['heat_on_cells'])} of the heat lies on cells, "
            f"which cover {prepare.percent(one['cells_share'])} of what was read."
        }
    ]
    if one["peak"] < 0.2:
        words.append({"text": "Nearly flat: this score hangs on no place in particular."})
    elif not one["fine"]:
        words.append({"text": "Drawn on the network's last maps, which often don't tell where a score comes from."})
    elif not by_cells and one["heat_on_cells"] < one["cells_share"]:
        words.append({"text": "Less than chance: it depends on what lies around the cells.", "low": True})
    return words


def _ranges_note(with_image: bool, known: Any, reference: Any, reading: Any) -> str:
    if not with_image:
        return "Needs the images."
    if known is None or reference is None or reading is None:
        return "Being measured; the foot of the page says how far."
    return "This image is the upright line; bars are the middle half, thin lines 5 to 95 % of each class."


def _near(opened: Opened, view: View | None, row: int, known: Any) -> dict[str, Any]:
    dataset = opened.dataset
    # What was trained on is known where Leuk dealt out the folds.
    parted = view is not None and bool(view.verdicts.folds[row] >= 0)
    heading = "Nearest training images" if view is not None and parted and not view.own else "Nearest images"
    if known is None:
        note = "Needs the images." if dataset.root is None else "Being measured; the foot of the page says how far."
        return {"title": heading, "note": note, "items": []}
    features, source = embedding_if_done(opened, view, known)
    found = mistakes.nearest(dataset, features, row, view.verdicts if view is not None else None)
    kind, items = dataset.session_kind, []
    for one in found:
        same = one.same_session
        items.append(
            {
                "row": one.row,
                "name": dataset.files[one.row],
                "thumb": prepare.thumb(dataset, one.row),
                "label": prepare.short(dataset.classes[one.label]),
                "same": bool(same),
                "where": "" if same is None else f"{'same' if same else 'other'} {kind}",
            }
        )
    estimated = dataset.session is not None and kind == "pseudo-session"
    clusters = "; pseudo-sessions are clusters of colour, never patients" if estimated else ""
    return {
        "title": heading,
        "note": f"Likest by {source}{', from other folds' if parted else ''}{clusters}.",
        "items": items,
    }


def _others(opened: Opened, row: int, label: int) -> dict[str, Any]:
    items = []
    for name in opened.tables:
        if name == state.get("table"):
            continue
        with contextlib.suppress(LeukError):
            view = opened.view(name)
            called = prepare.called_of(opened.dataset, view.verdicts if view else None, row)
            if view is not None and called >= 0:
                items.append(
                    {
                        "system": name,
                        "called": prepare.short(opened.dataset.classes[called]),
                        "p": float(view.verdicts.probabilities[row, called]),
                        "wrong": called != label,
                    }
                )
    if items:
        own = any(prepare.is_own(opened.tables[one["system"]]) for one in items)
        note = f"Out of fold{' (yours as you state)' if own else ''}, the likeliest class."
    elif len(opened.tables) > 1:
        note = "No other system has predicted this image."
    else:
        note = "No other table of predictions fits this set."
    return {"note": note, "items": items}

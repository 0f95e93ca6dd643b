"""Review: photographs in, white cells outlined, a suggestion and where it depends on the image."""

from __future__ import annotations

import base64
import contextlib
import gc
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import count
from typing import Any

import numpy as np
import streamlit as st
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from leuk import earlier, overlay, report
from leuk.cells.values import TITLES
from leuk.data.synthetic import samples
from leuk.errors import LeukError
from leuk.found import Memory
from leuk.image import SmearImage, read_image
from leuk.models.systems import SYSTEMS, readers
from leuk.names import CLASS_NAMES, class_name
from leuk.overlay import Pack
from leuk.report import Review
from leuk.segmentation import DEFAULT_METHOD, METHODS
from pages import _components
from pages._front_door import by_the_front_door
from pages._worklist import MAX_BYTES, MAX_FILES, TURNS, Item, Progress, Settings, Source, Worklist

LABELS = {key: {"title": one.title, "short": one.short, "note": one.note} for key, one in CLASS_NAMES.items()}
EXPLAINER_TITLES = {
    "hirescam": "HiResCAM (Grad-CAM, place by place)",
    "gradcam": "Grad-CAM",
    "gradcam++": "Grad-CAM++",
    "layercam": "LayerCAM",
    "eigencam": "Eigen-CAM (same for every class)",
}
MODEL_TITLES = {name: system.title for name, system in SYSTEMS.items()}
POLL_SECONDS = 0.8
STYLE = """
<style>
[data-testid="stHeader"] {
  height: 3.25rem; min-height: 3.25rem; padding-left: 7.5rem; backdrop-filter: blur(14px);
}
.stMainBlockContainer { padding: 3.4rem 1.5rem 3.2rem; max-width: 1760px; }
.stMainBlockContainer .stVerticalBlock { gap: .75rem; }
[data-testid="stFileUploaderDropzone"] { min-height: 56px; padding: .5rem .9rem; }
[data-testid="stFileUploaderDropzoneInstructions"]::after, [data-testid="stFileChips"]::after {
  content: "\\00a0\\00b7  or drop files here"; opacity: .7; font-size: .875rem; white-space: pre;
}
/* What was taken over stands in the row below. The uploader keeps a list of it, and of what it refused: only this is of
   use, with its reason, which otherwise shows where the pointer rests. */
[data-testid="stFileChips"] > div > div:not(:has([aria-invalid="true"], [role="progressbar"])) { display: none; }
[data-testid="stFileChips"] { align-items: center; }
[data-testid="stFileUploaderDropzone"] [aria-label="Add files"] {
  width: auto; padding: .25rem .75rem; gap: .35rem; border: 1px solid color-mix(in srgb, currentColor 45%, transparent);
  border-radius: .5rem; color: inherit; white-space: nowrap;
}
[data-testid="stFileUploaderDropzone"] [aria-label="Add files"] > div { flex: none; width: auto; }
[data-testid="stFileUploaderDropzone"] [aria-label="Add files"]::after { content: "Add files"; }
[data-testid="stFileChip"] [role="alert"] {
  position: static; width: auto; height: auto; margin: 0; clip: auto; clip-path: none; overflow: visible;
  white-space: normal; font-size: .8rem;
}
[data-testid="stFileChip"] { height: auto; max-width: none; }
[data-stale="true"] { opacity: 1 !important; transition: none !important; }
.st-key-intake [data-testid="stWidgetLabel"] { display: none; }
.st-key-intake button { min-height: 40px; }
@media (min-width: 641px) {
  .st-key-intake .stColumn:first-child { flex: 1 1 0; min-width: 0; }
  .st-key-intake .stColumn:last-child { flex: none; width: auto; min-width: 16rem; }
}
.st-key-welcome, .st-key-start { max-width: 900px; margin: 0 auto; }
.st-key-welcome { margin-top: 4vh; }
@media (max-width: 760px) {
  .stMainBlockContainer { padding: 3.4rem .75rem 3.2rem; }
  .st-key-intake button, .st-key-start button { min-height: 44px; }
  .st-key-welcome { margin-top: 0; }
  .st-key-intake [data-testid="stFileUploaderDropzoneInstructions"] { display: none; }
  [data-testid="stFileChips"]::after { display: none; }
  .st-key-intake [data-testid="stFileUploaderDropzone"] { padding: .3rem; min-height: 0; }
  .st-key-intake [data-testid="stFileUploaderDropzone"] > span { width: 100%; }
  .st-key-intake [data-testid="stFileUploaderDropzone"] button { width: 100%; justify-content: center; }
}
@media (max-height: 600px) {
  .stMainBlockContainer .stVerticalBlock { gap: .4rem; }
  .st-key-intake [data-testid="stFileUploaderDropzone"] { min-height: 0; padding: 0; border: 0; background: none; }
}
</style>
"""
# Before there are files the place to drop them is large, says what it takes, and has the page to itself.
START_STYLE = """
<style>
[data-testid="stLayoutWrapper"]:has(> .st-key-welcome) { order: 1; }
[data-testid="stLayoutWrapper"]:has(> .st-key-intake) { order: 2; }
[data-testid="stLayoutWrapper"]:has(> .st-key-start) { order: 3; }
.st-key-intake { max-width: 900px; margin: 0 auto; }
.st-key-intake [data-testid="stWidgetLabel"] { display: flex; }
.st-key-intake .stColumn:last-child { display: none; }
.st-key-intake [data-testid="stFileUploaderDropzone"] {
  min-height: 132px; flex-flow: column; gap: .5rem; align-items: center; justify-content: center; border-style: dashed;
}
.st-key-intake [data-testid="stFileUploaderDropzoneInstructions"] {
  flex: none; margin: 0; width: auto; align-self: center;
}
</style>
"""
WELCOME = """
## Read a smear

Drop in photographs of a blood or marrow smear. Leuk outlines the white cells, measures them and suggests a type for
each, which you can change, and counts them. For the field it suggests benign or one of three subtypes of acute
lymphoblastic leukaemia (early pre-B, pre-B, pro-B), to be confirmed by immunophenotyping, and shows where that score
depends on the image. It has learnt from the fields of one hospital: of a picture unlike those it says that it cannot
tell.
"""


def read(memory: Memory, source: Source, name: str, settings: Settings, progress: Progress) -> Pack:
    """Turn a file or a sample into what the viewer shows; runs in the visit's thread.

    Cells are found once: whatever model or heat map is chosen, they stay the same.
    """
    from leuk.analysis import analyze  # the networks' libraries take seconds to load; the page need not wait for them

    if isinstance(source, bytes) and name.lower().endswith(".json"):
        earlier.read_changes(source, name)  # what holds readings was taken over before it came here
    image = read_image(source, name) if isinstance(source, bytes) else source()
    analysis = analyze(
        image,
        model=settings.model,
        method=settings.method,
        explain=settings.explain,
        progress=progress,
        memory=memory,
    )
    progress(0.98, "drawing outlines")
    return overlay.pack(analysis, name)


@st.cache_resource(show_spinner=False)
def warm_up() -> threading.Event:
    """Load libraries and model once for all visits, while the first one is still choosing a file; tell when done."""
    done = threading.Event()
    threading.Thread(target=_warm_up, args=(done,), name="leuk-warm-up", daemon=True).start()
    return done


def _warm_up(done: threading.Event) -> None:
    blank = SmearImage.from_array(np.full((96, 96, 3), 235, np.uint8), "blank")
    try:
        with TURNS, contextlib.suppress(LeukError):  # a model that can't be used is said where a file is read with it
            read(Memory(), lambda: blank, "blank", Settings(), lambda fraction, stage: None)
    finally:
        gc.collect()
        gc.freeze()
        done.set()


def spare_the_collector() -> None:
    """Keep each run of the page from going through every object of the libraries.

    Streamlit collects garbage after every run, and a page that shows progress runs every second: among torch's half a
    million objects that holds up whoever is reading, and most of all the loading of torch itself. What is loaded stays
    anyway, so the collector may leave it out, while loading lasts and for good afterwards.
    """
    if not warm_up().is_set():
        gc.freeze()


def worklist() -> Worklist:
    """Give this visit's files; nobody else's."""
    if "worklist" not in st.session_state:
        st.session_state.memory = Memory()
        st.session_state.worklist = Worklist(partial(read, st.session_state.memory))
        st.session_state.chosen = None
        st.session_state.download = None
        st.session_state.taken_files = set()
        st.session_state.used = False
        st.session_state.reviews = {}
        st.session_state.earlier = {}
        st.session_state.taken = {}
    return st.session_state.worklist


# ---- what the user does -------------------------------------------------------------------------------------------


def take_uploads() -> None:
    """Move what was uploaded into the worklist.

    The uploader stays: replaced by an empty one, it would lose what is dropped while the page is still being made anew,
    and with it the reason why a file was too large. It lists earlier files too, whose bytes are gone.
    """
    taken = st.session_state.taken_files
    files = [one for one in st.session_state.get("upload") or [] if isinstance(one, UploadedFile)]
    files = [one for one in files if one.file_id not in taken]
    taken.update(one.file_id for one in files)
    new = [hashlib.sha256(file.getvalue()).hexdigest() for file in files]
    pictures = [file for file in files if not take_changes(file.name, file.getvalue(), new)]
    added = [worklist().add(file.name, file.getvalue()) for file in pictures]
    # Streamlit would keep a second copy of the bytes until the visit ends; it frees those of its chat input like this.
    context = get_script_run_ctx()
    if context is not None and isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
        for file in files:
            context.uploaded_file_mgr.remove_file(session_id=context.session_id, file_id=file.file_id)
    if added:
        look_at(added[0])


def take_changes(name: str, data: bytes, new: list[str]) -> bool:
    """Take over what was changed in an earlier visit, if that is what a file holds; whichever order files come in.

    `new` are the SHA-256 of the files that are added with it.
    """
    if not name.lower().endswith(".json"):
        return False
    try:
        found = earlier.read_changes(data, name)
    except LeukError:
        return False  # it takes its place among the files, refused with this reason
    other = given_types(st.session_state.earlier)
    replaced = sum(other.get(cell, kind) != kind for cell, kind in given_types(found).items())
    for sha256, changes in found.items():
        st.session_state.earlier[sha256] = [*st.session_state.earlier.get(sha256, []), *changes]
    changes = [change for one in found.values() for change in one]
    types = sum(len(change["types"]) for change in changes)
    scales = sum(change["um_per_px"] is not None for change in changes)
    parts = [f"{n} {word}{'s' if n > 1 else ''}" for n, word in ((types, "type"), (scales, "scale")) if n]
    here = {*new, *(digest(item) for item in worklist().items())}
    found_here = len(found.keys() & here)
    which = f"{found_here} of {len(found)} {'are' if len(found) > 1 else 'is'} here"
    what = f"{' and '.join(parts)} that you gave before hold again for the same photographs ({which})."
    said = what if parts else "nothing was changed in these readings, so nothing is taken over."
    st.toast(f"{_components.literal(name)}: {said}", duration="long")
    if replaced:  # by itself, since a toast shows three lines
        those = f"{replaced} of its types replace{'' if replaced > 1 else 's'} what a JSON added before says."
        st.toast(f"{_components.literal(name)}: {those}", duration="long")
    return True


def given_types(found: Mapping[str, list[dict[str, Any]]]) -> dict[Any, str]:
    """Give the type that holds for each cell of what was taken over: by photograph, way of finding cells and box."""
    return {
        (sha256, one["method"], box): kind
        for sha256, changes in found.items()
        for one in changes
        for box, kind in one["types"]
    }


def digest(item: Item) -> str:
    """Give the SHA-256 of a file; of a sample only once it was drawn."""
    if item.pack is not None:
        return str(item.pack.header["record"]["sha256"])
    return hashlib.sha256(item.source).hexdigest() if isinstance(item.source, bytes) else ""


def take_sample(name: str) -> None:
    """Add a bundled sample and look at it."""
    sample = next(sample for sample in samples() if sample.name == name)
    look_at(worklist().add(f"{sample.name}.png", lambda: sample.generate().image, synthetic=True))


def look_at(item_id: str | None) -> None:
    """Choose the file to show."""
    st.session_state.chosen = item_id
    worklist().prefer(item_id)


def on_go() -> None:
    """Go to the next or the previous file."""
    step = st.session_state.viewer.get("go")
    ids = [item.id for item in worklist().items()]
    if step and st.session_state.chosen in ids:
        look_at(ids[min(max(ids.index(st.session_state.chosen) + int(step), 0), len(ids) - 1)])


def on_reviews() -> None:
    """Keep what the user changed in the viewer, for the downloads of all files."""
    told = st.session_state.viewer.get("reviews")
    st.session_state.reviews = reviews_in(told)
    st.session_state.taken = {
        key: one["given"]
        for key, one in (told.items() if isinstance(told, Mapping) else ())
        if isinstance(one, Mapping) and isinstance(one.get("given"), int)
    }


def reviews_in(told: Any) -> dict[str, Review]:
    """Take from the browser what has the form of a review, by the key of its file; the rest is passed over."""
    out = {}
    for key, one in told.items() if isinstance(told, Mapping) else ():
        types = one.get("types", {}) if isinstance(one, Mapping) else None
        if not isinstance(types, Mapping):
            continue
        kept = {int(label): kind for label, kind in types.items() if str(label).isdecimal() and kind in TITLES}
        um = one.get("um")
        sound = isinstance(um, int | float) and not isinstance(um, bool) and 0.001 <= um <= 10
        out[str(key)] = Review(kept, float(um) if sound else None)
    return out


def key_of(item: Item) -> str:
    """Name a reading of a file, as the viewer shows it."""
    return f"{item.id}/{item.version}"


def review_key(item: Item) -> str:
    """Name the reading that cells' types belong to: one with other cells is another, one by another model is not."""
    if item.pack is None:
        return ""
    head = item.pack.header
    return f"{item.id}/{head['record']['sha256'][:16]}/{head['method']}/{len(head['record']['cells'])}"


def scale_key(item: Item) -> str:
    """Name the photograph that a scale belongs to, however its cells are found."""
    return f"{item.id}/scale"


def given(item: Item, number: int | None = None) -> Review:
    """Give what was changed in a file that was read in earlier visits: in the first so many of them, or in all."""
    assert item.pack is not None  # noqa: S101 - callers ask for files that were read
    record, changes = item.pack.header["record"], st.session_state.get("earlier", {})
    return earlier.review_of(record, {record["sha256"]: changes.get(record["sha256"], [])[:number]})


def given_number(item: Item) -> int:
    """Tell how many earlier readings of a file that was read have been added so far."""
    assert item.pack is not None  # noqa: S101 - callers ask for files that were read
    return len(st.session_state.get("earlier", {}).get(item.pack.header["record"]["sha256"], ()))


def review_of(item: Item) -> Review:
    """Give what the user changed in a file that was read: now, or in an earlier visit if it wasn't looked at since."""
    types, scale = told_of(item, review_key(item)), told_of(item, scale_key(item))
    return Review(types.types, scale.micrometres)


def told_of(item: Item, key: str) -> Review:
    """Give what the browser tells under a key, with what it has not taken over yet; as takeOver in cells.js."""
    now = st.session_state.get("reviews", {}).get(key, Review())
    taken = st.session_state.get("taken", {}).get(key, 0)
    if taken >= given_number(item):
        return now
    old, before = given(item), given(item, taken)
    own = {label: kind for label, kind in now.types.items() if kind != before.types.get(label)}
    kept = now.micrometres not in (None, before.micrometres)
    return Review({**old.types, **own}, now.micrometres if kept else old.micrometres)


def reviewed(item: Item) -> dict[str, Any]:
    """Give the record of a file that was read, with what the user changed in it."""
    assert item.pack is not None  # noqa: S101 - callers ask for files that were read
    record, review = item.pack.header["record"], review_of(item)
    if review != Review():
        record = report.corrected(record, review)
    return {**record, "synthetic": True} if item.synthetic else record


def on_choose() -> None:
    """Look at the file clicked in the strip."""
    item_id = st.session_state.strip.get("choose")
    if worklist().get(item_id):
        look_at(item_id)


def on_remove() -> None:
    """Forget one file; its neighbour takes its place."""
    item_id = st.session_state.strip.get("remove")
    ids = [item.id for item in worklist().items()]
    if item_id not in ids:
        return
    item = worklist().get(item_id)
    worklist().remove(item_id)
    left = {one.pack.header["record"]["sha256"] for one in worklist().items() if one.pack}
    if item is not None and item.pack is not None and (gone := item.pack.header["record"]["sha256"]) not in left:
        st.session_state.memory.forget(gone)
    reviews = st.session_state.reviews
    st.session_state.reviews = {key: one for key, one in reviews.items() if not key.startswith(f"{item_id}/")}
    if st.session_state.chosen == item_id:
        at = ids.index(item_id)
        rest = ids[:at] + ids[at + 1 :]
        look_at(rest[min(at, len(rest) - 1)] if rest else None)


def on_all() -> None:
    """Download all readings, all cells, or forget all files."""
    what = st.session_state.strip.get("all")
    if what == "clear":
        worklist().clear()
        st.session_state.memory.forget()
        st.session_state.download = None
        st.session_state.reviews = {}
        st.session_state.earlier = {}
        look_at(None)
    elif what in ("csv", "json"):
        number = next(st.session_state.setdefault("downloads", count(1)))
        st.session_state.download = {"id": number, **export(worklist().items(), what)}


def export(items: list[Item], what: str) -> dict[str, str]:
    """Put the readings of all files (json) or their cells (csv) into one file; its name says where some are unread."""
    done = sum(item.state in ("read", "refused") for item in items)
    part = f"_{done}_of_{len(items)}_files" if done < len(items) else ""
    if what == "csv":
        text = report.to_csv(row for item in items if item.pack for row in report.record_rows(reviewed(item)))
        return {"name": f"leuk_cells{part}.csv", "type": "text/csv", "text": text}
    records = [reviewed(item) if item.pack else report.refused(item.name, why_unread(item)) for item in items]
    text = json.dumps(records, indent=2) + "\n"
    return {"name": f"leuk_readings{part}.json", "type": "application/json", "text": text}


def why_unread(item: Item) -> str:
    """Say why there is no reading of a file."""
    if item.state == "stopped":
        return f"{item.name} was not read, since reading was stopped: read the rest and download again."
    return item.error or f"{item.name} was not read yet: wait for it and download again."


# ---- what the components are given --------------------------------------------------------------------------------


def in_words(item: Item) -> str:
    """Say in a few words how a file stands."""
    if item.state == "read" and item.pack is not None:
        record = reviewed(item)
        cells = len(record["cells"])
        verdict = "outside what Leuk knows" if record["outside"] else class_name(record["suggestion"]).plain
        if record.get("from_cells") and not record["outside"]:
            verdict += ", cells disagree"
        if record["outside"] and record["cut_out"]:
            types = {TITLES[cell["type"]].lower() for cell in record["cells"] if "type" in cell}
            verdict = f"cut out: {types.pop()}" if len(types) == 1 else "cut out"
        mark = "synthetic · " if item.synthetic else ""
        return f"{mark}{verdict} · {cells} {'cell' if cells == 1 else 'cells'}"
    return {
        "waiting": "in line",
        "reading": "being read …",
        "stopped": "stopped",
        # The name stands above: what is left of it here would leave no room for the reason.
        "refused": f"refused: {item.error.replace(f'{item.name} ', 'it ', 1)}",
        "read": "",
    }[item.state]


def twins(items: list[Item]) -> dict[str, int]:
    """Give, by the id of each file that is the same as an earlier one, that one's place from 1."""
    first: dict[str, int] = {}
    out = {}
    for place, item in enumerate(items, 1):
        if item.pack is not None and (one := first.setdefault(item.pack.header["record"]["sha256"], place)) != place:
            out[item.id] = one
    return out


def strip_data(items: list[Item]) -> dict[str, Any]:
    """Describe all files for the strip."""
    states = [item.state for item in items]
    parts = [f"{len(items)} {'file' if len(items) == 1 else 'files'}"]
    states = ["in line" if state in ("waiting", "reading") else state for state in states]
    parts += [
        f"{states.count(state)} {state}" for state in ("read", "refused", "stopped", "in line") if state in states
    ]
    same = twins(items)
    chosen = next((item for item in items if item.id == st.session_state.chosen), None)
    return {
        "others": {"key": key_of(chosen), **others(items, chosen)} if chosen else None,
        "files": [
            {
                "id": item.id,
                "name": item.name,
                "state": item.state,
                "text": (f"same as file {same[item.id]} · " if item.id in same else "") + in_words(item),
                "thumbnail": base64.b64encode(item.pack.thumbnail).decode() if item.pack else "",
            }
            for item in items
        ],
        "chosen": st.session_state.chosen or "",
        "sum": " · ".join(parts),
        "download": st.session_state.download,
    }


def others(items: list[Item], item: Item) -> dict[str, Any]:
    """Put the cells of all files but this one together; synthetic ones only with their like.

    Beside what `leuk.report.pooled` gives: ``repeats``, whether this file is the same as one before it, whose cells are
    counted instead; ``told``, of how many cells a person told the type; ``apart`` and ``unread``, how many files
    are of the other kind and were not read.
    """
    like = [one for one in items if one.pack is not None and one.synthetic == item.synthetic]
    unread = sum(one.pack is None for one in items)
    # Whichever file is looked at, each photograph is counted as it stands in its first one.
    same = twins(like)
    records = [reviewed(one) for one in like if one.id not in same and one.id != item.id]
    told = sum(cell.get("type_source", "suggested") != "suggested" for one in records for cell in one["cells"])
    return {
        **report.pooled(records),
        "repeated": len(same),
        "repeats": item.id in same,
        "told": told,
        "apart": len(items) - len(like) - unread,
        "unread": unread,
    }


def given_data(item: Item) -> dict[str, Any] | None:
    """Give the viewer what to take over of an earlier visit, and the number by which it knows what it has taken."""
    if item.pack is None or not given_number(item):
        return None
    review = given(item)
    note = " ".join(why_not_held(item))
    return {"number": given_number(item), "types": dict(review.types), "um": review.micrometres, "note": note}


def why_not_held(item: Item) -> Iterator[str]:
    """Say of types that were given in an earlier visit and that no cell has why that is."""
    assert item.pack is not None  # noqa: S101 - callers ask for files that were read
    record = item.pack.header["record"]
    for method, number in earlier.not_held(record, st.session_state.get("earlier", {})).items():
        types = f"{number} {'types' if number > 1 else 'type'} that you gave in an earlier visit"
        if method == record["method"]:
            yield f"{types} {'fit' if number > 1 else 'fits'} no cell that is found now."
        else:
            title = METHODS[method].title if method in METHODS else method
            yield f"{types} {'are' if number > 1 else 'is'} of cells found by “{title}”: choose it under Settings."


def viewer_data(items: list[Item], index: int) -> bytes:
    """Pack the chosen file for the viewer."""
    item = items[index]
    pack = item.pack or Pack(header={}, blobs={}, thumbnail=b"")
    return overlay.to_bytes(
        pack,
        key=key_of(item),
        name=item.name,
        state=item.state,
        error=item.error,
        synthetic=item.synthetic,
        index=index,
        total=len(items),
        labels=LABELS,
        explainers=EXPLAINER_TITLES,
        model_title=MODEL_TITLES.get((pack.header.get("record") or {}).get("model"), ""),
        method_title=METHODS[pack.header["method"]].title if pack.header.get("method") in METHODS else "",
        one_outline=report.has_one_outline(pack.header.get("method", "")),
        given=given_data(item),
        review_key=review_key(item),
        scale_key=scale_key(item),
        scale_keys=[scale_key(one) for one in items if one.state != "refused"],
        colors=overlay.color_table().tobytes().hex(),
    )


# ---- layout -------------------------------------------------------------------------------------------------------


def uploader() -> None:
    """Offer to add files; always at the same place of the page, since elsewhere it would be another one."""
    st.file_uploader(
        "Photographs of smears: JPEG, PNG, BMP or TIFF, up to 50 MB and 64 megapixels each; at "
        f"once {MAX_FILES} files, or {MAX_BYTES // 2**20} MB of files and readings. With them the JSON of readings "
        "that you changed another day",
        accept_multiple_files=True,
        max_upload_size=50,
        key="upload",
        on_change=take_uploads,
    )


def sample_buttons() -> None:
    """Offer the bundled samples."""
    with st.container(horizontal=True, gap="small"):
        for sample in samples():
            title = sample.title.replace(" (synthetic)", "")
            st.button(title, key=f"sample-{sample.name}", on_click=take_sample, args=(sample.name,))


def settings_form() -> None:
    """Choose how files are read; all are read anew when it changes."""
    models, methods = model_names(), list(METHODS)
    # What was chosen stays chosen while other pages are looked at, where it can be changed too (see pages/models.py).
    if st.session_state.get("model") not in models:
        st.session_state["model"] = models[0]
    model = st.selectbox("Model", models, key="model", format_func=lambda name: MODEL_TITLES.get(name, name))
    method = st.selectbox(
        "Way of finding cells",
        methods,
        index=methods.index(DEFAULT_METHOD),
        key="method",
        format_func=lambda name: METHODS[name].title,
        help="The published recipes are here for comparison; they miss cells on pale or blue fields.",
    )
    explain = st.selectbox(
        "Heat map",
        list(EXPLAINER_TITLES),
        key="explain",
        format_func=lambda name: EXPLAINER_TITLES[name],
        help="Where the score depends on the image: four maps, one for each class. The first agrees best with what the "
        "score loses where a place is hidden; Grad-CAM on a network's last maps, as published, hardly does.",
    )
    if worklist().items():
        st.caption(
            "After a change all files are read again, and cells looked for where they are to be found another way. The "
            "types that you gave cells stay with the way of finding cells that you gave them under; a scale stays with "
            "its photograph."
        )
    worklist().choose(Settings(model, method, explain))


def model_names() -> list[str]:
    """Name the models whose weights are here, the usual one first."""
    return list(readers()) or [Settings.model]


def files_and_viewer(*, polled: bool) -> None:
    """Show how far the batch is, every file and the chosen one; runs by itself, again and again if `polled`.

    The strip and the viewer belong together. Were the viewer outside, a click in the strip would need a second run, of
    the whole page, whose messages Streamlit drops if a third begins just then: the strip would show one file as chosen
    and the viewer another one's reading.
    """
    spare_the_collector()
    files = worklist()
    items = files.items()
    if not items or files.busy != polled:
        st.rerun()
    if polled:
        stage = files.stage()
        at = min(stage.done + 1, stage.total)
        bar, button = st.columns([6, 1], vertical_alignment="center")
        bar.progress(
            stage.fraction,
            text=_components.literal(
                f"Reading {at} of {stage.total} · {stage.name} · {stage.stage.lower() or 'finishing'}"
            ),
        )
        button.button("Stop", key="stop", on_click=files.stop, width="stretch", help="Keeps what has been read")
    elif any(item.state == "stopped" for item in items):
        st.button("Read the rest", key="resume", on_click=files.resume)
    ids = [item.id for item in items]
    if st.session_state.chosen not in ids:
        look_at(ids[0])
    _components.strip(
        data=strip_data(items),
        key="strip",
        on_choose_change=on_choose,
        on_remove_change=on_remove,
        on_all_change=on_all,
    )
    index = ids.index(st.session_state.chosen)
    _components.viewer(
        data=viewer_data(items, index),
        key="viewer",
        on_go_change=on_go,
        on_reviews_change=on_reviews,
    )


def page() -> None:
    """Lay the page out."""
    spare_the_collector()
    files = worklist()
    items = files.items()
    st.html(_components.SHARED_STYLE + STYLE + ("" if items else START_STYLE))
    _components.frame(key="frame", data={"files": len(items), "fresh": not st.session_state.used})
    st.session_state.used = st.session_state.used or bool(items)
    # At its place from the first run on: below the welcome it would be another one, see `uploader`.
    with st.container(key="intake"):
        left, right = st.columns([3, 1], vertical_alignment="center")
        with left:
            uploader()
        if items:
            with right, st.container(horizontal=True, horizontal_alignment="right"):
                with st.popover("Samples", icon=":material/biotech:"):
                    st.caption("Synthetic smears, drawn by Leuk and no patient's")
                    sample_buttons()
                with st.popover("Settings", icon=":material/tune:"):
                    settings_form()
    if not items:
        with st.container(key="welcome"):
            st.markdown(WELCOME)
        with st.container(key="start"):
            st.caption("Nothing at hand? Open a synthetic smear, drawn by Leuk and no patient's:")
            sample_buttons()
            with st.popover("Settings", icon=":material/tune:", type="tertiary"):
                settings_form()
        return
    busy = files.busy
    st.fragment(files_and_viewer, run_every=POLL_SECONDS if busy else None)(polled=busy)


# The first page's address is that of Leuk itself, not the file's.
if by_the_front_door("./"):
    page()

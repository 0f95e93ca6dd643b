import csv
import hashlib
import io
import json
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from leuk import earlier, report
from leuk.data.synthetic import samples
from leuk.overlay import pack
from leuk.report import Review
from pages._worklist import MAX_FILES, Item
from tests.conftest import ROOT
from tests.readings import make


@pytest.fixture
def app():
    return AppTest.from_file(str(ROOT / "pages" / "review.py"), default_timeout=120).run()


def finish(app: AppTest, seconds: float = 240) -> list[Item]:
    """Run the page until nothing is left to read, as the browser does every second."""
    end = time.monotonic() + seconds
    while app.session_state.worklist.busy:
        assert time.monotonic() < end, "reading took too long"
        time.sleep(0.05)
    app.run()
    assert not app.exception
    return app.session_state.worklist.items()


def png() -> bytes:
    out = io.BytesIO()
    Image.fromarray(make().image.pixels).save(out, "PNG")
    return out.getvalue()


def test_the_page_opens(app):
    assert not app.exception
    assert any("Read a smear" in text.value for text in app.markdown)
    assert len([b for b in app.button if b.key and b.key.startswith("sample-")]) == len(samples())
    assert f"{MAX_FILES} files" in app.file_uploader[0].label


def test_a_sample_is_one_click_away_from_its_reading(app):
    app.button(key=f"sample-{samples()[1].name}").click().run()
    (item,) = finish(app)
    assert item.state == "read", item.error
    assert item.synthetic
    record = item.pack.header["record"]
    assert record["cells"]
    assert set(item.pack.header["heat"]) == set(record["probabilities"])


def test_a_refused_file_says_why_and_others_are_read(app):
    app.file_uploader[0].set_value(
        [("good.png", png(), "image/png"), ("text.png", b"hello", "image/png"), ("cut.png", png()[:400], "image/png")]
    ).run()
    items = finish(app)
    assert [item.state for item in items] == ["read", "refused", "refused"]
    assert all(item.name in item.error for item in items[1:])


def test_uploads_are_taken_over_once(app):
    app.file_uploader[0].set_value([("good.png", png(), "image/png")]).run()
    finish(app)
    app.run()
    # The uploader is the same one, and may list earlier files beside the new.
    app.file_uploader[0].upload("more.png", png(), "image/png").run()
    assert [item.name for item in finish(app)] == ["good.png", "more.png"]
    app.run()
    assert [item.name for item in finish(app)] == ["good.png", "more.png"]


def test_other_settings_read_the_files_anew(app):
    app.file_uploader[0].set_value([("good.png", png(), "image/png")]).run()
    (before,) = finish(app)
    app.selectbox(key="explain").set_value("gradcam").run()
    (after,) = finish(app)
    heat = [one.pack.header["heat"]["pro_b"] for one in (before, after)]
    assert [(one["method"], one["fine"]) for one in heat] == [("hirescam", True), ("gradcam", False)]
    assert any("stay with the way of finding cells" in caption.value for caption in app.caption)


def test_two_visits_know_nothing_of_each_other():
    one, other = (AppTest.from_file(str(ROOT / "pages" / "review.py"), default_timeout=120).run() for _ in range(2))
    one.file_uploader[0].set_value([("one.png", png(), "image/png")]).run()
    assert [item.name for item in finish(one)] == ["one.png"]
    other.run()
    assert other.session_state.worklist.items() == []


@pytest.fixture
def page(monkeypatch):
    """The page's own functions, without a page."""
    import ast

    tree = ast.parse((ROOT / "pages" / "review.py").read_text(encoding="utf-8"))
    assert ast.unparse(tree.body.pop()).endswith("page()")
    names: dict[str, object] = {"__name__": "review"}
    exec(compile(tree, "review.py", "exec"), names)  # noqa: S102 - our own file, less the call that draws it
    return SimpleNamespace(**names)


def read_item(name: str, **made) -> Item:
    return Item("1", name, b"", state="read", pack=pack(make(**made), name))


def test_all_files_go_into_one_download(page):
    items = [
        read_item("a.png"),
        Item("2", "b.png", None, state="refused", error="b.png is empty; choose another file."),
        Item("3", "c.png", b"", state="waiting"),
        read_item("d.png", cells=0),
    ]
    download = page.export(items, "json")
    records = json.loads(download["text"])
    assert [(r["file"], r["status"]) for r in records] == [
        ("a.png", "read"), ("b.png", "refused"), ("c.png", "refused"), ("d.png", "read"),
    ]  # fmt: skip
    # One that is not read is not left out without a word, nor does the file's name say that it holds all.
    assert records[2]["error"] == "c.png was not read yet: wait for it and download again."
    assert download["name"] == "leuk_readings_3_of_4_files.json"
    assert page.export(items, "csv")["name"] == "leuk_cells_3_of_4_files.csv"
    items[2].state = "stopped"
    assert "reading was stopped" in json.loads(page.export(items, "json")["text"])[2]["error"]
    assert page.export([items[0], items[1]], "json")["name"] == "leuk_readings.json"
    lines = page.export(items, "csv")["text"].splitlines()
    assert lines[0].startswith("file,cell,")
    assert len(lines) == 1 + len(records[0]["cells"])


def test_what_the_user_changed_is_in_the_downloads_of_all_files(page, monkeypatch):
    item, other = read_item("a.png"), read_item("b.png")
    other.id = "2"
    told = {page.review_key(item): {"types": {"2": "blast", "99": "blast"}}, page.scale_key(item): {"um": 0.1}}
    monkeypatch.setattr("streamlit.session_state", {"reviews": page.reviews_in(told)})
    first, second = json.loads(page.export([item, other], "json")["text"])
    assert [cell.get("type") for cell in first["cells"]][:3] == [None, "blast", None]
    assert first["cells"][1]["type_source"] == "corrected"
    assert first["differential"]["total"] == 1
    assert first["scale"] == {"um_per_px": 0.1, "source": "entered", "red_cells": 0}
    assert "differential" not in second
    rows = list(csv.DictReader(io.StringIO(page.export([item], "csv")["text"], newline="")))
    assert [row["type"] for row in rows[:3]] == ["", "blast", ""]
    assert float(rows[1]["diameter_um"]) == pytest.approx(float(rows[1]["diameter"]) / 10, abs=0.01)
    assert item.pack.header["record"]["cells"][1].get("type") is None  # the reading itself stays as it was


def test_a_scale_is_the_photographs_however_its_cells_are_found(page, monkeypatch):
    analysis = make(heat=None)
    default = read_item("a.png", heat=None)
    otsu = replace(analysis, segmentation=replace(analysis.segmentation, method="otsu_green"))
    otsu = Item(default.id, "a.png", b"", state="read", pack=pack(otsu, "a.png"))
    told = {page.review_key(default): {"types": {"1": "blast"}}, page.scale_key(default): {"um": 0.2}}
    monkeypatch.setattr("streamlit.session_state", {"reviews": page.reviews_in(told)})
    ours, theirs = (page.reviewed(item) for item in (default, otsu))
    assert ours["scale"] == theirs["scale"] == {"um_per_px": 0.2, "source": "entered", "red_cells": 0}
    assert "type" in ours["cells"][0]
    assert "type" not in theirs["cells"][0]


class State(dict):
    """A visit's state, as Streamlit holds it."""

    __getattr__, __setattr__ = dict.__getitem__, dict.__setitem__


def test_what_was_changed_in_an_earlier_visit_holds_until_it_is_changed_again(page, monkeypatch):
    item = read_item("a.png")
    record = item.pack.header["record"]
    changed = report.corrected(record, Review({1: "blast", 2: "monocyte"}, 0.2))
    state = State(earlier=earlier.read_changes(json.dumps(changed).encode(), "a.json"))
    monkeypatch.setattr("streamlit.session_state", state)
    # No one has looked at it, and still all downloads have it.
    assert page.reviewed(item) == changed
    given = page.given_data(item)
    assert given == {"number": 1, "types": {1: "blast", 2: "monocyte"}, "um": 0.2, "note": ""}
    # What the browser tells of a file that it did not show since is added to.
    key, scale = page.review_key(item), page.scale_key(item)

    def told(reviews):
        state.viewer = {"reviews": reviews}
        page.on_reviews()
        return page.review_of(item)

    assert told({key: {"types": {"1": "platelet"}, "given": 0}}) == Review({1: "platelet", 2: "monocyte"}, 0.2)
    # What it has taken over is its own: here the second type and the scale were taken back.
    own = {key: {"types": {"1": "platelet"}, "given": 1}, scale: {"um": None, "given": 1}}
    assert told(own) == Review({1: "platelet"})
    # A second file is news.
    state.earlier[record["sha256"]] *= 2
    assert told(own) == Review({1: "platelet", 2: "monocyte"}, 0.2)
    assert page.given_data(item)["number"] == 2


def test_what_a_later_visit_changed_holds_over_what_was_taken_over_before(page, monkeypatch):
    item = read_item("a.png")
    record = item.pack.header["record"]
    first, second = (
        earlier.read_changes(json.dumps(report.corrected(record, review)).encode(), "a.json")[record["sha256"]]
        for review in (Review({1: "blast", 2: "monocyte"}, 0.2), Review({1: "platelet", 2: "platelet"}, 0.3))
    )
    key, scale = page.review_key(item), page.scale_key(item)
    state = State(earlier={record["sha256"]: first + second})
    monkeypatch.setattr("streamlit.session_state", state)
    # The first was taken over while the file was looked at; its second type was changed again since.
    told = {key: {"types": {"1": "blast", "2": "basophil"}, "given": 1}, scale: {"um": 0.2, "given": 1}}
    state.viewer = {"reviews": told}
    page.on_reviews()
    assert page.review_of(item) == Review({1: "platelet", 2: "basophil"}, 0.3)
    told[scale]["um"] = 0.25
    page.on_reviews()
    assert page.review_of(item).micrometres == 0.25


def test_a_file_of_readings_is_taken_over_and_any_other_json_is_refused(app):
    item = read_item("a.png")
    changed = report.corrected(item.pack.header["record"], Review({1: "blast"}))
    files = [
        ("readings.json", json.dumps([changed]).encode(), "application/json"),
        ("x.json", b"{}", "application/json"),
    ]
    app.file_uploader[0].set_value(files).run()
    assert "1 type that you gave before" in app.toast[0].value
    assert "(0 of 1 is here)" in app.toast[0].value
    (refused,) = finish(app)
    assert (refused.name, refused.state) == ("x.json", "refused")
    assert "holds no readings of Leuk" in refused.error


def test_readings_of_files_that_are_here_say_so(app):
    # One is read, another comes with them, the third is not there.
    app.button(key=f"sample-{samples()[0].name}").click().run()
    (item,) = finish(app)
    record = item.pack.header["record"]
    hashes = (record["sha256"], hashlib.sha256(png()).hexdigest(), "0" * 64)
    changed = [{**report.corrected(record, Review({1: "blast"})), "sha256": one} for one in hashes]
    files = [("r.json", json.dumps(changed).encode(), "application/json"), ("x.png", png(), "image/png")]
    app.file_uploader[0].set_value(files).run()
    assert "(2 of 3 are here)" in app.toast[0].value


def test_of_two_files_of_readings_that_differ_the_later_says_so(app):
    record = read_item("a.png").pack.header["record"]
    both = [Review({1: "blast", 2: "monocyte"}), Review({1: "platelet", 2: "monocyte"})]
    files = [
        (f"{i}.json", json.dumps(report.corrected(record, one)).encode(), "application/json")
        for i, one in enumerate(both)
    ]
    app.file_uploader[0].set_value(files).run()
    said = [toast.value for toast in app.toast]
    assert len(said) == 3
    assert said[2] == r"1\.json: 1 of its types replaces what a JSON added before says."


def test_types_that_no_cell_has_are_told_of(page, monkeypatch):
    item = read_item("a.png")
    record = item.pack.header["record"]
    changed = report.corrected(record, Review({1: "blast", 2: "monocyte"}))
    monkeypatch.setattr(
        "streamlit.session_state", State(earlier=earlier.read_changes(json.dumps(changed).encode(), ""))
    )
    assert page.given_data(item)["note"] == ""
    record["cells"][0]["box"] = [0, 0, 1, 1]
    assert page.given_data(item)["note"] == "1 type that you gave in an earlier visit fits no cell that is found now."
    record["method"] = "hsv"
    note = page.given_data(item)["note"]
    assert note.startswith("2 types that you gave in an earlier visit are of cells found by “")
    assert note.endswith("”: choose it under Settings.")


def test_the_same_photograph_is_counted_as_it_stands_in_its_first_file(page, monkeypatch):
    first, other = (read_item(name) for name in ("a.png", "b.png"))
    again = replace(first, id="2")
    other.id, other.pack.header["record"]["sha256"] = "3", "0" * 64
    drawn, unread = Item("4", "s.png", None, synthetic=True, pack=first.pack), Item("5", "c.png", b"")
    items = [first, again, other, drawn, unread]
    given = ((first, "blast"), (again, "basophil"), (other, "monocyte"))
    state = State(reviews={page.review_key(item): Review({1: kind}) for item, kind in given})
    monkeypatch.setattr("streamlit.session_state", state)
    pools = [page.others(items, item) for item in items[:3]]
    assert [pool["repeats"] for pool in pools] == [False, True, False]
    assert [pool["types"] for pool in pools] == [{"monocyte": 1}, {"blast": 1, "monocyte": 1}, {"blast": 1}]
    assert [pool["told"] for pool in pools] == [1, 2, 1]
    assert {(pool["repeated"], pool["apart"], pool["unread"]) for pool in pools} == {(1, 1, 1)}


def test_what_the_user_changed_goes_with_its_file(page, monkeypatch):
    state = State()
    monkeypatch.setattr("streamlit.session_state", state)
    files = page.worklist()
    first, second = (files.add(name, b"") for name in ("a.png", "b.png"))
    keys = ("0123/default/4", "0123/hsv/4", "scale")
    state.reviews = {f"{item}/{key}": Review() for item in (first, second) for key in keys}
    state.strip = {"remove": first}
    page.on_remove()
    assert [item.id for item in files.items()] == [second]
    assert list(state.reviews) == [f"{second}/{key}" for key in keys]
    state.strip = {"all": "clear"}
    page.on_all()
    assert state.reviews == {}


def test_what_was_found_in_a_file_is_forgotten_with_it(page, monkeypatch):
    state = State(strip={}, chosen=None)
    monkeypatch.setattr("streamlit.session_state", state)
    files = page.worklist()
    analysis = make(heat=None)

    def added(sha256):
        item_id = files.add("a.png", lambda: replace(analysis.image, sha256=sha256))
        while files.busy:
            time.sleep(0.02)
        assert files.get(item_id).state == "read", files.get(item_id).error
        return item_id

    first, second, third = (added(letter * 64) for letter in "abb")
    for item_id, left in ((first, [False, True]), (second, [False, True]), (third, [False, False])):
        state.strip = {"remove": item_id}
        page.on_remove()
        assert [bool(state.memory.get(letter * 64, "default")) for letter in "ab"] == left


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        {"k": None},
        {"k": {"types": [1]}},
        {"k": {"types": {"x": "blast", "1": "smudge", "-2": "blast"}}},
        {"k": {"types": {}, "um": "wide"}},
        {"k": {"types": {}, "um": -1}},
        {"k": {"types": {}, "um": True}},
    ],
)
def test_what_is_no_review_is_passed_over(page, told):
    assert all(not review.types and review.micrometres is None for review in page.reviews_in(told).values())


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({}, "Pre-B · 4 cells"),
        ({"suggestion": "cannot_tell"}, "Cannot tell"),
        ({"outside": True}, "outside what Leuk knows"),
        ({"outside": True, "cut_out": True}, "cut out · 4 cells"),
        ({"cells": 0}, "0 cells"),
    ],
)
def test_the_strip_says_how_a_file_stands(page, made, words):
    assert words in page.in_words(read_item("a.png", **made))


def test_the_strip_says_what_its_room_allows(page, monkeypatch):
    monkeypatch.setattr("streamlit.session_state", State(chosen=None, download=None))
    refused = Item("2", "b.png", None, state="refused", error="b.png is empty: copy or export it again.")
    twin, other = read_item("c.png"), read_item("d.png", size=(200, 120))
    twin.id, other.id = "3", "4"
    waiting = Item("5", "e.png", b"", state="waiting")
    told = page.strip_data([read_item("a.png"), refused, twin, other, waiting])
    assert [file["text"].split(" · ")[0] for file in told["files"]] == [
        "Pre-B", "refused: it is empty: copy or export it again.", "same as file 1", "Pre-B", "in line",
    ]  # fmt: skip
    assert told["sum"] == "5 files · 3 read · 1 refused · 1 in line"

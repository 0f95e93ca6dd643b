import dataclasses
import json
import re
import threading
import time

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from leuk.data import demo
from leuk.data.datasets import DataSet, taleqani
from leuk.data.inspection import Table
from leuk.data.triage import Decision
from leuk.errors import DataError
from leuk.training.predictions import Predictions
from pages import _explorer_visit as visit
from pages import _exploring as prepare
from pages import _exploring_parts as parts
from pages._components import WORD_JOINER, literal
from pages._exploring import Jobs, Opened
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def app(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("LEUK_CACHE", str(cache))
    monkeypatch.setenv("LEUK_DECISIONS", str(tmp_path / "decisions.sqlite"))
    # Loading the networks' libraries is tested where they are used.
    monkeypatch.setattr(prepare, "_warm_up", lambda: None)
    monkeypatch.setattr(prepare, "_read", lambda dataset, row, model: prepare.Reading(None, None, "not read here"))
    st.cache_resource.clear()
    page = AppTest.from_file(str(ROOT / "pages" / "explorer.py"), default_timeout=120).run()
    yield page
    visit.jobs().close()
    visit.readings().close()
    st.cache_resource.clear()


def said(app):
    return " ".join(one.value for kind in (app.markdown, app.caption, app.info, app.success) for one in kind)


def sound(app):
    assert not app.exception
    assert not app.error
    return app


def test_the_page_opens_with_the_demonstration_set_and_its_errors(app):
    sound(app)
    assert app.session_state.section == "Errors"
    assert "102 images" in said(app)
    assert {"alarms", "misses", "confused"} <= set(app.session_state.panels)
    alarms = app.session_state.panels["alarms"]["rows"]
    assert set(app.session_state.opened.dataset.labels[alarms]) == {0}


@pytest.mark.parametrize("section", ["Balance", "Errors", "Map", "Labels", "Slices", "Triage"])
def test_every_section_draws(app, section):
    app.session_state.section = section
    sound(app.run())


def test_a_threshold_moves_images_from_false_alarms_to_misses(app):
    counts = []
    for step in (5, 50, 95):
        app.session_state.step = step
        sound(app.run())
        counts.append([len(app.session_state.panels[name]["rows"]) for name in ("alarms", "misses")])
    assert counts[0][0] > counts[1][0] > counts[2][0]
    assert counts[0][1] < counts[1][1] < counts[2][1]


def test_an_image_from_a_list_by_a_threshold_is_called_as_the_list_says(app, monkeypatch):
    given = []
    monkeypatch.setattr(parts, "inspector", lambda data, **_: given.append(data))
    app.session_state.step = 20
    sound(app.run())
    opened, view = app.session_state.opened, app.session_state.opened.view(app.session_state.table)
    panel = app.session_state.panels["alarms"]
    row = next(row for row in panel["rows"] if view.verdicts.predicted[row] == 0)
    app.session_state.stack = [{"title": "False alarms", "opened": row, "row": row, **panel}]
    sound(app.run())
    header = json.loads(given[-1][8 : 8 + int.from_bytes(given[-1][4:8], "little")])
    assert header["called"] == "Malignant by the threshold 0.20; likeliest is Benign (hematogones)"
    assert header["wrong"]
    one = prepare.decision(opened, view, row, "model_error", "", "", panel["step"])
    assert (one.called, one.probability) == (
        "malignant",
        pytest.approx(1 - view.verdicts.probabilities[row, 0], abs=1e-6),
    )
    app.session_state.stack[0]["step"] = None
    sound(app.run())
    header = json.loads(given[-1][8 : 8 + int.from_bytes(given[-1][4:8], "little")])
    assert (header["called"], header["wrong"]) == ("Benign (hematogones)", False)


@pytest.mark.parametrize("step", [20, 95])
def test_by_a_threshold_tiles_say_what_their_list_says(app, monkeypatch, step):
    given = []
    monkeypatch.setattr(parts, "gallery", lambda data, **_: given.extend(data["panels"]))
    app.session_state.step = step
    sound(app.run())
    panels = {one["id"]: one["items"] for one in given}
    opened = app.session_state.opened
    probabilities = opened.view(app.session_state.table).verdicts.probabilities
    for name, call in (("alarms", "Malignant"), ("misses", "Benign")):
        for item in panels[name]:
            benign = probabilities[item["row"], 0]
            assert (item["cap"], item["wrong"]) == (call, True)
            assert item["value"] == prepare.percent(benign if name == "misses" else 1 - benign)
            assert item["sub"].startswith("labelled ")
            assert f"called {call}" in item["say"]
    assert "Benign" not in {item["cap"] for item in panels["confused"]}
    likeliest = probabilities.argmax(1)
    assert any(
        (likeliest[item["row"]] == 0) == (name == "alarms") for name in ("alarms", "misses") for item in panels[name]
    ), "or the likeliest class would do as well"
    assert "by the likeliest class, not by the threshold" in said(app)


def test_slices_that_are_not_shown_are_counted_and_can_be_seen(app, monkeypatch):
    given = []
    monkeypatch.setattr(parts, "rows", lambda data, **_: given.append(data["rows"]))
    app.session_state.section = "Slices"
    app.session_state.source = "taleqani"
    sound(app.run())
    assert len(given[-1]) == 40
    every = len(app.session_state.opened.view(app.session_state.table).slices(None))
    assert f"The worst 40 of {every} slices." in said(app)
    app.button("every-slice").click()
    sound(app.run())
    assert len(given[-1]) == every
    assert "The worst 40" not in said(app)


def test_a_cell_of_the_confusion_matrix_lists_its_images(app):
    app.session_state.cell = (0, 1)
    sound(app.run())
    rows = app.session_state.panels["cell-0-1"]["rows"]
    view = app.session_state.opened.view(app.session_state.table)
    assert len(rows) == view.confusion[0, 1] > 0
    assert set(view.verdicts.predicted[rows]) == {1}


def test_an_image_opens_with_what_is_known_about_it(app):
    alarms = app.session_state.panels["alarms"]["rows"]
    app.session_state.stack = [{"title": "False alarms", "rows": alarms, "row": alarms[0], "opened": alarms[0]}]
    sound(app.run())
    assert app.session_state.last_row == alarms[0]


def inspected(app, monkeypatch):
    """Open an image and return what its view is given."""
    given = []
    monkeypatch.setattr(parts, "inspector", lambda data, **_: given.append(data))
    app.session_state.stack = [{"title": "Errors", "rows": [0, 1], "row": 0, "opened": 0}]
    sound(app.run())
    length = int.from_bytes(given[-1][4:8], "little")
    return json.loads(given[-1][8 : 8 + length])


def test_a_users_own_table_is_not_vouched_for(app, monkeypatch):
    ours = app.session_state.opened.view(app.session_state.table)
    shipped = inspected(app, monkeypatch)
    assert "the system had not seen this image" in shipped["source"]
    assert shipped["near"]["title"] == "Nearest training images"
    app.session_state.stack = []
    sound(app.run())
    assert "102 predicted out of fold" in said(app)

    dataset = app.session_state.opened.dataset
    # Even one that bears a bundled system's name is not that system's.
    mine = Table("reader", "", dataset.files, dataset.classes, ours.verdicts.folds, ours.verdicts.probabilities)
    app.session_state.opened.tables["reader · yours"] = mine
    sound(app.run())
    app.session_state.table = "reader · yours"
    sound(app.run())
    assert "(out of fold, as you state)" in said(app)
    header = inspected(app, monkeypatch)
    assert "not seen" not in header["source"]
    assert "out of fold, as you state" in header["source"]
    assert "The heat maps are of Leuk reader" in header["source"]
    assert all(pane["title"].startswith("Leuk reader's map for") for pane in header["panes"][1:])
    assert header["near"]["title"] == "Nearest images"


def test_the_image_says_who_decides(app, monkeypatch):
    assert inspected(app, monkeypatch)["reviewer"] == ""
    app.session_state.reviewer = " Ada "
    assert inspected(app, monkeypatch)["reviewer"] == "Ada"


def decide(app, row, word, comment=""):
    """Open an image and decide on it, as its view does."""
    opened = app.session_state.opened
    view = opened.view(app.session_state.table)
    one = prepare.decision(opened, view, row, word, comment, app.session_state.reviewer or "")
    visit.store().decide(one)
    return one


def test_a_model_error_counts_for_the_predictions_it_was_said_of(app, monkeypatch):
    given = []
    monkeypatch.setattr(parts, "rows", lambda data, **_: given.append(data["rows"]))
    opened, (first, second) = app.session_state.opened, list(app.session_state.opened.tables)[:2]
    wrong = {name: opened.view(name).verdicts.predicted != opened.dataset.labels for name in (first, second)}
    row, blurred = (int(one) for one in np.flatnonzero(wrong[first] & ~wrong[second])[:2])
    app.session_state.table = first
    app.session_state.section = "Triage"
    sound(app.run())
    one = decide(app, row, "model_error")
    decide(app, blurred, "unusable")
    sound(app.run())
    label, called = (
        opened.dataset.classes[i[row]] for i in (opened.dataset.labels, opened.view(first).verdicts.predicted)
    )
    assert (one.label, one.called, one.predictions) == (label, called, opened.view(first).name)
    assert app.session_state.panels["triage-model_error"]["rows"] == [row]
    assert given[-1][0]["bars"][0]["num"].startswith("2 of ")
    theirs = f"triage-of-{opened.view(first).name}"
    assert theirs not in app.session_state.panels

    app.session_state.table = second
    sound(app.run())
    panels = app.session_state.panels
    assert panels["triage-model_error"]["rows"] == []
    assert panels[theirs]["rows"] == [row] and first in panels[theirs]["title"]
    assert panels["triage-unusable"]["rows"] == [blurred], "a word on the picture stays"
    assert given[-1][0]["bars"][0]["num"].startswith("0 of ")
    assert "1 decision of an unnamed reviewer, and 1 model error of other predictions." in json.dumps(given[-1])
    monkeypatch.setattr(parts, "inspector", lambda data, **_: given.append(data))
    app.session_state.stack = [{"title": "Errors", "rows": [row], "row": row, "opened": row}]
    sound(app.run())
    header = json.loads(given[-1][8 : 8 + int.from_bytes(given[-1][4:8], "little")])
    assert (header["decision"], header["elsewhere"]) == ("", f"Decided before: model error of {first}.")


def test_without_a_file_for_decisions_the_images_are_shown_all_the_same(app, monkeypatch, tmp_path):
    monkeypatch.setenv("LEUK_DECISIONS", str(tmp_path))
    st.cache_resource.clear()
    for section in ("Errors", "Triage"):
        app.session_state.section = section
        sound(app.run())
        (said,) = [one.value for one in app.warning]
        assert "is a folder" in said and "name a file in LEUK\\_DECISIONS" in said
    assert app.session_state.panels["alarms"]["rows"]
    assert inspected(app, monkeypatch)["decision"] == ""


def test_who_enters_a_name_takes_the_decisions_of_this_visit_along(app):
    opened = app.session_state.opened
    visit.store().decide(Decision(opened.key, opened.dataset.files[5], "unusable"))  # another visitor's
    app.session_state.unnamed = [decide(app, row, "unusable") for row in (0, 1)]
    app.text_input("reviewer").set_value("AB")
    sound(app.run())
    assert {one.file: one.reviewer for one in visit.store().all(opened.key)} == {
        opened.dataset.files[0]: "AB",
        opened.dataset.files[1]: "AB",
        opened.dataset.files[5]: "",
    }
    assert app.session_state.unnamed == []


def visited(address):
    """Open the page at an address, as a reload or somebody it was given to does."""
    page = AppTest.from_file(str(ROOT / "pages" / "explorer.py"), default_timeout=120)
    for key, value in address.items():
        page.query_params[key] = value
    return sound(page.run())


def address_of(page):
    return {key: value if isinstance(value, str) else value[0] for key, value in page.query_params.items()}


def here(page):
    (one,) = page.session_state.stack
    return one["row"], one["rows"], one["title"]


def test_an_address_leads_to_the_same_image_in_the_same_list(app):
    second = list(app.session_state.opened.tables)[1]
    app.session_state.table, app.session_state.step = second, 20
    sound(app.run())
    panel = app.session_state.panels["alarms"]
    row, walked = panel["rows"][1], panel["rows"][2]
    app.session_state.stack = [
        {"title": panel["title"], "rows": panel["rows"], "row": walked, "opened": row, "step": 20, "panel": "alarms"}
    ]
    app.session_state.stamp += 1
    sound(app.run())
    address = address_of(app)
    assert address == {
        "set": "demonstration", "section": "Errors", "predictions": prepare.name_of(app.session_state.opened, second),
        "image": str(row), "list": "alarms", "threshold": "20",
    }  # fmt: skip
    again = visited(address | {"at": str(walked)})
    assert again.session_state.table == second
    assert here(again) == (walked, panel["rows"], panel["title"])
    assert not again.warning
    assert address_of(again) == address | {"at": str(walked)}


def test_a_list_that_is_still_shown_leads_nowhere_once_something_else_is_chosen(app, monkeypatch):
    second = list(app.session_state.opened.tables)[1]
    sent = {"panel": "alarms", "row": app.session_state.panels["alarms"]["rows"][0]}
    monkeypatch.setattr(visit, "value_of", lambda component, name: sent if name == "open" else "duplicates.exact")
    frame = parts.frame

    def pressed(**given):
        """Press a tile and a finding of the page before, which the browser shows until the next is there."""
        visit.on_open("errors-gallery")()
        visit.on_choose("findings")()
        return frame(**given)

    app.session_state.rows["findings"] = {"duplicates.exact": ("Copies", [0, 1])}
    monkeypatch.setattr(parts, "frame", pressed)
    for widget, value in ((app.selectbox("table"), second), (app.selectbox("source"), "taleqani")):
        sound(widget.set_value(value).run())
        assert (app.session_state.stack, app.session_state.listing) == ([], None), value
    assert address_of(app)["set"] == "taleqani"


def test_a_cell_pressed_while_another_set_is_being_opened_is_no_fault(app, monkeypatch):
    monkeypatch.setattr(visit, "value_of", lambda component, name: "0,1")
    frame = parts.frame
    monkeypatch.setattr(parts, "frame", lambda **given: (visit.on_cell(), frame(**given)))
    app.session_state.opened, app.session_state.opened_as = None, ("taleqani", "")
    sound(app.run())
    assert app.session_state.cell is None


def test_what_is_chosen_outlives_an_address_that_lags_behind(app):
    """The browser may say where it is before it has heard of the last section: it has not gone back."""
    second = list(app.session_state.opened.tables)[1]
    before = dict(app.query_params)
    app.session_state.section = "Labels"
    sound(app.run())
    app.query_params.clear()
    for key, value in (before or {"set": "demonstration", "section": "Errors"}).items():
        app.query_params[key] = value
    sound(app.selectbox("table").set_value(second).run())
    assert (app.session_state.table, app.session_state.section) == (second, "Labels")
    assert address_of(app)["section"] == "Labels"


def test_forward_to_an_image_of_other_predictions_shows_it_with_these(app):
    first, second = list(app.session_state.opened.tables)[:2]
    sound(app.selectbox("table").set_value(second).run())
    of_second = app.session_state.panels["alarms"]
    app.session_state.stack = [
        {**of_second, "row": of_second["rows"][0], "opened": of_second["rows"][0], "panel": "alarms"}
    ]
    app.session_state.stamp += 1
    sound(app.run())
    image = address_of(app)
    for address in ({"set": "demonstration", "section": "Errors"}, image):
        app.query_params.clear()
        for key, value in address.items():
            app.query_params[key] = value
        sound(app.run())
        assert app.session_state.table == (second if address is image else first)
    assert here(app) == (of_second["rows"][0], of_second["rows"], of_second["title"])


def test_an_image_whose_list_is_not_kept_stands_alone_and_says_so(app, monkeypatch):
    given = []
    monkeypatch.setattr(parts, "inspector", lambda data, **_: given.append(data))
    page = visited({"set": "demonstration", "section": "Slices", "image": "3", "list": "listing", "at": "7"})
    assert here(page) == (7, [7], "Slices")
    assert b"alone here: the list that it was opened from is not kept over a reload" in given[-1]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"image": "5000"}, "There is no image in .* that the address names"),
        ({"image": "-1"}, "There is no image in .* that the address names"),
        ({"image": "9" * 5000}, "There is no image in .* that the address names"),
        ({"predictions": "mine.csv"}, "that the address names, mine.csv, are not here"),
        ({"predictions": "reader.grouped"}, "Leuk reader · pseudo-sessions held out, are not here"),
    ],
)
def test_what_an_address_names_and_is_not_here_is_one_sentence(app, more, said):
    page = visited({"set": "demonstration", "section": "Errors", **more})
    assert page.session_state.stack == []
    assert re.search(said, page.warning[0].value.replace("\\", ""))


def test_remarks_are_counted_and_not_passed_over(app, tmp_path):
    for name in ("benign/a.png", "pre/b.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"not looked at")
    (tmp_path / "pro").mkdir()
    app.session_state.section = "Slices"
    # As "Copy as path" gives it.
    app.session_state.source, app.session_state.folder = "own", f'"{tmp_path}"'
    sound(app.run())
    assert app.expander[0].label == "1 remark on files and predictions"
    assert "class folder pro" in said(app).replace("\\", "")
    for number in range(60):
        (tmp_path / f"{number}.png").write_bytes(b"not looked at")
    app.session_state.opened = None
    sound(app.run())
    assert app.expander[0].label == "61 remarks on files and predictions"
    assert "The first 50 of 61." in said(app)


def test_a_folder_that_is_none_is_one_sentence(app, tmp_path):
    app.session_state.source = "own"
    sound(app.run())
    app.session_state.folder = str(tmp_path / "nothing")
    app.run()
    assert not app.exception
    assert len(app.error) == 1
    assert app.error[0].value.endswith(".")


def test_a_folder_with_a_broken_image_opens_and_asks_for_predictions(app, tmp_path):
    for name in ("benign", "malignant"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(np.full((40, 40, 3), 40 * i + 90, np.uint8)).save(tmp_path / "set" / name / f"{i}.png")
    (tmp_path / "set" / "benign" / "broken.png").write_bytes(b"\x89PNG no picture")
    app.session_state.source, app.session_state.folder = "own", str(tmp_path / "set")
    sound(app.run())
    assert "7 images" in said(app)
    assert "p_benign" in said(app)
    app.session_state.section = "Balance"
    sound(app.run())
    done(visit.jobs().known(("measures", *app.session_state.opened.identity)))
    sound(app.run())
    assert "7 images, 6 of which can be read" in said(app)
    assert not app.warning


def test_a_set_of_which_no_image_can_be_read_says_so(app, tmp_path, recwarn):
    for name in ("a/1.jpg", "a/2.jpg", "b/1.jpg"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(b"no picture")
    app.session_state.source, app.session_state.folder = "own", str(tmp_path / "set")
    for section in ("Balance", "Map"):
        app.session_state.section = section
        sound(app.run())
        done(visit.jobs().known(("measures", *app.session_state.opened.identity)))
        sound(app.run())
        assert [one.value for one in app.warning] == ["None of the 3 images can be read; Traps says why."]
        assert "3 images, none of which can be read" in said(app)
    assert not [one for one in recwarn if "All-NaN" in str(one.message)]


def own_set(app, folder, files, labels, classes, **columns):
    """Open a table of pictures of noise, with predictions by which every image is called the first class."""
    rng = np.random.default_rng(0)
    lines = [",".join(["path", "label", *columns])]
    for row, (name, label) in enumerate(zip(files, labels, strict=True)):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(folder / name)
        lines.append(",".join([name, label, *(column[row] for column in columns.values())]))
    (folder / "table.csv").write_text("\n".join(lines))
    app.session_state.source, app.session_state.folder = "own", str(folder / "table.csv")
    sound(app.run())
    chances = np.tile(np.linspace(2, 1, len(classes)) / np.linspace(2, 1, len(classes)).sum(), (len(files), 1))
    app.session_state.opened.tables["mine · yours"] = Table(
        "mine", "", tuple(files), tuple(classes), np.full(len(files), -1), chances
    )
    sound(app.run())


def test_patients_that_a_table_names_are_called_patients(app, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(parts, "rows", lambda data, **_: given.append(data["rows"]))
    files = [f"{i}.png" for i in range(24)]
    labels, patients = ["benign", "malignant"] * 12, [f"P{i % 2}" for i in range(24)]
    own_set(app, tmp_path, files, labels, ["benign", "malignant"], patient=patients)
    assert "misses" in app.session_state.panels
    assert "confused" not in app.session_state.panels, "there is no other malignant class"
    for section in ("Balance", "Slices", "Traps", "Map"):
        app.session_state.section = section
        sound(app.run())
        done(visit.jobs().known(("measures", *app.session_state.opened.identity)))
        sound(app.run())
    assert "Patient" in app.selectbox("map-colour").options
    header = inspected(app, monkeypatch)
    assert "patient P0" in header["facts"]
    assert {one["where"] for one in header["near"]["items"]} == {"same patient", "other patient"}
    shown = said(app) + json.dumps(given) + json.dumps(header)
    assert "2 patients of 12 to 12 images." in shown
    assert "Patient P1" in shown
    assert "seudo-session" not in shown


def test_beside_classes_that_need_not_be_malignant_nothing_is_called_so(app, tmp_path, monkeypatch):
    matrices = []
    monkeypatch.setattr(parts, "matrix", lambda data, **_: matrices.append(data))
    app.session_state.section = "Errors"
    labels = ["normal", "reactive", "blast"] * 2
    own_set(app, tmp_path, [f"{i}.png" for i in range(6)], labels, ["reactive", "normal", "blast"])
    panels = app.session_state.panels
    titles = {key: panels[key]["title"] for key in ("from-benign", "to-benign", "confused")}
    assert titles == {
        "from-benign": "Normal called another class",
        "to-benign": "Another class called Normal",
        "confused": "One other class called another",
    }
    assert [len(panels[key]["rows"]) for key in titles] == [2, 0, 2]
    assert matrices[-1]["curve"] is None, "no threshold, no sensitivity"


def test_the_public_list_shows_statistics_without_the_images(app):
    app.session_state.source = "taleqani"
    sound(app.run())
    assert "statistics only" in said(app)
    view = app.session_state.opened.view(app.session_state.table)
    assert view.confusion.sum() == 2516
    names = list(app.session_state.opened.tables)
    assert names[0] == "Leuk reader · pseudo-sessions held out", "as the models' page calls it"
    assert "DenseNet-201, B-ALL · pseudo-sessions held out" in names
    (said_of_others,) = [one.help for one in app.selectbox if one.label == "Predictions"]
    for name in ("DeepLeukemiaNet, 2 classes", "ResNet-152 V2", "DenseNet-201 · random folds"):
        assert literal(name) in said_of_others
    for section in ("Balance", "Traps", "Map", "Slices"):
        app.session_state.section = section
        sound(app.run())


# ---- what the page is made of -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("0,1", (0, 1)),
        ("3,3", (3, 3)),
        ("4,0", None),
        ("-1,0", None),
        ("0", None),
        ("", None),
        (None, None),
        ("a,b", None),
    ],
)
def test_only_a_cell_of_the_matrix_is_a_cell(text, cell):
    assert prepare.parse_cell(text, 4) == cell


@pytest.mark.parametrize(
    ("selection", "rows"),
    [
        ({"points": [{"customdata": [5]}, {"customdata": [2]}, {"customdata": [5]}]}, [2, 5]),
        ({"points": [{"customdata": 3}]}, [3]),
        ({"points": [{"customdata": {"0": 4}}]}, [4]),
        ({"points": [{"x": 1}, {"customdata": [99]}, {"customdata": [-1]}]}, []),
        ({"points": []}, []),
        (None, []),
    ],
)
def test_a_lasso_becomes_rows(selection, rows):
    assert prepare.selected_rows(selection, 10).tolist() == rows


@pytest.mark.parametrize(
    ("page", "shown", "at", "pages"),
    [(0, [0, 1, 2], 0, 3), (2, [6], 2, 3), (9, [6], 2, 3), (-1, [0, 1, 2], 0, 3)],
)
def test_pages_are_held_to_what_there_is(page, shown, at, pages):
    assert prepare.page_of(range(7), page, 3) == (shown, at, pages)


def test_nothing_is_one_empty_page():
    assert prepare.page_of([], 3) == ([], 0, 1)


def test_walking_stops_at_the_ends():
    assert prepare.neighbour_in([4, 7, 9], 7, 1) == 9
    assert prepare.neighbour_in([4, 7, 9], 9, 1) == 9
    assert prepare.neighbour_in([4, 7, 9], 4, -1) == 4
    assert prepare.neighbour_in([4, 7, 9], 5, 1) == 4


@pytest.mark.parametrize(("index", "start"), [(0, 0), (50, 20), (99, 40)])
def test_the_strip_of_a_long_list_is_short_and_holds_the_neighbours(index, start):
    begin, shown = prepare.film_window(range(100), index, 60)
    assert (begin, len(shown)) == (start, 60)
    assert {max(index - 1, 0), index, min(index + 1, 99)} <= set(shown)


def test_progress_counts_what_is_decided():
    decided = {"b": Decision("s", "b", "unusable"), "z": Decision("s", "z", "unusable")}
    assert prepare.progress_text([0, 1, 2], ["a", "b", "c"], decided) == "1 of 3 decided"


def done(job):
    end = time.monotonic() + 20
    while not job.done:
        assert time.monotonic() < end
        time.sleep(0.01)
    return job


@pytest.fixture
def jobs():
    turn = threading.Event()
    turn.set()
    return Jobs(turn, kept=2)


def test_a_job_is_done_once_and_its_result_kept(jobs):
    calls = []

    def work(progress):
        progress(0.5, "Half")
        calls.append(1)
        return 7

    assert done(jobs.get(("a",), work)).result == 7
    assert jobs.get(("a",), work).result == 7
    assert calls == [1]


def test_a_job_that_fails_says_why_and_the_next_still_runs(jobs):
    def refuse(progress):
        raise DataError("There is nothing here; choose another folder.")

    def fall(progress):
        raise ZeroDivisionError

    assert done(jobs.get(("a",), refuse)).error == "There is nothing here; choose another folder."
    assert "could not be computed" in done(jobs.get(("b",), fall)).error
    assert done(jobs.get(("c",), lambda progress: 1)).result == 1
    assert jobs.known(("a",)) is None  # only the last two are kept


def test_a_job_rests_while_something_more_urgent_is_done():
    turn, went = threading.Event(), threading.Event()

    def work(progress):
        progress(0.1, "Begun")
        went.set()

    job = Jobs(turn).get(("a",), work)
    assert not went.wait(0.2)
    turn.set()
    assert went.wait(5)
    done(job)


def test_a_dropped_job_stops_at_its_next_word(jobs):
    begun, go = threading.Event(), threading.Event()

    def work(progress):
        begun.set()
        go.wait(5)
        progress(0.5, "Half")
        return 1

    job = jobs.get(("a",), work)
    begun.wait(5)
    jobs.drop(("a",))
    go.set()
    assert done(job).result is None


@pytest.fixture
def small():
    return DataSet("small", ("benign/a.png", "pre_b/b.png"), ("benign", "pre_b"), np.array([0, 1]))


def test_benign_means_hematogones_only_where_that_is_known(small):
    public = taleqani()
    titles = [
        prepare.title(one, "benign")
        for one in (
            public,
            public.subset(np.arange(0, len(public), 7)),
            dataclasses.replace(small, name=demo.NAME),
            small,
            dataclasses.replace(small, session=np.array([0, 1])),  # as a table names patients
            dataclasses.replace(small, session=np.array([-1, 1]), near_duplicate=np.array([-1, 3])),
        )
    ]
    assert titles == ["Benign (hematogones)"] * 3 + ["Benign"] * 3


def table(files, name="made"):
    count = len(files)
    return Predictions(
        name, "grouped", tuple(files), np.zeros(count, np.int64), np.zeros(count, np.int64), ("benign", "pre_b"),
        np.tile([0.7, 0.3], (count, 1)),
    )  # fmt: skip


def test_only_tables_that_know_the_set_are_offered(small):
    tables = {"ours": table(small.files), "other": table(["elsewhere/x.png"])}
    kept, left_out = prepare.fitting(small, tables)
    assert (list(kept), left_out) == (["ours"], ""), "what is for another set is not missed here"
    foreign = dataclasses.replace(table(small.files), classes=("cat", "dog"))
    more = DataSet("more", (*small.files, *"abc"), small.classes, np.array([0, 1, 1, 1, 1]))
    assert prepare.fitting(small, tables | {"pets": foreign})[1] == "Not offered: pets (other classes than this set's)."
    assert prepare.fitting(more, tables)[1] == "Not offered: ours (less than half of the images predicted)."


@pytest.mark.parametrize(
    ("share", "said"),
    [(0, "0 %"), (1 / 2516, "< 0.1 %"), (0.003, "0.3 %"), (0.976, "98 %"), (0.996, "99.6 %"), (2515 / 2516, "> 99.9 %"),
     (1, "100 %"), (float("nan"), "–")],
)  # fmt: skip
def test_nearly_all_is_not_all_and_hardly_any_not_none(share, said):
    assert prepare.percent(share) == said


@pytest.mark.parametrize(
    ("share", "of", "said"),
    [(0.976, 2516, "97.6 %"), (0.976, 102, "98 %"), (1, 2516, "100 %"), (2515 / 2516, 2516, "> 99.9 %")],
)
def test_a_tenth_of_a_percent_is_told_where_it_is_an_image(share, of, said):
    assert prepare.percent(share, of) == said


def test_a_tile_says_what_the_image_was_called_and_how_it_is_marked(small):
    opened = Opened("small", small, {"t": table(small.files)})
    view = opened.view("t")
    marks = {"pre_b/b.png": Decision("small", "pre_b/b.png", "label_error")}
    right, wrong = (prepare.tile(small, view.verdicts, row, marks) for row in (0, 1))
    assert (right["wrong"], wrong["wrong"]) == (False, True)
    assert wrong["cap"] == "Benign"
    assert wrong["sub"] == "labelled Pre"
    assert "marked probable label error" in wrong["say"]
    assert right["mark"] == ""
    assert opened.view("t") is view
    assert opened.view("none") is None


def test_a_table_that_comes_again_corrected_is_taken(small):
    opened = Opened("small", small, {"mine · yours": table(small.files)})
    before, name = opened.view("mine · yours"), opened.audited("mine · yours")
    right = dataclasses.replace(table(small.files), probabilities=np.array([[0.7, 0.3], [0.3, 0.7]]))
    opened.tables["mine · yours"] = right
    assert (before.verdicts.predicted == small.labels).mean() == 0.5
    assert (opened.view("mine · yours").verdicts.predicted == small.labels).all()
    assert opened.audited("mine · yours") != name, "or the traps of the first table would be shown"


def test_a_model_error_of_ones_own_table_is_none_of_the_next_of_its_name(small):
    def opened(probabilities):
        mine = Table("mine", "", small.files, small.classes, np.full(2, -1), np.array(probabilities))
        return Opened("small", small, {"mine · yours": mine})

    first, again, next_one = (opened(p) for p in ([[0.7, 0.3]] * 2, [[0.7, 0.3]] * 2, [[0.7, 0.3], [0.3, 0.7]]))
    one = prepare.decision(first, first.view("mine · yours"), 1, "model_error", "", "AB")
    assert one.holds_for(again.view("mine · yours").name)
    assert not one.holds_for(next_one.view("mine · yours").name)
    assert prepare.predictions_title(again, one.predictions) == "mine · yours"
    assert prepare.predictions_title(next_one, one.predictions) == one.predictions
    assert one.predictions.startswith("mine.") and one.predictions.endswith(".csv")


def test_two_lists_of_one_folder_are_not_one_set(small):
    other = dataclasses.replace(small, labels=np.array([0, 0]))
    names = {Opened("key", one, {}).identity for one in (small, other, dataclasses.replace(small))}
    assert len(names) == 2


def test_labels_that_a_system_does_not_know_are_not_doubted(small):
    three = DataSet("three", (*small.files, "hairy/c.png"), ("benign", "pre_b", "hairy"), np.array([0, 1, 2]))
    view = Opened("three", three, {"t": table(three.files)}).view("t")
    assert 2 not in view.label_errors.ranking


@pytest.mark.parametrize("text", ["![x](https://a.b/p.png)", "**bold** _it_ `code`", "$x^2$ :red[y] <b>", "a\nb"])
def test_names_from_anywhere_are_no_markdown(text):
    said = literal(text)
    assert "\n" not in said
    assert re.sub(r"\\(.)", r"\1", said).replace(WORD_JOINER, "") == " ".join(text.split())
    assert not re.search(r"(?<!\\)[!\[\]()*_`$:<>]", said)


@pytest.mark.parametrize("text", ["see www.leuk.org", "WWW.leuk.org", "https://leuk.org", "a@leuk.org"])
def test_addresses_from_anywhere_are_no_links(text):
    said = re.sub(r"\\(.)", r"\1", literal(text))
    # What Markdown's extension for bare addresses looks for.
    assert not re.search(r"(?i)https?://|www\.|[-.\w+]@[-\w]", said)
    assert said.replace(WORD_JOINER, "") == text


def test_the_matrix_carries_every_threshold(small):
    data = prepare.matrix_data(Opened("s", small, {"t": table(small.files)}).view("t"), None, None)
    assert data["counts"] == [[1, 0], [1, 0]]
    assert data["called"]["misses"] == 1
    assert len(data["curve"]) == 101
    assert data["curve"][0]["false_alarms"] == 1
    assert data["curve"][100]["misses"] == 1
    assert data["rests"] == "95 % intervals, counting images as independent. Probabilities are not calibrated."


def test_images_that_are_absent_are_said_to_be(small):
    pack, why = prepare.photo(small, 0)
    assert "image" not in pack.blobs
    assert "not on this machine" in why

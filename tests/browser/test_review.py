import base64
import codecs
import csv
import hashlib
import io
import json
import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
import skimage
from PIL import Image
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from leuk import overlay, report
from leuk.cells import TITLES, TYPES, CellType
from leuk.data.synthetic import generate
from leuk.report import Review
from leuk.segmentation.scale import Scale
from pages._worklist import Settings
from tests.browser.conftest import expect, footer
from tests.conftest import ROOT
from tests.readings import make

SUBTYPES = ("Early Pre-B", "Pre-B", "Pro-B")


def upload(page, *paths):
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files([str(path) for path in paths])


def shown(page, name):
    """Wait until this file's reading, or why there is none, is on the screen."""
    page.locator('.leuk[data-ready="true"] .name', has_text=re.compile(f"^{re.escape(name)}$")).wait_for()
    page.locator('.leuk[data-ready="true"]:is([data-state="read"], [data-state="refused"])').wait_for()


def picture(page):
    """Fingerprint of what the canvas shows, once it has settled."""
    page.wait_for_timeout(400)
    return hashlib.sha256(page.locator("canvas.view").evaluate("c => c.toDataURL()").encode()).hexdigest()


def read(page, *paths):
    upload(page, *paths)
    shown(page, paths[0].name)


def choose(page, name):
    page.locator(".file", has_text=name).click(position={"x": 90, "y": 30})
    shown(page, name)


def test_from_upload_to_reading(visit, smears):
    page = visit()
    expect(footer(page)).to_be_visible()
    read(page, smears[0])
    bars = page.locator(".bar")
    expect(bars).to_have_count(4)
    total = sum(
        float(re.sub(r"[^\d.]", "", text)) for text in page.locator(".bar .v").all_text_contents() if "<" not in text
    )
    assert total == pytest.approx(100, abs=1.5)
    for subtype in SUBTYPES:
        assert f"{subtype} immunophenotype" in bars.filter(has_text=re.compile(f"^{subtype}")).text_content()
    label = page.locator("canvas.view").get_attribute("aria-label")
    assert "first.png" in label
    assert f" {page.locator('.cell').count()} cells found." in label
    expect(footer(page)).to_be_visible()


def test_layers_act_in_the_browser_alone(visit, smears):
    page = visit()
    sent = []
    page.on("websocket", lambda socket: None)
    read(page, smears[0])
    page.evaluate(
        """() => {
            window.sent = 0;
            const send = WebSocket.prototype.send;
            WebSocket.prototype.send = function (...data) { window.sent += 1; return send.apply(this, data); };
        }"""
    )
    page.on("request", lambda request: sent.append(request.url))
    seen = [picture(page)]
    page.locator('[data-layer="cells"] .switch').click()
    seen.append(picture(page))
    page.locator('[data-layer="nuclei"] .switch').click()
    seen.append(picture(page))
    page.locator('[data-layer="heat"] input[type=range]').fill("100")
    seen.append(picture(page))
    page.locator('.classes [role="radio"]').nth(3).click()
    seen.append(picture(page))
    page.locator('.classes [role="radio"]').nth(0).click()
    seen.append(picture(page))
    page.keyboard.press("o")
    seen.append(picture(page))
    assert len(set(seen[:4])) == 4
    assert seen[4] != seen[5] != seen[6]
    page.keyboard.press("o")
    assert picture(page) == seen[5]
    assert page.evaluate("window.sent") == 0
    assert [url for url in sent if not url.startswith(("data:", "blob:"))] == []


def test_downloads_hold_what_is_on_the_screen(visit, smears):
    page = visit()
    read(page, smears[0])
    cells = page.locator(".cell").count()

    def download(kind):
        page.locator(".menu summary").click()
        with page.expect_download() as waiting:
            page.locator(f'[data-do="save-{kind}"]').click()
        return waiting.value.suggested_filename, waiting.value.path().read_bytes()

    name, data = download("csv")
    assert name == "first_cells.csv"
    # Without this mark, Excel spoils accents.
    assert data.startswith(codecs.BOM_UTF8)
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    assert len(rows) == cells
    assert {row["file"] for row in rows} <= {"first.png"}
    assert {row["sha256"] for row in rows} == {hashlib.sha256(smears[0].read_bytes()).hexdigest()}

    name, data = download("json")
    assert name == "first_reading.json"
    (record,) = json.loads(data)
    assert record["sha256"] == hashlib.sha256(smears[0].read_bytes()).hexdigest()
    assert len(record["cells"]) == cells
    assert {"heat_on_cells", "cells_share"} <= set(record)
    assert (record["method"], record["explain"]) == (Settings.method, Settings.explain)

    name, data = download("png")
    assert name == "first_overlay.png"
    whole, original = Image.open(io.BytesIO(data)).convert("RGB"), Image.open(smears[0])
    assert whole.width == original.width
    # Beneath it stands what it is, with the key of a heat map that is shown.
    image, caption = (whole.crop((0, top, 224, foot)) for top, foot in ((0, 224), (224, whole.height)))
    colors = {color for _, color in caption.getcolors(1 << 16)}
    assert {(255, 255, 255), (255, 212, 0), (0, 229, 255)} <= colors
    assert any(max(color) - min(color) > 150 for color in colors - {(255, 212, 0), (0, 229, 255)})
    assert image.tobytes() != original.tobytes()
    page.keyboard.press("h")
    bare = Image.open(io.BytesIO(download("png")[1]))
    assert original.height + 60 < bare.height < whole.height
    # Every cell bears its number, as in the table.
    for cell in record["cells"]:
        x, y = max(cell["box"][0], 0) + 2, max(cell["box"][1] - 6, 6)
        assert max(image.getpixel((min(x, 222), y))) < max(original.convert("RGB").getpixel((min(x, 222), y)))


def test_files_dropped_one_after_the_other_are_all_taken(visit, smears):
    """While the page is made anew for the first, the others come."""
    page = visit()
    for path in smears:
        upload(page, path)
        page.wait_for_timeout(200)
    expect(page.locator(".strip .file")).to_have_count(3)
    page.locator(".strip .sum", has_text="3 files · 3 read").wait_for()
    upload(page, smears[0])
    expect(page.locator(".strip .file")).to_have_count(4)


def test_a_file_that_is_too_large_says_so_beside_a_good_one(visit, smears, tmp_path):
    large = tmp_path / "large.png"
    large.write_bytes(bytes(51 * 2**20))
    page = visit()
    upload(page, smears[0], large)
    shown(page, smears[0].name)
    refused = page.get_by_test_id("stFileChip").filter(has_text="large.png")
    expect(refused).to_contain_text("File must be 50.0MB or smaller")
    expect(refused.get_by_role("alert")).to_be_visible()
    expect(page.locator(".strip .file")).to_have_count(1)
    expect(page.get_by_test_id("stFileChip").filter(has_text=smears[0].name)).to_be_hidden()
    page.get_by_role("button", name="Remove large.png").click()
    expect(refused).to_have_count(0)
    upload(page, smears[1])
    expect(page.locator(".strip .file")).to_have_count(2)


def test_a_corrupt_file_stands_beside_a_good_one(visit, smears, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(smears[1].read_bytes()[:2000])
    page = visit()
    upload(page, broken, smears[0])
    shown(page, "broken.png")
    message = page.locator(".leuk .message")
    message.get_by_text("This file was not read").wait_for()
    assert "broken.png" in message.text_content()
    page.locator('.file[data-state="refused"]', has_text="broken.png").wait_for()
    page.locator('.file[data-state="read"]', has_text="first.png").wait_for()
    choose(page, "first.png")
    expect(page.locator(".bar")).to_have_count(4)
    with page.expect_download() as waiting:
        page.locator('[data-all="json"]').click()
    records = json.loads(waiting.value.path().read_bytes())
    assert [record["status"] for record in records] == ["refused", "read"]


def test_two_users_each_see_only_their_own(visit, smears):
    one, other = visit(), visit()
    upload(one, smears[0])
    upload(other, smears[1])
    shown(one, "first.png")
    shown(other, "second.png")
    expect(one.locator(".file .text b")).to_have_text(["first.png"])
    expect(other.locator(".file .text b")).to_have_text(["second.png"])
    assert picture(one) != picture(other)


def test_a_cell_chosen_in_the_list_is_marked_on_the_image_and_the_other_way_round(visit, smears):
    page = visit()
    read(page, smears[0])
    before = picture(page)
    page.locator(".cell").nth(1).click()
    page.locator(".measures", has_text="Cell 2").wait_for()
    assert picture(page) != before
    page.keyboard.press("Escape")
    page.locator(".measures").wait_for(state="hidden")
    (record,) = json.loads(saved(page, "json"))
    page.keyboard.press("0")
    view = page.locator("canvas.view")
    view.scroll_into_view_if_needed()
    box = view.bounding_box()
    scale = min(box["width"] / record["width"], box["height"] / record["height"])
    x0, y0, x1, y1 = record["cells"][1]["box"]
    x = box["x"] + (box["width"] - record["width"] * scale) / 2 + (x0 + x1) / 2 * scale
    y = box["y"] + (box["height"] - record["height"] * scale) / 2 + (y0 + y1) / 2 * scale
    page.mouse.click(x, y)
    expect(page.locator('.cell[aria-selected="true"]')).to_have_count(1)


def test_the_wheel_zooms_dragging_moves_and_a_double_click_restores(visit, smears):
    page = visit()
    read(page, smears[0])
    zoom, view = page.locator(".zoom output"), page.locator("canvas.view")
    start, at_rest = zoom.text_content(), picture(page)
    box = view.bounding_box()
    # A pan of the whole field draws no outline anew: of hundreds of cells each step would take a fifth of a second.
    page.evaluate(
        """() => {
            window.strokes = 0;
            for (const { prototype } of [CanvasRenderingContext2D, OffscreenCanvasRenderingContext2D]) {
                const own = prototype.stroke;
                prototype.stroke = function (...rest) { window.strokes += 1; return own.apply(this, rest); };
            }
        }"""
    )
    page.mouse.move(box["x"] + 6, box["y"] + 6)
    page.mouse.down()
    page.mouse.move(box["x"] + 46, box["y"] + 46, steps=6)
    page.mouse.up()
    assert picture(page) != at_rest
    assert page.evaluate("window.strokes") < 2 * page.locator(".cell").count()
    page.mouse.dblclick(box["x"] + 5, box["y"] + 5)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.wheel(0, -400)
    page.wait_for_timeout(300)
    assert int(zoom.text_content().split()[0]) > int(start.split()[0])
    zoomed = picture(page)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 90, box["y"] + box["height"] / 2 + 40, steps=4)
    page.mouse.up()
    assert picture(page) != zoomed
    page.mouse.dblclick(box["x"] + 5, box["y"] + 5)
    page.mouse.move(0, 0)
    expect(zoom).to_have_text(start)
    assert picture(page) == at_rest


def test_the_keyboard_is_enough(visit, smears):
    page = visit()
    read(page, *smears[:2])
    page.locator('.file[data-state="read"]').nth(1).wait_for()
    page.keyboard.press("n")
    shown(page, "second.png")
    page.keyboard.press("p")
    shown(page, "first.png")
    page.keyboard.press("j")
    page.locator(".measures", has_text="Cell 1").wait_for()
    page.keyboard.press("j")
    page.locator(".measures", has_text="Cell 2").wait_for()
    page.keyboard.press("k")
    page.locator(".measures", has_text="Cell 1").wait_for()
    for state in ("off", "on"):
        page.keyboard.press("h")
        expect(page.locator(".leuk .live")).to_contain_text(re.compile(f"Heat map.* {state}$"))
    # The types are one stop; arrows go to them, which gives the cell none yet.
    types = page.get_by_role("radiogroup", name="Type of this cell").get_by_role("radio")
    expect(types).to_have_count(len(TITLES))
    assert types.evaluate_all("all => all.filter(e => e.tabIndex === 0).map(e => e.ariaChecked)") == ["true"]
    suggested = page.locator('[data-set][aria-checked="true"]')
    before = suggested.get_attribute("data-set")
    suggested.focus()
    page.keyboard.press("ArrowRight")
    expect(types.nth(list(TITLES).index(before) + 1)).to_be_focused()
    expect(suggested).to_have_attribute("data-set", before)
    page.keyboard.press("Space")
    expect(suggested).not_to_have_attribute("data-set", before)
    expect(suggested).to_be_focused()
    page.keyboard.press("z")
    # Rows of the count are buttons in a list, and measures say what they are.
    rows = page.locator(".differential").get_by_role("list").get_by_role("listitem")
    expect(rows.first.get_by_role("button")).to_have_count(1)
    expect(page.locator(".measures .row", has_text="N:C ratio")).to_contain_text("nucleus area over cell area")
    page.keyboard.press("Shift+?")
    page.locator("dialog.help[open]").wait_for()
    page.keyboard.press("Escape")
    page.locator("dialog.help").wait_for(state="hidden")
    # Tab reaches everything, in the order of the page, and shows where it is, clear of the page's head and foot.
    page.locator('[data-do="help"]').focus()
    names = []
    head, foot = page.get_by_test_id("stHeader").bounding_box()["height"], footer(page).bounding_box()["y"]
    for key in ["Tab"] * 14 + ["Shift+Tab"] * 12:
        page.keyboard.press(key)
        names.append(
            page.evaluate(
                """() => {
                    let e = document.activeElement;
                    while (e.shadowRoot?.activeElement) e = e.shadowRoot.activeElement;
                    const seen = e.type === 'checkbox' ? e.nextElementSibling : e;
                    const style = getComputedStyle(seen);
                    const ring = style.outlineStyle !== 'none' && style.outlineWidth !== '0px';
                    const { top, bottom } = e.getBoundingClientRect();
                    return [e.classList[0] || e.dataset.do || e.type, ring, top, bottom];
                }"""
            )
        )
    kinds = [kind for kind, *_ in names]
    hidden = [name for name in names if name[0] and name[0] != "view" and (name[2] < head or name[3] > foot)]
    assert hidden == []
    assert kinds.index("view") < kinds.index("chip") < kinds.index("checkbox") < kinds.index("range")
    # Past its last element the page hands the focus to the browser, which reads as an element without a name.
    assert [kind for kind, visible, *_ in names if kind and not visible] == []


def test_a_phone_needs_no_sideways_scrolling_and_no_small_fingers(visit, smears):
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    read(page, smears[0])
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    small = page.locator(
        ".leuk button:visible, .leuk .switch:visible, .leuk select:visible, .strip button:visible"
    ).evaluate_all(
        """all => all.map(e => [e.textContent.trim() || e.ariaLabel, e.getBoundingClientRect()])
            .filter(([, b]) => b.height < 40 || b.width < 40 || b.right > 390.5)
            .map(([name, b]) => [name, b.width, b.height])"""
    )
    assert small == []
    expect(footer(page)).to_be_visible()


def test_a_low_or_narrow_window_is_for_the_image(visit, smears):
    page = visit(viewport={"width": 768, "height": 1024})
    read(page, smears[0])
    tops = [page.get_by_role("button", name=name).bounding_box()["y"] for name in ("Samples", "Settings")]
    assert tops[0] == tops[1]
    page.set_viewport_size({"width": 720, "height": 450})
    page.wait_for_timeout(500)
    top, foot = page.locator(".stage").bounding_box()["y"], footer(page).bounding_box()["y"]
    assert foot - top > 170


def test_a_sample_is_one_click_and_says_that_it_is_synthetic(visit):
    page = visit()
    page.get_by_role("button", name="Red cells only, no white cell").click()
    shown(page, "synthetic-red-cells-only.png")
    assert "Synthetic" in page.locator(".facts").text_content()


def test_removing_the_last_file_leads_back_to_the_start(visit, smears):
    page = visit()
    read(page, smears[0])
    page.get_by_role("button", name="Remove first.png").click()
    page.get_by_role("heading", name="Read a smear").wait_for()
    expect(page.locator("canvas.view")).to_have_count(0)


LEAVING = """() => {
    const event = new Event("beforeunload", { cancelable: true });
    window.dispatchEvent(event);
    return event.defaultPrevented;
}"""


def asks(page):
    """Whether leaving the page would ask first."""
    return page.evaluate(LEAVING)


def test_what_was_changed_is_not_lost_unasked(visit, smears):
    page = visit()
    read(page, *smears)
    page.locator('.file[data-state="read"]').nth(2).wait_for()
    assert not asks(page)
    page.locator(".cell").nth(0).click()
    page.keyboard.press("3")
    assert asks(page)
    # Changes are kept while another page is looked at, and so is the question.
    for other in ("Models", "Explorer"):
        page.get_by_role("link", name=other).click()
        page.locator(".strip").wait_for(state="detached")
        footer(page).wait_for()
        page.wait_for_function(LEAVING)
    page.get_by_role("link", name="Review").click()
    shown(page, "first.png")
    # Removing a file with changes takes a second press, by the mouse or by Delete; then nothing is left to ask about.
    file = page.locator(".file", has_text="first.png")
    file.get_by_role("button").click()
    expect(file).to_contain_text("1 change would be lost")
    expect(page.locator(".strip .live")).to_contain_text("Press again to remove")
    assert page.locator(".file").count() == 3
    file.focus()
    page.keyboard.press("Delete")
    expect(page.locator(".file")).to_have_count(2)
    expect(page.locator(".file").nth(0)).to_be_focused()
    assert not asks(page)
    # One without changes goes at once.
    page.locator(".file").nth(1).get_by_role("button").click()
    expect(page.locator(".file")).to_have_count(1)
    expect(page.locator(".file")).to_be_focused()


def test_removing_all_takes_a_second_press(visit, smears):
    page = visit()
    read(page, *smears[:2])
    page.locator(".cell").nth(0).click()
    page.keyboard.press("3")
    clear = page.locator('[data-all="clear"]')
    clear.click()
    expect(clear).to_have_text("Remove all 2?")
    assert page.locator(".file").count() == 2
    clear.click()
    page.get_by_role("heading", name="Read a smear").wait_for()
    assert not asks(page)


def saved(page, kind):
    page.locator(".menu summary").click()
    with page.expect_download() as waiting:
        page.locator(f'[data-do="save-{kind}"]').click()
    return waiting.value.path().read_bytes().decode("utf-8-sig")


def all_saved(page, kind):
    with page.expect_download() as waiting:
        page.locator(f'[data-all="{kind}"]').click()
    return waiting.value.path().read_bytes().decode("utf-8-sig")


def count_of(page, kind):
    row = page.locator(f'.shares [data-type="{kind}"]')
    return int(row.locator(".c").text_content()) if row.count() else 0


def test_a_type_changed_by_key_or_click_moves_the_count_and_reaches_every_download(visit, smears):
    page = visit()
    read(page, smears[0])
    cells = page.locator(".cell").count()
    assert saved(page, "csv") == all_saved(page, "csv")
    page.locator(".cell").nth(0).click()
    page.locator(".measures", has_text="Cell 1").wait_for()
    page.keyboard.press("3")
    page.locator('[data-set="eosinophil"][aria-checked="true"]').wait_for()
    assert count_of(page, "eosinophil") == 1
    page.locator(".cell").nth(1).click()
    page.locator('[data-set="eosinophil"]').click()
    assert count_of(page, "eosinophil") == 2
    scale = page.locator(".scale input")
    for slip in ("0", "-1", "0.0001", "wide"):
        scale.fill(slip)
        scale.press("Enter")
        expect(page.locator(".scale")).to_contain_text("not taken: 0.001 to 10 µm per pixel")
        expect(scale).to_be_focused()
    scale.fill("0,25")
    scale.press("Tab")
    expect(page.locator(".scale")).to_contain_text("µm per pixel, entered")
    page.locator(".measures .table", has_text="µm").wait_for()
    (mine,), (kept,) = json.loads(saved(page, "json")), json.loads(all_saved(page, "json"))
    assert mine == kept
    assert [cell["type"] for cell in mine["cells"][:2]] == ["eosinophil"] * 2
    assert mine["differential"].items() >= report.count_types([cell["type"] for cell in mine["cells"]]).items()
    assert mine["scale"]["source"] == "entered"
    ours, theirs = (
        list(csv.DictReader(io.StringIO(text, newline=""))) for text in (saved(page, "csv"), all_saved(page, "csv"))
    )
    assert ours == theirs
    assert len(ours) == cells
    assert [row["type_source"] for row in ours[:3]] == ["corrected", "corrected", "suggested"]
    for _ in range(3):
        page.locator('[data-do="undo"]').click()
    assert count_of(page, "eosinophil") == sum(c["suggested_type"] == "eosinophil" for c in mine["cells"])
    assert page.locator('[data-do="undo"]').is_disabled()
    assert json.loads(saved(page, "json"))[0]["cells"][0]["type_source"] == "suggested"


def test_the_cells_of_all_files_are_counted_together(visit, smears, tmp_path):
    page = visit()
    twin = tmp_path / "twin.png"
    twin.write_bytes(smears[0].read_bytes())
    read(page, *smears[:2])
    upload(page, twin)
    page.locator(".strip .sum", has_text="3 files · 3 read").wait_for(timeout=120_000)
    choose(page, smears[0].name)
    page.locator(".cell").nth(0).click()
    page.keyboard.press("3")
    page.get_by_role("radio", name="All 2 files").click()
    expect(page.get_by_role("radio", name="All 2 files")).to_be_focused()
    expect(page.locator(".differential")).to_contain_text("1 file repeats another and is left out")
    records = json.loads(all_saved(page, "json"))
    assert records[0]["cells"][0]["type"] == "eosinophil"
    count = report.pooled_count(report.pooled(records[:2]))

    def shares():
        return {
            row.get_attribute("data-type"): int(row.locator(".c").inner_text())
            for row in page.locator(".shares [data-type]").all()
        }

    counts = {key: one["count"] for key, one in count["types"].items()}
    assert shares() == counts
    # It is the same from whichever file it is looked at, and not one of them is a button that sifts this one's cells.
    choose(page, smears[1].name)
    expect(page.get_by_role("radio", name="All 2 files")).to_be_checked()
    assert shares() == counts
    choose(page, twin.name)
    expect(page.get_by_role("radio", name="All 2 files")).to_be_checked()
    assert shares() == counts
    kinds = [cell["type"] for one in records[:2] for cell in one["cells"]]
    expect(page.locator(".differential")).to_contain_text(f"1 of {len(kinds)} types is changed or confirmed by you.")
    choose(page, smears[1].name)
    assert page.locator(".shares button").count() == 0
    with page.expect_download() as started:
        page.get_by_role("button", name="Save CSV").click()
    assert started.value.suggested_filename == "leuk_count_of_2_files.csv"
    rows = list(csv.DictReader(io.StringIO(started.value.path().read_text(encoding="utf-8-sig"), newline="")))
    assert {row["type"]: int(row["count"]) for row in rows} == counts | count["beside"]
    assert {row["type"]: float(row["share"]) for row in rows if row["share"]} == {
        key: one["share"] for key, one in count["types"].items()
    }
    page.keyboard.press("Tab")
    page.get_by_role("radio", name="All 2 files").press("ArrowLeft")
    expect(page.get_by_role("radio", name="This file")).to_be_focused()
    assert sum(shares().values()) == records[1]["differential"]["total"]
    # Where not all are counted it says so, and why: what was drawn is no patient's, and some can't be read.
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    upload(page, broken)
    shown(page, broken.name)
    page.get_by_role("button", name="Samples").click()
    page.get_by_role("button", name="Pre-B-like field", exact=True).click()
    page.locator(".strip .sum", has_text="5 files · 4 read · 1 refused").wait_for(timeout=120_000)
    page.keyboard.press("Escape")
    choose(page, smears[0].name)
    page.get_by_role("radio", name="2 of 4 files").click()
    for said in ("1 file repeats another", "1 synthetic file is counted apart", "1 file is not read"):
        expect(page.locator(".differential")).to_contain_text(said)
    assert shares() == counts


def test_what_was_changed_and_saved_is_taken_up_again(visit, smears, tmp_path):
    page = visit()
    read(page, smears[0])
    upload(page, smears[1])
    page.locator(".strip .sum", has_text="2 files · 2 read").wait_for(timeout=120_000)
    choose(page, smears[0].name)
    page.locator(".cell").nth(0).click()
    page.keyboard.press("3")
    page.locator(".scale input").fill("0.2")
    page.locator(".scale input").press("Enter")
    choose(page, smears[1].name)
    page.locator(".cell").nth(1).click()
    page.keyboard.press("4")
    readings = tmp_path / "leuk_readings.json"
    readings.write_text(all_saved(page, "json"), encoding="utf-8")
    before = json.loads(readings.read_text(encoding="utf-8"))

    again = visit()
    upload(again, readings)
    toast = again.get_by_test_id("stToast")
    expect(toast).to_contain_text("2 types and 1 scale that you gave before hold again for the same photographs")
    read(again, smears[0])
    upload(again, smears[1])
    again.locator(".strip .sum", has_text="2 files · 2 read").wait_for(timeout=120_000)
    choose(again, smears[0].name)
    # The second was not looked at, and is as it was left all the same.
    assert json.loads(all_saved(again, "json")) == before
    assert json.loads(saved(again, "json")) == before[:1]
    expect(again.locator(".scale input")).to_have_value("0.2")
    # It is in a file of the user's own, so leaving loses nothing, until something is changed.
    assert asks(again) is False
    again.locator(".cell").nth(0).click()
    again.keyboard.press("7")
    assert asks(again) is True
    assert [one["cells"][i]["type"] for i, one in enumerate(json.loads(all_saved(again, "json")))] == [
        "blast",
        "basophil",
    ]
    # While the file that it is of is looked at: what was changed there stays.
    late = visit()
    read(late, smears[0])
    late.locator(".cell").nth(1).click()
    late.keyboard.press("9")
    upload(late, readings)
    expect(late.locator('.cell[data-cell="1"]')).to_have_attribute("data-type", "eosinophil")
    expect(late.locator('.cell[data-cell="2"]')).to_have_attribute("data-type", "platelet")
    # What a later visit changed holds over what was taken over before, not over what was changed here.
    later = tmp_path / "later.json"
    changed = [report.corrected(one, Review({1: "monocyte", 2: "monocyte"}, 0.3)) for one in before]
    later.write_text(json.dumps(changed), encoding="utf-8")
    upload(late, later)
    expect(late.locator('.cell[data-cell="1"]')).to_have_attribute("data-type", "monocyte")
    expect(late.locator('.cell[data-cell="2"]')).to_have_attribute("data-type", "platelet")
    expect(late.locator(".scale input")).to_have_value("0.3")
    assert json.loads(all_saved(late, "json")) == json.loads(saved(late, "json"))
    # Behind a change that is undone stands what was taken over since.
    late.keyboard.press("z")
    expect(late.locator('.cell[data-cell="2"]')).to_have_attribute("data-type", "monocyte")


def test_a_doubtful_type_is_confirmed_and_what_is_undone_is_shown(visit, tmp_path):
    path = tmp_path / "many.png"
    Image.fromarray(generate(11, 640, 480, style="pre", cells=30, cell_diameter=60).image.pixels).save(path)
    page = visit()
    read(page, path)
    (record,) = json.loads(saved(page, "json"))
    count = len(record["cells"])
    assert count > 24
    # At its end the list keeps the focus.
    on = page.get_by_role("button", name="Next page of cells")
    on.focus()
    for _ in range(2):
        page.keyboard.press("Enter")
    expect(on).to_be_focused()
    assert on.get_attribute("aria-disabled") == "true"
    expect(page.locator(".pager span")).to_have_text("2 of 2")
    page.locator(".show select").select_option("unsure")
    doubtful = [int(cell.get_attribute("data-cell")) for cell in page.locator(".cell").all()]
    assert len(doubtful) > 1
    first = record["cells"][doubtful[0] - 1]
    page.locator(".cell").nth(0).click()
    page.locator('[data-set][aria-checked="true"]').click()
    expect(page.locator(".cell")).to_have_count(len(doubtful) - 1)
    expect(page.locator(".measures .says")).to_have_text("confirmed by you")
    expect(page.locator(".differential")).to_contain_text("1 confirmed by you")
    page.wait_for_timeout(1500)
    (mine,), (kept,) = json.loads(saved(page, "json")), json.loads(all_saved(page, "json"))
    assert mine == kept == report.corrected(record, Review({doubtful[0]: first["type"]}))
    rows = list(csv.DictReader(io.StringIO(saved(page, "csv"), newline="")))
    assert [row["type_source"] for row in rows].count("confirmed") == 1
    assert rows[doubtful[0] - 1]["type_source"] == "confirmed"
    # From another page of the list, the cell whose change is undone is gone to, and named.
    page.locator(".show select").select_option("all")
    page.keyboard.press("Escape")
    far = count if doubtful[0] <= 24 else 1
    page.locator("canvas.view").focus()
    page.keyboard.press("k" if far == count else "j")
    expect(page.locator(".measures h3")).to_have_text(f"Cell {far}")
    page.keyboard.press("z")
    expect(page.locator(".measures h3")).to_have_text(f"Cell {doubtful[0]}")
    expect(page.locator('.cell[aria-selected="true"]')).to_have_attribute("data-cell", str(doubtful[0]))
    title = TITLES[first["type"]]
    expect(page.locator(".leuk .live")).to_have_text(f"Undone: cell {doubtful[0]} is {title} again, as suggested")
    assert json.loads(saved(page, "json")) == [record]


def test_the_page_counts_and_says_what_python_does(browser):
    """Both write readings: what follows from cells is the same to the letter."""

    def cell(kind, blast, source="suggested"):
        chances = {"blast": blast, "lymphocyte": 1 - blast}
        return {"type": kind, "suggested_type": "lymphocyte", "type_source": source, "type_probabilities": chances}

    few = [cell("blast", 0.83), cell("lymphocyte", 0.2), cell("unidentified", 0.44), cell("platelet", 0.1)]
    many = [cell("blast", 0.9)] + [cell("lymphocyte", 0.08)] * 249
    nearly = [cell("blast", 0.999)] * 249 + [cell("lymphocyte", 0.9)]
    bare = [{"type": "unidentified", "suggested_type": None, "type_source": "corrected"}, {}]
    lists = [
        few, many, nearly, bare, [], few[:1], few[1:2], few[3:], few[2:3], [cell("monocyte", 0.7, "corrected")],
        [cell("lymphocyte", 0.7, "confirmed")], [cell("unidentified", 0.7, "corrected"), *few],
        [cell("lymphocyte", 0.9, "confirmed"), *few], [cell("blast", 0.9, "corrected"), *few],
        [cell("blast", 1)], [cell("lymphocyte", 0)], [cell("artefact", 0.9, "corrected")],
    ]  # fmt: skip
    records = [
        {
            "suggestion": suggestion, "outside": outside, "cut_out": cut_out, "scale": scale, "cells": cells,
            "probabilities": {"benign": 0.6, "pre_b": 0.4},
        }
        for cells in lists
        for scale in (None, {"source": "estimated"})
        for suggestion, outside, cut_out in (
            ("benign", False, False), ("pre_b", False, False), ("cannot_tell", False, False),
            ("cannot_tell", True, False), ("cannot_tell", True, True),
        )
    ]  # fmt: skip
    told = [report.corrected(record, Review()) for record in records]
    page = browser.new_page()
    text = (ROOT / "pages/components/cells.js").read_text(encoding="utf-8")
    page.evaluate(
        f"""() => {{
            {text};
            Object.assign(window, {{ poolCount: pooledCount, poolSays: fromPool }});
            window.tell = (record) => {{
                const types = record.cells.map((cell) => cell.type).filter(Boolean);
                if (!types.length) return record;
                const differential = {{ ...countTypes(types), expected_blasts: expectedBlasts(record.cells) }};
                return {{ ...record, differential, from_cells: fromCells({{ ...record, differential }}) }};
            }};
        }}"""
    )
    assert page.evaluate("records => records.map(window.tell)", records) == told
    # A file and the others together.
    for at in range(len(told)):
        pool = report.pooled({**one, "sha256": str(i)} for i, one in enumerate(told[at + 1 : at + 4]))
        both = report.pooled({**one, "sha256": str(i)} for i, one in enumerate(told[at : at + 4]))
        count = report.pooled_count(both)
        seen, note = page.evaluate(
            """([record, others]) => {
                const { pool, count } = window.poolCount(record, others);
                return [count, window.poolSays(pool, count)];
            }""",
            [told[at], pool],
        )  # fmt: skip
        assert (note or None) == report.from_pool(both, count)
        # The sum's last digit is that of the order in which it was added up.
        assert seen.pop("expected_blasts") == pytest.approx(count.pop("expected_blasts"), abs=1.1e-4)
        assert seen == count
    said = {record.get("from_cells") for record in told}
    assert len(said) > 25
    assert any("< 1 % are called blasts" in text for text in said if text)
    assert not any("probability of 0 %" in text or "probability of 100 %" in text for text in said if text)
    assert "Changed by you to smudge or artefact." in said
    page.close()


def test_what_was_changed_a_moment_ago_is_in_the_downloads_of_all_files(visit, smears):
    page = visit()
    read(page, smears[0])
    page.locator(".cell").nth(0).click()
    # The first change and later ones, each with a download in the same breath.
    for turn, key in enumerate("343434"):
        with page.expect_download() as waiting:
            page.locator(f'[data-all="{("json", "csv")[turn % 2]}"]').evaluate(
                """(button, key) => {
                    document.dispatchEvent(new KeyboardEvent("keydown", { key }));
                    button.click();
                }""",
                key,
            )
        data = waiting.value.path().read_text("utf-8-sig")
        first = (
            json.loads(data)[0]["cells"][0] if turn % 2 == 0 else next(csv.DictReader(io.StringIO(data, newline="")))
        )
        assert first["type"] == {"3": "eosinophil", "4": "basophil"}[key]


@pytest.fixture
def alone(browser):
    """Show an analysis in the viewer by itself: without a server, and with whatever numbers a test needs."""
    pages = []

    def show(analysis, width=1440):
        page = browser.new_page(viewport={"width": width, "height": 900})
        pages.append(page)
        html, css, cells, viewer = (
            (ROOT / "pages/components" / name).read_text(encoding="utf-8")
            for name in ("viewer.html", "viewer.css", "cells.js", "viewer.js")
        )
        page.set_content(f"<style>{css}</style>{html}")
        data = overlay.to_bytes(
            overlay.pack(analysis, "x.png"), key="1/1", name="x.png", state="read", error="", synthetic=False, index=0,
            total=1, labels={}, explainers={}, review_key="1/x", scale_key="1/scale",
            scale_keys=["1/scale"], others=report.pooled([]), given=None,
            one_outline=report.has_one_outline(analysis.segmentation.method),
            colors=overlay.color_table().tobytes().hex(),
            model_title="Leuk reader", method_title="Dye and closed path, redrawn (Leuk)",
        )  # fmt: skip
        page.evaluate(
            """async ([code, data]) => {
                const script = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
                const { default: show } = await import(script);
                const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
                show({ data: bytes, parentElement: document.body, setTriggerValue() {}, setStateValue() {} });
            }""",
            [cells + viewer, base64.b64encode(data).decode()],
        )  # fmt: skip
        page.locator('.leuk[data-ready="true"]').wait_for()
        return page

    yield show
    for page in pages:
        page.close()


def told_as(analysis, kind, p):
    """Give each cell of an analysis a type, with this probability."""
    rest = (1 - p) / (len(TYPES) - 1)
    kinds = [
        CellType(c.label, kind, tuple(p if key == kind else rest for key in TYPES)) for c in analysis.segmentation.cells
    ]
    return replace(analysis, cell_types=tuple(kinds))


def test_a_model_is_never_certain(alone):
    page = alone(told_as(make(suggestion="benign", probabilities=(1.0, 0.0, 0.0, 0.0)), "blast", 1.0))
    expect(page.locator(".bar .v")).to_have_text(["> 99.9 %", "< 0.1 %", "< 0.1 %", "< 0.1 %"])
    expect(page.locator(".confirm")).to_contain_text("Probability > 99.9 %")
    expect(page.locator(".any b")).to_have_text("< 0.1 %")
    page.locator(".sort select").select_option("suspicion")
    expect(page.locator(".cell span").nth(0)).to_have_text("Blast > 99 %")
    expect(page.locator(".cell").first.locator("span")).to_have_count(1)
    page.locator(".cell").first.click()
    expect(page.locator(".measures .says")).to_have_text(re.compile("blast > 99.9 %, .* < 0.1 %"))
    # A share of heat or of cells may be all there is.
    expect(page.locator(".shares .v").first).to_contain_text("100 %")
    page = alone(told_as(make(), "lymphocyte", 1.0))
    page.locator(".sort select").select_option("suspicion")
    expect(page.locator(".cell").first.locator("span")).to_have_text(["Lymph > 99 %", "blast < 0.1 %"])


def test_a_scale_is_held_against_the_red_cells(alone):
    page = alone(replace(make(), scale=Scale(0.1, "estimated", 155)))
    scale, box = page.locator(".scale"), page.get_by_role("textbox", name="Micrometres per pixel")
    expect(page.locator(".measures")).to_be_hidden()
    expect(scale).to_contain_text("estimated from 155 red cells of 7.5 µm")
    wide = "Red cells would be 15 µm wide, not 7.5: check it"
    for entered, warned in (("0.2", wide), ("0.06", "4.5 µm"), ("0.14", None)):
        box.fill(entered)
        box.press("Enter")
        expect(scale).to_contain_text("entered (0.1 by 155 red cells)")
        expect(scale.locator(".warn")).to_have_count(1 if warned else 0)
        if warned:
            expect(scale.locator(".warn")).to_contain_text(warned)
    box.fill("")
    box.press("Enter")
    expect(scale).to_contain_text("estimated from 155 red cells")


def test_the_scale_bar_is_as_long_as_it_says(alone):
    page = alone(replace(make(heat=None), scale=Scale(0.2, "estimated", 9)))
    bar = page.locator(".bar-of-scale")

    def micrometres(words):
        """What the bar says, and how wide it is on the screen."""
        told = re.fullmatch(words, bar.locator("span").inner_text())
        assert told is not None, bar.locator("span").inner_text()
        return float(told[1]), bar.locator("i").bounding_box()["width"]

    said, wide = micrometres(r"≈ (\d+) µm")
    zoom = float(page.locator(".zoom output").inner_text().rstrip(" %")) / 100
    assert 40 < wide <= 130
    assert wide / zoom * 0.2 == pytest.approx(said, rel=0.02)
    for _ in range(6):
        page.keyboard.press("+")
    closer, wide = micrometres(r"≈ ([\d.]+) µm")
    assert 40 < wide <= 130
    assert closer < said
    # What a person entered is no estimate.
    page.locator(".scale input").fill("0.4")
    page.locator(".scale input").press("Enter")
    twice, other = micrometres(r"([\d.]+) µm")
    assert other / wide == pytest.approx(twice / closer / 2, rel=0.02)
    # At the closest even a micrometre would be wider than that.
    page.locator(".scale input").fill("0.1")
    page.locator(".scale input").press("Enter")
    page.locator("canvas.view").focus()
    for _ in range(12):
        page.keyboard.press("+")
    tenths, wide = micrometres(r"(0\.\d) µm")
    zoom = float(page.locator(".zoom output").inner_text().rstrip(" %")) / 100
    assert 40 < wide <= 130
    assert wide / zoom * 0.1 == pytest.approx(tenths, rel=0.02)


def test_the_strip_beside_a_measure_rests_on_whole_cells(alone):
    analysis = make()
    first, *rest = analysis.segmentation.cells
    cells = (replace(first, touches_border=True), *(replace(cell, touches_border=False) for cell in rest))
    page = alone(replace(analysis, segmentation=replace(analysis.segmentation, cells=cells)))
    strip = page.locator(".measures .spread").first
    page.locator(".cell").nth(0).click()
    label = re.compile(r"^Cell diameter: above \d+ % of 3 cells; median .* px; without 1 cut by the edge$")
    expect(strip).to_have_attribute("aria-label", label)
    expect(strip.locator(".here")).to_have_count(1)
    page.locator(".cell").nth(1).click()
    page.keyboard.press("x")
    label = re.compile(r" of 2 cells; .* px; without 1 cut by the edge and 1 smudge or artefact$")
    expect(strip).to_have_attribute("aria-label", label)
    expect(strip.locator(".here")).to_have_count(1)


def test_where_one_outline_is_nucleus_and_cell_nothing_is_told_of_either_by_itself(alone):
    analysis = make()
    cells = tuple(replace(cell, nucleus_area=cell.area, nc_ratio=1.0) for cell in analysis.segmentation.cells)
    found = replace(analysis.segmentation, cells=cells, method="otsu_green")
    page = alone(replace(analysis, segmentation=found))
    expect(page.locator(".cell").first).not_to_have_attribute("aria-label", re.compile("N to C"))
    page.locator(".cell").first.click()
    expect(page.locator(".measures .warn")).to_contain_text(["One outline for nucleus and cell: no N:C ratio"])
    for title in ("Nucleus diameter", "N:C ratio", "Nuclear lobes", "Nucleus off centre"):
        expect(page.locator(".measures .row", has_text=title).locator("b")).to_have_text("–")
    expect(page.locator(".measures .row", has_text="Cell diameter").locator("b")).to_contain_text("px")
    page.locator(".sort select").select_option("nucleus_area")
    expect(page.locator(".cell span").first).to_have_text("–")


def test_cells_are_those_found_and_white_cells_those_counted(alone):
    page = alone(told_as(make(cells=1, suggestion="cannot_tell", outside=True), "blast", 0.9))
    title, count, live = page.locator(".gallery h3"), page.locator(".differential .quiet"), page.locator(".leuk .live")
    expect(live).to_contain_text("x.png: 1 cell.")
    assert " 1 cell found." in page.locator("canvas.view").get_attribute("aria-label")
    expect(count).to_contain_text("Rests on 1 white cell; 200 are usual. Ranges are")
    page.locator(".cell").click()
    for key, word in (("8", "erythroblast"), ("x", "smudge or artefact")):
        page.keyboard.press(key)
        expect(title).to_have_text("Cells · 1")
        expect(count).to_have_text(f"No white cell is counted. Not counted: 1 {word}.")
        # That a person said so is told, though nothing is left to count.
        expect(page.locator(".from-cells")).to_have_text(f"Changed by you to {word}.")


@pytest.mark.parametrize("width", [1440, 390])
def test_a_field_read_in_tiles_says_so_and_its_facts_are_never_cut(alone, width):
    analysis = make()
    tiles = analysis.prediction.tiles * 6
    page = alone(replace(analysis, prediction=replace(analysis.prediction, tiles=tiles)), width)
    expect(page.locator(".reading")).to_contain_text("The field is read in 6 tiles, not cell by cell, by Leuk reader.")
    expect(page.locator(".votes")).to_contain_text("Read in 6 tiles")
    facts = page.locator(".facts")
    expect(facts).to_have_text(
        "160 × 120 px · Leuk reader · read in 6 tiles · cells: Dye and closed path, redrawn (Leuk)"
    )
    wide, high, line = facts.evaluate(
        "e => [e.scrollWidth <= e.clientWidth, e.scrollHeight, parseFloat(getComputedStyle(e).lineHeight)]"
    )
    assert wide
    assert high < 2.5 * line
    expect(alone(make()).locator(".reading")).to_contain_text("The field is read as a whole, not cell by cell")


def test_a_smudge_is_left_out_and_the_keys_go_on_through_a_sifted_list(visit, smears):
    page = visit()
    read(page, smears[0])
    cells = page.locator(".cell").count()
    for number in range(cells):
        page.locator(".cell").nth(number).click()
        page.keyboard.press("5")
    page.locator(".show select").select_option("lymphocyte")
    labels = [cell.get_attribute("data-cell") for cell in page.locator(".cell").all()]
    assert len(labels) == cells >= 3
    page.locator(".cell").nth(1).click()
    page.keyboard.press("x")
    expect(page.locator(".cell")).to_have_count(cells - 1)
    expect(page.locator(".differential")).to_contain_text(f"Rests on {cells - 1} white cell")
    expect(page.locator(".differential")).to_contain_text("Not counted: 1 smudge or artefact")
    page.keyboard.press("j")
    expect(page.locator('.cell[aria-selected="true"]')).to_have_attribute("data-cell", labels[2])
    (mine,) = json.loads(saved(page, "json"))
    assert mine["cells"][int(labels[1]) - 1]["type"] == "artefact"
    assert mine["differential"]["beside"] == {"artefact": 1}
    assert mine["differential"].items() >= report.count_types([cell["type"] for cell in mine["cells"]]).items()


def test_where_field_and_cells_disagree_the_count_says_so(visit, smears, tmp_path):
    benign = tmp_path / "benign.png"
    Image.fromarray(generate(3, 224, 224, style="benign", cells=7).image.pixels).save(benign)
    page = visit()
    odds = page.locator(".reading .from-cells")
    read(page, smears[0], benign)
    page.locator('.file[data-state="read"]').nth(1).wait_for()
    for path in (smears[0], benign):
        choose(page, path.name)
        called = json.loads(saved(page, "json"))[0]["suggestion"]
        assert called != "cannot_tell"
        assert (called == "benign") == (path == benign)
        cells = page.locator(".cell").count()
        for kind in ("lymphocyte", "blast"):
            for number in range(cells):
                page.locator(".cell").nth(number).click()
                page.locator(f'[data-set="{kind}"]').click()
            page.locator(f'.shares [data-type="{kind}"]', has_text="100 %").wait_for()
            shown = odds.text_content()
            # The page's own sentence is that of the record, which Python writes first.
            mine = json.loads(saved(page, "json"))[0]
            assert (mine["from_cells"] or "") == (report.from_cells(mine) or "") == shown
            if (kind == "blast") == (called == "benign"):
                expect(page.locator('.file[aria-selected="true"]')).to_contain_text("cells disagree")
                assert f"{cells if kind == 'blast' else 'none'} of {cells} white cells" in shown
                assert ("immunophenotyping" in shown) == (called == "benign")
            else:
                assert shown == ""


def test_outside_what_is_known_the_cells_still_say_how_many_blasts_to_expect(visit, tmp_path):
    foreign = cv2.cvtColor(generate(3, 224, 224, style="pre", cells=7).image.pixels, cv2.COLOR_RGB2HSV)
    foreign[..., 0] = (foreign[..., 0].astype(int) + 20) % 180
    path = tmp_path / "foreign.png"
    Image.fromarray(cv2.cvtColor(foreign, cv2.COLOR_HSV2RGB)).save(path)
    page = visit()
    read(page, path)
    told = page.locator(".reading .from-cells")
    record = json.loads(saved(page, "json"))[0]
    assert record["suggestion"] == "cannot_tell"
    expect(told).to_contain_text(f"expect {round(record['differential']['expected_blasts'] * 100)} %")
    expect(told).to_have_text(record["from_cells"])
    expect(page.locator(".differential .warn")).to_contain_text("check these types")
    for number in range(page.locator(".cell").count()):
        page.locator(".cell").nth(number).click()
        page.locator('[data-set="lymphocyte"]').click()
    expect(told).to_contain_text("expect 0 % to be blasts")
    expect(page.locator(".differential .warn")).to_have_count(0)  # a person has told them all
    # "Unidentified" says only that nobody knows: the cell may be a blast again.
    chosen = record["cells"][-1]["type_probabilities"]["blast"] / len(record["cells"])
    page.keyboard.press("u")
    expect(told).to_contain_text(
        f"none are called blasts; weighing how sure each call is, expect {round(100 * chosen)} %;"
    )
    page.keyboard.press("5")
    expect(told).to_contain_text("expect 0 % to be blasts")
    record = json.loads(saved(page, "json"))[0]
    assert record["differential"]["expected_blasts"] == 0
    assert record["from_cells"] == report.from_cells(record) == told.text_content()
    # Without red cells around it, what passes for a cell may be none; where all are strange, they are none.
    lone = np.full((224, 224, 3), (240, 235, 240), np.uint8)
    cv2.circle(lone, (112, 112), 34, (110, 50, 150), -1)
    for name, pixels, cells in (("lone.png", lone, 1), ("coins.png", skimage.data.coins(), 7)):
        Image.fromarray(pixels).save(tmp_path / name)
        upload(page, tmp_path / name)
        choose(page, name)
        record = json.loads(saved(page, "json"))[0]
        assert (record["suggestion"], len(record["cells"]), record["scale"]) == ("cannot_tell", cells, None)
        if name == "lone.png":
            expect(told).to_contain_text("If it is a white cell, it is a blast with a probability of")
            expect(page.locator(".differential .warn")).to_contain_text("check that these are white cells, and")
        else:
            assert told.text_content() == ""
            expect(page.locator(".reading li").first).to_contain_text("does not look like stained white cells")
            expect(page.locator(".differential")).to_be_hidden()
            # Whoever knows better can say so, and take it back.
            page.locator(".cell").first.click()
            page.locator('[data-set="blast"]').click()
            expect(told).to_contain_text("If these are white cells, expect 100 % of them to be blasts")
            page.locator('[data-do="undo"]').click()
            expect(page.locator(".differential")).to_be_hidden()
            assert told.text_content() == ""


def test_of_a_cell_cut_out_of_its_field_the_cell_alone_is_told_of(visit, tmp_path):
    smear = generate(5, 640, 480, style="pre", cells=6)
    shown = np.where((smear.instances == 3)[..., None], smear.image.pixels, 0).astype(np.uint8)
    x, y, width, height = cv2.boundingRect((smear.instances == 3).astype(np.uint8))
    shown = np.pad(shown[y : y + height, x : x + width], ((30, 30), (30, 30), (0, 0)))
    Image.fromarray(shown).save(tmp_path / "cut.bmp")
    page = visit()
    read(page, tmp_path / "cut.bmp")
    record = json.loads(saved(page, "json"))[0]
    assert (record["suggestion"], len(record["cells"])) == ("cannot_tell", 1)
    expect(page.locator(".reading .lead").first).to_have_text("Cells without their field")
    told = page.locator(".reading .from-cells")
    expect(told).to_contain_text(f"a probability of {round(record['differential']['expected_blasts'] * 100)} %")
    expect(page.locator(".file").first).to_contain_text("cut out: ")
    # What speaks for a class waits until it is asked for.
    expect(page.locator(".heat")).to_be_hidden()
    page.locator(".reading summary").click()
    expect(page.locator(".heat-text")).to_contain_text("this map is of no real field")
    page.locator(".cell").first.click()
    page.locator('[data-set="lymphocyte"]').click()
    expect(told).to_have_text("Changed by you to lymphocyte.")


def test_changes_outlive_a_change_of_file(visit, smears):
    page = visit()
    read(page, *smears[:2])
    page.locator(".cell").nth(0).click()
    page.keyboard.press("3")
    page.locator('.file[data-state="read"]').nth(1).wait_for()
    choose(page, "second.png")
    assert page.locator('[data-do="undo"]').is_disabled()
    choose(page, "first.png")
    assert page.locator('.cell[data-cell="1"]').get_attribute("data-type") == "eosinophil"
    assert count_of(page, "eosinophil") >= 1


def test_a_scale_goes_for_all_files_and_stays_when_cells_are_found_otherwise(visit, smears):
    page = visit()
    read(page, *smears[:2])
    page.locator('.file[data-state="read"]').nth(1).wait_for()

    def scales():
        return [(one["scale"] or {}).get("um_per_px") for one in json.loads(all_saved(page, "json"))]

    before = scales()
    box = page.get_by_role("textbox", name="Micrometres per pixel")
    box.fill("0.2")
    box.press("Enter")
    assert scales() == [0.2, before[1]]
    page.get_by_role("button", name="Use for all 2 files").click()
    expect(box).to_be_focused()
    assert scales() == [0.2, 0.2]
    # It is no change of the other file's that could be lost with it.
    page.locator('[data-do="undo"]').click()
    assert scales() == [0.2, before[1]]
    page.get_by_role("button", name="Use for all 2 files").click()
    page.get_by_role("button", name="Settings").click()
    page.get_by_role("combobox", name=re.compile("Way of finding cells")).click()
    page.get_by_role("option", name="Three-class Otsu on green").click()
    page.keyboard.press("Escape")
    page.locator(".facts", has_text="Three-class Otsu on green").wait_for()
    page.locator('.file[data-state="read"]').nth(1).wait_for()
    expect(box).to_have_value("0.2")
    assert scales() == [0.2, 0.2]
    assert all_saved(page, "csv").startswith(saved(page, "csv"))


def test_files_that_a_reload_loses_are_not_gone_without_a_word(visit, smears):
    page = visit()
    lost = page.get_by_role("status").filter(has_text="the files that were open are gone")
    page.reload()
    page.get_by_test_id("stFileUploaderDropzone").wait_for()
    expect(lost).to_have_count(0)
    read(page, smears[0])
    page.reload()
    expect(lost).to_be_visible()
    read(page, smears[0])
    expect(lost).to_have_count(0)
    # Who removes them knows that they are gone.
    page.locator('[data-all="clear"]').dblclick()
    page.get_by_text("Read a smear").wait_for()
    expect(lost).to_have_count(0)
    page.reload()
    page.get_by_text("Read a smear").wait_for()
    expect(lost).to_have_count(0)


def test_strip_and_viewer_change_in_one_run_with_all_that_it_shows(visit, smears):
    # Two runs could come apart, and Streamlit's references to earlier messages fail if the browser has dropped them.
    page = visit()
    told = []
    page.on(
        "websocket", lambda socket: socket.on("framereceived", lambda frame: told.append(ForwardMsg.FromString(frame)))
    )
    page.reload()
    read(page, *smears[:2])
    page.locator('.file[data-state="read"]').nth(1).wait_for()
    page.get_by_role("button", name="Stop").wait_for(state="detached")
    page.wait_for_timeout(1500)  # a last look at how far the batch is may be on its way
    for name in ("second.png", "first.png"):
        told.clear()
        choose(page, name)
        page.wait_for_timeout(500)
        assert [message.WhichOneof("type") for message in told].count("new_session") == 1
    # A change is told to the server 250 ms later: here just as another file is chosen, whose run it must not undo.
    for turn in range(12):
        page.locator(".cell").nth(0).click()
        page.keyboard.press("34"[turn // 2 % 2])
        page.wait_for_timeout(230 + 3 * turn)
        choose(page, ("second.png", "first.png")[turn % 2])
    assert not any(message.HasField("ref_hash") for message in told)


def test_the_list_is_sorted_and_sifted(visit, smears):
    page = visit()
    read(page, smears[0])
    (record,) = json.loads(saved(page, "json"))

    def labels():
        return [int(v) for v in page.locator(".cell").evaluate_all("all => all.map(e => e.dataset.cell)")]

    for key in ("indentation", "diameter", "chromatin_texture"):
        page.locator(".sort select").select_option(key)
        values = [record["cells"][label - 1][key] for label in labels()]
        assert values == sorted(values)
    page.locator(".sort select").select_option(label="probability of a blast")
    for most_first in (True, False):
        values = [record["cells"][label - 1]["type_probabilities"]["blast"] for label in labels()]
        assert values == sorted(values, reverse=most_first)
        page.locator('[data-do="reverse"]').click()
    # What a person told counts: no blast comes last, and the blast's probability stands beside it no longer.
    first = page.locator(".cell").first
    label = first.get_attribute("data-cell")
    first.click()
    page.keyboard.press("1")
    expect(page.locator(".cell").last).to_have_attribute("data-cell", label)
    expect(page.locator(".cell").last).to_contain_text("told by you")
    page.locator('[data-do="undo"]').click()
    expect(page.locator(".cell").first).to_have_attribute("data-cell", label)
    # The chosen cell is seen close up; what is sifted out may lie beyond.
    page.locator('[data-do="fit"]').click()
    row = page.locator(".shares button").nth(0)
    kind, expected = row.get_attribute("data-type"), int(row.locator(".c").text_content())
    before = picture(page)
    row.click()
    expect(page.locator(".cell")).to_have_count(expected)
    assert set(page.locator(".cell").evaluate_all("all => all.map(e => e.dataset.type)")) == {kind}
    if expected < len(record["cells"]):
        assert picture(page) != before
    page.locator(".shares button").nth(0).click()
    expect(page.locator(".cell")).to_have_count(len(record["cells"]))


def test_a_reading_by_cells_says_so_and_shows_their_votes(visit, smears):
    page = visit()
    page.get_by_role("button", name="Settings").click()
    page.get_by_role("combobox").first.click()
    page.get_by_role("option", name="cell reader").first.click()
    page.keyboard.press("Escape")
    read(page, smears[1])
    votes = page.locator('[data-layer="tiles"]')
    expect(votes).to_contain_text("Cell votes")
    expect(page.get_by_text("each cell read alone")).to_be_visible()
    expect(page.locator(".votes")).to_contain_text("Read cell by cell, 4 cells")
    before = picture(page)
    votes.locator(".switch").click()
    expect(votes.locator("input[type=checkbox]")).to_be_checked()
    assert picture(page) != before
    # It sees nothing around its cells, and by its last maps one would not know where on them it looks.
    heat = page.locator(".heat-text")
    expect(heat).to_contain_text("HiResCAM (Grad-CAM, place by place)")
    expect(heat).not_to_contain_text("around the cells")
    page.get_by_role("button", name="Settings").click()
    page.get_by_role("combobox").nth(2).click()
    page.get_by_role("option", name="Grad-CAM", exact=True).click()
    page.keyboard.press("Escape")
    expect(heat).to_contain_text("often don’t tell where a score comes from")

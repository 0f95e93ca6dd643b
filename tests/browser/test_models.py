import re

from leuk.training.results import short_title, systems
from tests.browser.conftest import expect


def test_models_page_shows_controls_at_first_glance_and_which_reader_review_uses(visit):
    page = visit()
    page.get_by_role("link", name="Models").click()
    page.get_by_text("what a score is worth").wait_for()
    page.locator(".js-plotly-plot").first.wait_for()
    # The point of the page is in sight without scrolling: what a forest that sees no cell gets right.
    said = page.get_by_text(re.compile("sees no cell and gets"))
    said.wait_for()
    assert said.bounding_box()["y"] < 300
    expect(page.get_by_test_id("stDataFrame").first).to_be_visible()
    page.get_by_role("tab", name="Confusion").click()
    page.locator('[role="tabpanel"]:not([hidden]) .js-plotly-plot').first.wait_for()
    here = [row for row in systems() if row.weights]
    note = page.get_by_role("note").filter(has_text="Research use only, not a medical device")
    expect(note).not_to_contain_text("Images")
    box = page.get_by_test_id("stSelectbox").filter(has_text="Reader used on Review")
    expect(box.locator("input")).to_have_value(short_title(here[0]))


def test_models_page_fits_a_phone(visit):
    page = visit(color_scheme="dark")
    page.get_by_role("link", name="Models").click()
    wide, narrow = (page.locator(f".st-key-worth-{width} .js-plotly-plot") for width in ("wide", "narrow"))
    wide.wait_for()
    expect(narrow).to_be_hidden()
    page.set_viewport_size({"width": 390, "height": 844})
    narrow.wait_for()
    expect(wide).to_be_hidden()
    # Names stand on the lines, so that these have the width of the page, all panels together.
    lines = [line.bounding_box() for line in narrow.locator(".ygrid, .y2grid, .y3grid, .y4grid").all()]
    assert max(line["x"] + line["width"] for line in lines) - min(line["x"] for line in lines) > 300
    # Of the table, a name and the grouped figure with its interval.
    shown = page.locator(".st-key-table-narrow").get_by_test_id("stDataFrame")
    shown.scroll_into_view_if_needed()
    expect(shown).to_be_visible()
    expect(page.locator(".st-key-table-wide")).to_be_hidden()
    heads = shown.locator('[role="columnheader"]').all_text_contents()
    assert heads[:2] == ["System", "Grouped"]
    # A map of all systems would have numbers too small to read.
    page.get_by_role("tab", name="Stress").click()
    table = page.locator(".st-key-stress-narrow").get_by_test_id("stDataFrame")
    table.wait_for()
    expect(page.locator(".st-key-stress-wide .js-plotly-plot")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

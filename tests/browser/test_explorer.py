import csv
import io
import re

import pytest

from tests.browser.conftest import PATIENCE, expect, footer

SLOW = 240_000


@pytest.fixture
def explorer(visit):
    """Open the explorer as a new visitor does: by the link."""

    def opened(**settings):
        page = visit(**settings)
        # On a phone the pages stand in a drawer.
        drawer = page.get_by_test_id("stExpandSidebarButton")
        in_drawer = drawer.is_visible()
        if in_drawer:
            drawer.click()
        page.get_by_role("link", name="Explorer").click()
        if in_drawer:  # which closes by itself
            expect(page.get_by_test_id("stSidebar")).not_to_be_in_viewport()
        page.locator('.panel[data-id="alarms"] .tile img').first.wait_for()
        return page

    return opened


def section_button(page, name):
    group = page.get_by_test_id("stButtonGroup")
    return group.get_by_role("radio", name=name).or_(group.get_by_role("button", name=name)).first


def section(page, name):
    section_button(page, name).click()


def inspecting(page, row=None):
    wanted = '.inspector[data-ready="true"]' + (f'[data-row="{row}"]' if row is not None else "")
    page.locator(wanted).wait_for()
    return int(page.locator(".inspector").get_attribute("data-row"))


def step(page, key):
    before = inspecting(page)
    page.keyboard.press(key)
    page.locator(f'.inspector[data-ready="true"]:not([data-row="{before}"])').wait_for()
    return inspecting(page)


def test_from_a_confusion_cell_to_decisions_that_outlive_the_visit(explorer):
    page = explorer()
    expect(footer(page)).to_be_visible()
    page.get_by_placeholder("your initials").fill("AB")
    page.keyboard.press("Enter")
    cell = page.locator('.matrix button[data-cell="0,1"]')
    count = int(cell.text_content())
    cell.click()
    page.locator('.panel[data-id="cell-0-1"] .tile img').nth(count - 1).wait_for()
    expect(page.locator('.panel[data-id="cell-0-1"] .tile')).to_have_count(count)

    # Walk the benign errors by key.
    page.keyboard.press("n")
    seen = [inspecting(page)]
    for _ in range(count - 1):
        seen.append(step(page, "n"))
    assert len(set(seen)) == count
    expect(page.locator(".place")).to_have_text(f"{count} of {count}")
    assert step(page, "p") == seen[-2]
    for _ in range(count - 2):
        step(page, "p")

    # Decide on three, one with a comment.
    page.locator(".inspector textarea").fill("nucleoli")
    page.keyboard.press("Escape")
    step(page, "n")
    step(page, "p")  # where the comment still waits for its decision
    marked = [inspecting(page)]
    for key in "123":
        page.keyboard.press(key)
        if key != "3" or count > 3:
            page.locator(f'.inspector[data-ready="true"]:not([data-row="{marked[-1]}"])').wait_for()
            marked.append(inspecting(page))
    page.get_by_text(f"3 of {count} decided").wait_for()
    page.keyboard.press("Escape")
    page.locator('.panel[data-id="cell-0-1"] .badge').nth(2).wait_for()
    cut = page.locator(".tile .badge").evaluate_all("all => all.filter(e => e.scrollWidth > e.clientWidth).length")
    assert cut == 0

    # Whoever decides next begins with an empty comment, under a name of their own.
    page.get_by_placeholder("your initials").fill("GH")
    page.keyboard.press("Enter")
    page.locator('.panel[data-id="cell-0-1"] .badge').first.wait_for(state="detached")
    page.locator('.panel[data-id="cell-0-1"] .tile').first.click()
    inspecting(page, marked[0])
    page.get_by_text("Your decision, as GH").wait_for()
    expect(page.locator(".inspector textarea")).to_have_value("")
    page.locator(".inspector textarea").fill("a draft of GH's")
    page.keyboard.press("Escape")
    step(page, "n")
    page.keyboard.press("Escape")
    page.get_by_placeholder("your initials").fill("AB")
    page.keyboard.press("Enter")
    page.locator('.panel[data-id="cell-0-1"] .badge').nth(2).wait_for()
    page.locator('.panel[data-id="cell-0-1"] .tile').first.click()
    inspecting(page, marked[0])
    expect(page.locator(".inspector textarea")).to_have_value("nucleoli")
    page.keyboard.press("Escape")

    section(page, "Triage")
    page.get_by_text("3 decisions of AB").wait_for()
    for width in (1440, 768, 600):
        page.set_viewport_size({"width": width, "height": 900})
        beyond = page.locator(".bars.narrow").evaluate(
            """box => [...box.querySelectorAll("*")].filter(
                e => e.getBoundingClientRect().right > box.getBoundingClientRect().right + 1
            ).length"""
        )
        assert beyond == 0, f"bars run over the card's edge at {width} pixels"
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Export my decisions").click()
    rows = list(csv.DictReader(io.StringIO(waiting.value.path().read_text(), newline="")))
    assert [row["decision"] for row in rows] == ["model_error", "label_error", "unusable"]
    assert {row["reviewer"] for row in rows} == {"AB"}
    assert rows[0]["comment"] == "nucleoli"

    # A new visit finds them again, under the same name.
    again = explorer()
    again.get_by_placeholder("your initials").fill("AB")
    again.keyboard.press("Enter")
    section(again, "Triage")
    again.get_by_text("3 decisions of AB").wait_for()
    expect(again.locator('.panel[data-id="triage-label_error"] .tile')).to_have_count(1)

    # A colleague reads them in, agrees, and it is counted; what is on other images is not.
    def read_back(name, text):
        again.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(
            {"name": name, "mimeType": "text/csv", "buffer": text.encode()}
        )

    text = waiting.value.path().read_text()
    elsewhere = text.splitlines()[1].replace(rows[0]["file"], "elsewhere/x.jpg")
    read_back("colleague.csv", (text + elsewhere).replace(",AB,", ",CD,"))
    again.get_by_text("3 decisions read from colleague.csv; 1 other left out, on no image of this set.").wait_for()
    again.get_by_text("Cohen's kappa from 10 images on · 3 of 3").wait_for()

    # An old export replaces nothing, and one of another set is refused.
    old = re.sub(r",20\d\d-", ",2001-", text).replace("label_error", "unusable")
    read_back("old.csv", old)
    again.get_by_text("0 decisions read from old.csv; 3 newer ones here stayed.").wait_for()
    expect(again.locator('.panel[data-id="triage-label_error"] .tile')).to_have_count(1)
    read_back("other.csv", f"{text.splitlines()[0]}\n{elsewhere}\n")
    again.get_by_text("other.csv holds 1 decision, but none on an image of").wait_for()


def test_one_press_decides_on_one_image(explorer):
    page = explorer()
    page.get_by_placeholder("your initials").fill("one press")
    page.keyboard.press("Enter")
    page.locator('.panel[data-id="alarms"] .tile').first.click()
    first = inspecting(page)
    page.get_by_text("Your decision, as one press").wait_for()
    # Pressed twice before the next image is there, which nobody can have looked at; then held down.
    page.evaluate("for (const _ of '12') document.dispatchEvent(new KeyboardEvent('keydown', { key: '3' }))")
    page.locator(f'.inspector[data-ready="true"]:not([data-row="{first}"])').wait_for()
    second = inspecting(page)
    expect(page.locator(".progress")).to_have_text(re.compile("^1 of "))
    for _ in range(10):
        page.keyboard.down("3")
        page.wait_for_timeout(100)
    page.keyboard.up("3")
    page.locator(f'.inspector[data-ready="true"]:not([data-row="{second}"])').wait_for()
    step(page, "p")  # whose answer comes after those of all that was pressed before
    expect(page.locator(".progress")).to_have_text(re.compile("^2 of "))


def test_a_decision_taken_back_leaves_its_comment_to_the_next(explorer):
    page = explorer()
    page.get_by_placeholder("your initials").fill("taken back")
    page.keyboard.press("Enter")
    page.locator('.panel[data-id="alarms"] .tile').first.click()
    inspecting(page)
    page.get_by_text("Your decision, as taken back").wait_for()
    page.locator(".inspector textarea").fill("nucleoli")
    page.keyboard.press("Escape")
    step(page, "1")
    step(page, "p")
    page.get_by_role("button", name="Take back").click()
    expect(page.locator(".progress")).to_have_text(re.compile("^0 of "))
    expect(page.locator(".inspector textarea")).to_have_value("nucleoli")
    step(page, "2")
    step(page, "p")
    expect(page.locator(".inspector textarea")).to_have_value("nucleoli")
    expect(page.get_by_role("button", name="Probable label error")).to_have_attribute("aria-pressed", "true")


def test_another_page_and_back_leads_to_the_same_image(explorer):
    page = explorer()
    page.get_by_placeholder("your initials").fill("EF")
    page.keyboard.press("Enter")
    section_button(page, "Errors").focus()  # where a click on it leaves the focus
    page.keyboard.press("n")
    row = inspecting(page)
    page.get_by_role("link", name="Review").click()
    page.get_by_text("Read a smear").wait_for()
    page.get_by_role("link", name="Explorer").click()
    assert inspecting(page) == row
    page.keyboard.press("Escape")
    page.locator('.panel[data-id="alarms"] .tile img').first.wait_for()
    expect(page.get_by_placeholder("your initials")).to_have_value("EF")


def test_a_reload_keeps_who_decides_until_the_name_is_taken_out(browser, server):
    # Streamlit looks for itself beside a page's own address first, and the browser notes that it isn't there.
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(f"{server}/explorer")
    name = page.get_by_placeholder("your initials")
    expect(name).to_have_value("")
    name.fill("GH")
    page.keyboard.press("Enter")
    section(page, "Triage")
    page.get_by_text("GH").first.wait_for()
    page.reload()
    expect(name).to_have_value("GH")
    page.get_by_text("of GH").first.wait_for()
    name.fill("")
    page.keyboard.press("Enter")
    page.get_by_text("of an unnamed reviewer").first.wait_for()
    page.reload()
    page.get_by_text("of an unnamed reviewer").first.wait_for()
    expect(name).to_have_value("")
    context.close()


def test_the_page_is_framed_for_who_came_by_keys_and_for_nobody_else(explorer):
    page = explorer()
    main = page.get_by_test_id("stMain")

    def framed():
        shadow = main.evaluate("main => getComputedStyle(main, '::before').boxShadow")
        return main.evaluate("main => main.matches(':focus-visible')") and shadow != "none"

    page.mouse.click(700, 800)
    page.keyboard.press("n")
    inspecting(page)
    assert main.evaluate("main => main === document.activeElement")
    assert not framed()
    # Round to it by Tab.
    main.evaluate("main => { main.blur(); main.focus(); }")
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    assert main.evaluate("main => main === document.activeElement")
    assert framed()


def test_the_browsers_back_and_forward_change_the_section(explorer):
    page = explorer()
    section(page, "Balance")
    page.wait_for_url("**section=Balance")
    page.locator('.panel[data-id="alarms"]').wait_for(state="detached")
    page.go_back()
    page.locator('.panel[data-id="alarms"] .tile img').first.wait_for()
    expect(page).to_have_url(re.compile("/explorer$"))
    page.go_forward()
    page.locator('.panel[data-id="alarms"]').wait_for(state="detached")
    expect(page).to_have_url(re.compile("section=Balance"))


def test_the_browsers_back_closes_an_image_and_leads_out_again(explorer):
    page = explorer()
    expect(page).to_have_url(re.compile("/explorer$"))
    page.keyboard.press("n")
    first = inspecting(page)
    page.wait_for_url("**image=*")
    page.go_back()
    page.locator('.panel[data-id="alarms"] .tile img').first.wait_for()
    expect(page).to_have_url(re.compile("/explorer$"))
    page.go_forward()
    assert inspecting(page, first) == first
    page.keyboard.press("Escape")
    page.locator('.panel[data-id="alarms"] .tile img').first.wait_for()
    page.wait_for_url("**section=Errors")

    # Back to the list of another section, too, and from there to the one before.
    section(page, "Slices")
    row = page.locator('.rows .row[data-id="slice-0"]')
    row.get_by_role("button", name="Images").click(timeout=SLOW)
    page.locator('.panel[data-id="listing"] .tile img').first.wait_for()
    page.keyboard.press("n")
    inspecting(page)
    page.wait_for_url("**image=*")
    page.go_back()
    page.locator('.panel[data-id="listing"] .tile img').first.wait_for()
    expect(page).to_have_url(re.compile("section=Slices$"))
    page.go_back()
    page.locator('.panel[data-id="alarms"] .tile img').first.wait_for()
    expect(page).to_have_url(re.compile("section=Errors$"))

    # The image that was closed by key, the address of the link, and Review.
    page.go_back()
    assert inspecting(page, first) == first
    page.go_back()
    page.wait_for_url("**/explorer")
    page.locator('.panel[data-id="alarms"] .tile img').first.wait_for()
    page.go_back()
    page.get_by_text("Read a smear").wait_for()


def test_a_reload_comes_back_to_the_predictions_the_list_and_the_image_that_walking_led_to(browser, server):
    # As below, the browser notes what Streamlit looks for in vain.
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(f"{server}/explorer")
    page.locator('.panel[data-id="alarms"] .tile img').first.wait_for()
    listed = page.locator('.panel[data-id="alarms"] h2').first
    before = listed.text_content()
    page.get_by_role("combobox", name="Predictions").click()
    page.get_by_role("option").nth(1).click()
    page.wait_for_url("**predictions=*")
    # Until the page is through, what a click opens is the list as it stood.
    expect(listed).not_to_have_text(before)
    page.locator('.panel[data-id="alarms"] .tile').first.click()
    first = inspecting(page)
    page.wait_for_url("**list=alarms*")
    walked = step(page, "n")
    page.keyboard.press("3")  # decides and goes on
    page.locator(f'.inspector[data-ready="true"]:not([data-row="{walked}"])').wait_for()
    walked = inspecting(page)
    place = page.locator(".place").text_content()
    expect(page).to_have_url(re.compile(f"image={first}&.*at={walked}"))
    page.reload()
    assert inspecting(page, walked) == walked
    expect(page.locator(".place")).to_have_text(place)
    expect(page).to_have_url(re.compile(f"image={first}&.*at={walked}"))
    back = step(page, "p")
    expect(page).to_have_url(re.compile(f"at={back}"))
    page.go_back()  # to the list, not through what was walked past
    page.locator('.panel[data-id="alarms"] .tile img').first.wait_for()
    expect(page).to_have_url(re.compile("predictions=[^&]*$"))
    context.close()


def test_a_reload_of_a_set_of_ones_own_asks_for_its_folder_again(browser, server):
    # Streamlit looks for itself beside a page's own address first, and the browser notes that it isn't there.
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(f"{server}/explorer")
    page.locator('.panel[data-id="alarms"] .tile img').first.wait_for()
    section(page, "Balance")
    page.wait_for_url("**section=Balance")
    page.get_by_role("combobox", name="Data set").click()
    page.get_by_role("option", name="Folder or table").click()
    folder = page.get_by_placeholder("/path/to/data")
    folder.wait_for()
    page.wait_for_url("**set=own&section=Balance")
    page.reload()
    folder.wait_for()
    expect(folder).to_have_value("")
    expect(page).to_have_url(re.compile("set=own"))
    page.go_back()
    page.locator('.panel[data-id^="sheet"] .tile img').first.wait_for()
    expect(page).to_have_url(re.compile("set=demonstration&section=Balance"))
    page.go_forward()
    folder.wait_for()
    context.close()


def test_the_captions_of_errors_can_be_read_in_both_themes(explorer):
    for scheme in ("light", "dark"):
        page = explorer(color_scheme=scheme)
        contrast = page.locator(".tile .cap.wrong").first.evaluate(
            """caption => {
                const pen = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d");
                const light = (colour) => {
                    pen.fillStyle = colour;
                    pen.fillRect(0, 0, 1, 1);
                    const [r, g, b] = [...pen.getImageData(0, 0, 1, 1).data].map((v) => v / 255)
                        .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
                    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
                };
                const under = getComputedStyle(caption.closest(".tile")).backgroundColor;
                const both = [light(getComputedStyle(caption).color), light(under)];
                return Math.max(...both) / Math.min(...both);
            }"""
        )
        assert contrast >= 4.5, scheme


def test_the_threshold_counts_in_the_browser_and_the_images_follow(explorer):
    page = explorer()
    alarms, misses = page.locator(".alarms b"), page.locator(".misses b")
    before = int(alarms.text_content()), int(misses.text_content())
    slider = page.locator('.matrix input[type="range"]')
    page.evaluate(
        """() => {
            window.sent = 0;
            const send = WebSocket.prototype.send;
            WebSocket.prototype.send = function (...data) { window.sent += 1; return send.apply(this, data); };
        }"""
    )
    slider.evaluate("e => { e.value = 90; e.dispatchEvent(new Event('input')); }")
    after = int(alarms.text_content()), int(misses.text_content())
    assert page.evaluate("window.sent") == 0
    assert after[0] < before[0]
    assert after[1] > before[1]
    assert "0.90" in page.locator(".how").text_content()
    slider.evaluate("e => e.dispatchEvent(new Event('change'))")
    page.locator('.panel[data-id="misses"] h2', has_text=re.compile(rf"· {after[1]}$")).wait_for()


def test_an_image_is_read_and_its_heat_drawn_for_both_classes(explorer):
    page = explorer()
    page.locator('.panel[data-id="alarms"] .tile').first.click()
    inspecting(page)
    page.locator('.inspector[data-heat="drawn"]').wait_for(timeout=SLOW)
    captions = page.locator(".inspector figcaption b").all_text_contents()
    assert len(captions) == 3
    assert "called" in captions[1]
    assert "Benign" in captions[2]
    expect(page.locator(".inspector .foot", has_text="of the heat lies on cells").first).to_be_visible()
    page.locator(".near button").first.wait_for(timeout=SLOW)
    page.locator(".range").first.wait_for(timeout=SLOW)
    here = inspecting(page)
    page.locator(".near button").first.click()
    page.locator(f'.inspector[data-ready="true"]:not([data-row="{here}"])').wait_for()
    page.keyboard.press("Escape")
    assert inspecting(page, here) == here


def test_a_finding_leads_to_its_images(explorer):
    page = explorer()
    section(page, "Traps")
    row = page.locator('.rows .row[data-id^="duplicates"]').first
    row.wait_for(timeout=SLOW)
    row.get_by_role("button").first.click()
    page.locator('.panel[data-id="listing"] .tile img').first.wait_for()
    page.get_by_role("button", name="Back").click()
    row.wait_for()


def test_a_phone_needs_no_sideways_scrolling(explorer):
    page = explorer(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator('.panel[data-id="alarms"] .tile').first.click()
    inspecting(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    small = page.locator(".inspector button:visible").evaluate_all(
        "all => all.map(e => e.getBoundingClientRect()).filter(b => b.height < 40 || b.width < 40).length"
    )
    assert small == 0

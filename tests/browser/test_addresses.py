"""Whichever address the first visit to a new server begins at, it is Leuk that is seen."""

import pytest

from tests.browser.conftest import expect, footer, served


@pytest.mark.parametrize("name", ["", "review", "explorer", "models"])
def test_the_first_visit_may_begin_at_any_page(browser, tmp_path, name):
    with served(tmp_path) as address:
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        page = context.new_page()
        # Not for a moment either are the files that help the pages shown as such.
        page.add_init_script(
            """window.links = new Set();
            new MutationObserver(() => {
                const links = document.querySelectorAll('[data-testid$="NavLink"]');
                for (const one of links) window.links.add(one.innerText.trim());
            }).observe(document, { childList: true, subtree: true, characterData: true });"""
        )  # fmt: skip
        page.goto(f"{address}/{name}")
        for title in ("Review", "Explorer", "Models"):
            page.get_by_role("link", name=title, exact=True).wait_for()
        expect(footer(page)).to_be_visible()
        assert set(page.evaluate("[...window.links]")) - {""} == {"Review", "Explorer", "Models"}
        context.close()


def test_reviews_own_address_leads_to_review(browser, tmp_path):
    with served(tmp_path) as address:
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        for path in ("", "review"):
            page = context.new_page()
            page.goto(f"{address}/{path}")
            expect(footer(page)).to_be_visible()
            expect(page).to_have_url(f"{address}/")
            expect(page.get_by_role("link", name="Review", exact=True)).to_have_count(1)
            assert page.get_by_text("Page not found").count() == 0
        context.close()

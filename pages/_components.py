"""The page's own widgets: a viewer of one file, the strip of all files, and the line that says what Leuk is not.

Pictures travel inside the components' data, over the visit's own connection, and downloads are put together in the
browser: what Streamlit serves under /media (`st.image`, `st.download_button`) is open to anyone with its address.
"""

from __future__ import annotations

import re
import string
from pathlib import Path

import streamlit as st

_FOLDER = Path(__file__).parent / "components"


# Streamlit's own chosen buttons bear the primary colour, which is too dark for words on a dark ground, and its links to
# pages show by the shade of their ground alone where the keyboard is. What the keyboard comes to is scrolled clear of
# the head and the foot that lie over every page. For the last line see frame.js.
SHARED_STYLE = """
<style>
[data-testid="stButtonGroup"] [aria-checked="true"], [data-testid="stButtonGroup"] [aria-pressed="true"],
[data-testid="stButtonGroup"] [kind$="Active"] { color: inherit !important; font-weight: 600; }
[data-testid="stTopNavLink"]:focus-visible, [data-testid="stSidebarNavLink"]:focus-visible {
  outline: 2px solid currentColor; outline-offset: -2px;
}
[data-testid="stMain"] { scroll-padding: 3.75rem 0 2.5rem; }
[data-by-pointer] [data-testid="stMain"]:focus-visible::before { box-shadow: none !important; }
</style>
"""


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


_MARKS = re.compile(f"([{re.escape(string.punctuation)}])")
# Markdown makes links of addresses even where every mark is escaped; a word joiner, which shows as nothing, keeps them
# from being any.
WORD_JOINER = "\N{WORD JOINER}"
_ADDRESS = re.compile(r"(?i)(www(?=\.)|https?(?=:)|@)")


def literal(text: str) -> str:
    """Return text that Streamlit's Markdown shows as it stands.

    Names of files and columns come from anywhere: unescaped, one could draw a picture from an address of its choice.
    """
    return _MARKS.sub(r"\\\1", _ADDRESS.sub(r"\1" + WORD_JOINER, " ".join(text.split())))


viewer = st.components.v2.component(
    "leuk_viewer", html=_text("viewer.html"), css=_text("viewer.css"), js=_text("cells.js") + _text("viewer.js")
)
"""Shows what `leuk.overlay.to_bytes` packed. Trigger: ``go`` (1 next file, -1 previous). State: ``reviews``, what the
user changed: by ``review_key`` ``types`` by cell, by ``scale_key`` ``um`` (micrometres per pixel)."""

strip = st.components.v2.component("leuk_strip", html=_text("strip.html"), css=_text("strip.css"), js=_text("strip.js"))
"""Shows ``files`` and their states. Triggers: ``choose`` and ``remove`` (a file's id), ``all`` (csv, json or clear).
What the user changed in a file is forgotten with it, after a second press. What is known of the cells of ``others`` it
hands to the viewer."""

frame = st.components.v2.component("leuk_frame", html=_text("frame.html"), css=_text("frame.css"), js=_text("frame.js"))
"""The page's head, and the line at its foot that is always in sight. Asks before what was changed is left. Given how
many ``files`` a visit has, and whether it is ``fresh`` (never had any), it says where those of an earlier one went."""

frame_without_images = st.components.v2.component(
    "leuk_frame_without_images",
    html=_text("frame.html").replace("Images stay in the memory of this visit; nothing is saved.", ""),
    css=_text("frame.css"),
    js=_text("frame.js"),
)
"""The same on a page that is given no images."""

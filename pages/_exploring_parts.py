"""The explorer's own widgets. As in `pages._components`, pictures and files travel inside the components' data."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

_FOLDER = Path(__file__).parent / "components"


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _part(name: str) -> object:
    return st.components.v2.component(
        f"leuk_{name}",
        html=_text(f"{name}.html"),
        css=_text("explorer.css") + _text(f"{name}.css"),
        js=_text("explorer.js") + _text(f"{name}.js"),
    )


matrix = _part("matrix")
"""The confusion matrix and the threshold. Triggers: ``cell`` ("true,called"), ``threshold`` (0 … 100, "likeliest")."""

gallery = _part("gallery")
"""Panels of thumbnails in pages. Triggers: ``open`` (panel and row), ``page`` (panel and page)."""

inspector = _part("inspector")
"""One image, read and compared; takes what `leuk.overlay.to_bytes` packed. Triggers: ``go`` (a row, "next", "prev"),
``look`` (a neighbour's row), ``mark`` and ``comment`` (row, decision, comment), ``close``."""

rows = _part("rows")
"""Titled rows of text, bars and thumbnails. Trigger: ``choose`` (a row's id, or "row:" and an image's row)."""

save = _part("save")
"""Buttons that save texts as files, put together in the browser."""

frame = st.components.v2.component(
    "leuk_explorer_frame",
    html=_text("frame.html").replace(
        "Images stay in the memory of this visit; nothing is saved.",
        "Images stay where they are; decisions and measures are kept on this machine.",
    ),
    css=_text("frame.css"),
    js=_text("frame.js"),
)
"""The page's head, and the line at its foot that is always in sight. Trigger: ``reviewer`` (the name that was entered
before the page was loaded anew)."""

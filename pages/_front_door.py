"""Sees to it that a page is run by ``app.py``, whichever address a visit begins at."""

from __future__ import annotations

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager


def by_the_front_door(address: str = "") -> bool:
    """Tell whether the page may be drawn; if not, the browser is told to come again, or to another address.

    Until ``app.py`` has run once in a server, Streamlit takes the folder ``pages`` for the pages of its older kind and
    runs the file behind an address by itself, without what ``app.py`` sets up. A server that was started anew while a
    page was open meets its visitor like that.
    """
    if not PagesManager.uses_pages_directory:
        return True
    PagesManager.uses_pages_directory = False
    again = f"location.replace({address!r})" if address else "location.reload()"
    st.html(f"<script>{again}</script>", unsafe_allow_javascript=True)
    return False

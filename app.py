"""The pages of Leuk: run with ``streamlit run app.py``."""

from pathlib import Path

import streamlit as st

_HERE = Path(__file__).parent
_PAGES = {"review": "Review", "explorer": "Explorer", "models": "Models"}

st.set_page_config(page_title="Leuk", page_icon=str(_HERE / "pages/components/mark.svg"), layout="wide")
pages = [
    st.Page(f"pages/{name}.py", title=title, default=name == "review", url_path="" if name == "review" else name)
    for name, title in _PAGES.items()
    if (_HERE / "pages" / f"{name}.py").is_file()
]
# Review stands at the root, but who has the other pages' addresses will try /review too.
pages.append(st.Page(lambda: st.switch_page(pages[0]), title="Review", url_path="review", visibility="hidden"))
# Streamlit forgets what was chosen in a page's widgets when another page is shown; these choices are the visit's.
for choice in ("model", "explain", "method", "source", "folder", "table", "reviewer", "section"):
    if choice in st.session_state:
        st.session_state[choice] = st.session_state[choice]
st.navigation(pages, position="top").run()

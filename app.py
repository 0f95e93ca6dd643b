"""The pages of Leuk: run with ``streamlit run app.py``."""

from pathlib import Path

import streamlit as st

st.set_page_config(page_title="Leuk", page_icon=str(Path(__file__).parent / "pages/components/mark.svg"), layout="wide")
st.navigation([st.Page("pages/review.py", title="Review", default=True)], position="top").run()

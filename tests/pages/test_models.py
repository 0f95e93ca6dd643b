import json
import re

import pytest
from streamlit.testing.v1 import AppTest

from leuk.models.systems import SYSTEMS
from pages import models
from tests.conftest import ROOT


@pytest.fixture
def page():
    return AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run().switch_page("pages/models.py").run()


def test_the_page_opens(page):
    assert not page.exception

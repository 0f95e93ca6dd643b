"""What all tests share: where the real images are, and which browser there is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from leuk.image import SmearImage

if TYPE_CHECKING:
    from leuk.models.store import Model

ROOT = Path(__file__).resolve().parent.parent

_BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real images; a test that asks for it is skipped where there are none."""
    named = os.environ.get("LEUK_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real images here: {'LEUK_DATA names no folder' if named else '../shared/data is absent'}")
    return folder


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser; `make test` sees to it that there is one."""
    named = os.environ.get("LEUK_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, _BROWSERS)), None)
    if found is None:
        pytest.skip("no Chromium here: install it or set LEUK_CHROMIUM")
    return found


@pytest.fixture(scope="session")
def field() -> SmearImage:
    """A synthetic field with white cells, 224 x 224."""
    from leuk.data.synthetic import generate

    return generate(5, 224, 224, style="pre", cells=6).image


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one cut-down reader, "small": real network, random weights, its card beside it."""
    import torch

    from leuk.explanation import EXPLAINERS
    from leuk.models.cards import Card
    from leuk.models.reader import Reader
    from leuk.models.store import save_model

    widths = [8, 8, 16, 16]
    torch.manual_seed(4)
    network = Reader(widths=widths)
    card = Card(
        name="small",
        title="Cut-down reader",
        architecture="reader",
        arguments={"widths": widths},
        classes=("benign", "early_pre_b", "pre_b", "pro_b"),
        sha256="",
        tile=160,
        cell_diameter=15.0,
        photo_scale=160 / 224,
        temperature=1.5,
        familiar=1e6,
        confident=0.0,
        strong=dict.fromkeys(EXPLAINERS, 0.5),
    )
    folder = tmp_path_factory.mktemp("weights")
    save_model(folder, card, network, np.zeros((4, 2 * widths[2])), np.eye(2 * widths[2]))
    return folder


@pytest.fixture(scope="session")
def small_model(small_weights: Path) -> Model:
    """The model of `small_weights`, loaded."""
    from leuk.models.store import load_model

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEUK_WEIGHTS", str(small_weights))
        return load_model("small", "cpu")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what asks for real images or for the browser, so that ``-m 'not browser'`` needs no one's memory."""
    for item in items:
        wanted = getattr(item, "fixturenames", ())
        if "data_dir" in wanted:
            item.add_marker(pytest.mark.data)
        if "chromium" in wanted:
            item.add_marker(pytest.mark.browser)

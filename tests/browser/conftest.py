"""A real server and a real Chromium; every page a test opens is held to its manners."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image

from leuk.data.synthetic import generate
from tests.conftest import ROOT

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: see requirements-dev.txt")

PATIENCE = 180_000  # milliseconds; the machine may be busy with other things
expect = sync_api.expect
expect.set_options(timeout=PATIENCE)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Run the app on a free port and give its address; a fault that it logs fails the test."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "log.txt"
    # Nothing of a test is kept where the user's own decisions are.
    own = {"LEUK_CACHE": str(folder / "cache"), "LEUK_DECISIONS": str(folder / "decisions.sqlite")}
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless=true", f"--server.port={port}"]
    with (
        log.open("wb") as out,
        subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **own}) as process,
    ):
        address = f"http://localhost:{port}"
        try:
            for _ in range(600):
                try:
                    with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5):  # noqa: S310 - our own server
                        break
                except (urllib.error.URLError, OSError):
                    assert process.poll() is None, log.read_text()
                    time.sleep(0.1)
            yield address
            said = log.read_text()  # libraries that are still being loaded complain when the server ends
        finally:
            process.terminate()
    assert "Traceback" not in said, said


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the app, started for the tests."""
    with served(tmp_path_factory.mktemp("server")) as address:
        yield address


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[sync_api.Browser]:
    """The browser."""
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def visit(browser: sync_api.Browser, server: str) -> Iterator[Callable[..., sync_api.Page]]:
    """Open the app as a visitor of its own; takes what a browser context takes."""
    contexts, faults = [], []

    def open_page(**settings: object) -> sync_api.Page:
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **settings})
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: _judge(request.url, faults))
        page.on("websocket", lambda socket: _judge(socket.url, faults))
        page.goto(server)
        page.get_by_test_id("stFileUploaderDropzone").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def footer(page: sync_api.Page) -> sync_api.Locator:
    """The sentence under every page; a card may say the same in its text."""
    return page.get_by_role("note").filter(has_text="Research use only, not a medical device")


def _judge(url: str, faults: list[str]) -> None:
    parts = urlsplit(url)
    if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname not in ("localhost", "127.0.0.1"):
        faults.append(f"asked another host: {url}")


@pytest.fixture(scope="session")
def smears(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three synthetic fields as files."""
    folder = tmp_path_factory.mktemp("smears")
    paths = []
    for seed, name in ((3, "first.png"), (4, "second.png"), (5, "third.png")):
        out = io.BytesIO()
        Image.fromarray(generate(seed, 224, 224, style="pre", cells=5).image.pixels).save(out, "PNG")
        paths.append(folder / name)
        paths[-1].write_bytes(out.getvalue())
    return paths

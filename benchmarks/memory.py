"""Memory of the server while files come and go: uploads and removes them in a real browser and reads its resident size.

Run ``python -m benchmarks.memory [--files 50] [--side 224]``; needs Chromium and requirements-dev.txt. Prints
megabytes after five uploads were removed again, at the most, and after all were removed, and their ratio, which should
stay below 1.15.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from leuk.data.synthetic import generate

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 900_000


def resident(process: subprocess.Popen[bytes]) -> float:
    """Resident memory in megabytes (Linux)."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def round_trip(page: Page, files: list[Path], process: subprocess.Popen[bytes]) -> tuple[float, float]:
    """Upload files, wait until all are read, remove them; give the memory before and after the removal."""
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files([str(path) for path in files])
    page.locator('.leuk[data-state="read"][data-ready="true"]').wait_for(timeout=PATIENCE)
    done = page.locator('.file:is([data-state="read"], [data-state="refused"])')
    while done.count() < len(files):
        time.sleep(0.5)
    full = resident(process)
    # It asks first, and a second press removes.
    page.locator('[data-all="clear"]').dblclick()
    page.get_by_role("heading", name="Read a smear").wait_for(timeout=PATIENCE)
    time.sleep(3)
    return full, resident(process)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=50)
    parser.add_argument("--side", type=int, default=224)
    wanted = parser.parse_args()
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        files = []
        for seed in range(wanted.files):
            files.append(Path(folder) / f"{seed}.png")
            Image.fromarray(generate(seed, wanted.side, wanted.side, style="pre").image.pixels).save(files[-1])
        command = [
            sys.executable,
            "-m",
            "streamlit",
            "run",
            "app.py",
            "--server.headless=true",
            f"--server.port={port}",
        ]
        chromium = os.environ.get("LEUK_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
        with (
            subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process,  # noqa: S603
            sync_playwright() as playwright,
        ):
            try:
                browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
                page = browser.new_page()
                for _ in range(100):
                    try:
                        page.goto(f"http://localhost:{port}")
                        break
                    except Exception:  # noqa: BLE001 - the server is not up yet, however the browser puts it
                        time.sleep(0.5)
                page.get_by_test_id("stFileUploaderDropzone").wait_for(timeout=PATIENCE)
                _, first = round_trip(page, files[:5], process)
                full, last = round_trip(page, files, process)
                browser.close()
            finally:
                process.terminate()
    print(f"after 5 uploads and removals    {first:7.0f} MB")
    print(f"with {wanted.files:3} files read            {full:7.0f} MB")
    print(f"after {wanted.files:3} uploads and removals  {last:7.0f} MB, {last / first:.2f} of the first")


if __name__ == "__main__":
    main()

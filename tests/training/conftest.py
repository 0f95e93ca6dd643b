"""What the tests of training share."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from leuk.data.synthetic import generate
from leuk.data.taleqani import FOLDERS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set like the public one: four classes, two folds, and a table of groups."""
    root = tmp_path_factory.mktemp("set")
    rows = []
    for style, (name, _) in zip(("benign", "early", "pre", "pro"), FOLDERS.items(), strict=True):
        (root / "Original" / name).mkdir(parents=True)
        for number in range(4):
            file = f"Original/{name}/{number}.png"
            pixels = generate(number + 10 * len(rows), 224, 224, style=style, cells=4).image.pixels
            cv2.imwrite(str(root / file), pixels[..., ::-1])
            rows.append([file, name, len(rows), "red", number % 2, number % 2])
    with (root / "groups.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "class", "near_dup_group", "scale_bar", "session", "fold"])
        writer.writerows(rows)
    (root / "others").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (90, 200, 3), dtype=np.uint8)
    cv2.imwrite(str(root / "others" / "noise.png"), noise)
    return root

"""From labelled objects to the line that parts smudges from cells."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from leuk.cells import smudges as telling
from leuk.cells.store import CellModel, load_cells
from leuk.data.synthetic import generate
from leuk.data.taleqani import FOLDERS
from leuk.image import read_image
from leuk.segmentation import segment
from leuk.training import smudges as training
from leuk.training.cells import auroc


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, int]:
    """Fields in which half of the cells are frayed, a table that says which, and how many it has."""
    root = tmp_path_factory.mktemp("fields")
    lines, rng = ["file,x,y,smudge,held_out,drawn"], np.random.default_rng(0)
    for number in range(8):
        smear = generate(400 + number, 300, 240, style="pre", cells=6, margin=1.0)
        pixels, file = smear.image.pixels.copy(), f"Pre/{number}.png"
        for label in range(1, int(smear.instances.max()) + 1, 2):
            inside = (smear.instances == label).astype(np.uint8)
            around = cv2.dilate(inside, np.ones((5, 5), np.uint8)) > 0
            torn = cv2.GaussianBlur(rng.random(inside.shape), (0, 0), 2.5) > 0.515
            soft = cv2.GaussianBlur(pixels, (0, 0), 2.0)
            pixels[around] = np.where(torn[..., None], np.percentile(pixels, 95, axis=(0, 1)), soft)[around]
        (root / "Pre").mkdir(exist_ok=True)
        cv2.imwrite(str(root / file), pixels[..., ::-1])
        for cell in segment(read_image(root / file)).cells:
            x, y = (cell.box[0] + cell.box[2]) / 2, (cell.box[1] + cell.box[3]) / 2
            own = int(smear.instances[int(y), int(x)])
            if own:
                lines.append(f"{file},{x},{y},{own % 2},{int(number > 5)},{int(number > 6)}")
    table = root / "table.csv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root, table, len(lines) - 1


def test_from_labels_to_a_line_and_its_figures(labelled: tuple[Path, Path, int]) -> None:
    root, table, count = labelled
    model = load_cells()
    others = {"pbc": sorted((root / "Pre").glob("[01].png"))}
    told: list[str] = []
    objects = training.gather(root, others, model, told.append, every=1, table=table)
    assert objects is not None
    mine = objects.source == "taleqani"
    assert mine.sum() == count > 20
    assert f"{count} labelled objects" in told[0]
    assert not objects.smudge[~mine].any()
    assert np.isfinite(objects.told).all()
    line = training.fit(objects)
    assert line.shape == (objects.told.shape[1] + 1,)
    assert objects.told.shape[1] == model.smudge.size - 1
    figures = training.measure(objects, line)
    assert figures["held_out"]["objects"] == int(objects.held_out.sum())
    assert figures["drawn"]["objects"] == int(objects.drawn.sum()) < figures["held_out"]["objects"]
    assert figures["taught"] == {"taleqani": int((mine & ~objects.held_out).sum()), "pbc": int((~mine).sum())}
    assert figures["cells_lost_elsewhere"].keys() == {"pbc"}
    # What it was taught it knows: frayed ones score higher.
    score = objects.told[mine] @ line[:-1]
    assert auroc(objects.smudge[mine], score) > 0.9
    found = CellModel(model.card, model.networks, smudge=line).smudged(objects.told)
    np.testing.assert_array_equal(found[mine], score + line[-1] > 0)


def test_objects_that_are_not_there_are_passed_over(tmp_path: Path) -> None:
    assert training.gather(tmp_path, {}, load_cells(), str) is None


def test_the_table_is_whole() -> None:
    labels = training.read_labels()
    assert len(labels) == 942
    assert sum(label.smudge for label in labels) == 268
    held = {label.file for label in labels if label.held_out}
    assert not held & {label.file for label in labels if not label.held_out}, "a field is taught or held out"
    assert {label.file.split("/")[0] for label in labels} == set(FOLDERS)
    assert {label.held_out for label in labels if label.drawn} == {True}


def test_a_picture_with_nothing_in_it_has_measures_too() -> None:
    rim = telling._rim(np.full((96, 96, 3), 255, np.uint8), np.zeros((96, 96), np.uint8), np.full(3, 255.0))
    assert np.isfinite(rim).all()

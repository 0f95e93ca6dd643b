"""The public set's loader, on a folder made like it and on the real one where it is here."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from leuk.data.datasets import load_dataset
from leuk.data.taleqani import CLASSES, load_fields
from leuk.errors import DataError, ImageError

HEADER = "file,class,near_dup_group,scale_bar,session,fold\n"


def _folder(tmp_path: Path, rows: list[str]) -> Path:
    for number, row in enumerate(rows):
        path = tmp_path / row.split(",")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((32, 32, 3), 40 * number, np.uint8))
    (tmp_path / "groups.csv").write_text(HEADER + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return tmp_path


def test_groups_and_folds_are_read(tmp_path: Path) -> None:
    rows = [
        "Original/Benign/a.png,Benign,0,red,3,0",
        "Original/Pro/b.png,Pro,1,red,3,1",
        "Original/Pro/c.png,Pro,1,,4,1",
    ]
    fields = load_fields(_folder(tmp_path, rows))
    assert fields.pixels.shape == (3, 32, 32, 3)
    assert [CLASSES[label] for label in fields.labels] == ["benign", "pro_b", "pro_b"]
    assert fields.folds.tolist() == [0, 1, 1]
    assert len(set(fields.groups)) == 3, "a session number of another class is another session"


def test_faults_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no table of groups"):
        load_fields(tmp_path)
    _folder(tmp_path, ["Original/Mature/a.png,Mature,0,,1,0"])
    with pytest.raises(DataError, match="unknown classes Mature"):
        load_fields(tmp_path)
    (tmp_path / "groups.csv").write_text("file,class\nx.png,Benign\n", encoding="utf-8")
    with pytest.raises(DataError, match="lacks the columns fold, near_dup_group, session"):
        load_fields(tmp_path)
    for lines, told in (
        (["a.png,Pro,0,,1,0", "a.png,Pro,0,,1,0"], "lists a.png twice"),
        (["a.png,Pro,0,,1,0", "b.png,Pro,1,,1,2"], "parts the session 1 of Pro among folds 0 and 2"),
        (["a.png,Pro,7,,1,0", "b.png,Pre,7,,1,2"], "parts the group of near-duplicates 7 among folds 0 and 2"),
    ):
        (tmp_path / "groups.csv").write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")
        with pytest.raises(DataError, match=told):
            load_fields(tmp_path)
    _folder(tmp_path, ["Original/Pro/a.png,Pro,0,,1,0"])
    (tmp_path / "Original/Pro/a.png").write_bytes(b"")
    with pytest.raises(ImageError, match="a.png"):
        load_fields(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER, "has no rows"),
        (HEADER + "a.png,Pro,0,,1,0\nb.png,Pro,0,,S1,0\n", "Line 3 of groups.csv has 'S1' as session"),
        (HEADER + "a.png,Pro,0,,1,-1\n", "Line 2 of groups.csv has '-1' as fold"),
        (HEADER + "a.png,Pro,0,,,0\n", "Line 2 of groups.csv lacks a session"),
        (HEADER + "a.png,Pro\n", "Line 2 of groups.csv lacks a near_dup_group"),
        (HEADER + ",Pro,0,,1,0\n", "Line 2 of groups.csv lacks a file"),
        (HEADER + "caf\xe9.png,Pro,0,,1,0\n", "save it as CSV in UTF-8"),
    ],
)
def test_a_table_of_groups_that_is_a_little_off_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    folder = _folder(tmp_path, ["Original/Pro/a.png,Pro,0,,1,0"])
    (folder / "groups.csv").write_text(text, encoding="latin-1")
    for read in (load_fields, load_dataset):
        with pytest.raises(DataError, match=message):
            read(folder)


def test_a_table_of_groups_saved_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    folder = _folder(tmp_path, ["Original/Pro/a.png,Pro,0,red,1,3"])
    text = (folder / "groups.csv").read_text(encoding="utf-8")
    (folder / "groups.csv").write_text(text, encoding="utf-8-sig")
    assert load_fields(folder).folds.tolist() == [3]
    data = load_dataset(folder)
    assert data.fold is not None and data.fold.tolist() == [3] and data.scale_bar == ("red",)


def test_real_set_never_splits_a_group(data_dir: Path) -> None:
    fields = load_fields(data_dir / "taleqani")
    assert fields.pixels.shape[1:] == (224, 224, 3)
    for ids in (fields.groups, fields.duplicates):
        assert all(len(np.unique(fields.folds[ids == one])) == 1 for one in np.unique(ids))

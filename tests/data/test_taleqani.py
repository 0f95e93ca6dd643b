"""The public set's loader, on a folder made like it and on the real one where it is here."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

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
    _folder(tmp_path, ["Original/Pro/a.png,Pro,0,,1,0"])
    (tmp_path / "Original/Pro/a.png").write_bytes(b"")
    with pytest.raises(ImageError, match="a.png"):
        load_fields(tmp_path)


def test_real_set_never_splits_a_group(data_dir: Path) -> None:
    fields = load_fields(data_dir / "taleqani")
    assert fields.pixels.shape[1:] == (224, 224, 3)
    for ids in (fields.groups, fields.duplicates):
        assert all(len(np.unique(fields.folds[ids == one])) == 1 for one in np.unique(ids))

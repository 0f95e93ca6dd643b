"""Which images there are and what they are labelled, from folders and tables of every kind taken."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from leuk.data.datasets import PUBLIC_COUNTS, DataSet, check_taleqani, class_key, load_dataset, public_names, taleqani
from leuk.errors import DataError


def _touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not looked at")
    return root


def test_class_folders(tmp_path: Path) -> None:
    data = load_dataset(_touch(tmp_path, "normal/a.png", "blast/b.jpg", "blast/deep/c.tif", "blast/notes.txt"))
    assert data.files == ("blast/b.jpg", "blast/deep/c.tif", "normal/a.png")
    assert data.classes == ("normal", "blast"), "the benign class comes first"
    assert data.labels.tolist() == [1, 1, 0] and data.labels.dtype == np.int64
    assert data.benign == 0 and data.segmented is None and data.problems == ()
    assert data.path(2) == tmp_path / "normal/a.png"


def test_a_class_folder_without_images_is_named(tmp_path: Path) -> None:
    _touch(tmp_path, "A/x.jpg", "B/notes.txt", "C/deep/y.jpg", ".git/index")
    (tmp_path / "test").mkdir()
    data = load_dataset(tmp_path)
    assert data.classes == ("a", "c")
    assert data.problems == ("The class folder B holds no image that Leuk reads: put images into it, or remove it.",)
    _touch(tmp_path / "split", "train/a/1.png", "train/b/2.png", "test/a/3.png")
    (tmp_path / "split/test/b").mkdir()
    assert [problem.split()[3] for problem in load_dataset(tmp_path / "split").problems] == ["test/b"]
    beside = load_dataset(_touch(tmp_path / "one", "images/1.png", "boxes/1.xml"))
    assert beside.problems == (), "what lies beside a folder of pictures is no class"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Benign", "benign"),
        ("Early", "early_pre_b"),
        ("[Malignant] early Pre-B", "early_pre_b"),
        ("[Malignant] Pro-B", "pro_b"),
        ("Pre", "pre_b"),
        ("Hairy cell", "hairy_cell"),
        ("CD10+", "cd10_pos"),
        ("CD10- CD19+", "cd10_neg_cd19_pos"),
        ("CD10\u2212/CD34++", "cd10_neg_cd34_pos"),
        ("-", "-"),
    ],
)
def test_names_of_classes_become_keys(name: str, key: str) -> None:
    assert class_key(name) == key


def test_names_that_differ_in_signs_are_never_one_class_unnoticed(tmp_path: Path) -> None:
    data = load_dataset(_touch(tmp_path / "a", "CD10+/1.png", "CD10-/2.png", "other/3.png"))
    assert data.classes == ("cd10_neg", "cd10_pos", "other")
    same = load_dataset(
        _touch(tmp_path / "b", "train/Hairy cell/1.png", "test/hairy_cell/2.png", "Pre/3.png", "[Pre-B]/4.png")
    )
    assert same.classes == ("hairy_cell", "pre_b"), "capitals, spaces and the public set's editions make no other class"
    with pytest.raises(DataError, match=r"names CD10\+x and CD10-x would both be the class cd10_x; rename"):
        load_dataset(_touch(tmp_path / "c", "CD10+x/1.png", "CD10-x/2.png"))
    table = _touch(tmp_path / "d", "1.png", "2.png") / "set.csv"
    table.write_text("path,label\n1.png,grade 1/2\n2.png,grade 1-2\n", encoding="utf-8")
    with pytest.raises(DataError, match="names grade 1/2 and grade 1-2"):
        load_dataset(table)


def test_numbered_folders_above_classes_are_parts(tmp_path: Path) -> None:
    data = load_dataset(
        _touch(tmp_path / "a", "fold_0/all/1.png", "fold_0/hem/2.png", "Fold1/all/3.png", "part-2/hem/4.png")
    )
    assert data.classes == ("hem", "all") and data.benign_beside_malignant == 0
    assert dict(zip(data.files, data.split or (), strict=True))["Fold1/all/3.png"] == "fold 1"
    assert sorted(set(data.split or ())) == ["fold 0", "fold 1", "part 2"] and data.problems == ()
    assert load_dataset(_touch(tmp_path / "b", "part_1/1.png", "part_2/2.png")).classes == ("part_1", "part_2")


@pytest.mark.parametrize(
    ("classes", "known"),
    [
        (("normal", "blast"), 0),
        (("benign", "early_pre_b", "pro_b"), 0),
        (("hem", "all"), 0),
        (("normal", "blast", "reactive"), None),
        (("benign", "lymphocyte"), None),
        (("lymphocyte", "monocyte"), None),
    ],
)
def test_only_known_malignant_classes_are_spoken_of_as_malignant(classes: tuple[str, ...], known: int | None) -> None:
    files = tuple(classes)
    assert DataSet("x", files, classes, np.arange(len(classes))).benign_beside_malignant == known


@pytest.mark.parametrize(
    ("head", "kind", "title"),
    [("patient", "patient", "patient P9"), ("Session", "session", "session P9"), ("group", "session", "session P9")],
)
def test_a_table_says_what_its_sessions_are(tmp_path: Path, head: str, kind: str, title: str) -> None:
    table = _touch(tmp_path, "a.png", "b.png", "c.png") / "set.csv"
    table.write_text(f"path,label,{head}\na.png,x,P9\nb.png,y,P10\nc.png,y,\n", encoding="utf-8")
    data = load_dataset(table).subset(np.array([2, 0]))
    assert data.session is not None and data.session[0] == -1
    assert data.session_kind == kind and data.session_names == ("P10", "P9")
    assert data.session_title(int(data.session[1])) == title
    assert taleqani().session_title(3) == "pseudo-session 3"


def test_original_beside_segmented(tmp_path: Path) -> None:
    _touch(tmp_path, "Original/Pro/x.jpg", "Original/Benign/y.jpg", "Segmented/Pro/x.jpg")
    data = load_dataset(tmp_path)
    assert data.classes == ("benign", "pro_b")
    assert data.segmented == (None, "Segmented/Pro/x.jpg"), "a twin is no image of its own"
    assert data.segmented_path(1) == tmp_path / "Segmented/Pro/x.jpg" and data.segmented_path(0) is None
    assert any("1 of 2 originals have no segmented twin" in problem for problem in data.problems)


def test_splits_above_classes(tmp_path: Path) -> None:
    data = load_dataset(_touch(tmp_path, "train/a/1.png", "train/b/2.png", "Validation/a/3.png", "test/b/4.png"))
    assert data.classes == ("a", "b")
    assert dict(zip(data.files, data.split or (), strict=True))["Validation/a/3.png"] == "val"


def test_all_idb_names(tmp_path: Path) -> None:
    data = load_dataset(_touch(tmp_path, "Im001_1.tif", "Im002_0.tif", "readme.png"))
    assert data.classes == ("benign", "malignant") and data.labels.tolist() == [1, 0]
    assert data.problems == ("readme.png ends neither in _0 nor in _1 and was left out: rename it.",)
    below = load_dataset(_touch(tmp_path / "x", "im/Im003_0.jpg", "im/Im004_1.jpg", "masks/Im004.png"))
    assert below.files == ("im/Im003_0.jpg", "im/Im004_1.jpg") and below.labels.tolist() == [0, 1]


def test_a_table(tmp_path: Path) -> None:
    _touch(tmp_path, "a.png", "sub/b.png")
    table = tmp_path / "set.csv"
    table.write_text(
        "Path,Label,split,patient\na.png,Benign,train,P1\nsub\\b.png,Pro,test,P2\ngone.png,Pro,test,P2\na.png,Pro,,\n,Pro,,\n",
        encoding="utf-8",
    )
    data = load_dataset(table)
    assert data.files == ("a.png", "sub/b.png") and data.classes == ("benign", "pro_b")
    assert data.split == ("train", "test") and data.session is not None and len(set(data.session)) == 2
    assert len(data.problems) == 3, "a missing file, a file listed twice and a line without a path: one sentence each"
    assert "gone.png is listed in set.csv but not there" in data.problems[0]


def test_a_file_that_a_table_spells_in_two_ways_is_listed_twice(tmp_path: Path) -> None:
    table = _touch(tmp_path, "sub/a.png", "b.png") / "set.csv"
    table.write_text("path,label\nsub/a.png,Benign\n./sub/a.png,Pro\nsub/../b.png,Pro\nb.png,Pro\n", encoding="utf-8")
    data = load_dataset(table)
    assert data.files == ("sub/a.png", "sub/../b.png") and data.labels.tolist() == [0, 1]
    assert [problem.split(" in ")[0] for problem in data.problems] == [
        "sub/a.png is listed twice",
        "b.png is listed twice",
    ]


def test_a_table_that_semicolons_part(tmp_path: Path) -> None:
    table = _touch(tmp_path, "a,1.png", "b.png") / "set.csv"
    table.write_text("\ufeffPath;Label;fold\r\na,1.png;Benign;0\r\nb.png;Pro;1\r\n", encoding="utf-8")
    data = load_dataset(table)
    assert data.files == ("a,1.png", "b.png") and data.classes == ("benign", "pro_b")
    assert data.fold is not None and data.fold.tolist() == [0, 1]


def test_a_name_that_can_not_be_looked_up_is_one_rows_problem(tmp_path: Path) -> None:
    table = _touch(tmp_path, "a.png", "b.png") / "set.csv"
    table.write_text(f"path,label\n{'x' * 300}.png,pre\na.png,benign\nb.png,pre\n", encoding="utf-8")
    data = load_dataset(table)
    assert data.files == ("a.png", "b.png")
    assert len(data.problems) == 1 and "can't be looked up" in data.problems[0]


@pytest.mark.parametrize("locked", ["Original/Pro", "groups.csv"])
def test_what_may_not_be_opened_is_named(tmp_path: Path, locked: str) -> None:
    _touch(tmp_path, "Original/Benign/a.png", "Original/Pro/b.png", "groups.csv")
    (tmp_path / locked).chmod(0)
    try:
        if os.access(tmp_path / locked, os.R_OK):
            pytest.skip("to the administrator every file is open")
        with pytest.raises(DataError, match=f"{locked} can't be opened"):
            load_dataset(tmp_path)
        if locked != "groups.csv":
            with pytest.raises(DataError, match=f"{locked} can't be opened"):
                check_taleqani(tmp_path)
    finally:
        (tmp_path / locked).chmod(0o700)


def test_the_public_layout_gets_its_groups(tmp_path: Path) -> None:
    listed = taleqani()
    first, last = listed.files[0], listed.files[-1]
    _touch(tmp_path, first, last, "Original/Pro/WBC-Malignant-Pro-999.jpg")
    data = load_dataset(tmp_path)
    assert data.fold is not None and data.session is not None and data.scale_bar is not None
    row = data.files.index(first)
    assert data.fold[row] == (listed.fold if listed.fold is not None else [])[0]
    assert data.scale_bar[row] == (listed.scale_bar or ())[0]
    assert data.fold[data.files.index("Original/Pro/WBC-Malignant-Pro-999.jpg")] == -1


def test_the_bundled_list_stands_without_images() -> None:
    data = taleqani()
    assert len(data) == 2516 and data.root is None
    assert data.fold is not None and data.session is not None
    assert all(len(np.unique(data.fold[data.session == one])) == 1 for one in np.unique(data.session))
    with pytest.raises(DataError, match="not here"):
        data.path(0)


def test_a_subset_keeps_its_columns() -> None:
    data = taleqani()
    part = data.subset(np.array([5, 2]))
    assert part.files == (data.files[5], data.files[2]) and part.labels.tolist() == data.labels[[5, 2]].tolist()
    assert part.scale_bar == (data.scale_bar[5], data.scale_bar[2]) if data.scale_bar else False


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: root / "nowhere", "There is no folder or table"),
        (lambda root: root, "holds no image"),
        (lambda root: _touch(root, "a.png"), "in no class folders"),
        (lambda root: _touch(root, "t.csv") / "t.csv", "lacks a column path or label"),
        (lambda root: root / ("x" * 300), "can't be opened"),
        (
            lambda root: _touch(root, "Healthy/a.png", "normal/b.png", "pre/c.png"),
            "classes healthy and normal both mean",
        ),
    ],
)
def test_what_is_no_data_set_is_one_sentence(tmp_path: Path, make: object, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load_dataset(make(tmp_path))  # type: ignore[operator]
    assert str(caught.value).count(". ") == 0


def test_a_column_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 1 labels"):
        DataSet("x", ("a",), ("b",), np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="expected split for 1 files"):
        DataSet("x", ("a",), ("b",), np.zeros(1, np.int64), split=("train", "test"))


def test_a_download_is_compared_with_what_is_known(tmp_path: Path) -> None:
    assert sum(PUBLIC_COUNTS.values()) == 3256
    for folder in PUBLIC_COUNTS:
        for kind in ("Original", "Segmented"):
            _touch(tmp_path / kind / folder, *public_names(folder))
    assert check_taleqani(tmp_path).complete
    (tmp_path / "Original/Pro/WBC-Malignant-Pro-007.jpg").unlink()
    _touch(tmp_path, "Original/Benign/copy.jpg")
    check = check_taleqani(tmp_path)
    assert check.counts["Pro"] == (803, 804) and check.counts["Benign"] == (505, 504)
    assert check.missing == ("Original/Pro/WBC-Malignant-Pro-007.jpg",)
    assert check.unexpected == ("Original/Benign/copy.jpg",)
    assert len(check.problems) == 2
    with pytest.raises(DataError, match="holds no folder Original"):
        check_taleqani(tmp_path / "Original")


def test_every_listed_name_is_one_of_the_known() -> None:
    known = {f"Original/{folder}/{name}" for folder in PUBLIC_COUNTS for name in public_names(folder)}
    assert set(taleqani().files) <= known


def test_real_set(data_dir: Path) -> None:
    data = load_dataset(data_dir / "taleqani")
    listed = taleqani(data_dir / "taleqani")
    assert sorted(data.files) == sorted(listed.files) and listed.problems == ()
    assert data.segmented is not None and None not in data.segmented
    assert load_dataset(data_dir / "all_idb2" / "img").classes == ("benign", "malignant")

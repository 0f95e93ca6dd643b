"""A labelled data set as a light list of files, read from a folder of class folders, a table or a public layout."""

from __future__ import annotations

import csv
import io
import os
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath

import numpy as np

from leuk.data.taleqani import CLASSES, FOLDERS, Listed, read_groups
from leuk.errors import DataError
from leuk.image import IMAGE_SUFFIXES

Progress = Callable[[float, str], None]
"""Told the share done, 0 … 1, and what is under way; it stops the work by raising `leuk.errors.Cancelled`."""

BENIGN_NAMES = ("benign", "normal", "healthy", "hem", "negative")
"""Keys of classes that are not leukaemia; a set has one of them at most."""

MALIGNANT_NAMES = (
    *CLASSES[1:],
    *("malignant", "blast", "blasts", "lymphoblast", "lymphoblasts", "myeloblast", "myeloblasts", "positive"),
    *("leukemia", "leukaemia", "leukemic", "leukaemic", "all", "b_all", "t_all", "l1", "l2", "l3"),
    *("aml", "apl", "cll", "cml", "lymphoma", "cancer", "tumor", "tumour"),
)
"""Keys of classes that are malignant, beside those that begin with "malignant_". Of others nobody can tell."""

PUBLIC_COUNTS = {"Benign": 504, "Early": 985, "Pre": 963, "Pro": 804}
"""Fields of each class in the whole public set of Taleqani Hospital, 3,256 in all."""


@dataclass(frozen=True, eq=False)
class DataSet:
    """Files and their labels, without pixels.

    Attributes
    ----------
    name : str
        What to call it on a screen.
    files : tuple of str
        Names relative to `root`, with forward slashes.
    classes : tuple of str
        Keys of the classes, a benign one first.
    labels : numpy.ndarray
        int64, (N,): index into `classes`.
    root : pathlib.Path or None
        Folder of the images; None where there are none.
    segmented : tuple of str or None, optional
        Per file, the name of its "Segmented" twin relative to `root`, None for a file without one.
    split : tuple of str, optional
        Per file, such as "train" or "test"; "" where not known.
    session : numpy.ndarray, optional
        int64, (N,): what `session_kind` says, unique across classes, -1 where not known.
    near_duplicate : numpy.ndarray, optional
        int64, (N,): group of near duplicates as listed, -1 where not known.
    fold : numpy.ndarray, optional
        int64, (N,): part of the grouped partition, -1 where not known.
    scale_bar : tuple of str, optional
        Per file, the style of its scale bar; "" where not known.
    problems : tuple of str
        One sentence for each file that was left out, and for what else is wrong.
    session_kind : str
        "patient" or "session" as a table's column says; "pseudo-session" for clusters of colour and light, which are
        never patients.
    session_names : tuple of str
        What a table calls each number of `session`; empty where they have numbers only.
    """

    name: str
    files: tuple[str, ...]
    classes: tuple[str, ...]
    labels: np.ndarray
    root: Path | None = None
    segmented: tuple[str | None, ...] | None = None
    split: tuple[str, ...] | None = None
    session: np.ndarray | None = None
    near_duplicate: np.ndarray | None = None
    fold: np.ndarray | None = None
    scale_bar: tuple[str, ...] | None = None
    problems: tuple[str, ...] = ()
    session_kind: str = "pseudo-session"
    session_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.files)

    def __post_init__(self) -> None:
        if self.labels.shape != (len(self.files),):
            raise ValueError(f"expected {len(self.files)} labels, got shape {self.labels.shape}")
        for name in ("segmented", "split", "session", "near_duplicate", "fold", "scale_bar"):
            column = getattr(self, name)
            if column is not None and len(column) != len(self.files):
                raise ValueError(f"expected {name} for {len(self.files)} files, got {len(column)}")

    @property
    def benign(self) -> int | None:
        """Index of the class that is not leukaemia; None if no class is named so."""
        for index, name in enumerate(self.classes):
            if name.casefold() in BENIGN_NAMES:
                return index
        return None

    @property
    def benign_beside_malignant(self) -> int | None:
        """Index of the class that is not leukaemia, where every other is known to be malignant; else None.

        Only there can one speak of false alarms and misses: beside reactive cells, "not benign" is not malignant.
        """
        others = [name for index, name in enumerate(self.classes) if index != self.benign]
        return self.benign if all(map(is_malignant, others)) else None

    def session_title(self, number: int) -> str:
        """Name a session, such as "patient P7" or "pseudo-session 12"."""
        known = 0 <= number < len(self.session_names)
        return f"{self.session_kind} {self.session_names[number] if known else number}"

    def path(self, row: int) -> Path:
        """Return where the image of a row is.

        Raises
        ------
        DataError
            If the set has no folder.
        """
        if self.root is None:
            raise DataError(f"The images of {self.name} are not here; name the folder that holds them.")
        return self.root / self.files[row]

    def segmented_path(self, row: int) -> Path | None:
        """Return where the "Segmented" twin of a row is; None if it has none."""
        name = None if self.segmented is None else self.segmented[row]
        return None if name is None or self.root is None else self.root / name

    def subset(self, rows: np.ndarray) -> DataSet:
        """Return some rows, int (M,), as a data set of their own."""
        chosen = [int(row) for row in rows]

        def strings(column: tuple[str, ...] | None) -> tuple[str, ...] | None:
            return None if column is None else tuple(column[row] for row in chosen)

        def numbers(column: np.ndarray | None) -> np.ndarray | None:
            return None if column is None else column[chosen]

        return replace(
            self,
            files=tuple(self.files[row] for row in chosen),
            labels=self.labels[chosen],
            segmented=None if self.segmented is None else tuple(self.segmented[row] for row in chosen),
            split=strings(self.split),
            session=numbers(self.session),
            near_duplicate=numbers(self.near_duplicate),
            fold=numbers(self.fold),
            scale_bar=strings(self.scale_bar),
            problems=(),
        )


# What folders of the public set and of its other editions are called, without brackets, signs and capitals.
_KEYS = {
    "benign": "benign",
    "early": "early_pre_b",
    "early_pre_b": "early_pre_b",
    "early_preb": "early_pre_b",
    "malignant_early": "early_pre_b",
    "malignant_early_pre_b": "early_pre_b",
    "pre": "pre_b",
    "pre_b": "pre_b",
    "preb": "pre_b",
    "malignant_pre": "pre_b",
    "malignant_pre_b": "pre_b",
    "pro": "pro_b",
    "pro_b": "pro_b",
    "prob": "pro_b",
    "malignant_pro": "pro_b",
    "malignant_pro_b": "pro_b",
}
_SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_SPLITS["testing"] = "test"
_NUMBERED = re.compile(r"(fold|part)[ _-]?(\d+)")
_ORIGINAL, _SEGMENTED = ("original", "originals"), ("segmented", "segmentation")
_ALL_IDB = re.compile(r"_([01])$")
_LIST = Path(__file__).with_name("taleqani_groups.csv")


def load_dataset(path: str | os.PathLike[str]) -> DataSet:
    """Read which images there are and what they are labelled; no image is opened.

    Parameters
    ----------
    path : str or path-like
        A folder of class folders (with or without ``Original`` and ``Segmented``, or ``train``, ``val``, ``test``,
        above them); a folder of files named as ALL-IDB's, ``*_1`` malignant and ``*_0`` benign; or a CSV with columns
        path and label, and optionally split, session and fold, its paths relative to itself. A folder whose files are
        named as those of the public set gets the groups, sessions and folds of the list that Leuk carries.

    Returns
    -------
    DataSet

    Raises
    ------
    DataError
        There is nothing there, no image, a folder in it can't be opened, no label can be told, or two classes are
        benign.
    """
    where = Path(path)
    with _openable(where):
        if where.is_dir():
            return _from_folder(where)
        if where.is_file():
            return _from_table(where)
    raise DataError(f"There is no folder or table {where}; check the name.")


@contextmanager
def _openable(where: Path) -> Iterator[None]:
    """Turn what a file system refuses into one sentence."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{error.filename or where} can't be opened ({error.strerror}); check the name, or ask for the right to "
            "read it."
        ) from error


def taleqani(root: str | os.PathLike[str] | None = None) -> DataSet:
    """Return the listed 2,516 fields of the public set, with groups and folds, whether the images are here or not.

    Parameters
    ----------
    root : str or path-like, optional
        Folder that holds ``Original/Benign`` and so on; fields that are not in it are named in `problems`, but stay.
    """
    rows = read_groups(_LIST)
    folder = None if root is None else Path(root)
    problems: list[str] = []
    if folder is not None:
        with _openable(folder):
            if not folder.is_dir():
                raise DataError(f"There is no folder {folder}; name the one that holds Original/Benign and so on.")
            there = {name for name, _ in _images(folder)}
        absent = [row.file for row in rows if row.file not in there]
        if len(absent) == len(rows):
            raise DataError(f"{folder} holds none of the listed fields; name the folder that holds Original/Benign.")
        problems = [f"{name} is listed but not there: download it again." for name in absent]
    columns = _group_columns(rows)
    return DataSet(
        name="Taleqani",
        files=tuple(row.file for row in rows),
        classes=CLASSES,
        labels=np.array([CLASSES.index(FOLDERS[row.folder]) for row in rows], dtype=np.int64),
        root=folder,
        segmented=tuple(row.file.replace("Original/", "Segmented/", 1) for row in rows),
        problems=tuple(problems),
        session=columns[0],
        near_duplicate=columns[1],
        fold=columns[2],
        scale_bar=columns[3],
    )


@lru_cache(maxsize=1)
def public_files() -> frozenset[str]:
    """Return the names of the listed fields of the public set, as in ``Original/Benign/WBC-Benign-001.jpg``."""
    return frozenset(row.file for row in read_groups(_LIST))


def _group_columns(
    rows: Sequence[Listed | None],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return session (numbered across classes), near-duplicate group, fold and scale-bar style; -1 and "" for None."""
    pairs = sorted({(row.folder, row.session) for row in rows if row})
    sessions = {pair: number for number, pair in enumerate(pairs)}
    return (
        np.array([sessions[row.folder, row.session] if row else -1 for row in rows], dtype=np.int64),
        np.array([row.near_duplicate if row else -1 for row in rows], dtype=np.int64),
        np.array([row.fold if row else -1 for row in rows], dtype=np.int64),
        tuple(row.scale_bar if row else "" for row in rows),
    )


def _images(root: Path) -> list[tuple[str, PurePosixPath]]:
    """List images below a folder by relative name, hidden ones left out, sorted."""

    def refuse(error: OSError) -> None:
        raise error  # os.walk would pass over the folder, and its class would be gone

    found = []
    for folder, subfolders, files in os.walk(root, onerror=refuse):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                relative = PurePosixPath(Path(folder, name).relative_to(root).as_posix())
                found.append((str(relative), relative))
    return sorted(found)


def escaped(text: str) -> str:
    r"""Write a name that is not UTF-8 in characters that any table or database holds: its odd bytes as ``\udcNN``."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def unescaped(text: str) -> str:
    """Return the name that `escaped` wrote, so that it is found again among the files."""
    return re.sub(r"\\(udc[89a-f][0-9a-f])", lambda match: chr(int(match[1][1:], 16)), text)


def table_rows(text: str) -> tuple[list[str], list[dict[str, str | None]], str]:
    """Read a CSV, as a spreadsheet writes it too: where the comma is the decimal mark, Excel puts semicolons between.

    Parameters
    ----------
    text : str
        With a line of names first.

    Returns
    -------
    heads : list of str
        The columns' names in small letters.
    rows : list of dict
        By these; None where a line is too short.
    delimiter : str
        "," or ";".

    Raises
    ------
    csv.Error
        If it can't be parted into columns.
    """
    names = text.split("\n", 1)[0]
    delimiter = ";" if names.count(";") > names.count(",") else ","
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    heads = [head.strip().casefold() for head in reader.fieldnames or ()]
    reader.fieldnames = heads
    return heads, list(reader), delimiter


def class_key(name: str) -> str:
    """Return a class's key from what a folder, a table or a person calls it.

    Names of the public set's classes, in any of its editions, become the keys that the models use; other names are
    kept in lower case with underscores, a plus or minus that ends a word as "pos" or "neg".

    Examples
    --------
    >>> class_key("[Malignant] early Pre-B")
    'early_pre_b'
    >>> class_key("Hairy cell")
    'hairy_cell'
    >>> class_key("CD10-")
    'cd10_neg'
    """
    words = re.sub(r"(?<=\w)[+⁺]+(?!\w)", "_pos ", name.casefold())
    words = re.sub(r"(?<=\w)[-−–⁻]+(?!\w)", "_neg ", words)
    plain = re.sub(r"[^\w]+", "_", words).strip("_")
    return _KEYS.get(plain, plain or name)


def class_keys(names: Iterable[str]) -> list[str]:
    """Return the keys of all classes of a set or a table, each by `class_key`.

    Raises
    ------
    DataError
        If two names would become one class though they differ in more than capitals and spaces, and neither is of the
        public set: nobody says that these are the same.
    """
    keys, first = [], dict[str, str]()
    for name in names:
        key = class_key(name)
        other = first.setdefault(key, name)
        if key not in _KEYS.values() and _spelled(name) != _spelled(other):
            raise DataError(
                f"The names {other} and {name} would both be the class {key}; rename one of them, or give both the "
                "same name if they mean the same."
            )
        keys.append(key)
    return keys


def _spelled(name: str) -> str:
    return re.sub(r"[\s_]+", "_", name.casefold()).strip("_")


def is_malignant(key: str) -> bool:
    """Tell whether a class is known to be malignant by its key."""
    return key in MALIGNANT_NAMES or key.startswith("malignant_")


def _ordered(keys: Iterable[str]) -> tuple[str, ...]:
    """Order classes: the public set's as its models have them, else a benign one first."""
    present = set(keys)
    benign = sorted(present & set(BENIGN_NAMES))
    if len(benign) > 1:
        raise DataError(
            f"The classes {benign[0]} and {benign[1]} both mean that there is no leukaemia; put their images into one "
            "folder, or under one label."
        )
    if present <= set(CLASSES):
        return tuple(key for key in CLASSES if key in present)
    return tuple(sorted(present, key=lambda key: (key not in BENIGN_NAMES, key)))


def _from_folder(root: Path) -> DataSet:
    images = _images(root)
    if not images:
        raise DataError(f"The folder {root.name or root} holds no image that Leuk reads (JPEG, PNG, BMP, TIFF).")
    twins: dict[tuple[str, ...], str] = {}
    rows: list[tuple[str, str, str]] = []
    problems: list[str] = []
    loose = []
    originals = any(part.casefold() in _ORIGINAL for _, path in images for part in path.parts[:-1])
    for name, path in images:
        above = [part for part in path.parts[:-1] if part.casefold() not in _ORIGINAL]
        if originals and any(part.casefold() in _SEGMENTED for part in above):
            twins[_twin(path)] = name
            continue
        splits = [_split(part, last=place == len(above) - 1) for place, part in enumerate(above)]
        split = next(filter(None, splits), "")
        above = [part for part, named in zip(above, splits, strict=True) if not named]
        if above:
            rows.append((name, above[0], split))
        else:
            loose.append((name, path, split))
    named = [(name, match.group(1), split) for name, path, split in loose if (match := _ALL_IDB.search(path.stem))]
    # Folders named im, img or images beside files named *_0 and *_1 are no classes.
    inside = [(name, match.group(1), split) for name, _, split in rows if (match := _ALL_IDB.search(Path(name).stem))]
    picture_folders = {folder for _, folder, _ in rows if folder.casefold() in ("im", "img", "images")}
    if len(picture_folders) == 1:  # what lies beside it (masks, centres) is no class either
        rows = [row for row in rows if row[1] in picture_folders]
        inside = [row for row in inside if PurePosixPath(row[0]).parts[0] in picture_folders]
    if inside and len({folder for _, folder, _ in rows}) == 1 and len(inside) == len(rows):
        named, rows = named + inside, []
    if rows:
        problems += [f"{name} lies in no class folder and was left out: move it into one." for name, _, _ in loose]
        if len(picture_folders) != 1:
            problems += [
                f"The class folder {name} holds no image that Leuk reads: put images into it, or remove it."
                for name in _empty_class_folders(root, [name for name, _ in images], rows)
            ]
    elif named:
        rows = [(name, "malignant" if mark == "1" else "benign", split) for name, mark, split in sorted(named)]
        kept = {name for name, _, _ in rows}
        problems += [
            f"{name} ends neither in _0 nor in _1 and was left out: rename it."
            for name, _, _ in loose
            if name not in kept
        ]
    else:
        raise DataError(
            f"The images in {root.name or root} are in no class folders and not named *_0 and *_1; "
            "sort them into one folder for each class, or name a CSV with columns path and label."
        )
    keys = class_keys(folder for _, folder, _ in rows)
    classes = _ordered(keys)
    files = [name for name, _, _ in rows]
    segmented: tuple[str | None, ...] | None = None
    if twins:
        segmented = tuple(twins.get(_twin(PurePosixPath(name))) for name in files)
        lacking = sum(twin is None for twin in segmented)
        if lacking:
            problems.append(f"{lacking} of {len(files)} originals have no segmented twin of the same name.")
    given = tuple(split for _, _, split in rows)
    dataset = DataSet(
        name=root.resolve().name or str(root),
        files=tuple(files),
        classes=classes,
        labels=np.array([classes.index(key) for key in keys], dtype=np.int64),
        root=root,
        segmented=segmented,
        split=given if any(given) else None,
        problems=tuple(problems),
    )
    return _with_groups(dataset)


def _split(folder: str, last: bool) -> str:
    """Return which part of a split a folder is; "" if it is none.

    Numbered ones (``fold_0``, as in C-NMC) are only where folders of classes lie in them: else they may be classes.
    """
    name = folder.casefold()
    numbered = None if last else _NUMBERED.fullmatch(name)
    return f"{numbered[1]} {int(numbered[2])}" if numbered else _SPLITS.get(name, "")


def _empty_class_folders(root: Path, images: Sequence[str], rows: Sequence[tuple[str, str, str]]) -> list[str]:
    """Name the folders beside class folders that hold no image: without a word their class would be gone."""
    filled = {parent for name in images for parent in PurePosixPath(name).parents}
    folders = [PurePosixPath(*parts[: parts.index(folder)]) for name, folder, _ in rows if (parts := Path(name).parts)]
    found = []
    for holder in sorted(set(folders)):
        for folder in sorted(path for path in (root / holder).iterdir() if path.is_dir()):
            name = holder / folder.name
            is_class = folder.name.casefold() not in (*_ORIGINAL, *_SEGMENTED) and not _split(folder.name, last=False)
            if is_class and not folder.name.startswith(".") and name not in filled:
                found.append(str(name))
    return found


def _twin(path: PurePosixPath) -> tuple[str, ...]:
    """Return what an original and its segmented twin have in common."""
    kept = [part.casefold() for part in path.parts[:-1] if part.casefold() not in _ORIGINAL + _SEGMENTED]
    return (*kept, path.stem.casefold())


def _with_groups(dataset: DataSet) -> DataSet:
    """Add groups, sessions and folds from a groups.csv in the folder or from the list that Leuk carries."""
    own = dataset.root / "groups.csv" if dataset.root else _LIST
    rows = read_groups(own if own.is_file() else _LIST)
    by_name = {(class_key(row.folder), PurePosixPath(row.file).stem.casefold()): row for row in rows}
    found = [
        by_name.get((dataset.classes[label], PurePosixPath(name).stem.casefold()))
        for name, label in zip(dataset.files, dataset.labels, strict=True)
    ]
    if not any(found):
        return dataset
    session, near, fold, bar = _group_columns(found)
    return replace(
        dataset,
        session=session,
        near_duplicate=near,
        fold=fold,
        scale_bar=bar,
        session_kind="pseudo-session",
        session_names=(),
    )


_PATH_COLUMNS = ("path", "file", "image", "filename", "file_name")
_PATIENT_COLUMNS = ("patient", "patient_id", "subject")
_LABEL_COLUMNS = ("label", "class", "diagnosis", "target")


def _from_table(table: Path) -> DataSet:
    try:
        heads, rows, _ = table_rows(table.read_bytes().decode("utf-8-sig"))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table.name} is no table of text; save it as CSV in UTF-8.") from error

    def column(*names: str) -> str | None:
        return next((name for name in names if name in heads), None)

    path_column, label_column = column(*_PATH_COLUMNS), column(*_LABEL_COLUMNS)
    if path_column is None or label_column is None:
        raise DataError(f"The table {table.name} lacks a column path or label; add both, one row for each image.")
    if not rows:
        raise DataError(f"The table {table.name} has no rows; add one for each image.")
    root, problems, kept = table.parent, [], []
    seen: set[str] = set()
    for number, row in enumerate(rows, start=2):
        name = (row[path_column] or "").strip().replace("\\", "/")
        name = name and str(PurePosixPath(name))
        label = (row[label_column] or "").strip()
        if not name or not label:
            problems.append(
                f"Line {number} of {table.name} lacks a {'path' if not name else 'label'} and was left out."
            )
        elif (spelled := posixpath.normpath(name)) in seen:
            problems.append(f"{name} is listed twice in {table.name}; the first row was kept.")
        else:
            seen.add(spelled)
            if fault := _fault(root / name):
                problems.append(f"{name} is listed in {table.name} but {fault}, and was left out: correct the path.")
            else:
                kept.append((name, label, row))
    if not kept:
        raise DataError(f"None of the images that {table.name} lists is there; paths are relative to the table.")
    keys = class_keys(label for _, label, _ in kept)
    classes = _ordered(keys)

    def given(head: str | None) -> list[str]:
        values = [] if head is None else [(row[head] or "").strip() for _, _, row in kept]
        return values if any(values) else []

    def named(values: list[str]) -> tuple[np.ndarray | None, tuple[str, ...]]:
        names = tuple(sorted(set(values) - {""}))
        order = {value: index for index, value in enumerate(names)}
        return np.array([order.get(value, -1) for value in values], dtype=np.int64) if values else None, names

    def numbered(values: list[str]) -> np.ndarray | None:
        if values and all(re.fullmatch(r"-?\d{0,18}", value) for value in values):
            return np.array([int(value) if value.strip("-") else -1 for value in values], dtype=np.int64)
        return named(values)[0]

    by = column("session", *_PATIENT_COLUMNS, "group")
    session, session_names = named(given(by))
    split, bar = column("split", "subset", "partition"), column("scale_bar")
    dataset = DataSet(
        name=table.stem,
        files=tuple(name for name, _, _ in kept),
        classes=classes,
        labels=np.array([classes.index(key) for key in keys], dtype=np.int64),
        root=root,
        split=None if split is None else tuple((row[split] or "").strip() for _, _, row in kept),
        session=session,
        session_kind="patient" if by in _PATIENT_COLUMNS else "session",
        session_names=session_names,
        fold=numbered(given(column("fold"))),
        scale_bar=None if bar is None else tuple((row[bar] or "").strip() for _, _, row in kept),
        problems=tuple(problems),
    )
    return dataset if dataset.session is not None or dataset.fold is not None else _with_groups(dataset)


def _fault(path: Path) -> str:
    """Say why there is no file at a path; "" where there is one."""
    try:
        return "" if path.is_file() else "not there"
    except OSError as error:  # too long a name, a folder that may not be searched
        return f"can't be looked up ({error.strerror})"


@dataclass(frozen=True)
class Check:
    """How a download of the public set compares with what is known of it.

    Attributes
    ----------
    counts : dict
        Per folder (Benign, Early, Pre, Pro): found and expected number of originals.
    twins : dict
        The same of segmented images.
    missing : tuple of str
        Names that the whole set has and the folder has not.
    unexpected : tuple of str
        Names that the folder has and the set has not.
    problems : tuple of str
        One sentence for each difference.
    """

    counts: dict[str, tuple[int, int]]
    twins: dict[str, tuple[int, int]]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing differs."""
        return not self.problems


def public_names(folder: str) -> tuple[str, ...]:
    """Return the names of all originals in a class folder of the public set, as in "WBC-Benign-001.jpg"."""
    middle = "Benign" if folder == "Benign" else f"Malignant-{folder}"
    return tuple(f"WBC-{middle}-{number:03d}.jpg" for number in range(1, PUBLIC_COUNTS[folder] + 1))


def check_taleqani(root: str | os.PathLike[str]) -> Check:
    """Compare a folder with the known counts and names of the public set.

    Parameters
    ----------
    root : str or path-like
        Holds ``Original/Benign`` and so on.

    Raises
    ------
    DataError
        If the folder does not exist or does not hold ``Original``, or one in it can't be opened.
    """
    where = Path(root)
    with _openable(where):
        if not where.is_dir():
            raise DataError(f"There is no folder {where}; name the one that holds Original and Segmented.")
        folders = {path.name.casefold(): path for path in where.iterdir() if path.is_dir()}
        if "original" not in folders:
            raise DataError(
                f"{where.name or where} holds no folder Original; name the one that holds it and Segmented."
            )
        there = {
            kind: {folder: _names(folders[kind], folder) if kind in folders else set() for folder in PUBLIC_COUNTS}
            for kind in ("original", "segmented")
        }
    problems, missing, unexpected = [], [], []
    for kind, title in (("original", "Original"), ("segmented", "Segmented")):
        if kind not in folders:
            problems.append("The folder Segmented is missing; only what looks at originals will work.")
            continue
        for folder in PUBLIC_COUNTS:
            expected, found = set(public_names(folder)), there[kind][folder]
            lacking, more = sorted(expected - found), sorted(found - expected)
            missing += [f"{title}/{folder}/{name}" for name in lacking]
            unexpected += [f"{title}/{folder}/{name}" for name in more]
            if lacking:
                problems.append(
                    f"{title}/{folder} holds {len(found & expected)} of {len(expected)} known images; "
                    f"missing: {_some(lacking)}."
                )
            if more:
                problems.append(f"{title}/{folder} holds {len(more)} images that the set has not: {_some(more)}.")
    return Check(
        counts={folder: (len(there["original"][folder]), count) for folder, count in PUBLIC_COUNTS.items()},
        twins={folder: (len(there["segmented"][folder]), count) for folder, count in PUBLIC_COUNTS.items()},
        missing=tuple(missing),
        unexpected=tuple(unexpected),
        problems=tuple(problems),
    )


def _names(parent: Path, folder: str) -> set[str]:
    inside = next(
        (path for path in parent.iterdir() if path.is_dir() and path.name.casefold() == folder.casefold()), None
    )
    return {path.name for _, relative in _images(inside) for path in (Path(relative),)} if inside else set()


def _some(names: Sequence[str], most: int = 3) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def counts_of(dataset: DataSet) -> Counter[str]:
    """Return how many images each class has."""
    return Counter({name: int((dataset.labels == index).sum()) for index, name in enumerate(dataset.classes)})


def random_folds(labels: np.ndarray, seed: int = 0, folds: int = 5) -> np.ndarray:
    """Deal fields out to folds at random, each class evenly: the papers' partition.

    One fold for one field: its segmented twin, or a changed copy of it, has the same index and so the same fold.

    Parameters
    ----------
    labels : numpy.ndarray
        int, (N,).
    seed : int
    folds : int

    Returns
    -------
    numpy.ndarray
        int64, (N,), 0 … folds - 1.
    """
    rng = np.random.default_rng(seed)
    dealt, start = np.zeros(len(labels), np.int64), 0
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        # Each class goes on where the one before stopped, so that the folds' sizes differ by one at most.
        dealt[members] = (np.arange(len(members)) + start) % folds
        start += len(members)
    return dealt

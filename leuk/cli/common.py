"""What several commands share: exit statuses, the walk over images, the writing of files."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from leuk.errors import LeukError, OptionError
from leuk.files import write_all
from leuk.image import IMAGE_SUFFIXES, find_images

READ, REFUSED, MISUSED = 0, 1, 2
"""Exit status: all files were read, some were refused, the command itself can't be carried out."""


def each(paths: Sequence[str], work: Callable[[Path], Any], refuse: Callable[[str, str], Any], done: list[Any]) -> None:
    """Do the work for each image; one that is refused becomes a row with its reason, and the rest goes on.

    Parameters
    ----------
    paths : sequence of str
        Files and folders.
    work : callable
        Given an image's path; returns its row.
    refuse : callable
        Given the path and the reason; returns its row.
    done : list
        To which rows are added one by one, so that whoever stops it has those of what was done.
    """
    images = find_images(paths)
    if not images:
        print("leuk: these folders hold no image that Leuk reads (JPEG, PNG, BMP, TIFF).", file=sys.stderr)
    # The bar is for people: it stays away where standard error is no terminal.
    for path in tqdm(images, unit="image", disable=None):
        try:
            done.append(work(path))
        except LeukError as error:
            done.append(refuse(str(path), str(error)))


class Names:
    """Names of output files: STEM and a suffix, numbered where two inputs share a stem.

    Parameters
    ----------
    folder : pathlib.Path
        For the outputs.
    inputs : iterable of pathlib.Path
        Files that no output may take the place of.

    Attributes
    ----------
    renamed : list of tuple of str
        The name that was taken, and the one given instead.
    """

    def __init__(self, folder: Path, inputs: Iterable[Path] = ()) -> None:
        self._folder = folder
        self._taken: set[str] = set()
        self.renamed: list[tuple[str, str]] = []
        self._inputs = {path.resolve() for path in inputs}

    def claim(self, path: Path, suffix: str, *others: str) -> Path:
        """Return a path for an output of an input, at which it is free, and so are those with other suffixes."""
        # A file system takes 255 bytes; a longer stem loses its end, a character at a time.
        short, room = path.stem, LONGEST_NAME - max(map(len, (suffix, *others))) - len("-9999")
        while len(os.fsencode(short)) > room:
            short = short[:-1]
        stem, number = short, 1

        def held(stem: str) -> bool:
            paths = (self._folder / f"{stem}{one}" for one in (suffix, *others))
            return stem.casefold() in self._taken or any(one.resolve() in self._inputs for one in paths)

        while held(stem):
            number += 1
            stem = f"{short}-{number}"
        if number > 1:
            self.renamed.append((f"{short}{suffix}", f"{stem}{suffix}"))
        self._taken.add(stem.casefold())
        return self._folder / f"{stem}{suffix}"


def check_data(path: Path) -> None:
    """Refuse data that are not there, before anything is made for what would come of them."""
    if not path.exists():
        raise OptionError(f"There is no folder or table {path}; check the name.")


LONGEST_NAME = 240
"""Bytes of an output's name."""


def check_method(name: str) -> None:
    """Refuse a segmentation method that does not exist."""
    from leuk.segmentation import METHODS

    if name not in METHODS:
        raise OptionError(f"There is no segmentation method {name!r}; choose one of: {', '.join(METHODS)}.")


def tell_renamed(names: Names) -> None:
    """Say which outputs could not have the names that one would look for."""
    for wanted, given in names.renamed:
        print(f"{given}: so named because there is another {wanted}.")


def make_folder(folder: Path) -> Path:
    """Return a folder, made if it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(f"The folder {folder} can't be made ({error.strerror}); name another.") from error
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OptionError(f"Nothing can be written into {folder} ({error.strerror}); name another folder.") from error
    return folder


def check_files(paths: Sequence[Path | None], inputs: Iterable[Path] = (), only_read: Path | None = None) -> None:
    """Refuse what `check_file` refuses, and one file for two outputs."""
    inputs = list(inputs)
    for path in paths:
        check_file(path, inputs, only_read)
    named = [path.resolve() for path in paths if path is not None and str(path) != "-"]
    if len(set(named)) < len(named):
        raise OptionError(f"{max(named, key=named.count)} is named for two outputs; name a file for each.")


def check_file(path: Path | None, inputs: Iterable[Path] = (), only_read: Path | None = None) -> None:
    """Refuse a place where no file can or may be written, before hours of work are lost to it; None and "-" are any.

    Parameters
    ----------
    path : pathlib.Path or None
        For the output.
    inputs : iterable of pathlib.Path
        Files that no output may take the place of.
    only_read : pathlib.Path, optional
        Folder that nothing is written into.

    Raises
    ------
    OptionError
        The file is an input, lies in that folder, has a photograph's name, or can't be written.
    """
    if path is None or str(path) == "-":
        return
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise OptionError(f"{path} has a photograph's name; name the file for the output otherwise.")
    if only_read is not None and path.resolve().is_relative_to(only_read.resolve()):
        raise OptionError(f"{path} lies in {only_read}, which is only read; name a file in another folder.")
    try:
        if path.is_dir():
            raise OptionError(f"{path} is a folder; name a file in it.")
        if path.exists():
            if any(_same(one, path) for one in inputs):
                raise OptionError(f"{path} is one of the files that are read; name another for the output.")
            if not os.access(path, os.W_OK):
                raise OptionError(f"The file {path} is read-only; name another.")
            if not path.is_file():
                # Beside a device, as /dev/null, nothing is written.
                return
    except OSError as error:
        raise OptionError(f"The file {path} can't be written ({error.strerror}); name another.") from error
    make_folder(path.parent)


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def write_outputs(source: Path, contents: Mapping[Path, bytes]) -> None:
    """Write all files that an image gave, or none."""
    try:
        write_all(contents)
    except OSError as error:
        # The disk may have become full, or a name too long for it; other images are none the worse.
        raise OptionError(
            f"What {source.name} gave can't be written ({error.strerror}); make room, or name another folder."
        ) from error


def write_text(path: Path, text: str) -> None:
    r"""Write a file of text, or to the screen where its name is "-".

    A byte in a file's name that is no UTF-8 is written as the JSON escape ``\udcXX``, from which the name comes back.
    """
    if str(path) == "-":
        try:
            text.encode(sys.stdout.encoding or "utf-8")
        except UnicodeEncodeError:
            # Not by the screen's own escapes, some of which are none in JSON.
            text = "".join(one if one.isascii() else json.dumps(one)[1:-1] for one in text)
        print(text, end="")
        return
    try:
        write_all({path: text.encode("utf-8", "backslashreplace")})
    except OSError as error:
        raise OptionError(
            f"The file {path} can't be written ({error.strerror}); make room, or name another."
        ) from error


def table(rows: Iterable[tuple[str, str]]) -> None:
    """Print rows of file and outcome in two columns."""
    rows = list(rows)
    width = min(60, max((len(file) for file, _ in rows), default=0))
    for file, outcome in rows:
        shown = file if len(file) <= width else "…" + file[-(width - 1) :]
        print(f"{shown:<{width}}  {outcome}")

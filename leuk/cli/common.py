"""What several commands share: exit statuses, the walk over images, the writing of files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from leuk.errors import LeukError, OptionError
from leuk.image import find_images

READ, REFUSED, MISUSED = 0, 1, 2
"""Exit status: all files were read, some were refused, the command itself can't be carried out."""


def each(paths: Sequence[str], work: Callable[[Path], Any], refuse: Callable[[str, str], Any]) -> list[Any]:
    """Do the work for each image; one that is refused becomes a row with its reason, and the rest goes on."""
    images = find_images(paths)
    if not images:
        print("leuk: these folders hold no image that Leuk reads (JPEG, PNG, BMP, TIFF).", file=sys.stderr)
    done = []
    # The bar is for people: it stays away where standard error is no terminal.
    for path in tqdm(images, unit="image", disable=None):
        try:
            done.append(work(path))
        except LeukError as error:
            done.append(refuse(str(path), str(error)))
    return done


class Names:
    """Names of output files: STEM and a suffix, numbered where two inputs share a stem."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._taken: set[str] = set()

    def claim(self, path: Path, suffix: str) -> Path:
        """Return a free path for an output of an input."""
        stem, number = path.stem, 1
        while stem.casefold() in self._taken:
            number += 1
            stem = f"{path.stem}-{number}"
        self._taken.add(stem.casefold())
        return self._folder / f"{stem}{suffix}"


def check_method(name: str) -> None:
    """Refuse a segmentation method that does not exist."""
    from leuk.segmentation import METHODS

    if name not in METHODS:
        raise OptionError(f"There is no segmentation method {name!r}; choose one of: {', '.join(METHODS)}.")


def make_folder(folder: Path) -> Path:
    """Return a folder, made if it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(f"The folder {folder} can't be made ({error.strerror}); name another.") from error
    return folder


def write_text(path: Path, text: str) -> None:
    """Write a file of text."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OptionError(f"The file {path} can't be written ({error.strerror}); name another.") from error


def table(rows: Iterable[tuple[str, str]]) -> None:
    """Print rows of file and outcome in two columns."""
    rows = list(rows)
    width = min(60, max((len(file) for file, _ in rows), default=0))
    for file, outcome in rows:
        shown = file if len(file) <= width else "…" + file[-(width - 1) :]
        print(f"{shown:<{width}}  {outcome}")

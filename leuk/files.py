"""How files are written: beside their place, so that what was there stays until the new one is whole."""

from __future__ import annotations

import errno
import functools
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

STALE = 3600.0
"""Seconds after which a part that nothing was written to is one that a kill left."""


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a path to write to and move it into place in the end: a kill leaves the old file or the new, never a half.

    Parameters
    ----------
    path : pathlib.Path
        A link stands for the file that it leads to; what is no file, as ``/dev/stdout``, is written to as it is.

    Yields
    ------
    pathlib.Path
        Beside the file, and this writer's alone, so that of two who write the file at once each writes it whole. It
        goes if the writing fails; what a kill leaves there goes when a later process writes into the folder.

    Raises
    ------
    PermissionError
        If the file is there and read-only, which a move into its place would pass over.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    path = path.resolve()
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    _sweep(path.parent)
    # Short, for the file's own name may be as long as names can be.
    part = path.with_name(f".leuk-{uuid.uuid4().hex}.part")
    try:
        yield part
        if path.exists():
            shutil.copymode(path, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@functools.lru_cache(maxsize=1024)  # once a process: to look through a folder for each of thousands of files takes long
def _sweep(folder: Path) -> None:
    """Remove the parts that killed processes left in a folder, so that they don't add up."""
    with suppress(OSError):
        for part in folder.glob(".leuk-*.part"):
            with suppress(OSError):
                if time.time() - part.stat().st_mtime > STALE:
                    part.unlink()


def write_all(contents: Mapping[Path, bytes]) -> None:
    """Write files that belong together: none takes its place before all are written.

    Raises
    ------
    OSError
        If one can't be written.
    """
    with ExitStack() as stack:
        for path, content in contents.items():
            stack.enter_context(whole(path)).write_bytes(content)

"""How files are written: beside their place, so that what was there stays until the new one is whole."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path


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
        Beside the file. It goes if the writing fails; what a kill leaves there is in nobody's way.

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
    # Short, for the file's own name may be as long as names can be; and the same each time, so that kills don't add up.
    part = path.with_name(f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}.part")
    try:
        yield part
        if path.exists():
            shutil.copymode(path, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


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

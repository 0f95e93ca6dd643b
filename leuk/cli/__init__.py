"""The command line: ``python -m leuk COMMAND``; each module beside this one adds its commands."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence

from leuk import __version__
from leuk.cli import auditing, comparing, reading, training
from leuk.cli.common import MISUSED, READ, REFUSED
from leuk.errors import LeukError

__all__ = ["MISUSED", "READ", "REFUSED", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; the process's own by default.

    Returns
    -------
    int
        `READ`, `REFUSED` or `MISUSED`.
    """
    options = _parser().parse_args(arguments)
    # Names of files may hold what the screen can't show.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return int(options.run(options))
    except LeukError as error:
        print(f"leuk: {error}", file=sys.stderr)
        return MISUSED
    except KeyboardInterrupt:
        print("leuk: stopped.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m leuk",
        description="White cells in photographs of blood and marrow smears. Research use only, not a medical device.",
    )
    parser.add_argument("--version", action="version", version=f"leuk {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for group in (reading, training, comparing, auditing):
        group.add(commands)
    return parser

"""Entry point of ``python -m leuk``."""

import os
import sys

from leuk.cli import main


def run() -> int:
    """Run the command line; whoever reads its output may stop early, as ``head`` does."""
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still to be written when Python ends would fail once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return code


if __name__ == "__main__":
    sys.exit(run())

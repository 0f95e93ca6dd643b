"""Entry point of ``python -m leuk``."""

import sys

from leuk.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""python -m train: the commands that make models."""

from __future__ import annotations

import sys

from train.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

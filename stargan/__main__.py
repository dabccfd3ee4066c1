"""python -m stargan: the commands on models and pictures."""

from __future__ import annotations

import sys

from stargan.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

"""python -m train prepare | fit | match | evaluate | card | bench | fan."""

from __future__ import annotations

import sys

from train.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

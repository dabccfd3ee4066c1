"""Where things are kept: what comes along, what is made here, what was downloaded."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def weights() -> Path:
    """The folder of what comes along: models with their cards, the FAN."""
    return ROOT / "weights"


def runs() -> Path:
    """The folder of training runs, which models made here are found in."""
    return ROOT / "runs"


def cache() -> Path:
    """The folder of what was downloaded: $STARGAN_CACHE, or ~/.cache/stargan."""
    return Path(os.path.expanduser(os.environ.get("STARGAN_CACHE") or "~/.cache/stargan"))

"""Where things are kept: what comes along, what is made here, what was downloaded."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Where the package has been installed, what comes along lies in it.
INSTALLED = Path(__file__).resolve().parents[1] / "weights"


def weights() -> Path:
    """The folder of what comes along: models with their cards, the FAN."""
    return INSTALLED if INSTALLED.is_dir() else ROOT / "weights"


def runs() -> Path:
    """The folder of training runs, which models made here are found in: beside the code, or where one works with the installed
    package."""
    return Path.cwd() / "runs" if INSTALLED.is_dir() else ROOT / "runs"


def data() -> Path:
    """The folder of prepared data folders, as `runs`."""
    return runs().with_name("data")


def cache() -> Path:
    """The folder of what was downloaded: $STARGAN_CACHE, or ~/.cache/stargan."""
    return Path(os.path.expanduser(os.environ.get("STARGAN_CACHE") or "~/.cache/stargan"))

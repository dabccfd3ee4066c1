"""ZeroGPU: a Space whose GPU is there only while a function runs, in a process that is forked for it.

What such a function is given and gives back is pickled, and what it remembers is lost with its process.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

try:
    # Only Spaces have it; the others among them run decorated functions as they are.
    import spaces
except ImportError:
    spaces = None

ACTIVE = spaces is not None and os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")
PAGE = os.getpid()

Task = TypeVar("Task", bound=Callable[..., Any])


def gpu(seconds: int) -> Callable[[Task], Task]:
    """Marks a function, or a generator, that needs the GPU, for at most so many seconds: a visitor has to have them left."""
    if spaces is None:
        return lambda task: task
    return spaces.GPU(duration=seconds)


def device() -> str:
    """Where networks run that are built now. Under ZeroGPU, PyTorch tells the page's own process of a GPU that is not there."""
    return "cpu" if ACTIVE and os.getpid() == PAGE else "auto"

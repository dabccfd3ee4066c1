"""Python's search for what is out of use."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def none_of_it() -> Iterator[None]:
    """What the block makes stays for as long as the process, and is never looked through for what is out of use. For libraries that
    are read: some 300,000 objects, which would be looked through again and again, in a seventh of the time that reading
    takes, and later for 0.2 s at a time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()

"""What Gradio writes while it is read."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def unwritten() -> Iterator[None]:
    """Of the components that are defined in the block, Gradio (6.31) writes no type stubs, which it does for editors, into its own
    folder, whenever it is read, in 1.3 of 2.9 s of a processor. It writes none where a component has no file."""
    found = inspect.getfile

    def getfile(object: Any) -> str:
        if type(object).__name__ == "ComponentMeta":
            raise OSError("a component")
        return found(object)

    inspect.getfile = getfile
    try:
        yield
    finally:
        inspect.getfile = found

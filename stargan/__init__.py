"""StarGAN v2: networks, checkpoints, masks, alignment and fast translation."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stargan.translate import Translator

__all__ = ["Translator"]
__version__ = "0.2.0"
# Or ONNX Runtime gives this machine a number, kept in the home folder, and tells Microsoft of its use; it looks as it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def __getattr__(name: str) -> Any:
    # Importing torch takes seconds, which whoever only asks for the version need not wait for.
    if name == "Translator":
        from stargan.translate import Translator

        return Translator
    raise AttributeError(f"module 'stargan' has no attribute {name!r}")

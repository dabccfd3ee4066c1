"""Models by name: bundled under weights/, or made here under runs/."""

from __future__ import annotations

import os
from pathlib import Path

from stargan import checkpoint
from stargan.checkpoint import Model

ROOT = Path(__file__).resolve().parent.parent
DEFAULT = "portraits-128"


class ZooError(ValueError):
    """A model name that stands for nothing here; the sentence lists those that do."""


def available() -> dict[str, Path]:
    """Names and files of all models: bundled ones first, then the newest and the best that each training run here has made."""
    found: dict[str, Path] = {}
    for folder, file, tail in (("weights", "model", ""), ("runs", "model", ""), ("runs", "best", "-best")):
        for path in sorted((ROOT / folder).glob(f"*/{file}.safetensors")):
            found.setdefault(path.parent.name + tail, path)
    return found


def load(name: str) -> Model:
    """The model of that name, or in that file (.safetensors or a published .ckpt).

    ZooError where there is neither; CheckpointError where the file cannot be used.
    """
    models = available()
    if name in models:
        model = checkpoint.load(models[name])
    elif os.path.isfile(name):
        model = checkpoint.load(name)
    else:
        raise ZooError(
            f"there is no model {name!r}; give a model file, or one of {', '.join(models) or 'none bundled here'}"
        )
    model.name = model.name or name
    return model

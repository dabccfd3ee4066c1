"""The offline trainer of StarGAN v2, on top of the model package: `train.fit(config, on_step=..., stop=...)`."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    # Importing torch takes seconds, which --help need not wait for.
    if name == "fit":
        from train.run.loop import fit

        return fit
    raise AttributeError(f"module 'train' has no attribute {name!r}")

"""What networks are called in checkpoints: by the authors' names, by those of other scripts, or by what they hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from stargan.files.tensors import NETWORKS

State = Mapping[str, Any]

# What DataParallel and torch.compile put before keys.
WRAPPERS = ("module", "_orig_mod")
AVERAGED = re.compile(r"(?:^|_)(?:ema|avg|averaged?)(?=_|$)")
CALLED = {name.replace("_", ""): name for name in (*NETWORKS, "fan", "discriminator")}
# By keys that only this network has.
HOLDS = {
    "generator": {"from_rgb.weight"},
    "style_encoder": {"shared.1.conv1.weight", "unshared.0.weight"},
    "mapping_network": {"unshared.0.6.weight"},
}
ALONE = {name: f"a {name.replace('_', ' ')}" for name in HOLDS}


def unwrapped(key: str) -> str:
    """A key without what DataParallel and torch.compile have put into it."""
    return ".".join(part for part in key.split(".") if part not in WRAPPERS) if "." in key else key


def is_averaged(name: str) -> bool:
    """Whether a name is one of averaged networks."""
    return bool(AVERAGED.search(name.lower()))


def network(key: str) -> str:
    """The network that a key of a dict is of: `generator` for generator, generator_ema, generator.from_rgb.weight."""
    return unwrapped(key).partition(".")[0].removesuffix("_ema")


def kind(state: object) -> str:
    """The network whose state dict this is, by its keys; empty where it is none that is known."""
    if not isinstance(state, dict):
        return ""
    keys = {unwrapped(str(key)) for key in state}
    return next((name for name, own in HOLDS.items() if own <= keys), "")


def named_alike(content: State) -> dict[Any, Any]:
    """A checkpoint with our names for the networks that it holds, at its top and one level below; `_ema` marks averaged ones. What
    is nothing of the kind stays as it is."""
    networks = {key: value for key, value in content.items() if not isinstance(value, dict) or _called(str(key)) or kind(value)}
    return _place(networks) | {key: _place(value) for key, value in content.items() if key not in networks}


def _called(word: str) -> str:
    """Our name for a network that is called so: `generator_ema` for ema_Generator; empty where it is none."""
    word = unwrapped(word)
    name = CALLED.get(AVERAGED.sub("", word.lower()).replace("_", ""), "")
    return f"{name}_ema" if name and is_averaged(word) else name


def _place(part: State) -> dict[Any, Any]:
    """One level of a checkpoint: state dicts under our names, tensors of one flat dict put together by network."""
    found: dict[Any, Any] = {}
    for key, value in part.items():
        text = str(key)
        if isinstance(value, dict):
            name = _called(text)
            if not name and (name := kind(value)) and is_averaged(text):
                name += "_ema"
            found.setdefault(name or key, value)
            continue
        parts = unwrapped(text).split(".")
        at = next((i for i, part in enumerate(parts[:-1]) if _called(part)), None)
        if at is None or not isinstance(value, Tensor):
            found[key] = value
            continue
        name = _called(parts[at])
        if any(is_averaged(part) for part in parts[:at]) and not name.endswith("_ema"):
            name += "_ema"
        if isinstance(held := found.setdefault(name, {}), dict):
            held[".".join(parts[at + 1 :])] = value
    return found


def grouped(part: State) -> dict[str, State]:
    """State dicts by network of one level of `named_alike`, averaged ones before others."""
    names = (*NETWORKS, "fan", "discriminator")
    held = {key: value for key, value in part.items() if isinstance(value, dict)}
    return {name: held.get(f"{name}_ema", held.get(name, {})) for name in names if name in held or f"{name}_ema" in held}

"""From named tensors to networks: what all forms of files have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stargan.fan import FANConfig
from stargan.model import ALIGNERS, Model, build
from stargan.networks import ModelConfig

NETWORKS = ("generator", "mapping_network", "style_encoder")
# Without a bound, a forged depth would keep the constructor of the hourglass busy for ever.
MAX_FAN_DEPTH = 6


class CheckpointError(ValueError):
    """A model file that cannot be used; the sentence names the file, and the key where there is one."""


def named(config: ModelConfig, domains: Sequence[str], path: Path) -> ModelConfig:
    """The configuration with other names for its domains, in the order of the branches."""
    count = len(config.domains)
    if len(domains) != count:
        raise CheckpointError(
            f"{path} has {count} domain{'s' * (count > 1)}, but {len(domains)} name{'s' * (len(domains) != 1)} for them: "
            f"{', '.join(domains)}; name each, in the order of training (by default that of the folders' names)"
        )
    try:
        return dataclasses.replace(config, domains=tuple(domains))
    except ValueError as error:
        raise CheckpointError(f"the names for the domains of {path} cannot be used: {error}") from None


def framed(points: Any, path: Path) -> np.ndarray:
    """A model's frame out of lists of numbers, (68, 2)."""
    try:
        frame = np.array(points, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        frame = np.zeros(0)
    # A face may reach out of its square, but lies in it.
    if frame.shape != (68, 2) or not (np.abs(frame - 0.5) < 2).all() or np.ptp(frame[17:], axis=0).min() < 0.01:
        raise CheckpointError(f"the frame of {path} is no 68 places of landmarks in a square; fetch or write the file again")
    return frame


def known_aligner(name: Any, path: Path) -> str | None:
    """What a file says of `Model.aligner`."""
    if name is not None and name not in ALIGNERS:
        raise CheckpointError(
            f"{path} has an aligner {str(name)[:40]!r}, which is none of {', '.join(ALIGNERS)}; fetch or write it again"
        )
    return name


def blank(config: ModelConfig, fan: FANConfig | None, path: Path, free: bool = False) -> Model:
    """A model without memory for its values yet, so that a forged size costs nothing."""
    try:
        with torch.device("meta"):
            return build(config, fan, free=free)
    except (RuntimeError, OverflowError) as error:
        raise CheckpointError(f"{path} asks for networks that are too large; use another file") from error


def fill(networks: Mapping[str, nn.Module], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Loads tensors named `<network>.<key>`, all of them and no others."""
    expected = {f"{name}.{key}": value for name, net in networks.items() for key, value in net.state_dict().items()}
    for key in sorted(expected.keys() ^ tensors.keys()):
        raise CheckpointError(f"{path} {'lacks' if key in expected else 'has a surplus'} key {key!r}; it is of another shape")
    for key, tensor in tensors.items():
        if tensor.shape != expected[key].shape:
            raise CheckpointError(f"{key!r} of {path} is {list(tensor.shape)}, but has to be {list(expected[key].shape)}")
        if tensor.is_floating_point() != expected[key].is_floating_point() or tensor.is_complex():
            raise CheckpointError(f"{key!r} of {path} is {tensor.dtype}, but has to be {expected[key].dtype}")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor.float()).all()):
            raise CheckpointError(f"{key!r} of {path} holds values that are no numbers; the file is damaged")
    for name, net in networks.items():
        # Copies, because a mapped file that is cut short later would bring the process down.
        types = {key: torch.float32 if value.is_floating_point() else value.dtype for key, value in net.state_dict().items()}
        state = {key: tensors[f"{name}.{key}"].to(kind, copy=True).contiguous() for key, kind in types.items()}
        net.load_state_dict(state, assign=True)
        net.eval().requires_grad_(False)

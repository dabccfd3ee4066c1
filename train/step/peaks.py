"""Features that rise steeply at one place of their map, and a loss that presses them down.

Instance normalisation lets a generator carry strength past it in one high peak (arXiv 1912.04958, section 2). What comes after
learns to hide it, more or less: what it does not hide is a spot, at the same place in every picture of a style.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from stargan.networks import AdaINResBlock, Generator

HIGHEST = 6.0  # deviations from its map's mean that a feature may lie, as the lines of a face do
SIDES = range(32, 129)  # px, of the maps that are looked at: smaller ones are too coarse, larger ones follow from these


def synthesize(generator: Generator, features: Tensor, style: Tensor, skips: dict[int, Tensor] | None) -> tuple[Tensor, Tensor]:
    """As `Generator.synthesize`, and how far the highest features lie beyond HIGHEST deviations of their maps: the mean over
    channels and decoder blocks, a scalar."""
    waiting = dict(skips or {})
    x, beyond = features, []
    for block in cast(list[AdaINResBlock], list(generator.decode)):
        x = block(x, style)
        if block.upsample and x.shape[-1] in waiting:
            x = x + waiting.pop(x.shape[-1])
        if x.shape[-1] in SIDES:
            beyond.append(peaks(x))
    return generator.to_rgb(x), torch.stack(beyond).mean()


def peaks(x: Tensor) -> Tensor:
    """Features (N, C, H, W) -> the mean over maps of what their highest value lies beyond HIGHEST deviations, a scalar."""
    return F.relu(F.instance_norm(x.float()).abs().amax((2, 3)) - HIGHEST).mean()

"""Differentiable augmentation of what the discriminator sees (DiffAugment, arXiv 2006.10738): colour and translation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

NUMBERS = 5  # that decide how one picture is augmented


def diff_augment(x: Tensor, noise: Tensor, colour: float = 1.0) -> Tensor:
    """Brightness (within 0.5), saturation (0 to 2), contrast (0.5 to 1.5) and translation (up to an eighth of the side, filled
    with zeros), each picture its own; `colour`, 0 to 1, scales the first three. x (N, 3, S, S), noise (N, NUMBERS) uniform in
    [0, 1) -> as x; differentiable in x."""
    side = x.shape[-1]
    brightness, saturation, contrast, dx, dy = noise.to(x)[:, :, None, None, None].unbind(1)  # each (N, 1, 1, 1)
    x = x + colour * (brightness - 0.5)
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * (1 + colour * (2 * saturation - 1))
    mean = x.mean((1, 2, 3), keepdim=True)
    x = mean + (x - mean) * (1 + colour * (contrast - 0.5))
    reach = side // 8
    padded = F.pad(x, (reach,) * 4)  # (N, 3, side + 2 * reach, side + 2 * reach)
    steps = torch.arange(side, device=x.device)
    columns = steps + (dx * (2 * reach + 1)).long()  # (N, 1, 1, side)
    rows = steps[:, None] + (dy * (2 * reach + 1)).long()  # (N, 1, side, 1)
    index = (rows * padded.shape[-1] + columns).expand(-1, 3, -1, -1)
    return padded.flatten(2).gather(2, index.flatten(2)).view_as(x)

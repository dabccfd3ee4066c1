"""Differentiable augmentation of what the discriminator sees (DiffAugment, arXiv 2006.10738): colour and translation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def diff_augment(x: Tensor, generator: torch.Generator) -> Tensor:
    """Random brightness (within 0.5), saturation (0 to 2), contrast (0.5 to 1.5) and translation (up to an eighth of the side,
    filled with zeros), each picture its own. (N, 3, S, S) -> the same; differentiable in x."""
    n, _, side, _ = x.shape
    brightness, saturation, contrast = torch.rand(3, n, 1, 1, 1, generator=generator).to(x)
    x = x + (brightness - 0.5)
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * (2 * saturation)
    mean = x.mean((1, 2, 3), keepdim=True)
    x = mean + (x - mean) * (contrast + 0.5)
    reach = side // 8
    shift = torch.randint(0, 2 * reach + 1, (n, 2), generator=generator).tolist()
    padded = F.pad(x, (reach,) * 4)
    return torch.stack([p[:, dy : dy + side, dx : dx + side] for p, (dy, dx) in zip(padded, shift, strict=True)])

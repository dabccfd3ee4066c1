"""Landmark heatmaps to the two masks that say which parts of the source face survive (paper section 4, wing-based heatmaps).

The full mask covers all parts and goes with the coarsest skip; the inner one covers eyes and nose and goes with the finer ones.
Offsets are written for masks of 256 px and scale with the side.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

PARTS = ("eyes", "brows", "nose", "mouth", "jaw")


@dataclass(frozen=True)
class _Group:
    """Landmarks treated alike: rows move up by `up` px (of 256), then the value is raised to `power`."""

    part: str
    points: tuple[int, ...]
    up: int = 0
    power: int = 1


def _span(first: int, last: int, *without: int) -> tuple[int, ...]:
    return tuple(i for i in range(first, last + 1) if i not in without)


# An eye stands twice: its contour moved down a little and sharpened, and moved down further as it is.
_GROUPS = {
    98: (
        _Group("jaw", _span(8, 24), 0, 3),
        _Group("brows", _span(34, 50, 46), -7, 2),
        _Group("nose", (51,)),
        _Group("nose", _span(52, 54), 4),
        _Group("nose", _span(55, 59), 8, 4),
        _Group("eyes", _span(60, 75), -8, 3),
        _Group("eyes", _span(60, 75), -24),
        _Group("eyes", (96, 97)),
        _Group("mouth", _span(77, 81), -8, 4),
        _Group("mouth", _span(83, 87), 8, 4),
        _Group("mouth", _span(88, 95), -2, 3),
    ),
    68: (
        _Group("jaw", _span(4, 12), 0, 3),
        _Group("brows", _span(17, 26), -7, 2),
        _Group("nose", (27,)),
        _Group("nose", _span(28, 30), 4),
        _Group("nose", _span(31, 35), 8, 4),
        _Group("eyes", _span(36, 47), -8, 3),
        _Group("eyes", _span(36, 47), -24),
        _Group("mouth", _span(49, 53), -8, 4),
        _Group("mouth", _span(55, 59), 8, 4),
        _Group("mouth", _span(60, 67), -2, 3),
    ),
}
_INNER = ("eyes", "nose")


def _scaled(heatmaps: Tensor, upsample: int) -> Tensor:
    """(N, L, h, w) -> (N, L, h * upsample, w * upsample): values under 0.1 cut off, each landmark scaled to 0..1."""
    x = F.interpolate(heatmaps.float(), scale_factor=upsample, mode="bilinear", align_corners=True)
    x.masked_fill_(x < 0.1, 0.0)
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return x.sub_(low).div_(high - low + 1e-6)


@torch.no_grad()
def part_masks(heatmaps: Tensor, upsample: int = 4) -> dict[str, Tensor]:
    """Heatmaps (N, 98 or 68, h, w) as a FAN gives them, made larger by `upsample` -> for each of PARTS the sum over its
    landmarks, (N, 1, h * upsample, w * upsample), 0 and above. ValueError for another number of landmarks."""
    landmarks, side = int(heatmaps.shape[1]), upsample * int(heatmaps.shape[2])
    if landmarks not in _GROUPS:
        raise ValueError(f"masks are known for 68 and 98 landmarks, not for {landmarks}")
    groups = _GROUPS[landmarks]
    parts: dict[str, Tensor] = {}
    for group in groups:
        x = _scaled(heatmaps[:, group.points], upsample)
        x = x.square_().square_() if group.power == 4 else x.pow_(group.power)  # the fourth is a slow one
        # Rows that leave the picture come back on the other side, as in the published masks.
        x = x.sum(1, keepdim=True).roll(-round(group.up * side / 256), dims=2)
        parts[group.part] = parts[group.part] + x if group.part in parts else x
    return {part: parts[part].nan_to_num_(0.0) for part in PARTS}


def combine(parts: Mapping[str, Tensor], weights: Mapping[str, float] | None = None) -> tuple[Tensor, Tensor]:
    """The full and the inner mask, (N, 1, H, W) in [0, 1], of part masks weighted by `weights` (1 where a part is not named).

    ValueError for a part that does not exist or a weight that is negative or not finite.
    """
    weights = dict(weights or {})
    for part, weight in weights.items():
        if part not in PARTS:
            raise ValueError(f"there is no facial part {part!r}; parts are {', '.join(PARTS)}")
        if not 0 <= weight < math.inf:
            raise ValueError(f"the weight of {part} is {weight}; weights are 0 (the part is free) or above, and finite")
    full = functools.reduce(torch.add, (weights.get(part, 1.0) * parts[part] for part in PARTS))
    inner = functools.reduce(torch.add, (weights.get(part, 1.0) * parts[part] for part in _INNER))
    return full.clamp(0, 1), inner.clamp(0, 1)


def face_masks(heatmaps: Tensor, weights: Mapping[str, float] | None = None) -> tuple[Tensor, Tensor]:
    """Heatmaps (N, 98 or 68, h, w) -> the full and the inner mask, (N, 1, 4h, 4w) in [0, 1]; weights as in `combine`."""
    return combine(part_masks(heatmaps), weights)

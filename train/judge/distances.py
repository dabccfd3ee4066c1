"""How far pictures and sets of pictures lie apart."""

from __future__ import annotations

import copy
import itertools
import socket
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST_LEVEL = 16  # px, of a Laplacian pyramid
PATCHES = 64  # a picture and level
PROJECTIONS = 256


def perceptual_distance(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """The distance of LPIPS (arXiv 1801.03924, equation 1) without its weights: (N,) of features (N, C, h, w) of each layer."""
    layers = [(F.normalize(p) - F.normalize(q)).square().sum(1).mean((1, 2)) for p, q in zip(a, b, strict=True)]
    return torch.stack(layers).mean(0)


def pixel_distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference on a scale of 0 to 1, (N,), of pictures (N, 3, H, W) in [-1, 1]."""
    return (a - b).abs().mean((1, 2, 3)) / 2


def laplacian_pyramid(x: Tensor) -> dict[int, Tensor]:
    """(N, C, S, S) -> what each level adds to the next smaller one, by side, down to SMALLEST_LEVEL (arXiv 1710.10196, 5)."""
    row = torch.tensor([1.0, 4, 6, 4, 1], device=x.device) / 16
    kernel = torch.outer(row, row).expand(x.shape[1], 1, 5, 5)

    def blur(image: Tensor) -> Tensor:
        return F.conv2d(F.pad(image, (2, 2, 2, 2), mode="reflect"), kernel, groups=image.shape[1])

    levels: dict[int, Tensor] = {}
    while x.shape[-1] > SMALLEST_LEVEL:
        small = blur(x)[:, :, ::2, ::2]
        spread = torch.zeros_like(x)
        spread[:, :, ::2, ::2] = 4 * small
        levels[x.shape[-1]] = x - blur(spread)
        x = small
    return levels | {x.shape[-1]: x}


def descriptors(pixels: np.ndarray, seed: int, at_once: int = 32) -> dict[int, Tensor]:
    """Pictures (N, S, S, 3) uint8 -> for each level of the pyramid PATCHES patches of 7 x 7 px a picture, (N * PATCHES, 147), each
    channel with mean 0 and deviation 1 over all."""
    generator = torch.Generator().manual_seed(seed)
    found: dict[int, list[Tensor]] = defaultdict(list)
    for start in range(0, len(pixels), at_once):
        x = torch.from_numpy(np.ascontiguousarray(pixels[start : start + at_once])).permute(0, 3, 1, 2).float() / 127.5 - 1
        for side, level in laplacian_pyramid(x).items():
            windows = level.unfold(2, 7, 1).unfold(3, 7, 1)  # (N, 3, side - 6, side - 6, 7, 7)
            rows, columns = torch.randint(side - 6, (2, len(x), PATCHES), generator=generator)
            found[side].append(windows[torch.arange(len(x))[:, None], :, rows, columns].flatten(0, 1))  # (N * PATCHES, 3, 7, 7)
    result = {}
    for side, parts in found.items():
        patches = torch.cat(parts)
        deviation, mean = torch.std_mean(patches, dim=(0, 2, 3), keepdim=True)
        result[side] = ((patches - mean) / (deviation + 1e-8)).flatten(1)
    return result


def sliced_wasserstein(a: Tensor, b: Tensor, seed: int) -> float:
    """The sliced Wasserstein distance (arXiv 1710.10196, section 5) of two sets of descriptors (N, D), N the same."""
    directions = torch.randn(a.shape[1], PROJECTIONS, generator=torch.Generator().manual_seed(seed))
    directions = F.normalize(directions, dim=0)
    total = 0.0
    for part in directions.split(64, dim=1):
        total += ((a @ part).sort(dim=0).values - (b @ part).sort(dim=0).values).abs().mean(0).sum().item()
    return total / PROJECTIONS


class Downloaded:
    """FID (arXiv 1706.08500) and LPIPS (arXiv 1801.03924) by torchmetrics, whose networks are downloaded at first use; where that
    fails, `missing` says why and both results are None."""

    def __init__(self, wanted: bool, device: torch.device) -> None:
        self.device = device
        self.missing = "" if wanted else "FID and LPIPS were left out, as asked."
        self.lpips: Callable[[Tensor, Tensor], Tensor] | None = None
        self.blank: Any = None
        if wanted:
            before = socket.getdefaulttimeout()
            socket.setdefaulttimeout(30)
            try:
                from torchmetrics.image.fid import FrechetInceptionDistance
                from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

                self.blank = FrechetInceptionDistance().to(device)
                self.lpips = LearnedPerceptualImagePatchSimilarity("alex").to(device)
            except (OSError, RuntimeError, ImportError) as error:
                reason = " ".join(str(error).split())[:200]
                self.missing = f"FID and LPIPS were left out: their networks could not be downloaded ({reason})."
            finally:
                socket.setdefaulttimeout(before)
        self.ready = not self.missing
        self.of_domain: dict[int, Any] = {}
        self.fid: dict[tuple[str, int, int], Any] = {}
        self.fids: dict[str, list[float]] = defaultdict(list)
        self.distances: dict[str, list[float]] = defaultdict(list)

    def add_real(self, domain: int, pixels: np.ndarray, at_once: int = 64) -> None:
        """Pictures (N, S, S, 3) uint8 that outputs of this domain are compared with."""
        self.of_domain[domain] = self._copy(self.blank)
        for start in range(0, len(pixels), at_once):
            x = torch.from_numpy(np.ascontiguousarray(pixels[start : start + at_once])).permute(0, 3, 1, 2)
            self.of_domain[domain].update(x.to(self.device), real=True)

    def add(self, kind: str, source: int, target: int, outputs: Tensor) -> None:
        """The outputs (K, 3, S, S) of one source."""
        if not self.ready or self.lpips is None:
            return
        key = kind, source, target
        if key not in self.fid:
            self.fid[key] = self._copy(self.of_domain[target])
        x = outputs.to(self.device)
        self.fid[key].update(((x + 1) * 127.5).round().clamp(0, 255).byte(), real=False)
        first, second = pairs(len(x))
        if len(first):
            self.distances[kind].append(float(self.lpips(x[first], x[second])))

    def finish(self, source: int) -> None:
        """The outputs of all sources of one domain are there; what was kept to measure them, 100 MB a target, is let go."""
        for key in [key for key in self.fid if key[1] == source]:
            self.fids[key[0]].append(float(self.fid.pop(key).compute()))

    def result(self, kind: str) -> dict[str, float | None]:
        """The mean FID over pairs of domains, and the mean LPIPS among the outputs of a source."""
        if not self.ready:
            return {"fid": None, "lpips": None}
        return {"fid": mean(self.fids[kind]), "lpips": mean(self.distances[kind])}

    def _copy(self, metric: Any) -> Any:
        # All share one feature network.
        return copy.deepcopy(metric, {id(metric.inception): metric.inception})


def pairs(count: int) -> tuple[list[int], list[int]]:
    """Every two of so many: the numbers of the first, and of the second."""
    found = list(itertools.combinations(range(count), 2))
    return [a for a, _ in found], [b for _, b in found]


def mean(values: Sequence[float]) -> float | None:
    """None for none."""
    return float(np.mean(values)) if len(values) else None

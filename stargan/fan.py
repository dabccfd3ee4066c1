"""Facial landmarks as heatmaps: face alignment networks (FAN, arXiv 1703.07332), with coordinate channels (arXiv 1807.03247).

At its defaults `FAN` is the 98-point network that the published CelebA-HQ checkpoint carries (arXiv 1904.07399). The bundled
68-point network is the same class, smaller.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class FANConfig:
    """landmarks is 98 or 68; width the channels of the hourglass (a multiple of 16); input_size the side to which images are
    resized, a multiple of 2**(depth + 2), heatmaps being a quarter of it; depth the levels of the hourglass; coords whether
    coordinate channels are appended; boundary whether a last heatmap, dropped from the result, stands for the facial boundary."""

    landmarks: int = 98
    width: int = 256
    input_size: int = 256
    depth: int = 4
    coords: bool = True
    boundary: bool = True

    def __post_init__(self) -> None:
        if self.landmarks not in (68, 98):
            raise ValueError(f"a FAN has 68 or 98 landmarks, not {self.landmarks}")
        if self.width % 16:
            raise ValueError(f"the width of a FAN is a multiple of 16, not {self.width}")
        if self.input_size % 2 ** (self.depth + 2):
            multiple = 2 ** (self.depth + 2)
            raise ValueError(f"the input size of a FAN of depth {self.depth} is a multiple of {multiple}, not {self.input_size}")


def _coordinates(side: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(1, 3, side, side): x down the first image axis, y along the second, both -1 to 1, and the radius scaled to at most 1."""
    x, y = torch.meshgrid(*[torch.linspace(-1, 1, side, dtype=torch.float32, device=device)] * 2, indexing="ij")
    radius = torch.sqrt(x**2 + y**2)
    return torch.stack([x, y, radius / radius.max()])[None].to(dtype)


class CoordConv(nn.Module):
    """A convolution that sees where it is: three coordinate channels are appended to its input (where `coords`)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, coords: bool, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.coords = coords
        self.conv = nn.Conv2d(inputs + 3 * coords, outputs, kernel, stride=stride, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        if self.coords:
            grid = _coordinates(int(x.shape[-1]), x.device, x.dtype).expand(x.shape[0], -1, -1, -1)
            x = torch.cat([x, grid], dim=1)
        return self.conv(x)


class ConvBlock(nn.Module):
    """Three 3x3 convolutions in a row whose results are put side by side: a half, a quarter and a quarter of the width."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs // 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs // 2)
        self.conv2 = nn.Conv2d(outputs // 2, outputs // 4, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs // 4)
        self.conv3 = nn.Conv2d(outputs // 4, outputs // 4, 3, padding=1, bias=False)
        self.downsample: nn.Module = nn.Identity()
        if inputs != outputs:
            self.downsample = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        a = self.conv1(F.relu(self.bn1(x)))
        b = self.conv2(F.relu(self.bn2(a)))
        c = self.conv3(F.relu(self.bn3(b)))
        return torch.cat([a, b, c], dim=1) + self.downsample(x)


class HourGlass(nn.Module):
    """Features at all scales (arXiv 1603.06937). Levels are numbered from `depth`, the outermost, down to 1."""

    def __init__(self, width: int, depth: int, coords: bool) -> None:
        super().__init__()
        self.depth = depth
        self.coordconv = CoordConv(width, width, 1, coords=coords)
        for level in range(depth, 0, -1):
            for name in ("b1", "b2", "b3"):
                self.add_module(f"{name}_{level}", ConvBlock(width, width))
        self.b2_plus_1 = ConvBlock(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self._level(self.depth, self.coordconv(x))

    def _level(self, level: int, x: Tensor) -> Tensor:
        across = self.get_submodule(f"b1_{level}")(x)
        low = self.get_submodule(f"b2_{level}")(F.avg_pool2d(x, 2))
        low = self._level(level - 1, low) if level > 1 else self.b2_plus_1(low)
        low = self.get_submodule(f"b3_{level}")(low)
        return across + F.interpolate(low, scale_factor=2, mode="nearest")


class FAN(nn.Module):
    """Images to landmark heatmaps."""

    def __init__(self, config: FANConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or FANConfig()
        width = config.width
        self.conv1 = CoordConv(3, width // 4, 7, coords=config.coords, stride=2, padding=3)
        self.bn1 = nn.BatchNorm2d(width // 4)
        self.conv2 = ConvBlock(width // 4, width // 2)
        self.conv3 = ConvBlock(width // 2, width // 2)
        self.conv4 = ConvBlock(width // 2, width)
        self.m0 = HourGlass(width, config.depth, config.coords)
        self.top_m_0 = ConvBlock(width, width)
        self.conv_last0 = nn.Conv2d(width, width, 1)
        self.bn_end0 = nn.BatchNorm2d(width)
        self.l0 = nn.Conv2d(width, config.landmarks + config.boundary, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> heatmaps (N, landmarks, input_size / 4, input_size / 4), peaks of about 1."""
        size = self.config.input_size
        if tuple(map(int, image.shape[-2:])) != (size, size):
            image = F.interpolate(image, size=(size, size), mode="bilinear")
        x = F.relu(self.bn1(self.conv1(image * 0.5 + 0.5)))
        x = self.conv4(self.conv3(F.avg_pool2d(self.conv2(x), 2)))
        x = self.top_m_0(self.m0(x))
        return self.l0(F.relu(self.bn_end0(self.conv_last0(x))))[:, : self.config.landmarks]


def landmarks_from_heatmaps(heatmaps: Tensor) -> Tensor:
    """(N, L, H, W) -> (N, L, 2): x, y of each peak as fractions of the image's side, refined below a cell by the centre of
    mass of the 5x5 cells around it."""
    n, count, height, width = heatmaps.shape
    heatmaps = heatmaps.float()
    peak = heatmaps.flatten(2).argmax(2)  # (N, L)
    row, column = peak // width, peak % width
    offset = torch.arange(-2, 3, device=heatmaps.device)
    rows = row[..., None, None] + offset[:, None]  # (N, L, 5, 1)
    columns = column[..., None, None] + offset  # (N, L, 1, 5)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    index = rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)  # (N, L, 5, 5)
    weight = heatmaps.flatten(2).gather(2, index.flatten(2)).view(n, count, 5, 5).clamp(min=0) * inside + 1e-8
    total = weight.sum((2, 3))
    x = (weight * columns).sum((2, 3)) / total
    y = (weight * rows).sum((2, 3)) / total
    return torch.stack([(x + 0.5) / width, (y + 0.5) / height], dim=-1)

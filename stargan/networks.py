"""The four networks of StarGAN v2 (arXiv 1912.01865, appendix A), with the parameter names and shapes of the published checkpoints.

The 1x1 shortcuts commute with pooling and upsampling, so they run on the small side.
"""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass
from numbers import Integral

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stargan.layers import conv_then_pool, normalize, subsample_chroma, upsample_then_conv

IMAGE_SIZES = (64, 128, 256, 512, 1024)
LONGEST = 100  # characters of a domain's name


@dataclass(frozen=True)
class ModelConfig:
    """Everything that decides the shapes of the networks.

    image_size is a power of two from 64 to 1024. domains are names, in the order of the branches. w_hpf is the divisor of
    the high-pass filter; 0 builds the networks without skips and masks. base_channels is the width at full resolution (0:
    2**14 / image_size, as published), doubled with every halving of the side up to max_channels. mask_sizes are the sides at
    which masked features of the encoder are added into the decoder. last_shortcut: whether the decoder's last block has a shortcut
    even with skips, as one has that was grown onto a smaller model. subsampled_chroma: whether what is painted is finished by
    `subsample_chroma`.
    """

    image_size: int = 256
    domains: tuple[str, ...] = ("female", "male")
    style_dim: int = 64
    latent_dim: int = 16
    hidden_dim: int = 512
    w_hpf: float = 1.0
    base_channels: int = 0
    max_channels: int = 512
    mask_sizes: tuple[int, ...] = (32, 64, 128)
    last_shortcut: bool = False
    subsampled_chroma: bool = False

    def __post_init__(self) -> None:
        if self.image_size not in IMAGE_SIZES:
            raise ValueError(f"image_size is {self.image_size}; it has to be one of {', '.join(map(str, IMAGE_SIZES))}")
        if not self.domains or len(set(self.domains)) != len(self.domains):
            raise ValueError(f"domains are {list(self.domains)}; name at least one, each once")
        # Files of pictures, and folders of them, are named by domains.
        if unfit := [d for d in self.domains if re.search(r"[/\\\x00-\x1f]", d) or d.strip(". ") == "" or len(d) > LONGEST]:
            raise ValueError(f"a domain cannot be called {unfit[0]!r}; give names without slashes, of at most {LONGEST} characters")
        if self.w_hpf < 0:
            raise ValueError(f"w_hpf is {self.w_hpf}; it has to be 0 (no masks) or above")
        if self.base_channels == 0:
            object.__setattr__(self, "base_channels", 2**14 // self.image_size)
        for name in ("style_dim", "latent_dim", "hidden_dim", "base_channels", "max_channels"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it has to be at least 1")
        object.__setattr__(self, "domains", tuple(self.domains))
        object.__setattr__(self, "mask_sizes", tuple(sorted(self.mask_sizes)))

    @property
    def scales(self) -> int:
        """How often the generator halves the side."""
        return int(math.log2(self.image_size)) - 4 + (self.w_hpf > 0)

    def width(self, halvings: int) -> int:
        """Channels after the side was halved that often."""
        return min(self.base_channels * 2**halvings, self.max_channels)

    def domain_index(self, domain: str | int) -> int:
        """The branch of a domain given by name or number; ValueError where there is none."""
        if isinstance(domain, str) and domain in self.domains:
            return self.domains.index(domain)
        if isinstance(domain, Integral) and 0 <= int(domain) < len(self.domains):  # NumPy's, too
            return int(domain)
        raise ValueError(f"there is no domain {domain!r} in this model; choose one of {', '.join(self.domains)}")


class InstanceNorm(nn.Module):
    """Affine instance normalisation (arXiv 1607.08022)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return normalize(x, self.weight, self.bias)


class AdaIN(nn.Module):
    """Adaptive instance normalisation (arXiv 1703.06868): (1 + gamma) * normalised + beta, both linear in the style."""

    def __init__(self, style_dim: int, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(style_dim, 2 * channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        gamma, beta = self.fc(style).chunk(2, dim=1)
        return normalize(x, 1 + gamma, beta)


class ResBlock(nn.Module):
    """Pre-activation residual block, halving the side where `downsample`; the sum is divided by sqrt(2) to keep the variance."""

    def __init__(self, inputs: int, outputs: int, *, normalize: bool = False, downsample: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inputs, 3, padding=1)
        self.conv2 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm1 = InstanceNorm(inputs) if normalize else nn.Identity()
        self.norm2 = InstanceNorm(inputs) if normalize else nn.Identity()
        self.conv1x1 = nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        residual = F.leaky_relu(self.norm1(x), 0.2)
        residual = conv_then_pool(residual, self.conv1) if self.downsample else self.conv1(residual)
        residual = self.conv2(F.leaky_relu(self.norm2(residual), 0.2))
        shortcut = self.conv1x1(F.avg_pool2d(x, 2) if self.downsample else x)
        return (shortcut + residual) * math.sqrt(0.5)


class AdaINResBlock(nn.Module):
    """Decoder block, doubling the side where `upsample`. With skips (w_hpf > 0) it has no shortcut of its own; the unused 1x1
    convolution of the published checkpoints is kept."""

    def __init__(self, inputs: int, outputs: int, style_dim: int, *, upsample: bool, shortcut: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.norm1 = AdaIN(style_dim, inputs)
        self.norm2 = AdaIN(style_dim, outputs)
        self.conv1x1 = nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()
        self.upsample = upsample
        self.shortcut = shortcut

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        residual = F.leaky_relu(self.norm1(x, style), 0.2)
        residual = upsample_then_conv(residual, self.conv1) if self.upsample else self.conv1(residual)
        residual = self.conv2(F.leaky_relu(self.norm2(residual, style), 0.2))
        if not self.shortcut:
            return residual
        shortcut = self.conv1x1(x)
        if self.upsample:
            shortcut = F.interpolate(shortcut, scale_factor=2, mode="nearest")
        return (shortcut + residual) * math.sqrt(0.5)


class HighPass(nn.Module):
    """3x3 Laplacian, 8 in the middle and -1 around, over w_hpf, each channel alone."""

    filter: Tensor

    def __init__(self, w_hpf: float) -> None:
        super().__init__()
        around, middle = -1 / w_hpf, 8 / w_hpf
        # From numbers: arithmetic on the device "meta", where models begin, has PyTorch load its compiler, which takes two seconds.
        self.register_buffer("filter", torch.tensor([[around] * 3, [around, middle, around], [around] * 3]))

    def forward(self, x: Tensor) -> Tensor:
        channels = int(x.shape[1])
        return F.conv2d(x, self.filter.to(x.dtype).expand(channels, 1, 3, 3), padding=1, groups=channels)


class Generator(nn.Module):
    """Translates images into the domain and style that a style code stands for (paper section 2.1, table 5)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        down = [(config.width(i), config.width(i + 1), True) for i in range(config.scales)]
        blocks = down + [(config.width(config.scales), config.width(config.scales), False)] * 2
        shortcuts = [config.w_hpf == 0] * len(blocks)
        shortcuts[0] |= config.last_shortcut
        self.from_rgb = nn.Conv2d(3, config.width(0), 3, padding=1)
        self.encode = nn.ModuleList(ResBlock(i, o, normalize=True, downsample=d) for i, o, d in blocks)
        self.decode = nn.ModuleList(
            AdaINResBlock(o, i, config.style_dim, upsample=d, shortcut=s)
            for (i, o, d), s in reversed(list(zip(blocks, shortcuts, strict=True)))
        )
        self.to_rgb = nn.Sequential(InstanceNorm(config.width(0)), nn.LeakyReLU(0.2), nn.Conv2d(config.width(0), 3, 1))
        if config.w_hpf > 0:
            self.hpf = HighPass(config.w_hpf)

    def features(self, x: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """(N, 3, S, S) in [-1, 1] -> the innermost features and, by their side, the features that masks keep."""
        x = self.from_rgb(x)
        kept: dict[int, Tensor] = {}
        for block in self.encode:
            side = int(x.shape[-1])  # a tensor while it is traced
            if self.config.w_hpf > 0 and side in self.config.mask_sizes:
                kept.setdefault(side, x)
            x = block(x)
        return x, kept

    def skips(self, kept: dict[int, Tensor], masks: tuple[Tensor, Tensor]) -> dict[int, Tensor]:
        """What the decoder adds, by side: high-passed product of kept features and mask, (N, C, side, side).

        masks are the full and the inner one, (N, 1, H, W) in [0, 1]; the full one goes with the smallest side.
        """
        smallest = min(self.config.mask_sizes)
        return {
            side: self.hpf(F.interpolate(masks[side != smallest].to(x.dtype), size=side, mode="bilinear") * x)
            for side, x in kept.items()
        }

    def synthesize(self, x: Tensor, style: Tensor, skips: dict[int, Tensor] | None = None) -> Tensor:
        """Innermost features, style codes (N, style_dim) and skips -> images (N, 3, S, S), about [-1, 1], not clipped."""
        waiting = dict(skips or {})
        for block in self.decode:
            x = block(x, style)
            if block.upsample and int(x.shape[-1]) in waiting:
                x = x + waiting.pop(int(x.shape[-1]))
        painted: Tensor = self.to_rgb(x)
        return subsample_chroma(painted) if self.config.subsampled_chroma else painted

    def forward(self, x: Tensor, style: Tensor, masks: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Images (N, 3, S, S) in [-1, 1], style codes (N, style_dim), masks as in `skips` -> images (N, 3, S, S)."""
        features, kept = self.features(x)
        return self.synthesize(features, style, self.skips(kept, masks) if masks is not None else None)


class MappingNetwork(nn.Module):
    """Latents to style codes, one branch a domain (paper section 2.1, table 6)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        hidden = config.hidden_dim

        def mlp(inputs: int, layers: int, outputs: int | None = None) -> nn.Sequential:
            sides = [inputs] + [hidden] * layers
            modules: list[nn.Module] = []
            for i, o in itertools.pairwise(sides):
                modules += [nn.Linear(i, o), nn.ReLU()]
            return nn.Sequential(*modules, *([nn.Linear(hidden, outputs)] if outputs else []))

        self.shared = mlp(config.latent_dim, 4)
        self.unshared = nn.ModuleList(mlp(hidden, 3, config.style_dim) for _ in config.domains)

    def forward(self, latent: Tensor, domain: Tensor) -> Tensor:
        """latent (N, latent_dim), standard normal; domain (N,) long -> (N, style_dim)."""
        hidden = self.shared(latent)
        styles = torch.stack([branch(hidden) for branch in self.unshared], dim=1)  # (N, domains, style_dim)
        return styles[torch.arange(len(domain), device=domain.device), domain]


def _trunk(config: ModelConfig) -> list[nn.Module]:
    """The layers that style encoder and discriminator share: (N, 3, S, S) -> (N, width, 1, 1)."""
    halvings = int(math.log2(config.image_size)) - 2
    top = config.width(halvings)
    return [
        nn.Conv2d(3, config.width(0), 3, padding=1),
        *(ResBlock(config.width(i), config.width(i + 1), downsample=True) for i in range(halvings)),
        nn.LeakyReLU(0.2),
        nn.Conv2d(top, top, 4),
        nn.LeakyReLU(0.2),
    ]


class StyleEncoder(nn.Module):
    """Reference images to style codes, one linear layer a domain (paper section 2.1, table 7)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.shared = nn.Sequential(*_trunk(config))
        top = config.width(int(math.log2(config.image_size)) - 2)
        self.unshared = nn.ModuleList(nn.Linear(top, config.style_dim) for _ in config.domains)

    def forward(self, image: Tensor, domain: Tensor) -> Tensor:
        """image (N, 3, S, S) in [-1, 1]; domain (N,) long -> (N, style_dim)."""
        hidden = self.shared(image).flatten(1)
        styles = torch.stack([branch(hidden) for branch in self.unshared], dim=1)  # (N, domains, style_dim)
        return styles[torch.arange(len(domain), device=domain.device), domain]


class Discriminator(nn.Module):
    """Real or fake, one branch a domain (paper section 2.1, table 7)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        top = config.width(int(math.log2(config.image_size)) - 2)
        self.main = nn.Sequential(*_trunk(config), nn.Conv2d(top, len(config.domains), 1))

    def forward(self, image: Tensor, domain: Tensor) -> Tensor:
        """image (N, 3, S, S) in [-1, 1]; domain (N,) long -> logits (N,), positive for real."""
        return self.logits(image).gather(1, domain[:, None]).squeeze(1)

    def logits(self, image: Tensor) -> Tensor:
        """image as above -> the logits of all branches, (N, domains)."""
        return self.main(image).flatten(1)

"""The generator made ready for inference: the same function as `networks.Generator`, in fewer passes over memory.

Kernels are folded once, all AdaIN layers take their numbers from the style in one product, each normalisation measures in one
pass and writes in one, and what of the first decoder block does not depend on the style belongs to the encoding. Everything is
a function of tensors of fixed shapes, as torch.compile likes it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stargan.layers import pooling_kernel, subsample_chroma, upsampling_kernel
from stargan.networks import AdaINResBlock, Generator, InstanceNorm, ResBlock, StyleEncoder

EPS = 1e-5  # of instance normalisation
SUMMED = 1024  # pixels that are summed in one go


class FastConv(nn.Module):
    """A convolution, alone, with the pooling after it ("down") or with the nearest upsampling before it ("up")."""

    def __init__(self, conv: nn.Conv2d, resample: str = "", fold: bool = False) -> None:
        super().__init__()
        self.resample, self.fold = resample, fold and bool(resample)
        weight = conv.weight.detach().clone()
        if self.fold:
            weight = pooling_kernel(weight) if resample == "down" else upsampling_kernel(weight)
        self.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
        self.bias = nn.Parameter(conv.bias.detach().clone(), requires_grad=False) if conv.bias is not None else None

    def forward(self, x: Tensor) -> Tensor:
        if self.fold and self.resample == "down":
            return F.conv2d(x, self.weight, self.bias, stride=2, padding=1)
        if self.fold:
            return F.conv_transpose2d(x, self.weight, self.bias, stride=2, padding=1)
        if self.resample == "up":
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        x = F.conv2d(x, self.weight, self.bias, padding=self.weight.shape[-1] // 2)
        return F.avg_pool2d(x, 2) if self.resample == "down" else x


def modulated(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Instance normalisation, scale and shift (N or 1, C, 1, 1), activation."""
    if x.device.type == "cpu" and not torch.compiler.is_compiling():
        return _modulated_alone(x, scale.expand(len(x), -1, 1, 1), shift.expand(len(x), -1, 1, 1))
    variance, mean = torch.var_mean(x.float(), dim=(2, 3), correction=0, keepdim=True)
    scale = scale * torch.rsqrt(variance + EPS)
    return _activated(x, scale, shift - mean * scale)


def _modulated_alone(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """The same, not compiled, on a CPU, whose kernels for the batch normalisation of one picture are several times as fast as sums
    over the sides of what lies channels last."""
    pictures = []
    for one, gain, bias in zip(x.split(1), scale[:, :, 0, 0], shift[:, :, 0, 0], strict=True):
        mean, variance = _moments(one)
        normalised = F.batch_norm(one, mean, variance, gain, bias, training=mean is None, eps=EPS)
        pictures.append(F.leaky_relu_(normalised, 0.2))
    return pictures[0] if len(pictures) == 1 else torch.cat(pictures)


def _moments(x: Tensor) -> tuple[Tensor, Tensor] | tuple[None, None]:
    """Mean and variance of the channels of one picture (1, C, H, W) in float32, whose sums over so many pixels would lose digits in
    `batch_norm`: here groups are summed first. None where that does not matter."""
    _, channels, *sides = x.shape
    pixels = math.prod(sides)
    if x.dtype != torch.float32 or pixels % SUMMED:
        return None, None
    groups = pixels // SUMMED
    wide = x.permute(0, 2, 3, 1).reshape(1, SUMMED, 1, groups * channels).permute(0, 3, 1, 2)
    means, variances = (sums.view(groups, channels) for sums in torch.batch_norm_update_stats(wide, None, None, 0.0))
    return means.mean(dim=0), variances.mean(dim=0) + means.var(dim=0, correction=0)


def _activated(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return F.leaky_relu(torch.addcmul(shift.to(x.dtype), x, scale.to(x.dtype)), 0.2)


class FastResBlock(nn.Module):
    """A block of the encoders; only the generator's are normalised."""

    scale1: Tensor
    shift1: Tensor
    scale2: Tensor
    shift2: Tensor

    def __init__(self, block: ResBlock, fold: bool) -> None:
        super().__init__()
        self.conv1 = FastConv(block.conv1, "down" if block.downsample else "", fold)
        self.conv2 = FastConv(block.conv2)
        self.conv1x1 = FastConv(block.conv1x1) if isinstance(block.conv1x1, nn.Conv2d) else nn.Identity()
        self.downsample = block.downsample
        self.normalized = isinstance(block.norm1, InstanceNorm)
        for i, norm in enumerate((block.norm1, block.norm2), 1):
            if isinstance(norm, InstanceNorm):
                self.register_buffer(f"scale{i}", norm.weight.detach().clone()[None, :, None, None])
                self.register_buffer(f"shift{i}", norm.bias.detach().clone()[None, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        residual = self.conv1(modulated(x, self.scale1, self.shift1) if self.normalized else F.leaky_relu(x, 0.2))
        residual = modulated(residual, self.scale2, self.shift2) if self.normalized else F.leaky_relu(residual, 0.2)
        shortcut = self.conv1x1(F.avg_pool2d(x, 2) if self.downsample else x)
        return self.conv2(residual).add_(shortcut).mul_(math.sqrt(0.5))


class FastDecoderBlock(nn.Module):
    def __init__(self, block: AdaINResBlock, fold: bool) -> None:
        super().__init__()
        self.conv1 = FastConv(block.conv1, "up" if block.upsample else "", fold)
        self.conv2 = FastConv(block.conv2)
        self.conv1x1 = FastConv(block.conv1x1) if isinstance(block.conv1x1, nn.Conv2d) else nn.Identity()
        self.upsample, self.shortcut = block.upsample, block.shortcut

    def forward(self, x: Tensor, activated: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """x: features, for the shortcut; activated: the same after the first AdaIN and activation."""
        residual = self.conv2(modulated(self.conv1(activated), scale, shift))
        if not self.shortcut:
            return residual
        shortcut = self.conv1x1(x)
        if self.upsample:
            shortcut = F.interpolate(shortcut, scale_factor=2, mode="nearest")
        return residual.add_(shortcut).mul_(math.sqrt(0.5))


class FastGenerator(nn.Module):
    """A copy of a generator, in a precision; fold_from: the smallest side at which folded kernels are taken."""

    style_weight: Tensor
    style_bias: Tensor
    last_scale: Tensor
    last_shift: Tensor

    def __init__(self, generator: Generator, dtype: torch.dtype, fold_from: int) -> None:
        super().__init__()
        self.config = config = generator.config
        side = config.image_size
        self.from_rgb = FastConv(generator.from_rgb)
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        for block in cast(list[ResBlock], list(generator.encode)):
            self.encoder.append(FastResBlock(block, side >= fold_from))
            side //= 2 if block.downsample else 1
        fcs: list[nn.Linear] = []
        for wide in cast(list[AdaINResBlock], list(generator.decode)):
            self.decoder.append(FastDecoderBlock(wide, side >= fold_from))
            side *= 2 if wide.upsample else 1
            fcs += [wide.norm1.fc, wide.norm2.fc]
        norm, _, conv = cast(tuple[InstanceNorm, nn.Module, nn.Conv2d], tuple(generator.to_rgb))
        self.to_rgb = FastConv(conv)
        if config.w_hpf > 0:
            self.hpf = copy.deepcopy(generator.hpf)
        self.to(dtype).to(memory_format=torch.channels_last)
        # The numbers of normalisation stay in float32: they are few.
        self.register_buffer("last_scale", norm.weight.detach().clone()[None, :, None, None])
        self.register_buffer("last_shift", norm.bias.detach().clone()[None, :, None, None])
        self.register_buffer("style_weight", torch.cat([fc.weight.detach() for fc in fcs]))
        self.register_buffer("style_bias", torch.cat([fc.bias.detach() for fc in fcs]))
        self.widths = [fc.out_features // 2 for fc in fcs]

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
        """(N, 3, S, S) -> the innermost features, the same normalised, and by side the features that masks keep."""
        x = self.from_rgb(x)
        kept: dict[int, Tensor] = {}
        for block in self.encoder:
            side = x.shape[-1]
            if self.config.w_hpf > 0 and side in self.config.mask_sizes:
                kept.setdefault(side, x)
            x = block(x)
        variance, mean = torch.var_mean(x.float(), dim=(2, 3), correction=0, keepdim=True)
        return x, ((x - mean) * torch.rsqrt(variance + EPS)).to(x.dtype), kept

    def skips(self, kept: Mapping[int, Tensor], masks: tuple[Tensor, Tensor]) -> dict[int, Tensor]:
        """As `networks.Generator.skips`."""
        smallest = min(self.config.mask_sizes)
        return {
            side: self.hpf(F.interpolate(masks[side != smallest].to(x.dtype), size=side, mode="bilinear") * x)
            for side, x in kept.items()
        }

    def decode(self, features: Tensor, normalized: Tensor, styles: Tensor, skips: Mapping[int, Tensor]) -> Tensor:
        """One encoded source and styles (K, style_dim) float32 -> (K, 3, S, S) in [-1, 1]. The source's tensors are not copied."""
        both = F.linear(styles, self.style_weight, self.style_bias)[:, :, None, None]
        numbers = [half.chunk(2, dim=1) for half in both.split([2 * w for w in self.widths], dim=1)]
        waiting = dict(skips)
        x = features
        for i, block in enumerate(self.decoder):
            gamma, beta = numbers[2 * i]
            activated = _activated(normalized, 1 + gamma, beta) if i == 0 else modulated(x, 1 + gamma, beta)
            gamma, beta = numbers[2 * i + 1]
            x = block(x, activated, 1 + gamma, beta)
            if block.upsample and x.shape[-1] in waiting:
                x.add_(waiting.pop(x.shape[-1]))
        painted = self.to_rgb(modulated(x, self.last_scale, self.last_shift)).float()
        return (subsample_chroma(painted) if self.config.subsampled_chroma else painted).clamp(-1, 1)


class FastStyleEncoder(nn.Module):
    """A copy of a style encoder, in a precision: (N, 3, S, S) -> the styles in all domains, (N, domains, style_dim) float32."""

    def __init__(self, encoder: StyleEncoder, dtype: torch.dtype, fold_from: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        side = 4  # of what comes out of the last block
        for layer in reversed(list(encoder.shared)):
            if isinstance(layer, ResBlock):
                side *= 2
                layers.insert(0, FastResBlock(layer, side >= fold_from))
            else:
                layers.insert(0, copy.deepcopy(layer))
        self.shared = nn.Sequential(*layers).to(dtype).to(memory_format=torch.channels_last)
        self.heads = copy.deepcopy(encoder.unshared)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.shared(x).flatten(1).float()
        return torch.stack([head(hidden) for head in self.heads], dim=1)

"""What the networks compute apart from their layers' own parameters, in forms that cost less.

Two exact rewritings save arithmetic without touching a parameter. A 3x3 convolution followed by 2x2 average pooling is one
4x4 convolution of stride 2 (2.25 times less work), and nearest upsampling followed by a 3x3 convolution is one transposed 4x4
convolution of stride 2 (the same).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)
# Below this side the folded kernels gain nothing: the feature maps are small, the kernels large.
FOLD_FROM = 16
# The smallest side at which pictures that lie channels last are normalised one by one.
NORMALIZE_FROM = 32


@contextlib.contextmanager
def unfolded() -> Iterator[None]:
    """Convolutions, pooling and upsampling one after the other, in the whole process."""
    global FOLD_FROM
    before, FOLD_FROM = FOLD_FROM, 10**9
    try:
        yield
    finally:
        FOLD_FROM = before


def _shifted_sum(weight: Tensor) -> Tensor:
    """(O, I, 3, 3) -> (O, I, 4, 4): the kernel convolved with a 2x2 box of ones."""
    return F.pad(weight, (0, 1, 0, 1)) + F.pad(weight, (1, 0, 0, 1)) + F.pad(weight, (0, 1, 1, 0)) + F.pad(weight, (1, 0, 1, 0))


def pooling_kernel(weight: Tensor) -> Tensor:
    """The 4x4 kernel (O, I, 4, 4) that, at stride 2 and padding 1, convolves as this 3x3 kernel and then pools."""
    return _shifted_sum(weight) / 4


def upsampling_kernel(weight: Tensor) -> Tensor:
    """The 4x4 kernel (I, O, 4, 4) of the transposed convolution that, at stride 2 and padding 1, upsamples and then convolves as
    this 3x3 kernel."""
    return _shifted_sum(weight.flip(2, 3)).transpose(0, 1)


def conv_then_pool(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """2x2 average pooling of a padded 3x3 convolution, (N, I, H, W) -> (N, O, H/2, W/2)."""
    if x.shape[-1] < FOLD_FROM:
        return F.avg_pool2d(conv(x), 2)
    return F.conv2d(x, pooling_kernel(conv.weight), conv.bias, stride=2, padding=1)


def upsample_then_conv(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """A padded 3x3 convolution of the nearest upsampling by 2, (N, I, H, W) -> (N, O, 2H, 2W)."""
    if x.shape[-1] < FOLD_FROM:
        return conv(F.interpolate(x, scale_factor=2, mode="nearest"))
    return F.conv_transpose2d(x, upsampling_kernel(conv.weight), conv.bias, stride=2, padding=1)


def subsample_chroma(x: Tensor) -> Tensor:
    """Pictures, (N, 3, S, S), with their colour at half the resolution of their brightness (4:2:0), as pictures have it that were
    ever a JPEG or a WebP. Networks that paint what those show have no use for finer colour, and what they paint of it is noise."""
    red, green, blue = x.split(1, dim=1)
    luma = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    chroma = F.avg_pool2d(x - luma, 2)
    return luma + F.interpolate(chroma, scale_factor=2, mode="bilinear")


def normalize(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Instance normalisation of (N, C, H, W), then scale and shift: (C,), or (N, C) for each picture.

    What lies channels last on a CPU is normalised picture by picture, as `batch_norm` leaves it so: `instance_norm` lays it out
    anew, and the convolution that follows does so again.
    """
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    if x.device.type == "cpu" and last and x.shape[-1] >= NORMALIZE_FROM:
        pictures = zip(x.split(1), scale.float().expand(len(x), -1), shift.float().expand(len(x), -1), strict=True)
        return torch.cat([F.batch_norm(one, None, None, gain, bias, training=True) for one, gain, bias in pictures])
    if scale.dim() == 1:
        return F.instance_norm(x, weight=scale, bias=shift)
    return torch.addcmul(shift[:, :, None, None], F.instance_norm(x), scale[:, :, None, None])

"""Pictures as tensors and back, and as files; see `stargan.media.reading` for what people bring."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from stargan.files import whole
from stargan.media.reading import FORMATS, MAX_PIXELS, ImageError, read

__all__ = ["FORMATS", "MAX_PIXELS", "ImageError", "centre_crop", "read", "to_pil", "to_square", "to_tensor", "write"]

FAR = 2.0  # values of a picture beyond [-1, 1]: some kinds of resizing reach over it, but not that far


def centre_crop(image: Image.Image, size: int) -> Image.Image:
    """The central square of a picture, resized to size x size, RGB."""
    return ImageOps.fit(image.convert("RGB"), (size, size), Image.Resampling.LANCZOS)


def to_tensor(image: Image.Image) -> Tensor:
    """A picture as (1, 3, H, W) float32 in [-1, 1]."""
    pixels = torch.from_numpy(np.array(image.convert("RGB")))  # (H, W, 3)
    return pixels.permute(2, 0, 1)[None].float() / 127.5 - 1


def to_square(picture: Image.Image | Tensor, size: int) -> Tensor:
    """A square picture, or a tensor (1, 3, H, W) or (3, H, W) in [-1, 1], as (1, 3, size, size) float32 on the CPU. ValueError for
    a tensor of another shape, type or range."""
    x = to_tensor(picture) if isinstance(picture, Image.Image) else picture
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.shape[:-2] not in ((1, 3), (3,)) or not x.numel():
        found = f"{str(x.dtype).removeprefix('torch.')} {list(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"a picture is a PIL image, or one tensor of floats, (1, 3, height, width), not {found}")
    x = x.to("cpu", torch.float32).reshape(1, *x.shape[-3:])
    if not x.abs().amax() <= FAR:  # neither where it is no number
        raise ValueError(f"the tensor of a picture reaches from {x.min():g} to {x.max():g}; its values have to be from -1 to 1")
    same = x.shape[-2:] == (size, size)
    return x if same else F.interpolate(x, size=(size, size), mode="bilinear", antialias=True)


def to_pil(tensor: Tensor) -> Image.Image:
    """(3, H, W) or (1, 3, H, W) as a picture; values beyond [-1, 1] are clipped."""
    pixels = tensor.detach().float().reshape(tensor.shape[-3:]).clamp(-1, 1).add(1).mul(127.5).round().byte()
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().cpu().numpy())


def write(image: Image.Image, path: Path, kind: str = "PNG") -> None:
    """Writes a picture, whole or not at all. kind: as Pillow calls the format. OSError."""
    with whole(path) as partial:
        image.save(partial, kind, quality=95)

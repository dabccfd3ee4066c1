"""Pictures as tensors and back, and as files; see `stargan.media.reading` for what people bring."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from stargan.files import whole
from stargan.media.reading import FORMATS, MAX_PIXELS, ImageError, read

__all__ = ["FORMATS", "MAX_PIXELS", "ImageError", "centre_crop", "read", "to_pil", "to_tensor", "write"]


def centre_crop(image: Image.Image, size: int) -> Image.Image:
    """The central square of a picture, resized to size x size, RGB."""
    return ImageOps.fit(image.convert("RGB"), (size, size), Image.Resampling.LANCZOS)


def to_tensor(image: Image.Image) -> Tensor:
    """A picture as (1, 3, H, W) float32 in [-1, 1]."""
    pixels = torch.from_numpy(np.array(image.convert("RGB")))  # (H, W, 3)
    return pixels.permute(2, 0, 1)[None].float() / 127.5 - 1


def to_pil(tensor: Tensor) -> Image.Image:
    """(3, H, W) or (1, 3, H, W) as a picture; values beyond [-1, 1] are clipped."""
    pixels = tensor.detach().float().reshape(tensor.shape[-3:]).clamp(-1, 1).add(1).mul(127.5).round().byte()
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().cpu().numpy())


def write(image: Image.Image, path: Path, kind: str = "PNG") -> None:
    """Writes a picture, whole or not at all. kind: as Pillow calls the format. OSError."""
    with whole(path) as partial:
        image.save(partial, kind, quality=95)

"""Reading the pictures that people bring, and going between pictures and tensors."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from stargan.files import whole

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PIXELS = 40_000_000
MIN_SIDE = 32


class ImageError(ValueError):
    """A picture that cannot be used; the sentence says why and what to do."""


def read(source: str | Path | bytes | BinaryIO | Image.Image) -> Image.Image:
    """The picture in a file, in bytes or in memory as upright RGB; the first frame of an animation, transparency on white.

    ImageError for what is no picture in one of FORMATS, a broken file, more than 40 megapixels, or a side under 32 px.
    """
    if isinstance(source, Image.Image):
        return _to_rgb(_checked(source))
    name = f"{Path(source).name} " if isinstance(source, str | Path) else "this file "
    try:
        # The size is checked below, before anything is decoded.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)
    except Image.DecompressionBombError:
        raise ImageError(f"{name}has more than 40 megapixels; make it smaller first") from None
    except FileNotFoundError:
        raise ImageError(f"there is no file {source!s}") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        raise ImageError(f"{name}is not a picture that can be read; use PNG, JPEG, WebP, GIF, BMP or TIFF") from None
    with image:
        _checked(image)
        try:
            image.load()
            return _to_rgb(image)
        except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError):
            raise ImageError(f"{name}is broken or cut off; save it again or use another picture") from None


def _checked(image: Image.Image) -> Image.Image:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(f"the picture has {width * height / 1e6:.0f} megapixels; at most 40 are taken, make it smaller first")
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"the picture is {width} x {height} px; each side needs at least {MIN_SIDE} px")
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        return _from_deep_grey(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _from_deep_grey(image: Image.Image) -> Image.Image:
    """16- and 32-bit grey: Pillow's own conversion would clip all above 255 to white."""
    values = np.asarray(image, dtype=np.float64)
    if image.mode == "F":
        low, high = float(values.min()), float(values.max())
        values = (values - low) / (high - low or 1.0) * 255
    else:
        values = values / (257 if image.mode.startswith("I;16") or values.max() > 255 else 1)
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8)).convert("RGB")


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

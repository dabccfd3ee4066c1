"""Colours of 16 bits, of which Pillow keeps the upper 8: dark where a camera or scanner filled the lower 10, 12 or 14."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import TiffImageFile

BITS, PLANES = 258, 284  # tags of TIFF: bits of each colour; whether colours lie together (1) or apart (2)
DEPTHS = (10, 12, 14, 16)  # bits that cameras and scanners keep in files of 16
STRIP = 2_000_000  # pixels that are worked on at once
MOST = 75_000_000  # pixels: OpenCV holds 12 bytes of each, and all that is done to a picture is to stay under 1.5 GB


def white(high: float) -> float:
    """What is white in a picture of more than 8 bits whose largest value is `high`."""
    return 65535.0 if high <= 255 else next((2.0**bits - 1 for bits in DEPTHS if high < 2**bits), high)


def mend(image: Image.Image) -> None:
    """Has Pillow decode a TIFF of colours of 16 bits that lie apart, uncompressed, as what it is: it takes them for 8 bits."""
    if not isinstance(image, TiffImageFile) or not _is_apart(image) or 16 not in np.ravel(image.tag_v2.get(BITS, 0)):
        return
    order = "B" if image.tag_v2.prefix == b"MM" else "L"
    for i, part in enumerate(image.tile):
        if part.codec_name == "raw" and isinstance(part.args, tuple) and image.mode in ("RGB", "RGBA"):
            band, *rest = part.args
            image.tile[i] = part._replace(args=(f"{band};16{order}", *rest))


def _is_apart(image: Image.Image) -> bool:
    return isinstance(image, TiffImageFile) and image.tag_v2.get(PLANES) == 2


def is_deep(image: Image.Image) -> bool:
    """Whether an opened picture, not yet loaded, has colours of 16 bits, or grey of 16 bits with transparency, and is no larger
    than MOST; the upper 8 bits of others have to do."""
    tiles = getattr(image, "tile", None)
    raw = str(tiles[0][3]) if tiles else ""
    if image.width * image.height > MOST or _is_apart(image):
        return False  # OpenCV mixes up colours that lie apart
    return image.mode in ("RGB", "RGBA", "RGBX", "LA") and ";16" in raw


def decoded(image: Image.Image, file: str | Path | BinaryIO, shrink: int = 1) -> Image.Image | None:
    """The same picture as RGB, RGBA or RGBa, scaled by its real range, with its metadata; its sides are divided by `shrink`. None
    where it cannot be decoded. file: what it was opened from."""
    if isinstance(file, str | Path):
        content = np.fromfile(file, np.uint8)
    else:
        file.seek(0)
        content = np.frombuffer(file.read(), np.uint8)
    values = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16 or values.ndim != 3 or values.shape[:2] != image.size[::-1]:
        return None
    # OpenCV's is blue, green, red. A fourth channel need not be transparency, but a selection that somebody has kept.
    order = [2, 1, 0] if values.shape[2] == 3 or image.mode in ("RGB", "RGBX") else [2, 1, 0, 3]
    multiplied = "RGBa" in str(getattr(image, "tile", [])[:1])  # colours by their transparency: both have one range
    tops = [white(float((values if multiplied else values[..., :3]).max()))] * 3 + [white(float(values[..., 3:].max(initial=0)))]
    scale = 255 / np.array(tops[: len(order)], np.float32)
    height, width = values.shape[:2]
    rows = shrink * max(1, STRIP // (shrink * width))
    mode = "RGB" if len(order) == 3 else "RGBa" if multiplied else "RGBA"
    result = Image.new(mode, (-(-width // shrink), -(-height // shrink)))
    for top in range(0, height, rows):
        strip = (values[top : top + rows][..., order] * scale).round().astype(np.uint8)
        made = Image.frombytes(mode, (width, len(strip)), strip.tobytes())
        result.paste(made.reduce(shrink), (0, top // shrink))
    result.format, result.info = image.format, dict(image.info)
    exif = image.getexif()
    if image.format == "TIFF":
        exif.pop(ExifTags.Base.Orientation, None)  # OpenCV has turned it
    result.info["exif"] = exif.tobytes()
    return result

"""Files of pictures in memory, their colours described in one way or another."""

from __future__ import annotations

import io
import zlib

from PIL import Image, ImageCms


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def png_with(content: bytes, kind: bytes, body: bytes) -> bytes:
    """A PNG with one more chunk after its header."""
    chunk = kind + body
    return content[:33] + len(body).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big") + content[33:]


def profile(red: tuple[float, float], name: str = "wide") -> bytes:
    """sRGB's profile with other red, as D50 chromaticity x and y: what a wide-gamut camera may embed. name: of four letters."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    x, y = red
    for i in range(int.from_bytes(content[128:132], "big")):
        entry = 132 + 12 * i
        at = int.from_bytes(content[entry + 4 : entry + 8], "big")
        if content[entry : entry + 4] == b"rXYZ":
            luminance = 0.25
            xyz = (x / y * luminance, luminance, (1 - x - y) / y * luminance)
            for k, value in enumerate(xyz):
                content[at + 8 + 4 * k : at + 12 + 4 * k] = round(value * 65536).to_bytes(4, "big", signed=True)
        if content[entry : entry + 4] == b"desc":
            size = int.from_bytes(content[entry + 8 : entry + 12], "big")
            found = bytes(content[at : at + size])
            content[at : at + size] = found.replace("sRGB".encode("utf-16-be"), name.encode("utf-16-be"))
    return bytes(content)

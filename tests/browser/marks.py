"""Pictures that say whose they are, in black and white squares that survive scaling and compression."""

from __future__ import annotations

import numpy as np
from PIL import Image

BITS = 6
SIDE = 384  # px
STRIP = SIDE // 8


def marked(face: Image.Image, number: int) -> Image.Image:
    """A face with a number from 0 to 63 above it: SIDE x SIDE."""
    picture = Image.new("RGB", (SIDE, SIDE), "grey")
    picture.paste(face.resize((SIDE - STRIP, SIDE - STRIP)), (STRIP // 2, STRIP))
    for i in range(BITS):
        box = (i * SIDE // BITS, 0, (i + 1) * SIDE // BITS, STRIP)
        picture.paste("white" if number >> i & 1 else "black", box)
    return picture


def mark(pixels: np.ndarray) -> int | None:
    """The number in a square picture (side, side, 3) of any size; None where there is none."""
    side = len(pixels)
    inner = pixels[: round(side * STRIP / SIDE)].mean(axis=2)
    number = 0
    for i in range(BITS):
        block = inner[len(inner) // 4 : -(len(inner) // 4), round((i + 0.25) * side / BITS) : round((i + 0.75) * side / BITS)]
        if block.std() > 30 or 80 < block.mean() < 175:
            return None
        number |= int(block.mean() > 127) << i
    return number

"""Colour spaces that pictures name by numbers instead of a profile: HEIC and AVIF, PNG, and cameras' Adobe RGB."""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pillow_heif
from PIL import ExifTags, Image

Places = tuple[tuple[float, float], ...]
PQ, HLG = 16, 18  # curves that go beyond white
# Red, green, blue and white as x and y, by their code in ITU-T H.273.
WHITE = (0.3127, 0.3290)
PRIMARIES = {
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), WHITE),  # those of sRGB
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), WHITE),  # BT.2020
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), WHITE),  # Display P3
}
ADOBE = ((0.640, 0.330), (0.210, 0.710), (0.150, 0.060), WHITE)
# Exponents of light, by their code. What is made for films (1, 6, 14, 15) is shown as sRGB everywhere.
SRGB_CURVE = 0.0
CURVES = {**dict.fromkeys((1, 6, 13, 14, 15), SRGB_CURVE), 4: 2.2, 5: 2.8, 8: 1.0}
NEAR_GAMMA, NEAR_PLACE = 0.1, 0.01  # of those of sRGB, which many programs round
D50 = (0.9642, 1.0, 0.8249)
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
BROKEN = (
    OSError,
    ValueError,
    SyntaxError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    ArithmeticError,
    EOFError,
    struct.error,
)


@dataclass(frozen=True)
class Space:
    """A colour space. primaries: red, green, blue and white as x and y. curve: the exponent of light, 0 for that of sRGB. bright:
    the code of PQ or HLG, which go beyond white; 0 for others."""

    primaries: Places
    curve: float = SRGB_CURVE
    bright: int = 0

    def profile(self) -> bytes:
        """The same as an ICC profile of version 4."""
        name = b"mluc" + struct.pack(">3I2s2s2I", 0, 1, 12, b"en", b"US", 2, 28) + b"\0 "
        numbers = (self.curve,) if self.curve else (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
        curve = b"para" + struct.pack(">I2H", 0, 0 if self.curve else 3, 0) + _fixed(numbers)
        tags = [(b"desc", name), (b"cprt", name), (b"wtpt", _xyz(D50))]
        tags += [(b"%cXYZ" % key, _xyz(column)) for key, column in zip(b"rgb", _colorants(self.primaries).T, strict=True)]
        tags += [(b"%cTRC" % key, curve) for key in b"rgb"]
        table, body = struct.pack(">I", len(tags)), b""
        for tag, content in tags:
            table += tag + struct.pack(">2I", 132 + 12 * len(tags) + len(body), len(content))
            body += content + bytes(-len(content) % 4)
        sizes = 128 + len(table + body), 0x04200000
        head = struct.pack(">I4xI4s4s4s12x4s28x", *sizes, b"mntr", b"RGB ", b"XYZ ", b"acsp") + _fixed(D50)
        return head.ljust(128, b"\0") + table + body


def of(image: Image.Image, file: str | Path | BinaryIO | None = None) -> Space | None:
    """What an opened picture says of its colours, where that is not sRGB, and comes before its profile or in place of one. file:
    what it was opened from, whose place stays."""
    with contextlib.suppress(*BROKEN):
        has_profile = bool(image.info.get("icc_profile"))
        if image.format in ("HEIF", "AVIF"):
            named = _of_heif(image, file)
            return named if named and (named.bright or not has_profile) else None
        if image.format == "PNG":
            return _of_png(image, file, has_profile)
        if image.format in ("JPEG", "MPO", "TIFF", "WEBP") and not has_profile:
            # How cameras mark it, most of them without a profile (DCF 2.0).
            return Space(ADOBE, 563 / 256) if image.getexif().get_ifd(ExifTags.IFD.Interop).get(1) == "R03" else None
    return None


def _by_codes(primaries: int, curve: int) -> Space | None:
    """What codes of H.273 stand for; None for sRGB, and for what is not known."""
    bright = curve if curve in (PQ, HLG) else 0
    places = PRIMARIES.get(primaries, PRIMARIES[9 if bright else 1])
    named = Space(places, CURVES.get(curve, SRGB_CURVE), bright)
    return None if named == Space(PRIMARIES[1]) or not (bright or curve in CURVES) else named


def _of_heif(image: Image.Image, file: str | Path | BinaryIO | None) -> Space | None:
    found = image.info.get("nclx_profile")
    if image.format == "AVIF" and file is not None:
        # Pillow passes it over; nothing is decoded here.
        with _from_start(file) as opened:
            found = pillow_heif.open_heif(opened).info.get("nclx_profile")
    return _by_codes(found["color_primaries"], found["transfer_characteristics"]) if found else None


def _of_png(image: Image.Image, file: str | Path | BinaryIO | None, has_profile: bool) -> Space | None:
    """The first of cICP, a profile, sRGB, and gAMA with cHRM, as the specification (4.3) has it."""
    if file is not None:
        with _from_start(file) as opened:
            opened.seek(8)
            while len(head := opened.read(8)) == 8 and head[4:] != b"IDAT":
                length = int.from_bytes(head[:4], "big")
                if head[4:] == b"cICP" and length == 4:
                    return _by_codes(*opened.read(2))
                opened.seek(length + 4, io.SEEK_CUR)
    if has_profile or "srgb" in image.info:
        return None
    gamma, places = image.info.get("gamma", 1 / 2.2), np.array(image.info.get("chromaticity", ())).reshape(-1, 2)
    far = not np.isclose(gamma, 1 / 2.2, rtol=0, atol=NEAR_GAMMA) and 0.1 < gamma < 2
    curve = round(1 / gamma, 3) if far else SRGB_CURVE
    known: Places = PRIMARIES[1]
    if places.shape == (4, 2) and (places[:, 1] > 0).all():
        known = tuple((float(x), float(y)) for x, y in np.roll(places, -1, axis=0))  # white comes first
    near = np.abs(np.array(known) - PRIMARIES[1]).max() < NEAR_PLACE
    named = Space(PRIMARIES[1] if near else known, curve)
    named.profile()  # which fails where these places hold no colours
    return None if near and not far else named


@contextlib.contextmanager
def _from_start(file: str | Path | BinaryIO) -> Iterator[BinaryIO]:
    """A file from its first byte on; one that was open is left where it was."""
    if isinstance(file, str | Path):
        with open(file, "rb") as opened:
            yield opened
        return
    place = file.tell()
    try:
        file.seek(0)
        yield file
    finally:
        file.seek(place)


def to_srgb(primaries: Places) -> np.ndarray:
    """(3, 3): linear light of these primaries to that of sRGB's."""
    return np.linalg.solve(_colorants(PRIMARIES[1]), _colorants(primaries))


def _colorants(primaries: Places) -> np.ndarray:
    """(3, 3): linear light to XYZ under the white of profiles, D50."""
    *colours, white = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in primaries)
    columns = np.stack(colours, axis=1)
    adapted = np.linalg.solve(BRADFORD, np.diag(BRADFORD @ D50 / (BRADFORD @ white)) @ BRADFORD)
    return adapted @ columns * np.linalg.solve(columns, white)


def _fixed(values: Iterable[float]) -> bytes:
    """Numbers as profiles have them, of 32 bits, 16 of them behind the point."""
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _xyz(values: Iterable[float]) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(values)

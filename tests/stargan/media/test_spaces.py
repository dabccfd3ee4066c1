"""Colours: what a file says of them is heeded."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import pytest
from pictures import encoded, png_with, profile
from PIL import Image, ImageCms

from stargan.media import images


def test_a_profile_is_known_by_what_it_holds_not_by_its_name() -> None:
    """As of linear ones, which are called linear sRGB."""
    muted = encoded(Image.new("RGB", (64, 64), (180, 90, 90)), "PNG", icc_profile=profile((0.7, 0.3), "sRGB"))
    assert images.read(muted).getpixel((3, 3))[0] > 186


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_grey_has_its_profile(mode: str) -> None:
    flatter = profile((0.64, 0.33)).replace((157286).to_bytes(4, "big"), (78643).to_bytes(4, "big"))  # exponents 2.4 and 1.2
    of_grey = flatter.replace(b"RGB XYZ ", b"GRAYXYZ ").replace(b"rTRC", b"kTRC")
    content = encoded(Image.new("L", (64, 64), 90).convert(mode), "PNG", icc_profile=of_grey)
    assert images.read(content).getpixel((3, 3))[0] > 140


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_colour_profiles_are_converted(format: str) -> None:
    muted = Image.new("RGB", (64, 64), (180, 90, 90))
    quality = {} if format in ("PNG", "TIFF") else {"quality": 95}
    content = encoded(muted, format, icc_profile=profile((0.7, 0.3)), **quality)
    red, green, _ = images.read(content).getpixel((32, 32))
    # Red is purer in the wide space.
    assert red > 186 and green < 88
    assert images.read(content).info == {}


def test_profiles_that_do_not_fit_are_passed_over() -> None:
    grey = Image.new("L", (64, 64), 90)
    for broken in (b"nonsense", profile((0.7, 0.3))):
        assert images.read(encoded(grey, "PNG", icc_profile=broken)).getpixel((3, 3)) == (90, 90, 90)
    same = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    muted = images.read(encoded(Image.new("RGB", (64, 64), (180, 90, 90)), "PNG", icc_profile=same))
    assert muted.getpixel((3, 3)) == (180, 90, 90)


def test_transparency_goes_with_a_profile() -> None:
    clear = Image.new("RGBA", (64, 64), (180, 90, 90, 0))
    assert images.read(encoded(clear, "PNG", icc_profile=profile((0.7, 0.3)))).getpixel((5, 5)) == (255, 255, 255)


SKIN = (180, 120, 90)
FROM_P3, FROM_ADOBE, FROM_LINEAR = (190, 117, 84), (199, 121, 88), (219, 182, 160)  # the same numbers there, in sRGB


def named(format: str, primaries: int, curve: int, colour: tuple[int, int, int] = SKIN) -> bytes:
    """A picture of one colour whose space stands in it by codes of ITU-T H.273."""
    picture = Image.new("RGB", (64, 64), colour)
    if format == "PNG":
        return png_with(encoded(picture, format), b"cICP", bytes((primaries, curve, 0, 1)))
    content = encoded(picture, format, quality=100 if format == "AVIF" else -1)
    return re.sub(rb"(?s)colrnclx....", b"colrnclx" + struct.pack(">2H", primaries, curve), content, count=1)


def near(content: bytes | Path, colour: tuple[int, int, int], most: int = 4) -> bool:
    return bool(np.abs(np.subtract(images.read(content).getpixel((9, 9)), colour)).max() < most)


@pytest.mark.parametrize("format", ["PNG", "AVIF", "HEIF"])
def test_a_space_that_is_named_by_codes_is_converted(format: str, tmp_path: Path) -> None:
    assert near(named(format, 12, 13), FROM_P3)
    for plain in ((1, 13), (1, 1), (5, 6), (2, 2)):
        assert near(named(format, *plain), SKIN)
    (tmp_path / "a").write_bytes(named(format, 12, 13))
    assert near(tmp_path / "a", FROM_P3)


@pytest.mark.parametrize("format", ["PNG", "AVIF", "HEIF"])
def test_a_still_in_hdr_looks_as_its_scene_does(format: str) -> None:
    """A grey card and white in PQ and HLG, as of clips."""
    for curve, grey, white in ((16, 0.38, 0.58), (18, 0.38, 0.75)):
        card, paper = (named(format, 9, curve, (round(255 * x),) * 3) for x in (grey, white))
        assert near(card, (104,) * 3, 8) and near(paper, (255,) * 3, 17)


def test_gamma_and_primaries_of_a_png_are_heeded_where_nothing_better_is_said() -> None:
    plain = encoded(Image.new("RGB", (64, 64), SKIN), "PNG")
    assert near(png_with(plain, b"gAMA", struct.pack(">I", 100_000)), FROM_LINEAR)
    assert near(png_with(plain, b"gAMA", struct.pack(">I", 45_455)), SKIN, 1)
    assert near(png_with(png_with(plain, b"gAMA", struct.pack(">I", 100_000)), b"sRGB", b"\0"), SKIN, 1)
    places = [31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000]
    assert near(png_with(plain, b"cHRM", struct.pack(">8I", *places)), FROM_P3)
    for broken in ([0] * 8, [33333] * 8, [2**32 - 1] * 8):
        assert near(png_with(plain, b"cHRM", struct.pack(">8I", *broken)), SKIN, 1)


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_adobe_rgb_of_a_camera_is_converted(format: str) -> None:
    exif = Image.Exif()
    exif[0x8769] = {0xA001: 65535, 0xA005: {1: "R03"}}
    picture = Image.new("RGB", (64, 64), SKIN)
    assert near(encoded(picture, format, exif=exif.tobytes(), quality=100), FROM_ADOBE)
    same = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert near(encoded(picture, format, exif=exif.tobytes(), icc_profile=same, quality=100), SKIN)

"""Colours: what a file says of them is heeded."""

from __future__ import annotations

import pytest
from pictures import encoded, profile
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

"""Pictures of all kinds that people bring."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from material import portrait
from PIL import Image

from stargan.media import images
from stargan.media.images import ImageError


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def difference(a: Image.Image, b: Image.Image) -> float:
    return float(np.abs(np.asarray(a, np.float32) - np.asarray(b.convert("RGB"), np.float32)).mean())


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_every_format_is_read(format: str, tmp_path: Path) -> None:
    original = portrait(1, 64)
    (tmp_path / "a").write_bytes(encoded(original, format))
    for source in (tmp_path / "a", str(tmp_path / "a"), encoded(original, format), io.BytesIO(encoded(original, format))):
        found = images.read(source)
        assert found.mode == "RGB" and found.size == (64, 64)
        assert difference(found, original) < 16


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "1", "RGBA", "LA", "HSV"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    original = portrait(2, 64)
    converted = original.convert(mode)
    found = images.read(converted)
    assert found.mode == "RGB"
    grey = mode in ("L", "LA", "1")
    wanted = original.convert("L") if grey else original
    assert difference(found, wanted) < (110 if mode == "1" else 20 if mode == "P" else 4)


def test_exif_rotation_is_applied() -> None:
    original = portrait(3, 64).crop((0, 0, 64, 48))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    found = images.read(encoded(original, "JPEG", exif=exif, quality=95, subsampling=0))
    assert found.size == (48, 64)
    assert difference(found, original.rotate(-90, expand=True)) < 6


def test_transparency_becomes_white() -> None:
    clear = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    assert images.read(encoded(clear, "PNG")).getpixel((5, 5)) == (255, 255, 255)
    half = Image.new("RGBA", (64, 64), (255, 0, 0, 128))
    red, green, _ = images.read(encoded(half, "PNG")).getpixel((5, 5))
    assert red == 255 and abs(green - 127) <= 1
    palette = Image.new("P", (64, 64), 0)
    palette.putpalette([0, 0, 255] * 2)
    assert images.read(encoded(palette, "PNG", transparency=0)).getpixel((5, 5)) == (255, 255, 255)


def test_sixteen_bit_grey_keeps_its_range() -> None:
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    for format in ("PNG", "TIFF"):
        found = np.asarray(images.read(encoded(Image.fromarray(ramp), format)))
        assert found.shape == (64, 64, 3)
        assert np.abs(found[..., 0].astype(float) - ramp / 257).max() <= 1
    dark = np.full((64, 64), 200, np.uint16)
    assert np.asarray(images.read(encoded(Image.fromarray(dark), "PNG"))).max() <= 1


def test_the_first_frame_of_an_animation_is_taken() -> None:
    frames = [Image.new("RGB", (40, 40), c) for c in ("red", "blue")]
    found = images.read(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert found.getpixel((1, 1)) == (255, 0, 0)


@pytest.mark.parametrize("content", [b"", b"hello", b"%PDF-1.4", b"\x89PNG\r\n\x1a\n", b"<svg xmlns='x'/>"])
def test_what_is_no_picture_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="PNG, JPEG, WebP, GIF, BMP or TIFF"):
        images.read(content)
    (tmp_path / "holiday.png").write_bytes(content)
    with pytest.raises(ImageError, match=r"holiday\.png"):
        images.read(tmp_path / "holiday.png")


def test_broken_and_missing_files_are_refused(tmp_path: Path) -> None:
    for format in ("PNG", "JPEG", "WEBP", "TIFF"):
        with pytest.raises(ImageError):
            images.read(encoded(portrait(4, 128), format)[:400])
    with pytest.raises(ImageError, match="there is no file"):
        images.read(tmp_path / "none.png")


def test_size_limits() -> None:
    with pytest.raises(ImageError, match="42 megapixels"):
        images.read(encoded(Image.new("L", (7000, 6000)), "PNG"))
    with pytest.raises(ImageError, match="31 x 400"):
        images.read(Image.new("RGB", (31, 400)))
    assert images.read(Image.new("RGB", (32, 400))).size == (32, 400)


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    content = bytearray(encoded(Image.new("L", (64, 64)), "PNG"))
    content[16:24] = (60000).to_bytes(4, "big") * 2
    import zlib

    content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
    with pytest.raises(ImageError, match="megapixels"):
        images.read(bytes(content))


def test_tensors_and_back() -> None:
    original = portrait(5, 48)
    tensor = images.to_tensor(original)
    assert tensor.shape == (1, 3, 48, 48) and tensor.min() >= -1 and tensor.max() <= 1
    assert difference(images.to_pil(tensor), original) == 0
    assert images.to_pil(torch.full((3, 2, 2), 7.0)).getpixel((0, 0)) == (255, 255, 255)


def test_centre_crop() -> None:
    wide = Image.new("RGB", (300, 100), "red")
    wide.paste("blue", (100, 0, 200, 100))
    assert images.centre_crop(wide, 40).getpixel((20, 20)) == (0, 0, 255)
    assert images.centre_crop(wide, 40).size == (40, 40)

"""Pictures of all kinds that people bring."""

from __future__ import annotations

import base64
import io
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import torch
from material import portrait
from pictures import encoded, png_with, profile
from PIL import Image, ImageCms, TiffImagePlugin

from stargan.media import images, reading
from stargan.media.images import ImageError


def difference(a: Image.Image, b: Image.Image) -> float:
    return float(np.abs(np.asarray(a, np.float32) - np.asarray(b.convert("RGB"), np.float32)).mean())


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF"])
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


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_grey_of_few_bits_in_a_file_of_sixteen_is_scaled_by_its_range(bits: int) -> None:
    ramp = np.linspace(0, 2**bits - 1, 64 * 64).reshape(64, 64).astype(np.uint16)
    found = np.asarray(images.read(encoded(Image.fromarray(ramp), "PNG")))[..., 0]
    assert np.abs(found - ramp / (2**bits - 1) * 255).max() <= 1


def deep(format: str, bits: int, transparent: bool = False) -> tuple[bytes, np.ndarray]:
    """A file of 16 bits a channel of which the lower `bits` are used, and its colours (64, 96, 3) from 0 to 1."""
    x, y = np.meshgrid(np.linspace(0, 1, 96), np.linspace(0, 1, 64))
    colours = np.stack([x, y, 1 - x], 2)
    values = (colours * (2**bits - 1)).round().astype(np.uint16)
    alpha = [np.full((64, 96, 1), 65535, np.uint16)] if transparent else []
    plain = [cv2.IMWRITE_TIFF_COMPRESSION, 1] if format == "TIFF" and bits == 12 else []
    ok, content = cv2.imencode(f".{format}", np.concatenate([values[..., ::-1], *alpha], 2), plain)  # blue, green, red
    assert ok
    return content.tobytes(), colours


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize(("format", "transparent"), [("PNG", False), ("PNG", True), ("TIFF", False)])
def test_colour_of_few_bits_in_a_file_of_sixteen_is_scaled_by_its_range(
    bits: int, format: str, transparent: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, colours = deep(format, bits, transparent)
    (tmp_path / "deep").write_bytes(content)
    with (tmp_path / "deep").open("rb") as file:
        for found in map(images.read, (content, tmp_path / "deep", file)):
            assert found.size == (96, 64) and found.mode == "RGB" and not found.info
            assert np.abs(np.asarray(found) - 255 * colours).max() <= 1
    # A large one is made smaller meanwhile, in strips.
    monkeypatch.setattr(reading, "KEPT_PIXELS", 4000)
    monkeypatch.setattr("stargan.media.deep.STRIP", 500)
    found = images.read(content)
    wanted = Image.fromarray((255 * colours).round().astype(np.uint8)).reduce(2)
    assert found.size == (48, 32) and difference(found, wanted) < 1
    # Of one too large for that, the upper 8 bits have to do.
    monkeypatch.setattr("stargan.media.deep.MOST", 5000)
    assert 2 ** (bits - 8) - 2 <= np.asarray(images.read(content)).max() < 2 ** (bits - 8)


def test_deep_colour_is_turned_and_has_its_profile() -> None:
    content, _ = deep("PNG", 12)
    with Image.open(io.BytesIO(content)) as opened:
        exif = Image.Exif()
        exif[0x0112] = 6
        facts = b"Exif\0\0" + exif.tobytes() if not exif.tobytes().startswith(b"Exif") else exif.tobytes()
        assert opened.size == (96, 64)
    turned = png_with(content, b"eXIf", facts.removeprefix(b"Exif\0\0"))
    assert images.read(turned).size == (64, 96)
    plain = np.asarray(images.read(content), int)
    wide = np.asarray(images.read(png_with(content, b"iCCP", b"wide\0\0" + zlib.compress(profile((0.7, 0.3))))), int)
    assert np.abs(wide - plain)[..., 0].max() > 5


def test_dark_and_broken_files_of_deep_colour() -> None:
    ok, png = cv2.imencode(".png", np.full((64, 64, 3), 200, np.uint16))
    assert ok and np.asarray(images.read(png.tobytes())).max() <= 1
    content, _ = deep("PNG", 12)
    for part in (content[: len(content) // 2], content[:60]):
        with pytest.raises(ImageError, match="broken or cut off"):
            images.read(part)


def test_grey_of_more_bits_and_of_floats_is_scaled_by_what_is_in_it() -> None:
    ramp = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    found = np.asarray(images.read(encoded(Image.fromarray((ramp * 900_000).astype(np.int32)), "TIFF")))[..., 0]
    assert np.abs(found - ramp * 255).max() <= 1
    holes = ramp * 3 - 1
    holes[0, :3] = np.nan, np.inf, -np.inf
    found = np.asarray(images.read(encoded(Image.fromarray(holes), "TIFF")))[..., 0]
    assert np.abs(found - ramp * 255)[1:].max() <= 1
    assert np.asarray(images.read(encoded(Image.fromarray(np.full((64, 64), np.nan, np.float32)), "TIFF"))).max() == 0


@pytest.mark.parametrize("mode", ["CMYK", "LAB", "L", "1"])
def test_every_mode_of_a_tiff_is_read(mode: str) -> None:
    original = portrait(8, 64)
    if mode == "LAB":
        spaces = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        converted = ImageCms.profileToProfile(original, *spaces, outputMode="LAB")
    else:
        converted = original.convert(mode)
    wanted = original.convert(mode if mode in ("L", "1") else "RGB")
    assert difference(images.read(encoded(converted, "TIFF")), wanted) < 2


@pytest.mark.parametrize("format", ["JPEG", "MPO", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_of_every_format_is_upright(format: str, orientation: int) -> None:
    upright = Image.new("RGB", (64, 48), "white")
    upright.paste("red", (0, 0, 32, 24))
    upright.paste("blue", (32, 24, 64, 48))
    # The turn that the tag asks for undone; quarter turns are each other's inverse, the rest its own.
    undone = reading._TURNS.get({6: 8, 8: 6}.get(orientation, orientation))
    exif = Image.Exif()
    exif[0x0112] = orientation
    lain = upright if undone is None else upright.transpose(undone)
    several = {"save_all": True, "append_images": [lain]} if format == "MPO" else {}
    assert difference(images.read(encoded(lain, format, exif=exif.tobytes(), **several)), upright) < 12
    if format == "TIFF":
        file = io.BytesIO()
        tag = (274, "H", 1, orientation, True)
        tifffile.imwrite(file, np.asarray(lain).astype(np.uint16) * 257, photometric="rgb", extratags=[tag])
        assert difference(images.read(file.getvalue()), upright) == 0


@pytest.mark.parametrize("kind", ["apart", "apart, compressed", "apart, big-endian", "with a selection", "grey, negative"])
def test_kinds_of_deep_tiff(kind: str) -> None:
    picture = portrait(5, 64)
    wide = np.asarray(picture).astype(np.uint16) * 257
    options: dict[str, object] = {"photometric": "rgb"}
    if kind.startswith("apart"):
        wide = np.ascontiguousarray(wide.transpose(2, 0, 1))
        options |= {"planarconfig": "separate", "byteorder": ">" if "big" in kind else "<"}
        options |= {"compression": "zlib"} if "compressed" in kind else {}
    elif kind == "grey, negative":
        picture = picture.convert("L")
        wide = 65535 - np.asarray(picture).astype(np.uint16) * 257
        options["photometric"] = "miniswhite"
    else:
        wide = np.concatenate([wide, np.zeros((64, 64, 1), np.uint16)], axis=2)
        options["extrasamples"] = ["unspecified"]
    file = io.BytesIO()
    tifffile.imwrite(file, wide, **options)
    assert difference(images.read(file.getvalue()), picture) < 1


def test_deep_colour_that_is_multiplied_by_its_transparency() -> None:
    file = io.BytesIO()
    half_red = np.tile(np.array([32768, 0, 0, 32768], np.uint16), (64, 64, 1))
    tifffile.imwrite(file, half_red, photometric="rgb", extrasamples=["assocalpha"])
    assert images.read(file.getvalue()).getpixel((5, 5)) == (255, 127, 127)


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "AVIF", "TIFF"])
def test_the_first_frame_of_an_animation_is_taken(format: str) -> None:
    frames = [Image.new("RGB", (40, 40), c) for c in ("red", "blue")]
    found = images.read(encoded(frames[0], format, save_all=True, append_images=frames[1:]))
    assert np.abs(np.subtract(found.getpixel((1, 1)), (255, 0, 0))).max() < 8


def test_a_data_uri_is_read() -> None:
    content = base64.b64encode(encoded(portrait(6, 64), "PNG")).decode()
    assert difference(images.read(f"data:image/png;base64,{content}"), portrait(6, 64)) == 0
    for broken in ("data:image/png;base64,???", "data:image/png;base64,", "data:image/png"):
        with pytest.raises(ImageError, match="the data URI holds no picture"):
            images.read(broken)
    with pytest.raises(ImageError, match="the data URI is not a picture"):
        images.read("data:text/plain;base64,aGVsbG8=")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"hello", "is not a picture that can be read"),
        (b"%PDF-1.4", "is a PDF document, which is not read; save it as PNG"),
        (b"\x89PNG\r\n\x1a\n", "is a PNG picture that is broken or cut off"),
        (b"  <svg xmlns='x'/>", "is an SVG drawing, which"),
        (b"8BPS\0\1", "is a Photoshop document, which"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "is a JPEG XL picture, which"),
        (b"\0\0\0\x20ftypisom\0\0\2\0", "is a video, which"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "is a HEIC picture that is broken"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "is an AVIF picture that is broken"),
        (b"II*\0\x10\0\0\0CR\2\0", "is a camera's raw file, which"),
        (b"II*\0\x08\0\0\0", "is a TIFF picture that is broken or cut off, or of a kind that is not read"),
        (b"P6 2 2 255 ", "is a Netpbm picture, which"),
        (b"\0" * 128 + b"DICM", "is a DICOM picture, which"),
        (b"\xef\xbb\xbf<svg xmlns='x'/>", "is an SVG drawing, which"),
        (b"<!doctype html><title>404</title>", "is a web page, which"),
        (b"\n<HTML>", "is a web page, which"),
        (b"\0\0\2\0\0\0\0\0\0\0\0\0\x40\0\x40\0\x18\0", "is a TGA picture, which"),
        (b"\n\5\1\x08" + bytes(124), "is a PCX picture, which"),
        (b"icns\0\0\1\0", "is an icon, which"),
        (b"\1\0\0\0" + bytes(36) + b" EMF", "is a Windows metafile, which"),
        (b"Rar!\x1a\x07\1\0", "is a RAR archive, which"),
        (b"\x1f\x8b\x08\0", "is a file compressed by gzip, which"),
    ],
)
def test_what_is_no_picture_is_refused_by_its_name(content: bytes, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=f"this file {sentence}.*JPEG, WebP, GIF, BMP, TIFF, AVIF, HEIC or JPEG 2000"):
        images.read(content)
    (tmp_path / "holiday.png").write_bytes(content)
    with pytest.raises(ImageError, match=rf"^holiday\.png {sentence}"):
        images.read(tmp_path / "holiday.png")


def test_a_raw_file_is_known_by_its_name_too(tmp_path: Path) -> None:
    (tmp_path / "IMG.NEF").write_bytes(b"MM\0*\0\0\0\x08")
    with pytest.raises(ImageError, match=r"^IMG\.NEF is a camera's raw file, which is not read; save it as PNG"):
        images.read(tmp_path / "IMG.NEF")


@pytest.mark.parametrize("tags", [{50706: bytes((1, 4, 0, 0))}, {254: 1, 330: 8}], ids=["dng", "nef"])
def test_the_preview_that_a_raw_file_begins_with_is_not_taken_for_its_photograph(tags: dict[int, Any]) -> None:
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        directory.tagtype[tag] = 1 if isinstance(value, bytes) else 4
        directory[tag] = value
    buffer = io.BytesIO()
    portrait(4, 160).save(buffer, "TIFF", tiffinfo=directory)
    with pytest.raises(ImageError, match="^this file is a camera's raw file, which is not read"):
        images.read(buffer.getvalue())


def test_broken_and_missing_files_are_refused(tmp_path: Path) -> None:
    for format in ("PNG", "JPEG", "WEBP", "TIFF"):
        with pytest.raises(ImageError):
            images.read(encoded(portrait(4, 128), format)[:400])
    with pytest.raises(ImageError, match="there is no file"):
        images.read(tmp_path / "none.png")
    with pytest.raises(ImageError, match=r"there is no file \*\.png \(a pattern that nothing fits\)"):
        images.read("*.png")


def test_size_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match="31 x 400"):
        images.read(Image.new("RGB", (31, 400)))
    with pytest.raises(ImageError, match="1 x 1 px; each side needs at least 32"):
        images.read(encoded(Image.new("RGB", (1, 1)), "PNG"))
    assert images.read(Image.new("RGB", (32, 400))).size == (32, 400)
    monkeypatch.setattr(reading, "MAX_PIXELS", 2_000_000)
    with pytest.raises(ImageError, match="the picture has 4 megapixels; at most 2 are taken"):
        images.read(Image.new("L", (2000, 2000)))
    monkeypatch.setitem(reading.MAX_PIXELS_OF, "WEBP", 1_000_000)
    with pytest.raises(ImageError, match="at most 1 of a WEBP are taken"):
        images.read(encoded(Image.new("L", (1000, 1500)), "WEBP"))


@pytest.mark.parametrize(("format", "mode"), [("JPEG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("TIFF", "I;16"), ("TIFF", "CMYK")])
def test_a_large_picture_is_kept_smaller(format: str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "KEPT_PIXELS", 200_000)
    monkeypatch.setattr(reading, "STRIP", 50_000)
    original = portrait(7, 64).resize((700, 500), Image.Resampling.BICUBIC)
    wide = Image.fromarray(np.asarray(original.convert("L")).astype(np.uint16) * 257) if mode == "I;16" else original.convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(wide, format) if format == "TIFF" else encoded(wide, format, exif=exif)
    found = images.read(content)
    assert sorted(found.size) == [250, 350]
    upright = found if format == "TIFF" else found.rotate(90, expand=True)
    wanted = (original.convert("L") if mode == "I;16" else original).resize((350, 250))
    assert difference(upright, wanted) < (20 if mode == "P" else 6)


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    content = bytearray(encoded(Image.new("L", (64, 64)), "PNG"))
    content[16:24] = (60000).to_bytes(4, "big") * 2
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

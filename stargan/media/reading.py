"""Reading the pictures that people bring: upright, in sRGB, at a size that fits in memory."""

from __future__ import annotations

import base64
import binascii
import codecs
import io
import struct
import urllib.parse
from pathlib import Path
from typing import BinaryIO, TypeGuard

import numpy as np
import pillow_heif
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin, UnidentifiedImageError

from stargan.files.kinds import unfilled
from stargan.media import deep, hdr, spaces

pillow_heif.register_heif_opener()

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF", "JPEG2000")
NAMES = "PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF, HEIC or JPEG 2000"
# Only a JPEG can be made smaller while it is decoded. Decoders of OF_COPIES hold several copies of a picture.
OF_COPIES = ("WEBP", "AVIF", "HEIF", "JPEG2000")
MAX_PIXELS = 200_000_000
MAX_PIXELS_OF = {**dict.fromkeys(("PNG", "TIFF", "BMP"), 150_000_000), **dict.fromkeys(OF_COPIES, 50_000_000)}
MIN_SIDE = 32
# A picture of more pixels is kept at a half or a third of its sides, so that all that is done to it stays under 1.5 GB.
KEPT_PIXELS = 50_000_000
KIND_OF_PICTURE, PREVIEW, SUB_IFDS, DNG_VERSION = 254, 1, 330, 50706  # tags of TIFF, and a value of the first
WHITE_IS_ZERO = 262  # the tag of TIFF by whose value of 0 it is
STRIP = 8_000_000  # pixels that are made smaller at once

# Pillow warns of pictures above this and refuses those of twice as many; what is read here is checked before it is decoded.
Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, MAX_PIXELS)

RAW = "a camera's raw file"
RAW_SUFFIXES = (".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".srw", ".orf", ".rw2", ".pef", ".raf", ".raw")
# What files begin with, or have at some byte, that are often taken for pictures that can be read.
_OTHERS = (
    (0, b"8BPS", "a Photoshop document"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (4, b"JXL ", "a JPEG XL picture"),
    (0, b"\x00\x00\x01\x00", "an icon"),
    (0, b"FUJIFILM", RAW),
    (4, b"ftypcrx", RAW),
    (4, b"ftyp", "a video"),
    (0, b"\x1aE\xdf\xa3", "a video"),
    (0, b"PK", "a ZIP archive or an office document"),
    (0, b"gimp xcf", "a GIMP document"),
    (0, b"qoif", "a QOI picture"),
    (0, b"#?RADIANCE", "a Radiance HDR picture"),
    (0, b"v/1\x01", "an OpenEXR picture"),
    (0, b"DDS ", "a DDS texture"),
    *((0, b"P%d" % kind, "a Netpbm picture") for kind in range(1, 8)),
    (0, b"SIMPLE  =", "a FITS picture"),
    (128, b"DICM", "a DICOM picture"),
    *((0, b"\0\0" + kind + bytes(5), "a TGA picture") for kind in (b"\2", b"\3", b"\n", b"\v")),
    *((0, b"\n" + kind + b"\1", "a PCX picture") for kind in (b"\2", b"\3", b"\5")),
    (0, b"\x01\xda", "an SGI picture"),
    (0, b"icns", "an icon"),
    (0, b"\x00\x00\x02\x00", "an icon"),
    (0, b"II\xbc", "a JPEG XR picture"),
    (0, b"\xd7\xcd\xc6\x9a", "a Windows metafile"),
    (40, b" EMF", "a Windows metafile"),
    (0, b"AT&TFORM", "a DjVu document"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"7z\xbc\xaf", "a 7z archive"),
    (0, b"\x1f\x8b", "a file compressed by gzip"),
)
# And, in letters of either case, perhaps behind spaces and a byte order mark.
_TEXTS = (
    (b"%pdf", "a PDF document"),
    (b"%!ps", "a PostScript document"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an SVG drawing or another XML document"),
    (b"<!doctype svg", "an SVG drawing"),
    (b"<!doc", "a web page"),
    (b"<html", "a web page"),
)
_PICTURES = (
    (0, b"\x89PNG", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (8, b"WEBP", "WebP"),
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (0, b"II*", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (4, b"jP  ", "JPEG 2000"),
    (0, b"\xffO\xffQ", "JPEG 2000"),
    (4, b"ftypavi", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftypmif", "HEIC"),
)

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(ValueError):
    """A picture that cannot be used; the sentence says why and what to do."""


def read(source: str | Path | bytes | BinaryIO | Image.Image, most: int | None = None) -> Image.Image:
    """A picture as upright RGB in sRGB; the first frame of an animation, transparency on white.

    source: a file's path, a `data:` URI, its bytes, an open file, or a picture in memory. One of more than KEPT_PIXELS is made
    smaller, a JPEG's while it is decoded. Nothing of its metadata is kept. ImageError for what is no picture in one of FORMATS, a
    broken file, more than `most` pixels, by default MAX_PIXELS (for some formats MAX_PIXELS_OF), or a side under 32 px.
    """
    if isinstance(source, Image.Image):
        return _upright_srgb(_checked(source, most), spaces.of(source))
    name, file = _opened(source)
    try:
        image = Image.open(file, formats=FORMATS)
    except FileNotFoundError:
        raise ImageError(f"there is no file {source!s}{unfilled(source)}") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name} has more than {MAX_PIXELS // 10**6} megapixels; make it smaller first") from None
    except IsADirectoryError:
        raise ImageError(f"{name} is a folder; give a picture in it") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, RuntimeError, ArithmeticError):
        raise ImageError(f"{name} {_what(file)}") from None
    with image:
        _checked(image, most)
        if _is_raw(image):
            raise ImageError(f"{name} is {RAW}, which is not read; save it as {NAMES}")
        try:
            deep.mend(image)
            space = spaces.of(image, file)
            found = deep.decoded(image, file, _shrink(image)) if deep.is_deep(image) else None
            return _upright_srgb(image if found is None else found, space)
        except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, RuntimeError, ArithmeticError):
            raise ImageError(f"{name} is broken or cut off; save it again or use another picture") from None


def is_data_uri(source: object) -> TypeGuard[str]:
    return isinstance(source, str) and source.startswith("data:")


def of_data_uri(uri: str) -> bytes:
    """What a data URI holds; ImageError where that is nothing."""
    head, comma, body = uri.partition(",")
    try:
        content = base64.b64decode(body, validate=True) if head.endswith(";base64") else urllib.parse.unquote_to_bytes(body)
    except (binascii.Error, ValueError):
        content = b""
    if not comma or not content:
        raise ImageError("the data URI holds no picture; it goes data:image/png;base64,...")
    return content


def _opened(source: str | Path | bytes | BinaryIO) -> tuple[str, str | Path | BinaryIO]:
    """What to call a source in a sentence, and what Pillow opens."""
    if is_data_uri(source):
        return "the data URI", io.BytesIO(of_data_uri(source))
    if isinstance(source, str | Path):
        name = Path(source).name or str(source)
        return name, io.BytesIO(Path(source).read_bytes()) if Path(source).is_fifo() else source  # a pipe is read but once
    return "this file", io.BytesIO(source) if isinstance(source, bytes) else source


def _what(file: str | Path | BinaryIO) -> str:
    """What a file is that Pillow cannot open, for a sentence that begins with its name."""
    try:
        if isinstance(file, str | Path):
            with open(file, "rb") as opened:
                head = opened.read(256)
        else:
            file.seek(0)
            head = file.read(256)
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    if not head:
        return f"is empty; use {NAMES}"
    # Most cameras' raw files are TIFF by their first bytes.
    if head[8:].startswith(b"CR") or str(file).lower().endswith(RAW_SUFFIXES):
        return f"is {RAW}, which is not read; save it as {NAMES}"
    for at, mark, kind in _PICTURES:
        if head[at:].startswith(mark):
            article = "an" if kind == "AVIF" else "a"
            rare = ", or of a kind that is not read, such as a camera's raw file or colours as floats" if kind == "TIFF" else ""
            return f"is {article} {kind} picture that is broken or cut off{rare}; save it again, or use another {NAMES}"
    text = head.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    kinds = [kind for at, mark, kind in _OTHERS if head[at:].startswith(mark)]
    kinds += [kind for mark, kind in _TEXTS if text.startswith(mark)]
    if kinds:
        return f"is {kinds[0]}, which is not read; save it as {NAMES}"
    return f"is not a picture that can be read; use {NAMES}"


def _checked(image: Image.Image, most: int | None) -> Image.Image:
    width, height = image.size
    most = MAX_PIXELS if most is None else most
    of_format = MAX_PIXELS_OF.get(image.format or "", most)
    kind, most = (f" of a {image.format}", of_format) if of_format < most else ("", most)
    if width * height > most:
        raise ImageError(
            f"the picture has {width * height / 1e6:.0f} megapixels; at most {most // 10**6}{kind} are taken, make it smaller first"
        )
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"the picture is {width} x {height} px; each side needs at least {MIN_SIDE} px")
    return image


def _upright_srgb(image: Image.Image, space: spaces.Space | None) -> Image.Image:
    width, height = image.size
    if width * height > KEPT_PIXELS:
        image.draft(None, (width // 2, height // 2))
    image.load()
    orientation = _orientation(image)
    profile = image.info.get("icc_profile") if space is None else space
    small = _reduced(image) if image.width * image.height > KEPT_PIXELS else _plain(image)
    if small.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        grey = small.mode in ("LA", "La")
        small = small.convert("RGBA")
        opaque = _srgb(small.getchannel("R") if grey else small.convert("RGB"), profile).convert("RGBA")
        opaque.putalpha(small.getchannel("A"))
        rgb = Image.alpha_composite(Image.new("RGBA", small.size, "white"), opaque).convert("RGB")
    else:
        rgb = _srgb(small, profile)
    if orientation in _TURNS:
        rgb = rgb.transpose(_TURNS[orientation])
    rgb.info = {}
    return rgb


def _is_raw(image: Image.Image) -> bool:
    """Whether the picture is the small preview that a camera's raw file begins with; its photograph lies elsewhere in the file."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return False
    tags = image.tag_v2
    return DNG_VERSION in tags or (SUB_IFDS in tags and tags.get(KIND_OF_PICTURE) == PREVIEW)


def _shrink(image: Image.Image) -> int:
    """By what the sides of a picture are divided before it is worked on."""
    pixels = image.width * image.height
    return int(np.ceil((2 * pixels / KEPT_PIXELS) ** 0.5)) if pixels > KEPT_PIXELS else 1


def _reduced(image: Image.Image) -> Image.Image:
    """At most half of KEPT_PIXELS of it; in strips, as a copy in another mode may not fit beside it."""
    shrink = _shrink(image)
    greys = _grey_range(image) if image.mode.startswith("I") or image.mode == "F" else None
    strips, rows = [], shrink * max(1, STRIP // (shrink * image.width))
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        strip.info = image.info
        strips.append(_plain(strip, greys).reduce(shrink))
    joined = Image.new(strips[0].mode, (strips[0].width, sum(strip.height for strip in strips)))
    for i, strip in enumerate(strips):
        joined.paste(strip, (0, i * rows // shrink))
    return joined


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except (OSError, ValueError, SyntaxError, KeyError, TypeError, struct.error):
        return 1  # a picture whose metadata is broken is still one


def _plain(image: Image.Image, greys: tuple[float, float] | None = None) -> Image.Image:
    """The same in a mode that can be made smaller. greys: what `_grey_range` says of the picture that this one is a part of."""
    if image.mode.startswith("I") or image.mode == "F":
        low, high = greys or _grey_range(image)
        values = np.nan_to_num(np.asarray(image, dtype=np.float32), nan=low, posinf=high, neginf=low)
        values = (values - low) * (255 / ((high - low) or 1.0))
        return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))
    if "transparency" in image.info:
        return image.convert("RGBA")
    return image.convert("RGB") if image.mode in ("P", "1") else image


def _grey_range(image: Image.Image) -> tuple[float, float]:
    """What is black and what is white in grey of more than 8 bits: Pillow's own conversion would clip all above 255 to white.
    Cameras and scanners keep 10, 12 and 14 bits in files of 16."""
    values = np.asarray(image)
    if image.mode == "F":
        values = values[np.isfinite(values)]  # what was never measured is often kept as NaN
        low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    else:
        low, high = 0.0, float(values.max())
        high = deep.white(high) if high > 255 else 65535.0 if image.mode.startswith("I;16") else 255.0
    is_negative = isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(WHITE_IS_ZERO) == 0
    return (high, low) if is_negative else (low, high)


def _srgb(image: Image.Image, profile: bytes | spaces.Space | None) -> Image.Image:
    """RGB in sRGB; without a profile, or with one that is broken or of another mode, as Pillow converts it."""
    if isinstance(profile, spaces.Space):
        image = image.convert("RGB")
        if profile.bright:
            return hdr.in_srgb(image, profile.bright, profile.primaries)
        profile = profile.profile()
    if profile:
        try:
            own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if image.mode != "RGB" or not _is_srgb(own):
                return _converted(image, own)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
    return image.convert("RGB")


def _is_srgb(own: ImageCms.ImageCmsProfile) -> bool:
    """Whether a profile is what it is called: linear ones and others have sRGB in their names, too."""
    if "sRGB" not in ImageCms.getProfileDescription(own):
        return False
    steps = np.arange(0, 256, 51, dtype=np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(len(steps), -1, 3)
    return bool(np.abs(np.asarray(_converted(Image.fromarray(colours), own)) - colours.astype(int)).max() < 8)


def _converted(image: Image.Image, own: ImageCms.ImageCmsProfile) -> Image.Image:
    flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    found = ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), intent, "RGB", flags=flags)
    assert found is not None  # as it is not made in place
    return found

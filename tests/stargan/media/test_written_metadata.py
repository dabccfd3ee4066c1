"""Nothing of what a camera, a program or a person wrote into a picture is in what is made of it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradio.processing_utils import save_pil_to_cache
from material import portrait
from PIL import ExifTags, Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from stargan.faces.frame import mean_landmarks
from stargan.faces.paste import paste
from stargan.media import images, video

SECRET = "SECRETVILLE"
XMP = f"<x:xmpmeta xmlns:x='adobe:ns:meta/'><place>{SECRET}</place></x:xmpmeta>".encode()


def photograph(kind: str) -> bytes:
    """A picture with all that a file of this format can tell of where it was taken and by whom."""
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = exif[ExifTags.Base.ImageDescription] = SECRET
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSAreaInformation] = SECRET.encode()
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (52.0, 31.0, 12.0)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + SECRET.encode()
    more: dict[str, Any] = {"exif": exif, "icc_profile": profile}
    if kind == "PNG":
        more["pnginfo"] = PngInfo()
        more["pnginfo"].add_text("Comment", SECRET)
        more["pnginfo"].add_itxt("XML:com.adobe.xmp", XMP.decode())
    elif kind == "JPEG":
        more |= {"xmp": XMP, "comment": SECRET}
    elif kind == "WEBP":
        more["xmp"] = XMP
    file = io.BytesIO()
    portrait(1, 128).save(file, kind, **more)
    content = file.getvalue()
    assert SECRET.encode() in content
    return content


def written(kind: str) -> Callable[[Image.Image, Path], bytes]:
    def write(picture: Image.Image, folder: Path) -> bytes:
        images.write(picture, folder / "a", kind)
        return (folder / "a").read_bytes()

    return write


def cropped(picture: Image.Image, folder: Path) -> bytes:
    return written("JPEG")(images.centre_crop(picture, 64), folder)


def translated(picture: Image.Image, folder: Path) -> bytes:
    return written("PNG")(images.to_pil(images.to_tensor(picture)), folder)


def put_back(picture: Image.Image, folder: Path) -> bytes:
    return written("PNG")(paste(picture, picture.resize((64, 64)), mean_landmarks() * picture.width), folder)


def filmed(picture: Image.Image, folder: Path) -> bytes:
    video.write(folder / "a.mp4", [picture, np.asarray(picture)], 10)
    return (folder / "a.mp4").read_bytes()


def shown(kind: str) -> Callable[[Image.Image, Path], bytes]:
    """As Gradio sends a picture to the browser."""
    return lambda picture, folder: Path(save_pil_to_cache(picture, str(folder), format=kind)).read_bytes()


WAYS: dict[str, Callable[[Image.Image, Path], bytes]] = {
    **{f"written as {kind}": written(kind) for kind in ("PNG", "JPEG", "WEBP")},
    **{f"shown as {kind}": shown(kind) for kind in ("png", "webp", "jpeg")},
    "cropped": cropped,
    "translated": translated,
    "put back": put_back,
    "filmed": filmed,
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("way", WAYS)
def test_a_picture_tells_nothing_of_its_source(way: str, kind: str, tmp_path: Path) -> None:
    made = WAYS[way](images.read(photograph(kind)), tmp_path)
    assert SECRET.encode() not in made and b"GPS" not in made
    if way != "filmed":
        with Image.open(io.BytesIO(made)) as picture:
            assert not dict(picture.getexif()) and not {"icc_profile", "comment", "xmp", "XML:com.adobe.xmp"} & picture.info.keys()

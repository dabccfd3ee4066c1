"""What kind of file somebody has given as a model, by its content where its name says nothing."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

SUFFIXES = (".ckpt", ".pt", ".pth", ".tar", ".bin")
PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"RIFF")
PICKLE = b"\x80\x02"  # how torch.save began before it wrote zip archives


def is_checkpoint(path: Path) -> bool:
    """Whether torch.save wrote a file, or its name says so where its content does not tell."""
    head = _head(path)
    if head.startswith(PICKLE) or any(name.endswith("/data.pkl") for name in _members(path)):
        return True
    return path.suffix.lower() in SUFFIXES and head[8:9] != b"{"  # with which safetensors begin after their length


def is_damaged(path: Path) -> bool:
    """Whether a zip archive holds other values than were written to it, which PyTorch does not look at; False for other files."""
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.CRC and member.compress_type == zipfile.ZIP_STORED:  # else without a checksum, or not of torch.save
                    with archive.open(member) as file:
                        while file.read(2**20):
                            pass
    except zipfile.BadZipFile as error:
        return "CRC" in str(error)
    except (OSError, ValueError, RuntimeError):
        pass
    return False


def no_model(path: Path) -> str:
    """What a file is, where it is no model and it can be told, with what to do; else empty."""
    head = _head(path)
    if not head:
        return "is empty; fetch it again"
    if head.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the file itself; fetch that by `git lfs pull`"
    if head.lstrip()[:64].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "is a web page, not a model; fetch the file that it offers"
    if head.startswith(PICTURES) and head[8:9] != b"{":
        return "is a picture, not a model; give the file of one"
    if any("/code/" in name for name in _members(path)):
        return "is a TorchScript program; give the file of values that it was made of"
    if is_damaged(path):
        return "is damaged: its values are not those that were written, by their checksums; fetch it again"
    if path.suffix.lower() == ".onnx":
        return "is an ONNX file, which can be written but not read; give the model that it was made of"
    return "is an archive; unpack it and give the model in it" if _members(path) and not is_checkpoint(path) else ""


def missing(path: Path) -> str:
    """Why there is no file of that name."""
    if path.is_dir():
        return f"{path} is a folder; give the file in it"
    return f"there is no model file {path}{unfilled(path)}"


def unfilled(name: object) -> str:
    """What to add to a sentence that there is no file of that name, where it is a pattern that the shell has left as it is."""
    return " (a pattern that nothing fits)" if re.search(r"[*?\[]", str(name)) else ""


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(512)


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return []

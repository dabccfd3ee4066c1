"""Archives of pictures, zip or tar, checked before anything is unpacked."""

from __future__ import annotations

import contextlib
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from stargan.files import FULL
from stargan.media import images
from train.data import SUFFIXES, making
from train.data.making import MAX_MEMBER, PrepareError, unpacked

MAX_ARCHIVE = 4 * 2**30
OTHERS = (".7z", ".rar", ".zst", ".gz", ".bz2", ".xz")
BROKEN = (*making.BROKEN, tarfile.TarError)
MOST_HEADER = 2**20  # bytes; what a header of a tar archive says is read at once


@dataclass
class Archive:
    """read: gives a file's content. names: of its files, with slashes. folders: of its folders. left: a sentence on each member
    that is left out."""

    read: Callable[[str], Path | bytes]
    names: dict[str, None] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def takes(self, name: str) -> bool:
        """Whether a file is the first of its name."""
        if name in self.names:
            self.left.append(f"{name}: is in the archive more than once; the first is taken")
            return False
        self.names[name] = None
        return True


def is_archive(path: Path) -> bool:
    """Whether a file is one of those that `opened` reads, whatever it is called."""
    return zipfile.is_zipfile(path) or _is_tar(path)


class _Bounded:
    """What is unpacked of a tar archive, of which nobody can read more at once than belongs into memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MOST_HEADER:
            raise tarfile.ReadError(f"a header of {size / 2**20:.0f} MB")
        return self._file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _Tar(tarfile.TarFile):
    """A tar archive that can be somebody's trap."""

    def __init__(self, name: Any = None, mode: Any = "r", fileobj: Any = None, **options: Any) -> None:
        super().__init__(name, mode, fileobj and _Bounded(fileobj), **options)


def _is_tar(path: Path) -> bool:
    try:
        with _Tar.open(path):
            return True
    except (tarfile.TarError, *BROKEN):
        return False


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """An archive to read from. PrepareError for a file that is none, is broken or has a password, with paths that lead out of it,
    or that would unpack to more than MAX_ARCHIVE."""
    with contextlib.ExitStack() as stack:
        # What goes wrong later, with what is made of the pictures, is not the archive's fault.
        try:
            found = _opened(path, stack)
        except BROKEN as error:
            if isinstance(error, OSError) and error.errno in FULL:
                raise PrepareError(f"there is no room to unpack {path.name} in {tempfile.gettempdir()}; make some") from None
            raise PrepareError(
                f"{path.name} is broken, or cut off ({_reason(error)}); make it anew, or unpack it and give the folder"
            ) from None
        if found is None:
            raise PrepareError(_what(path))
        yield found


def _opened(path: Path, stack: contextlib.ExitStack) -> Archive | None:
    if zipfile.is_zipfile(path):
        return _zip(stack.enter_context(zipfile.ZipFile(path)), path)
    if _is_tar(path):
        place = stack.enter_context(tempfile.TemporaryDirectory(prefix="stargan-"))
        return _tar(stack.enter_context(_Tar.open(path)), path, Path(place))
    return None


def _what(path: Path) -> str:
    """What a file is that is no archive."""
    if path.name.lower().endswith(OTHERS):
        return f"{path.name} is an archive of another kind than zip and tar; unpack it and give the folder"
    if path.suffix.lower() == ".parquet":
        return f"{path.name} is a part of a data set of Hugging Face; give the folder that it lies in"
    with contextlib.suppress(images.ImageError):
        images.read(path)
        return f"{path.name} is one picture; give a folder of them"
    return f"{path.name} cannot be read as a zip archive, nor as a tar archive; make it anew, or unpack it and give the folder"


def _reason(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")


def _zip(archive: zipfile.ZipFile, path: Path) -> Archive:
    members: dict[str, zipfile.ZipInfo] = {}

    def read(name: str) -> bytes:
        try:
            return unpacked(archive, members[name])
        except PrepareError as error:
            if _is_picture(name):
                raise
            raise PrepareError(f"{name} {error}") from None  # a table, without which nothing can be made

    found = Archive(read)
    total = 0
    for member in archive.infolist():
        name = _inner(member.filename, path)
        if member.is_dir() or member.filename.endswith("\\"):
            found.folders.append(name)
        elif stat.S_ISLNK(member.external_attr >> 16):
            found.left.append(f"{name}: is a link")
        elif member.flag_bits & 1:
            raise PrepareError(f"{path.name} has a password; unpack it and give the folder")
        elif found.takes(name):
            members[name] = member
            total += member.file_size
    _check_size(total, path)
    return found


def _tar(archive: tarfile.TarFile, path: Path, place: Path) -> Archive:
    """Unpacks it: what is compressed as a whole cannot be read in any order."""
    files: dict[str, Path] = {}
    found = Archive(files.__getitem__)
    total = 0
    for i, member in enumerate(archive):
        name = _inner(member.name, path)
        total += member.size
        _check_size(total, path)
        if member.isdir():
            found.folders.append(name)
        elif member.issym() or member.islnk():
            found.left.append(f"{name}: is a link")
        elif not member.isfile():
            found.left.append(f"{name}: is no file")
        elif _is_picture(name) and member.size > MAX_MEMBER:
            found.left.append(f"{name}: has {member.size / 2**20:.0f} MB unpacked; at most {MAX_MEMBER // 2**20} are taken")
        elif found.takes(name) and (content := archive.extractfile(member)) is not None:
            files[name] = place / f"{i}{Path(name).suffix.lower()}"
            with content, files[name].open("wb") as file:
                shutil.copyfileobj(content, file)
            if files[name].stat().st_size < member.size:
                raise EOFError("its last file is not whole")
    # A tar ends in zeros; one that is cut off between two files is read without a word.
    if archive.fileobj is not None:
        archive.fileobj.seek(archive.offset)
        if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise EOFError("its end is missing")
    return found


def _inner(written: str, path: Path) -> str:
    """The path of a member; some programs write backslashes."""
    name = "/".join(part for part in written.replace("\\", "/").split("/") if part not in ("", "."))
    if ".." in name.split("/") or written.startswith(("/", "\\")) or re.match("[A-Za-z]:", written):
        raise PrepareError(f"{written[:80]!r} leads out of {path.name}; pack the folders of pictures alone")
    return name


def _is_picture(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES


def _check_size(total: int, path: Path) -> None:
    if total > MAX_ARCHIVE:
        raise PrepareError(
            f"{path.name} would unpack to {total / 2**30:.1f} GB; at most {MAX_ARCHIVE // 2**30} are taken, so make the "
            "pictures smaller, or prepare them on this machine with `python -m train prepare folder`"
        )

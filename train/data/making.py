"""Data sets as `split/domain/*` folders, made picture by picture.

What makes one can be interrupted and called again: what is there and whole is kept, the rest is made.
"""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from stargan.files import sweep, whole
from stargan.media import images
from train.data import SUFFIXES

MAX_MEMBER = 64 * 2**20
# What reading a member of a zip archive ends in where it is broken, or packed in a way that is not known.
BROKEN = (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)
SHOWN = 10


class PrepareError(ValueError):
    """A data set that cannot be prepared, or one picture of it; the sentence says why and what to do."""


@dataclass(frozen=True)
class Report:
    """How many pictures were written and how many were there already; skipped: a sentence on every other one, naming it.

    The sentences are also in `skipped.txt` of the data set, a file that is missing where nothing was skipped. taken_for: what the
    source was seen as. remarks: sentences on what is unlike what one would expect of its splits.
    """

    written: int
    kept: int
    skipped: tuple[str, ...]
    taken_for: str = field(default="", compare=False)
    remarks: tuple[str, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        counts = f"{self.written} written, {self.kept} kept, {len(self.skipped)} skipped"
        more = [f"and {len(self.skipped) - SHOWN} more, see skipped.txt"] if len(self.skipped) > SHOWN else []
        text = "\n  ".join([*filter(None, [self.taken_for, counts, *self.remarks]), *self.skipped[:SHOWN], *more])
        return _writable(text).decode()


@dataclass(frozen=True)
class Job:
    """One picture. source: its name in the report. target: split/domain/file. make: the file's content, or a ValueError."""

    source: str
    target: Path
    make: Callable[[], bytes]


def _writable(text: str) -> bytes:
    """UTF-8, though names of files can hold what is none."""
    return text.encode("utf-8", "backslashreplace")


def unpacked(members: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """A member of an archive; PrepareError for one that is broken or too large."""
    if member.file_size > MAX_MEMBER:
        raise PrepareError(f"has {member.file_size / 2**20:.0f} MB unpacked; at most {MAX_MEMBER // 2**20} are taken")
    try:
        with members.open(member) as file:
            # With its size given, a member that unpacks to more than it declares is not unpacked further.
            content = file.read(member.file_size)
    except BROKEN as error:
        raise PrepareError(f"is broken in the archive ({error}); download it again") from None
    return content


def encoded(picture: Image.Image, form: str, **options: int) -> bytes:
    """The picture as a file of that format."""
    content = io.BytesIO()
    picture.save(content, form, **options)
    return content.getvalue()


def check_apart(source: Path, out: Path) -> None:
    """PrepareError where one of two folders lies in the other."""
    a, b = source.resolve(), out.resolve()
    if a == b or a in b.parents or b in a.parents:
        raise PrepareError(f"{source} and {out} lie in each other; choose another folder to write to")


def make(
    jobs: Sequence[Job],
    out: Path,
    label: str,
    skipped: Sequence[str] = (),
    threads: int | None = None,
    domains: Sequence[str] = ("*",),
) -> Report:
    """Writes what the jobs make below `out`, several at a time; skipped: sentences on what got no job; domains: those whose folders
    hold nothing else, all by default."""
    if out.exists() and not out.is_dir():
        raise PrepareError(f"{out} is a file; choose a folder to write to")
    targets = {out / job.target for job in jobs}
    there = sorted(path for split in ("train", "val") for domain in domains for path in out.glob(f"{split}/{domain}/*"))
    # A picture left by other settings could be in train and val at once.
    if strange := [p for p in there if p.suffix.lower() in SUFFIXES and p not in targets]:
        more = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
        raise PrepareError(
            f"{strange[0]}{more} would not be made from this source with these settings; remove what is there, or choose another "
            "folder"
        )
    for folder in {path.parent for path in there}:
        sweep(folder)

    def carry_out(job: Job) -> bool | str:
        path = out / job.target
        if _is_whole(path):
            return False
        try:
            content = job.make()
        except ValueError as error:
            path.unlink(missing_ok=True)
            return f"{job.source}: {error}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as partial:
            partial.write_bytes(content)
        return True

    pool = ThreadPoolExecutor(threads)
    try:
        results = list(tqdm(pool.map(carry_out, jobs), total=len(jobs), desc=label, unit="img"))
    finally:
        # After Ctrl-C nothing more is begun.
        pool.shutdown(cancel_futures=True)
    sentences = (*skipped, *(result for result in results if isinstance(result, str)))
    listing = out / "skipped.txt"
    if sentences:
        out.mkdir(parents=True, exist_ok=True)
        with whole(listing) as partial:
            partial.write_bytes(_writable("\n".join(sentences) + "\n"))
    else:
        listing.unlink(missing_ok=True)
    return Report(results.count(True), results.count(False), sentences)


def _is_whole(path: Path) -> bool:
    """Whether a picture is there and can be read to its end, which a power cut or a full disk may have prevented."""
    try:
        images.read(path)
    except ValueError:
        return False
    return True

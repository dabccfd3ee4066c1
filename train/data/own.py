"""A person's own pictures, however they lie, as a data set: `train.data.layouts` says which is of which domain."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from stargan.faces.align import align as align_face
from stargan.faces.landmarks import load_face_alignment
from stargan.files import whole
from stargan.media import images, reading
from train.data import framing, huggingface, layouts
from train.data.making import Job, PrepareError, Report, check_apart, encoded, make, unpacked

MAX_ARCHIVE = 4 * 2**30
Read = Callable[[str], "Path | bytes"]


def folder(
    source: Path | str,
    out: Path,
    size: int,
    align: bool = False,
    val_fraction: float = 0.1,
    seed: int = 0,
    label: str = "",
    aligner: str = "fan-68",
) -> Report:
    """Pictures to `out/train/<domain>/` and `out/val/<domain>/`, size x size px.

    source: a folder, a zip archive, a table of labels (.csv, .tsv or .jsonl) beside its pictures, or a data set of Hugging Face as
    `hf:user/name` or a folder that `datasets` wrote. How the pictures may lie: see `layouts`; the report says what they were taken
    for. label: the column of a table that names the domain. align: the largest face as `stargan.faces.align` sees it instead of the
    central square; aligner: one of `stargan.model.ALIGNERS`, which is written down for the models that learn from it. Where the
    source has no splits, about val_fraction of each domain goes to val, at least two pictures; seed and path decide which, and a
    picture that is there stays in its split whatever is added. What is no picture, broken, or shows no face to align is skipped and
    listed.
    PrepareError where fewer than four pictures of a domain are left, for settings out of range, for `out` and source that lie in
    each other, for an `out` that was made from other pictures or with other settings, and, before anything is unpacked, for an
    archive with paths that lead out of it or that would unpack to more than 4 GB. FANUnavailable where that aligner is missing.
    """
    if size < reading.MIN_SIDE:
        raise PrepareError(f"the size is {size}; take at least {reading.MIN_SIDE} px")
    if not 0 < val_fraction < 1:
        raise PrepareError(f"the fraction for val is {val_fraction}; take one above 0 and below 1, such as 0.1")
    if align and aligner == "face_alignment":
        load_face_alignment()  # refuses at once where it is missing
    try:
        with _opened(source, out, label) as (layout, read):
            return _make(layout, read, source, out, size, aligner if align else None, val_fraction, seed)
    except (layouts.LayoutError, huggingface.DataSetError) as error:
        raise PrepareError(str(error)) from None


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Holds a data folder meanwhile; PrepareError where another process does, as the two would split the pictures differently."""
    if out.is_file():
        raise PrepareError(f"{out} is a file; choose a folder to write to")
    out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / ".lock", timeout=0):
            yield
    except Timeout:
        raise PrepareError(f"{out} is being prepared by another process; wait for it, or choose another folder") from None


def _make(
    layout: layouts.Layout,
    read: Read,
    source: Path | str,
    out: Path,
    size: int,
    aligner: str | None,
    val_fraction: float,
    seed: int,
) -> Report:
    def square(name: str) -> bytes:
        picture = images.read(read(name))
        # PNG: a second lossy compression would be learned with the pictures, and lossless WebP takes many times longer.
        cut = images.centre_crop(picture, size) if aligner is None else align_face(picture, size, backend=aligner).image
        return encoded(cut, "PNG")

    jobs: list[Job] = []
    shares: dict[str, dict[str, float]] = {found.domain: {} for found in layout.pictures}
    for found in layout.pictures:
        # The digest tells apart pictures of one stem or of other settings. Most file systems end names at 255 bytes.
        by = aligner if aligner not in (None, "fan-68") else aligner is not None
        digest = _digest(f"{size} {by} {val_fraction} {seed} {found.name}")
        stem = re.sub(r'[<>:"\\|?*\x00-\x1f]', "_", PurePosixPath(found.name).stem)
        name = f"{stem[:50]}-{digest[:12]}.png"
        share = shares[found.domain][name] = int(_digest(f"{seed} {found.name}"), 16) / 16**64
        drawn = found.split or ("val" if share < val_fraction else "train")
        split = next((s for s in ("train", "val") if (out / s / found.domain / name).exists()), drawn)
        jobs.append(Job(found.name, Path(split, found.domain, name), functools.partial(square, found.name)))
    ranked = {domain: sorted(names, key=names.__getitem__) for domain, names in shares.items()}
    if few := [f"{name} has {len(pictures)}" for name, pictures in ranked.items() if len(pictures) < 4]:
        raise PrepareError(
            f"a domain needs 2 pictures to train and 2 for val, but in {source} ({layout}) {', '.join(few)}; add pictures"
        )
    # OpenCV's detector must not be shared by threads.
    with _alone(out):
        report = make(jobs, out, "align" if aligner else "crop", layout.left, threads=1 if aligner else None)
        if aligner is not None:
            with whole(out / framing.ALIGNED) as partial:
                partial.write_text(f"{aligner}\n", encoding="utf-8")
        for name, pictures in ranked.items():
            _fill_up(out, name, pictures)
    return Report(report.written, report.kept, report.skipped, str(layout))


def _fill_up(out: Path, domain: str, names: Sequence[str]) -> None:
    """Moves pictures to a split of a domain that has fewer than two; names: of the files, those nearest to val first."""
    there = {split: [n for n in names if (out / split / domain / n).exists()] for split in ("train", "val")}
    if (count := sum(map(len, there.values()))) < 4:
        raise PrepareError(
            f"{domain} has {count} pictures left and needs 2 to train and 2 for val; mend what {out / 'skipped.txt'} names, "
            "or add pictures"
        )
    for poor, rich, order in (("val", "train", there["train"]), ("train", "val", there["val"][::-1])):
        for name in order[: max(2 - len(there[poor]), 0)]:
            (out / poor / domain).mkdir(parents=True, exist_ok=True)
            os.replace(out / rich / domain / name, out / poor / domain / name)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


@contextlib.contextmanager
def _opened(source: Path | str, out: Path, label: str) -> Iterator[tuple[layouts.Layout, Read]]:
    """How a source is laid out, and what gives its pictures while it is open."""
    path = Path(source)
    if str(source).startswith("hf:") or (path.is_dir() and huggingface.is_data_set(path)):
        yield huggingface.opened(str(source), label)
    elif path.is_dir():
        check_apart(path, out)
        yield _folder(path, "", label), functools.partial(_path, path)
    elif path.suffix.lower() in layouts.TABLES and path.is_file():
        check_apart(path.parent, out)
        yield _folder(path.parent, path.name, label), functools.partial(_path, path.parent)
    elif path.is_file():
        with _archive(path) as opened:
            yield opened
    else:
        pattern = "; the pattern was not filled in, as nothing fits it" if re.search(r"[*?\[]", str(source)) else ""
        raise PrepareError(f"there is no folder or archive {source}{pattern}; pictures belong into {source}/<domain>/")


def _path(root: Path, name: str) -> Path:
    return root / name


def _folder(root: Path, table: str, label: str) -> layouts.Layout:
    names: list[str] = []
    folders: list[str] = []
    broken: list[str] = []
    seen: set[str] = set()
    for place, inner, files in os.walk(root, followlinks=True):
        # Links can lead round in a circle.
        if (real := os.path.realpath(place)) in seen:
            inner.clear()
            continue
        seen.add(real)
        for name in files:
            path = Path(place, name)
            (names if path.is_file() else broken).append(path.relative_to(root).as_posix())
        folders += [Path(place, name).relative_to(root).as_posix() for name in inner]

    def read(name: str) -> str:
        try:
            return (root / name).read_text(encoding="utf-8-sig", errors="replace")
        except OSError as error:
            raise PrepareError(f"{root / name} cannot be read ({error.strerror})") from None

    found = layouts.find(names, root.resolve().name, read, folders, table, label)
    dead = [f"{name}: is a link to nothing" for name in sorted(broken)]
    return layouts.Layout(found.words, found.pictures, (*found.left, *dead))


@contextlib.contextmanager
def _archive(path: Path) -> Iterator[tuple[layouts.Layout, Read]]:
    try:
        opened = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise PrepareError(
            f"{path.name} cannot be read as a zip archive ({error}); make it anew, or unpack it and give the folder"
        ) from None
    with opened:
        members: dict[str, zipfile.ZipInfo] = {}
        folders, left = [], []
        for member in opened.infolist():
            # Some programs write backslashes.
            name = "/".join(part for part in member.filename.replace("\\", "/").split("/") if part not in ("", "."))
            if ".." in name.split("/") or member.filename.startswith(("/", "\\")) or re.match("[A-Za-z]:", member.filename):
                raise PrepareError(f"{member.filename[:80]!r} leads out of {path.name}; zip the folders of pictures alone")
            if member.is_dir() or member.filename.endswith("\\"):
                folders.append(name)
            elif stat.S_ISLNK(member.external_attr >> 16):
                left.append(f"{name}: is a link")
            elif name in members:
                left.append(f"{name}: is in the archive more than once; the first is taken")
            else:
                members[name] = member
        if (total := sum(m.file_size for m in members.values())) > MAX_ARCHIVE:
            raise PrepareError(
                f"{path.name} would unpack to {total / 2**30:.1f} GB; at most {MAX_ARCHIVE // 2**30} are taken, so make the "
                "pictures smaller, or prepare them on this machine with `python -m train prepare folder`"
            )
        layout = layouts.find(members, path.stem, lambda name: opened.read(members[name]).decode("utf-8-sig", "replace"), folders)
        yield layouts.Layout(layout.words, layout.pictures, (*layout.left, *left)), lambda name: unpacked(opened, members[name])

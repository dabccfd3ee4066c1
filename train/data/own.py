"""A person's own pictures, however they lie, as a data set: `train.data.layouts` says which is of which domain."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from stargan.faces.align import align as align_face
from stargan.faces.landmarks import load_face_alignment
from stargan.files import whole
from stargan.media import images, reading
from train.data import SUFFIXES, archives, framing, huggingface, layouts, tables
from train.data.making import SHOWN, Job, PrepareError, Report, check_apart, encoded, make

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
    undo: bool = False,
) -> Report:
    """Pictures to `out/train/<domain>/` and `out/val/<domain>/`, size x size px.

    source: a folder, a zip or tar archive, a table of labels (`tables`) beside its pictures, or a data set of Hugging Face as
    `hf:user/name` or a folder that `datasets` wrote. How the pictures may lie: see `layouts`; the report says what they were taken
    for. label: the column of a table that names the domain. align: the largest face as `stargan.faces.align` sees it instead of the
    central square; aligner: one of `stargan.model.ALIGNERS`, which is written down for the models that learn from it. Where the
    source has no splits, about val_fraction of each domain goes to val, at least two pictures; seed and path decide which, and a
    picture that is there stays in its split whatever is added. What is no picture, broken, or shows no face to align is skipped and
    listed. undo: where it fails, to leave nothing of an `out` that it began.
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
            return _make(layout, read, source, out, size, aligner if align else None, val_fraction, seed, undo)
    except (layouts.LayoutError, huggingface.DataSetError) as error:
        raise PrepareError(str(error)) from None


@contextlib.contextmanager
def _alone(out: Path, undo: bool) -> Iterator[None]:
    """Holds a data folder meanwhile; PrepareError where somebody else does, as the two would split the pictures differently. undo:
    whether nothing stays of one that was begun here and fails."""
    if out.is_file():
        raise PrepareError(f"{out} is a file; choose a folder to write to")
    out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / ".lock", timeout=0):
            begun = not any(path.name != ".lock" for path in out.iterdir())
            try:
                yield
            except BaseException:
                if undo and begun:
                    shutil.rmtree(out, ignore_errors=True)
                raise
    except Timeout:
        raise PrepareError(f"{out} is being prepared already; wait for it, or choose another folder") from None


def _make(
    layout: layouts.Layout,
    read: Read,
    source: Path | str,
    out: Path,
    size: int,
    aligner: str | None,
    val_fraction: float,
    seed: int,
    undo: bool,
) -> Report:
    def square(name: str) -> bytes:
        picture = images.read(read(name))
        # PNG: a second lossy compression would be learned with the pictures, and lossless WebP takes many times longer.
        cut = images.centre_crop(picture, size) if aligner is None else align_face(picture, size, backend=aligner).image
        return encoded(cut, "PNG")

    jobs: list[Job] = []
    drawn_at: dict[str, dict[str, float]] = {found.domain: {} for found in layout.pictures}
    for found in layout.pictures:
        # The digest tells apart pictures of one stem or of other settings. Most file systems end names at 255 bytes.
        by = aligner if aligner not in (None, "fan-68") else aligner is not None
        digest = _digest(f"{size} {by} {val_fraction} {seed} {found.name}")
        stem = re.sub(r'[<>:"\\|?*\x00-\x1f]', "_", PurePosixPath(found.name).stem)
        name = f"{stem[:50]}-{digest[:12]}.png"
        place = drawn_at[found.domain][name] = int(_digest(f"{seed} {found.name}"), 16) / 16**64
        drawn = found.split or ("val" if place < val_fraction else "train")
        split = next((s for s in ("train", "val") if (out / s / found.domain / name).exists()), drawn)
        jobs.append(Job(found.name, Path(split, found.domain, name), functools.partial(square, found.name)))
    ranked = {domain: sorted(names, key=names.__getitem__) for domain, names in drawn_at.items()}
    if few := [f"{name} has {len(pictures)}" for name, pictures in ranked.items() if len(pictures) < 4]:
        more = f" and {len(few) - SHOWN} more have as few" if len(few) > SHOWN else ""
        other = next((f", or take other labels ({sentence})" for sentence in layout.left if "; --label names" in sentence), "")
        # An upload is known by its name alone.
        where = Path(source).name if archives.is_archive(Path(source)) else source
        raise PrepareError(
            f"a domain needs 2 pictures to train and 2 for val, but in {where} ({_shortly(layout)}) "
            f"{', '.join(few[:SHOWN])}{more}; add pictures{other}"
        )
    # OpenCV's detector must not be shared by threads.
    with _alone(out, undo):
        report = make(jobs, out, "align" if aligner else "crop", layout.left, threads=1 if aligner else None)
        if aligner is None:
            (out / framing.ALIGNED).unlink(missing_ok=True)
        else:
            with whole(out / framing.ALIGNED) as partial:
                partial.write_text(f"{aligner}\n", encoding="utf-8")
        for name, pictures in ranked.items():
            # What is undone takes that list with it.
            left = None if undo else out / "skipped.txt"
            _fill_up(out, name, pictures, functools.partial(_left_out, jobs, report, name, left))
        remarks = _elsewhere(out, layout, jobs), _in_both(out, {job.target.name: job.source for job in jobs})
    return Report(report.written, report.kept, report.skipped, str(layout), tuple(filter(None, remarks)))


def _shortly(layout: layouts.Layout) -> str:
    """What a source was taken for, without all of its domains where these are many."""
    domains = {found.domain for found in layout.pictures}
    return str(layout) if len(domains) <= SHOWN else f"taken for {layout.words}, {len(domains)} domains"


def _left_out(jobs: Sequence[Job], report: Report, domain: str, listing: Path | None) -> str:
    """What names the pictures of a domain that could not be used: the listing, or without one the first of them, how many more, and
    why."""
    if listing is not None:
        return f"what {listing} names"
    why = dict(sentence.partition(": ")[::2] for sentence in report.skipped)
    failed = [job.source for job in jobs if job.target.parts[1] == domain and job.source in why]
    if not failed:
        return "what was left out"
    more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
    return f"{failed[0]}{more} ({why[failed[0]]})"


def _fill_up(out: Path, domain: str, names: Sequence[str], left: Callable[[], str]) -> None:
    """Moves pictures to a split of a domain that has fewer than two; names: of the files, those nearest to val first. left: gives
    what is to be mended where there are not enough."""
    there = {split: [n for n in names if (out / split / domain / n).exists()] for split in ("train", "val")}
    if (count := sum(map(len, there.values()))) < 4:
        raise PrepareError(
            f"{domain} has {count} pictures left and needs 2 to train and 2 for val; mend {left()}, or add pictures"
        )
    for poor, rich, order in (("val", "train", there["train"]), ("train", "val", there["val"][::-1])):
        for name in order[: max(2 - len(there[poor]), 0)]:
            (out / poor / domain).mkdir(parents=True, exist_ok=True)
            os.replace(out / rich / domain / name, out / poor / domain / name)


def _elsewhere(out: Path, layout: layouts.Layout, jobs: Sequence[Job]) -> str:
    """A sentence on the pictures that are in another split than the source has them in; empty where none is."""
    other = {"train": "val", "val": "train"}
    moved = [
        (found.name, found.split, other[found.split])
        for found, job in zip(layout.pictures, jobs, strict=True)
        if found.split and (out / other[found.split] / found.domain / job.target.name).exists()
    ]
    if not moved:
        return ""
    name, split, there = moved[0]
    words = f"1 picture of {split} is in {there} instead: {name}"
    if len(moved) > 1:
        words = f"{len(moved)} pictures are in the other split than the source has them in, such as {name} in {there}"
    return f"{words}; a domain needs 2 pictures to train and 2 for val, and what is prepared stays where it is"


def _in_both(out: Path, sources: Mapping[str, str]) -> str:
    """A sentence on the pictures of val that are, once they are cut, in train as well; empty where none is. sources: where those
    come from, by the name of their file."""
    train, val = (sorted(out.glob(f"{split}/*/*.png")) for split in ("train", "val"))
    sizes = {path.stat().st_size for path in val}
    known = {_content(path): path.name for path in train if path.stat().st_size in sizes}
    twice = [(path.name, known[content]) for path in val if (content := _content(path)) in known]
    if not twice:
        return ""
    mine, other = (sources.get(name, name) for name in twice[0])
    words = f"1 picture of val is in train, too: {mine}"
    if len(twice) > 1:
        words = f"{len(twice)} pictures of val are in train, too, such as {mine}"
    return f"{words}, the same as {other}; leave one of each out, as val is for pictures that were not learned from"


def _content(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


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
    elif path.is_file() and _is_table(path):
        check_apart(path.parent, out)
        yield _folder(path.parent, path.name, label), functools.partial(_path, path.parent)
    elif path.is_file():
        with archives.opened(path) as archive:

            def text(name: str) -> str:
                content = archive.read(name)
                return tables.decoded(content if isinstance(content, bytes) else content.read_bytes())

            layout = layouts.find(archive.names, re.sub(r"\.tar$", "", path.stem), text, archive.folders, label=label)
            yield layouts.Layout(layout.words, layout.pictures, (*layout.left, *archive.left)), archive.read
    else:
        pattern = "; the pattern was not filled in, as nothing fits it" if re.search(r"[*?\[]", str(source)) else ""
        raise PrepareError(f"there is no folder or archive {source}{pattern}; pictures belong into {source}/<domain>/")


def _is_table(path: Path) -> bool:
    """Whether a file is meant as a table of labels; any text where pictures lie beside it."""
    if path.suffix.lower() in tables.LISTS:
        return any(other.suffix.lower() in SUFFIXES for other in path.parent.rglob("*"))
    return path.suffix.lower() in tables.TABLES and not archives.is_archive(path)


def _path(root: Path, name: str) -> Path:
    return root / name


def _folder(root: Path, table: str, label: str) -> layouts.Layout:
    names: list[str] = []
    folders: list[str] = []
    left: list[str] = []
    seen: set[str] = set()

    def relative(path: Path) -> str:
        return path.relative_to(root).as_posix()

    def unread(error: OSError) -> None:
        left.append(f"{relative(Path(error.filename))}: cannot be read ({error.strerror})")

    for place, inner, files in os.walk(root, followlinks=True, onerror=unread):
        inner.sort()  # of two links to one folder, the first is taken on every machine
        # Links can lead round in a circle.
        if (real := os.path.realpath(place)) in seen:
            inner.clear()
            if not os.path.realpath(Path(place).parent).startswith(real):
                left.append(f"{relative(Path(place))}: is a link to a folder that is here already")
            continue
        seen.add(real)
        for name in files:
            path = Path(place, name)
            if path.is_file():
                names.append(relative(path))
            else:
                left.append(f"{relative(path)}: is " + ("a link to nothing" if path.is_symlink() else "no file"))
        folders += [relative(Path(place, name)) for name in inner]

    def read(name: str) -> str:
        try:
            return tables.decoded((root / name).read_bytes())
        except OSError as error:
            raise PrepareError(f"{root / name} cannot be read ({error.strerror})") from None

    found = layouts.find(names, root.resolve().name, read, folders, table, label)
    return layouts.Layout(found.words, found.pictures, (*found.left, *sorted(left)))

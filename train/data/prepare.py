"""Data sets as `split/domain/*` folders: the portraits of the bundled model, a person's own folders, the published archives.

Every function can be interrupted and called again: what is there and whole is kept, the rest is made.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import os
import re
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image
from tqdm import tqdm

from stargan.faces.align import align as align_face
from stargan.faces.frame import mean_landmarks, similarity, warp
from stargan.files import whole
from stargan.media import images, reading
from train.data import SUFFIXES

MANIFEST = Path(__file__).parent / "manifests" / "portraits.csv"
REPOSITORY = "https://github.com/initiative-sh/artflow-portraits"
ORIGINAL_SIZE = (256, 256)
# Leaves out the watermark in the lower right corner.
PORTRAIT_BOX = (10, 0, 246, 236)
# The quantizers in the files that the bundled model was trained on are those of this quality.
PORTRAIT_QUALITY = 86
PHOTO = "photo"  # the source-only domain of photographs
PHOTO_QUALITY = 92
PHOTOS_A_GROUP = 420
# What shows a face well enough to learn from: from the front, not blurred, the eyes not behind dark glasses.
MAX_YAW, MIN_SHARP, MIN_EYES = 0.35, 3.0, 0.35
MAX_MEMBER = 64 * 2**20
MAX_ARCHIVE = 4 * 2**30
SHOWN = 10


class PrepareError(ValueError):
    """A data set that cannot be prepared, or one picture of it; the sentence says why and what to do."""


@dataclass(frozen=True)
class Report:
    """How many pictures were written and how many were there already; skipped: a sentence on every other one, naming it.

    The sentences are also in `skipped.txt` of the data set, a file that is missing where nothing was skipped.
    """

    written: int
    kept: int
    skipped: tuple[str, ...]

    def __str__(self) -> str:
        counts = f"{self.written} written, {self.kept} kept, {len(self.skipped)} skipped"
        more = [f"and {len(self.skipped) - SHOWN} more, see skipped.txt"] if len(self.skipped) > SHOWN else []
        return "\n  ".join([counts, *self.skipped[:SHOWN], *more])


@dataclass(frozen=True)
class _Job:
    """One picture. source: its name in the report. target: split/domain/file. make: the file's content, or a ValueError."""

    source: str
    target: Path
    make: Callable[[], bytes]


def portraits(clone: Path, out: Path) -> Report:
    """Cuts the portraits of the bundled model from a clone of the public repository `initiative-sh/artflow-portraits`.

    The manifest lists id, domain and split; an id is the number at the end of the original's file name. Written are
    `out/<split>/<domain>/<id>.webp`, 236 x 236 px. Originals that are missing, broken or not 256 x 256 px are skipped.
    PrepareError where the clone has none of the originals, `out` and the clone lie in each other, or `out` holds other pictures.
    """
    _check_apart(clone, out)
    originals: dict[int, list[Path]] = {}
    for path in sorted((clone / "images").glob("*/*")):
        if path.suffix.lower() in SUFFIXES and (number := re.search(r"[0-9]+$", path.stem)):
            originals.setdefault(int(number[0]), []).append(path)
    with MANIFEST.open(newline="", encoding="utf-8") as file:
        rows = [(int(row["id"]), row["domain"], row["split"]) for row in csv.DictReader(file)]
    if not any(i in originals for i, _, _ in rows):
        raise PrepareError(f"{clone} is no clone of the portraits, it has no originals in images/; run git clone {REPOSITORY}")
    jobs = [
        _Job(f"portrait {i}", Path(split, domain, f"{i}.webp"), functools.partial(_portrait, originals.get(i, ())))
        for i, domain, split in rows
    ]
    return _make(jobs, out, "portraits")


def photographs(source: Path, out: Path, size: int, limit: int = PHOTOS_A_GROUP) -> Report:
    """Photographs of faces with known landmarks, aligned as the portraits are, to `out/train/photo/` and `out/val/photo/`.

    source holds `<split>/<name>.webp`, `landmarks-<split>.npz` with `names` and `points` (N, 68, 2) in px, and
    `manifest-<split>.csv` with at least name, gender, race, yaw, sharp and eyes. For training those are taken that show a face
    well, at most `limit` of each group of gender and race, so that all groups weigh about the same, and all that have no labels;
    for val all. What lies outside of a photograph is mirrored and blurred: good enough to translate, not to imitate (`sources`
    of the configuration).
    PrepareError where a file is missing or `out` holds other pictures of that domain.
    """
    _check_apart(source, out)
    if size < reading.MIN_SIDE:
        raise PrepareError(f"the size is {size}; take at least {reading.MIN_SIDE} px")
    jobs = []
    for split in ("train", "val"):
        try:
            with np.load(source / f"landmarks-{split}.npz", allow_pickle=False) as archive:
                points = dict(zip(archive["names"].tolist(), archive["points"].astype(np.float64), strict=True))
            with (source / f"manifest-{split}.csv").open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        except (OSError, KeyError, ValueError) as error:
            raise PrepareError(f"{source} is no folder of photographs with landmarks ({error})") from None
        taken: Counter[tuple[str, str]] = Counter()
        for row in rows:
            group = row["race"], row["gender"]
            if split == "train" and all(group):
                well = abs(float(row["yaw"])) < MAX_YAW and float(row["sharp"]) > MIN_SHARP and float(row["eyes"]) > MIN_EYES
                if not well or taken[group] == limit:
                    continue
                taken[group] += 1
            name = row["name"]
            make = functools.partial(_photograph, source / split / f"{name}.webp", points.get(name), size)
            jobs.append(_Job(name, Path(split, PHOTO, f"{name}.webp"), make))
    return _make(jobs, out, "align", domains=(PHOTO,))


def _photograph(path: Path, points: np.ndarray | None, size: int) -> bytes:
    if points is None:
        raise PrepareError("has no landmarks")
    rgb = np.asarray(images.read(path))
    square = warp(rgb, similarity(points[17:], mean_landmarks()[17:] * size), size)
    return _encoded(Image.fromarray(square), "WEBP", quality=PHOTO_QUALITY)


def _portrait(originals: Sequence[Path]) -> bytes:
    if len(originals) != 1:
        raise PrepareError(f"the clone has {len(originals) or 'no'} files of this number instead of one; restore it with git")
    picture = images.read(originals[0])
    if picture.size != ORIGINAL_SIZE:
        size = f"{picture.width} x {picture.height}"
        raise PrepareError(f"{originals[0].name} is {size} px instead of 256 x 256; restore it with git")
    return _encoded(picture.crop(PORTRAIT_BOX), "WEBP", quality=PORTRAIT_QUALITY)


def folder(source: Path, out: Path, size: int, align: bool = False, val_fraction: float = 0.1, seed: int = 0) -> Report:
    """Pictures in `source/<domain>/`, at any depth, to `out/train/<domain>/` and `out/val/<domain>/`, size x size px.

    align: the largest face as `stargan.faces.align` sees it instead of the central square. About val_fraction of each domain goes
    to val, at least two pictures; seed and path decide which, and a picture that is there stays in its split whatever is added.
    Pictures that are broken or show no face to align are skipped.
    PrepareError where fewer than four pictures of a domain are left, for settings out of range, for `out` and source that lie
    in each other, and for an `out` that was made from other pictures or with other settings.
    """
    if size < reading.MIN_SIDE:
        raise PrepareError(f"the size is {size}; take at least {reading.MIN_SIDE} px")
    if not 0 < val_fraction < 1:
        raise PrepareError(f"the fraction for val is {val_fraction}; take one above 0 and below 1, such as 0.1")
    if not source.is_dir():
        raise PrepareError(f"there is no folder {source}; pictures belong into {source}/<domain>/")
    _check_apart(source, out)
    domains = sorted(p for p in source.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not domains:
        raise PrepareError(f"{source} has no folders; pictures belong into {source}/<domain>/")

    def square(path: Path) -> bytes:
        picture = images.read(path)
        # PNG: a second lossy compression would be learned with the pictures, and lossless WebP takes many times longer.
        return _encoded(align_face(picture, size).image if align else images.centre_crop(picture, size), "PNG")

    jobs, ranked = [], {}
    for domain in domains:
        shares = {}
        for path in sorted(p for p in domain.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()):
            relative = path.relative_to(source).as_posix()
            # The digest tells apart pictures of one stem or of other settings. Most file systems end names at 255 bytes.
            name = f"{path.stem[:50]}-{_digest(f'{size} {align} {val_fraction} {seed} {relative}')[:12]}.png"
            shares[name] = int(_digest(f"{seed} {relative}"), 16) / 16**64
            drawn = "val" if shares[name] < val_fraction else "train"
            split = next((s for s in ("train", "val") if (out / s / domain.name / name).exists()), drawn)
            jobs.append(_Job(relative, Path(split, domain.name, name), functools.partial(square, path)))
        ranked[domain.name] = sorted(shares, key=shares.__getitem__)
    if few := [f"{name} has {len(pictures)}" for name, pictures in ranked.items() if len(pictures) < 4]:
        raise PrepareError(f"a domain needs 2 pictures to train and 2 for val, but in {source} {', '.join(few)}; add pictures")
    # OpenCV's detector must not be shared by threads.
    report = _make(jobs, out, "align" if align else "crop", threads=1 if align else None)
    for name, pictures in ranked.items():
        _fill_up(out, name, pictures)
    return report


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
    return hashlib.sha256(text.encode()).hexdigest()


def uploaded(archive: Path, out: Path, size: int, align: bool = False) -> Report:
    """The pictures of somebody's zip archive, `<domain>/*` at its top or in one folder, to `out` as `folder` does. An archive of
    a whole data folder, `train/<domain>/*` and `val/<domain>/*`, is split anew.

    PrepareError, before anything is unpacked, where the file is no zip archive, a path leads out of it, it has no folders of
    pictures, or would unpack to more than 4 GB; besides those of `folder`. What is no picture is skipped.
    """
    try:
        opened = zipfile.ZipFile(archive)
    except (OSError, zipfile.BadZipFile) as error:
        raise PrepareError(f"{archive.name} cannot be read as a zip archive ({error}); make it anew") from None
    with opened, tempfile.TemporaryDirectory(prefix="stargan-") as work:
        members = [m for m in opened.infolist() if not m.is_dir()]
        for member in members:
            parts = PurePosixPath(member.filename.replace("\\", "/")).parts
            if ".." in parts or parts[:1] == ("/",) or re.match("[A-Za-z]:", member.filename):
                raise PrepareError(f"{member.filename[:80]!r} leads out of {archive.name}; zip the folders of pictures alone")
        if (total := sum(m.file_size for m in members)) > MAX_ARCHIVE:
            raise PrepareError(
                f"{archive.name} would unpack to {total / 2**30:.1f} GB; at most {MAX_ARCHIVE // 2**30} are taken, so make the "
                "pictures smaller, or prepare them on this machine with `python -m train prepare folder`"
            )
        pictures = [m for m in members if PurePosixPath(m.filename).suffix.lower() in SUFFIXES and not _hidden(m.filename)]
        level = 0
        # Folders around the domains: one of all, as many programs make it, and the splits of a data folder.
        for around in (None, {"train", "val", "test"}):
            tops = {PurePosixPath(m.filename).parts[level : level + 1] for m in pictures}
            deep = all(len(PurePosixPath(m.filename).parts) > level + 2 for m in pictures)
            if deep and (len(tops) == 1 if around is None else {name for (name,) in tops} <= around):
                level += 1
        failures = []
        for i, member in enumerate(tqdm(pictures, desc="unpack", unit="img")):
            path = PurePosixPath(member.filename)
            if len(path.parts) < level + 2:
                failures.append(f"{member.filename}: lies in no domain's folder")
                continue
            domain = re.sub(r"[^\w -]", "_", path.parts[level])[:40].strip() or "_"
            stem = re.sub(r"[^\w-]", "_", path.stem)[:40]
            target = Path(work, domain, f"{i:06d}-{stem}{path.suffix.lower()}")
            target.parent.mkdir(exist_ok=True)
            try:
                target.write_bytes(_unpacked(opened, member))
            except ValueError as error:
                failures.append(f"{member.filename}: {error}")
        if not any(Path(work).iterdir()):
            raise PrepareError(f"{archive.name} has no pictures in folders; make a folder for each domain, and zip those")
        report = folder(Path(work), out, size, align)
    return Report(report.written, report.kept, (*failures, *report.skipped))


def _hidden(name: str) -> bool:
    """Whether a program put a file into an archive for itself."""
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


def celeba_hq(archive: Path, out: Path) -> Report:
    """The published `celeba_hq.zip` (female, male) unpacked; see `_unpack`."""
    return _unpack(archive, out, ("female", "male"))


def afhq(archive: Path, out: Path) -> Report:
    """The published `afhq.zip` or AFHQ v2 (cat, dog, wild) unpacked; see `_unpack`."""
    return _unpack(archive, out, ("cat", "dog", "wild"))


def _unpack(archive: Path, out: Path, domains: Iterable[str]) -> Report:
    """The pictures of an archive with `train/<domain>/*` and `val/<domain>/*` or `test/<domain>/*`, at its top or in one folder,
    byte by byte to `out/train/<domain>/` and `out/val/<domain>/`.

    Pictures that are broken, in another place or above 64 MB are skipped. PrepareError where the file is no zip archive, has
    no picture in place, or `out` holds pictures that are not of this archive.
    """
    try:
        opened = zipfile.ZipFile(archive)
    except (OSError, zipfile.BadZipFile) as error:
        raise PrepareError(f"{archive} cannot be read as a zip archive ({error}); download it again") from None
    place = re.compile(rf"(?:\w+/)?(train|val|test)/({'|'.join(domains)})/([\w.-]+)")
    jobs: dict[Path, _Job] = {}
    skipped = []
    with opened as members:
        for member in members.infolist():
            if PurePosixPath(member.filename).suffix.lower() not in SUFFIXES:
                continue
            # The target is built from what matched, so that no member's path can lead out of `out`.
            match = place.fullmatch(member.filename)
            if match is None:
                skipped.append(f"{member.filename}: lies in none of the data set's folders")
                continue
            target = Path("train" if match[1] == "train" else "val", match[2], match[3])
            if target in jobs:
                skipped.append(f"{member.filename}: is in the archive more than once; the first is taken")
                continue
            jobs[target] = _Job(member.filename, target, functools.partial(_unpacked, members, member))
        if not jobs:
            raise PrepareError(f"{archive} has no pictures in train/ and val/ of {', '.join(domains)}; is it another archive?")
        return _make(list(jobs.values()), out, "unpack", skipped)


def _unpacked(members: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if member.file_size > MAX_MEMBER:
        raise PrepareError(f"has {member.file_size / 2**20:.0f} MB unpacked; at most {MAX_MEMBER // 2**20} are taken")
    try:
        with members.open(member) as file:
            # With its size given, a member that unpacks to more than it declares is not unpacked further.
            content = file.read(member.file_size)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise PrepareError(f"is broken in the archive ({error}); download it again") from None
    images.read(content)
    return content


def _encoded(picture: Image.Image, form: str, **options: int) -> bytes:
    content = io.BytesIO()
    picture.save(content, form, **options)
    return content.getvalue()


def _check_apart(source: Path, out: Path) -> None:
    a, b = source.resolve(), out.resolve()
    if a == b or a in b.parents or b in a.parents:
        raise PrepareError(f"{source} and {out} lie in each other; choose another folder to write to")


def _make(
    jobs: Sequence[_Job],
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
    for path in there:
        if path.suffix == ".part":
            path.unlink()

    def carry_out(job: _Job) -> bool | str:
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
        listing.write_text("\n".join(sentences) + "\n", encoding="utf-8")
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

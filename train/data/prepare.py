"""The data sets that are known by name: the portraits and photographs of the bundled models, and the published archives."""

from __future__ import annotations

import csv
import functools
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from stargan.faces.frame import mean_landmarks, similarity, warp
from stargan.media import images, reading
from train.data import SUFFIXES
from train.data.making import Job, PrepareError, Report, check_apart, encoded, make, unpacked

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


def portraits(clone: Path, out: Path) -> Report:
    """Cuts the portraits of the bundled model from a clone of the public repository `initiative-sh/artflow-portraits`.

    The manifest lists id, domain and split; an id is the number at the end of the original's file name. Written are
    `out/<split>/<domain>/<id>.webp`, 236 x 236 px. Originals that are missing, broken or not 256 x 256 px are skipped.
    PrepareError where the clone has none of the originals, `out` and the clone lie in each other, or `out` holds other pictures.
    """
    check_apart(clone, out)
    originals: dict[int, list[Path]] = {}
    for path in sorted((clone / "images").glob("*/*")):
        if path.suffix.lower() in SUFFIXES and (number := re.search(r"[0-9]+$", path.stem)):
            originals.setdefault(int(number[0]), []).append(path)
    with MANIFEST.open(newline="", encoding="utf-8") as file:
        rows = [(int(row["id"]), row["domain"], row["split"]) for row in csv.DictReader(file)]
    if not any(i in originals for i, _, _ in rows):
        raise PrepareError(f"{clone} is no clone of the portraits, it has no originals in images/; run git clone {REPOSITORY}")
    jobs = [
        Job(f"portrait {i}", Path(split, domain, f"{i}.webp"), functools.partial(_portrait, originals.get(i, ())))
        for i, domain, split in rows
    ]
    return make(jobs, out, "portraits")


def photographs(source: Path, out: Path, size: int, limit: int = PHOTOS_A_GROUP) -> Report:
    """Photographs of faces with known landmarks, aligned as the portraits are, to `out/train/photo/` and `out/val/photo/`.

    source holds `<split>/<name>.webp`, `landmarks-<split>.npz` with `names` and `points` (N, 68, 2) in px, and
    `manifest-<split>.csv` with at least name, gender, race, yaw, sharp and eyes. For training those are taken that show a face
    well, at most `limit` of each group of gender and race, so that all groups weigh about the same, and all that have no labels;
    for val all. What lies outside of a photograph is mirrored and blurred: good enough to translate, not to imitate (`sources`
    of the configuration).
    PrepareError where a file is missing or `out` holds other pictures of that domain.
    """
    check_apart(source, out)
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
            photograph = functools.partial(_photograph, source / split / f"{name}.webp", points.get(name), size)
            jobs.append(Job(name, Path(split, PHOTO, f"{name}.webp"), photograph))
    return make(jobs, out, "align", domains=(PHOTO,))


def _photograph(path: Path, points: np.ndarray | None, size: int) -> bytes:
    if points is None:
        raise PrepareError("has no landmarks")
    rgb = np.asarray(images.read(path))
    square = warp(rgb, similarity(points[17:], mean_landmarks()[17:] * size), size)
    return encoded(Image.fromarray(square), "WEBP", quality=PHOTO_QUALITY)


def _portrait(originals: Sequence[Path]) -> bytes:
    if len(originals) != 1:
        raise PrepareError(f"the clone has {len(originals) or 'no'} files of this number instead of one; restore it with git")
    picture = images.read(originals[0])
    if picture.size != ORIGINAL_SIZE:
        size = f"{picture.width} x {picture.height}"
        raise PrepareError(f"{originals[0].name} is {size} px instead of 256 x 256; restore it with git")
    return encoded(picture.crop(PORTRAIT_BOX), "WEBP", quality=PORTRAIT_QUALITY)


def celeba_hq(archive: Path, out: Path) -> Report:
    """The published `celeba_hq.zip` (female, male) unpacked; see `_unpack`."""
    return _unpack(archive, out, ("female", "male"))


def afhq(archive: Path, out: Path) -> Report:
    """The published `afhq.zip` or AFHQ v2 (cat, dog, wild) unpacked; see `_unpack`."""
    return _unpack(archive, out, ("cat", "dog", "wild"))


def _whole(members: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """A picture of an archive, byte by byte; ValueError where it cannot be read."""
    content = unpacked(members, member)
    images.read(content)
    return content


def _unpack(archive: Path, out: Path, domains: Iterable[str]) -> Report:
    """The pictures of an archive with `train/<domain>/*` and `val/<domain>/*` or `test/<domain>/*`, at its top or in one folder,
    byte by byte to `out/train/<domain>/` and `out/val/<domain>/`.

    Pictures that are broken, in another place or above 64 MB are skipped. PrepareError where the file is no zip archive, has
    no picture in place, or `out` holds pictures that are not of this archive.
    """
    if archive.is_dir():
        raise PrepareError(
            f"{archive} is a folder; give the archive, or, where that is unpacked already, call `python -m train prepare folder "
            f"--from {archive} --to {out} --size ...`"
        )
    if not archive.exists():
        raise PrepareError(f"there is no file {archive}; name the archive that was downloaded")
    try:
        opened = zipfile.ZipFile(archive)
    except (OSError, zipfile.BadZipFile) as error:
        raise PrepareError(f"{archive} cannot be read as a zip archive ({error}); download it again") from None
    place = re.compile(rf"(?:\w+/)?(train|val|test)/({'|'.join(domains)})/([\w.-]+)")
    jobs: dict[Path, Job] = {}
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
            jobs[target] = Job(member.filename, target, functools.partial(_whole, members, member))
        if not jobs:
            raise PrepareError(f"{archive} has no pictures in train/ and val/ of {', '.join(domains)}; is it another archive?")
        return make(list(jobs.values()), out, "unpack", skipped)

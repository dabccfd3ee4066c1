"""Pictures from `split/domain/*` folders: decoded once into a memory-mapped cache, then cropped and flipped in batches."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from stargan.files import sweep, whole
from stargan.media import images

SUFFIXES = {
    *(".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"),
    *(".avif", ".heic", ".heif", ".hif", ".jp2", ".j2k", ".jpx", ".apng"),
}


class DataError(ValueError):
    """A data folder that cannot be trained on; the sentence says why and what to do."""


@dataclass(frozen=True)
class Pictures:
    """The pictures of one split, decoded.

    pixels is (N, side, side, 3) uint8, mapped from disk; domain (N,) int64 indexes domains; names are `domain/stem`. digest is the
    same for the same files, wherever they lie.
    """

    pixels: np.ndarray
    domain: np.ndarray
    domains: tuple[str, ...]
    names: tuple[str, ...]
    digest: str = ""

    def of(self, domain: int) -> np.ndarray:
        """The positions of all pictures of one domain."""
        return np.flatnonzero(self.domain == domain)

    def batch(self, index: Sequence[int] | np.ndarray, device: torch.device | str = "cpu") -> Tensor:
        """The pictures at these positions, (N, 3, side, side) float32 in [-1, 1], on a device."""
        pixels = torch.from_numpy(self.pixels[np.asarray(index)]).to(device)
        return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1


def folders(split: Path) -> tuple[str, ...]:
    """The domains in a split, by name; DataError where there are none."""
    found = tuple(sorted(p.name for p in split.iterdir() if p.is_dir() and not p.name.startswith("."))) if split.is_dir() else ()
    if not found and not split.parent.exists():
        raise DataError(
            f"there is no folder {split.parent}; name one that is there, or make it by `python -m train prepare folder --from "
            f"PICTURES --to {split.parent} --size ...`"
        )
    if not found:
        raise DataError(
            f"there is no folder in {split}; pictures belong into {split}/<domain>/, as "
            f"`python -m train prepare folder --from {split.parent} --to data --size ...` lays them"
        )
    return found


def load(root: Path | str, split: str, side: int, cache: Path | str, domains: Sequence[str] | None = None) -> Pictures:
    """Reads `root/split/<domain>/*` but hidden files, every picture cropped to its central square and resized to side x side.

    The decoded pixels are kept under `cache` and mapped from there; they are decoded anew when a file was added, removed or
    changed. domains: the folders to take, in this order; by default all, by name. DataError for a folder that is missing,
    a domain with fewer than two pictures, pictures that cannot be read (all are named), or a cache that cannot be written to.
    """
    folder = Path(root) / split
    found = folders(folder)
    domains = tuple(domains or found)
    if missing := [d for d in domains if d not in found]:
        raise DataError(f"{folder} has no folder for {', '.join(missing)}; it has {', '.join(found) or 'none'}")
    files = [p for d in domains for p in sorted((folder / d).iterdir()) if p.suffix.lower() in SUFFIXES and p.name[0] != "."]
    domain = np.array([domains.index(p.parent.name) for p in files], dtype=np.int64)
    for i, name in enumerate(domains):
        if (count := int((domain == i).sum())) < 2:
            raise DataError(f"{folder / name} has {count} picture{'' if count == 1 else 's'}; a domain needs at least two")
    facts = [(str(p.relative_to(folder)), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    digest = hashlib.sha256(json.dumps([str(folder.resolve()), side, facts]).encode()).hexdigest()[:16]
    path = Path(cache) / f"{split}-{side}-{digest}.npy"
    if not path.exists():
        _decode(files, side, path)
    names = tuple(f"{p.parent.name}/{p.stem}" for p in files)
    lying = hashlib.sha256(json.dumps(sorted(fact[:2] for fact in facts)).encode()).hexdigest()[:16]
    return Pictures(np.load(path, mmap_mode="r"), domain, domains, names, lying)


def load_splits(
    root: Path | str,
    side: int,
    cache: Path | str,
    domains: Sequence[str],
    say: Callable[[str], object] = tqdm.write,
) -> tuple[Pictures, Pictures]:
    """The train and the val split, as `load` gives them; DataError names what is wrong with either. say: gets a sentence on each
    file that is no picture."""
    found, wrong = [], []
    for split in ("train", "val"):
        for domain in domains:
            for path in sorted(p for p in Path(root, split, domain).glob("*") if p.suffix.lower() not in SUFFIXES):
                if path.is_file() and not path.name.startswith("."):
                    say(f"left out, as no pictures: {path}")
        try:
            found.append(load(root, split, side, cache, domains))
        except DataError as error:
            wrong.append(str(error))
    if wrong:
        raise DataError("; ".join(dict.fromkeys(wrong)))
    return found[0], found[1]


def _decode(files: list[Path], side: int, path: Path) -> None:
    def read(file: Path) -> np.ndarray | str:
        try:
            return np.asarray(images.centre_crop(images.read(file), side))
        except ValueError as error:
            return f"{file} ({error})"

    with _kept(path) as partial:
        pixels = mapped(partial, (len(files), side, side, 3))
        broken = []
        with ThreadPoolExecutor() as pool:
            for i, picture in enumerate(tqdm(pool.map(read, files), total=len(files), desc="decode", unit="img")):
                if isinstance(picture, str):
                    broken.append(picture)
                else:
                    pixels[i] = picture
        if broken:
            raise DataError(f"these pictures cannot be read, mend or remove them: {', '.join(broken)}")
        pixels.flush()


@contextlib.contextmanager
def _kept(path: Path) -> Iterator[Path]:
    """Where to write a file of a cache; DataError where that cannot be written to."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        with whole(path) as partial:
            yield partial
    except OSError as error:
        raise DataError(
            f"{path.parent} cannot be written to ({error.strerror}); decoded pictures are kept there: make room, or choose another "
            "place"
        ) from None


def mapped(path: Path, shape: tuple[int, ...]) -> np.memmap:
    """A new .npy of uint8, mapped to be filled. DataError where the disk has no room for it: once it is mapped, the lack of room
    would end the process."""
    try:
        array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
        if hasattr(os, "posix_fallocate"):
            with path.open("rb+") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        size = f"{math.prod(shape) / 2**20:.0f} MB"
        raise DataError(f"{path.parent} has no room for {size} of decoded pictures ({error.strerror}); make some") from None
    return array


def balanced(
    pictures: Pictures, count: int, rng: np.random.Generator, low: int = 0, high: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """`count` domains drawn evenly from those numbered low to high - 1 (all by default), and a picture's position for each: two
    arrays (count,)."""
    domain = rng.integers(low, len(pictures.domains) if high is None else high, size=count)
    return domain, np.array([rng.choice(pictures.of(d)) for d in domain], dtype=np.int64)


def pairs(
    pictures: Pictures, count: int, rng: np.random.Generator, high: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`count` domains drawn evenly from the first `high` (all by default), and for each the positions of two different pictures:
    three arrays (count,)."""
    domain = rng.integers(len(pictures.domains) if high is None else high, size=count)
    both = np.array([rng.choice(pictures.of(d), size=2, replace=False) for d in domain])
    return domain, both[:, 0], both[:, 1]


def random_boxes(count: int, rng: np.random.Generator) -> np.ndarray:
    """The paper's preparation as matrices for `warp`, (count, 2, 3): with probability 0.5 a random resized crop (scale 0.8 to 1,
    ratio 0.9 to 1.1), else the whole picture; then a flip with probability 0.5."""
    boxes = np.zeros((count, 2, 3), dtype=np.float32)
    for box in boxes:
        width = height = 1.0
        if rng.random() < 0.5:
            area, ratio = rng.uniform(0.8, 1), np.exp(rng.uniform(np.log(0.9), np.log(1.1)))
            width, height = min(1.0, np.sqrt(area * ratio)), min(1.0, np.sqrt(area / ratio))
        flip = -1 if rng.random() < 0.5 else 1
        box[0] = flip * width, 0, rng.uniform(width - 1, 1 - width)
        box[1] = 0, height, rng.uniform(height - 1, 1 - height)
    return boxes


def random_crop(x: Tensor, size: int, rng: np.random.Generator) -> Tensor:
    """Each picture cut and flipped as `random_boxes` has it. (N, 3, side, side) -> (N, 3, size, size)."""
    return warp(x, torch.from_numpy(random_boxes(len(x), rng)), size)


def resized(x: Tensor, size: int) -> Tensor:
    """The whole pictures. (N, 3, side, side) -> (N, 3, size, size)."""
    return warp(x, torch.tensor([[1.0, 0, 0], [0, 1, 0]]).expand(len(x), 2, 3), size)


def warp(x: Tensor, matrices: Tensor, size: int, padding: str = "border") -> Tensor:
    """Resamples pictures: matrices (N, 2, 3) take an output place in [-1, 1] to the input's place; (N, 3, size, size)."""
    grid = F.affine_grid(matrices, [len(x), 3, size, size], align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode=padding, align_corners=False)


def grid_picture(rows: Sequence[Sequence[Tensor | None]], size: int) -> Image.Image:
    """One picture of many, (3, size, size) each in [-1, 1]; None leaves a white square."""
    sheet = Image.new("RGB", (size * max(map(len, rows)), size * len(rows)), "white")
    for r, row in enumerate(rows):
        for c, cell in enumerate(row):
            if cell is not None:
                sheet.paste(images.to_pil(cell), (c * size, r * size))
    return sheet

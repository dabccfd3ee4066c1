"""Photographs of people, aligned, for measuring what becomes of a person: which ones, and what is known of them."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stargan.faces.align import align
from stargan.faces.find import aligning
from stargan.faces.frame import AlignError, warp
from stargan.faces.squares import aligner_for
from stargan.media import images
from stargan.model import Model
from train import data

COUNT = 80
TURNED = 0.3  # the most that a face may look aside: nose off the middle of the eyes, in eye distances
FRONTAL = 0.15
# Of the sources in a manifest: how many photographs of each gender and origin that are labelled there.
SHARES = {"FairFace": 4, "CivilServiceUSA": 12, "faker-js": 6}
GROUPS = ("source", "gender", "race")


@dataclass(frozen=True)
class Photographs:
    """One photograph a person.

    pixels (N, S, S, 3) uint8, aligned as the portraits are. names: N file names without suffix, as far as these differ. frontal:
    (N,) bool. groups: the positions of each group of people, such as "gender Female". left_out: how many files showed no face.
    """

    pixels: np.ndarray
    names: tuple[str, ...]
    frontal: np.ndarray
    groups: Mapping[str, np.ndarray]
    left_out: int = 0


def read(folder: Path | str, model: Model, count: int = COUNT) -> Photographs:
    """The photographs to measure a model with, in squares as it knows them.

    A folder with `manifest-val.csv`, `landmarks-val.npz` and `val/` gives those of `choose`, aligned by their landmarks. Of any
    other folder the first `count` pictures that show a face are taken, each as another person, and aligned as uploads are.
    DataError where there are fewer than two.
    """
    side, frame = model.config.image_size, model.frame
    folder = Path(folder)
    if not folder.is_dir():
        raise data.DataError(f"there is no folder {folder}; --photos wants one with a photograph of each person")
    if (folder / "manifest-val.csv").exists():
        return _of_manifest(folder, side, count, frame)
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in data.SUFFIXES)
    stems = Counter(file.stem for file in files)
    aligner = aligner_for(model)[0] or "fan-68"
    squares: list[np.ndarray] = []
    names: list[str] = []
    turned, left_out = [], 0
    for file in files:
        if len(squares) == count:
            break
        try:
            found = align(images.read(file), side, backend=aligner, frame=frame)
        except AlignError:
            left_out += 1
            continue
        squares.append(np.asarray(found.image))
        names.append(file.stem if stems[file.stem] == 1 else file.name)
        turned.append(yaw(found.landmarks))
    if len(squares) < 2:
        raise data.DataError(f"{folder} has {len(squares)} pictures with a face; put photographs of at least two people there")
    return Photographs(np.stack(squares), tuple(names), np.array(turned) < FRONTAL, {}, left_out)


def yaw(landmarks: np.ndarray) -> float:
    """How far a face looks aside, of its 68 landmarks (68, 2): the nose's tip off the middle of the eyes, along the line between
    them, in eye distances; 0 from the front."""
    left, right = landmarks[36:42].mean(0), landmarks[42:48].mean(0)
    across = right - left
    return float(abs((landmarks[30] - (left + right) / 2) @ across) / (across @ across))


def _of_manifest(folder: Path, side: int, count: int, frame: np.ndarray | None) -> Photographs:
    try:
        with (folder / "manifest-val.csv").open(newline="") as file:
            rows = choose(list(csv.DictReader(file)), count)
        with np.load(folder / "landmarks-val.npz") as found:
            landmarks = dict(zip(found["names"].tolist(), found["points"].astype(np.float64), strict=True))
        pixels = []
        for row in rows:
            matrix = aligning(landmarks[row["name"]], side, frame)
            pixels.append(warp(np.asarray(images.read(folder / "val" / f"{row['name']}.webp")), matrix, side))
    except (OSError, KeyError, ValueError) as error:
        raise data.DataError(f"{folder} is no complete folder of photographs with a manifest ({error}); get it anew") from None
    if len(rows) < 2:
        raise data.DataError(f"{folder} has {len(rows)} photographs that face the camera; at least two are needed")
    groups: dict[str, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        for key in GROUPS:
            if row[key]:
                groups[f"{key} {row[key]}"].append(i)
    frontal = np.array([abs(float(row["yaw"])) < FRONTAL for row in rows])
    return Photographs(
        np.stack(pixels), tuple(row["name"] for row in rows), frontal, {name: np.array(i) for name, i in sorted(groups.items())}
    )


def choose(rows: Sequence[Mapping[str, str]], count: int = COUNT) -> list[Mapping[str, str]]:
    """Photographs of a manifest, evenly over the groups of people.

    Of the faces turned aside by less than TURNED, each pair of gender and origin gives as many as SHARES says for its source, those
    whose names' SHA-256 come first. Where `count` is smaller than all of these, every so manieth of them is taken.
    """
    groups: dict[tuple[str, ...], list[Mapping[str, str]]] = defaultdict(list)
    for row in rows:
        if abs(float(row["yaw"])) < TURNED:
            groups[tuple(row[key] for key in GROUPS)].append(row)
    chosen = []
    for key in sorted(groups):
        chosen += sorted(groups[key], key=lambda row: digest(row["name"]))[: SHARES.get(key[0], max(SHARES.values()))]
    if len(chosen) <= count:
        return chosen
    return [chosen[i] for i in np.linspace(0, len(chosen) - 1, count).round().astype(int)]


def of_domain(pictures: data.Pictures, domain: int, count: int) -> Photographs:
    """Photographs of a data folder's domain: those whose names' SHA-256 come last, so that (but in a small set) none of them is
    among those of `choose`, which a model is measured with after it was chosen by these."""
    names = {i: pictures.names[i].split("/", 1)[1] for i in pictures.of(domain)}
    index = sorted(names, key=lambda i: digest(names[i]))[-count:]
    return Photographs(pictures.pixels[np.sort(index)], tuple(names[i] for i in sorted(index)), np.ones(len(index), bool), {})


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()

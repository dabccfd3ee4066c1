"""How well faces are found: photographs with known landmarks, as they are, turned and small, and pictures without a face."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from stargan.faces.find import Face, find
from stargan.media import images

FRONT = 0.15  # |yaw| under which a face looks at the camera
FOUND = 0.2  # the mean error of points 17 to 67 under which a face counts as found
SMALL_EYES, SMALL_SIDE = 25, 1600  # px between the eyes, and of the grey picture that a small face is in
TURNS = (30, 90, 180)
# Pictures of scikit-image that show no face, and come with it.
EMPTY = (
    "brick", "cat", "cell", "checkerboard", "chelsea", "clock", "coffee", "coins", "colorwheel", "grass", "gravel",
    "horse", "hubble_deep_field", "immunohistochemistry", "logo", "microaneurysms", "moon", "page", "retina", "rocket",
    "shepp_logan_phantom", "text",
)  # fmt: skip


class CheckError(ValueError):
    """Photographs or landmarks that cannot be checked with; the sentence says why."""


@dataclass(frozen=True)
class Known:
    """A photograph whose landmarks (68, 2) px are known; facts are its line of the manifest, empty without one."""

    path: Path
    landmarks: np.ndarray
    facts: dict[str, str]

    @property
    def front(self) -> bool:
        return abs(float(self.facts.get("yaw") or 0)) < FRONT


def known(folder: Path, landmarks: Path, most: int | None = None) -> list[Known]:
    """The photographs `folder/<name>.*` of an npz with `names` (N,) and `points` (N, 68, 2) in pixels of the files.

    A table manifest-*.csv beside `landmarks-*.npz` tells of each `name` its yaw, race and gender. most: so many, evenly chosen.
    CheckError where they do not go together.
    """
    try:
        with np.load(landmarks, allow_pickle=False) as archive:
            names, points = archive["names"].tolist(), archive["points"].astype(np.float64)
    except (OSError, KeyError, ValueError) as error:
        raise CheckError(f"{landmarks} has no names and points: {error}") from None
    files = {path.stem: path for path in sorted(folder.glob("*")) if path.is_file()}
    if missing := [name for name in names if name not in files]:
        raise CheckError(f"{folder} lacks {len(missing)} of the pictures that {landmarks} names, the first being {missing[0]}")
    table = landmarks.with_name(landmarks.stem.replace("landmarks", "manifest", 1) + ".csv")
    facts: dict[str, dict[str, str]] = {}
    if table.exists():
        with table.open(newline="", encoding="utf-8") as lines:
            facts = {line["name"]: line for line in csv.DictReader(lines)}
    every = [Known(files[name], own, facts.get(name, {})) for name, own in zip(names, points, strict=True)]
    if most is None or most >= len(every):
        return every
    return [every[int(i)] for i in np.linspace(0, len(every) - 1, most)]


def error(faces: Iterable[Face], landmarks: np.ndarray) -> float:
    """Mean distance of points 17 to 67 of the nearest face to the known ones, over the distance of the outer corners of the eyes;
    infinite where there is no face."""
    eyes = np.linalg.norm(landmarks[36] - landmarks[45])
    distances = (np.linalg.norm(face.landmarks - landmarks, axis=1)[17:].mean() for face in faces)
    return float(min(distances, default=np.inf) / eyes)


def turned(rgb: np.ndarray, landmarks: np.ndarray, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """A picture turned to the left on a grey ground that holds all of it, and its landmarks."""
    height, width = rgb.shape[:2]
    side = int(np.ceil(np.hypot(height, width)))
    matrix = np.asarray(cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1))
    matrix[:, 2] += [(side - width) / 2, (side - height) / 2]
    grey = (127, 127, 127)
    return cv2.warpAffine(rgb, matrix, (side, side), borderValue=grey), cv2.transform(landmarks[None], matrix)[0]


def small(rgb: np.ndarray, landmarks: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture made so small that the eyes are SMALL_EYES px apart, somewhere in a grey one of SMALL_SIDE px."""
    eyes = np.linalg.norm(landmarks[36:42].mean(0) - landmarks[42:48].mean(0))
    scale = SMALL_EYES / float(eyes)
    face = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    ground = np.full((SMALL_SIDE, SMALL_SIDE, 3), 127, np.uint8)
    place = np.random.default_rng(seed).integers(0, [SMALL_SIDE - face.shape[1], SMALL_SIDE - face.shape[0]])
    ground[place[1] : place[1] + face.shape[0], place[0] : place[0] + face.shape[1]] = face
    return ground, landmarks * scale + place


def empty() -> Iterator[tuple[str, Image.Image]]:
    """Pictures without a face, by name; none where scikit-image is not installed."""
    try:
        from skimage import data
    except ImportError:
        return
    for name in EMPTY:
        pixels = np.asarray(getattr(data, name)())
        if pixels.dtype != np.uint8:
            pixels = (pixels.astype(np.float64) / (pixels.max() or 1) * 255).astype(np.uint8)
        yield name, Image.fromarray(pixels).convert("RGB")


Finder = Callable[[Image.Image], Sequence[Face]]
Progress = Callable[[Sequence[Known]], Iterable[Known]]


def rows(photographs: Sequence[Known], finder: Finder = find, progress: Progress = iter) -> Iterator[str]:
    """The check as the lines of a table in Markdown, each as soon as it is measured: how many faces are found, and the errors of
    those that are, in percent."""
    yield from ("| pictures | number | found | median error | 90th percentile |", "|---|---:|---:|---:|---:|")
    plain = np.array([error(finder(images.read(photo.path)), photo.landmarks) for photo in progress(photographs)])
    front = np.array([photo.front for photo in photographs])
    yield _line("all", plain)
    yield _line("from the front", plain[front])
    for column in ("race", "gender"):
        for group in sorted({photo.facts.get(column, "") for photo in photographs} - {""}):
            own = np.array([photo.facts.get(column) == group for photo in photographs])
            name = group.replace("_", ", ")
            yield _line(name, plain[own])
            yield _line(f"{name}, from the front", plain[own & front])
    for degrees in TURNS:
        yield _line(f"turned by {degrees} degrees", _changed(photographs, finder, progress, degrees))
    yield _line(f"eyes {SMALL_EYES} px apart in {SMALL_SIDE} px", _changed(photographs, finder, progress, None))
    shown = [(name, len(finder(picture))) for name, picture in empty()]
    if shown:
        wrong = ", ".join(name for name, count in shown if count) or "none"
        yield f"\nFaces in {len(shown)} pictures without one: {wrong}"


def _changed(photographs: Sequence[Known], finder: Finder, progress: Progress, degrees: float | None) -> np.ndarray:
    errors = []
    for seed, photo in enumerate(progress(photographs)):
        rgb = np.asarray(images.read(photo.path))
        rgb, points = small(rgb, photo.landmarks, seed) if degrees is None else turned(rgb, photo.landmarks, degrees)
        errors.append(error(finder(Image.fromarray(rgb)), points))
    return np.array(errors)


def _line(name: str, errors: np.ndarray) -> str:
    found = errors[errors < FOUND]
    if not len(found):
        return f"| {name} | {len(errors)} | {'0.0 %' if len(errors) else '-'} | - | - |"
    median, high = 100 * np.quantile(found, [0.5, 0.9])
    return f"| {name} | {len(errors)} | {100 * len(found) / len(errors):.1f} % | {median:.2f} % | {high:.2f} % |"

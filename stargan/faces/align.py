"""A photograph to the aligned square that a model expects: the face found, turned, scaled and centred as in its training data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from stargan.faces.detect import LEAST
from stargan.faces.find import SURE, Face, aligning, find, landmarks, largest, smaller
from stargan.faces.frame import AlignError, warp
from stargan.faces.landmarks import load_face_alignment, load_fan68
from stargan.fan import FAN
from stargan.model import ALIGNERS

SEEN_SIDE = 512  # of the picture that goes with the sentence that there is no face


class NoFace(AlignError):
    """No face was found. picture: what was looked at, at most SEEN_SIDE px a side."""

    def __init__(self, sentence: str, picture: Image.Image) -> None:
        super().__init__(sentence)
        self.picture = picture.convert("RGB")
        self.picture.thumbnail((SEEN_SIDE, SEEN_SIDE))


@dataclass(frozen=True)
class Aligned:
    """image: the square, RGB. notes: sentences that the person should read. faces: all that were found, from left to right.
    chosen: the position among them of the one in the square."""

    image: Image.Image
    notes: tuple[str, ...]
    faces: tuple[Face, ...]
    chosen: int

    @property
    def landmarks(self) -> np.ndarray:
        """(68, 2) px of the photograph, of the face in the square."""
        return self.faces[self.chosen].landmarks


def align(
    image: Image.Image,
    size: int,
    fan: FAN | None = None,
    backend: str = "fan-68",
    face: int | None = None,
    frame: np.ndarray | None = None,
) -> Aligned:
    """Aligns a face of a picture to `size` x `size` px.

    fan: the 68-point FAN, by default the bundled one. backend: fan-68, or face_alignment for that package's detector and
    network. face: its number from left to right, from 1 on; by default the largest. frame: where the face comes to lie, as
    `Model.frame`. NoFace where none is found; AlignError where that number is not there; FANUnavailable and DetectorUnavailable
    where what is needed is not installed.
    """
    faces = find_all(image, fan, backend)
    chosen = choose(faces, face)
    notes = []
    if face is None and len(faces) > 1:
        notes.append(f"{len(faces)} faces were found; the largest one is taken, number {chosen + 1} from the left.")
    picture, more = square(image, faces[chosen], size, frame)
    return Aligned(picture, (*notes, *more), tuple(faces), chosen)


def choose(faces: list[Face], number: int | None) -> int:
    """Where the one of that number is, from left to right, from 1 on, or the largest; AlignError where there is none."""
    if number is None:
        return largest(faces)
    if not 1 <= number <= len(faces):
        count = f"{len(faces)} faces were found, 1 to {len(faces)} from left to right" if len(faces) > 1 else "1 face was found"
        raise AlignError(f"there is no face {number}: {count}; choose one of them")
    return number - 1


def find_all(image: Image.Image, fan: FAN | None = None, backend: str = "fan-68") -> list[Face]:
    """The faces of a picture from left to right, one at least; errors as in `align`."""
    if backend not in ALIGNERS:
        raise ValueError(f"there is no aligner {backend!r}; choose one of {', '.join(ALIGNERS)}")
    if backend == "face_alignment":
        found = load_face_alignment().get_landmarks_from_image(np.asarray(image.convert("RGB"))) or []
        faces = sorted((Face(points[:, :2].astype(np.float64)) for points in found), key=lambda f: f.landmarks[:, 0].mean())
    else:
        faces = find(image, fan)
    if faces:
        return faces
    if backend == "fan-68" and (size := smaller(image)) is not None:
        raise NoFace(
            f"the largest face in this picture is about {size:.0f} px wide and needs {LEAST}; use one that shows it larger", image
        )
    raise NoFace(
        "no face was found; use a picture that shows a face from the front, or turn alignment off if it is already cropped", image
    )


def square(image: Image.Image, face: Face, size: int, frame: np.ndarray | None = None) -> tuple[Image.Image, tuple[str, ...]]:
    """The aligned square of one face, `size` x `size` px, with notes for the person. frame: as `Model.frame`."""
    notes = []
    if face.sure < SURE:
        notes.append(f"This may not be a face: {100 * face.sure:.0f} % sure.")
    points = face.landmarks
    if points.min() < 0 or points[:, 0].max() > image.width or points[:, 1].max() > image.height:
        notes.append("The face is cut by the border of the picture; what is missing was mirrored.")
    return Image.fromarray(warp(np.asarray(image.convert("RGB")), aligning(points, size, frame), size)), tuple(notes)


def warm_up() -> None:
    """Loads what the first call would have to wait for."""
    black = Image.new("RGB", (64, 64))
    find(black)
    landmarks(np.asarray(black), np.array([[1 / 64, 0, 0], [0, 1 / 64, 0]]), load_fan68())

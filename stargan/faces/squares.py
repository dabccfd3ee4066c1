"""The squares that a model takes from a picture, one for each chosen face, and their translations put back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from stargan.faces.align import align, find_all, square
from stargan.faces.landmarks import face_alignment_here
from stargan.faces.paste import paste
from stargan.media import images
from stargan.model import Model

ALL = "all"
NO_FACES = "This model knows no faces: it has no face alignment network, so the middle square of a picture is taken."
ELSEWHERE = "This model's faces were aligned by face_alignment, which is not here with its weights; our network finds them."
Choice = int | str | None  # a face's number from left to right, from 1 on; ALL for each in turn; None for the largest


@dataclass(frozen=True)
class Square:
    """image: the square, RGB. landmarks: (68, 2) px of the picture that it was cut from; None for the middle of that. frame: where
    they lie in it, as `Model.frame`."""

    image: Image.Image
    landmarks: np.ndarray | None
    frame: np.ndarray | None = None


def aligner_for(model: Model) -> tuple[str | None, str]:
    """The aligner that goes with a model, as `squares` takes it, and a sentence for the person where it is not the one that the
    model's pictures were aligned by, or where there is none."""
    if model.aligner == "face_alignment" and not face_alignment_here():
        return "fan-68", ELSEWHERE
    if model.aligner is not None:
        return model.aligner, ""
    if model.fan is not None:
        return "fan-68", ""
    return None, NO_FACES


def squares(
    image: Image.Image, size: int, aligner: str | None, face: Choice = None, frame: np.ndarray | None = None
) -> tuple[list[Square], tuple[str, ...]]:
    """The squares, `size` x `size` px, from left to right, one at least, and notes for the person.

    aligner: one of `model.ALIGNERS`, or None for the central square. frame: as `Model.frame`. Errors as in `align`.
    """
    if aligner is None:
        return [Square(images.centre_crop(image, size), None)], ()
    if face == ALL:
        found = find_all(image, backend=aligner)
        cut = [square(image, one, size, frame) for one in found]
        notes = [f"Face {i}: {note}" for i, (_, own) in enumerate(cut, 1) for note in own]
        return [Square(picture, one.landmarks, frame) for one, (picture, _) in zip(found, cut)], tuple(notes)
    aligned = align(image, size, backend=aligner, face=face if face is None else int(face), frame=frame)
    return [Square(aligned.image, aligned.landmarks, frame)], aligned.notes


def put_back(photograph: Image.Image, cut: Sequence[Square], translated: Sequence[Image.Image]) -> Image.Image:
    """The photograph with each square's translation in its place, as `paste` does it; one without landmarks stays as it is."""
    for one, result in zip(cut, translated, strict=True):
        if one.landmarks is not None:
            photograph = paste(photograph, result, one.landmarks, one.frame)
    return photograph

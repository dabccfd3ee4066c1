"""How faces lie in training pictures, so that a photograph can be cut alike when it is translated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from stargan.faces.find import find, largest
from stargan.faces.frame import frame_of, mean_landmarks
from stargan.model import ALIGNERS, Model
from train.data import Pictures

ALIGNED = "aligned-by.txt"  # in a data folder: what `prepare` has aligned its pictures by
LOOKED_AT = 48  # pictures, evenly over all domains
NEAR = 0.02  # of the side: faces that lie in the mean no further from a known frame lie in that


def aligner(folder: Path) -> str | None:
    """Which of `model.ALIGNERS` has aligned the pictures of a data folder; None where nobody has written that down."""
    try:
        found = (folder / ALIGNED).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None
    return found if found in ALIGNERS else None


def frame(pictures: Pictures, origin: Model | None = None) -> np.ndarray:
    """(68, 2) mean landmarks of these pictures, as fractions of the side.

    That is the frame of the model that training starts from, or the usual one, where the faces lie in it, as they do in pictures
    that `prepare` has aligned, and where most pictures show no face.
    """
    known = frame_of(origin) if origin is not None else mean_landmarks()
    index = np.unique(np.linspace(0, len(pictures.names) - 1, LOOKED_AT).round().astype(int))
    found = []
    for i in index:
        if faces := find(Image.fromarray(pictures.pixels[i])):
            found.append(faces[largest(faces)].landmarks / pictures.pixels.shape[1])
    if 2 * len(found) < len(index):
        return known
    mean = np.mean(found, axis=0).round(4)
    # The contour of the jaw takes no part in alignment.
    return known if np.abs(mean - known)[17:].mean() < NEAR else mean

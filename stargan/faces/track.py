"""One face through the frames of a clip: where it was tells where to look."""

from __future__ import annotations

import numpy as np
from PIL import Image

from stargan.faces.align import find_all, square
from stargan.faces.find import PEAK, Face, aligning, landmarks, largest
from stargan.faces.frame import AlignError
from stargan.faces.landmarks import FaceAlignmentFAN, load_fan68
from stargan.fan import FAN

# A FAN's peak is this share of PEAK at least, or the face is lost and the detector looks again.
LOST = 0.6
# Landmarks that move by less than STILL of the eyes' distance are mostly noise: they go this part of the way.
STILL, SLUGGISH = 0.04, 0.35
JUMP = 0.5  # of a face's size: what moves further from one frame to the next is another face, or another scene


class Tracker:
    """Follows one face. face: its number from left to right in the first frame that shows one, from 1 on; by default the largest.

    fan: the 68-point FAN, by default the bundled one. Not for several clips at once.
    """

    def __init__(self, fan: FAN | None = None, face: int | None = None) -> None:
        self._fan, self._number = fan, face
        self._begun = False
        self.face: Face | None = None

    def follow(self, frame: Image.Image, aligner: str = "fan-68") -> Face | None:
        """The face in the next frame; None where it has none. Landmarks are smoothed over time, the more the less they move.
        AlignError where the first faces are too few for the number.

        aligner: one of `model.ALIGNERS`; its network looks where the face was, and its detector where that has been lost.
        """
        rgb, last, self.face = np.asarray(frame.convert("RGB")), self.face, None
        if last is not None:
            network = self._fan or (FaceAlignmentFAN() if aligner == "face_alignment" else load_fan68())
            points, peak = landmarks(rgb, aligning(last.landmarks), network)
            moved = np.linalg.norm(points.mean(0) - last.landmarks.mean(0)) / last.size
            if peak > LOST * PEAK and moved < JUMP:
                self.face = Face(_smoothed(last.landmarks, points), min(1.0, peak / PEAK))
                return self.face
        try:
            faces = find_all(frame, self._fan, aligner)
        except AlignError:
            return None
        self.face, self._begun = self._chosen(faces, last), True
        return self.face

    def _chosen(self, faces: list[Face], last: Face | None) -> Face:
        if last is not None:
            # The one that is nearest to where it was lost.
            return min(faces, key=lambda face: float(np.linalg.norm(face.landmarks.mean(0) - last.landmarks.mean(0))))
        if self._number is not None and self._number <= len(faces):
            return faces[self._number - 1]
        if self._number is not None and not self._begun:
            count = "1 face was found" if len(faces) == 1 else f"{len(faces)} faces were found"
            raise AlignError(f"there is no face {self._number} in the first frame that shows one: {count}; choose another number")
        return faces[largest(faces)]

    def align(
        self, picture: Image.Image, size: int, frame: np.ndarray | None = None, aligner: str = "fan-68"
    ) -> tuple[Image.Image, Face] | None:
        """The aligned square, `size` x `size` px, of the face in the next picture, and the face; None where it has none. frame: as
        `Model.frame`. aligner: as for `follow`."""
        face = self.follow(picture, aligner)
        return None if face is None else (square(picture, face, size, frame)[0], face)


def _smoothed(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    eyes = np.linalg.norm(now[36:42].mean(0) - now[42:48].mean(0))
    motion = np.linalg.norm(now - before, axis=1).mean() / max(float(eyes), 1e-6)
    return before + (now - before) * np.clip(motion / STILL, SLUGGISH, 1.0)

"""The faces of a photograph: found by the detector, their 68 landmarks by the FAN, each with how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from stargan.faces.detect import LEAST, SEEN, Detection, detect
from stargan.faces.frame import mean_landmarks, similarity, warp
from stargan.faces.landmarks import FaceAlignmentFAN, load_fan68
from stargan.fan import FAN, landmarks_from_heatmaps
from stargan.media import images
from stargan.precision import undisturbed

# The mean height of a FAN's peaks on a face that it sees as in an aligned square; one under DOUBT may be turned.
PEAK, DOUBT = 0.6, 0.5
# From how sure on a face is one, and under what a person should be told.
ACCEPTED, SURE = 0.5, 0.65
# A refused picture is searched for faces that are too small at so many pixels.
SMALL_LOOK = 4_000_000


@dataclass(frozen=True)
class Face:
    """landmarks: (68, 2) px of the photograph, x and y, in the usual order (jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, mouth
    48-67). sure: 0 to 1; under SURE it may be something else, a sculpture or an animal, or a face that can hardly be seen."""

    landmarks: np.ndarray
    sure: float = 1.0

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x, y, width, height in px around the landmarks."""
        (x, y), (w, h) = self.landmarks.min(0), np.ptp(self.landmarks, axis=0)
        return float(x), float(y), float(w), float(h)

    @property
    def size(self) -> float:
        """In px: the square root of the box's area."""
        return float(np.prod(np.ptp(self.landmarks, axis=0)) ** 0.5)


def find(image: Image.Image, fan: FAN | None = None) -> list[Face]:
    """All faces of a picture from 40 px on, at any angle, numbered from left to right; none is an empty list.

    fan: the 68-point FAN, by default the bundled one. DetectorUnavailable where the detector is not installed.
    """
    rgb, fan = np.asarray(image.convert("RGB")), fan or load_fan68()
    found = detect(rgb) or [face for turns in (1, 2, 3) for face in _detect_turned(rgb, turns)]
    faces: list[Face] = []
    for face in sorted((look(rgb, detection, fan) for detection in found), key=lambda face: face.sure, reverse=True):
        if face.sure >= ACCEPTED and not any(_same(face, other) for other in faces):
            faces.append(face)
    return sorted(faces, key=lambda face: face.landmarks[:, 0].mean())


def largest(faces: list[Face]) -> int:
    """The position of the largest."""
    return max(range(len(faces)), key=lambda i: faces[i].size)


def smaller(image: Image.Image) -> float | None:
    """The size in px of the largest face that is too small for `find`; None where there is none either."""
    rgb = np.asarray(image.convert("RGB"))
    least = SEEN * max(1.0, (rgb.shape[0] * rgb.shape[1] / SMALL_LOOK) ** 0.5)
    sizes = [(face.box[2] * face.box[3]) ** 0.5 for face in detect(rgb, least)] if least < LEAST else []
    return max((size for size in sizes if size < LEAST), default=None)


def look(rgb: np.ndarray, detection: Detection, fan: FAN) -> Face:
    """Landmarks of one detection in a picture (H, W, 3) uint8: the FAN on the face as the detector's points frame it and, where
    its peaks are low, on the face as its own landmarks frame it."""
    points, peak = landmarks(rgb, _frame(detection.points), fan)
    if peak < DOUBT:
        for turned in _turned_crops(rgb, detection):
            points, peak = max((points, peak), landmarks(rgb, _frame(turned), fan), key=lambda seen: seen[1])
    if peak < PEAK:
        points, peak = max((points, peak), landmarks(rgb, aligning(points), fan), key=lambda seen: seen[1])
    return Face(points, (detection.score + min(1.0, peak / PEAK)) / 2)


def aligning(points: np.ndarray, size: float = 1.0, frame: np.ndarray | None = None) -> np.ndarray:
    """The 2x3 similarity that takes landmarks (68, 2) to their places in an aligned square of `size` px. The contour of the jaw
    depends on the pose; brows, eyes, nose and mouth fix it. frame: (68, 2) as `Model.frame`."""
    return similarity(points[17:], (mean_landmarks() if frame is None else frame)[17:] * size)


@undisturbed()
def landmarks(rgb: np.ndarray, matrix: np.ndarray, fan: FAN | FaceAlignmentFAN) -> tuple[np.ndarray, float]:
    """The FAN on what `matrix` frames as a square of side 1: landmarks (68, 2) in px of the picture, and the mean height of the
    peaks."""
    side = fan.config.input_size
    square = warp(rgb, matrix * side, side, blur=False)
    heatmaps = fan(images.to_tensor(Image.fromarray(square)))
    points = landmarks_from_heatmaps(heatmaps)[0].double().numpy()
    return cv2.transform(points[None], cv2.invertAffineTransform(matrix))[0], heatmaps.amax((2, 3)).mean().item()


def _frame(points: np.ndarray) -> np.ndarray:
    """What takes the detector's five points (5, 2) to their places in an aligned square of side 1."""
    mean = mean_landmarks()
    return similarity(points, np.stack([mean[36:42].mean(0), mean[42:48].mean(0), mean[30], mean[48], mean[54]]))


def _detect_turned(rgb: np.ndarray, turns: int) -> list[Detection]:
    """Detections in the picture turned to the left by quarters, 1 to 3."""
    height, width = rgb.shape[:2]
    back = np.array([[[0.0, -1, width], [1, 0, 0]], [[-1, 0, width], [0, -1, height]], [[0, 1, 0], [-1, 0, height]]])[turns - 1]
    result = []
    for face in detect(np.ascontiguousarray(np.rot90(rgb, turns))):
        x, y, w, h = face.box
        corners = cv2.transform(np.array([[[x, y], [x + w, y + h]]]), back)[0]
        (x, y), (w, h) = corners.min(0).tolist(), np.ptp(corners, axis=0).tolist()
        result.append(Detection((x, y, w, h), cv2.transform(face.points[None], back)[0], face.score))
    return result


def _turned_crops(rgb: np.ndarray, detection: Detection) -> list[np.ndarray]:
    """The detector's five points in px as it sees the face after turning it by each quarter."""
    x, y, w, h = detection.box
    centre, reach, side = np.array([x + w / 2, y + h / 2]), 0.9 * max(w, h), 160
    result = []
    for angle in (90, 180, 270):
        cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        turn = np.array([[cos, -sin], [sin, cos]]) * side / (2 * reach)
        matrix = np.column_stack([turn, side / 2 - turn @ centre])
        for face in detect(warp(rgb, matrix, side, blur=False))[:1]:
            result.append(cv2.transform(face.points[None], cv2.invertAffineTransform(matrix))[0])
    return result


def _same(one: Face, other: Face) -> bool:
    """Whether two detections have become one face."""
    distance = np.linalg.norm(one.landmarks.mean(0) - other.landmarks.mean(0))
    return bool(distance < 0.3 * max(one.size, other.size))

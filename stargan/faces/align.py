"""A photograph to the aligned square that a model expects: the face found, turned, scaled and centred as in its training data."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from stargan.faces.landmarks import fan68_folder, load_face_alignment, load_fan68
from stargan.fan import FAN, landmarks_from_heatmaps
from stargan.media import images

BACKENDS = ("fan-68", "face_alignment")
# Faces are sought in a picture of at most this side; a face smaller than a twelfth of it has too few pixels to be worth it.
DETECTION_SIDE = 640
# The crop given to the FAN, in widths of the detector's box, and how far below the box's middle it is centred.
CROP, BELOW = 1.5, 0.06
# Mean height of the heatmaps' peaks above which the FAN confirms a face; one far smaller in area than the largest is none.
SURE, SMALLEST = 0.37, 0.1

Box = tuple[float, float, float, float]  # x, y, width, height in px


class AlignError(ValueError):
    """No face that could be aligned; the sentence says what to do."""


@dataclass(frozen=True)
class Aligned:
    """image: the square, RGB. notes: sentences that the person should read. landmarks: (68, 2) px of the photograph."""

    image: Image.Image
    notes: tuple[str, ...]
    landmarks: np.ndarray


@functools.lru_cache(maxsize=1)
def mean_landmarks() -> np.ndarray:
    """(68, 2) mean places of the landmarks in an aligned square, as fractions of its side."""
    return np.array(json.loads((fan68_folder() / "mean_landmarks.json").read_text()), dtype=np.float64)


def align(image: Image.Image, size: int, fan: FAN | None = None, backend: str = "fan-68") -> Aligned:
    """Aligns the largest face of a picture to `size` x `size` px.

    fan: the 68-point FAN, by default the bundled one. backend: fan-68, or face_alignment for that package's detector and
    network. AlignError where no face is found; FANUnavailable where face_alignment cannot load its weights.
    """
    if backend not in BACKENDS:
        raise ValueError(f"there is no aligner {backend!r}; choose one of {', '.join(BACKENDS)}")
    rgb = np.asarray(image.convert("RGB"))
    if backend == "face_alignment":
        found = load_face_alignment().get_landmarks_from_image(rgb) or []
        faces = sorted((np.asarray(points[:, :2], np.float64) for points in found), key=_extent, reverse=True)
    else:
        faces = _faces(rgb, fan or load_fan68())
    if not faces:
        raise AlignError(
            "no face was found; use a picture that shows a face from the front, or turn alignment off if it is already cropped"
        )
    landmarks, notes = faces[0], []
    if len(faces) > 1:
        notes.append(f"{len(faces)} faces were found; the largest one is taken.")
    height, width = rgb.shape[:2]
    if landmarks.min() < 0 or landmarks[:, 0].max() > width or landmarks[:, 1].max() > height:
        notes.append("The face is cut by the border of the picture; what is missing was mirrored.")
    # The contour of the jaw depends on the pose; brows, eyes, nose and mouth fix the transform.
    matrix = similarity(landmarks[17:], mean_landmarks()[17:] * size)
    return Aligned(Image.fromarray(warp(rgb, matrix, size)), tuple(notes), landmarks)


def warm_up() -> None:
    """Loads what the first call would have to wait for."""
    _landmarks(np.zeros((64, 64, 3), np.uint8), (0, 0, 64, 64), load_fan68())


def _extent(points: np.ndarray) -> float:
    return float(np.prod(np.ptp(points, axis=0)))


@functools.lru_cache(maxsize=2)
def _cascade(name: str) -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / name))


def _faces(rgb: np.ndarray, fan: FAN) -> list[np.ndarray]:
    """Landmarks (68, 2) px of the faces that detector and FAN agree on, the largest first."""
    for boxes in detect(rgb):
        seen = [_landmarks(rgb, box, fan) for box in boxes]
        if faces := sorted((points for points, sure in seen if sure > SURE), key=_extent, reverse=True):
            return [face for face in faces if _extent(face) > SMALLEST * _extent(faces[0])]
    return []


def detect(rgb: np.ndarray) -> Iterator[list[Box]]:
    """Boxes that may be faces in a picture (H, W, 3) uint8, by OpenCV's Haar cascades (Viola and Jones, CVPR 2001).

    One list after another, from a frontal cascade that is strict to ones that are lenient. A border is added, so that a face
    that fills the picture is found.
    """
    scale = min(1.0, DETECTION_SIDE / max(rgb.shape[:2]))
    small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    side = max(small.shape[:2])
    grey = cv2.equalizeHist(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
    grey = cv2.copyMakeBorder(grey, side // 4, side // 4, side // 4, side // 4, cv2.BORDER_REPLICATE)
    least = max(24, side // 12)
    for cascade, neighbours in (
        ("haarcascade_frontalface_default.xml", 6),
        ("haarcascade_frontalface_alt2.xml", 3),
        ("haarcascade_frontalface_default.xml", 2),
        ("haarcascade_profileface.xml", 3),
    ):
        boxes = _cascade(cascade).detectMultiScale(grey, 1.08, neighbours, minSize=(least, least))
        yield [((x - side // 4) / scale, (y - side // 4) / scale, w / scale, h / scale) for x, y, w, h in boxes]


@torch.inference_mode()
def _landmarks(rgb: np.ndarray, box: Box, fan: FAN) -> tuple[np.ndarray, float]:
    """The FAN on the detector's crop, then again on the face as aligned by the first look: (68, 2) px, and the mean height of
    the peaks, about 0.5 for a face and under 0.3 for anything else."""
    side = fan.config.input_size

    def look(matrix: np.ndarray) -> tuple[np.ndarray, float]:
        heatmaps = fan(images.to_tensor(Image.fromarray(warp(rgb, matrix, side, blur=False))))
        points = landmarks_from_heatmaps(heatmaps)[0].double().numpy() * side
        return cv2.transform(points[None], cv2.invertAffineTransform(matrix))[0], heatmaps.amax((2, 3)).mean().item()

    x, y, w, h = box
    centre, reach = np.array([x + w / 2, y + h * (0.5 + BELOW)]), CROP * max(w, h) / 2
    corners = np.array([centre - reach, centre + [reach, -reach], centre + reach])
    first, _ = look(similarity(corners, np.array([[0, 0], [side, 0], [side, side]], dtype=np.float64)))
    return look(similarity(first[17:], mean_landmarks()[17:] * side))


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The 2x3 matrix of rotation, scale and shift that takes points (N, 2) nearest to others in least squares
    (Umeyama, IEEE PAMI 13(4), 1991)."""
    a, b = source - source.mean(0), target - target.mean(0)
    total = (a**2).sum()
    if total == 0:
        raise AlignError("the landmarks of the face fall together; use a picture that shows it larger")
    cos, sin = (a * b).sum() / total, (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / total
    rotation = np.array([[cos, -sin], [sin, cos]])
    return np.column_stack([rotation, target.mean(0) - rotation @ source.mean(0)])


def warp(rgb: np.ndarray, matrix: np.ndarray, size: int, blur: bool = True) -> np.ndarray:
    """The square that a similarity shows of a picture (H, W, 3) uint8: what lies outside is mirrored and, with `blur`, the more
    blurred the further out it lies."""
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    while scale < 0.5 and min(rgb.shape[:2]) >= 2:
        # Halved until what is left to shrink is too little to alias.
        height, width = rgb.shape[:2]
        rgb = cv2.resize(rgb, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        matrix = matrix @ np.array([[width / (width // 2), 0, 0], [0, height / (height // 2), 0], [0, 0, 1]])
        scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    # Pixel centres stand at half pixels for us, at whole ones for OpenCV.
    shifted = matrix.copy()
    shifted[:, 2] += shifted[:, :2] @ [0.5, 0.5] - 0.5
    out = cv2.warpAffine(rgb, shifted, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    if not blur:
        return out
    inside = cv2.warpAffine(np.full(rgb.shape[:2], 255, np.uint8), shifted, (size, size), flags=cv2.INTER_LINEAR)
    if inside.min() == 255:
        return out
    framed = cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    distance = cv2.distanceTransform((framed < 128).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    share = np.clip(distance / (0.1 * size), 0, 1)[..., None]
    soft = cv2.GaussianBlur(out, (0, 0), 0.03 * size, borderType=cv2.BORDER_REFLECT_101)
    return (out * (1 - share) + soft * share).round().astype(np.uint8)

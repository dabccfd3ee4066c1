"""How a face lies in the square: the mean landmarks, and the similarity that takes a face to them and its pixels along."""

from __future__ import annotations

import functools
import json

import cv2
import numpy as np

from stargan.faces.landmarks import fan68_folder
from stargan.model import Model


class AlignError(ValueError):
    """No face that could be aligned; the sentence says what to do."""


@functools.lru_cache(maxsize=1)
def mean_landmarks() -> np.ndarray:
    """(68, 2) mean places of the landmarks in an aligned square, as fractions of its side: the frame that the bundled FAN has
    learned, and that of a model that knows no other."""
    return np.array(json.loads((fan68_folder() / "mean_landmarks.json").read_text()), dtype=np.float64)


def frame_of(model: Model) -> np.ndarray:
    """(68, 2) mean landmarks, as fractions of the side, that a model's squares are cut by."""
    return mean_landmarks() if model.frame is None else model.frame


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
    rgb, matrix = _shown(rgb, matrix, size)
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
    alpha = np.clip(distance / (0.1 * size), 0, 1)[..., None]
    soft = cv2.GaussianBlur(out, (0, 0), 0.03 * size, borderType=cv2.BORDER_REFLECT_101)
    return (out * (1 - alpha) + soft * alpha).round().astype(np.uint8)


def _shown(rgb: np.ndarray, matrix: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The part of a picture that the square shows or mirrors, and the matrix from there."""
    back = cv2.invertAffineTransform(matrix)
    corners = cv2.transform(np.array([[[0.0, 0], [size, 0], [0, size], [size, size]]]), back)[0]
    # Room for the pixels around, also once halved until one of the square's is left.
    room = 4 + 2 * np.hypot(back[0, 0], back[1, 0])
    parts, start = [], []
    for axis, side in ((0, rgb.shape[1]), (1, rgb.shape[0])):
        low, high = corners[:, axis].min() - room, corners[:, axis].max() + room
        low, high = (low if high < side else min(low, 2 * side - high)), (high if low > 0 else max(high, -low))
        first = min(max(0, int(low)), side - 1)
        parts.append(slice(first, max(first + 1, min(side, int(np.ceil(high))))))
        start.append(first)
    moved = matrix.copy()
    moved[:, 2] += moved[:, :2] @ start
    return rgb[parts[1], parts[0]], moved

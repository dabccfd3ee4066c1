"""A translated square back into its photograph: where it came from, soft along the head, its colours led to those around it."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from stargan.faces.find import aligning
from stargan.faces.frame import warp

# In sides of the square. The head's outline: the landmarks' hull, the brows' points raised to the hair; how wide its soft border
# is, half to either side; what of the square's own border shows nothing; how far the colours around reach into the face.
FOREHEAD, SOFT, MARGIN, REACH = 0.23, 0.12, 0.04, 0.1
AT_ONCE = 500_000  # pixels of the photograph that are blended together


def paste(photograph: Image.Image, square: Image.Image, landmarks: np.ndarray, frame: np.ndarray | None = None) -> Image.Image:
    """The photograph with a face replaced, at its own size, RGB; it is left as it is.

    square: the translation of the aligned square that `align` made of that face, of any size. landmarks: (68, 2) px of the
    photograph, as in `Aligned.landmarks`. frame: that `align` was given. For several faces, paste one after the other.
    """
    own = np.asarray(photograph.convert("RGB"))
    side = square.width
    matrix = aligning(landmarks, side, frame)
    head = _head(cv2.transform(landmarks[None], matrix)[0] / side, side)
    seen = warp(own, matrix, side, blur=False).astype(np.float32)
    translated = _led(np.asarray(square.convert("RGB")).astype(np.float32), seen, head)
    return Image.fromarray(_blended(own, translated, head, matrix))


def _head(points: np.ndarray, side: int) -> np.ndarray:
    """How much of each pixel is taken from the square, (side, side) float32 in [0, 1]; points (68, 2) as fractions of it."""
    # The forehead lies opposite to the chin, seen from between the brows.
    up = points[17:27].mean(0) - points[8]
    raised = points[17:27] + up / np.linalg.norm(up) * FOREHEAD
    hull = cv2.convexHull(np.concatenate([points, raised]).astype(np.float32) * side)[:, 0]
    drawn = np.zeros((side, side), np.uint8)
    cv2.fillConvexPoly(drawn, (hull * 16).round().astype(np.int32), 255, shift=4)
    soft = cv2.GaussianBlur(drawn.astype(np.float32) / 255, (0, 0), SOFT * side / 3)
    place = (np.arange(side, dtype=np.float32) + 0.5) / side
    edge = np.clip((np.minimum(place, 1 - place) - MARGIN) / SOFT, 0, 1)
    return soft * np.minimum(edge, edge[:, None])


def _led(translated: np.ndarray, seen: np.ndarray, head: np.ndarray) -> np.ndarray:
    """The translation, its colours along the head's border moved to the photograph's: their smooth difference there, fading
    inwards."""
    side = len(head)
    border = 4 * head * (1 - head) + 1e-6
    spread = REACH * side

    def smooth(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (0, 0), spread)

    weight = smooth(border)
    difference = smooth((seen - translated) * border[..., None]) / weight[..., None]
    depth = cv2.distanceTransform((head > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    return translated + difference * np.exp(-depth / spread)[..., None]


def _blended(own: np.ndarray, translated: np.ndarray, head: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    side = len(head)
    back = cv2.invertAffineTransform(matrix)
    corners = cv2.transform(np.array([[[0.0, 0], [side, 0], [0, side], [side, side]]]), back)[0]
    low = np.maximum(np.floor(corners.min(0)).astype(int), 0)
    high = np.minimum(np.ceil(corners.max(0)).astype(int), [own.shape[1], own.shape[0]])
    out = own.copy()
    if (low >= high).any():
        return out
    rows = max(1, AT_ONCE // (high[0] - low[0]))
    for top in range(low[1], high[1], rows):
        bottom = min(top + rows, high[1])
        # From a pixel of this piece to the square, centres at half pixels.
        there = matrix.copy()
        there[:, 2] += there[:, :2] @ [low[0] + 0.5, top + 0.5] - 0.5
        size, flags = (int(high[0] - low[0]), int(bottom - top)), cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        new = cv2.warpAffine(translated, there, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        alpha = cv2.warpAffine(head, there, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)[..., None]
        piece = out[top:bottom, low[0] : high[0]]
        piece[:] = (piece + (new - piece) * alpha).round().clip(0, 255)
    return out

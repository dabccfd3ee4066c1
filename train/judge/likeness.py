"""Whether somebody is recognised in what a model makes of their photograph, by a face recognition network.

That is dlib's ResNet v1 (Davis King, 2017; 99.4 % on Labeled Faces in the Wild), which gives a picture of a face 128 numbers that
are near to those of other pictures of the same person. It learned from photographs: all paintings are far from all photographs, and
nearer to each other than people are. So what outputs of a style have in common is taken away first, and what photographs have in
common as well. Then it is asked whose photograph of all an output is nearest to.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

MISSING = "likeness was left out: its network is not here; `pip install dlib-bin face_recognition_models` brings it"
# Where dlib's detector sees the face in an aligned square: left, top, right, bottom, as fractions of its side (the mean over 20
# photographs, deviation 0.04). It need not run: on paintings it would miss some.
FACE = 0.176, 0.318, 0.794, 0.939
SIDE = 256  # px, of the squares that landmarks are sought in
CHIP, PADDING = 150, 0.25  # what the network takes: px, and the border in widths of the face


class Recogniser:
    """Describes aligned faces. ImportError where dlib or its networks are missing; see MISSING."""

    def __init__(self) -> None:
        import dlib

        # The package cannot be imported where setuptools has no pkg_resources any more; its files are all that is needed.
        spec = importlib.util.find_spec("face_recognition_models")
        if spec is None or not spec.submodule_search_locations:
            raise ImportError("there is no package face_recognition_models")
        folder = Path(spec.submodule_search_locations[0]) / "models"
        self._dlib: Any = dlib
        self._landmarks = dlib.shape_predictor(str(folder / "shape_predictor_68_face_landmarks.dat"))
        self._network = dlib.face_recognition_model_v1(str(folder / "dlib_face_recognition_resnet_model_v1.dat"))

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Aligned squares (N, S, S, 3) uint8 -> (N, 128) float64; the same person is within about 0.6."""
        if not len(pixels):
            return np.zeros((0, 128))
        return np.array(self._network.compute_face_descriptor([self._chip(picture) for picture in pixels]))

    def _chip(self, picture: np.ndarray) -> np.ndarray:
        square = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA if len(picture) > SIDE else cv2.INTER_CUBIC)
        shape = self._landmarks(square, self._dlib.rectangle(*(round(SIDE * edge) for edge in FACE)))
        return self._dlib.get_face_chip(square, shape, CHIP, PADDING)


def load() -> Recogniser | None:
    """The network, or None where it is not installed."""
    try:
        return Recogniser()
    except ImportError:
        return None


def ranks(outputs: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """How many sources are nearer than an output's own, (N,): 0 where the person is found.

    outputs (N, 128): of source n, all of one style or at least of one domain. sources (N, 128). The mean of either is taken away
    before distances are.
    """
    distance = np.linalg.norm(centred(outputs)[:, None] - centred(sources)[None], axis=2)
    return (distance < np.diag(distance)[:, None]).sum(1)


def centred(descriptors: np.ndarray) -> np.ndarray:
    return descriptors - descriptors.mean(0)


def spread(descriptors: np.ndarray) -> float:
    """The root of the mean square distance from the mean, of (N, 128)."""
    return float(np.sqrt((centred(descriptors) ** 2).sum(1).mean()))


def summary(
    outputs: Mapping[str, np.ndarray], sources: np.ndarray, groups: Mapping[str, np.ndarray] | None = None
) -> dict[str, Any]:
    """What is found in the outputs of one domain, by style (N, 128) each, of sources (N, 128).

    A style's name begins with "own" where each source had one of its own, and with "shared" where all had the same. top1 and top5
    are the shares of outputs whose own source is the nearest, or among the nearest five; spread is that of outputs of a shared
    style over that of sources, in the mean; by_group is top1 among the sources at the positions of each group.
    """
    found = {name: ranks(each, sources) for name, each in outputs.items()}
    rank = np.stack(list(found.values()))  # (styles, N)
    shared = [spread(each) / max(spread(sources), 1e-12) for name, each in outputs.items() if name.startswith("shared")]
    result: dict[str, Any] = {"top1": float((rank == 0).mean()), "top5": float((rank < 5).mean())}
    for kind in ("own", "shared"):
        if of_kind := [each == 0 for name, each in found.items() if name.startswith(kind)]:
            result[f"top1_{kind}"] = float(np.mean(of_kind))
    result["spread"] = float(np.mean(shared)) if shared else None
    result["by_group"] = {name: float((rank[:, index] == 0).mean()) for name, index in (groups or {}).items()}
    return result

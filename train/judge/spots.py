"""Spots that stand at one place in all pictures of a style, whoever is in them.

Such a spot comes from the generator, not from the source: it stays in the mean of the outputs of many people, where all that is
theirs fades. What is local there is found by differences of Gaussians of two widths in lightness and both colours (CIELAB). A face
has local things too: eyes, lips, ears. So what real pictures of the domain show at a place in the mean is taken away, and an
extreme counts in deviations twice: in those of the whole mean picture, and in those of real pictures at that place. The smaller
count holds; above LIMIT it is a spot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

LIMIT = 4.0  # deviations
SIDE = 128  # px, of the pictures that are looked at
WIDTHS = SIDE / 64, SIDE / 32  # px, of the inner Gaussians: what is about 4 and 9 % of the side wide
RATIO = 1.6  # of the outer Gaussian's width to the inner one's
BORDER = SIDE // 16  # px that are not looked at, where pictures are mirrored
ENOUGH = 512  # real pictures


@dataclass(frozen=True)
class Spot:
    """The strongest extreme of a mean picture: its deviations, and where it is, as fractions of the side."""

    deviations: float
    x: float
    y: float


@dataclass(frozen=True)
class Usual:
    """What is local in real pictures of a domain, at each place: mean and deviation, (SIDE, SIDE, 6)."""

    mean: np.ndarray
    deviation: np.ndarray


def local(picture: np.ndarray) -> np.ndarray:
    """(S, S, 3) in [0, 255] -> (SIDE, SIDE, 6): lightness and two colours, for both widths."""
    small = cv2.resize(picture.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small / 255, cv2.COLOR_RGB2LAB)

    def blurred(width: float) -> np.ndarray:
        return cv2.GaussianBlur(lab, (0, 0), width, borderType=cv2.BORDER_REFLECT)

    return np.concatenate([blurred(width) - blurred(RATIO * width) for width in WIDTHS], axis=2)


def usual(pixels: np.ndarray, index: Sequence[int] | np.ndarray) -> Usual:
    """Of the real pictures (N, S, S, 3) uint8 at these positions; ENOUGH of them are looked at."""
    chosen = np.asarray(index)[np.unique(np.linspace(0, len(index) - 1, min(len(index), ENOUGH)).round().astype(int))]
    total, squares = np.zeros((SIDE, SIDE, 6)), np.zeros((SIDE, SIDE, 6))
    for i in chosen:
        found = local(pixels[i])
        total += found
        squares += found**2
    mean = total / len(chosen)
    return Usual(mean, np.sqrt(np.maximum(squares / len(chosen) - mean**2, 0)))


def strongest(mean_picture: np.ndarray, real: Usual) -> Spot:
    """The strongest extreme of the mean (S, S, 3) in [0, 255] of a style's outputs."""
    excess = local(mean_picture) - real.mean
    spread = np.maximum(excess.std((0, 1)), 1e-6)
    deviations = np.abs(excess) / np.maximum(spread, real.deviation)
    inner = deviations[BORDER:-BORDER, BORDER:-BORDER].max(2)
    y, x = np.unravel_index(inner.argmax(), inner.shape)
    return Spot(float(inner[y, x]), (float(x) + BORDER + 0.5) / SIDE, (float(y) + BORDER + 0.5) / SIDE)

"""A source that moves from style to style: the path through the styles, and the frames along it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stargan.faces.squares import Square, put_back
from stargan.media import images
from stargan.media.video import VideoError
from stargan.translate import Encoded, Translator

DECODED_AT_ONCE = 8


def path(styles: Sequence[Tensor], frames: int, loop: bool = False) -> Tensor:
    """Styles (style_dim,) -> the path through them (K, style_dim), `frames` to a transition, slow at each style (smoothstep).

    It ends on the last style, with K = (len(styles) - 1) * frames + 1; with `loop` it goes on to the frame before the first
    style, with K = len(styles) * frames. VideoError for fewer than two styles or less than one frame.
    """
    if len(styles) < 2:
        raise VideoError("a video goes from one style to another; give at least two styles")
    if frames < 1:
        raise VideoError(f"a transition of {frames} frames cannot be shown; give more seconds or more frames a second")
    t = torch.arange(frames, dtype=torch.float32, device=styles[0].device)[:, None] / frames
    eased = t * t * (3 - 2 * t)
    ends = [*styles[1:], styles[0]] if loop else styles[1:]
    steps = [torch.lerp(a, b, eased) for a, b in zip(styles, ends)]
    return torch.cat(steps if loop else [*steps, styles[-1][None]])


def frames(translator: Translator, encoded: Encoded, source: Image.Image, styles: Tensor) -> Iterator[np.ndarray]:
    """The source, and beside it its translation by each of `styles` (K, style_dim): K frames (S, 2 S, 3) uint8.

    They are decoded as they are taken, so a progress bar can be wrapped around them on their way to `write`.
    """
    left = np.asarray(images.centre_crop(source, translator.model.config.image_size))
    for result in _decoded(translator, encoded, styles):
        yield np.concatenate([left, np.asarray(result)], axis=1)


def pasted(translator: Translator, encoded: Encoded, photograph: Image.Image, cut: Square, styles: Tensor) -> Iterator[Image.Image]:
    """The photograph with its face translated by each of `styles` (K, style_dim): K frames of its size. cut: what was encoded."""
    for result in _decoded(translator, encoded, styles):
        yield put_back(photograph, [cut], [result])


def _decoded(translator: Translator, encoded: Encoded, styles: Tensor) -> Iterator[Image.Image]:
    for group in styles.split(DECODED_AT_ONCE):
        yield from map(images.to_pil, translator.decode(encoded, group))

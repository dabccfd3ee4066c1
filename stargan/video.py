"""Frames to H.264 in MP4, and the frames of a source that moves through styles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import av
import numpy as np
import torch
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from PIL import Image
from torch import Tensor

from stargan import images
from stargan.files import whole
from stargan.translate import Encoded, Translator

DECODED_AT_ONCE = 8


class VideoError(ValueError):
    """A video that cannot be made; the sentence says what to change."""


def interpolation(styles: Sequence[Tensor], frames: int, loop: bool = False) -> Tensor:
    """Styles (style_dim,) -> the path through them (K, style_dim), `frames` to a transition, slow at each style (smoothstep).

    It ends on the last style, with K = (len(styles) - 1) * frames + 1; with `loop` it goes on to the frame before the first
    style, with K = len(styles) * frames. VideoError for fewer than two styles or less than one frame.
    """
    if len(styles) < 2:
        raise VideoError("a video goes from one style to another; give at least two styles")
    if frames < 1:
        raise VideoError(f"a transition of {frames} frames cannot be shown; give more seconds or more frames a second")
    t = torch.arange(frames)[:, None] / frames
    eased = t * t * (3 - 2 * t)
    ends = [*styles[1:], styles[0]] if loop else styles[1:]
    path = [torch.lerp(a, b, eased) for a, b in zip(styles, ends)]
    return torch.cat(path if loop else [*path, styles[-1][None]])


def frames(translator: Translator, encoded: Encoded, source: Image.Image, path: Tensor) -> Iterator[np.ndarray]:
    """The source, and beside it its translation by each style of `path` (K, style_dim): K frames (S, 2 S, 3) uint8.

    They are decoded as they are taken, so a progress bar can be wrapped around them on their way to `write`.
    """
    left = np.asarray(images.centre_crop(source, translator.model.config.image_size))
    for styles in path.split(DECODED_AT_ONCE):
        for result in translator.decode(encoded, styles):
            yield np.concatenate([left, np.asarray(images.to_pil(result))], axis=1)


def write(path: Path | str, frames: Iterable[np.ndarray | Image.Image], fps: int) -> None:
    """Writes frames of one size, (H, W, 3) uint8 or pictures, one at a time as H.264 with 4:2:0 chroma, which browsers play.

    An odd side grows by a pixel, as the chroma needs. The file appears under its name only when it is whole. VideoError where
    there is no frame, where the sizes differ, and where the file cannot be written.
    """
    try:
        # The index goes to the front, so that a browser starts before it has everything.
        with whole(path) as partial, av.open(partial, "w", format="mp4", options={"movflags": "+faststart"}) as file:
            stream = file.add_stream("libx264", rate=fps, options={"crf": "18"})
            stream.pix_fmt = "yuv420p"
            # Without these, players guess the colours from the size of the picture.
            stream.codec_context.colorspace = Colorspace.ITU709
            stream.codec_context.color_primaries = ColorPrimaries.BT709
            stream.codec_context.color_trc = ColorTrc.BT709
            stream.codec_context.color_range = ColorRange.MPEG
            size: tuple[int, int] | None = None
            for frame in frames:
                pixels = np.asarray(frame.convert("RGB") if isinstance(frame, Image.Image) else frame)
                height, width = pixels.shape[:2]
                if size is None:
                    size = (width, height)
                    stream.width, stream.height = width + width % 2, height + height % 2
                elif size != (width, height):
                    raise VideoError(f"a frame is {width} x {height} px and the first was {size[0]} x {size[1]}; give one size")
                pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
                picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                file.mux(stream.encode(picture.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)))
            if size is None:
                raise VideoError("there are no frames to write")
            file.mux(stream.encode())
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{path} cannot be written: {error.strerror or error}") from error

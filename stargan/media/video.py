"""Frames to H.264 in MP4."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from PIL import Image

from stargan.files import whole


class VideoError(ValueError):
    """A video that cannot be made; the sentence says what to change."""


def write(
    path: Path | str,
    frames: Iterable[np.ndarray | Image.Image],
    fps: int | Fraction,
    sound: Callable[[float], Iterable[av.AudioFrame]] | None = None,
) -> None:
    """Writes frames of one size, (H, W, 3) uint8 or pictures, one at a time as H.264 with 4:2:0 chroma, which browsers play.

    An odd side grows by a pixel, as the chroma needs. sound: given the seconds that the frames last, gives what is heard
    meanwhile, stereo at 48 kHz, written as AAC. The file appears under its name only when it is whole. VideoError where there is
    no frame, where the sizes differ, and where the file cannot be written.
    """
    try:
        # The index goes to the front, so that a browser starts before it has everything.
        with whole(path) as partial, av.open(partial, "w", format="mp4", options={"movflags": "+faststart"}) as file:
            stream = _stream(file, fps)
            heard = file.add_stream("aac", rate=48_000, layout="stereo") if sound is not None else None
            count, size = 0, (0, 0)
            for count, frame in enumerate(frames, 1):
                pixels = np.asarray(frame.convert("RGB") if isinstance(frame, Image.Image) else frame)
                height, width = pixels.shape[:2]
                if count == 1:
                    size = (width, height)
                    stream.width, stream.height = width + width % 2, height + height % 2
                elif size != (width, height):
                    raise VideoError(f"a frame is {width} x {height} px and the first was {size[0]} x {size[1]}; give one size")
                pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
                picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                file.mux(stream.encode(picture.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)))
            if count == 0:
                raise VideoError("there are no frames to write")
            file.mux(stream.encode())
            if sound is not None and heard is not None:
                for part in sound(float(count / Fraction(fps))):
                    file.mux(heard.encode(part))
                file.mux(heard.encode())
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{path} cannot be written: {error.strerror or error}") from error


def _stream(file: av.container.OutputContainer, fps: int | Fraction) -> av.VideoStream:
    stream = file.add_stream("libx264", rate=fps, options={"crf": "18"})
    stream.pix_fmt = "yuv420p"
    # Without these, players guess the colours from the size of the picture.
    stream.codec_context.colorspace = Colorspace.ITU709
    stream.codec_context.color_primaries = ColorPrimaries.BT709
    stream.codec_context.color_trc = ColorTrc.BT709
    stream.codec_context.color_range = ColorRange.MPEG
    return stream

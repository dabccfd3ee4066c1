"""Reading the clips that people bring: frames at a constant rate, and the sound."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from PIL import Image

from stargan.media.video import VideoError

MOST_SIDE = 1920  # px; a larger clip is made smaller
MOST_FPS = 60
MOST_THREADS = 4  # that decode; each holds frames, of which one of 8K is 50 MB
USUAL_FPS = Fraction(25)  # where a file does not say, or says what cannot be


@dataclass(frozen=True)
class Clip:
    """A clip that can be read. width, height: px of its frames as they are read, upright. frames: how many there are at a constant
    rate of `fps`, nearly."""

    path: Path
    width: int
    height: int
    fps: Fraction
    frames: int
    has_sound: bool

    def ended(self, read: int) -> str:
        """A sentence on how a clip ended of which so many frames could be read: nothing where those are nearly all."""
        early = read < self.frames - max(2, self.frames // 10)
        return f"The file breaks off after {read} of {self.frames} frames. " if early else ""

    @property
    def seconds(self) -> float:
        return float(self.frames / self.fps)

    def read(self) -> Iterator[Image.Image]:
        """The frames, one at a time, at the constant rate: those that come too fast are left out, those that stand longer come
        again. VideoError where there is none; a clip that breaks off ends where it does."""
        due, slack = Fraction(0), Fraction(1, 4) / self.fps  # clocks of files tremble
        start: Fraction | None = None
        last: Image.Image | None = None
        for at, picture in self._decoded():
            start = at if start is None else start
            while last is not None and due + slack <= at - start:
                yield last
                due += 1 / self.fps
            last = picture
        if last is None:
            raise VideoError(f"{self.path.name} has no frame that can be read; save it again as MP4")
        yield last

    def _decoded(self) -> Iterator[tuple[Fraction, Image.Image]]:
        """Seconds and frames as the file has them."""
        count = 0
        try:
            with av.open(self.path) as file:
                stream = file.streams.video[0]
                stream.thread_type = "AUTO"
                stream.codec_context.thread_count = min(MOST_THREADS, os.cpu_count() or 1)
                for frame in file.decode(stream):
                    at = frame.pts * frame.time_base if frame.pts is not None and frame.time_base else count / self.fps
                    yield Fraction(at), _upright(frame, (self.width, self.height))
                    count += 1
        except av.FFmpegError:
            return  # what came before the break is good


def opened(path: Path | str, most_seconds: float | None = None) -> Clip:
    """What is in a file. VideoError for one that is none, has no frame, or is longer than most_seconds."""
    path = Path(path)
    try:
        with av.open(path) as file:
            if not file.streams:
                raise VideoError(f"{path.name} does not say what is in it, so it is broken or cut off; save it again as MP4")
            if not file.streams.video:
                raise VideoError(f"{path.name} has no picture; use a clip, as MP4, MOV, WebM or GIF")
            stream = file.streams.video[0]
            seconds = _seconds(file, stream)
            rate = stream.average_rate or stream.guessed_rate or USUAL_FPS
            fps = Fraction(rate) if 1 <= rate <= MOST_FPS else USUAL_FPS if rate < 1 else Fraction(MOST_FPS)
            sound = bool(file.streams.audio)
            if most_seconds is not None and seconds > most_seconds + 1:
                raise VideoError(
                    f"{path.name} is {seconds:.0f} seconds long, and at most {most_seconds:.0f} are taken here; cut it, or use "
                    "`python -m stargan video --from`"
                )
            first = next(iter(file.decode(stream)), None)
    except FileNotFoundError:
        raise VideoError(f"there is no file {path}") from None
    except (av.FFmpegError, OSError) as error:
        why = error.strerror or error
        raise VideoError(
            f"{path.name} is no clip that can be read, or it is broken or cut off ({why}); use MP4, MOV, WebM or GIF"
        ) from None
    if first is None:
        raise VideoError(f"{path.name} has no frame that can be read; save it again as MP4")
    scale = min(1.0, MOST_SIDE / max(first.width, first.height))
    width, height = (max(2, round(side * scale / 2) * 2) for side in (first.width, first.height))
    if first.rotation % 180:
        width, height = height, width
    return Clip(path, width, height, fps, max(1, round(seconds * fps)), sound)


def _seconds(file: av.container.InputContainer, stream: av.VideoStream) -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if file.duration:
        return file.duration / av.time_base
    rate = float(stream.average_rate or USUAL_FPS)
    if stream.frames or stream.time_base is None:
        return stream.frames / rate
    # Browsers record clips that do not say how long they are; their packets do.
    times = [packet.pts for packet in file.demux(stream) if packet.pts is not None]
    file.seek(0)
    return float((max(times) - min(times)) * stream.time_base) + 1 / rate if times else 0.0


def _upright(frame: av.VideoFrame, size: tuple[int, int]) -> Image.Image:
    """A frame at a width and height; phones note how they were held."""
    width, height = reversed(size) if frame.rotation % 180 else size
    picture = frame.to_image(width=width, height=height)
    return picture.rotate(frame.rotation, expand=True) if frame.rotation % 360 else picture


def sound(clip: Clip, until: float) -> Iterator[av.AudioFrame]:
    """The sound of a clip as stereo at 48 kHz, up to so many seconds; nothing where it has none or where it breaks off."""
    if not clip.has_sound:
        return
    try:
        with av.open(clip.path) as file:
            shaped = av.AudioResampler(format="fltp", layout="stereo", rate=48_000)
            for frame in file.decode(audio=0):
                if frame.time is not None and frame.time > until:
                    return
                yield from shaped.resample(frame)
            yield from shaped.resample(None)
    except av.FFmpegError:
        return

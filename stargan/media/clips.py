"""Reading the clips that people bring: frames at a constant rate, and the sound."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from PIL import Image

from stargan.files.kinds import unfilled
from stargan.media import hdr
from stargan.media.video import VideoError

MOST_SIDE = 1920  # px; a larger clip is made smaller
MOST_FPS = 60
MOST_THREADS = 4  # that decode; each holds frames, of which one of 8K is 50 MB
USUAL_FPS = Fraction(25)  # where a file does not say, or says what cannot be
FAR = Fraction(3, 2)  # rates that differ by this factor are no longer nearly the same
MOST_PACKETS = 300  # that are looked at for a rate
HEAD = 4096  # bytes of a file in which its segment begins


@dataclass(frozen=True)
class Clip:
    """A clip that can be read. width, height: px of its frames as they are read, upright, with square pixels. frames: how many
    there are at a constant rate of `fps`, nearly. begins: seconds on the file's own clock at which the first is shown."""

    path: Path
    width: int
    height: int
    fps: Fraction
    frames: int
    has_sound: bool
    begins: Fraction = Fraction(0)

    def ended(self, read: int) -> str:
        """A sentence on how a clip ended of which so many frames could be read: nothing where those are nearly all."""
        early = read < self.frames - max(2, self.frames // 10)
        return f"The file breaks off after {read} of {self.frames} frames. " if early else ""

    @property
    def seconds(self) -> float:
        return float(self.frames / self.fps)

    def read(self) -> Iterator[Image.Image]:
        """The frames, one at a time, at the constant rate: those that come too fast are left out, those that stand longer come
        again, and the first also where the sound begins before it. VideoError where there is none; a clip that breaks off ends
        where it does."""
        due, until = Fraction(0), Fraction(0)
        last: Image.Image | None = None
        for at, picture in self._decoded():
            if picture is None:
                until = at
                continue
            last = last or picture
            while due + Fraction(1, 4) / self.fps <= at:  # clocks of files tremble
                yield last
                due += 1 / self.fps
            last = picture
        if last is None:
            raise VideoError(f"{self.path.name} has no frame that can be read; save it again as MP4")
        for _ in range(max(1, round((until - due) * self.fps))):
            yield last

    def _decoded(self) -> Iterator[tuple[Fraction, Image.Image | None]]:
        """Seconds of the clip and frames as the file has them; then the seconds until which the last one stands, and None."""
        count, reached = 0, Fraction(0)
        try:
            with _open(self.path) as file:
                stream = file.streams.video[0]
                stream.thread_type = "AUTO"
                stream.codec_context.thread_count = min(MOST_THREADS, os.cpu_count() or 1)
                for packet in file.demux(stream, *file.streams.audio[:1]):
                    reached = max(reached, _end(packet) - self.begins)
                    for frame in packet.decode() if packet.stream_index == stream.index else ():
                        assert isinstance(frame, av.VideoFrame)
                        at = _time(frame)
                        yield count / self.fps if at is None else at - self.begins, _upright(frame, (self.width, self.height))
                        count += 1
        except av.FFmpegError:
            reached = Fraction(0)  # what came before the break is good
        else:
            reached = self.frames / self.fps if _is_whole(self.path) else reached
        # Not by what the file says alone, as it may break off without an error.
        yield min(reached, self.frames / self.fps), None


def _open(path: Path) -> av.container.InputContainer:
    """A file, whose title may be in any encoding."""
    return av.open(path, metadata_errors="ignore")


def opened(path: Path | str, most_seconds: float | None = None) -> Clip:
    """What is in a file. VideoError for one that is none, has no frame, or is longer than most_seconds."""
    path = Path(path)
    if path.is_fifo():
        raise VideoError(f"{path} is a pipe, and a clip is read more than once; write it to a file first")
    try:
        with _open(path) as file:
            if not file.streams:
                raise VideoError(f"{path.name} does not say what is in it, so it is broken or cut off; save it again as MP4")
            if not file.streams.video:
                raise VideoError(f"{path.name} has no picture; use a clip, as MP4, MOV, WebM or GIF")
            stream = file.streams.video[0]
            first = next(iter(file.decode(stream)), None)
            if first is None:
                raise VideoError(f"{path.name} has no frame that can be read; save it again as MP4")
            fps = _rate(path, stream)
            start = _time(first) or Fraction(0)
            begins = start - round(_lead(file, start) * fps) / fps
            seconds = _ends(path, file, stream, start) - begins
            if most_seconds is not None and seconds > most_seconds + 1:
                raise VideoError(
                    f"{path.name} is {float(seconds):.0f} seconds long, and at most {most_seconds:.0f} are taken here; cut it, or "
                    "use `python -m stargan video --from`"
                )
            width, height = _shape(first, stream)
            return Clip(path, width, height, fps, max(1, round(seconds * fps)), bool(file.streams.audio), begins)
    except FileNotFoundError:
        raise VideoError(f"there is no file {path}{unfilled(path)}") from None
    except IsADirectoryError:
        raise VideoError(f"{path.name} is a folder; give a clip in it") from None
    except (av.FFmpegError, OSError) as error:
        why = error.strerror or error
        raise VideoError(
            f"{path.name} is no clip that can be read, or it is broken or cut off ({why}); use MP4, MOV, WebM or GIF"
        ) from None


def _shape(first: av.VideoFrame, stream: av.VideoStream) -> tuple[int, int]:
    """The even width and height of upright frames with square pixels, of MOST_SIDE at most."""
    aspect = stream.sample_aspect_ratio or 0  # the width of a pixel by its height
    wide = first.width * aspect if aspect > 0 else first.width
    scale = min(1.0, MOST_SIDE / max(wide, first.height))
    width, height = (max(2, round(side * scale / 2) * 2) for side in (wide, first.height))
    return (height, width) if first.rotation % 180 else (width, height)


def _rate(path: Path, stream: av.VideoStream) -> Fraction:
    """Frames a second. Their mean says little where some stand much longer than others, as in a GIF: there, others decide."""
    mean, guess = stream.average_rate, stream.guessed_rate  # the guess fits the times of all frames
    rate = mean or guess or USUAL_FPS
    if mean and guess and guess > FAR * mean:
        times = sorted(packet.pts * packet.time_base for packet in _packets(path, MOST_PACKETS) if packet.pts is not None)
        steps = sorted(b - a for a, b in itertools.pairwise(times) if b > a)
        if steps and steps[len(steps) // 4] * mean * FAR < 1:
            rate = min(1 / steps[len(steps) // 4], guess)
    return Fraction(rate) if 1 <= rate <= MOST_FPS else USUAL_FPS if rate < 1 else Fraction(MOST_FPS)


def _lead(file: av.container.InputContainer, start: Fraction) -> Fraction:
    """Seconds from the first sound to the first frame, where the sound comes first."""
    heard = file.streams.audio[0] if file.streams.audio else None
    if heard is None or heard.start_time is None or heard.time_base is None:
        return Fraction(0)
    return max(Fraction(0), start - heard.start_time * heard.time_base)


def _ends(path: Path, file: av.container.InputContainer, stream: av.VideoStream, start: Fraction) -> Fraction:
    """The second on the file's own clock at which the last frame ends, as far as it says so. start: that of the first."""
    if file.duration and "matroska" in file.format.name:
        return Fraction(file.duration, av.time_base)  # from zero, whenever the first frame comes
    if stream.duration and stream.time_base:
        first = start if stream.start_time is None else stream.start_time * stream.time_base
        return first + stream.duration * stream.time_base
    if file.duration:
        return Fraction((file.start_time or 0) + file.duration, av.time_base)
    if stream.frames or stream.time_base is None:
        return start + stream.frames / (stream.average_rate or USUAL_FPS)
    # Browsers record clips that do not say how long they are; their packets do.
    return max(map(_end, _packets(path)), default=start)


def _packets(path: Path, most: int | None = None) -> Iterator[av.Packet]:
    """The first packets of the picture, by default all."""
    with _open(path) as file:
        yield from itertools.islice(file.demux(file.streams.video[0]), most)


def _end(packet: av.Packet) -> Fraction:
    """The second on the file's own clock until which a packet lasts; 0 for one that does not say, or that breaks off."""
    time = packet.dts if packet.pts is None else packet.pts
    if time is None or packet.is_corrupt:
        return Fraction(0)
    return Fraction((time + (packet.duration or 0)) * packet.time_base)


def _is_whole(path: Path) -> bool:
    """Whether a Matroska file is as long as it says; packets of it do not say how long the last frame stands. False for others."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    place = 0
    for mark in (b"\x1aE\xdf\xa3", b"\x18S\x80g"):  # its header and its segment: a mark, the size, what is in it
        wide = 9 - head[place + 4].bit_length() if head[place:].startswith(mark) and len(head) > place + 12 else 9
        if wide > 8:
            return False
        first = place + 4 + wide
        place = first + (int.from_bytes(head[place + 4 : first], "big") & ((1 << 7 * wide) - 1))
    return path.stat().st_size >= place


def _time(frame: av.VideoFrame) -> Fraction | None:
    return None if frame.pts is None or not frame.time_base else Fraction(frame.pts * frame.time_base)


def _upright(frame: av.VideoFrame, size: tuple[int, int]) -> Image.Image:
    """A frame at a width and height, in sRGB; phones note how they were held."""
    width, height = reversed(size) if frame.rotation % 180 else size
    picture = hdr.in_srgb(frame.to_image(width=width, height=height), int(frame.color_trc or 0), int(frame.color_primaries or 0))
    return picture.rotate(frame.rotation, expand=True) if frame.rotation % 360 else picture


def sound(clip: Clip, until: float) -> Iterator[av.AudioFrame]:
    """The sound of a clip as stereo at 48 kHz, on the clock of its frames, up to so many seconds; nothing where it has none or
    where it breaks off."""
    if not clip.has_sound:
        return
    try:
        with _open(clip.path) as file:
            shaped = av.AudioResampler(format="fltp", layout="stereo", rate=48_000)
            for frame in file.decode(audio=0):
                if frame.time is not None and frame.time - clip.begins > until:
                    return
                yield from _on_the_clock(clip, shaped.resample(frame))
            yield from _on_the_clock(clip, shaped.resample(None))
    except av.FFmpegError:
        return


def _on_the_clock(clip: Clip, parts: Iterable[av.AudioFrame]) -> Iterator[av.AudioFrame]:
    """Parts of the sound with their times from the clip's first frame on; those before it are left out."""
    for part in parts:
        if part.pts is not None and part.time_base:
            part.pts -= round(clip.begins / part.time_base)
        if part.pts is None or part.pts >= 0:
            yield part

"""Clips whose frames stand for different times, begin after their sound, or have pixels that are not square."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from material import portrait
from PIL import Image

from stargan.media import clips, images, video

DARK, BRIGHT = 20, 235


def shade(value: int, size: tuple[int, int] = (64, 64)) -> Image.Image:
    return Image.new("RGB", size, (value, value, value))


def beep(start: float, end: float) -> list[av.AudioFrame]:
    """Silence, and from a second on, up to another, a tone."""
    parts = []
    for first in range(0, int(48_000 * end), 1024):
        at = np.arange(first, first + 1024) / 48_000
        wave = np.where(at < start, 0, 0.5 * np.sin(2 * np.pi * 440 * at)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(np.tile(wave, (2, 1)), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = 48_000, first
        parts.append(frame)
    return parts


def write(
    path: Path,
    shown: Sequence[tuple[float, Image.Image]],
    rate: Fraction | int = 10,
    sound: Sequence[av.AudioFrame] = (),
    pixels: Fraction = Fraction(1),
    turned: int = 0,
    stands: int = 0,
) -> Path:
    """Frames, each from a second on, at that rate as files say. pixels: their width by their height. stands: s of the last."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=rate, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = *shown[0][1].size, "yuv420p"
        stream.codec_context.sample_aspect_ratio = pixels
        if turned:
            stream.set_display_rotation(turned)
        heard = file.add_stream("aac", rate=48_000, layout="stereo") if sound else None
        packets = []
        for at, picture in shown:
            frame = av.VideoFrame.from_image(picture)
            frame.time_base = 1 / Fraction(rate)
            frame.pts = round(at * rate)
            packets += stream.encode(frame)
        packets += stream.encode()
        if stands:
            packets[-1].duration = round(stands * rate)
        file.mux(packets)
        if heard is not None:
            for part in sound:
                file.mux(heard.encode(part))
            file.mux(heard.encode())
    return path


def values(frames: Sequence[Image.Image]) -> np.ndarray:
    return np.array([np.asarray(frame).mean() for frame in frames])


def heard_from(path: Path) -> float:
    """The second from which something is heard."""
    with av.open(str(path)) as file:
        for frame in file.decode(audio=0):
            loud = np.abs(frame.to_ndarray()[0]) > 0.1
            if loud.any():
                return float(frame.time or 0) + int(loud.argmax()) / frame.sample_rate
    raise AssertionError("nothing is heard")


def test_the_last_frame_of_a_gif_stands_as_long_as_it_says(tmp_path: Path) -> None:
    first, *rest = (shade(value) for value in (0, 60, 120, 180, 250))
    first.save(tmp_path / "hold.gif", save_all=True, append_images=rest, duration=[100] * 4 + [3000], disposal=2)
    taken = clips.opened(tmp_path / "hold.gif")
    seen = values(list(taken.read()))
    assert taken.fps == 10 and taken.frames == len(seen) == 34 and taken.ended(len(seen)) == ""
    assert np.abs(seen[:4] - [0, 60, 120, 180]).max() < 20 and (seen[4:] > 220).all()


def test_a_single_frame_stands_as_long_as_it_says(tmp_path: Path) -> None:
    shade(250).save(tmp_path / "one.gif", save_all=True, duration=2000)
    taken = clips.opened(tmp_path / "one.gif")
    assert taken.seconds == 2 and len(list(taken.read())) == taken.frames


@pytest.mark.parametrize("kind", ["mp4", "mkv"])
def test_a_clip_of_less_than_a_frame_a_second_keeps_its_end_and_its_sound(kind: str, tmp_path: Path) -> None:
    shown = [(at, shade(value)) for at, value in ((0, DARK), (2, 100), (4, 170), (6, BRIGHT))]
    taken = clips.opened(write(tmp_path / f"slow.{kind}", shown, Fraction(1, 2), beep(7, 8)))
    seen = values(list(taken.read()))
    assert taken.seconds == pytest.approx(8, abs=0.05) and taken.ended(len(seen)) == ""
    assert len(seen) / taken.fps == pytest.approx(8, abs=0.05)
    for at, (_, picture) in zip((1, 3, 5, 7.9), shown, strict=True):
        assert abs(seen[int(at * taken.fps)] - np.asarray(picture).mean()) < 12
    made = tmp_path / "made.mp4"
    video.write(made, taken.read(), taken.fps, lambda seconds: clips.sound(taken, seconds))
    assert heard_from(made) == pytest.approx(7, abs=0.03)


@pytest.mark.parametrize("kind", ["mkv", "mp4", "ts"])
def test_sound_and_picture_go_together_where_the_picture_begins_later(kind: str, tmp_path: Path) -> None:
    shown = [(0.7 + i / 10, shade(DARK if i < 5 else BRIGHT)) for i in range(10)]
    taken = clips.opened(write(tmp_path / f"late.{kind}", shown, sound=beep(1.2, 1.7)))
    seen = values(list(taken.read()))
    assert taken.ended(len(seen)) == "" and len(seen) == pytest.approx(17, abs=1)
    made = tmp_path / "made.mp4"
    video.write(made, taken.read(), taken.fps, lambda seconds: clips.sound(taken, seconds))
    assert heard_from(made) == pytest.approx(float(int((seen > 128).argmax()) / taken.fps), abs=0.04)


@pytest.mark.parametrize("kind", ["mkv", "ts"])
def test_a_silent_clip_begins_with_its_picture(kind: str, tmp_path: Path) -> None:
    taken = clips.opened(write(tmp_path / f"late.{kind}", [(0.7 + i / 10, shade(DARK)) for i in range(10)]))
    seen = len(list(taken.read()))
    assert taken.ended(seen) == "" and seen == taken.frames == 10


@pytest.mark.parametrize("kind", ["mkv", "mp4"])
def test_the_last_frame_stands_on_unless_the_file_breaks_off(kind: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (20, 96, 96, 3)).astype(np.uint8)
    shown = [(i / 10, Image.fromarray(pixels)) for i, pixels in enumerate(noise)]
    path = write(tmp_path / f"stands.{kind}", shown, stands=3)
    whole = clips.opened(path)
    assert whole.seconds == pytest.approx(4.9, abs=0.2)
    assert len(list(whole.read())) == whole.frames
    if kind == "mkv":  # an index comes last in the other
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        read = len(list(clips.opened(path).read()))
        assert 2 <= read < 16 and whole.ended(read) == f"The file breaks off after {read} of {whole.frames} frames. "


def test_jitter_does_not_make_frames_more(tmp_path: Path) -> None:
    """Phones record at nearly a rate; all their times together fit a far higher one alone."""
    path = write(tmp_path / "phone.mp4", [((4 * i + (0, 1, 0, -1)[i % 4]) / 120, shade(DARK)) for i in range(40)], 120)
    with av.open(str(path)) as file:
        assert file.streams.video[0].guessed_rate == 120
    taken = clips.opened(path)
    assert 28 < taken.fps < 32 and len(list(taken.read())) == pytest.approx(40, abs=3)


@pytest.mark.parametrize("kind", ["mp4", "mkv"])
@pytest.mark.parametrize(
    ("size", "pixels", "shape"),
    [((120, 240), Fraction(2), (240, 240)), ((1440, 1080), Fraction(4, 3), (1920, 1080)), ((64, 64), Fraction(1), (64, 64))],
)
def test_pixels_are_made_square(kind: str, size: tuple[int, int], pixels: Fraction, shape: tuple[int, int], tmp_path: Path) -> None:
    taken = clips.opened(write(tmp_path / f"wide.{kind}", [(0, shade(DARK, size)), (0.1, shade(DARK, size))], pixels=pixels))
    assert (taken.width, taken.height) == shape and {frame.size for frame in taken.read()} == {shape}


def test_pixels_are_made_square_before_the_clip_is_turned(tmp_path: Path) -> None:
    picture = shade(DARK)
    picture.paste(shade(BRIGHT, (32, 64)))  # the left half
    taken = clips.opened(write(tmp_path / "turned.mp4", [(0, picture), (0.1, picture)], pixels=Fraction(2), turned=90))
    frame = next(taken.read())
    assert frame.size == (taken.width, taken.height) == (64, 128)
    # As Image.rotate turns: left goes down.
    assert np.asarray(frame)[:60].mean() < 50 and np.asarray(frame)[68:].mean() > 200


def test_a_title_in_another_encoding_is_no_obstacle(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "clip.mkv"), "w", metadata_encoding="latin-1") as file:
        file.metadata["title"] = "Geburtstag à la carte"
        stream = file.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(10):
            file.mux(stream.encode(av.VideoFrame.from_image(shade(DARK))))
        file.mux(stream.encode())
    assert b"Geburtstag \xe0" in (tmp_path / "clip.mkv").read_bytes()
    clip = clips.opened(tmp_path / "clip.mkv")
    assert len(list(clip.read())) == clip.frames == 10 and not list(clips.sound(clip, 1))


@pytest.mark.parametrize(
    ("curve", "grey", "white", "skin"), [(16, 0.38, 0.58, (0.530, 0.495, 0.454)), (18, 0.38, 0.75, (0.677, 0.604, 0.505))]
)
def test_a_clip_in_hdr_looks_as_its_scene_does(
    curve: int, grey: float, white: float, skin: tuple[float, float, float], tmp_path: Path
) -> None:
    """Signals in PQ and HLG of a grey card, which is 104 in other clips, and of white, by ITU-R BT.2408, and of a face."""
    with av.open(str(tmp_path / "hdr.mp4"), "w") as file:
        stream = file.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p10le"
        codec = stream.codec_context
        codec.colorspace, codec.color_primaries, codec.color_trc, codec.color_range = 9, 9, curve, 1
        for signal in ((grey,) * 3, (white,) * 3, skin):
            pixels = np.tile((np.array(signal) * 65535).round().astype(np.uint16), (64, 64, 1))
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb48le")
            file.mux(stream.encode(frame.reformat(format="yuv420p10le", dst_colorspace=9)))
        file.mux(stream.encode())
    of_grey, of_white, of_skin = (np.asarray(frame)[32, 32].astype(int) for frame in clips.opened(tmp_path / "hdr.mp4").read())
    assert np.abs(of_grey - 104).max() < 8 and of_white.min() > 238
    assert np.abs(of_skin - (224, 172, 140)).max() < 12


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_a_pipe_is_no_clip_but_a_picture(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(video.VideoError, match="is a pipe, and a clip is read more than once"):
        clips.opened(tmp_path / "pipe")
    portrait(1, 64).save(tmp_path / "a.png")
    for content, sentence in (((tmp_path / "a.png").read_bytes(), ""), (b"%PDF", "pipe is a PDF document")):
        writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(content,))
        writer.start()
        with pytest.raises(ValueError, match=sentence) if sentence else contextlib.nullcontext():
            assert images.read(tmp_path / "pipe").size == (64, 64)
        writer.join()

"""Clips: read at a constant rate, the face followed and translated, the sound kept."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from stargan import clip
from stargan.faces.align import AlignError
from stargan.media import clips, video
from stargan.media.video import VideoError
from stargan.model import build
from stargan.networks import ModelConfig
from stargan.translate import Translator

FACE = Image.fromarray(data.astronaut()).crop((60, 0, 380, 320)).resize((256, 256))
FPS = 10


def moving(count: int, empty: range = range(0)) -> list[Image.Image]:
    """Frames (320 x 256 px) in which a face goes to the right; grey where `empty`."""
    frames = []
    for i in range(count):
        frame = Image.new("RGB", (320, 256), (90, 90, 90))
        if i not in empty:
            frame.paste(FACE, (4 * i, 0))
        frames.append(frame)
    return frames


def tone(seconds: float) -> list[av.AudioFrame]:
    parts = []
    for start in range(0, int(48_000 * seconds), 1024):
        wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(start, start + 1024) / 48_000)
        frame = av.AudioFrame.from_ndarray(np.tile(wave, (2, 1)).astype(np.float32), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = 48_000, start
        parts.append(frame)
    return parts


@pytest.fixture(scope="module")
def translator() -> Translator:
    config = ModelConfig(image_size=64, domains=("a", "b"), w_hpf=0, base_channels=8, max_channels=16, hidden_dim=16)
    return Translator(build(config), "cpu", "fp32")


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 1.2 s with sound, in whose middle the face is gone."""
    path = tmp_path_factory.mktemp("clip") / "talking.mp4"
    video.write(path, moving(12, range(5, 7)), FPS, tone)
    return path


@pytest.mark.slow
def test_a_clip_keeps_rate_length_and_sound(translator: Translator, talking: Path, tmp_path: Path) -> None:
    taken = clips.opened(talking, 60)
    assert (taken.width, taken.height, taken.fps, taken.frames, taken.has_sound) == (320, 256, FPS, 12, True)
    told: list[tuple[int, int]] = []

    def watch(done: int, total: int) -> bool:
        told.append((done, total))
        return True

    seen = clip.translate(translator, taken, tmp_path / "out.mp4", torch.zeros(2, 64), watch=watch)
    assert seen == 10 and told == [(i, 12) for i in range(12)]
    made = clips.opened(tmp_path / "out.mp4")
    assert (made.width, made.height, made.fps, made.has_sound) == (320, 256, FPS, True)
    frames, originals = list(made.read()), list(taken.read())
    assert len(frames) == 12
    change = [np.abs(np.asarray(a, float) - np.asarray(b, float)).mean() for a, b in zip(frames, originals, strict=True)]
    assert max(change[5:7]) < 2 < min(change[:5] + change[7:]), "without a face, the frame stays as it is"
    heard = np.concatenate([part.to_ndarray() for part in clips.sound(made, 60)], axis=1)
    assert heard.shape[1] / 48_000 == pytest.approx(1.2, abs=0.1) and heard.std() > 0.1
    beats = np.abs(np.fft.rfft(heard[0][:48_000]))
    assert np.argmax(beats) == pytest.approx(440, abs=3)


@pytest.mark.slow
def test_the_square_alone_and_an_end_that_keeps_what_is_done(translator: Translator, talking: Path, tmp_path: Path) -> None:
    taken = clips.opened(talking)
    seen = clip.translate(
        translator, taken, tmp_path / "out.mp4", torch.randn(1, 64), whole=False, watch=lambda done, total: done < 4
    )
    made = clips.opened(tmp_path / "out.mp4")
    assert seen == 4 and made.width == made.height == 64 and len(list(made.read())) == 4


def test_a_clip_without_a_face_writes_nothing(translator: Translator, tmp_path: Path) -> None:
    video.write(tmp_path / "grey.mp4", moving(3, range(3)), FPS)
    with pytest.raises(AlignError, match="no face was found in this clip"):
        clip.translate(translator, clips.opened(tmp_path / "grey.mp4"), tmp_path / "out.mp4", torch.zeros(1, 64))
    assert [path.name for path in tmp_path.iterdir()] == ["grey.mp4"]


def test_frames_come_at_a_constant_rate(tmp_path: Path) -> None:
    """A GIF whose second frame stands for half a second."""
    shades = [Image.new("RGB", (64, 64), (value, value, value)) for value in (0, 120, 250)]
    shades[0].save(tmp_path / "slow.gif", save_all=True, append_images=shades[1:], duration=[100, 500, 100], disposal=2)
    taken = clips.opened(tmp_path / "slow.gif")
    seen = [round(float(np.asarray(frame).mean())) for frame in taken.read()]
    dark, middle = (sum(abs(value - shade) < 20 for value in seen) / float(taken.fps) for shade in (0, 120))
    tick = 1 / float(taken.fps)
    assert dark == pytest.approx(0.1, abs=tick) and middle == pytest.approx(0.5, abs=tick)


class Pipe(io.BytesIO):
    """What cannot be gone back in, so that the length of a clip is not written into it, as browsers record theirs."""

    def seekable(self) -> bool:
        return False

    seek = None  # type: ignore[assignment]


def test_a_recording_that_does_not_say_its_length_has_one(tmp_path: Path) -> None:
    pipe = Pipe()
    with av.open(pipe, "w", format="webm") as file:
        stream = file.add_stream("libvpx", rate=FPS, width=320, height=256, pix_fmt="yuv420p")
        for image in moving(25):
            file.mux(stream.encode(av.VideoFrame.from_image(image)))
        file.mux(stream.encode())
    (tmp_path / "recording.webm").write_bytes(pipe.getvalue())
    with av.open(tmp_path / "recording.webm") as file:
        assert file.duration is None and file.streams.video[0].duration is None
    taken = clips.opened(tmp_path / "recording.webm")
    assert taken.frames == pytest.approx(25, abs=1) and len(list(taken.read())) == pytest.approx(25, abs=1)
    with pytest.raises(VideoError, match="recording.webm is 2 seconds long, and at most 1 are taken here"):
        clips.opened(tmp_path / "recording.webm", 1)


def test_what_cannot_be_used_is_said(tmp_path: Path, talking: Path) -> None:
    (tmp_path / "notes.mp4").write_text("this is no clip")
    with pytest.raises(VideoError, match="notes.mp4 is no clip that can be read"):
        clips.opened(tmp_path / "notes.mp4")
    with pytest.raises(VideoError, match="there is no file"):
        clips.opened(tmp_path / "none.mp4")
    with pytest.raises(VideoError, match=r"there is no file .*\*\.mp4 \(a pattern that nothing fits\)"):
        clips.opened(tmp_path / "*.mp4")
    with pytest.raises(VideoError, match=f"{tmp_path.name} is a folder; give a clip in it"):
        clips.opened(tmp_path)
    with pytest.raises(VideoError, match="is 1 seconds long, and at most 0 are taken here"):
        clips.opened(talking, 0.1)
    with av.open(tmp_path / "sound.mp4", "w") as file:
        stream = file.add_stream("aac", rate=48_000, layout="stereo")
        for part in tone(0.5):
            file.mux(stream.encode(part))
        file.mux(stream.encode())
    with pytest.raises(VideoError, match="sound.mp4 has no picture"):
        clips.opened(tmp_path / "sound.mp4")
    content = talking.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) * 2 // 3])
    taken = clips.opened(tmp_path / "cut.mp4")  # the index is at the front
    assert 1 <= len(list(taken.read())) <= 12


def spoilt(path: Path, mark: bytes, at: int, by: bytes) -> Path:
    """The clip with its index changed: at so many bytes after a mark."""
    content = bytearray(path.read_bytes())
    place = content.index(mark) + at
    content[place : place + len(by)] = by
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("mark", "at", "by", "said"),
    [
        (b"moov", 40, b"\xff" * 360, "does not say what is in it, so it is broken or cut off; save it again as MP4"),
        (b"stco", 12, b"\x7f\xff\xff\xff", "has no frame that can be read; save it again as MP4"),  # frames are elsewhere
        (b"stsz", 12, bytes(8), "has no frame that can be read; save it again as MP4"),  # there are none
    ],
)
def test_a_broken_index_is_said(mark: bytes, at: int, by: bytes, said: str, tmp_path: Path) -> None:
    video.write(tmp_path / "broken.mp4", moving(3), FPS)
    with pytest.raises(VideoError, match=f"^broken.mp4 {said}"):
        clips.opened(spoilt(tmp_path / "broken.mp4", mark, at, by))


def test_a_clip_that_is_cut_off_ends_where_it_does_and_says_so(translator: Translator, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (20, 128, 160, 3)).astype(np.uint8)
    video.write(tmp_path / "cut.mp4", noise, FPS)  # its index comes first
    content = (tmp_path / "cut.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) // 2])
    clip_ = clips.opened(tmp_path / "cut.mp4")
    read = len(list(clip_.read()))
    assert 2 <= read < 18 and clip_.ended(read) == f"The file breaks off after {read} of 20 frames. "
    assert clip_.ended(20) == clip_.ended(19) == ""
    with av.open(str(tmp_path / "late.mp4"), "w") as file:  # its index comes last
        stream = file.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 160, 128, "yuv420p"
        for picture in noise:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode())
    content = (tmp_path / "late.mp4").read_bytes()
    (tmp_path / "late.mp4").write_bytes(content[: len(content) // 2])
    with pytest.raises(VideoError, match=r"late\.mp4 is no clip that can be read, or it is broken or cut off"):
        clips.opened(tmp_path / "late.mp4")


def test_a_clip_of_8k_is_made_smaller_while_it_is_read(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "8k.mp4"), "w") as file:
        stream = file.add_stream("libx264", rate=FPS, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 7680, 4320, "yuv420p"
        shown = FACE.resize((7680, 4320))
        for _ in range(2):
            file.mux(stream.encode(av.VideoFrame.from_image(shown)))
        file.mux(stream.encode())
    clip_ = clips.opened(tmp_path / "8k.mp4")
    frames = list(clip_.read())
    assert (clip_.width, clip_.height) == (1920, 1080) and len(frames) == 2
    wanted = np.asarray(FACE.resize((1920, 1080)), np.float32)
    assert np.abs(np.asarray(frames[1], np.float32) - wanted).mean() < 6


def test_a_clip_of_ten_minutes_is_refused_on_the_page_and_read_elsewhere(tmp_path: Path) -> None:
    shade = np.zeros((32, 32, 3), np.uint8)
    video.write(tmp_path / "long.mp4", (shade + i % 200 for i in range(600)), 1)
    with pytest.raises(VideoError, match="long.mp4 is 600 seconds long, and at most 60 are taken here; cut it, or use"):
        clips.opened(tmp_path / "long.mp4", 60)
    whole = clips.opened(tmp_path / "long.mp4")
    assert whole.frames == sum(1 for _ in whole.read()) == 600


def test_a_way_through_styles() -> None:
    styles = torch.tensor([[0.0], [1.0], [3.0]])
    assert [clip.along(styles, share).item() for share in (0, 0.25, 0.5, 0.75, 1)] == [0, 0.5, 1, 2, 3]
    assert clip.along(styles[:1], 0.7).item() == 0


def test_a_clip_that_is_stopped_before_a_face_was_seen_says_so(translator: Translator, tmp_path: Path) -> None:
    video.write(tmp_path / "late.mp4", moving(6, range(4)), FPS)
    late, out = clips.opened(tmp_path / "late.mp4"), tmp_path / "out.mp4"
    with pytest.raises(AlignError, match="it was stopped before a face was seen"):
        clip.translate(translator, late, out, torch.zeros(1, 64), watch=lambda i, _: i < 2)
    assert not (tmp_path / "out.mp4").exists()

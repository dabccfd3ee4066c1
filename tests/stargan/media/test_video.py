"""Paths through styles, and frames written as a video and read back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from material import portrait

from stargan import styles, transition
from stargan.media import images, video
from stargan.model import build
from stargan.networks import ModelConfig
from stargan.translate import Translator

A, B, C = torch.eye(3)


def test_a_path_rests_at_each_style_and_ends_on_the_last() -> None:
    path = transition.path([A, B, C], 10)
    assert path.shape == (21, 3)
    for k, style in ((0, A), (5, (A + B) / 2), (10, B), (20, C)):
        torch.testing.assert_close(path[k], style)
    steps = (path[1:] - path[:-1]).norm(dim=1)
    assert steps[0] < steps[4] / 3 and steps[9] < steps[4] / 3


def test_a_loop_goes_on_to_the_frame_before_the_first() -> None:
    path = transition.path([A, B], 10, loop=True)
    assert path.shape == (20, 3)
    torch.testing.assert_close(path[1:10], path[11:].flip(0))
    assert not torch.equal(path[-1], path[0])


@pytest.mark.parametrize("count,frames", [(0, 5), (1, 5), (2, 0)])
def test_no_path(count: int, frames: int) -> None:
    with pytest.raises(video.VideoError):
        transition.path([A] * count, frames)


def test_frames_show_source_and_translation() -> None:
    torch.manual_seed(0)
    config = ModelConfig(image_size=64, domains=("a", "b"), hidden_dim=24, base_channels=4, max_channels=16)
    model = build(config)
    translator, source = Translator(model, precision="fp32"), portrait(1, 64)
    encoded = translator.encode(source)
    path = transition.path([styles.from_seed(model, domain, 1) for domain in "ab"], 10)
    shown = list(transition.frames(translator, encoded, source, path))
    assert len(shown) == 11 and shown[0].shape == (64, 128, 3)
    assert np.array_equal(shown[0][:, :64], np.asarray(source))
    for k in (0, 10):
        plain = np.asarray(images.to_pil(translator.decode(encoded, path[k])))
        assert np.abs(shown[k][:, 64:].astype(int) - plain).max() <= 1


COLOURS = ((220, 40, 40), (40, 200, 60), (30, 60, 210), (128, 128, 128), (205, 150, 120))


@pytest.mark.parametrize("size,written", [((64, 96), (64, 96)), ((65, 33), (66, 34))])
def test_what_is_written_is_what_is_read(tmp_path: Path, size: tuple[int, int], written: tuple[int, int]) -> None:
    shown = [np.full((size[1], size[0], 3), colour, np.uint8) for colour in COLOURS]
    video.write(tmp_path / "v.mp4", shown, 25)
    with av.open(tmp_path / "v.mp4") as file:
        stream = file.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 25)
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(stream)]
    assert len(frames) == len(COLOURS) and frames[0].shape == (written[1], written[0], 3)
    for frame, colour in zip(frames, COLOURS):
        assert np.abs(frame.astype(int) - colour).max() <= 4
    content = (tmp_path / "v.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_pictures_are_frames_too(tmp_path: Path) -> None:
    video.write(tmp_path / "v.mp4", [portrait(1), portrait(2)], 30)
    with av.open(tmp_path / "v.mp4") as file:
        assert sum(1 for _ in file.decode(video=0)) == 2


def test_failures_leave_nothing_and_keep_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "v.mp4"
    target.write_bytes(b"before")

    def breaks() -> Iterator[np.ndarray]:
        yield np.zeros((64, 64, 3), np.uint8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        video.write(target, breaks(), 30)
    with pytest.raises(video.VideoError, match="no frames"):
        video.write(target, [], 30)
    with pytest.raises(video.VideoError, match="96 x 96"):
        video.write(target, [portrait(1, 64), portrait(1, 96)], 30)
    with pytest.raises(video.VideoError, match="missing"):
        video.write(tmp_path / "missing" / "v.mp4", [portrait(1, 64)], 30)
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"] and target.read_bytes() == b"before"

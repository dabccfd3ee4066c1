"""Videos from the command line: from style to style, and of a clip."""

import av
import numpy as np
import pytest
import torch
from command import refused, run
from PIL import Image
from skimage import data

from stargan import styles
from stargan.files import checkpoint
from stargan.media import images
from stargan.translate import Translator


def video(*arguments, out="out.mp4"):
    return ("video", "source.png", "--model", "small.safetensors", "--no-align", "-o", out, *arguments)


def read_video(path):
    with av.open(path) as file:
        stream = file.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        return stream.average_rate, [frame.to_ndarray(format="rgb24") for frame in file.decode(stream)]


def coarse(pixels):
    """Means of 8 x 8 px: of the noise that a small random model makes, H.264 keeps little more."""
    return pixels.reshape(8, 8, 8, 8, 3).mean((1, 3))


@pytest.mark.slow
def test_video_moves_through_styles(folder):
    result = run(
        *video("--domain", "man", "--styles", 3, "woman:4", "orc:reference.png", "--seconds", 0.5, "--fps", 10), cwd=folder
    )
    assert result.returncode == 0 and result.stdout.count("\n") == 1 and "out.mp4" in result.stdout
    rate, frames = read_video(folder / "out.mp4")
    assert rate == 10 and len(frames) == 11 and frames[0].shape == (64, 128, 3)
    model = checkpoint.load(folder / "small.safetensors")
    source, reference = (images.centre_crop(images.read(folder / name), 64) for name in ("source.png", "reference.png"))
    translator = Translator(model)
    ends = torch.stack([styles.from_seed(model, "man", 3), styles.from_reference(model, reference, "orc")])
    first, last = (coarse(np.asarray(images.to_pil(i))) for i in translator.decode(translator.encode(source), ends))
    for frame, expected, other in ((frames[0], first, last), (frames[-1], last, first)):
        assert np.abs(coarse(frame[:, 64:]) - expected).mean() < 0.5 * np.abs(coarse(frame[:, 64:]) - other).mean()
    assert np.abs(frames[0][:, 64:].astype(int) - frames[5][:, 64:]).mean() > 8


def test_video_of_a_clip(folder, call):
    from stargan.media import clips, video

    face = Image.fromarray(data.astronaut()).resize((256, 256))
    video.write(folder / "clip.mp4", [face] * 4, 10)
    common = ("video", "--from", "clip.mp4", "--model", "small.safetensors", "--no-masks", "--styles", "man:1", "woman:2")
    result = call(*common, "--paste", "-o", "made.mp4")
    assert "a face in 4 of 4 frames, made" in result.stdout, result.stderr
    made = clips.opened(folder / "made.mp4")
    assert (made.width, made.height, made.fps, len(list(made.read()))) == (256, 256, 10, 4)
    assert call(*common, "-o", "square.mp4").returncode == 0
    assert clips.opened(folder / "square.mp4").width == 64
    for more, said in (
        (("--face", 2), "there is no face 2 in the first frame that shows one: 1 face was found; choose another number"),
        (("--fps", 5), "a clip keeps its length and its frames a second; leave --seconds and --fps out"),
        (("--seconds", 9), "leave --seconds and --fps out"),
    ):
        result = call(*common, *more, "-o", "other.mp4")
        assert result.returncode == 2 and said in result.stderr and not (folder / "other.mp4").exists()
    assert (
        "give a picture before the options, or after --, or a clip with --from"
        in call("video", "--styles", "man:1", "-o", "none.mp4").stderr
    )


def test_psi_is_the_strength_of_references_in_a_video(folder, call):
    styles = "--styles", "man:reference.png", "man:source.png"
    result = call(*video(*styles, "--psi", 0, "--seconds", 0.3, "--fps", 10, out="mean.mp4"))
    assert result.returncode == 0, result.stderr
    first, *_, last = read_video(folder / "mean.mp4")[1]
    assert np.abs(coarse(first[:, 64:]) - coarse(last[:, 64:])).mean() < 1, "both are the mean style"


def test_video_loops(folder, call):
    result = call(*video("--domain", "man", "--styles", 1, 2, "--seconds", 0.3, "--fps", 10, "--loop", out="loop.mp4"))
    assert result.returncode == 0 and len(read_video(folder / "loop.mp4")[1]) == 6


@pytest.mark.parametrize(
    "arguments,out,words",
    [
        (("--domain", "man", "--styles", "1"), "v.mp4", ["two styles"]),
        (("--styles", "1", "2"), "v.mp4", ["--domain", "man:1"]),
        (("--styles", "man:1", "elf:2"), "v.mp4", ["elf:2", "man, orc, woman"]),
        (("--styles", "man:1", "man:nowhere.png"), "v.mp4", ["nowhere.png"]),
        (("--styles", "man:1", "man:text.png"), "v.mp4", ["text.png"]),
        (("--styles", "man:1", f"man:{2**63}"), "v.mp4", ["seed"]),
        (("--domain", "elf", "--styles", "1", "2"), "v.mp4", ["elf"]),
        (("--styles", "man:1", "orc:1", "--seconds", "0"), "v.mp4", ["--seconds"]),
        (("--styles", "man:1", "orc:1", "--fps", "0"), "v.mp4", ["--fps"]),
        (("--styles", "man:reference.png", "orc:reference.png", "--psi", "2.3"), "v.mp4", ["--psi"]),
        (("--styles", "man:1", "orc:1"), "v.gif", [".mp4"]),
        (("--styles", "man:1", "orc:1"), "missing/v.mp4", ["missing"]),
    ],
)
def test_bad_video_is_one_sentence(folder, call, arguments, out, words):
    refused(call(*video(*arguments, out=out)), *words)
    assert not (folder / "v.mp4").exists()

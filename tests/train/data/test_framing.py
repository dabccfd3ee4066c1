"""The frame of training pictures: measured where it is another, written with the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from material import portrait
from PIL import Image
from skimage import data as samples

from stargan.faces import align as align_module
from stargan.faces.align import align
from stargan.faces.find import find
from stargan.faces.frame import mean_landmarks
from stargan.files import checkpoint
from stargan.model import build
from stargan.networks import ModelConfig
from train import config
from train.cli.main import main
from train.data import Pictures, framing, own
from train.run import loop

OTHER = mean_landmarks() * 0.7 + [0.2, 0.05]
SETTINGS = {"name": "tiny", "domains": ["cold", "warm"], "image_size": 64, "base_channels": 4, "max_channels": 8, "batch": 2}


def pictures(*squares: Image.Image) -> Pictures:
    pixels = np.stack([np.asarray(square) for square in squares])
    return Pictures(pixels, np.zeros(len(squares), np.int64), ("a",), tuple(f"a/{i}" for i in range(len(squares))))


def test_the_frame_is_that_of_the_pictures_where_it_is_another() -> None:
    astronaut = Image.fromarray(samples.astronaut())
    noise = [portrait(i, 160) for i in range(3)]
    other, usual = (align(astronaut, 160, frame=f).image for f in (OTHER, None))
    found = framing.frame(pictures(other, other, noise[0]))
    assert np.abs(found - OTHER)[17:].mean() < 0.02 < np.abs(found - mean_landmarks())[17:].mean()
    for known in (pictures(usual, usual, noise[0]), pictures(other, *noise)):
        assert np.array_equal(framing.frame(known), mean_landmarks())
    origin = build(ModelConfig(image_size=64, domains=("a",), base_channels=4, max_channels=8, hidden_dim=16))
    origin.frame = OTHER + 0.001
    assert np.array_equal(framing.frame(pictures(*noise), origin), origin.frame)
    assert np.array_equal(framing.frame(pictures(other), origin), origin.frame)


@pytest.mark.parametrize("w_hpf", [0.0, 1.0])
def test_a_run_writes_it_with_the_model(
    picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, w_hpf: float
) -> None:
    monkeypatch.setattr(framing, "frame", lambda pictures, origin: OTHER)
    more = {"data": str(picture_folder), "runs": str(tmp_path), "iterations": 1, "w_hpf": w_hpf}
    loop.fit(config.from_mapping(SETTINGS | more))
    for name in ("model.safetensors", "checkpoint-0000001.pt"):
        read = checkpoint.load(tmp_path / "tiny" / name)
        # A model without a FAN aligns nothing.
        assert (read.frame is not None and np.array_equal(read.frame, OTHER)) if w_hpf else read.frame is None


@pytest.mark.parametrize("aligner", ["fan-68", "face_alignment"])
def test_what_aligned_the_pictures_goes_with_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aligner: str) -> None:
    class FaceAlignment:
        @staticmethod
        def get_landmarks_from_image(rgb: np.ndarray) -> list[np.ndarray]:
            return [face.landmarks for face in find(Image.fromarray(rgb))]

    for module in (align_module, own):
        monkeypatch.setattr(module, "load_face_alignment", FaceAlignment)
    head = Image.fromarray(samples.astronaut()).crop((100, 0, 350, 250))
    for domain in SETTINGS["domains"]:
        (tmp_path / "source" / domain).mkdir(parents=True)
        for i in range(4):
            head.rotate(3 * i).save(tmp_path / "source" / domain / f"{i}.png")
    prepare = ["prepare", "folder", "--from", str(tmp_path / "source"), "--to", str(tmp_path / "data"), "--size", "64", "--align"]
    assert main(prepare + (["--aligner", aligner] if aligner != "fan-68" else [])) == 0
    assert framing.aligner(tmp_path / "data") == aligner
    more = {"data": str(tmp_path / "data"), "runs": str(tmp_path / "runs"), "iterations": 1, "w_hpf": 0.0}
    loop.fit(config.from_mapping(SETTINGS | more))
    for name in ("model.safetensors", "checkpoint-0000001.pt"):
        read = checkpoint.load(tmp_path / "runs" / "tiny" / name)
        assert read.aligner == aligner and read.fan is None and read.frame is not None


def test_an_aligner_goes_with_alignment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare = ["prepare", "folder", "--from", str(tmp_path), "--to", str(tmp_path / "out"), "--size", "64"]
    assert main([*prepare, "--aligner", "fan-68"]) == 2
    assert "--aligner goes with --align" in capsys.readouterr().err


def test_a_folder_that_says_something_else_says_nothing(tmp_path: Path) -> None:
    assert framing.aligner(tmp_path) is None
    (tmp_path / framing.ALIGNED).write_bytes(b"\xff\xfe")
    assert framing.aligner(tmp_path) is None
    (tmp_path / framing.ALIGNED).write_text("dlib")
    assert framing.aligner(tmp_path) is None

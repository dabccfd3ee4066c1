"""The frame of training pictures: measured where it is another, written with the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from material import portrait
from PIL import Image
from skimage import data as samples

from stargan.faces.align import align
from stargan.faces.frame import mean_landmarks
from stargan.files import checkpoint
from stargan.model import build
from stargan.networks import ModelConfig
from train import config
from train.data import Pictures, framing
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

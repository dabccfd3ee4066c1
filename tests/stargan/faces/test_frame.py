"""How faces lie in a model's squares: stored with it, and followed by whatever cuts squares or puts them back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from material import TINY_FAN
from PIL import Image
from skimage import data

from stargan import bulk
from stargan.faces.frame import frame_of, mean_landmarks
from stargan.faces.squares import put_back, squares
from stargan.faces.track import Tracker
from stargan.files import checkpoint
from stargan.model import Model, build
from stargan.networks import ModelConfig

SIDE = 64
# Half as large, and further up to the left.
OTHER = mean_landmarks() * 0.5 + [0.1, 0.05]


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    return Image.fromarray(data.astronaut())


def model(frame: np.ndarray | None = OTHER) -> Model:
    made = build(ModelConfig(image_size=SIDE, domains=("a", "b"), base_channels=4, max_channels=8, hidden_dim=16), TINY_FAN)
    made.frame = frame
    return made


def changed(path: Path, frame: str) -> Path:
    """The model file with that in its metadata."""
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata()
    safetensors.torch.save_file(safetensors.torch.load_file(path), path, metadata | {"frame": frame})
    return path


def test_a_model_keeps_its_frame(tmp_path: Path) -> None:
    checkpoint.save(model(), tmp_path / "m.safetensors")
    read = checkpoint.load(tmp_path / "m.safetensors")
    assert read.frame is not None and np.array_equal(read.frame, OTHER) and frame_of(read) is read.frame
    checkpoint.save(model(None), tmp_path / "old.safetensors")
    with safetensors.safe_open(tmp_path / "old.safetensors", "pt") as file:
        assert "frame" not in file.metadata()
    old = checkpoint.load(tmp_path / "old.safetensors")
    assert old.frame is None and np.array_equal(frame_of(old), mean_landmarks())


@pytest.mark.parametrize(
    "frame",
    ["", "[", "7", "[[0.5, 0.5]]", '"all"', json.dumps([[0.5, 0.5]] * 68), json.dumps((OTHER * 1e9).tolist()), "[[NaN, 0]]"]
    + [json.dumps(OTHER.tolist()).replace("0.", "true", 1)],
)
def test_a_frame_that_is_none_is_refused(tmp_path: Path, frame: str) -> None:
    checkpoint.save(model(), tmp_path / "m.safetensors")
    with pytest.raises(checkpoint.CheckpointError, match="the frame of .*m.safetensors is no 68 places of landmarks in a square"):
        checkpoint.load(changed(tmp_path / "m.safetensors", frame))


def test_a_runs_checkpoint_brings_its_frame(tmp_path: Path) -> None:
    networks = {f"{name}": net.state_dict() for name, net in model().networks.items()}
    run = {"domains": ["a", "b"], "name": "mine"}
    for frame in (OTHER.tolist(), None):
        torch.save({"averaged": networks, "run": run | {"frame": frame}}, tmp_path / "checkpoint-1.pt")
        assert (checkpoint.load(tmp_path / "checkpoint-1.pt").frame is None) == (frame is None)
    torch.save({"averaged": networks, "run": run | {"frame": [1, 2]}}, tmp_path / "checkpoint-1.pt")
    with pytest.raises(checkpoint.CheckpointError, match="is no 68 places"):
        checkpoint.load(tmp_path / "checkpoint-1.pt")


def test_squares_are_cut_and_put_back_by_it(astronaut: Image.Image) -> None:
    ((cut,), _), ((usual,), _) = (squares(astronaut, 4 * SIDE, "fan-68", frame=f) for f in (OTHER, None))
    assert cut.landmarks is not None and np.allclose(cut.landmarks, usual.landmarks)
    # The usual square lies small in the other one.
    small = cut.image.crop((round(0.4 * SIDE), round(0.2 * SIDE), round(2.4 * SIDE), round(2.2 * SIDE)))
    wanted = usual.image.resize(small.size, Image.Resampling.BOX)
    assert np.abs(np.asarray(small, float) - np.asarray(wanted)).mean() < 6
    assert np.abs(np.asarray(cut.image, float) - usual.image).mean() > 6
    # What was cut out fits where it came from.
    again = np.asarray(put_back(astronaut, [cut], [cut.image]), float)
    assert np.abs(again - np.asarray(astronaut)).mean() < 1
    marked = np.asarray(put_back(astronaut, [cut], [Image.new("RGB", cut.image.size)]), float)
    moved = np.abs(marked - np.asarray(astronaut)).sum(2)
    centre = np.argwhere(moved > moved.max() / 4).mean(0)[::-1]
    assert np.linalg.norm(centre - usual.landmarks[17:].mean(0)) < 40


def test_clips_and_folders_follow_it(astronaut: Image.Image) -> None:
    (cut,), _ = squares(astronaut, SIDE, "fan-68", frame=OTHER)
    tracked = Tracker().align(astronaut, SIDE, OTHER)
    assert tracked is not None and np.abs(np.asarray(tracked[0], float) - cut.image).mean() < 1
    image, _ = bulk.square(astronaut, model(), "fan-68")
    assert np.array_equal(image, cut.image)

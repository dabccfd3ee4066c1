"""The training of the face alignment network."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from stargan.faces.frame import mean_landmarks
from stargan.fan import landmarks_from_heatmaps
from stargan.files import checkpoint
from train import data, fan
from train.__main__ import main
from train.config import TrainingError

# The 68-point FAN


def test_augmented_landmarks_follow_the_picture() -> None:
    rng = np.random.default_rng(3)
    points = torch.from_numpy(mean_landmarks()).float().expand(24, -1, -1) * 0.6 + torch.rand(24, 1, 2) * 0.2 + 0.1
    side = 160
    # One bright dot, at landmark 30 (the tip of the nose, its own mirror image), in a dark picture.
    cells = (torch.arange(side) + 0.5) / side
    x0, y0 = points[:, 30, 0, None, None], points[:, 30, 1, None, None]
    dot = torch.exp(-((cells - x0) ** 2 + (cells[:, None] - y0) ** 2) / (2 * 0.04**2)) * 2 - 1
    out, moved = fan.augment(dot[:, None].expand(-1, 3, -1, -1), points, 128, rng)
    assert out.shape == (24, 3, 128, 128) and out.abs().max() <= 1
    followed = 0
    for picture, place in zip(out, moved[:, 30], strict=True):
        bright = torch.nn.functional.avg_pool2d(picture.mean(0, keepdim=True), 5, 1, 2)[0]
        row, column = divmod(int(bright.argmax()), 128)
        followed += bool(abs(column / 128 - place[0]) < 0.06 and abs(row / 128 - place[1]) < 0.06)
    # In some the dot is covered, or what covers is brighter.
    assert followed >= 14
    # Most of the faces are near the middle, at about their size in an aligned square.
    eyes = (moved[:, 36] - moved[:, 45]).norm(dim=-1)
    assert 0.2 < eyes.median() < 0.5 and (moved[:, 30] - 0.6).abs().median() < 0.15


def test_frames_take_the_aligned_square_to_the_face() -> None:
    turn = torch.tensor([[0.3, -0.2], [0.2, 0.3]])
    points = torch.from_numpy(mean_landmarks()).float() @ turn.T + torch.tensor([0.5, 0.2])
    matrix = torch.from_numpy(fan.frames(points[None])[0]).float()
    found = (torch.from_numpy(mean_landmarks()).float() * 2 - 1) @ matrix[:, :2].T + matrix[:, 2]
    torch.testing.assert_close(found * 0.5 + 0.5, points, atol=1e-5, rtol=0)


def test_mirrored_landmarks_come_back() -> None:
    assert sorted(fan.MIRROR) == list(range(68))
    assert (fan.MIRROR[fan.MIRROR] == np.arange(68)).all()
    assert fan.MIRROR[36] == 45 and fan.MIRROR[48] == 54 and fan.MIRROR[0] == 16 and fan.MIRROR[8] == 8


def test_landmarks_survive_the_way_through_heatmaps() -> None:
    points = torch.rand(3, 68, 2) * 0.8 + 0.1
    found = landmarks_from_heatmaps(fan.target_heatmaps(points, 32))
    assert (found - points).abs().max() < 0.25 / 32


@pytest.mark.slow
def test_a_fan_run_goes_on_where_it_was_stopped(picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fan, "KEEP_EVERY", 2)
    settings = fan.FANTraining((picture_folder,), tmp_path / "fan.safetensors", steps=3, batch=2)
    augment, calls = fan.augment, 0

    def killed(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return augment(*args)

    monkeypatch.setattr(fan, "augment", killed)
    with pytest.raises(KeyboardInterrupt):
        fan.fit(settings)
    for changed, named in (({"steps": 2}, "--steps"), ({"data": (picture_folder, picture_folder), "lr": 1.0}, "--data and --lr")):
        with pytest.raises(TrainingError, match=f"stopped at step 2, and that had another {named}; put that back"):
            fan.fit(dataclasses.replace(settings, **changed))
    error = fan.fit(settings)
    assert calls == 4 and np.isfinite(error) and error > 0
    assert checkpoint.load_fan(settings.out).config == fan.NETWORK
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["fan.safetensors"]
    longer = dataclasses.replace(settings, out=tmp_path / "more.safetensors", start=settings.out, steps=1)
    assert np.isfinite(fan.fit(longer))


def test_landmarks_that_do_not_go_with_the_pictures_are_named(picture_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(data.DataError, match="neither landmarks-train.npz nor landmarks.npz"):
        fan.load(tmp_path, "train", tmp_path / "cache")
    (tmp_path / "train").mkdir()
    points = np.zeros((1, 68, 2), np.float32)
    np.savez(tmp_path / "landmarks-train.npz", names=np.array(["lost"]), points=points)
    with pytest.raises(data.DataError, match="not there is train/lost"):
        fan.load(tmp_path, "train", tmp_path / "cache")
    Image.new("RGB", (50, 50)).save(tmp_path / "train" / "lost.png")
    assert fan.load(tmp_path, "train", tmp_path / "cache").points.shape == (1, 68, 2)


def test_a_fan_is_written_to_a_name_that_says_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fan", "--data", str(tmp_path), "--out", str(tmp_path / "fan.pt")]) == 2
    assert "fan.pt; give the name of a file that ends in .safetensors" in capsys.readouterr().err

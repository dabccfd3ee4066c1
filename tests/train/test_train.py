"""Data, configuration and the run itself: resume, stop, bad input."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from material import portrait
from PIL import Image

from stargan.faces.frame import mean_landmarks
from stargan.fan import landmarks_from_heatmaps
from stargan.files import checkpoint, places
from stargan.files.checkpoint import CheckpointError
from train import config, data, fan
from train.run import loop
from train.step.batch import sample_batch
from train.step.state import State
from train.step.update import iterate

ROOT = places.ROOT


def settings(pictures: Path, runs: Path, **changes: object) -> config.TrainConfig:
    values = {
        "name": "tiny",
        "data": str(pictures),
        "runs": str(runs),
        "domains": ["cold", "warm"],
        "image_size": 64,
        "base_channels": 4,
        "max_channels": 8,
        "batch": 2,
        "iterations": 4,
        "save_every": 2,
        "sample_every": 4,
        "r1_every": 2,
        "diff_augment": True,
        "alternate": True,
        "ema_warmup": True,
    }
    return config.from_mapping(values | changes)


def test_a_resumed_run_ends_with_the_same_weights(picture_folder: Path, tmp_path: Path) -> None:
    whole = loop.fit(settings(picture_folder, tmp_path / "a"))
    loop.fit(settings(picture_folder, tmp_path / "b", iterations=3))
    resumed = loop.fit(settings(picture_folder, tmp_path / "b"))
    assert whole.iteration == resumed.iteration == 4
    for name, net in (whole.networks | {f"averaged {k}": v for k, v in whole.averaged.items()}).items():
        other = resumed.averaged[name[9:]] if name.startswith("averaged") else resumed.networks[name]
        for key, value in net.state_dict().items():
            assert torch.equal(value, other.state_dict()[key]), f"{name}.{key}"


def test_a_run_leaves_what_is_needed_to_use_it(picture_folder: Path, tmp_path: Path) -> None:
    seen = []
    state = loop.fit(settings(picture_folder, tmp_path, keep=1), on_step=lambda i, found: seen.append((i, found)))
    folder = tmp_path / "tiny"
    assert [p.name for p in sorted(folder.glob("checkpoint-*"))] == ["checkpoint-0000004.pt"]
    assert (folder / "samples" / "0000004.png").stat().st_size > 1000
    assert json.loads((folder / "config.json").read_text())["domains"] == ["cold", "warm"]
    model = checkpoint.load(folder / "model.safetensors")
    torch.testing.assert_close(model.generator.from_rgb.weight, state.averaged["generator"].from_rgb.weight, atol=1e-3, rtol=1e-3)
    assert model.config.domains == ("cold", "warm") and model.fan is not None
    assert [i for i, _ in seen] == [1, 2, 3, 4]
    assert {"D/latent_real", "G/latent_cyc"} <= seen[0][1].keys() and {"D/ref_real", "G/ref_sty"} <= seen[1][1].keys()
    assert all(np.isfinite(list(found.values())).all() for _, found in seen)


def test_training_changes_the_averaged_networks_too(picture_folder: Path, tmp_path: Path) -> None:
    start = State(settings(picture_folder, tmp_path), None).averaged["generator"].from_rgb.weight.clone()
    state = loop.fit(settings(picture_folder, tmp_path, w_hpf=0.0))
    assert not torch.equal(start, state.averaged["generator"].from_rgb.weight)
    assert not torch.equal(state.averaged["generator"].from_rgb.weight, state.generator.from_rgb.weight)


def test_sigterm_saves_and_a_second_call_continues(picture_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        f"name: tiny\ndata: {picture_folder}\nruns: {tmp_path}\ndomains: [cold, warm]\nimage_size: 64\n"
        "base_channels: 4\nmax_channels: 8\nbatch: 2\niterations: 100000\nlog_every: 2\n"
    )
    command = [sys.executable, "-m", "train", "fit", "--config", str(tmp_path / "c.yaml")]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    log, deadline = tmp_path / "tiny" / "log.jsonl", time.monotonic() + 120
    while time.monotonic() < deadline and not (log.exists() and log.read_text()):
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    (saved,) = (tmp_path / "tiny").glob("checkpoint-*.pt")
    done = int(saved.stem.rpartition("-")[2])
    assert done >= 2
    ended = subprocess.run([*command, "--set", f"iterations={done + 1}"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "tiny" / f"checkpoint-{done + 1:07d}.pt").exists()


def test_a_checkpoint_of_other_shape_is_refused(picture_folder: Path, tmp_path: Path) -> None:
    loop.fit(settings(picture_folder, tmp_path, iterations=1))
    with pytest.raises(CheckpointError, match=r"checkpoint-0000001\.pt does not continue this run"):
        loop.fit(settings(picture_folder, tmp_path, iterations=2, max_channels=16))


def test_both_kinds_in_an_iteration_or_one_in_turn(picture_folder: Path, tmp_path: Path) -> None:
    pictures = data.load(picture_folder, "train", 80, tmp_path)
    for alternate, wanted in ((True, ({"latent"}, {"ref"})), (False, ({"latent", "ref"},) * 2)):
        state = State(settings(picture_folder, tmp_path, alternate=alternate, w_hpf=0.0), None)
        for kinds in wanted:
            found = iterate(state, sample_batch(state.config, pictures, state.iteration))
            assert {k.split("/")[1].split("_")[0] for k in found} - {"lambda"} == kinds


def test_the_weight_of_diversity_falls_to_its_floor(picture_folder: Path, tmp_path: Path) -> None:
    state = State(settings(picture_folder, tmp_path, lambda_ds=2.0, ds_floor=0.5, ds_iterations=10), None)
    found = []
    for state.iteration in (0, 5, 10, 50):
        found.append(state.lambda_ds)
    assert found == [2.0, 1.25, 0.5, 0.5]


# Data


def test_pictures_are_decoded_once(picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = data.load(picture_folder, "train", 32, tmp_path)
    assert first.pixels.shape == (8, 32, 32, 3) and first.domains == ("cold", "warm")
    assert first.batch([0, 7]).shape == (2, 3, 32, 32) and first.batch([0]).abs().max() <= 1
    monkeypatch.setattr(data.images, "read", lambda _: pytest.fail("decoded again"))
    second = data.load(picture_folder, "train", 32, tmp_path)
    assert np.array_equal(first.pixels, second.pixels)


def test_a_changed_folder_is_decoded_again(picture_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(picture_folder, tmp_path / "data")
    assert len(data.load(tmp_path / "data", "val", 32, tmp_path / "cache").names) == 8
    portrait(99).save(tmp_path / "data" / "val" / "warm" / "9.png")
    assert len(data.load(tmp_path / "data", "val", 32, tmp_path / "cache").names) == 9


def test_bad_folders_are_named(picture_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(data.DataError, match="no folder in .*train"):
        data.load(tmp_path, "train", 32, tmp_path / "cache")
    with pytest.raises(data.DataError, match="no folder for hot; it has cold, warm"):
        data.load(picture_folder, "train", 32, tmp_path / "cache", ["cold", "hot"])
    shutil.copytree(picture_folder, tmp_path / "data")
    broken = tmp_path / "data" / "train" / "cold" / "2.png"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(data.DataError, match=r"2\.png"):
        data.load(tmp_path / "data", "train", 32, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*"))
    for picture in list((tmp_path / "data" / "train" / "cold").iterdir())[1:]:
        picture.unlink()
    with pytest.raises(data.DataError, match="cold has 1 picture; a domain needs at least two"):
        data.load(tmp_path / "data", "train", 32, tmp_path / "cache")


def test_sampling_is_balanced_and_seeded(picture_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(picture_folder, tmp_path / "data")
    for i in range(30):
        portrait(200 + i, 40).save(tmp_path / "data" / "train" / "warm" / f"more{i}.png")
    pictures = data.load(tmp_path / "data", "train", 32, tmp_path / "cache")
    domain, first, second = data.pairs(pictures, 400, np.random.default_rng(0))
    assert 160 < (domain == 0).sum() < 240
    assert (pictures.domain[first] == domain).all() and (pictures.domain[second] == domain).all()
    assert (first != second).all()
    again = data.pairs(pictures, 400, np.random.default_rng(0))
    assert all(np.array_equal(a, b) for a, b in zip((domain, first, second), again, strict=True))


def test_random_crops_show_at_least_most_of_the_picture() -> None:
    ramp = torch.linspace(-1, 1, 80).expand(64, 3, 80, 80).contiguous()
    out = data.random_crop(ramp, 64, np.random.default_rng(0))
    assert out.shape == (64, 3, 64, 64)
    spans = (out[:, 0, 32, -1] - out[:, 0, 32, 0]) / 2
    flipped = spans < 0
    assert 16 < flipped.sum() < 48
    assert spans.abs().min() > 0.75 and spans.abs().max() <= 1.0
    assert 10 < (spans.abs() > 0.96).sum() < 54


# Configuration


def test_the_bundled_configurations_are_valid() -> None:
    for path in (ROOT / "train" / "configs").glob("*.yaml"):
        settings = config.read(path, ["domains=[a, b]"])
        assert settings.model.image_size >= 64 and settings.name == path.stem


def test_a_wrong_configuration_says_what_is_wrong(tmp_path: Path) -> None:
    base = {"domains": ["a", "b"]}
    with pytest.raises(config.ConfigError, match="'lamda_ds'; did you mean 'lambda_ds'"):
        config.from_mapping(base | {"lamda_ds": 1})
    with pytest.raises(config.ConfigError, match="batch is 'eight'"):
        config.from_mapping(base | {"batch": "eight"})
    with pytest.raises(config.ConfigError, match="batch is 0"):
        config.from_mapping(base | {"batch": 0})
    with pytest.raises(config.ConfigError, match="precision is 'fp8'"):
        config.from_mapping(base | {"precision": "fp8"})
    with pytest.raises(ValueError, match="image_size is 100"):
        _ = config.from_mapping(base | {"image_size": 100}).model
    path = tmp_path / "c.yaml"
    path.write_text("domains: [a, b]\nlr: 1e-3\n")
    assert config.read(path, ["batch=3", "betas=[0.5, 0.9]"]) == config.TrainConfig(
        domains=("a", "b"), lr=1e-3, batch=3, betas=(0.5, 0.9)
    )
    with pytest.raises(config.ConfigError, match="no '='"):
        config.read(path, ["batch"])
    path.write_text("[: x")
    with pytest.raises(config.ConfigError, match="YAML"):
        config.read(path)


def test_command_line_errors_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("domains: [a, b]\nbatchsize: 3\n")
    command = [sys.executable, "-m", "train", "fit", "--config", str(tmp_path / "c.yaml")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert ended.stderr.strip() == "python -m train fit: there is no setting 'batchsize'; did you mean 'batch'?"


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

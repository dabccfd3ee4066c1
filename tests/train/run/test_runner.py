"""Runs that are started, watched and stopped through their folders."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, cast

import pytest
from material import portrait

from stargan import zoo
from stargan.files import checkpoint
from stargan.model import build
from stargan.networks import ModelConfig
from tests.processes import Process, as_here, forked
from train import config, log
from train.config import TrainingError
from train.run import loop
from train.run.lock import alone, trained_by
from train.run.runner import Runner

TINY = {"image_size": 64, "base_channels": 4, "max_channels": 8, "w_hpf": 0.0, "batch": 2, "save_every": 2, "sample_every": 2}


@pytest.fixture
def runner(picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Its processes begin with the libraries read; fresh ones are those of the page in test_train_tab.py."""

    def begun(command: list[str], cwd: Path, stdout: BinaryIO, **_: object) -> Process:
        assert command[0] == sys.executable
        return forked(command[1:], cwd, as_here(os.environ), Path(stdout.name), Path(stdout.name))

    monkeypatch.setattr("train.run.runner.subprocess.Popen", begun)
    return Runner(tmp_path / "runs", picture_folder)


def until(runner: Runner, name: str, *states: str) -> str:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if (state := runner.progress(name).state) in states:
            return state
        time.sleep(0.2)
    raise AssertionError(f"{name} is still {state}:\n{(runner.runs / name / 'output.txt').read_text()}")


def test_short_runs_have_curves_too(runner: Runner, picture_folder: Path) -> None:
    often = [runner.settings("mine", picture_folder, **TINY, iterations=count).log_every for count in (1, 4, 60, 100, 2000)]
    assert often == [1, 1, 3, 5, 5]


@pytest.mark.slow
def test_a_run_is_watched_stopped_and_continued(runner: Runner, picture_folder: Path) -> None:
    assert runner.datasets() == {picture_folder.name: picture_folder}
    settings = runner.settings("mine", picture_folder, iterations=100_000, **TINY)
    runner.start(settings)
    with pytest.raises(TrainingError, match="'mine' is being trained"):
        runner.start(runner.settings("other", picture_folder, **TINY))
    assert until(runner, "mine", "running", "failed") == "running"
    # Another page knows of it, and can stop it.
    elsewhere = Runner(runner.runs, picture_folder)
    assert elsewhere.busy() == "mine" and not elsewhere.progress("mine").push
    deadline = time.monotonic() + 60
    while not elsewhere.progress("mine").curves and time.monotonic() < deadline:
        time.sleep(0.2)
    elsewhere.stop("mine")
    assert until(runner, "mine", "stopped", "failed") == "stopped"
    stopped = runner.progress("mine")
    assert stopped.iteration > 0 and stopped.sheet is not None and stopped.sheet.exists()
    assert stopped.push == "python -m stargan push mine USER/mine --licence 'CC BY 4.0'"
    assert {loss for _, loss, _ in stopped.curves} == {"discriminator", "adversarial", "style", "diversity", "cycle"}
    assert checkpoint.load(runner.runs / "mine" / "model.safetensors").config.domains == ("cold", "warm")

    with pytest.raises(TrainingError, match="iterations already"):
        runner.resume("mine", stopped.iteration)
    runner.resume("mine", stopped.iteration + 2)
    assert until(runner, "mine", "done", "failed") == "done"
    assert runner.progress("mine").iteration == stopped.iteration + 2
    with pytest.raises(TrainingError, match="mine is not being trained"):
        runner.stop("mine")
    runner.start(runner.settings("brief", picture_folder, **TINY))
    runner.stop("brief")
    assert until(runner, "brief", "stopped", "failed", "done") == "stopped", "before it had begun"


@pytest.mark.slow
def test_a_run_that_fails_says_why(runner: Runner, picture_folder: Path, tmp_path: Path) -> None:
    settings = runner.settings("mine", picture_folder, **TINY)
    runner.start(config.from_mapping(json.loads(json.dumps(settings.__dict__)) | {"data": str(tmp_path / "gone")}))
    assert until(runner, "mine", "failed", "done") == "failed"
    assert "there is no folder" in runner.progress("mine").message or "no folder for" in runner.progress("mine").message


@pytest.mark.parametrize(("code", "state"), [(0, "stopped"), (130, "stopped"), (1, "failed")])
def test_a_run_that_was_interrupted_has_not_failed(runner: Runner, code: int, state: str) -> None:
    (runner.runs / "mine").mkdir(parents=True)
    (runner.runs / "mine" / "config.json").write_text("{}")
    runner._name, runner._process = "mine", cast(Any, SimpleNamespace(returncode=code, poll=lambda: code))
    assert runner.progress("mine").state == state


def test_names_that_cannot_be_used(runner: Runner, picture_folder: Path) -> None:
    refused = {"": "no name yet", "../up": "cannot be", ".hidden": "cannot be", zoo.DEFAULT: "another model's name"}
    refused |= {"afhq-256": "another model's name", "cache": "a folder of another kind", "train": "a folder of another kind"}
    for name, words in refused.items():
        with pytest.raises(config.ConfigError, match=words):
            runner.settings(name, picture_folder)
    with pytest.raises(TrainingError, match=r"there is no run '\.\./\.\.'"):
        runner.progress("../..")


def test_a_run_from_a_model_has_its_shape_and_its_licence(runner: Runner, picture_folder: Path, tmp_path: Path) -> None:
    shape = ModelConfig(image_size=64, domains=("a", "b", "c"), w_hpf=0, base_channels=4, max_channels=8, last_shortcut=True)
    shape = dataclasses.replace(shape, subsampled_chroma=True, style_dim=32, latent_dim=8, hidden_dim=24)
    checkpoint.save(build(shape, name="start", licence="CC BY-NC 4.0"), tmp_path / "start.safetensors")
    start = str(tmp_path / "start.safetensors")
    settings = runner.settings("mine", picture_folder, init_from=start, iterations=1, batch=2)
    assert (settings.image_size, settings.base_channels, settings.max_channels, settings.w_hpf) == (64, 4, 8, 0.0)
    assert settings.last_shortcut and settings.subsampled_chroma
    loop.fit(settings)
    assert checkpoint.load(runner.runs / "mine" / "model.safetensors").licence == "CC BY-NC 4.0"


@pytest.mark.slow
def test_one_process_trains_a_run(runner: Runner, picture_folder: Path) -> None:
    settings = runner.settings("mine", picture_folder, iterations=1, **TINY)
    assert trained_by(settings.folder) is None
    with alone(settings.folder):
        assert trained_by(settings.folder) == os.getpid()
        with pytest.raises(TrainingError, match="being trained by another process"):
            loop.fit(settings)
    assert trained_by(settings.folder) is None
    # A killed process leaves its number behind, but holds nothing.
    (settings.folder / "pid").write_text("1")
    assert trained_by(settings.folder) is None
    assert loop.fit(settings).iteration == 1


def test_a_run_whose_folder_became_read_only_can_be_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pid").write_text("1")

    def refused(path: str, flags: int, mode: int = 0o777) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    monkeypatch.setattr(os, "open", refused)
    assert trained_by(tmp_path) is None


def test_a_log_of_several_calls_is_read_as_one_run(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    told = [(5, 10.0), (10, 20.0), (15, 30.0), (10, 1.0), (15, 3.0), (20, 5.0)]
    lines = [json.dumps({"iteration": i, "seconds": s, "G/latent_adv": 1.0}) for i, s in told]
    path.write_text("\n".join([*lines[:2], json.dumps({"iteration": 10, "score": 1.0}), *lines[2:], '{"iteration": 25, "sec']))
    found = log.read(path)
    assert [(line["iteration"], line["seconds"]) for line in found] == [(5, 10.0), *told[3:]]
    assert log.rate(found) == pytest.approx(10 / 4)
    assert log.rate(found[:1]) is None and log.read(tmp_path / "none") == []


def test_names_in_any_letters_come_to_the_run(runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "Bilder 😀 ü"
    for split in ("train", "val"):
        for domain in ("😀", "ü"):
            (folder / split / domain).mkdir(parents=True)
            for i in range(2):
                portrait(i, 64).save(folder / split / domain / f"{i}.png")
    started = SimpleNamespace(pid=os.getpid(), poll=lambda: 0)
    monkeypatch.setattr("train.run.runner.subprocess.Popen", lambda *arguments, **options: started)
    monkeypatch.setattr("stargan.priority.PRIORITY", 0)
    settings = runner.settings("mine", folder, **TINY)
    runner.start(settings)
    assert config.read(runner.runs / "mine" / "config.json") == settings

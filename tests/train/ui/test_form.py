"""What is asked for on the Train tab, as a run's settings."""

from __future__ import annotations

import dataclasses
import errno
from pathlib import Path

import gradio as gr
import pytest

from stargan.files import checkpoint
from stargan.model import build
from stargan.networks import ModelConfig
from train.config import TrainConfig
from train.data import own
from train.run.runner import Runner
from train.ui.form import FOLDER, NOTHING, ZIP, Form

ASKED = {"kind": FOLDER, "archive": None, "aligned": True, "size": 128, "width": 2, "masks": False}
LENGTH = {"iterations": 300.0, "batch": 4.0, "every": 50.0}


@pytest.fixture
def form(picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Form, list[TrainConfig]]:
    """One whose runs are only noted, and what is noted."""
    started: list[TrainConfig] = []
    runner = Runner(tmp_path / "runs", picture_folder)
    monkeypatch.setattr(runner, "start", started.append)
    widgets = [field.name for field in dataclasses.fields(Form) if field.name != "runner"]
    return Form(runner, **dict.fromkeys(widgets)), started


def test_a_run_from_nothing_has_the_shape_that_was_chosen(form: tuple[Form, list[TrainConfig]], picture_folder: Path) -> None:
    asking, started = form
    asking.begin(" new ", dataset=picture_folder.name, start_from=NOTHING, **ASKED, **LENGTH)
    (settings,) = started
    assert (settings.name, settings.domains, settings.init_from) == ("new", ("cold", "warm"), "")
    assert (settings.image_size, settings.base_channels, settings.max_channels, settings.w_hpf) == (128, 64, 256, 0)
    assert (settings.iterations, settings.batch, settings.save_every, settings.sample_every) == (300, 4, 50, 50)


def test_a_folder_that_takes_no_pictures_is_said(
    form: tuple[Form, list[TrainConfig]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "a.zip").touch()
    monkeypatch.setattr(own, "folder", full)
    asking, started = form
    asked = ASKED | {"kind": ZIP, "archive": str(tmp_path / "a.zip")}
    with pytest.raises(gr.Error, match=r"cannot be written to \(No space left on device\); make room there, or start the page"):
        asking.begin("new", dataset=None, start_from=NOTHING, **asked, **LENGTH)
    assert not started


def test_a_run_from_a_model_has_its_shape(form: tuple[Form, list[TrainConfig]], picture_folder: Path, tmp_path: Path) -> None:
    shape = ModelConfig(image_size=64, domains=("cat", "dog"), w_hpf=0.5, base_channels=8, max_channels=16, hidden_dim=16)
    checkpoint.save(build(shape), tmp_path / "animals.safetensors")
    asking, started = form
    asking.begin("new", dataset=picture_folder.name, start_from=str(tmp_path / "animals.safetensors"), **ASKED, **LENGTH)
    (settings,) = started
    assert (settings.domains, settings.init_from) == (("cold", "warm"), str(tmp_path / "animals.safetensors"))
    assert (settings.image_size, settings.base_channels, settings.max_channels, settings.w_hpf) == (64, 8, 16, 0.5)

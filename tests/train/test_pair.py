"""Two models of one training put together."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from stargan.files import checkpoint
from stargan.model import Model, build
from stargan.networks import ModelConfig
from stargan.translate import Translator
from train.cli.main import main
from train.config import ConfigError
from train.pair import pair, relative_distance

CONFIG = ModelConfig(image_size=64, domains=("a", "b"), base_channels=4, max_channels=8, w_hpf=0.0)


def made(seed: int, **changes: object) -> Model:
    torch.manual_seed(seed)
    return build(dataclasses.replace(CONFIG, **changes), name=str(seed))


def near(model: Model) -> Model:
    other = made(9)
    with torch.no_grad():
        for a, b in zip(other.generator.parameters(), model.generator.parameters(), strict=True):
            a.copy_(1.1 * b)
    return other


def test_a_pair_is_the_faithful_model_with_a_choice() -> None:
    faithful = made(1)
    free = near(faithful)
    both = pair(free, faithful)
    assert both.name == "1" and both.generator is faithful.generator and both.free is free.generator
    assert relative_distance(free, faithful) == pytest.approx(0.1, rel=1e-3)
    assert Translator(both, "cpu", "fp32").has_likeness


def test_models_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"differ \(domains is \('a', 'c'\) and \('a', 'b'\)\); pair models of one training"):
        pair(made(1, domains=("a", "c")), made(2))
    with pytest.raises(ConfigError, match=r"1\.\d times as far apart as they are large"):
        pair(made(1), made(2))


def test_the_command_line_writes_a_pair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint.save(made(1), tmp_path / "faithful.safetensors")
    checkpoint.save(near(made(1)), tmp_path / "free.safetensors")
    names = ["--free", str(tmp_path / "free.safetensors"), "--faithful", str(tmp_path / "faithful.safetensors")]
    assert main(["pair", *names, "--out", str(tmp_path / "both.safetensors")]) == 0
    assert "the two lie 10 % of their size apart" in capsys.readouterr().out
    assert checkpoint.load(tmp_path / "both.safetensors").free is not None
    checkpoint.save(made(2), tmp_path / "faithful.safetensors")
    assert main(["pair", *names, "--out", str(tmp_path / "other.safetensors")]) == 2
    assert "pair models of one training" in capsys.readouterr().err and not (tmp_path / "other.safetensors").exists()

"""Two models of one training put together."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from stargan.files import checkpoint
from stargan.model import Model, build
from stargan.networks import ModelConfig
from stargan.translate import Translator
from train import data
from train.cli.main import main
from train.config import ConfigError
from train.pair import enlarged, pair, relative_distance
from train.step import growth

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


def test_likeness_can_lie_elsewhere_on_the_line_between_the_models() -> None:
    faithful = made(1)
    free = near(faithful)
    before = [[p.clone() for p in g.parameters()] for g in (free.generator, faithful.generator)]
    both = pair(free, faithful, (0.2, 1.5))
    assert both.free is not None and both.style_encoder is faithful.style_encoder
    for generator, at in ((both.free, 0.2), (both.generator, 1.5)):
        for weight, start, end in zip(generator.parameters(), *before, strict=True):
            torch.testing.assert_close(weight, start + at * (end - start))
    for model, kept in ((free, before[0]), (faithful, before[1])):
        assert all(torch.equal(a, b) for a, b in zip(model.generator.parameters(), kept, strict=True))
    assert pair(free, faithful, (0.0, 1.5)).free is free.generator
    for ends in ((-0.1, 1.0), (0.0, 2.1), (0.5, 0.5), (0.9, 0.2), (0.0, float("nan"))):
        with pytest.raises(ConfigError, match=r"0 and 1 shall lie at .* both have to be from 0 .* to 2"):
            pair(free, faithful, ends)


def test_models_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"differ \(domains is \('a', 'c'\) and \('a', 'b'\)\); pair models of one training"):
        pair(made(1, domains=("a", "c")), made(2))
    with pytest.raises(ConfigError, match=r"1\.\d times as far apart as they are large"):
        pair(made(1), made(2))
    free, faithful = near(made(1)), made(1)
    free.aligner, faithful.aligner = "face_alignment", "fan-68"
    with pytest.raises(ConfigError, match="aligned by face_alignment, the faithful one's by fan-68; pair models of one training"):
        pair(free, faithful)


@pytest.mark.parametrize(("free_by", "faithful_by"), [("face_alignment", "face_alignment"), (None, "fan-68"), ("fan-68", None)])
def test_a_pair_keeps_what_aligned_its_pictures(free_by: str | None, faithful_by: str | None, tmp_path: Path) -> None:
    for name, by, model in (("free", free_by, near(made(1))), ("faithful", faithful_by, made(1))):
        model.aligner = by
        checkpoint.save(model, tmp_path / f"{name}.safetensors")
    names = [f"--{name}={tmp_path / f'{name}.safetensors'}" for name in ("free", "faithful")]
    assert main(["pair", *names, "--out", str(tmp_path / "both.safetensors")]) == 0
    assert checkpoint.load(tmp_path / "both.safetensors").aligner == (faithful_by or free_by)


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


def test_a_model_with_a_choice_has_its_ends_moved_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faithful = made(1)
    checkpoint.save(pair(near(faithful), faithful), tmp_path / "both.safetensors")
    options = ["--ends", "0.1", "1.5", "--out", str(tmp_path / "moved.safetensors")]
    assert main(["pair", "--faithful", str(tmp_path / "both.safetensors"), *options]) == 0
    read, wanted = checkpoint.load(tmp_path / "moved.safetensors"), pair(near(faithful), faithful, (0.1, 1.5))
    assert read.free is not None and wanted.free is not None
    for found, expected in ((read.generator, wanted.generator), (read.free, wanted.free)):
        for a, b in zip(found.parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
    checkpoint.save(faithful, tmp_path / "one.safetensors")
    assert main(["pair", "--faithful", str(tmp_path / "one.safetensors"), *options]) == 2
    assert "one.safetensors has one generator alone; name the model at likeness 0 by --free" in capsys.readouterr().err


def test_a_free_model_from_before_the_growth_is_enlarged(
    tmp_path: Path, picture_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    domains = tuple(sorted(p.name for p in (picture_folder / "train").iterdir()))
    free, faithful = made(1, domains=domains), made(2, domains=domains, image_size=128, base_channels=2, last_shortcut=True)
    for name, model in (("free", free), ("faithful", faithful)):
        checkpoint.save(model, tmp_path / f"{name}.safetensors")
    names = [f"--{name}={tmp_path / f'{name}.safetensors'}" for name in ("free", "faithful")]
    assert main(["pair", *names, "--out", str(tmp_path / "both.safetensors")]) == 2
    assert "half as large" in capsys.readouterr().err
    pictures = data.load(picture_folder, "train", 160, tmp_path)
    large = enlarged(free, faithful, pictures, steps=2)
    before, after = faithful.generator.state_dict(), large.generator.state_dict()
    assert large.config == faithful.config and large.mapping_network is faithful.mapping_network
    assert torch.equal(after["encode.1.conv1.weight"], free.generator.encode[0].conv1.weight)
    assert torch.equal(after["from_rgb.weight"], before["from_rgb.weight"])
    changed = {key for key in after if key.startswith(("decode.", "to_rgb")) and not torch.equal(after[key], before[key])}
    last = f"decode.{len(large.generator.decode) - 1}."
    assert any(key.startswith(last) for key in changed)
    sample = growth.Sample(pictures, 128, np.random.default_rng(3))
    x, style, _ = sample.translation(free)
    errors = []
    for steps in (0, 80):
        generator = enlarged(free, faithful, pictures, steps=steps).generator
        with torch.inference_mode():
            wanted = torch.nn.functional.interpolate(free.generator(growth.halved(x), style), scale_factor=2, mode="bicubic")
            errors.append((generator(x, style) - wanted).abs().mean().item())
    assert errors[1] < 0.8 * errors[0]

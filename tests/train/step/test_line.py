"""Generators of every likeness, trained at once."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from material import TINY_RUN
from torch.func import functional_call

from stargan import zoo
from stargan.files import checkpoint
from stargan.networks import Generator, ModelConfig
from stargan.translate import Translator
from train import config, data
from train.run import loop
from train.run.start import begin
from train.step.batch import sample_batch
from train.step.line import Line
from train.step.state import State
from train.step.update import iterate

pytestmark = pytest.mark.usefixtures("small_features")
SETTINGS = {
    **TINY_RUN,
    "batch": 2,
    "iterations": 3,
    "likeness": True,
    "lambda_con": 2.0,
    "lambda_con_free": 0.5,
}


def settings(folder: Path, runs: Path, **changes: object) -> config.TrainConfig:
    return config.from_mapping(SETTINGS | {"data": str(folder), "runs": str(runs)} | changes)


def numbers(net: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def test_both_ends_get_the_gradient_of_the_point_between() -> None:
    torch.manual_seed(0)
    line = Line(Generator(ModelConfig(image_size=64, base_channels=4, max_channels=8, w_hpf=0.0)))
    with torch.no_grad():
        for p in line.free.parameters():
            p.add_(0.1 * torch.randn_like(p))
    x, style = torch.randn(1, 3, 64, 64), torch.randn(1, 64)
    ends = [{k: p.detach().requires_grad_() for k, p in net.named_parameters()} for net in (line.free, line.faithful)]
    between = {k: torch.lerp(a, ends[1][k], 0.3) for k, a in ends[0].items()}
    functional_call(line.generator, between, (x, style)).square().mean().backward()
    line.take(0.3)
    line.generator(x, style).square().mean().backward()
    line.hand_on()
    for net, wanted in zip((line.free, line.faithful), ends, strict=True):
        for k, p in net.named_parameters():
            assert p.grad is not None, k
            torch.testing.assert_close(p.grad, wanted[k].grad, msg=k)


@pytest.mark.parametrize("likeness", [0.0, 1.0])
def test_an_end_is_left_alone_where_it_has_no_share(likeness: float, picture_folder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(State, "likeness", likeness)
    state = State(settings(picture_folder, tmp_path), None)
    assert state.line is not None
    ends = {0.0: state.line.free, 1.0: state.line.faithful}
    before = {k: numbers(net) for k, net in ends.items()}
    iterate(state, sample_batch(state.config, data.load(picture_folder, "train", 80, tmp_path), 0))
    assert state.lambda_con == (0.5, 2.0)[int(likeness)]
    assert torch.equal(numbers(ends[1 - likeness]), before[1 - likeness])
    assert not torch.equal(numbers(ends[likeness]), before[likeness])
    assert torch.equal(numbers(state.generator), numbers(ends[likeness])), "the next update sees what this one has learned"


def test_likeness_is_one_half_of_the_time_and_else_any(picture_folder: Path, tmp_path: Path) -> None:
    state, found = State(settings(picture_folder, tmp_path), None), []
    for state.iteration in range(400):
        found.append(state.likeness)
    below = torch.tensor([x for x in found if x < 1])
    assert 160 < len(below) < 240 and (torch.histc(below, 4, 0, 1) > 30).all()


def test_a_run_exports_both_ends_and_resumes_bit_for_bit(picture_folder: Path, tmp_path: Path) -> None:
    whole = loop.fit(settings(picture_folder, tmp_path / "whole"))
    loop.fit(settings(picture_folder, tmp_path / "parts", iterations=2))
    parts = loop.fit(settings(picture_folder, tmp_path / "parts"))
    assert whole.networks.keys() == parts.networks.keys() >= {"generator", "free"}
    for name, net in whole.networks.items():
        assert torch.equal(numbers(net), numbers(parts.networks[name])), name
    model = checkpoint.load(tmp_path / "whole" / "tiny" / "model.safetensors")
    assert model.free is not None and Translator(model, "cpu", "fp32").has_likeness
    torch.testing.assert_close(numbers(model.free), numbers(whole.averaged["free"]), rtol=1e-2, atol=1e-4)
    assert not torch.equal(numbers(model.free), numbers(model.generator))
    # The checkpoint is as good a model.
    found = zoo.load(str(max((tmp_path / "whole" / "tiny").glob("checkpoint-*.pt"))))
    assert found.config == model.config and found.free is not None
    assert torch.equal(numbers(found.free), numbers(whole.averaged["free"]))


def test_a_run_begins_with_both_ends_of_a_model_or_with_its_only_generator_as_both(picture_folder: Path, tmp_path: Path) -> None:
    model = loop.fit(settings(picture_folder, tmp_path)).model("old")
    pictures = data.load(picture_folder, "train", 80, tmp_path)
    for origin in (model, dataclasses.replace(model, free=None)):
        state = State(settings(picture_folder, tmp_path, init_from="old"), None)
        begin(state, origin, None, pictures)
        assert state.line is not None
        assert torch.equal(numbers(state.line.faithful), numbers(model.generator))
        assert torch.equal(numbers(state.line.free), numbers(origin.free or model.generator))
        assert torch.equal(numbers(state.averaged["free"]), numbers(state.line.free))


@pytest.mark.parametrize("changes", [{"lambda_con": 0.5}, {"lambda_con": 0.0, "lambda_con_free": 0.0}, {"lambda_con_free": -1.0}])
def test_ends_that_would_learn_the_same_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(config.ConfigError, match="set lambda_con above lambda_con_free, and that to 0 or above"):
        config.from_mapping(SETTINGS | changes)

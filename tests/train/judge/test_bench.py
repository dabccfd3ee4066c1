"""The benchmarks: what they compare computes the same, and their tables hold what was measured."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch
from material import TINY_FAN, portrait

from stargan import bench, layers, styles
from stargan.files import checkpoint
from stargan.media import images
from stargan.model import build
from stargan.networks import ModelConfig
from stargan.translate import Translator
from train import config
from train.judge import bench as training
from train.step.batch import Batch
from train.step.state import State
from train.step.update import iterate

SHAPE = {"image_size": 64, "domains": ("a", "b"), "hidden_dim": 16, "base_channels": 4, "max_channels": 16}


def tiny() -> checkpoint.Model:
    torch.manual_seed(0)
    return build(ModelConfig(**SHAPE), TINY_FAN, name="tiny")  # type: ignore[arg-type]


def test_the_papers_way_gives_the_same_picture() -> None:
    model, x = tiny(), images.to_tensor(portrait(0, 64))
    style = styles.from_seed(model, "b", 1)
    translator = Translator(model, precision="fp32")
    fast = translator.decode(translator.encode(x), style)
    torch.testing.assert_close(bench.plain(model, x, style[None]).clamp(-1, 1), fast, atol=1e-4, rtol=0)


def test_the_papers_way_folds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(weight: torch.Tensor) -> torch.Tensor:
        raise AssertionError("a kernel was folded")

    monkeypatch.setattr(layers, "pooling_kernel", refuse)
    monkeypatch.setattr(layers, "upsampling_kernel", refuse)
    model, x = tiny(), torch.zeros(1, 3, 64, 64)
    bench.plain(model, x, torch.zeros(1, 64))
    with pytest.raises(AssertionError, match="folded"):
        model.generator(x, torch.zeros(1, 64))


def test_the_floor_is_every_convolution_once() -> None:
    translator = Translator(tiny())
    encoding, decoding = bench.convolutions(translator)
    outputs = [*encoding(), *decoding()]  # type: ignore[misc]
    # The 1x1 shortcuts of a decoder with skips are not used.
    unused = sum(hasattr(block.conv1x1, "weight") for block in translator.generator.decoder)
    assert len(outputs) == sum(isinstance(m, bench.FastConv) for m in translator.generator.modules()) - unused
    assert outputs[-1].shape == (1, 3, 64, 64)


@pytest.mark.slow
def test_the_table_of_translation(tmp_path: Path) -> None:
    checkpoint.save(tiny(), tmp_path / "tiny.safetensors")
    text = bench.bench(str(tmp_path / "tiny.safetensors"), rounds=1, compiled=False)
    for what in ("the paper's way", "full translation, FAN included", "change of style", "16 styles", "first translation", "peak"):
        assert what in text
    ratios = [float(r) for r in re.findall(r"\| (\d+\.\d)x \|", text)]
    assert len(ratios) == 10 and ratios[0] == 1.0 and "eager" in text


def in_double(state: State) -> State:
    """In float32, Adam without a first moment shows rounding: it moves by lr in the direction of a sign, also where a gradient is
    about zero."""
    for net in [*state.networks.values(), *state.averaged.values(), *([state.fan] if state.fan else [])]:
        net.double()
    return state


def batch_in_double(settings: config.TrainConfig, memory_format: torch.memory_format) -> Batch:
    batch = training.random_batch(settings, memory_format)
    numbers = {k: v.double() for k, v in vars(batch).items() if isinstance(v, torch.Tensor) and v.is_floating_point()}
    return dataclasses.replace(batch, **numbers)


def test_the_papers_iteration_moves_the_weights_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    settings = config.from_mapping(
        SHAPE_OF_RUN | {"exact": True, "precision": "fp32", "batch": 2, "device": "cpu", "w_hpf": 1.0, "lr": 1e-3}
    )
    plain, ours = in_double(training.plain_state(settings)), in_double(State(settings, training.load_fan68()))
    start = {k: v.clone() for k, v in ours.generator.state_dict().items()}
    first = training.plain_iteration(plain, batch_in_double(settings, torch.contiguous_format))
    second = iterate(ours, batch_in_double(settings, torch.channels_last))
    for key, value in first.items():
        assert second[key].item() == pytest.approx(value.item(), rel=2e-3), key
    moved = [(ours.generator.state_dict()[k] - v).norm() for k, v in start.items()]
    apart = [(ours.generator.state_dict()[k] - v).norm() for k, v in plain.generator.state_dict().items()]
    assert sum(moved) > 0 and sum(apart) < 1e-6 * sum(moved)


SHAPE_OF_RUN = {"image_size": 64, "domains": ["a", "b"], "base_channels": 4, "max_channels": 8}


@pytest.mark.parametrize("folders", [("cold", "photo", "warm"), ()])
def test_domains_that_are_not_named_are_those_of_the_folder_or_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folders: tuple[str, ...]
) -> None:
    for name in folders:
        (tmp_path / "train" / name).mkdir(parents=True)
    found: list[config.TrainConfig] = []
    monkeypatch.setattr(training, "peak_memory", lambda settings, way: found.append(settings) or 1.0)
    monkeypatch.setattr(training, "_ways", lambda settings: dict.fromkeys(("paper's code", "this run"), lambda: lambda: None))
    assert training.bench(config.from_mapping({"data": str(tmp_path), "sources": ["photo"]}), rounds=1).startswith(
        "unnamed: 256 px"
    )
    assert {len(settings.domains) for settings in found} == {2}
    assert not folders or found[0].domains == ("cold", "warm")


@pytest.fixture
def in_time() -> Iterator[None]:
    def over(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def killed(settings: config.TrainConfig, way: str, found: Connection) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_fails_or_dies_is_a_sentence(in_time: None, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config.from_mapping(SHAPE_OF_RUN | {"device": "cpu", "w_hpf": 0.0})
    with pytest.raises(training.BenchError, match="image_size is 100; it has to be one of 64"):
        training.peak_memory(dataclasses.replace(settings, image_size=100), "this run")
    with pytest.raises(training.BenchError, match="the process in which another way was tried ended with code 1; what it printed"):
        training.peak_memory(settings, "another way")
    monkeypatch.setattr(training, "_peak", killed)
    with pytest.raises(training.BenchError, match="this run was tried was killed, .*; set batch lower"):
        training.peak_memory(settings, "this run")


@pytest.mark.slow
def test_the_table_of_training() -> None:
    settings = config.from_mapping(
        SHAPE_OF_RUN | {"batch": 2, "device": "cpu", "w_hpf": 0.0, "alternate": True, "r1_every": 2, "name": "small"}
    )
    text = training.bench(settings, rounds=1, profile=True)
    assert text.startswith("small: 64 px, batch 2") and "aten::" in text
    rows = {line[:14].strip(): line[14:].split() for line in text.splitlines() if line.startswith(("paper's", "this run"))}
    assert rows["paper's code"][2] == "1.00" and rows["paper's code"][4] == "1.00"
    seconds = [float(rows[name][0]) for name in ("paper's code", "this run")]
    assert float(rows["this run"][2]) == pytest.approx(seconds[0] / seconds[1], rel=0.1)


def test_a_model_beside_the_caller_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(tiny(), tmp_path / "mine.safetensors")
    monkeypatch.chdir(tmp_path)
    assert bench._fresh("fast", "mine.safetensors")["first"] > 0

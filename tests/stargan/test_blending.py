"""Likeness: two generators of one training, and all between them."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from material import TINY_FAN, fill, portrait

from stargan import blending
from stargan.cli.main import main
from stargan.files import checkpoint
from stargan.model import Model, build
from stargan.networks import Generator, ModelConfig
from stargan.translate import Translator

CONFIG = ModelConfig(image_size=64, domains=("a", "b"), base_channels=8, max_channels=16)


@pytest.fixture(scope="module")
def model() -> Model:
    made = build(CONFIG, TINY_FAN, "both", free=True)
    for name, net in made.networks.items():
        fill(net, name)
    # Near the faithful one, as after a training.
    with torch.no_grad():
        for a, b in zip(made.free.parameters(), made.generator.parameters(), strict=True):
            a.copy_(b + 0.05 * b.std().nan_to_num(0.1) * torch.randn(b.shape, generator=torch.Generator().manual_seed(0)))
    return made


def alone(model: Model, generator: Generator) -> Model:
    return Model(CONFIG, generator, model.mapping_network, model.style_encoder, model.fan, "one")


def outputs(translator: Translator, **options: float) -> torch.Tensor:
    style = torch.linspace(-1, 1, 128).view(2, 64)
    return translator.decode(translator.encode(portrait(3, 64), **options), style)


def test_each_likeness_is_the_generator_of_blended_weights(model: Model) -> None:
    both = Translator(model, "cpu", "fp32")
    assert both.has_likeness
    for likeness in (1.0, 0.0, 0.3, 0.75, 1.0):
        generator = blending.blended(model.free, model.generator, likeness)
        wanted = outputs(Translator(alone(model, generator), "cpu", "fp32"))
        torch.testing.assert_close(outputs(both, likeness=likeness), wanted, rtol=1e-4, atol=2e-5)


def test_the_ends_are_exact_however_often_it_moved(model: Model) -> None:
    both = Translator(model, "cpu", "fp32")
    first = outputs(both), outputs(both, likeness=0.0)
    for likeness in (0.2, 0.9, 0.5):
        outputs(both, likeness=likeness)
    assert torch.equal(outputs(both), first[0]) and torch.equal(outputs(both, likeness=0.0), first[1])
    assert not torch.equal(*first)


def test_a_source_moves_between_likenesses_with_its_masks(model: Model) -> None:
    both = Translator(model, "cpu", "fp32")
    encoded = both.encode(portrait(3, 64), parts={"eyes": 0.5, "jaw": 0.0})
    moved, anew = both.with_likeness(encoded, 0.4), both.encode(portrait(3, 64), parts={"eyes": 0.5, "jaw": 0.0}, likeness=0.4)
    style = torch.zeros(64)
    assert torch.equal(both.decode(moved, style), both.decode(anew, style))
    assert both.with_likeness(moved, 0.4) is moved
    bare = both.with_likeness(both.encode(portrait(3, 64), masks=False), 0.4)
    assert torch.equal(both.decode(bare, style), both.decode(both.encode(portrait(3, 64), masks=False, likeness=0.4), style))


@pytest.mark.slow
def test_likenesses_of_several_threads_do_not_mix(model: Model) -> None:
    both = Translator(model, "cpu", "fp32")
    wanted = {likeness: outputs(both, likeness=likeness) for likeness in (0.0, 0.5, 1.0)}
    wrong: list[float] = []

    def ask(likeness: float) -> None:
        for _ in range(6):
            if not torch.equal(outputs(both, likeness=likeness), wanted[likeness]):
                wrong.append(likeness)

    threads = [threading.Thread(target=ask, args=(likeness,)) for likeness in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_second_set_of_weights_is_in_the_file(model: Model, tmp_path: Path) -> None:
    checkpoint.save(model, tmp_path / "m.safetensors")
    read = checkpoint.load(tmp_path / "m.safetensors")
    assert torch.equal(read.free.to_rgb[2].weight, model.free.to_rgb[2].weight)
    checkpoint.save(alone(model, model.generator), tmp_path / "one.safetensors")
    assert checkpoint.load(tmp_path / "one.safetensors").free is None


def test_a_translator_by_name_takes_a_likeness(model: Model, tmp_path: Path) -> None:
    checkpoint.save(model, tmp_path / "model.safetensors")
    translator = Translator.from_pretrained(str(tmp_path / "model.safetensors"), precision="fp32", likeness=0.25)
    assert translator.likeness == 0.25 and translator.encode(torch.zeros(1, 3, 64, 64)).likeness == 0.25
    with pytest.raises(ValueError, match="likeness is 2"):
        Translator.from_pretrained(str(tmp_path / "model.safetensors"), likeness=2)


def test_a_model_of_one_set_offers_no_likeness(model: Model) -> None:
    one = Translator(alone(model, model.generator), "cpu", "fp32")
    assert not one.has_likeness and outputs(one, likeness=1.0).shape == (2, 3, 64, 64)
    with pytest.raises(ValueError, match="'one' has one set of weights and offers no likeness; leave it at 1"):
        outputs(one, likeness=0.5)


@pytest.mark.parametrize("likeness", [-0.1, 1.5, float("nan")])
def test_a_likeness_out_of_range_is_refused(model: Model, likeness: float) -> None:
    with pytest.raises(ValueError, match=r"it has to be from 0 \(free\) to 1"):
        Translator(model, "cpu", "fp32", likeness)


def test_the_command_line_takes_a_likeness(model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint.save(model, tmp_path / "m.safetensors")
    portrait(1).save(tmp_path / "p.png")
    command = ["translate", str(tmp_path / "p.png"), "--model", str(tmp_path / "m.safetensors"), "--domain", "a", "--seed", "1"]
    for likeness in ("0", "1"):
        assert main([*command, "--no-align", "--likeness", likeness, "-o", str(tmp_path / f"{likeness}.png")]) == 0
    assert (tmp_path / "0.png").read_bytes() != (tmp_path / "1.png").read_bytes()
    with pytest.raises(SystemExit):
        main([*command, "--likeness", "2", "-o", str(tmp_path / "x.png")])
    assert "'2' is not a number from 0 to 1" in capsys.readouterr().err

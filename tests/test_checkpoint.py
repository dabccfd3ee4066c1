"""Models on disk: what goes in comes out, and nothing else is believed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import recipe
import safetensors.torch
import torch
from conftest import fill

from stargan import checkpoint, zoo
from stargan.checkpoint import CheckpointError, Model
from stargan.fan import FANConfig
from stargan.networks import ModelConfig


def published(path: Path, **config: object) -> tuple[Path, Model]:
    """A file as the published ones are, and the model that it holds."""
    shape = ModelConfig(max_channels=64, **config)  # type: ignore[arg-type]
    model = checkpoint.build(shape, FANConfig() if shape.w_hpf else None)
    for name, net in model.networks.items():
        fill(net, name)
    torch.save({k: dict(v.state_dict()) for k, v in model.networks.items()}, path)
    return path, model


@torch.inference_mode()
def output(model: Model) -> torch.Tensor:
    x, z, y = recipe.image(1, 2, model.config.image_size), recipe.normal(2, 2, 16), torch.tensor([0, 1])
    style = model.mapping_network(z, y) + model.style_encoder(x, y)
    masks = (recipe.mask(3), recipe.mask(4)) if model.config.w_hpf else None
    return model.generator(x, style, masks)


def test_published_checkpoint_survives_bit_for_bit(tmp_path: Path) -> None:
    path, original = published(tmp_path / "nets_ema.ckpt")
    loaded = checkpoint.load(path)
    checkpoint.save(loaded, tmp_path / "model.safetensors")
    again = checkpoint.load(tmp_path / "model.safetensors")
    assert again.config == loaded.config
    assert torch.equal(output(original), output(loaded))
    assert torch.equal(output(loaded), output(again))
    x = recipe.image(5, 1)
    with torch.inference_mode():
        assert torch.equal(original.fan(x), again.fan(x))


@pytest.mark.parametrize("size", [64, 128, 256, 512])
@pytest.mark.parametrize(("w_hpf", "domains"), [(0.0, ("cat", "dog", "wild")), (1.0, ("f", "m")), (2.0, ("f", "m"))])
def test_configuration_follows_from_the_shapes(size: int, w_hpf: float, domains: tuple[str, ...], tmp_path: Path) -> None:
    config = ModelConfig(image_size=size, domains=domains, w_hpf=w_hpf, base_channels=4, max_channels=16, hidden_dim=24, latent_dim=5)
    model = checkpoint.build(config)
    torch.save({k: v.state_dict() for k, v in model.networks.items()}, tmp_path / "a.ckpt")
    assert checkpoint.load_published(tmp_path / "a.ckpt", domains).config == config
    assert checkpoint.load_published(tmp_path / "a.ckpt").config.domains == tuple(f"domain {i}" for i in range(len(domains)))
    with pytest.raises(CheckpointError, match="names"):
        checkpoint.load_published(tmp_path / "a.ckpt", ("one",))


def test_a_wrapper_prefix_is_dropped(tmp_path: Path) -> None:
    path, model = published(tmp_path / "a.ckpt", w_hpf=0)
    torch.save({n: {f"module.{k}": v for k, v in net.state_dict().items()} for n, net in model.networks.items()}, path)
    assert torch.equal(output(checkpoint.load(path)), output(model))


def test_half_precision_files_load_as_float32(tiny_model: Model, tmp_path: Path) -> None:
    checkpoint.save(tiny_model, tmp_path / "half.safetensors", torch.float16)
    checkpoint.save(tiny_model, tmp_path / "full.safetensors")
    assert (tmp_path / "half.safetensors").stat().st_size < 0.6 * (tmp_path / "full.safetensors").stat().st_size
    half = checkpoint.load(tmp_path / "half.safetensors")
    assert half.generator.from_rgb.weight.dtype == torch.float32
    assert (half.name, half.licence, half.config) == ("tiny", "MIT", tiny_model.config)
    torch.testing.assert_close(half.generator.from_rgb.weight, tiny_model.generator.from_rgb.weight, atol=1e-3, rtol=1e-2)


@pytest.fixture
def model_file(tiny_model: Model, tmp_path: Path) -> Path:
    checkpoint.save(tiny_model, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def rewrite(path: Path, change_tensors: dict | None = None, drop: str = "", metadata: dict[str, str] | None = None) -> None:
    with safetensors.safe_open(path, framework="pt") as file:
        kept = file.metadata()
    tensors = safetensors.torch.load_file(path) | (change_tensors or {})
    tensors.pop(drop, None)
    safetensors.torch.save_file(tensors, path, kept | (metadata or {}))


def test_truncated_file(model_file: Path) -> None:
    model_file.write_bytes(model_file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"model\.safetensors.*cut off"):
        checkpoint.load(model_file)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 not a zip", b"\x89PNG\r\n\x1a\n" + b"0" * 100])
@pytest.mark.parametrize("name", ["a.safetensors", "a.ckpt"])
def test_wrong_kind_of_file(content: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=name):
        checkpoint.load(tmp_path / name)


def test_missing_file(tmp_path: Path) -> None:
    for name in ("a.safetensors", "a.ckpt"):
        with pytest.raises(CheckpointError, match="there is no model file"):
            checkpoint.load(tmp_path / name)


def test_missing_surplus_and_misshapen_keys(model_file: Path) -> None:
    rewrite(model_file, drop="generator.from_rgb.bias")
    with pytest.raises(CheckpointError, match=r"lacks key 'generator\.from_rgb\.bias'"):
        checkpoint.load(model_file)
    rewrite(model_file, {"generator.from_rgb.bias": torch.zeros(3)})
    with pytest.raises(CheckpointError, match=r"'generator\.from_rgb\.bias'.*\[3\].*\[8\]"):
        checkpoint.load(model_file)
    rewrite(model_file, {"generator.from_rgb.bias": torch.zeros(8), "generator.extra": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"surplus key 'generator\.extra'"):
        checkpoint.load(model_file)


def test_values_that_are_no_numbers(model_file: Path) -> None:
    rewrite(model_file, {"generator.from_rgb.bias": torch.full((8,), float("nan"))})
    with pytest.raises(CheckpointError, match=r"from_rgb\.bias.*damaged"):
        checkpoint.load(model_file)


@pytest.mark.parametrize("wrong", ["{", "[]", "{}x", json.dumps({"image_size": 100}), json.dumps({"colour": "red"}), "7"])
def test_malformed_metadata(wrong: str, model_file: Path) -> None:
    rewrite(model_file, metadata={"config": wrong})
    with pytest.raises(CheckpointError, match=r"config.*model\.safetensors"):
        checkpoint.load(model_file)


def test_foreign_safetensors(tmp_path: Path) -> None:
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="not written by this project"):
        checkpoint.load(tmp_path / "a.safetensors")


def test_published_checkpoint_with_other_keys(tmp_path: Path) -> None:
    path, model = published(tmp_path / "a.ckpt", w_hpf=0)
    content = {k: dict(v.state_dict()) for k, v in model.networks.items()}
    torch.save({k: v for k, v in content.items() if k != "style_encoder"}, path)
    with pytest.raises(CheckpointError, match="style_encoder"):
        checkpoint.load(path)
    content["generator"].pop("decode.0.conv1.bias")
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"a\.ckpt lacks key 'generator\.decode\.0\.conv1\.bias'"):
        checkpoint.load(path)
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="generator"):
        checkpoint.load(path)


class Malicious:
    def __reduce__(self) -> tuple:
        return os.mkdir, (os.environ["STARGAN_TEST_MARK"],)


@pytest.mark.parametrize("name", ["a.ckpt", "a.safetensors"])
def test_loading_runs_no_code(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "ran"
    monkeypatch.setenv("STARGAN_TEST_MARK", str(mark))
    torch.save({"generator": Malicious()}, tmp_path / name)
    with pytest.raises(CheckpointError):
        checkpoint.load(tmp_path / name)
    assert not mark.exists()


def test_a_failed_write_leaves_the_old_file(model_file: Path, tiny_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    before = model_file.read_bytes()

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(tiny_model, model_file, torch.float16)
    assert model_file.read_bytes() == before
    assert [p.name for p in model_file.parent.iterdir()] == [model_file.name]


def test_fan_file(tiny_model: Model, tmp_path: Path, model_file: Path) -> None:
    checkpoint.save_fan(tiny_model.fan, tmp_path / "fan.safetensors")
    fan = checkpoint.load_fan(tmp_path / "fan.safetensors")
    x = recipe.image(1, 1, 64)
    with torch.inference_mode():
        assert torch.equal(fan(x), tiny_model.fan(x))
    with pytest.raises(CheckpointError, match="config"):
        checkpoint.load(tmp_path / "fan.safetensors")


def test_zoo_knows_bundled_models_and_files(model_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(zoo, "ROOT", tmp_path)
    assert zoo.available() == {}
    with pytest.raises(zoo.ZooError, match="nobody"):
        zoo.load("nobody")
    for folder, name in (("runs", "mine"), ("runs", "both"), ("weights", "both")):
        target = tmp_path / folder / name / "model.safetensors"
        target.parent.mkdir(parents=True)
        target.write_bytes(model_file.read_bytes())
    assert zoo.available() == {
        "both": tmp_path / "weights" / "both" / "model.safetensors",
        "mine": tmp_path / "runs" / "mine" / "model.safetensors",
    }
    assert zoo.load("mine").config.domains == ("man", "orc", "woman")
    assert zoo.load(str(model_file)).config.domains == ("man", "orc", "woman")
    with pytest.raises(zoo.ZooError, match="both, mine"):
        zoo.load("portraits")

import json
import os
import pickle
from collections import OrderedDict

import pytest
import torch
from material import Malicious
from safetensors import safe_open
from safetensors.torch import save_file

from stargan.fan import FANConfig
from stargan.files import checkpoint, published
from stargan.files.checkpoint import CheckpointError
from stargan.model import build
from stargan.networks import ModelConfig

NETWORKS = ("generator", "mapping_network", "style_encoder")


def make(config=None, fan=None, seed=0):
    torch.manual_seed(seed)
    config = config or ModelConfig(image_size=64, domains=("man", "orc", "woman"), hidden_dim=24, base_channels=4, max_channels=16)
    return build(config, fan, "small", "CC BY 4.0")


def nets(model, prefix=""):
    """What a published file holds: a dict of state dicts."""
    names = [*NETWORKS, *(["fan"] if model.fan else [])]
    return {name: OrderedDict((prefix + key, value) for key, value in getattr(model, name).state_dict().items()) for name in names}


def outputs(model):
    """What each network computes for one fixed input."""
    generator = torch.Generator().manual_seed(1)
    size = model.config.image_size
    x = torch.rand(2, 3, size, size, generator=generator) * 2 - 1
    z = torch.randn(2, model.config.latent_dim, generator=generator)
    masks = tuple(torch.rand(2, 1, size, size, generator=generator) for _ in range(2))
    domain = torch.tensor([0, len(model.config.domains) - 1])
    with torch.inference_mode():
        style = model.mapping_network(z, domain)
        result = [style, model.style_encoder(x, domain), model.generator(x, style)]
        if model.config.w_hpf:
            result.append(model.generator(x, style, masks))
        if model.fan:
            result.append(model.fan(x))
    return result


def same(a, b):
    a, b = outputs(a), outputs(b)
    return len(a) == len(b) and all(torch.equal(p, q) for p, q in zip(a, b, strict=True))


def parts(path):
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key).clone() for key in file.keys()}, dict(file.metadata())  # noqa: SIM118


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    checkpoint.save(make(), path)
    return path


SMALL_FAN = FANConfig(width=16)


@pytest.mark.slow
def test_published_file_goes_through_safetensors_bit_for_bit(tmp_path):
    original = make(fan=SMALL_FAN)
    # Statistics as training leaves them, not the defaults that a fresh network would have anyway.
    for key, value in original.fan.state_dict().items():
        if "running" in key:
            value.copy_(torch.rand_like(value) + 0.5)
        if "num_batches" in key:
            value.fill_(1234)
    torch.save(nets(original), tmp_path / "nets.ckpt")
    first = published.load(tmp_path / "nets.ckpt", original.config.domains)
    checkpoint.save(first, tmp_path / "model.safetensors")
    second = checkpoint.load(tmp_path / "model.safetensors")
    assert first.config == second.config == original.config
    assert first.fan.config == second.fan.config
    assert same(original, first) and same(first, second)
    for module in (second.generator, second.mapping_network, second.style_encoder, second.fan):
        assert not module.training and not any(p.requires_grad for p in module.parameters())


@pytest.mark.parametrize("size,w_hpf", [(64, 0.0), (64, 1.0), (128, 0.0), (256, 3.0)])
def test_configuration_follows_from_shapes(tmp_path, size, w_hpf):
    config = ModelConfig(
        image_size=size, domains=("a", "b"), w_hpf=w_hpf, base_channels=4, max_channels=8, hidden_dim=20,
        latent_dim=5, style_dim=12,
    )  # fmt: skip
    torch.save(nets(make(config)), tmp_path / "nets.ckpt")
    assert published.load(tmp_path / "nets.ckpt", ("a", "b")).config == config


def test_base_width_of_the_published_scheme(tmp_path):
    config = ModelConfig(image_size=256, domains=("a",), max_channels=64, hidden_dim=8)
    torch.save(nets(make(config)), tmp_path / "nets.ckpt")
    found = published.load(tmp_path / "nets.ckpt", ("a",)).config
    assert found.base_channels == 64 and found == config


@pytest.mark.parametrize(
    "fan",
    [FANConfig(width=32), FANConfig(landmarks=68, width=16, depth=2, coords=False, boundary=False)],
    ids=["98 points", "68 points"],
)
def test_fan_configuration_follows_from_shapes(tmp_path, fan):
    torch.save(nets(make(fan=fan)), tmp_path / "nets.ckpt")
    assert published.load(tmp_path / "nets.ckpt").fan.config == fan


def test_published_98_point_fan_is_the_default(tmp_path):
    torch.save(nets(make(fan=FANConfig())), tmp_path / "nets.ckpt")
    assert published.load(tmp_path / "nets.ckpt").fan.config == FANConfig()


def test_dataparallel_prefix_is_dropped_and_ckpt_goes_to_load(tmp_path):
    model = make(fan=SMALL_FAN)
    torch.save(nets(model, prefix="module."), tmp_path / "nets.ckpt")
    assert same(checkpoint.load(tmp_path / "nets.ckpt"), model)


def test_domains_are_numbered_or_given(tmp_path):
    torch.save(nets(make()), tmp_path / "nets.ckpt")
    names = published.load(tmp_path / "nets.ckpt").config.domains
    assert len(set(names)) == 3 and [name[-1] for name in names] == ["1", "2", "3"]
    with pytest.raises(CheckpointError, match="3 domains.* 2 names"):
        published.load(tmp_path / "nets.ckpt", ("a", "b"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_storage_is_float32_in_memory(tmp_path, dtype):
    model = make(fan=SMALL_FAN)
    checkpoint.save(model, tmp_path / "half.safetensors", dtype)
    checkpoint.save(model, tmp_path / "full.safetensors")
    sizes = [os.path.getsize(tmp_path / f"{name}.safetensors") for name in ("half", "full")]
    assert sizes[0] < 0.7 * sizes[1]
    loaded = checkpoint.load(tmp_path / "half.safetensors")
    assert all(p.dtype == torch.float32 for p in loaded.generator.parameters())
    torch.testing.assert_close(loaded.generator.from_rgb.weight, model.generator.from_rgb.weight.to(dtype).float(), rtol=0, atol=0)


def test_metadata_comes_back(saved):
    loaded = checkpoint.load(saved)
    assert (loaded.name, loaded.licence, loaded.fan) == ("small", "CC BY 4.0", None)
    tensors, metadata = parts(saved)
    assert json.loads(metadata["config"])["domains"] == ["man", "orc", "woman"]
    assert {key.split(".")[0] for key in tensors} == set(NETWORKS)


def test_sources_that_were_never_imitated_come_back(tmp_path):
    model = make()
    model.sources = ("photo", "drawing")
    checkpoint.save(model, tmp_path / "m.safetensors")
    loaded = checkpoint.load(tmp_path / "m.safetensors")
    assert loaded.sources == ("photo", "drawing") and "sources also of photo, drawing" in loaded.facts()


def test_fan_alone(tmp_path):
    fan = make(fan=SMALL_FAN).fan
    checkpoint.save_fan(fan, tmp_path / "fan.safetensors")
    loaded = checkpoint.load_fan(tmp_path / "fan.safetensors")
    x = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert loaded.config == SMALL_FAN and torch.equal(loaded(x), fan(x))
    with pytest.raises(CheckpointError, match="fan.safetensors"):
        checkpoint.load(tmp_path / "fan.safetensors")


def test_a_model_is_no_fan(saved):
    with pytest.raises(CheckpointError, match="model.safetensors"):
        checkpoint.load_fan(saved)


@pytest.mark.parametrize("keep", [0, 4, 100, 0.5, 0.999])
@pytest.mark.parametrize("name", ["model.safetensors", "nets.ckpt"])
def test_truncated_file(tmp_path, name, keep):
    path = tmp_path / name
    if name.endswith("ckpt"):
        torch.save(nets(make()), path)
    else:
        checkpoint.save(make(), path)
    data = path.read_bytes()
    path.write_bytes(data[: keep if isinstance(keep, int) else int(keep * len(data))])
    with pytest.raises(CheckpointError, match=name):
        checkpoint.load(path)


@pytest.mark.parametrize("name", ["model.safetensors", "nets.ckpt"])
@pytest.mark.parametrize("content", [b"GIF89a", b"\x00" * 64, b"\xff" * 64, b"PK\x03\x04 no archive", b"(lp0\n."])
def test_wrong_kind_of_file(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=name):
        checkpoint.load(tmp_path / name)


@pytest.mark.parametrize("name", ["model.safetensors", "nets.ckpt"])
def test_no_file_and_a_folder(tmp_path, name):
    with pytest.raises(CheckpointError, match=name):
        checkpoint.load(tmp_path / name)
    (tmp_path / name).mkdir()
    with pytest.raises(CheckpointError, match=name):
        checkpoint.load(tmp_path / name)


KEY = "generator.encode.1.conv2.weight"
DAMAGES = {
    "missing": lambda tensors: tensors.pop(KEY),
    "surplus": lambda tensors: tensors.update({KEY + "s": torch.zeros(1)}),
    "shape": lambda tensors: tensors.update({KEY: tensors[KEY][:, :-1].contiguous()}),
    "type": lambda tensors: tensors.update({KEY: tensors[KEY].to(torch.int32)}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_tensors_in_safetensors(saved, damage):
    tensors, metadata = parts(saved)
    DAMAGES[damage](tensors)
    save_file(tensors, saved, metadata)
    with pytest.raises(CheckpointError) as error:
        checkpoint.load(saved)
    assert "model.safetensors" in str(error.value) and KEY in str(error.value)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_tensors_in_published(tmp_path, damage):
    content = nets(make())
    tensors = {f"generator.{key}": value for key, value in content["generator"].items()}
    DAMAGES[damage](tensors)
    content["generator"] = {key.removeprefix("generator."): value for key, value in tensors.items()}
    torch.save(content, tmp_path / "nets.ckpt")
    with pytest.raises(CheckpointError) as error:
        checkpoint.load(tmp_path / "nets.ckpt")
    assert "nets.ckpt" in str(error.value) and KEY in str(error.value)


def test_published_depths_that_disagree(tmp_path):
    content = nets(make())
    other = ModelConfig(image_size=128, domains=("a", "b", "c"), hidden_dim=24, base_channels=4, max_channels=16)
    content["style_encoder"] = nets(make(other))["style_encoder"]
    torch.save(content, tmp_path / "nets.ckpt")
    with pytest.raises(CheckpointError, match="nets.ckpt.*generator.*encode"):
        checkpoint.load(tmp_path / "nets.ckpt")


@pytest.mark.parametrize(
    "change,key",
    [
        (lambda c: c.pop("style_encoder"), "style_encoder"),
        (lambda c: c.update(generator=[1, 2]), "generator"),
        (lambda c: c.update(fan={}), "fan"),
        (lambda c: c["generator"].update({"from_rgb.bias": 3}), "generator.from_rgb.bias"),
        (lambda c: c["generator"].update({"hpf.filter": torch.zeros(3, 3)}), "generator.hpf.filter"),
        (lambda c: c["generator"].update({"hpf.filter": torch.ones(2)}), "generator.hpf.filter"),
        (lambda c: c["mapping_network"].update({"shared.0.weight": torch.ones(2)}), "mapping_network.shared.0"),
        (lambda c: c["mapping_network"].pop("shared.0.weight"), "mapping_network.shared.0.weight"),
    ],
    ids=["network missing", "list", "empty fan", "number", "flat filter", "filter shape",
         "mapping shape", "mapping missing"],
)  # fmt: skip
def test_malformed_published(tmp_path, change, key):
    content = nets(make())
    change(content)
    torch.save(content, tmp_path / "nets.ckpt")
    with pytest.raises(CheckpointError) as error:
        checkpoint.load(tmp_path / "nets.ckpt")
    assert "nets.ckpt" in str(error.value) and key in str(error.value)


@pytest.mark.parametrize("content", [[1, 2], torch.zeros(3), {}, {1: 2}], ids=["list", "tensor", "empty", "numbers"])
def test_published_that_is_no_dict_of_networks(tmp_path, content):
    torch.save(content, tmp_path / "nets.ckpt")
    with pytest.raises(CheckpointError, match="nets.ckpt"):
        checkpoint.load(tmp_path / "nets.ckpt")


def config_with(**values):
    return lambda metadata: metadata.update(config=json.dumps({**json.loads(metadata["config"]), **values}))


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.clear(),
        lambda m: m.pop("config"),
        lambda m: m.update(config="{"),
        lambda m: m.update(config="[]"),
        lambda m: m.update(config="3"),
        lambda m: m.update(config="[" * 100_000),
        config_with(surprise=1),
        config_with(image_size=100),
        config_with(image_size="64"),
        config_with(style_dim=64.5),
        config_with(style_dim=True),
        config_with(hidden_dim=10**12),
        config_with(domains=[]),
        config_with(domains="abc"),
        config_with(domains=[1, 2, 3]),
        config_with(w_hpf=float("nan")),
        config_with(w_hpf=None),
        config_with(mask_sizes=[]),
        config_with(mask_sizes=["a", "b"]),
        lambda m: m.update(sources="{"),
        lambda m: m.update(sources='{"photo": 1}'),
        lambda m: m.update(sources="[1]"),
        lambda m: m.update(fan="{}"),
        lambda m: m.update(fan=json.dumps({"depth": 10**9})),
    ],
    ids=["none", "no config", "cut", "list", "number", "deep", "unknown field", "size", "text", "fraction", "bool",
         "huge", "no domains", "domains text", "domains numbers", "nan", "null", "no masks", "mask text",
         "sources cut", "sources object", "sources numbers",
         "fan empty", "fan deep"],
)  # fmt: skip
def test_malformed_metadata(saved, change):
    tensors, metadata = parts(saved)
    change(metadata)
    save_file(tensors, saved, metadata)
    with pytest.raises(CheckpointError, match="model.safetensors"):
        checkpoint.load(saved)


@pytest.mark.parametrize("write", ["zip", "legacy", "pickle"])
@pytest.mark.parametrize("name", ["nets.ckpt", "model.safetensors"])
def test_loading_runs_no_code(tmp_path, name, write):
    proof = tmp_path / "proof"
    content = nets(make()) | {"fan": Malicious(str(proof))}
    if write == "pickle":
        (tmp_path / name).write_bytes(pickle.dumps(Malicious(str(proof))))
    else:
        torch.save(content, tmp_path / name, _use_new_zipfile_serialization=write == "zip")
    with pytest.raises(CheckpointError, match=name):
        checkpoint.load(tmp_path / name)
    assert not proof.exists()


def test_failed_save_leaves_the_old_file_and_no_remains(saved, monkeypatch):
    before = saved.read_bytes()

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises((CheckpointError, OSError)):
        checkpoint.save(make(seed=1), saved)
    assert saved.read_bytes() == before and os.listdir(saved.parent) == [saved.name]


def test_saving_over_a_file_replaces_it(saved):
    other = make(seed=1)
    checkpoint.save(other, saved)
    assert same(checkpoint.load(saved), other) and os.listdir(saved.parent) == [saved.name]

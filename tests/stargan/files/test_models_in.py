"""Model files as people have them: what can be used is used, the rest is named, and what cannot is refused with what to give."""

from __future__ import annotations

import argparse
import json
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from material import TINY_FAN
from torch import nn

from stargan import bulk, zoo
from stargan.fan import FANConfig
from stargan.files import checkpoint, published
from stargan.model import Model, build
from stargan.networks import Discriminator, ModelConfig

CONFIG = ModelConfig(image_size=64, domains=("a", "b"), hidden_dim=24, base_channels=4, max_channels=16)
FAN_98 = FANConfig(width=16)


def model(w_hpf: float = 1.0, fan: FANConfig | None = None, seed: int = 0) -> Model:
    torch.manual_seed(seed)
    return build(ModelConfig(image_size=64, domains=("a", "b"), hidden_dim=24, base_channels=4, max_channels=16, w_hpf=w_hpf), fan)


def states(of: Model) -> dict[str, Any]:
    return {name: OrderedDict(net.state_dict()) for name, net in of.networks.items()}


def with_discriminator(of: Model) -> dict[str, Any]:
    return states(of) | {"discriminator": OrderedDict(Discriminator(of.config).state_dict())}


def flat(nets: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    return {f"{prefix}{name}.{key}": value for name, state in nets.items() for key, value in state.items()}


def same(a: Model, b: Model) -> bool:
    x, y = flat(states(a)), flat(states(b))
    shared = [k for k in x if not k.startswith("fan.")]
    return all(torch.equal(x[k], y[k]) for k in shared) and a.config.image_size == b.config.image_size


@pytest.fixture(autouse=True)
def nothing_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARGAN_CACHE", str(tmp_path / "cache"))


AVERAGED, RAW = model(seed=1), model(seed=2)
FORMS: dict[str, tuple[Callable[[], Any], Model, tuple[str, ...]]] = {
    "published": (lambda: states(AVERAGED), AVERAGED, ()),
    "with a discriminator": (lambda: with_discriminator(RAW), RAW, ("left aside in {}: discriminator", "not the averaged ones")),
    "our training checkpoint": (
        lambda: {
            "iteration": 7, "best": {}, "networks": with_discriminator(RAW), "averaged": states(AVERAGED), "optimisers": {"x": {}},
            "run": {"domains": ["cold", "warm"], "sources": [], "name": "mine", "licence": "CC0"},
        },
        AVERAGED,
        ("left aside in {}: networks, optimisers, discriminator",),
    ),
    "averages beside the others": (
        lambda: {**with_discriminator(RAW), **{f"{k}_ema": v for k, v in states(AVERAGED).items()}, "epoch": 3},
        AVERAGED,
        ("left aside in {}: discriminator",),
    ),
    "averages under a key": (
        lambda: {"nets": states(RAW), "nets_ema": states(AVERAGED), "step": torch.tensor(3)},
        AVERAGED,
        ("left aside in {}: nets",),
    ),
    "one flat dict": (lambda: flat(states(AVERAGED)), AVERAGED, ()),
    "a flat dict with averages": (
        lambda: {"state_dict": {**flat(states(RAW)), **{k.replace(".", "_ema.", 1): v for k, v in flat(states(AVERAGED)).items()}}},
        AVERAGED,
        (),
    ),
    "of DataParallel": (lambda: {n: {f"module.{k}": v for k, v in s.items()} for n, s in states(RAW).items()}, RAW, ()),
    "with the arguments of its script": (
        lambda: {"args": argparse.Namespace(img_size=64, lr=1e-4), "state_dict": states(RAW), "optimizer": {"g": {"groups": []}}},
        RAW,
        (),
    ),
    "of torch.compile and DataParallel": (
        lambda: {n: {f"module._orig_mod.{k}": v for k, v in s.items()} for n, s in states(RAW).items()}, RAW, ()
    ),
    "wrapped as a whole": (lambda: {f"module.{n}": s for n, s in states(RAW).items()}, RAW, ()),
    "one network wrapped": (
        lambda: {**states(RAW), "generator": {f"module.{k}": v for k, v in states(RAW)["generator"].items()}}, RAW, ()
    ),
    "averages alone": (lambda: {f"{n}_ema": s for n, s in states(AVERAGED).items()}, AVERAGED, ()),
    "averages alone, named in front": (lambda: {f"ema_{n}": s for n, s in states(AVERAGED).items()}, AVERAGED, ()),
    "of Lightning": (
        lambda: {"state_dict": flat(states(RAW), "nets."), "hyper_parameters": {"lr": 1e-4}, "callbacks": {}, "loops": {}}, RAW, ()
    ),
    "of Lightning, averaged too": (
        lambda: {"state_dict": {**flat(states(RAW), "model."), **flat(states(AVERAGED), "model_ema.")}}, AVERAGED, ()
    ),
    "names of classes": (
        lambda: {"Generator": states(RAW)["generator"], "MappingNetwork": states(RAW)["mapping_network"],
                 "StyleEncoder": states(RAW)["style_encoder"]}, RAW, ()
    ),
    "names of one letter": (
        lambda: {"G": states(RAW)["generator"], "F": states(RAW)["mapping_network"], "E": states(RAW)["style_encoder"],
                 "G_ema": states(AVERAGED)["generator"], "F_ema": states(AVERAGED)["mapping_network"],
                 "E_ema": states(AVERAGED)["style_encoder"]}, AVERAGED, ()
    ),
    "with counters and a layer more": (
        lambda: {n: {**s, "total_ops": torch.zeros(1), "head.weight": torch.zeros(2)} for n, s in states(RAW).items()},
        RAW,
        ("left aside in {}: generator.head.weight, generator.total_ops",),
    ),
    "in double precision": (lambda: {n: {k: v.double() for k, v in s.items()} for n, s in states(RAW).items()}, RAW, ()),
    "as parameters": (lambda: {n: {k: nn.Parameter(v) for k, v in s.items()} for n, s in states(RAW).items()}, RAW, ()),
    "a discriminator of another shape": (
        lambda: {**states(RAW), "discriminator": Discriminator(ModelConfig(image_size=128, base_channels=4)).state_dict()},
        RAW,
        ("left aside in {}: discriminator",),
    ),
    "with further networks": (
        lambda: {**states(RAW), "critic": {"weight": torch.zeros(1)}}, RAW, ("left aside in {}: critic",)
    ),
}  # fmt: skip


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".PTH"])
@pytest.mark.parametrize("form", FORMS)
def test_what_can_be_used_is_used_and_the_rest_is_named(tmp_path: Path, form: str, suffix: str) -> None:
    content, wanted, sentences = FORMS[form]
    path = tmp_path / f"nets{suffix}"
    torch.save(content(), path)
    found = zoo.load(str(path))
    assert same(wanted, found)
    said = "\n".join(found.notes)
    for sentence in sentences:
        assert sentence.format(path.name) in said
    if form == "our training checkpoint":
        assert (found.name, found.licence, found.config.domains) == ("mine", "CC0", ("cold", "warm"))
    else:
        assert found.config.domains == ("domain 1", "domain 2") and "domain 1, domain 2; give others by --domains" in said
    assert "FAN" in said and found.fan is not None


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_read(tmp_path: Path, kind: torch.dtype) -> None:
    torch.save({n: {k: v.to(kind) for k, v in s.items()} for n, s in states(RAW).items()}, tmp_path / "x.pt")
    found = zoo.load(str(tmp_path / "x.pt"))
    weight = found.generator.from_rgb.weight
    assert weight.dtype == torch.float32 and torch.equal(weight, RAW.generator.from_rgb.weight.to(kind).float())


@pytest.mark.parametrize("name", ["nets", "nets.ckpt.1", "weights.zip", "nets.data", "old.bin"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_is_known_by_what_it_holds(tmp_path: Path, name: str, zipped: bool) -> None:
    torch.save(states(RAW), tmp_path / name, _use_new_zipfile_serialization=zipped)
    assert same(RAW, zoo.load(str(tmp_path / name)))


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
@pytest.mark.parametrize("averaged", [False, True])
def test_safetensors_of_others(tmp_path: Path, metadata: dict[str, str] | None, averaged: bool) -> None:
    tensors = flat(states(RAW))
    if averaged:
        tensors |= {key.replace(".", "_ema.", 1): value for key, value in flat(states(AVERAGED)).items()}
    safetensors.torch.save_file(tensors, tmp_path / "x.safetensors", metadata)
    found = zoo.load(str(tmp_path / "x.safetensors"), domains=("cold", "warm"))
    assert same(AVERAGED if averaged else RAW, found) and found.config.domains == ("cold", "warm") and found.fan is not None
    with pytest.raises(checkpoint.CheckpointError, match=r"if it is a StarGAN v2 of others, name its domains \(--domains\)"):
        zoo.load(str(tmp_path / "x.safetensors"))
    safetensors.torch.save_file({"unet.weight": torch.zeros(1)}, tmp_path / "x.safetensors", metadata)
    with pytest.raises(checkpoint.CheckpointError, match=r"x.safetensors holds no StarGAN v2 \(but unet.weight\)"):
        zoo.load(str(tmp_path / "x.safetensors"), domains=("cold", "warm"))


@pytest.mark.parametrize("size,domains", [(128, ("a", "b")), (64, ("a", "b", "c"))])
def test_a_discriminator_that_does_not_fit_is_none(tmp_path: Path, size: int, domains: tuple[str, ...]) -> None:
    path = tmp_path / "x_nets.ckpt"
    judge = Discriminator(ModelConfig(image_size=size, domains=domains, base_channels=4, max_channels=16))
    torch.save({**states(RAW), "discriminator": judge.state_dict()}, path)
    assert zoo.discriminator(str(path)) is None and "discriminator" in "".join(zoo.load(str(path)).notes)
    with pytest.raises(checkpoint.CheckpointError, match=r"x_nets\.ckpt"):
        checkpoint.load_discriminator(path)


NO_MODELS = {
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "pointer of Git LFS.*git lfs pull"),
    "a page": (b"\n<!DOCTYPE html><html>", "is a web page"),
    "nothing": (b"", "is empty; fetch it again"),
    "a text": (b"hello", "cut off|no checkpoint"),
}


@pytest.mark.parametrize("name", ["x.ckpt", "x.safetensors", "x"])
@pytest.mark.parametrize("kind", NO_MODELS)
def test_files_that_are_no_models_say_what_they_are(tmp_path: Path, kind: str, name: str) -> None:
    content, sentence = NO_MODELS[kind]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(checkpoint.CheckpointError, match=sentence) as error:
        zoo.load(str(tmp_path / name))
    assert str(tmp_path / name) in str(error.value)


def test_archives_and_exports_are_no_models(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("x.ckpt", b"x")
    (tmp_path / "x.onnx").write_bytes(b"\x08\x08")
    for name, sentence in (("x.zip", "is an archive; unpack it"), ("x.onnx", "is an ONNX file, which can be written but not read")):
        with pytest.raises(checkpoint.CheckpointError, match=f"{name} {sentence}"):
            zoo.load(str(tmp_path / name))


def test_source_only_domains_of_a_training_checkpoint_are_no_domains(tmp_path: Path) -> None:
    run = {"domains": ["a"], "sources": ["b"], "name": "mine"}
    torch.save({"averaged": states(RAW), "networks": with_discriminator(RAW), "run": run}, tmp_path / "checkpoint-1.pt")
    found = zoo.load(str(tmp_path / "checkpoint-1.pt"))
    assert found.config.domains == ("a",) and len(found.style_encoder.unshared) == len(found.mapping_network.unshared) == 1
    assert torch.equal(found.style_encoder.unshared[0].weight, RAW.style_encoder.unshared[0].weight)
    judge, config = checkpoint.load_discriminator(tmp_path / "checkpoint-1.pt")
    assert judge.main[-1].out_channels == 1 and config == found.config


def test_a_discriminator_is_found_in_the_file_or_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "100_nets_ema.ckpt"
    torch.save(states(AVERAGED), path)
    assert zoo.discriminator(str(path)) is None
    with pytest.raises(checkpoint.CheckpointError, match="has no discriminator"):
        checkpoint.load_discriminator(path)
    content = with_discriminator(RAW)
    torch.save(content, tmp_path / "100_nets.ckpt")
    assert zoo.discriminator(str(path)) == zoo.discriminator(str(tmp_path / "100_nets.ckpt")) == tmp_path / "100_nets.ckpt"
    judge, config = checkpoint.load_discriminator(tmp_path / "100_nets.ckpt", ("female", "male"))
    assert config.domains == ("female", "male")
    assert torch.equal(judge.main[0].weight, content["discriminator"]["main.0.weight"])


def test_a_training_checkpoint_without_facts_has_them_beside_it(tmp_path: Path) -> None:
    torch.save({"averaged": states(RAW), "networks": with_discriminator(RAW)}, tmp_path / "checkpoint-1.pt")
    (tmp_path / "config.json").write_text(json.dumps({"domains": ["cold", "warm"], "name": "older"}))
    assert zoo.load(str(tmp_path / "checkpoint-1.pt")).config.domains == ("cold", "warm")
    (tmp_path / "config.json").write_text("{")
    assert zoo.load(str(tmp_path / "checkpoint-1.pt")).config.domains == ("domain 1", "domain 2")


def test_what_no_shape_tells_is_in_the_facts_of_a_run(tmp_path: Path) -> None:
    flags = {"last_shortcut": True, "subsampled_chroma": True}
    content = {"averaged": states(RAW), "networks": with_discriminator(RAW), "run": {"domains": ["a", "b"]}}
    torch.save(content, tmp_path / "checkpoint-1.pt")

    def found() -> dict[str, bool]:
        config = zoo.load(str(tmp_path / "checkpoint-1.pt")).config
        return {name: getattr(config, name) for name in flags}

    assert found() == dict.fromkeys(flags, False)
    # Runs that did not write it down have left it beside the file.
    (tmp_path / "config.json").write_text(json.dumps(flags))
    assert found() == flags
    (tmp_path / "config.json").unlink()
    torch.save(content | {"run": {"domains": ["a", "b"]} | flags}, tmp_path / "checkpoint-1.pt")
    assert found() == flags


def test_the_filter_is_a_constant(tmp_path: Path) -> None:
    content = states(model(w_hpf=1.0))
    del content["generator"]["hpf.filter"]
    torch.save(content, tmp_path / "nets.ckpt")
    found = published.load(tmp_path / "nets.ckpt")
    assert found.config.w_hpf == 1.0 and any("high-pass filter" in note for note in found.notes)
    assert torch.equal(found.generator.hpf.filter, model(w_hpf=1.0).generator.hpf.filter)
    assert published.load(tmp_path / "nets.ckpt", w_hpf=4.0).config.w_hpf == 4.0
    torch.save(states(model(w_hpf=0.0)), tmp_path / "free.ckpt")
    assert published.load(tmp_path / "free.ckpt").config.w_hpf == 0.0


def wing(path: Path) -> nn.Module:
    fan = build(CONFIG, FAN_98).fan
    torch.save({"epoch": 1, "state_dict": {**fan.state_dict(), "l1.weight": torch.zeros(1)}}, path)
    return fan


def test_its_fan_is_given_or_was_downloaded_or_lent(tmp_path: Path) -> None:
    torch.save(states(RAW), tmp_path / "nets.ckpt")
    name = str(tmp_path / "nets.ckpt")
    lent = zoo.load(name)
    assert lent.fan.config.landmarks == 68 and any("--wing wing.ckpt" in note for note in lent.notes)
    given = wing(tmp_path / "wing.ckpt")
    found = zoo.load(name, wing=tmp_path / "wing.ckpt")
    assert torch.equal(found.fan.conv1.conv.weight, given.conv1.conv.weight)
    assert not any("mask" in note for note in found.notes)
    checkpoint.save_fan(build(CONFIG, TINY_FAN).fan, tmp_path / "fan.safetensors")
    assert zoo.load(name, wing=tmp_path / "fan.safetensors").fan.config == TINY_FAN
    here = tmp_path / "cache" / "celeba-hq-256" / "wing.ckpt"
    here.parent.mkdir(parents=True)
    here.write_bytes((tmp_path / "wing.ckpt").read_bytes())
    found = zoo.load(name)
    assert found.fan.config == FAN_98 and any("celeba-hq-256" in note for note in found.notes)


def test_the_fan_of_a_run_lies_in_its_model(tmp_path: Path) -> None:
    torch.save({"averaged": states(RAW), "networks": with_discriminator(RAW)}, tmp_path / "checkpoint-1.pt")
    checkpoint.save(model(fan=TINY_FAN), tmp_path / "model.safetensors")
    assert zoo.load(str(tmp_path / "checkpoint-1.pt")).fan.config == TINY_FAN


def test_a_fan_for_a_model_without_masks_is_refused(tmp_path: Path) -> None:
    torch.save(states(model(w_hpf=0.0)), tmp_path / "nets.ckpt")
    wing(tmp_path / "wing.ckpt")
    with pytest.raises(zoo.ZooError, match="trained without masks"):
        zoo.load(str(tmp_path / "nets.ckpt"), wing=tmp_path / "wing.ckpt")


@pytest.mark.parametrize("form", ["nets.ckpt", "model.safetensors"])
def test_domains_are_named(tmp_path: Path, form: str) -> None:
    path = tmp_path / form
    if form.endswith(".ckpt"):
        torch.save(states(RAW), path)
    else:
        checkpoint.save(RAW, path)
    found = zoo.load(str(path), domains=("female", "male"))
    assert found.config.domains == ("female", "male") and not any("names" in note for note in found.notes)
    assert bulk.translator(str(path), ("female", "male")).model.config.domains == ("female", "male")
    for names in (("one",), ("a", "b", "c")):
        with pytest.raises(checkpoint.CheckpointError, match=rf"{form} has 2 domains, but {len(names)} name"):
            zoo.load(str(path), domains=names)
    with pytest.raises(checkpoint.CheckpointError, match="each once"):
        zoo.load(str(path), domains=("a", "a"))

"""Model files that cannot be used: each is refused with what to give instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from material import TINY_FAN, portrait
from test_models_in import CONFIG, RAW, nothing_downloaded, states, wing  # noqa: F401  # a fixture for every test
from torch import nn

from stargan import zoo
from stargan.files import checkpoint, published
from stargan.model import build
from stargan.networks import Discriminator


class Program(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


def coloured(channels: int) -> dict[str, Any]:
    content = states(RAW)
    for name, key in (("generator", "from_rgb.weight"), ("style_encoder", "shared.0.weight")):
        content[name][key] = torch.zeros(content[name][key].shape[0], channels, 3, 3)
    return content


def oblong() -> dict[str, Any]:
    content = states(RAW)
    old = content["style_encoder"]["shared.6.weight"]
    content["style_encoder"]["shared.6.weight"] = torch.zeros(*old.shape[:2], 4, 8)
    return content


def small() -> dict[str, Any]:
    """As if for 32 px: a block less in generator and style encoder."""
    content = states(RAW)
    content["generator"] = {k: v for k, v in content["generator"].items() if not k.startswith("encode.4.")}
    encoder = {k: v for k, v in content["style_encoder"].items() if not k.startswith("shared.4.")}
    content["style_encoder"] = {k.replace("shared.6.", "shared.5."): v for k, v in encoder.items()}
    return content


def changed(how: Callable[[str, torch.Tensor], Any], more: str = "") -> dict[str, Any]:
    """With another generator; None takes a tensor away."""
    content = states(RAW)
    new = {key: how(key, value) for key, value in content["generator"].items()}
    content["generator"] = {k: v for k, v in new.items() if v is not None} | ({more: torch.zeros(1)} if more else {})
    return content


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "optimisers": (
        lambda p: torch.save({name: {"state": {}, "param_groups": [{"lr": 1.0}]} for name in published.NETWORKS}, p),
        r"state of optimisers.*give the \*_nets_ema",
    ),
    "a FAN": (wing, r"face alignment network; give it by --wing"),
    "a generator": (lambda p: torch.save(RAW.generator.state_dict(), p), "holds a generator alone; a model needs"),
    "a style encoder": (lambda p: torch.save(RAW.style_encoder.state_dict(), p), "holds a style encoder alone"),
    "a mapping network": (lambda p: torch.save(RAW.mapping_network.state_dict(), p), "holds a mapping network alone"),
    "two of three": (lambda p: torch.save({k: v for k, v in states(RAW).items() if k != "style_encoder"}, p), "'style_encoder'"),
    "another network": (lambda p: torch.save({"main.0.weight": torch.zeros(1)}, p), r"holds no StarGAN v2 \(but main.0.weight\)"),
    "a whole module": (lambda p: torch.save(RAW.generator, p), r"program objects \(stargan.networks.Generator\).*state_dict"),
    "a TorchScript program": (lambda p: torch.jit.script(Program()).save(str(p)), "TorchScript program"),
    "grey pictures": (lambda p: torch.save(coloured(1), p), "pictures of 1 channels; only models for three"),
    "pictures with alpha": (lambda p: torch.save(coloured(4), p), "pictures of 4 channels; only models for three"),
    "oblong pictures": (lambda p: torch.save(oblong(), p), "pictures of 128 x 64 px; only models for square"),
    "a network of ours with a layer more inside": (
        lambda p: torch.save(changed(lambda k, v: v, more="decode.0.conv3.weight"), p), "generator.decode.0.conv3.weight"
    ),
    "a layer less": (
        lambda p: torch.save(changed(lambda k, v: None if "to_rgb" in k else v), p), "lacks key 'generator.to_rgb"
    ),
    "integers": (
        lambda p: torch.save(changed(lambda k, v: v.int()), p), "torch.int32"
    ),
    "no numbers": (
        lambda p: torch.save(changed(lambda k, v: v / 0 if k == "to_rgb.2.bias" else v), p), "generator.to_rgb.2.bias.* no numbers"
    ),
    "small pictures": (lambda p: torch.save(small(), p), "pictures of 32 px; only models for 64, 128, 256, 512, 1024 px"),
}  # fmt: skip


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".pth"])
@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_used_says_what_to_give(tmp_path: Path, kind: str, suffix: str) -> None:
    write, sentence = REFUSED[kind]
    path = tmp_path / f"x{suffix}"
    write(path)
    with pytest.raises(checkpoint.CheckpointError, match=sentence) as error:
        zoo.load(str(path))
    assert str(path) in str(error.value) and ("surplus" not in str(error.value) or "more inside" in kind)


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(zoo.ZooError, match=r"is a folder; give the file of a model in it, such as .*model\.safetensors"):
        zoo.load(str(tmp_path))


@pytest.mark.parametrize("name", ["a.ckpt", "a.safetensors"])
def test_a_folder_or_a_pattern_is_no_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    for load in (checkpoint.load, checkpoint.load_fan, published.load, published.load_fan):
        with pytest.raises(checkpoint.CheckpointError, match=f"{name} is a folder; give the file in it"):
            load(tmp_path / name)
        with pytest.raises(checkpoint.CheckpointError, match=r"there is no model file .*\* \(a pattern that nothing fits\)"):
            load(tmp_path / "*")
    with pytest.raises(zoo.ZooError, match=r"'\*\.ckpt' \(a pattern that nothing fits\)"):
        zoo.load("*.ckpt")


def test_files_of_ours_that_are_no_models_say_what_they_are(tmp_path: Path) -> None:
    whole, fan, judge = (tmp_path / f"{name}.safetensors" for name in ("model", "fan", "discriminator"))
    net = build(CONFIG, TINY_FAN)
    checkpoint.save(net, whole)
    checkpoint.save_fan(net.fan, fan)
    checkpoint.save_discriminator(Discriminator(CONFIG), CONFIG, judge)
    for path, load, sentence in (
        (fan, checkpoint.load, "is a face alignment network; give it by --wing"),
        (judge, checkpoint.load, "is a discriminator alone; give the model that it was trained with"),
        (whole, checkpoint.load_fan, "is a whole model; give it by --model"),
        (whole, checkpoint.load_discriminator, "is a whole model; give it by --model"),
    ):
        with pytest.raises(checkpoint.CheckpointError, match=rf"{path.name} {sentence}"):
            load(path)


def test_a_picture_is_no_model(tmp_path: Path) -> None:
    for format in ("PNG", "JPEG", "WEBP"):
        portrait(1, 64).save(tmp_path / "m.safetensors", format)
        with pytest.raises(checkpoint.CheckpointError, match="is a picture, not a model; give the file of one"):
            checkpoint.load(tmp_path / "m.safetensors")

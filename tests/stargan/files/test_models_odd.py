"""Model files that contradict themselves, or are packed as few are."""

from __future__ import annotations

import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from stargan import zoo
from stargan.files import checkpoint
from stargan.model import Model, build
from stargan.networks import ModelConfig

CONFIG = ModelConfig(image_size=64, domains=("a", "b"), hidden_dim=24, base_channels=4, max_channels=16)
RAW = build(CONFIG)


def states(of: Model) -> dict[str, Any]:
    return {name: OrderedDict(net.state_dict()) for name, net in of.networks.items()}


def test_the_model_beside_a_file_lends_its_fan_where_it_is_one_of_ours(tmp_path: Path) -> None:
    """As others call theirs model.safetensors, too, and as it is none beside itself."""
    for name in ("model.safetensors", "other.safetensors"):
        tensors = {f"{net}.{key}": x.contiguous() for net, state in states(RAW).items() for key, x in state.items()}
        safetensors.torch.save_file(tensors, tmp_path / name)
    for name in ("model.safetensors", "other.safetensors"):
        found = zoo.load(str(tmp_path / name), domains=CONFIG.domains)
        assert found.fan.config.landmarks == 68 and any("bundled FAN" in note for note in found.notes)


@pytest.mark.parametrize(
    "content",
    [
        states(RAW) | {"run": {"domains": ["x", "y"], "frame": torch.zeros(68, 2)}},
        states(RAW) | {"generator": 5, "generator.from_rgb.weight": torch.zeros(1)},
        {"module.generator": 5, "z": {"q": 1}},
    ],
    ids=["a frame of numbers", "a generator that is none, and one", "a number"],
)
def test_files_that_contradict_themselves_are_refused_by_a_sentence(tmp_path: Path, content: dict[str, Any]) -> None:
    torch.save(content, tmp_path / "nets.pt")
    with pytest.raises(ValueError, match="nets"):
        zoo.load(str(tmp_path / "nets.pt"))


def test_an_archive_of_a_later_version_is_no_model(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "nets.pt", "w") as archive:
        archive.writestr("nets/data.pkl", "nothing")
    content = bytearray((tmp_path / "nets.pt").read_bytes())
    content[content.rfind(b"PK\x01\x02") + 6] = 99
    (tmp_path / "nets.pt").write_bytes(content)
    with pytest.raises(ValueError, match="nets"):
        zoo.load(str(tmp_path / "nets.pt"))


def test_values_that_changed_since_they_were_written_are_refused(tmp_path: Path) -> None:
    """By the checksums of torch.save, unless it was told to write none."""
    path = tmp_path / "nets.pt"
    for checked in (True, False):
        torch.serialization.set_crc32_options(checked)
        try:
            torch.save(states(RAW), path)
        finally:
            torch.serialization.set_crc32_options(True)
        assert zoo.load(str(path)).config.image_size == 64
    torch.save(states(RAW), path)
    content = path.read_bytes()
    weight = RAW.generator.from_rgb.weight.numpy().tobytes()
    assert weight in content
    path.write_bytes(content.replace(weight, bytes(len(weight))))
    with pytest.raises(ValueError, match=r"nets\.pt is damaged: its values are not those that were written"):
        zoo.load(str(path))


def test_a_model_is_known_by_its_content_where_its_name_says_another(tmp_path: Path) -> None:
    torch.save(states(RAW), tmp_path / "nets.safetensors")
    checkpoint.save(RAW, tmp_path / "nets.ckpt")
    for name in ("nets.safetensors", "nets.ckpt"):
        assert zoo.load(str(tmp_path / name)).config.image_size == 64


def test_eight_bits_are_read(tmp_path: Path) -> None:
    checkpoint.save(RAW, tmp_path / "model.safetensors")
    with safetensors.safe_open(tmp_path / "model.safetensors", "pt") as file:
        tensors, facts = {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118
    small = {key: value.to(torch.float8_e4m3fn) if value.is_floating_point() else value for key, value in tensors.items()}
    safetensors.torch.save_file(small, tmp_path / "model.safetensors", facts)
    assert zoo.load(str(tmp_path / "model.safetensors")).config == CONFIG

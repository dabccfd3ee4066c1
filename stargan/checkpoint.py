"""Models on disk: our safetensors with their configuration inside, and the published .ckpt. Nothing read here can run code."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from stargan.fan import FAN, FANConfig
from stargan.networks import Generator, MappingNetwork, ModelConfig, StyleEncoder

FORMAT = "stargan-v2"


class CheckpointError(ValueError):
    """A model file that cannot be used; the sentence names the file, and the key where there is one."""


@dataclass
class Model:
    """What inference needs. The networks are in eval mode, without gradients."""

    config: ModelConfig
    generator: nn.Module
    mapping_network: nn.Module
    style_encoder: nn.Module
    fan: FAN | None = None
    name: str = ""
    licence: str = ""

    @property
    def networks(self) -> dict[str, nn.Module]:
        nets = {
            "generator": self.generator,
            "mapping_network": self.mapping_network,
            "style_encoder": self.style_encoder,
        }
        return nets | ({"fan": self.fan} if self.fan is not None else {})


def build(config: ModelConfig, fan: FANConfig | None = None, name: str = "", licence: str = "") -> Model:
    """A model of this shape, its parameters as PyTorch initialises them."""
    networks = Generator(config), MappingNetwork(config), StyleEncoder(config)
    model = Model(config, *networks, FAN(fan) if fan is not None else None, name, licence)
    for net in model.networks.values():
        net.eval().requires_grad_(False)
    return model


def save(model: Model, path: Path | str, dtype: torch.dtype = torch.float32) -> None:
    """Writes a model as safetensors, floating-point tensors as dtype, the configuration in the metadata.

    The file appears under its name only when it is whole.
    """
    tensors = {
        f"{net}.{key}": value
        for net, module in model.networks.items()
        for key, value in module.state_dict().items()
    }
    facts = {"config": dataclasses.asdict(model.config)} | (
        {"fan": dataclasses.asdict(model.fan.config)} if model.fan else {}
    )
    metadata = {"format": FORMAT, "name": model.name, "licence": model.licence} | {
        k: json.dumps(v) for k, v in facts.items()
    }
    _write(tensors, metadata, Path(path), dtype)


def save_fan(fan: FAN, path: Path | str, dtype: torch.dtype = torch.float32) -> None:
    """Writes a FAN alone, as `save` does a model."""
    tensors = {f"fan.{key}": value for key, value in fan.state_dict().items()}
    _write(tensors, {"format": FORMAT, "fan": json.dumps(dataclasses.asdict(fan.config))}, Path(path), dtype)


def _write(tensors: Mapping[str, Tensor], metadata: dict[str, str], path: Path, dtype: torch.dtype) -> None:
    ready = {
        k: v.detach().to("cpu", dtype if v.is_floating_point() else v.dtype).contiguous()
        for k, v in tensors.items()
    }
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            file.write(safetensors.torch.save(ready, metadata))
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load(path: Path | str, domains: Sequence[str] | None = None) -> Model:
    """Reads a model, always as float32: our safetensors, or a published .ckpt (see `load_published`)."""
    path = Path(path)
    if path.suffix == ".ckpt":
        return load_published(path, domains)
    tensors, metadata = _read(path)
    config = _configuration(ModelConfig, metadata, "config", path)
    fan = _configuration(FANConfig, metadata, "fan", path) if "fan" in metadata else None
    model = build(config, fan, metadata.get("name", ""), metadata.get("licence", ""))
    _fill(model.networks, tensors, path)
    return model


def load_fan(path: Path | str) -> FAN:
    """Reads a FAN written by `save_fan`, in eval mode; CheckpointError where the file is missing or wrong."""
    tensors, metadata = _read(Path(path))
    fan = FAN(_configuration(FANConfig, metadata, "fan", Path(path))).eval().requires_grad_(False)
    _fill({"fan": fan}, tensors, Path(path))
    return fan


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not path.is_file():
        raise CheckpointError(f"there is no model file {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is no safetensors file, or cut off ({error}); fetch or write it again"
        ) from None
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} was not written by this project: its metadata has no format {FORMAT!r}"
        )
    return tensors, metadata


def _configuration(kind: Any, metadata: Mapping[str, str], key: str, path: Path) -> Any:
    try:
        values = json.loads(metadata[key])
        return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    except KeyError:
        raise CheckpointError(
            f"{path} has no {key!r} in its metadata; it is not the kind of model asked for"
        ) from None
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"the metadata {key!r} of {path} cannot be used: {error}") from None


def _fill(networks: Mapping[str, nn.Module], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Loads tensors named `<network>.<key>`, all of them and no others."""
    expected = {
        f"{name}.{key}": value for name, net in networks.items() for key, value in net.state_dict().items()
    }
    for key in sorted(expected.keys() ^ tensors.keys()):
        raise CheckpointError(
            f"{path} {'lacks' if key in expected else 'has a surplus'} key {key!r}; it is of another shape"
        )
    for key, tensor in tensors.items():
        if tensor.shape != expected[key].shape:
            raise CheckpointError(
                f"{key!r} of {path} is {list(tensor.shape)}, but has to be {list(expected[key].shape)}"
            )
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{key!r} of {path} holds values that are no numbers; the file is damaged")
    for name, net in networks.items():
        prefix = f"{name}."
        net.load_state_dict(
            {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}, strict=True
        )


def load_published(path: Path | str, domains: Sequence[str] | None = None) -> Model:
    """Reads a checkpoint as published (`100000_nets_ema.ckpt`): one dict of state_dicts `generator`, `mapping_network`,
    `style_encoder` and, where there are masks, `fan`.

    The configuration follows from the shapes. domains are names for the branches, `domain 0` and so on by default.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no model file {path}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        KeyError,
        AttributeError,
        UnicodeDecodeError,
    ):
        raise CheckpointError(f"{path} is no checkpoint of tensors, or cut off; fetch it again") from None
    networks = ("generator", "mapping_network", "style_encoder", "fan")
    tensors = {}
    for name in networks:
        if name not in content if isinstance(content, dict) else True:
            if name == "fan":
                continue
            raise CheckpointError(
                f"{path} has no {name!r}; a published checkpoint holds {', '.join(networks[:3])}"
            )
        for key, value in content[name].items():
            if not isinstance(value, Tensor):
                raise CheckpointError(f"{name}.{key} of {path} is no tensor")
            tensors[f"{name}.{key.removeprefix('module.')}"] = value
    config = _infer(tensors, domains, path)
    model = build(config, FANConfig() if "fan" in content else None, name=path.stem)
    _fill(model.networks, tensors, path)
    return model


def _infer(tensors: Mapping[str, Tensor], domains: Sequence[str] | None, path: Path) -> ModelConfig:
    """The configuration that tensors of these shapes belong to."""

    def shape(key: str) -> torch.Size:
        if key not in tensors:
            raise CheckpointError(f"{path} lacks key {key!r}; it is no StarGAN v2 checkpoint")
        return tensors[key].shape

    def count(prefix: str, suffix: str) -> int:
        return sum(k.startswith(prefix) and k.endswith(suffix) for k in tensors)

    blocks = count("style_encoder.shared.", ".conv1.weight")
    branches = count("style_encoder.unshared.", ".weight")
    if domains is not None and len(domains) != branches:
        raise CheckpointError(
            f"{path} has {branches} domains, but {len(domains)} names were given: {', '.join(domains)}"
        )
    w_hpf = 0.0
    if "generator.hpf.filter" in tensors:
        w_hpf = 8 / tensors["generator.hpf.filter"].flatten()[4].item()
    try:
        config = ModelConfig(
            image_size=2 ** (blocks + 2),
            domains=tuple(domains) if domains is not None else tuple(f"domain {i}" for i in range(branches)),
            style_dim=shape("mapping_network.unshared.0.6.weight")[0],
            latent_dim=shape("mapping_network.shared.0.weight")[1],
            hidden_dim=shape("mapping_network.shared.0.weight")[0],
            w_hpf=w_hpf,
            base_channels=shape("generator.from_rgb.weight")[0],
            max_channels=max(v.shape[0] for k, v in tensors.items() if k.startswith("generator.encode.")),
        )
    except (ValueError, IndexError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path} is of no known shape: {error}") from None
    # With a cap that the widths never reach, any larger cap gives the same shapes; name the published one.
    reached = config.width(int(math.log2(config.image_size)) - 2)
    return dataclasses.replace(config, max_channels=512) if reached < config.max_channels else config

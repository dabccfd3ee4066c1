"""Models on disk: our safetensors with their configuration inside, and the published .ckpt. Nothing read here can run code."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from stargan.fan import FAN, FANConfig
from stargan.files import whole
from stargan.model import Model, build
from stargan.networks import Discriminator, HighPass, ModelConfig

FORMAT = "stargan-v2"
NETWORKS = ("generator", "mapping_network", "style_encoder")
# Without a bound, a forged depth would keep the constructor of the hourglass busy for ever.
MAX_FAN_DEPTH = 6


class CheckpointError(ValueError):
    """A model file that cannot be used; the sentence names the file, and the key where there is one."""


def save(model: Model, path: Path | str, dtype: torch.dtype = torch.float32) -> None:
    """Writes a model as safetensors, floating-point tensors as dtype, the configuration in the metadata.

    The file appears under its name only when it is whole.
    """
    tensors = {f"{net}.{key}": value for net, module in model.networks.items() for key, value in module.state_dict().items()}
    facts = {"config": dataclasses.asdict(model.config)} | ({"fan": dataclasses.asdict(model.fan.config)} if model.fan else {})
    metadata = {"format": FORMAT, "name": model.name, "licence": model.licence} | {k: json.dumps(v) for k, v in facts.items()}
    _write(tensors, metadata, Path(path), dtype)


def save_fan(fan: FAN, path: Path | str, dtype: torch.dtype = torch.float32) -> None:
    """Writes a FAN alone, as `save` does a model."""
    tensors = {f"fan.{key}": value for key, value in fan.state_dict().items()}
    _write(tensors, {"format": FORMAT, "fan": json.dumps(dataclasses.asdict(fan.config))}, Path(path), dtype)


def discriminator_path(model: Path | str) -> Path:
    """Where the discriminator that a model was trained with lies: beside the model's file."""
    path = Path(model)
    return path.with_name("discriminator.safetensors" if path.stem == "model" else f"{path.stem}-discriminator.safetensors")


def save_discriminator(
    discriminator: Discriminator, config: ModelConfig, path: Path | str, dtype: torch.dtype = torch.float32
) -> None:
    """Writes a discriminator alone, as `save` does a model; config.domains name its branches."""
    tensors = {f"discriminator.{key}": value for key, value in discriminator.state_dict().items()}
    _write(tensors, {"format": FORMAT, "discriminator": json.dumps(dataclasses.asdict(config))}, Path(path), dtype)


def load_discriminator(path: Path | str) -> tuple[Discriminator, ModelConfig]:
    """Reads a discriminator written by `save_discriminator`, as float32; CheckpointError where the file is missing or wrong."""
    tensors, metadata = _read(Path(path))
    config = _configuration(ModelConfig, metadata, "discriminator", Path(path))
    with torch.device("meta"):
        discriminator = Discriminator(config)
    _fill({"discriminator": discriminator}, tensors, Path(path))
    return discriminator, config


def _write(tensors: Mapping[str, Tensor], metadata: dict[str, str], path: Path, dtype: torch.dtype) -> None:
    ready = {k: v.detach().to("cpu", dtype if v.is_floating_point() else v.dtype).contiguous() for k, v in tensors.items()}
    with whole(path) as partial:
        partial.write_bytes(safetensors.torch.save(ready, metadata))


def load(path: Path | str, domains: Sequence[str] | None = None) -> Model:
    """Reads a model, always as float32: our safetensors, or a published .ckpt (see `load_published`)."""
    path = Path(path)
    if path.suffix == ".ckpt":
        return load_published(path, domains)
    tensors, metadata = _read(path)
    config = _configuration(ModelConfig, metadata, "config", path)
    fan = _configuration(FANConfig, metadata, "fan", path) if "fan" in metadata else None
    model = _blank(config, fan, path)
    model.name, model.licence = metadata.get("name", ""), metadata.get("licence", "")
    _fill(model.networks, tensors, path)
    return model


def _blank(config: ModelConfig, fan: FANConfig | None, path: Path) -> Model:
    """A model without memory for its values yet, so that a forged size costs nothing."""
    try:
        with torch.device("meta"):
            return build(config, fan)
    except (RuntimeError, OverflowError) as error:
        raise CheckpointError(f"{path} asks for networks that are too large; use another file") from error


def load_fan(path: Path | str) -> FAN:
    """Reads a FAN written by `save_fan`, in eval mode; CheckpointError where the file is missing or wrong."""
    tensors, metadata = _read(Path(path))
    config = _configuration(FANConfig, metadata, "fan", Path(path))
    with torch.device("meta"):
        fan = FAN(config)
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
        raise CheckpointError(f"{path} is no safetensors file, or cut off ({error}); fetch or write it again") from None
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path} was not written by this project: its metadata has no format {FORMAT!r}")
    return tensors, metadata


def _configuration(kind: Any, metadata: Mapping[str, str], key: str, path: Path) -> Any:
    """The configuration under a key of the metadata, each field of the type that its default has."""
    if key not in metadata:
        raise CheckpointError(f"{path} has no {key!r} in its metadata; it is not the kind of model asked for")
    try:
        values = json.loads(metadata[key])
    except (ValueError, RecursionError):
        raise CheckpointError(f"the metadata {key!r} of {path} is not JSON; fetch or write the file again") from None
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}
    if not isinstance(values, dict) or set(values) != set(defaults):
        raise CheckpointError(f"the metadata {key!r} of {path} does not hold exactly {', '.join(defaults)}")
    for name, default in defaults.items():
        if not _like(values[name], default) or (name == "depth" and values[name] > MAX_FAN_DEPTH):
            raise CheckpointError(f"{name!r} cannot be {str(values[name])[:60]} in the metadata {key!r} of {path}")
    try:
        return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    except ValueError as error:
        raise CheckpointError(f"the metadata {key!r} of {path} cannot be used: {error}") from None


def _like(value: Any, default: Any) -> bool:
    """Whether a value from JSON can stand for a field: positive integers, finite numbers, texts, lists of 1 to 1000 of them."""
    if isinstance(default, tuple):
        return isinstance(value, list) and 1 <= len(value) <= 1000 and all(_like(v, default[0]) for v in value)
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, int | float) and abs(value) < 1e6
    if isinstance(default, str):
        return isinstance(value, str) and bool(value)
    # base_channels is written as resolved, so that no whole number is 0 here.
    return isinstance(value, int) and 1 <= value < 2**20


def _fill(networks: Mapping[str, nn.Module], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Loads tensors named `<network>.<key>`, all of them and no others."""
    expected = {f"{name}.{key}": value for name, net in networks.items() for key, value in net.state_dict().items()}
    for key in sorted(expected.keys() ^ tensors.keys()):
        raise CheckpointError(f"{path} {'lacks' if key in expected else 'has a surplus'} key {key!r}; it is of another shape")
    for key, tensor in tensors.items():
        if tensor.shape != expected[key].shape:
            raise CheckpointError(f"{key!r} of {path} is {list(tensor.shape)}, but has to be {list(expected[key].shape)}")
        if tensor.is_floating_point() != expected[key].is_floating_point() or tensor.is_complex():
            raise CheckpointError(f"{key!r} of {path} is {tensor.dtype}, but has to be {expected[key].dtype}")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{key!r} of {path} holds values that are no numbers; the file is damaged")
    for name, net in networks.items():
        # Copies, because a mapped file that is cut short later would bring the process down.
        state = {key: tensors[f"{name}.{key}"].to(value.dtype, copy=True).contiguous() for key, value in net.state_dict().items()}
        net.load_state_dict(state, assign=True)
        net.eval().requires_grad_(False)


def load_published(path: Path | str, domains: Sequence[str] | None = None, w_hpf: float = 0.0) -> Model:
    """Reads a checkpoint as published (`100000_nets_ema.ckpt`): one dict of state_dicts `generator`, `mapping_network`,
    `style_encoder` and, where there are masks, `fan`.

    The configuration follows from the shapes. domains are names for the branches, `domain 0` and so on by default. w_hpf: the
    divisor of the high-pass filter where the file may lack it, as its authors' first code did not save it.
    """
    path = Path(path)
    content = _read_published(path)
    if w_hpf and isinstance(content, dict) and isinstance(generator := content.get("generator"), dict):
        generator.setdefault("hpf.filter", HighPass(w_hpf).filter)
    tensors = _flat(content, path)
    config = _infer(tensors, domains, path)
    model = _blank(config, _infer_fan(tensors, path) if "fan" in content else None, path)
    model.name = path.stem
    _fill(model.networks, tensors, path)
    return model


def load_published_fan(path: Path | str) -> FAN:
    """Reads the published FAN (`wing.ckpt`): what of its `state_dict` is not in our network belongs to its training."""
    path = Path(path)
    content = _read_published(path)
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise CheckpointError(f"{path} has no 'state_dict'; it is not the published FAN")
    tensors = {f"fan.{key.removeprefix('module.')}": value for key, value in state.items() if isinstance(value, Tensor)}
    with torch.device("meta"):
        fan = FAN(_infer_fan(tensors, path))
    wanted = {f"fan.{key}" for key in fan.state_dict()}
    _fill({"fan": fan}, {key: value for key, value in tensors.items() if key in wanted}, path)
    return fan


def _read_published(path: Path) -> Any:
    """What is in a .ckpt; what would run code is refused."""
    if not path.is_file():
        raise CheckpointError(f"there is no model file {path}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception:  # torch promises no set of exceptions for files that are broken or forbidden
        raise CheckpointError(f"{path} is no checkpoint of tensors, or cut off; fetch it again") from None


def _flat(content: Any, path: Path) -> dict[str, Tensor]:
    """The tensors of a dict of state_dicts as `<network>.<key>`, without the prefix that DataParallel puts before keys."""
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds no dict of networks; a published checkpoint has {', '.join(NETWORKS)}")
    for name in [name for name in NETWORKS if name not in content]:
        raise CheckpointError(f"{path} has no {name!r}; a published checkpoint holds {', '.join(NETWORKS)}")
    tensors = {}
    for name, state in content.items():
        if name not in (*NETWORKS, "fan"):
            raise CheckpointError(f"{path} has a surplus key {name!r}; it may hold {', '.join(NETWORKS)} and fan")
        if not isinstance(state, dict) or not state or not all(isinstance(key, str) for key in state):
            raise CheckpointError(f"{name!r} of {path} is no dict of tensors; the file is damaged")
        prefix = "module." if all(key.startswith("module.") for key in state) else ""
        for key, value in state.items():
            dense = isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"
            if not dense or value.is_quantized:
                raise CheckpointError(f"{name}.{key} of {path} is no dense tensor; the file is damaged")
            tensors[f"{name}.{key.removeprefix(prefix)}"] = value
    return tensors


def _shape(tensors: Mapping[str, Tensor], key: str, dimensions: int, path: Path) -> torch.Size:
    if key not in tensors:
        raise CheckpointError(f"{path} lacks key {key!r}; it is no StarGAN v2 checkpoint")
    shape = tensors[key].shape
    if len(shape) != dimensions or 0 in shape:
        raise CheckpointError(f"{key!r} of {path} is {list(shape)}, but has to have {dimensions} dimensions")
    return shape


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """One more than the largest number that the pattern's group finds at the start of a key; 0 where it finds none."""
    return max((int(match[1]) for key in tensors if (match := re.match(pattern, key))), default=-1) + 1


def _infer_fan(tensors: Mapping[str, Tensor], path: Path) -> FANConfig:
    """The FAN that tensors of these shapes belong to; the input size leaves no trace in them and is the published one."""
    outputs = _shape(tensors, "fan.l0.weight", 4, path)[0]
    depth = _count(tensors, r"fan\.m0\.b1_(\d{1,3})\.") - 1
    if outputs not in (68, 69, 98, 99):
        raise CheckpointError(f"'fan.l0.weight' of {path} makes {outputs} heatmaps, but has to make 68 or 98")
    if not 1 <= depth <= MAX_FAN_DEPTH:
        raise CheckpointError(f"'fan.m0' of {path} has {max(depth, 0)} levels, but has to have 1 to {MAX_FAN_DEPTH}")
    boundary = outputs in (69, 99)
    width = _shape(tensors, "fan.conv_last0.weight", 4, path)[0]
    coords = _shape(tensors, "fan.conv1.conv.weight", 4, path)[1] == 6
    try:
        return FANConfig(outputs - boundary, width, depth=depth, coords=coords, boundary=boundary)
    except ValueError as error:
        raise CheckpointError(f"'fan' of {path} is of no known shape: {error}") from None


def _infer(tensors: Mapping[str, Tensor], domains: Sequence[str] | None, path: Path) -> ModelConfig:
    """The configuration that tensors of these shapes belong to."""

    blocks = _count(tensors, r"style_encoder\.shared\.(\d{1,2})\.conv1\.weight") - 1
    branches = _count(tensors, r"mapping_network\.unshared\.(\d{1,3})\.")
    if domains is not None and len(domains) != branches:
        raise CheckpointError(f"{path} has {branches} domains, but {len(domains)} names were given: {', '.join(domains)}")
    w_hpf = 0.0
    if "generator.hpf.filter" in tensors:
        shape = _shape(tensors, "generator.hpf.filter", 2, path)
        middle = tensors["generator.hpf.filter"][1, 1].item() if shape == (3, 3) else math.nan
        if not 0 < middle < math.inf:
            raise CheckpointError(f"'generator.hpf.filter' of {path} is no 3x3 high-pass filter; the file is damaged")
        # 8 / w_hpf was rounded to float32, hence the rounding back.
        w_hpf = float(f"{8 / middle:.6g}")
    by_generator = _count(tensors, r"generator\.encode\.(\d{1,2})\.") + 2 - (w_hpf > 0)
    if by_generator != blocks + 2:
        raise CheckpointError(
            f"{path}: the blocks of 'generator.encode' stand for 2**{by_generator} px and those of "
            f"'style_encoder.shared' for 2**{blocks + 2} px; blocks are missing, or of two models"
        )
    hidden, latent = _shape(tensors, "mapping_network.shared.0.weight", 2, path)
    style = _shape(tensors, "mapping_network.unshared.0.6.weight", 2, path)[0]
    base = _shape(tensors, "generator.from_rgb.weight", 4, path)[0]
    trunks = ("generator.encode.", "style_encoder.shared.")
    widths = [v.shape[0] for k, v in tensors.items() if k.startswith(trunks) and v.dim() == 4]
    try:
        config = ModelConfig(
            image_size=2**by_generator,
            domains=tuple(domains) if domains is not None else tuple(f"domain {i}" for i in range(branches)),
            style_dim=style,
            latent_dim=latent,
            hidden_dim=hidden,
            w_hpf=w_hpf,
            base_channels=base,
            max_channels=max(widths),
        )
    except ValueError as error:
        raise CheckpointError(f"{path} is of no known shape: {error}") from None
    # With a cap that the widths never reach, any larger cap gives the same shapes; name the published one.
    reached = config.width(int(math.log2(config.image_size)) - 2)
    return dataclasses.replace(config, max_channels=512) if reached < config.max_channels else config

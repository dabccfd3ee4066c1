"""Models on disk, as safetensors with their configuration inside. Nothing read here can run code."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from stargan.fan import FAN, FANConfig
from stargan.files import published, whole
from stargan.files.kinds import is_checkpoint, missing, no_model
from stargan.files.tensors import MAX_FAN_DEPTH, CheckpointError, blank, fill, framed, known_aligner, named
from stargan.model import Model
from stargan.networks import Discriminator, ModelConfig

FORMAT = "stargan-v2"
# Fields that files written before they were there do not have.
LATER = ("last_shortcut", "subsampled_chroma")
# What a file is by the configuration that its metadata have, and where to give it.
KINDS = {
    "config": "a whole model; give it by --model",
    "fan": "a face alignment network; give it by --wing, and a model by --model",
    "discriminator": "a discriminator alone; give the model that it was trained with",
}


def save(model: Model, path: Path | str, dtype: torch.dtype = torch.float32) -> None:
    """Writes a model as safetensors, floating-point tensors as dtype, the configuration in the metadata.

    The file appears under its name only when it is whole.
    """
    tensors = {f"{net}.{key}": value for net, module in model.networks.items() for key, value in module.state_dict().items()}
    facts: dict[str, Any] = {"config": dataclasses.asdict(model.config), "sources": model.sources}
    facts |= {"fan": dataclasses.asdict(model.fan.config)} if model.fan else {}
    facts |= {"frame": model.frame.tolist()} if model.frame is not None else {}
    texts = {"format": FORMAT, "name": model.name, "licence": model.licence}
    texts |= {"aligner": model.aligner} if model.aligner is not None else {}
    metadata = texts | {k: json.dumps(v) for k, v in facts.items()}
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


def load_discriminator(path: Path | str, domains: Sequence[str] | None = None) -> tuple[Discriminator, ModelConfig]:
    """Reads a discriminator, as float32: one written by `save_discriminator`, or that of a training run's checkpoint. domains: as
    for `load`. CheckpointError where the file is missing or wrong, or has none."""
    path = Path(path)
    if path.is_file() and is_checkpoint(path):
        return published.load_discriminator(path, domains)
    tensors, metadata = _read(path)
    config = _configuration(ModelConfig, metadata, "discriminator", path)
    with torch.device("meta"):
        discriminator = Discriminator(config)
    fill({"discriminator": discriminator}, tensors, path)
    return discriminator, config if domains is None else named(config, domains, path)


def _write(tensors: Mapping[str, Tensor], metadata: dict[str, str], path: Path, dtype: torch.dtype) -> None:
    ready = {k: v.detach().to("cpu", dtype if v.is_floating_point() else v.dtype).contiguous() for k, v in tensors.items()}
    with whole(path) as partial:
        partial.write_bytes(safetensors.torch.save(ready, metadata))


def load(path: Path | str, domains: Sequence[str] | None = None) -> Model:
    """Reads a model, always as float32: our safetensors, or a checkpoint of a training run (see `published.load`); safetensors of
    others where their domains are named.

    domains: other names for the branches than the file has, in their order.
    """
    path = Path(path)
    if path.is_file() and is_checkpoint(path):
        return published.load(path, domains)
    tensors, metadata = _read(path, ours=domains is None)
    if metadata.get("format") != FORMAT:
        return published.of(tensors, path, domains)
    config = _configuration(ModelConfig, metadata, "config", path)
    if domains is not None:
        config = named(config, domains, path)
    fan = _configuration(FANConfig, metadata, "fan", path) if "fan" in metadata else None
    model = blank(config, fan, path, free=any(key.startswith("free.") for key in tensors))
    model.name, model.licence = metadata.get("name", ""), metadata.get("licence", "")
    model.sources = _sources(metadata.get("sources", "[]"), path)
    # Older files have neither.
    model.aligner = known_aligner(metadata.get("aligner"), path)
    model.frame = framed(_parsed(metadata["frame"]), path) if "frame" in metadata else None
    fill(model.networks, tensors, path)
    return model


def load_fan(path: Path | str) -> FAN:
    """Reads a FAN written by `save_fan`, in eval mode; CheckpointError where the file is missing or wrong."""
    tensors, metadata = _read(Path(path))
    if "config" in metadata:
        raise CheckpointError(f"{path} is {KINDS['config']}, and by --wing a file with a face alignment network alone")
    config = _configuration(FANConfig, metadata, "fan", Path(path))
    with torch.device("meta"):
        fan = FAN(config)
    fill({"fan": fan}, tensors, Path(path))
    return fan


def is_ours(path: Path) -> bool:
    """Whether `save` and its like wrote a file, that can be read."""
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("format") == FORMAT
    except (SafetensorError, OSError):
        return False


def _read(path: Path, ours: bool = True) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not path.is_file():
        raise CheckpointError(missing(path))
    if words := no_model(path):
        raise CheckpointError(f"{path} {words}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is no safetensors file, or cut off ({error}); fetch or write it again") from None
    # The input of a FAN leaves no trace in its shapes.
    if metadata.get("format") != FORMAT and (ours or any(key.startswith("fan.") for key in tensors)):
        advice = "; if it is a StarGAN v2 of others, name its domains (--domains)" * ours
        raise CheckpointError(f"{path} was not written by this project: its metadata has no format {FORMAT!r}{advice}")
    return tensors, metadata


def _configuration(kind: Any, metadata: Mapping[str, str], key: str, path: Path) -> Any:
    """The configuration under a key of the metadata, each field of the type that its default has."""
    if key not in metadata:
        found = next((words for other, words in KINDS.items() if other in metadata), "")
        raise CheckpointError(f"{path} is {found}" if found else f"{path} has no {key!r} in its metadata; fetch or write it again")
    try:
        values = json.loads(metadata[key])
    except (ValueError, RecursionError):
        raise CheckpointError(f"the metadata {key!r} of {path} is not JSON; fetch or write the file again") from None
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}
    if isinstance(values, dict):
        values = {name: defaults[name] for name in LATER if name in defaults} | values
    if not isinstance(values, dict) or set(values) != set(defaults):
        raise CheckpointError(f"the metadata {key!r} of {path} does not hold exactly {', '.join(defaults)}")
    for name, default in defaults.items():
        if not _like(values[name], default) or (name == "depth" and values[name] > MAX_FAN_DEPTH):
            raise CheckpointError(f"{name!r} cannot be {str(values[name])[:60]} in the metadata {key!r} of {path}")
    try:
        return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    except ValueError as error:
        raise CheckpointError(f"the metadata {key!r} of {path} cannot be used: {error}") from None


def _parsed(text: str) -> Any:
    """What JSON says; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _sources(text: str, path: Path) -> tuple[str, ...]:
    names = _parsed(text)
    if names != [] and not _like(names, ("",)):
        raise CheckpointError(f"the metadata 'sources' of {path} is no list of domains; fetch or write the file again")
    return tuple(names)


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

"""Checkpoints of training runs as models: the published .ckpt, and the .pt and .pth that this project and others write.

They hold state dicts by the name of the network, often beside what only training needs. Averaged networks are taken before others,
and what is left aside is named in the model's notes. Nothing that would run code is read.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stargan.fan import FAN, FANConfig
from stargan.files.kinds import missing, no_model
from stargan.files.naming import ALONE, State, grouped, is_averaged, kind, named_alike, network, unwrapped
from stargan.files.tensors import MAX_FAN_DEPTH, NETWORKS, CheckpointError, blank, fill, framed, known_aligner, named
from stargan.model import Model
from stargan.networks import IMAGE_SIZES, Discriminator, HighPass, ModelConfig

W_HPF = 1.0  # of the published model with masks
UNSEEN = ("last_shortcut", "subsampled_chroma")  # of a configuration: what no shape of a weight tells
NEEDED = f"a model needs {', '.join(NETWORKS[:-1])} and {NETWORKS[-1]}"
# Training scripts keep their arguments in checkpoints; a Namespace does nothing but hold them.
torch.serialization.add_safe_globals([argparse.Namespace])


def load(path: Path | str, domains: Sequence[str] | None = None, w_hpf: float = 0.0) -> Model:
    """Reads the networks of a checkpoint: one dict of state dicts `generator`, `mapping_network`, `style_encoder` and, where there
    are masks, `fan`, as published (`100000_nets_ema.ckpt`), or such a dict under a key, as in `checkpoint-*.pt` of our runs.

    The configuration follows from the shapes. domains are names for the branches; by default those that the run has left, else
    `domain 1` and so on. w_hpf: the divisor of the high-pass filter where the file lacks that constant, the published 1 by default.
    `Model.notes` says what was guessed and what was left aside.
    """
    path = Path(path)
    return of(_read(path), path, domains, w_hpf)


def of(content: Any, path: Path, domains: Sequence[str] | None = None, w_hpf: float = 0.0) -> Model:
    """As `load`, of what is in a file already; path is for sentences."""
    states, notes = _networks(content, path)
    facts = _facts(content, path)
    tensors = _flat({k: v for k, v in states.items() if k != "discriminator"}, path)
    if free := _free(content, facts):
        tensors |= _flat({"free": free}, path)
    if facts.get("sources"):
        tensors = _without_branches(tensors, len(facts["domains"]))
    # With masks, the generator halves the side once more.
    masked = _count(tensors, r"generator\.encode\.(\d{1,2})\.") == _halvings(tensors, "style_encoder.shared") + 1
    if masked and "generator.hpf.filter" not in tensors:
        tensors["generator.hpf.filter"] = HighPass(w_hpf or W_HPF).filter
        if not w_hpf:
            notes.append(f"its high-pass filter is not in the file, and was built with the published w_hpf of {W_HPF:g}")
    unseen: dict[str, Any] = {name: True for name in UNSEEN if facts.get(name) is True}
    config = dataclasses.replace(_infer(tensors, path), **unseen)
    if domains is None and facts.get("domains"):
        domains = facts["domains"]
    if domains is not None:
        config = named(config, domains, path)
    else:
        notes.append(f"its domains have no names, so they are called {', '.join(config.domains)}; give others by --domains")
    model = blank(config, _infer_fan(tensors, path) if "fan" in states else None, path, free=bool(free))
    model.name, model.licence = facts.get("name") or path.stem, facts.get("licence") or ""
    if counters := _counters(model.networks, tensors):
        notes.append(f"left aside in {path.name}: {', '.join(counters)[:200]}")
        tensors = {key: value for key, value in tensors.items() if key not in counters}
    model.notes = tuple(notes)
    model.frame = framed(facts["frame"], path) if facts.get("frame") is not None else None
    model.aligner = known_aligner(facts.get("aligner"), path)
    fill(model.networks, tensors, path)
    return model


def load_discriminator(path: Path | str, domains: Sequence[str] | None = None) -> tuple[Discriminator, ModelConfig]:
    """The discriminator of a checkpoint and the configuration that it belongs to; CheckpointError where the file has none that fits
    its other networks."""
    path = Path(path)
    content = _read(path)
    states, _ = _networks(content, path)
    if "discriminator" not in states:
        raise CheckpointError(f"{path} has no discriminator; give the *_nets.ckpt or checkpoint-*.pt of the run")
    config = of(content, path, domains).config
    tensors = _flat({"discriminator": states["discriminator"]}, path)
    last = f"discriminator.main.{_halvings(tensors, 'discriminator.main') + 4}"
    judged = len(tensors[f"{last}.weight"]) if f"{last}.weight" in tensors else 0
    if judged > len(config.domains) and _facts(content, path).get("sources"):
        for key in (f"{last}.weight", f"{last}.bias"):
            tensors[key] = tensors[key][: len(config.domains)]  # those of source-only domains come last
    elif judged != len(config.domains):
        raise CheckpointError(f"the discriminator of {path} is for {judged} domains, its other networks for {len(config.domains)}")
    with torch.device("meta"):
        discriminator = Discriminator(config)
    fill({"discriminator": discriminator}, tensors, path)
    return discriminator, config


def has_discriminator(path: Path) -> bool:
    """Whether a checkpoint holds one that fits its other networks."""
    try:
        load_discriminator(path)
    except CheckpointError:
        return False
    return True


def load_fan(path: Path | str) -> FAN:
    """Reads the published FAN (`wing.ckpt`): what of its `state_dict` is not in our network belongs to its training."""
    path = Path(path)
    content = _read(path)
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise CheckpointError(f"{path} has no 'state_dict'; it is not the published FAN")
    tensors = {f"fan.{unwrapped(key)}": value for key, value in state.items() if isinstance(value, Tensor)}
    with torch.device("meta"):
        fan = FAN(_infer_fan(tensors, path))
    wanted = {f"fan.{key}" for key in fan.state_dict()}
    fill({"fan": fan}, {key: value for key, value in tensors.items() if key in wanted}, path)
    return fan


def _read(path: Path) -> Any:
    """What is in a file of torch.save; what would run code is refused."""
    if not path.is_file():
        raise CheckpointError(missing(path))
    if words := no_model(path):
        raise CheckpointError(f"{path} {words}")
    try:
        with path.open("rb") as file:  # whose name PyTorch would believe
            return torch.load(file, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # torch promises no set of exceptions for files that are broken or forbidden
        if match := re.search(r"Unsupported (?:global|class|operand): (?:GLOBAL )?([\w.]+)", str(error)):
            raise CheckpointError(
                f"{path} holds program objects ({match[1]}), which could run anything once they are opened; write values alone, "
                "by torch.save({name: net.state_dict() for name, net in ...}), and give that file"
            ) from None
        raise CheckpointError(f"{path} is no checkpoint of tensors, or cut off; fetch it again") from None


def _networks(content: Any, path: Path) -> tuple[dict[str, State], list[str]]:
    """The state dicts of a checkpoint by network, averaged ones where there are such, and sentences on what was left aside."""
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds no dict of networks; {NEEDED}, each a state dict under its name")
    content = named_alike(content)
    places = [("", content), *((str(key), part) for key, part in content.items() if isinstance(part, dict))]
    found = [(label, part, states) for label, part in places if (states := grouped(part)).keys() >= set(NETWORKS)]
    if not found:
        raise CheckpointError(_refusal(content, path))
    label, part, states = max(found, key=lambda place: _is_averaged(place[0], place[1]))
    if any("param_groups" in states[name] for name in NETWORKS):
        raise CheckpointError(f"{path} holds the state of optimisers, not networks; give the *_nets_ema.ckpt of the same iteration")
    for name in ("fan", "discriminator"):
        states |= next(({name: other[name]} for _, _, other in found if name in other), {}) if name not in states else {}
    left = [str(key) for key, value in content.items() if key != label and _holds(value) and network(str(key)) not in states]
    if part is not content:
        left += [str(key) for key, value in part.items() if _holds(value) and network(str(key)) not in states]
    left += ["discriminator"] * ("discriminator" in states)
    notes = [f"left aside in {path.name}: {', '.join(dict.fromkeys(left))[:200]}"] if left else []
    if "discriminator" in states and not _is_averaged(label, part):
        notes.append("its networks are not the averaged ones, which make better pictures (published as *_nets_ema.ckpt)")
    return states, notes


def _holds(value: Any) -> bool:
    """Whether a value is more than a fact about the run."""
    if isinstance(value, dict):
        return any(isinstance(v, dict | Tensor) for v in value.values())
    return isinstance(value, Tensor) and value.dim() > 0


def _is_averaged(label: str, part: State) -> bool:
    return is_averaged(label) or any(is_averaged(str(key).partition(".")[0]) for key in part)


def _refusal(content: State, path: Path) -> str:
    keys = {unwrapped(str(key)) for key in content}
    inner = content.get("state_dict")
    if isinstance(inner, dict) and any(unwrapped(str(key)).startswith("l0.") for key in inner):
        return f"{path} is a face alignment network; give it by --wing, and a model by --model"
    if some := [name for name in NETWORKS if name in keys]:
        missing = next((name for name in NETWORKS if name not in some or not isinstance(content.get(name), dict)), NETWORKS[0])
        return f"{path} has no networks under {missing!r}; {NEEDED}"
    if (alone := kind(content)) or (alone := next(filter(None, map(kind, content.values())), "")):
        return f"{path} holds {ALONE[alone]} alone; {NEEDED}, each a state dict under its name in one file"
    names = ", ".join(sorted(keys)[:6])[:120]
    return f"{path} holds no StarGAN v2 ({f'but {names}' if names else 'it is empty'}); {NEEDED}, each a state dict under its name"


def _facts(content: State, path: Path) -> dict[str, Any]:
    """What a run of ours has left about itself, in its checkpoint or, the older ones, in config.json beside it."""
    facts = content.get("run", {})
    if "averaged" in content and isinstance(facts, dict) and not facts.keys() >= set(UNSEEN):
        with contextlib.suppress(OSError, ValueError, TypeError):
            facts = json.loads(path.with_name("config.json").read_text(encoding="utf-8")) | facts
    if not isinstance(facts, dict):
        return {}
    names = {key: facts.get(key) for key in ("domains", "sources")}
    texts = {key: facts.get(key) for key in ("name", "licence")}
    good: dict[str, Any] = {
        k: tuple(v) for k, v in names.items() if isinstance(v, list | tuple) and all(isinstance(n, str) for n in v)
    }
    good |= {key: facts.get(key) for key in ("frame", "aligner", *UNSEEN)}
    return good | {k: v for k, v in texts.items() if isinstance(v, str)} if good.get("domains") else {}


def _free(content: State, facts: Mapping[str, Any]) -> State:
    """The state dict of the free generator of a run of ours that trains two; empty where there is none."""
    averaged = content.get("averaged") if facts else None
    free = averaged.get("free") if isinstance(averaged, dict) else None
    return free if isinstance(free, dict) else {}


def _counters(networks: Mapping[str, nn.Module], tensors: Mapping[str, Tensor]) -> list[str]:
    """Keys of what others have added to networks: counters of operations, layers that they train beside ours. Nothing inside of
    ours, which would make them others."""
    expected = {f"{name}.{key}" for name, net in networks.items() for key in net.state_dict()}
    parts = {key.rpartition(".")[0] for key in expected} | {".".join(key.split(".")[:2]) for key in expected}
    return sorted(
        key
        for key in tensors.keys() - expected
        if key.endswith((".total_ops", ".total_params"))
        or not any(key == part or key.startswith(f"{part}.") for part in parts - set(networks))
    )


def _without_branches(tensors: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """Without the branches of source-only domains, which come after the others."""
    pattern = re.compile(r"(?:mapping_network|style_encoder)\.unshared\.(\d+)\.")
    return {k: v for k, v in tensors.items() if (match := pattern.match(k)) is None or int(match[1]) < count}


def _flat(states: Mapping[str, State], path: Path) -> dict[str, Tensor]:
    """The tensors of state dicts as `<network>.<key>`, without what DataParallel and torch.compile put before keys."""
    tensors = {}
    for name, state in states.items():
        if not state or not all(isinstance(key, str) for key in state):
            raise CheckpointError(f"{name!r} of {path} is no dict of tensors; the file is damaged")
        for key, value in state.items():
            dense = isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"
            if not dense or value.is_quantized:
                raise CheckpointError(f"{name}.{key} of {path} is no dense tensor; the file is damaged")
            tensors[f"{name}.{unwrapped(key)}"] = value
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


def _halvings(tensors: Mapping[str, Tensor], trunk: str) -> int:
    """How often style encoder or discriminator halve the side."""
    return _count(tensors, re.escape(trunk) + r"\.(\d{1,2})\.conv1\.weight") - 1


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


def _check_pictures(tensors: Mapping[str, Tensor], blocks: int, path: Path) -> None:
    """CheckpointError for a model of other pictures than square ones, of three channels, of a size that there are networks for."""
    first = ("generator.from_rgb.weight", "style_encoder.shared.0.weight")
    colours = {_shape(tensors, key, 4, path)[1] for key in first}
    if colours != {3}:
        found = " and ".join(map(str, sorted(colours)))
        raise CheckpointError(f"{path} is for pictures of {found} channels; only models for three (RGB) can be used")
    kernel = _shape(tensors, f"style_encoder.shared.{blocks + 2}.weight", 4, path)[2:]
    if kernel != (4, 4):
        raise CheckpointError(
            f"{path} is for pictures of {kernel[1] * 2**blocks} x {kernel[0] * 2**blocks} px; only models for square pictures, "
            "the side a power of two, can be used"
        )
    if 2 ** (blocks + 2) not in IMAGE_SIZES:
        sizes = ", ".join(map(str, IMAGE_SIZES))
        raise CheckpointError(f"{path} is for pictures of {2 ** (blocks + 2)} px; only models for {sizes} px can be used")


def _infer(tensors: Mapping[str, Tensor], path: Path) -> ModelConfig:
    """The configuration that tensors of these shapes belong to, its domains numbered."""
    blocks = _halvings(tensors, "style_encoder.shared")
    branches = _count(tensors, r"mapping_network\.unshared\.(\d{1,3})\.")
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
    _check_pictures(tensors, blocks, path)
    hidden, latent = _shape(tensors, "mapping_network.shared.0.weight", 2, path)
    style = _shape(tensors, "mapping_network.unshared.0.6.weight", 2, path)[0]
    base = _shape(tensors, "generator.from_rgb.weight", 4, path)[0]
    trunks = ("generator.encode.", "style_encoder.shared.")
    widths = [v.shape[0] for k, v in tensors.items() if k.startswith(trunks) and v.dim() == 4]
    try:
        config = ModelConfig(
            image_size=2**by_generator,
            domains=tuple(f"domain {i + 1}" for i in range(branches)),
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

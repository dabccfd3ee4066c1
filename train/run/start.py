"""Where a run begins that starts from a model."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Sequence
from pathlib import Path

import torch
from torch import nn

from stargan.files import checkpoint
from stargan.model import Model
from stargan.networks import IMAGE_SIZES, Discriminator, ModelConfig
from train import data
from train.config import ConfigError, TrainConfig
from train.step import growth
from train.step.state import State

FREE = ("domains", "mask_sizes", "subsampled_chroma")  # of a model's configuration: what the shapes of weights do not depend on


def check_shape(config: TrainConfig, model: Model) -> None:
    """ConfigError where a run can neither start with the weights of this model nor with what it grows into."""
    wanted, found = config.model, model.config
    if growth.can_grow(found, wanted):
        return
    if changes := _changes(wanted, found):
        sentence = f"{model.name or 'the model'} to start from has another shape than this run; make them alike: {changes}"
        if 2 * found.image_size <= max(IMAGE_SIZES) and found.base_channels > 1:
            twice = dataclasses.replace(found, image_size=2 * found.image_size, base_channels=found.base_channels // 2)
            sentence += f"; or, to grow it to twice its side: {_changes(wanted, twice, growth.OWN)}"
        raise ConfigError(sentence)


def _changes(wanted: ModelConfig, found: ModelConfig, free: Collection[str] = ()) -> str:
    """What to add to a command so that the run has that shape, but for FREE and these settings."""
    names = [f.name for f in dataclasses.fields(wanted) if f.name not in {*FREE, *free}]
    return " ".join(f"--set {name}={getattr(found, name)}" for name in names if getattr(wanted, name) != getattr(found, name))


def begin(state: State, model: Model, discriminator: Path | None, pictures: data.Pictures) -> str:
    """Starts a run with the weights of a model, grown first where it is half as large, and with those of the discriminator that
    lies in that file. Returns a sentence on what became of the domains."""
    config = state.config
    check_shape(config, model)
    if growth.can_grow(model.config, config.model):
        model = growth.grow(model, config.model, pictures, config.seed)
    for name in state.averaged:
        # A model without likeness to choose begins as both ends of the line.
        take_over(state.networks[name], model.networks.get(name, model.generator), config.model.domains, model.config.domains)
        state.averaged[name].load_state_dict(state.networks[name].state_dict())
    known = [d for d in config.model.domains if d in model.config.domains]
    new = [d for d in config.model.domains if d not in known]
    words = [f"{', '.join(known)} as in {model.name}"] * bool(known) + [f"{', '.join(new)} from the mean of all"] * bool(new)
    if discriminator is None:
        return "; ".join([*words, "the discriminator untrained"])
    judge, judged = checkpoint.load_discriminator(discriminator, model.config.domains)
    if growth.can_grow(judged, config.model):
        judge = growth.grow_discriminator(judge, config.model, pictures, config.seed)
    elif dataclasses.replace(judged, **{name: getattr(config.model, name) for name in FREE}) != config.model:
        return "; ".join([*words, f"the discriminator untrained, as {discriminator.name} is of another shape"])
    take_over(state.discriminator, judge, config.model.domains, judged.domains)
    return "; ".join([*words, f"the discriminator as in {discriminator.name}"])


@torch.no_grad()
def take_over(net: nn.Module, other: nn.Module, domains: Sequence[str], known: Sequence[str]) -> None:
    """Copies the parameters of a network of other domains: a domain that it knows by name keeps its branch, the branch of a new one
    starts as the mean of all."""
    values, own = other.state_dict(), net.state_dict()
    # Where domains are channels: of the discriminator's last layer, and of each of the projected one's.
    last = re.compile(f"main\\.{len(net.main) - 1}\\." if isinstance(net, Discriminator) else r"heads\.\d+\.5\.")
    origins = [[known.index(d)] if d in known else list(range(len(known))) for d in domains]
    for key, value in own.items():
        if key.startswith("unshared."):
            _, branch, rest = key.split(".", 2)
            value.copy_(torch.stack([values[f"unshared.{i}.{rest}"] for i in origins[int(branch)]]).mean(0))
        elif last.match(key) and len(value) == len(domains):
            value.copy_(torch.stack([values[key][old].mean(0) for old in origins]))
        else:
            value.copy_(values[key])

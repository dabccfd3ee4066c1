"""A model of twice the side from a smaller one: progressive growing (arXiv 1710.10196) for a model that has been trained already.

All blocks of the smaller model are kept. What lies outside of them, the first block of generator and style encoder and the last of
the decoder, is new, and fitted to what the smaller model does. Colour and contrast pass the decoder's normalisations as the height
of steep features, which a block that begins anew cannot read: after minutes of fitting its pictures are fog with spots. So the new
last block has a shortcut (`last_shortcut`), which hands on as they are those of the old last features that tell most of the
picture, and the rest of the block, silent at first, learns what is missing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from stargan.faces.masks import face_masks
from stargan.model import Model, build
from stargan.networks import Discriminator, Generator, ModelConfig
from stargan.precision import autocast
from train import data

OWN = ("last_shortcut", "subsampled_chroma")  # of a configuration: what a grown model decides for itself
BATCH = 4
ENCODER_STEPS, DECODER_STEPS = 300, 200
RATE = 2e-3  # of the new blocks
SEEN = 16  # batches that the choice of features is made on


def can_grow(small: ModelConfig, large: ModelConfig) -> bool:
    """Whether a model of one shape can be made from one of the other: twice the side, half the first width, all else the same."""
    outer = {name: getattr(large, name) for name in ("image_size", "base_channels", "domains", *OWN)}
    twice = large.image_size == 2 * small.image_size and 2 * large.base_channels == small.base_channels
    return twice and dataclasses.replace(small, **outer) == large


def grow(small: Model, config: ModelConfig, pictures: data.Pictures, seed: int = 0, scale: float = 1.0) -> Model:
    """A model of the shape `config`, with the domains of `small`, that does what `small` does at half the side, enlarged.

    pictures: any of those that it will be used on, of at least the large side. scale: of the numbers of steps. The same seed gives
    the same model on one machine.
    """
    config = dataclasses.replace(config, domains=small.config.domains)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        large = build(config, small.fan.config if small.fan is not None else None, small.name, small.licence)
    if small.fan is not None and large.fan is not None:
        large.fan.load_state_dict(small.fan.state_dict())
    for net in large.networks.values():
        net.to(memory_format=torch.channels_last)
    large.mapping_network.load_state_dict(small.mapping_network.state_dict())
    take_over(large.generator, small.generator)
    take_over(large.style_encoder, small.style_encoder)
    sample = Sample(pictures, config.image_size, np.random.default_rng(seed))
    g, small_g = large.generator, small.generator
    _fit(
        [g.from_rgb, g.encode[0]],
        lambda: _feature_error(lambda x: g.encode[0](g.from_rgb(x)), small_g.from_rgb, sample),
        round(scale * ENCODER_STEPS),
        "encoder",
    )
    _fit_trunk(large.style_encoder.shared, small.style_encoder.shared, sample, scale, "style encoder")
    if config.last_shortcut:
        hand_on(large.generator, small, sample)
    fit_last_block(large.generator, small, sample, round(scale * DECODER_STEPS))
    for net in large.networks.values():
        net.eval().requires_grad_(False)
    return large


def grow_discriminator(
    small: Discriminator, config: ModelConfig, pictures: data.Pictures, seed: int = 0, scale: float = 1.0
) -> Discriminator:
    """As `grow`: a discriminator of the shape `config` with as many branches as `small`."""
    last = f"main.{len(small.main) - 1}.bias"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        large = Discriminator(dataclasses.replace(config, domains=tuple(str(i) for i in range(len(small.state_dict()[last])))))
    large.to(memory_format=torch.channels_last)
    take_over(large, small)
    _fit_trunk(large.main, small.main, Sample(pictures, config.image_size, np.random.default_rng(seed)), scale, "discriminator")
    return large.eval().requires_grad_(False)


def halved(x: Tensor) -> Tensor:
    """(N, 3, S, S) -> (N, 3, S / 2, S / 2)."""
    return F.interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True)


class Sample:
    """Random pictures, cropped and flipped as in training, and random numbers that belong to them."""

    def __init__(self, pictures: data.Pictures, size: int, rng: np.random.Generator) -> None:
        self.all, self.size, self.rng = pictures, size, rng

    def pictures(self) -> Tensor:
        _, index = data.balanced(self.all, BATCH, self.rng)
        return data.random_crop(self.all.batch(index), self.size, self.rng).contiguous(memory_format=torch.channels_last)

    def translation(self, model: Model) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor] | None]:
        """Pictures of the large side, a style of the model for each, and their masks, where it has a FAN."""
        x = self.pictures()
        with torch.no_grad():
            return x, self.styles(model), face_masks(model.fan(x)) if model.fan is not None else None

    def styles(self, model: Model) -> Tensor:
        """Of random latents and domains, (BATCH, style_dim)."""
        z = torch.from_numpy(self.rng.standard_normal((BATCH, model.config.latent_dim), dtype=np.float32))
        y = torch.from_numpy(self.rng.integers(len(model.config.domains), size=BATCH))
        styles: Tensor = model.mapping_network(z, y)
        return styles


@torch.no_grad()
def take_over(large: nn.Module, small: nn.Module) -> list[str]:
    """Copies the inner blocks of a smaller network into those of a larger of its kind; returns their keys in the larger."""
    key_in_small = _generator_key if isinstance(large, Generator) else _trunk_key
    values, taken = small.state_dict(), []
    for key, value in large.state_dict().items():
        if (found := values.get(key_in_small(key))) is not None:
            value.copy_(found)
            taken.append(key)
    return taken


def _generator_key(key: str) -> str:
    first, _, rest = key.partition(".")
    if first in ("from_rgb", "to_rgb"):
        return ""
    if first == "encode":
        number, _, rest = rest.partition(".")
        return f"encode.{int(number) - 1}.{rest}"
    return key


def _trunk_key(key: str) -> str:
    """Of style encoder (`shared`) and discriminator (`main`): the first two modules are new."""
    first, _, rest = key.partition(".")
    if first not in ("shared", "main"):
        return key
    number, _, rest = rest.partition(".")
    return f"{first}.{int(number) - 1}.{rest}" if int(number) >= 2 else ""


def _feature_error(large: Callable[[Tensor], Tensor], small: Callable[[Tensor], Tensor], sample: Sample) -> Tensor:
    """The relative squared error of first features: of the picture, and of the picture at half the side."""
    x = sample.pictures()
    with autocast():
        found, wanted = large(x).float(), small(halved(x)).float()
    return (found - wanted).square().mean() / wanted.square().mean()


def _fit_trunk(large: nn.Sequential, small: nn.Sequential, sample: Sample, scale: float, label: str) -> None:
    _fit(
        [large[0], large[1]],
        lambda: _feature_error(large[:2], small[0], sample),
        round(scale * ENCODER_STEPS),
        label,
    )


def _into(module: nn.Module, generator: Generator, x: Tensor, style: Tensor, masks: tuple[Tensor, Tensor] | None) -> Tensor:
    """What comes into a module of a generator while it translates."""
    found: list[Tensor] = []
    hook = module.register_forward_pre_hook(lambda module, given: found.append(given[0]))
    try:
        generator(x, style, masks)
    finally:
        hook.remove()
    return found[0]


@torch.no_grad()
def hand_on(large: Generator, small: Model, sample: Sample) -> None:
    """Sets last block and `to_rgb` of a generator with `last_shortcut` so that it paints, enlarged, as nearly what `small` does as
    so few of its last features can.

    The picture is linear in the last features, once these are normalised and activated (`to_rgb`). Those handed on are what is left
    when, one after the other, the feature goes without which the least squared error of that picture rises least.
    """
    norm, activation, to_picture = cast(Any, small.generator.to_rgb)
    block, (new_norm, _, new_to_picture) = cast(Any, large.decode[-1]), cast(Any, large.to_rgb)
    width, kept = len(norm.weight), len(new_norm.weight)
    products, deviation = torch.zeros(width + 1, width + 1, dtype=torch.float64), torch.zeros(width, dtype=torch.float64)
    for _ in range(SEEN):
        x, style, masks = sample.translation(small)
        features = _into(small.generator.to_rgb, small.generator, halved(x), style, masks)
        deviation += features.std((2, 3)).mean(0).double() / SEEN
        active = activation(norm(features)).movedim(1, -1).flatten(0, 2).double()  # (pixels, width)
        active = torch.cat([active, torch.ones_like(active[:, :1])], 1)  # and the constant
        products += active.T @ active / len(active)
    wanted = torch.cat([to_picture.weight[:, :, 0, 0], to_picture.bias[:, None]], 1).double().T  # (width + 1, 3)
    index = list(range(width))

    def solution(chosen: list[int]) -> tuple[Tensor, float]:
        """Weights of these features and the constant, (len + 1, 3), and their mean squared error."""
        rows = [*chosen, width]
        own, cross = products[rows][:, rows], products[rows] @ wanted
        found = torch.linalg.lstsq(own, cross, driver="gelsd").solution
        return found, float(torch.trace(wanted.T @ products @ wanted) - 2 * (found * cross).sum() + (found * (own @ found)).sum())

    while len(index) > kept:
        index.remove(min(index, key=lambda gone: solution([i for i in index if i != gone])[1]))
    weights = solution(index)[0].float()
    block.conv2.weight.zero_()
    block.conv2.bias.zero_()
    block.conv1x1.weight.zero_()
    # What is handed on has a deviation of about one, so that what the rest of the block adds to it weighs something.
    block.conv1x1.weight[range(kept), index, 0, 0] = (1 / deviation[index].clamp_min(1e-6)).float()
    new_norm.weight.copy_(norm.weight[index])
    new_norm.bias.copy_(norm.bias[index])
    new_to_picture.weight.copy_(weights[:-1].T[:, :, None, None])
    new_to_picture.bias.copy_(weights[-1])


def fit_last_block(large: Generator, small: Model, sample: Sample, steps: int) -> None:
    """Trains last block and `to_rgb` of a generator to paint what `small` does, enlarged; all other blocks stay."""

    def loss() -> Tensor:
        x, style, masks = sample.translation(small)
        with torch.no_grad(), autocast():
            wanted = small.generator(halved(x), style, masks).float()
            features = _into(large.decode[-1], large, x, style, masks)
        with autocast():
            found = large.to_rgb(large.decode[-1](features, style)).float()
        error = (found - F.interpolate(wanted, scale_factor=2, mode="bicubic")).abs().mean(1)  # (N, S, S)
        # The worst places of the picture weigh as much as all of it: a spot is small.
        worst = F.avg_pool2d(error, 8).flatten(1).topk(max(1, error.shape[-1] ** 2 // 64 // 50)).values
        return error.mean() + 0.5 * worst.mean()

    _fit([large.decode[-1], large.to_rgb], loss, steps, "decoder")


def _fit(nets: Sequence[nn.Module], loss: Callable[[], Tensor], steps: int, label: str) -> None:
    """Trains these modules alone, at a rate that falls to zero along a cosine after a short warm-up."""
    parameters = [p.requires_grad_(True) for net in nets for p in net.parameters()]
    optimiser = torch.optim.Adam(parameters, RATE, betas=(0.9, 0.99), fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda i: min(1.0, (i + 1) / 20) * 0.5 * (1 + math.cos(math.pi * min(1.0, i / max(1, steps))))
    )
    with tqdm(range(steps), desc=f"grow {label}", unit="step") as bar:
        for _ in bar:
            optimiser.zero_grad()
            found = loss()
            found.backward()
            optimiser.step()
            schedule.step()
            bar.set_postfix_str(f"{found.item():.4f}", refresh=False)
    for p in parameters:
        p.requires_grad_(False)

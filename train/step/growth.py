"""A model of twice the side from a smaller one: progressive growing (arXiv 1710.10196) for a model that has been trained already.

All blocks of the smaller model are kept. What lies outside of them, the first block of generator and style encoder and the last of
the decoder, is new, and fitted to what the smaller model does. The smaller model's last features rise steeply at places that its
last layer has learned to hide and a new one shows as spots (`peaks`), so the decoder is fitted as a whole, its new block faster
than the rest, and peaks are pressed down meanwhile. What is left of them goes within a hundred updates of a run with
`lambda_peak`; with the outer blocks begun anew instead, a run takes many times as long to get as far.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from stargan.faces.masks import face_masks
from stargan.model import Model, build
from stargan.networks import Discriminator, ModelConfig
from train import data
from train.step import peaks

BATCH = 4
ENCODER_STEPS, DECODER_STEPS = 300, 350
FAST, SLOW = 2e-3, 3e-4  # learning rates of new and of old blocks
PRESS = 0.02  # weight of the loss on peaks


def can_grow(small: ModelConfig, large: ModelConfig) -> bool:
    """Whether a model of one shape can be made from one of the other: twice the side, half the first width, all else the same."""
    alike = dataclasses.replace(small, image_size=large.image_size, base_channels=large.base_channels, domains=large.domains)
    return alike == large and large.image_size == 2 * small.image_size and 2 * large.base_channels == small.base_channels


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
    _take_over(large.generator, small.generator, _generator_key)
    _take_over(large.style_encoder, small.style_encoder, _trunk_key)
    sample = _Sample(pictures, config.image_size, np.random.default_rng(seed))
    g, small_g = large.generator, small.generator
    _fit(
        [(FAST, [g.from_rgb, g.encode[0]])],
        lambda: _feature_error(lambda x: g.encode[0](g.from_rgb(x)), small_g.from_rgb, sample),
        round(scale * ENCODER_STEPS),
        "encoder",
    )
    _fit_trunk(large.style_encoder.shared, small.style_encoder.shared, sample, scale, "style encoder")
    _fit_decoder(large, small, sample, scale)
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
    _take_over(large, small, _trunk_key)
    _fit_trunk(large.main, small.main, _Sample(pictures, config.image_size, np.random.default_rng(seed)), scale, "discriminator")
    return large.eval().requires_grad_(False)


def halved(x: Tensor) -> Tensor:
    """(N, 3, S, S) -> (N, 3, S / 2, S / 2)."""
    return F.interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True)


class _Sample:
    """Random pictures, cropped and flipped as in training, and random numbers that belong to them."""

    def __init__(self, pictures: data.Pictures, size: int, rng: np.random.Generator) -> None:
        self.all, self.size, self.rng = pictures, size, rng

    def pictures(self) -> Tensor:
        _, index = data.balanced(self.all, BATCH, self.rng)
        return data.random_crop(self.all.batch(index), self.size, self.rng).contiguous(memory_format=torch.channels_last)

    def styles(self, model: Model) -> Tensor:
        """Of random latents and domains, some of them on the way between two domains, (BATCH, style_dim)."""
        z = torch.from_numpy(self.rng.standard_normal((2 * BATCH, model.config.latent_dim), dtype=np.float32))
        y = torch.from_numpy(self.rng.integers(len(model.config.domains), size=2 * BATCH))
        a, b = model.mapping_network(z, y).chunk(2)
        return torch.lerp(a, b, torch.from_numpy(self.rng.random((BATCH, 1), dtype=np.float32)).clamp(0, 0.5))


def _take_over(large: nn.Module, small: nn.Module, key_in_small: Callable[[str], str]) -> None:
    """Copies what the smaller network has under the key that belongs to one of the larger."""
    values, own = small.state_dict(), large.state_dict()
    for key, value in own.items():
        if (found := values.get(key_in_small(key))) is not None:
            value.copy_(found)


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


def _feature_error(large: Callable[[Tensor], Tensor], small: Callable[[Tensor], Tensor], sample: _Sample) -> Tensor:
    """The relative squared error of first features: of the picture, and of the picture at half the side."""
    x = sample.pictures()
    with torch.autocast("cpu", torch.bfloat16):
        found, wanted = large(x).float(), small(halved(x)).float()
    return (found - wanted).square().mean() / wanted.square().mean()


def _fit_trunk(large: nn.Sequential, small: nn.Sequential, sample: _Sample, scale: float, label: str) -> None:
    _fit(
        [(FAST, [large[0], large[1]])],
        lambda: _feature_error(large[:2], small[0], sample),
        round(scale * ENCODER_STEPS),
        label,
    )


def _fit_decoder(large: Model, small: Model, sample: _Sample, scale: float) -> None:
    new = [large.generator.decode[-1], large.generator.to_rgb]
    old = list(large.generator.decode[:-1])

    def loss() -> Tensor:
        x = sample.pictures()
        style = sample.styles(small)
        with torch.no_grad():
            masks = face_masks(small.fan(x)) if small.fan is not None else None
            with torch.autocast("cpu", torch.bfloat16):
                wanted = small.generator(halved(x), style, masks).float()
        with torch.autocast("cpu", torch.bfloat16):
            features, kept = large.generator.features(x)
            skips = large.generator.skips(kept, masks) if masks is not None else None
            found, beyond = peaks.synthesize(large.generator, features, style, skips)
        error = (found.float() - F.interpolate(wanted, scale_factor=2, mode="bicubic")).abs().mean(1)  # (N, S, S)
        # The worst places of the picture weigh as much as all of it: a spot is small.
        worst = F.avg_pool2d(error, 8).flatten(1).topk(max(1, error.shape[-1] ** 2 // 64 // 50)).values
        return error.mean() + 0.5 * worst.mean() + PRESS * beyond

    _fit([(FAST, new), (SLOW, old)], loss, round(scale * DECODER_STEPS), "decoder")


def _fit(groups: Sequence[tuple[float, Sequence[nn.Module]]], loss: Callable[[], Tensor], steps: int, label: str) -> None:
    """Trains these modules alone, at these rates, which fall to zero along a cosine after a short warm-up."""
    parameters = [{"params": [p for net in nets for p in net.parameters()], "lr": rate} for rate, nets in groups]
    for group in parameters:
        for p in group["params"]:  # type: ignore[attr-defined]
            p.requires_grad_(True)
    optimiser = torch.optim.Adam(parameters, betas=(0.9, 0.99), fused=True)
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
    for group in parameters:
        for p in group["params"]:  # type: ignore[attr-defined]
            p.requires_grad_(False)

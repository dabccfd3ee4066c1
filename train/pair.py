"""Two models of one training, put together: one whose outputs can be anything between free and faithful (`stargan.blending`)."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import torch

from stargan.model import Model
from stargan.networks import Generator
from train import data
from train.config import ConfigError
from train.step import growth

ENLARGING = 60  # steps in which the faithful model's outer blocks learn to paint what a smaller free model does

# The distance of two sets of weights over their size, beyond which they hardly are of one training: two that begin at random and
# end as good are about 1.4 apart, fine-tuning moves by a few tenths.
APART = 1.0


def pair(free: Model, faithful: Model, further: float = 0.0) -> Model:
    """The faithful model with the free one's generator as its second; style encoder, mapping network and FAN are the faithful's.

    further: how much further than the faithful generator likeness 1 shall lie, seen from the free one, 0 to 1. What training has
    changed on the way goes on beyond its end for a while: the person is kept better.

    ConfigError for another `further`, and where the models differ in shape, domains or aligner, or their weights lie too far apart
    for what is between them to be of use.
    """
    if free.config != faithful.config:
        a, b = dataclasses.asdict(free.config), dataclasses.asdict(faithful.config)
        found = "; ".join(f"{k} is {a[k]} and {b[k]}" for k in a if a[k] != b[k])
        raise ConfigError(f"the two models differ ({found}); pair models of one training, such as a run and one that began from it")
    if None not in (free.aligner, faithful.aligner) and free.aligner != faithful.aligner:
        raise ConfigError(
            f"the free model's pictures were aligned by {free.aligner}, the faithful one's by {faithful.aligner}; pair models of "
            "one training, such as a run and one that began from it"
        )
    if (distance := relative_distance(free, faithful)) > APART:
        raise ConfigError(
            f"the two generators are {distance:.1f} times as far apart as they are large, so that what lies between them is no "
            "generator; pair models of one training, such as a run and one that began from it"
        )
    if not 0 <= further <= 1:
        raise ConfigError(f"further is {further:g}; it has to be from 0 (likeness 1 is the faithful model) to 1 (twice as far)")
    by = faithful.aligner or free.aligner
    generator = _beyond(free.generator, faithful.generator, further) if further else faithful.generator
    return dataclasses.replace(faithful, generator=generator, free=free.generator, aligner=by, mean_styles={})


def enlarged(free: Model, faithful: Model, pictures: data.Pictures, steps: int = ENLARGING, seed: int = 0) -> Model:
    """A free model of the size of the faithful one, from one of before that one's growth (`growth.can_grow`): its inner blocks
    within the faithful model's outer ones, of which the last is fitted to what it painted.

    pictures: to fit it on, of at least the large side. The same seed gives the same model on one machine.
    """
    generator = copy.deepcopy(faithful.generator).requires_grad_(False)
    growth.take_over(generator, free.generator)
    sample = growth.Sample(pictures, faithful.config.image_size, np.random.default_rng(seed))
    growth.fit_last_block(generator, free, sample, steps)
    return dataclasses.replace(faithful, generator=generator, free=None, aligner=free.aligner, mean_styles={})


@torch.no_grad()
def _beyond(free: Generator, faithful: Generator, further: float) -> Generator:
    made = copy.deepcopy(faithful)
    for weight, other in zip(made.parameters(), free.parameters(), strict=True):
        weight.lerp_(other, -further)
    return made


def relative_distance(a: Model, b: Model) -> float:
    """The distance between two generators' weights, over the size of b's."""
    first, second = (torch.cat([p.flatten() for p in model.generator.parameters()]) for model in (a, b))
    return float((first - second).norm() / second.norm())

"""Two models of one training, put together: one whose outputs can be anything between free and faithful (`stargan.blending`)."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import torch

from stargan.blending import blend, numbers
from stargan.model import Model
from stargan.networks import Generator
from train import data
from train.config import ConfigError
from train.step import growth

ENLARGING = 60  # steps in which the faithful model's outer blocks learn to paint what a smaller free model does

# The distance of two sets of weights over their size, beyond which they hardly are of one training: two that begin at random and
# end as good are about 1.4 apart, fine-tuning moves by a few tenths.
APART = 1.0

Ends = tuple[float, float]
ENDS: Ends = (0.0, 1.0)


def pair(free: Model, faithful: Model, ends: Ends = ENDS) -> Model:
    """The faithful model with the free one's generator as its second; style encoder, mapping network and FAN are the faithful's.

    ends: where likeness 0 and likeness 1 shall lie on the line from the free generator (0) to the faithful one (1), 0 to 2. What
    training has changed on the way goes on beyond its end for a while (1.3): the person is kept better, styles differ less.

    ConfigError for other `ends`, and where the models differ in shape, domains or aligner, or their weights lie too far apart
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
    start, end = ends
    if not 0 <= start < end <= 2:
        raise ConfigError(
            f"likeness 0 and 1 shall lie at {start:g} and {end:g}; both have to be from 0 (the free model) to 2 (1 is the faithful "
            "one, 2 twice as far), the first before the second"
        )
    by = faithful.aligner or free.aligner
    first, last = (_between(free.generator, faithful.generator, at) for at in ends)
    return dataclasses.replace(faithful, generator=last, free=first, aligner=by, mean_styles={})


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


def _between(free: Generator, faithful: Generator, at: float) -> Generator:
    """The generator at `at` on the line from the free one (0) to the faithful one (1), or beyond it."""
    if at in ENDS:
        return faithful if at else free
    made = copy.deepcopy(faithful)
    blend(numbers(made), numbers(free), numbers(faithful), at)
    return made


def relative_distance(a: Model, b: Model) -> float:
    """The distance between two generators' weights, over the size of b's."""
    first, second = (torch.cat([p.flatten() for p in model.generator.parameters()]) for model in (a, b))
    return float((first - second).norm() / second.norm())

"""Generators of every likeness, trained at once: the line between a free one and a faithful one.

Two generators that are trained apart, one with more and one with less of a content loss, make one whose likeness can be chosen, but
what lies between them was never trained, and the longer they learn the less it is of use. Here an iteration works with one point of
the line between both, and the gradient goes to both ends, to each by its share in that point: a line of networks is learned (arXiv
2102.10472). All points share the style encoder, the mapping network and the judges.
"""

from __future__ import annotations

import copy

import torch

from stargan.blending import blend, numbers
from stargan.networks import Generator


class Line:
    """The two ends of a line of generators, alike at first, and the generator that stands for one of its points at a time."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self.free, self.faithful = copy.deepcopy(generator), copy.deepcopy(generator)
        self.likeness = 1.0

    def take(self, likeness: float) -> None:
        """The generator becomes the one of that likeness: from 0, the free one, to 1, the faithful one."""
        self.likeness = likeness
        blend(numbers(self.generator), numbers(self.free), numbers(self.faithful), likeness)

    @torch.no_grad()
    def hand_on(self) -> None:
        """Gives the ends their shares of the generator's gradient: an end without a share in this point has no gradient, as a
        parameter without one has none at either end, so that weight decay alone never moves it."""
        nets = self.generator, self.free, self.faithful
        for out, *ends in zip(*(net.parameters() for net in nets), strict=True):
            for end, share in zip(ends, (1 - self.likeness, self.likeness), strict=True):
                end.grad = out.grad * share if out.grad is not None and share else None

"""How much of the person an output keeps, as one number: two generators of one training, blended.

A generator that was trained on from another one lies in the same basin, so that the line between their weights is made of
generators that work (deep network interpolation, arXiv 1811.10515). At 0 stands the free one, which follows the style; at 1 the
faithful one, which keeps the source's likeness.
"""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from stargan.networks import Generator


@torch.no_grad()
def blended(free: Generator, faithful: Generator, likeness: float) -> Generator:
    """A new generator on the way from `free` (0) to `faithful` (1); ValueError for a likeness outside of that."""
    check(likeness)
    made = copy.deepcopy(faithful)
    blend(numbers(made), numbers(free), numbers(faithful), likeness)
    return made


def check(likeness: float, offered: bool = True, name: str = "") -> None:
    """ValueError where a likeness is no number from 0 to 1, or is chosen of a model, by its name, that does not offer it."""
    if not 0 <= likeness <= 1:
        raise ValueError(f"the likeness is {likeness}; it has to be from 0 (free) to 1 (as much of the person as can be kept)")
    if likeness != 1 and not offered:
        raise ValueError(f"{repr(name) if name else 'this model'} has one set of weights and offers no likeness; leave it at 1")


class Blend:
    """One module that stands for all between two of one shape, its weights written anew when another likeness is asked for.

    They are written in place, so that compiled code goes on with them; whoever computes holds the module meanwhile (`at`).
    """

    def __init__(self, module: nn.Module, free: nn.Module | None) -> None:
        self._numbers = numbers(module)
        self._ends = (numbers(free), [x.clone() for x in self._numbers]) if free is not None else None
        self._likeness = 1.0
        self._lock = threading.RLock()

    @contextlib.contextmanager
    def at(self, likeness: float) -> Iterator[None]:
        """The module is the one of that likeness, and nobody else's, until the block ends. Without a free end it is what it is."""
        if self._ends is None:
            yield
            return
        with self._lock:
            if likeness != self._likeness:
                with torch.no_grad():
                    blend(self._numbers, *self._ends, likeness)
                self._likeness = likeness
            yield


def numbers(module: nn.Module) -> list[Tensor]:
    """What a generator is made of, on its own memory and without gradient."""
    return [x.detach() for x in module.state_dict(keep_vars=True).values() if x.is_floating_point()]


def blend(target: list[Tensor], free: list[Tensor], faithful: list[Tensor], likeness: float) -> None:
    """Writes the numbers on the way from `free` (0) to `faithful` (1) into `target`."""
    # From the nearer end on: the ends come out as they are.
    start, end, weight = (free, faithful, likeness) if likeness < 0.5 else (faithful, free, 1 - likeness)
    for out, near, far in zip(target, start, end, strict=True):
        torch.lerp(near, far, weight, out=out)

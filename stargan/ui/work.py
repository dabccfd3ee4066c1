"""What needs a GPU, where there is one: functions of plain values, which a process forked for a call can be given."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stargan import styles, transition
from stargan.ui import zero
from stargan.ui.leaving import Visitors
from stargan.ui.library import Library
from stargan.ui.scene import Scene
from stargan.ui.studio import Keep, SourceChoice, StyleChoice


@dataclass(frozen=True)
class Made:
    """source: its square. numbers: of its style. words: how long it took. notes: sentences on the source for the person."""

    image: Image.Image
    source: Image.Image
    numbers: tuple[float, ...]  # no tensor, whose memory would be gone with the process that made it
    words: str
    notes: tuple[str, ...]

    @property
    def style(self) -> Tensor:
        """(style_dim,)"""
        return torch.tensor(self.numbers)


class Work:
    """The functions for a library. All raise ValueErrors that say what is wrong."""

    picture: Callable[[Scene], Made]
    overlay: Callable[[Scene], Image.Image | None]
    seeds: Callable[[str, SourceChoice, Keep, str, Sequence[int], float], list[Image.Image]]
    steps: Callable[[Scene, int], list[Image.Image]]  # so many from style A to style B
    reconstruct: Callable[[Scene, Image.Image, str], Image.Image]
    frames: Callable[[Scene, Sequence[StyleChoice], int, bool], Iterator[np.ndarray]]

    def __init__(self, library: Library) -> None:
        self.library, self.visitors = library, Visitors()

        @zero.gpu(seconds=20)
        def picture(scene: Scene) -> Made:
            studio = library.get(scene.model)
            start = time.perf_counter()
            source = studio.prepare(scene.source)
            encoded, style = studio.encode(scene.source, scene.keep), scene.style(studio)
            ready = time.perf_counter()
            made = studio.decode(encoded, style)[0]
            end = time.perf_counter()
            decoding = f"{1000 * (end - ready):.0f} ms of it decoding"
            words = f"**{1000 * (end - start):.0f} ms** ({decoding}; {studio.translator.path})"
            return Made(made, source.image, tuple(style.tolist()), words, source.notes)

        @zero.gpu(seconds=20)
        def overlay(scene: Scene) -> Image.Image | None:
            return library.get(scene.model).overlay(scene.source, scene.keep)

        @zero.gpu(seconds=20)
        def seeds(
            model: str, source: SourceChoice, keep: Keep, domain: str, seeds: Sequence[int], strength: float
        ) -> list[Image.Image]:  # fmt: skip
            return library.get(model).seeds(source, keep, domain, seeds, strength)

        @zero.gpu(seconds=20)
        def steps(scene: Scene, count: int) -> list[Image.Image]:
            studio = library.get(scene.model)
            a, b, *_ = scene.ends(studio)
            path = torch.stack([styles.interpolate(a, b, i / (count - 1)) for i in range(count)])
            return studio.decode(studio.encode(scene.source, scene.keep), path)

        @zero.gpu(seconds=20)
        def reconstruct(scene: Scene, made: Image.Image, domain: str) -> Image.Image:
            return library.get(scene.model).reconstruct(scene.source, made, domain, scene.keep)

        @zero.gpu(seconds=60)
        def frames(scene: Scene, between: Sequence[StyleChoice], count: int, loop: bool) -> Iterator[np.ndarray]:
            studio = library.get(scene.model)
            encoded, source = studio.encode(scene.source, scene.keep), studio.prepare(scene.source).image
            a, b, *_ = scene.ends(studio)
            stops = [a, *(studio.style(choice, scene.strength) for choice in between), b]
            yield from transition.frames(studio.translator, encoded, source, transition.path(stops, count, loop))

        self.picture, self.overlay, self.seeds, self.steps = picture, overlay, seeds, steps
        self.reconstruct, self.frames = reconstruct, frames

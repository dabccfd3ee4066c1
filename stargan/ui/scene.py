"""The main view as values: a source, the styles at four corners, and where between them the picture lies."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

import numpy as np
import torch
from torch import Tensor

from stargan import styles
from stargan.faces.masks import PARTS
from stargan.ui.studio import MOST_SEED, PASTED, SEED, Keep, SourceChoice, Studio, StyleChoice

CORNERS = "abcd"  # in the order of reading: the slider goes from a to b, the square reaches c and d below


class LinkError(ValueError):
    """A link that does not say what it should; the sentence says so."""


@dataclass(frozen=True)
class Scene:
    """x and y: from 0 to 1, in the square of the styles; y is 0 on the slider. strength: as in `Studio.style`."""

    model: str
    source: SourceChoice
    corners: tuple[StyleChoice, ...]
    x: float = 0.5
    y: float = 0.0
    strength: float = 1.0
    keep: Keep = field(default_factory=Keep)

    @property
    def needed(self) -> list[int]:
        """The positions of the corners that the picture has something of."""
        across = [0] if self.x == 0 else [1] if self.x == 1 else [0, 1]
        down = [0] if self.y == 0 else [1] if self.y == 1 else [0, 1]
        return [2 * row + column for row in down for column in across]

    @property
    def nearest(self) -> int:
        """The position of the corner that the picture is nearest to."""
        return 2 * (self.y > 0.5) + (self.x > 0.5)

    @property
    def domain(self) -> str:
        return self.corners[self.nearest].domain

    @property
    def waits(self) -> bool:
        """Whether something that it is made of is not there yet, which is no mistake."""
        return self.source.path is None or any(self.corners[i].waits for i in self.needed)

    def knows(self, studio: Studio) -> bool:
        """Whether the model has the domains: when it has just been changed, they may be another's."""
        return all(corner.domain in studio.domains for corner in self.corners)

    def ends(self, studio: Studio) -> list[Tensor]:
        """The styles (style_dim,) of the corners; those that are not needed are zeros."""
        zeros = torch.zeros(studio.model.config.style_dim)
        return [
            studio.style(corner, self.strength, self.source.aligned) if i in self.needed else zeros
            for i, corner in enumerate(self.corners)
        ]

    def style(self, studio: Studio) -> Tensor:
        """The style (style_dim,) of the picture."""
        return styles.bilinear(self.ends(studio), self.x, self.y)

    def query(self, studio: Studio) -> str:
        """What a link says of it: all but the pictures. References become the styles that were taken from them."""
        values = {"model": self.model, "x": f"{self.x:g}", "y": f"{self.y:g}", "strength": f"{self.strength:g}"}
        for name, corner in zip(CORNERS, self.corners, strict=True):
            if not corner.lacks:
                values[name] = _written(studio, corner, self.source.aligned)
        if studio.has_masks:  # without, the switch is off because of the model
            values["keep"] = f"{self.keep.masks:d}"
        values["likeness"] = f"{self.keep.likeness:g}"
        values |= {part: f"{weight:g}" for part, weight in self.keep.parts.items() if weight != 1}
        return urlencode(values)

    def linked(self, studio: Studio, query: Mapping[str, str]) -> Scene:
        """This scene as a link's query changes it; LinkError where that cannot be read."""

        def number(name: str, default: float, most: float = 1) -> float:
            try:
                value = float(query.get(name, default))
            except ValueError:
                value = -1.0
            if not 0 <= value <= most:
                raise LinkError(f"the link's {name} is {query[name]!r}; it has to be a number from 0 to {most:g}")
            return value

        corners = [
            _read(studio, query[name]) if name in query else corner for name, corner in zip(CORNERS, self.corners, strict=True)
        ]
        parts = {part: number(part, self.keep.parts.get(part, 1)) for part in PARTS}
        masks = query.get("keep", "1")
        if masks not in ("0", "1"):
            raise LinkError(f"the link's keep is {masks!r}; it has to be 0 or 1")
        keep = Keep(masks == "1", parts, number("likeness", self.keep.likeness))
        x, y, strength = number("x", self.x), number("y", self.y), number("strength", self.strength, 1.5)
        return replace(self, model=query.get("model", self.model), corners=tuple(corners), x=x, y=y, strength=strength, keep=keep)


def _written(studio: Studio, corner: StyleChoice, aligned: bool) -> str:
    if corner.kind == SEED:
        return f"{corner.domain}:{int(corner.seed or 0)}"
    numbers = studio.style(corner, aligned=aligned).numpy().astype("<f4")
    return f"{corner.domain}:={base64.urlsafe_b64encode(numbers.tobytes()).decode()}"


def _read(studio: Studio, text: str) -> StyleChoice:
    domain, mark, rest = text.rpartition(":")
    if not mark:
        raise LinkError(f"the link's style is {text!r}; it has to be a domain and a seed, such as {studio.domains[0]}:7")
    if domain not in studio.domains:
        raise LinkError(f"the link's style is of the domain {domain!r}, which {studio.model.name} does not have")
    if rest.isdecimal():
        # A number of thousands of digits is not even read.
        if len(rest) > len(str(MOST_SEED)) or int(rest) > MOST_SEED:
            raise LinkError(f"the link's seed is {rest!r}; it has to be a whole number from 0 to {MOST_SEED}")
        return StyleChoice(domain, SEED, int(rest))
    try:
        numbers = np.frombuffer(base64.urlsafe_b64decode(rest.removeprefix("=").encode()), "<f4")
    except (binascii.Error, ValueError):
        numbers = np.empty(0, np.float32)
    if len(numbers) != studio.model.config.style_dim or not np.isfinite(numbers).all():
        raise LinkError("the link's style is cut off or changed; copy the link again")
    said = {"model": studio.model.name, "domain": domain, "style": [float(n) for n in numbers]}
    return StyleChoice(domain, PASTED, pasted=json.dumps(said))

"""A model: its networks and the facts about them, as everything passes it around."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from torch import Tensor, nn

from stargan.fan import FAN, FANConfig
from stargan.networks import Generator, MappingNetwork, ModelConfig, StyleEncoder

# What can find faces: the bundled detector and FAN, or the package of that name.
ALIGNERS = ("fan-68", "face_alignment")


@dataclass
class Model:
    """What inference needs. The networks are in eval mode, without gradients.

    free: a second generator of the same training, which follows the style more and the source less; outputs can lie anywhere
    between the two (`blending`). A model without one has no choice of likeness. sources: domains that it has learned to translate
    and never to imitate, such as photographs. frame: how faces lie in its pictures, (68, 2) mean landmarks as fractions of
    the side; None for as `faces.frame` has it. aligner: which of ALIGNERS aligned its pictures; None where that is not known.
    """

    config: ModelConfig
    generator: Generator
    mapping_network: MappingNetwork
    style_encoder: StyleEncoder
    fan: FAN | None = None
    name: str = ""
    licence: str = ""
    free: Generator | None = None
    sources: tuple[str, ...] = ()
    frame: np.ndarray | None = None
    aligner: str | None = None
    notes: tuple[str, ...] = ()  # what was guessed or left aside when it was read, a sentence each
    mean_styles: dict[int, Tensor] = field(default_factory=dict, repr=False)  # by domain, once they were needed

    @property
    def networks(self) -> dict[str, nn.Module]:
        nets = {
            "generator": self.generator,
            "mapping_network": self.mapping_network,
            "style_encoder": self.style_encoder,
        }
        return nets | {name: net for name, net in (("fan", self.fan), ("free", self.free)) if net is not None}

    @property
    def has_masks(self) -> bool:
        """Whether it can keep the source's face by masks."""
        return self.fan is not None and self.config.w_hpf > 0

    @property
    def has_likeness(self) -> bool:
        """Whether one can choose how much of the person is kept."""
        return self.free is not None

    def facts(self) -> str:
        """What a person should know of it, in a line: size, domains, what it has learned from besides, likeness, parameters."""
        numbers = sum(p.numel() for net in self.networks.values() for p in net.parameters())
        parts = [f"{self.config.image_size} px", f"domains {', '.join(self.config.domains)}"]
        if self.sources:
            parts.append(f"sources also of {', '.join(self.sources)}")
        if self.has_likeness:
            parts.append("likeness to choose")
        return ", ".join([*parts, f"{numbers / 1e6:.1f} million parameters"])


def build(config: ModelConfig, fan: FANConfig | None = None, name: str = "", licence: str = "", free: bool = False) -> Model:
    """A model of this shape, its parameters as PyTorch initialises them; free: with a second generator."""
    networks = Generator(config), MappingNetwork(config), StyleEncoder(config)
    model = Model(config, *networks, FAN(fan) if fan is not None else None, name, licence, Generator(config) if free else None)
    for net in model.networks.values():
        net.eval().requires_grad_(False)
    return model

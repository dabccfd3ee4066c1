"""What changes while a run goes on."""

from __future__ import annotations

import copy
import dataclasses
import os
from collections import Counter
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn

from stargan.faces.masks import face_masks
from stargan.fan import FAN
from stargan.model import Model
from stargan.networks import Discriminator, Generator, MappingNetwork, ModelConfig, StyleEncoder
from stargan.precision import fastest
from train.config import TrainConfig
from train.step.features import Features
from train.step.line import Line
from train.step.projected import ProjectedDiscriminator

Masks = tuple[Tensor, Tensor]
LIKENESS = 1  # keeps the random numbers of likeness apart from those of batches


class State:
    """Networks, their averages, and optimisers: all that changes while a run goes on.

    Random numbers come from the seed and the iteration alone, so there is no generator whose state would have to be kept.
    Several processes, as `accelerate launch` starts them, hold equal states: each takes its share of a batch, and gradients
    are averaged before a step. They are averaged here rather than by DistributedDataParallel, which does not know the double
    backward pass of R1, nor backward passes that are meant for some of the networks only.
    """

    def __init__(self, config: TrainConfig, fan: FAN | None) -> None:
        model = config.model
        self.config = config
        # Without being told, accelerate takes several processes on a machine without a GPU for single ones.
        on_cpu = config.device == "cpu" or (int(os.environ.get("WORLD_SIZE", 1)) > 1 and not torch.cuda.is_available())
        self.processes = PartialState(cpu=on_cpu)
        self.device = torch.device("cpu") if on_cpu else self.processes.device
        self.precision = config.precision if config.precision != "auto" else self._fastest()
        ready: Any = {"device": self.device, "memory_format": torch.channels_last}
        self.fan = copy.deepcopy(fan).to(**ready) if fan is not None and config.w_hpf > 0 else None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.generator = Generator(model)
            self.mapping_network = MappingNetwork(model)
            self.style_encoder = StyleEncoder(model)
            self.discriminator = Discriminator(model)
            self.projected = ProjectedDiscriminator(len(config.domains)) if config.lambda_proj else None
            self.line: Line | None = None  # of generators, where all of it is trained
            for net in self.networks.values():
                initialize(net)
                net.to(**ready)
        if config.likeness:
            self.line = Line(self.generator)
        self.features = Features().to(**ready) if config.lambda_con or config.lambda_proj else None
        self.averaged = {k: copy.deepcopy(net).requires_grad_(False) for k, net in self.networks.items() if k not in self.judges}
        rates = {"mapping_network": config.mapping_lr} | dict.fromkeys(self.judges, config.discriminator_lr or config.lr)
        self.optimisers = {
            name: torch.optim.Adam(
                net.parameters(),
                lr=rates.get(name, config.lr),
                betas=config.betas,
                weight_decay=config.weight_decay,
                fused=self.device.type in ("cpu", "cuda"),
            )
            for name, net in self.networks.items()
        }
        self.iteration = 0
        self.bad_steps: Counter[tuple[str, ...]] = Counter()  # of networks that learn together, in a row
        self.digest = ""  # of the pictures
        self.frame: np.ndarray | None = None  # how faces lie in the pictures, as `Model.frame`
        self.aligner: str | None = None  # what put them there, as `Model.aligner`
        self.best: dict[str, float] = {}  # iteration and score of the best evaluation so far

    @property
    def judges(self) -> tuple[str, ...]:
        """The names of the networks that tell real from fake."""
        return ("discriminator",) if self.projected is None else ("discriminator", "projected")

    @property
    def networks(self) -> dict[str, nn.Module]:
        """What is trained. Of a line of generators, the faithful end is called the generator; the free one is there, too."""
        judges: dict[str, nn.Module] = {name: getattr(self, name) for name in self.judges}
        ends = {"generator": self.generator} if self.line is None else {"generator": self.line.faithful, "free": self.line.free}
        return {
            **ends,
            "mapping_network": self.mapping_network,
            "style_encoder": self.style_encoder,
            **judges,
        }

    @property
    def lambda_ds(self) -> float:
        """The weight of the diversity loss, falling linearly from lambda_ds to ds_floor over ds_iterations."""
        c = self.config
        return c.ds_floor + (c.lambda_ds - c.ds_floor) * max(0.0, 1 - self.iteration / c.ds_iterations)

    @property
    def likeness(self) -> float:
        """That this iteration takes of a line of generators: half the time 1, else any, uniformly."""
        return float(min(1.0, 2 * np.random.default_rng([self.config.seed, self.iteration, LIKENESS]).random()))

    @property
    def lambda_con(self) -> float:
        """The weight of the content loss, of a line of generators at the likeness taken."""
        c = self.config
        return c.lambda_con if self.line is None else c.lambda_con_free + (c.lambda_con - c.lambda_con_free) * self.line.likeness

    def set_rates(self) -> None:
        """Gives the optimisers this iteration's learning rates: those of the configuration, less towards the end of the run."""
        c = self.config
        factor = min(1.0, max(0.0, (c.iterations - self.iteration) / c.lr_decay)) if c.lr_decay else 1.0
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = optimiser.defaults["lr"] * factor

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def _fastest(self) -> str:
        """bf16 or fp32; what the first process measures holds for all."""
        found = ["bf16" if fastest(self.device) == "bf16" else "fp32"]
        return str(broadcast_object_list(found)[0])

    def look(self, image: Tensor) -> list[Tensor]:
        """The frozen features of images; only where a loss needs them."""
        assert self.features is not None
        with self.autocast():
            found: list[Tensor] = self.features(image)
        return found

    def heatmaps(self, image: Tensor) -> Tensor | None:
        """Where the FAN sees landmarks in these images, (N, L, h, w); None for a model without skips."""
        return self.fan(image) if self.fan is not None else None

    def masks(self, image: Tensor) -> Masks | None:
        """The masks of these images, without gradient; None for a model without skips."""
        with torch.no_grad():
            return masks_of(self.heatmaps(image))

    def model(self, name: str) -> Model:
        """The averaged networks, as inference uses them, without the branches of source-only domains; they share memory with this
        state."""
        config = dataclasses.replace(self.config.model, domains=self.config.domains)
        nets: dict[str, Any] = {key: _without_sources(net, config) for key, net in self.averaged.items()}
        facts: dict[str, Any] = {"licence": self.config.licence, "sources": self.config.sources, "frame": self.frame}
        facts["aligner"] = self.aligner
        return Model(config=config, fan=self.fan, name=name, **facts, **nets)

    def judge(self) -> Discriminator:
        """The discriminator without the branches of source-only domains; it shares memory with this state."""
        return _without_sources(self.discriminator, dataclasses.replace(self.config.model, domains=self.config.domains))


@torch.no_grad()
def masks_of(heatmaps: Tensor | None) -> Masks | None:
    """The masks that these heatmaps come to, without gradient."""
    return face_masks(heatmaps) if heatmaps is not None else None


def _without_sources(net: Any, config: ModelConfig) -> Any:
    """A network of that configuration, which has fewer domains, on the memory of one with more."""
    with torch.device("meta"):
        short = type(net)(config)
    values = net.state_dict()
    # A discriminator's branches are the first channels of one layer.
    values = {k: values[k][: len(v)] if v.shape != values[k].shape else values[k] for k, v in short.state_dict().items()}
    short.load_state_dict(values, assign=True)
    return short.eval().requires_grad_(False)


def initialize(net: nn.Module) -> None:
    """He initialisation (arXiv 1502.01852) of convolutions and linear layers, biases at zero."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)

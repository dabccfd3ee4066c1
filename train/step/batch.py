"""What one iteration sees."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from train import data
from train.config import TrainConfig
from train.step.augment import NUMBERS

KINDS = ("latent", "ref")  # of guidance


@dataclass(frozen=True)
class Batch:
    """What one iteration sees: sources of domain y_org, two references of domain y_trg, two latents, and the random numbers
    of the augmentation. Source-only domains occur in y_org alone."""

    x_real: Tensor  # (N, 3, S, S) in [-1, 1], as the references
    y_org: Tensor  # (N,) long
    x_ref: Tensor
    x_ref2: Tensor
    y_trg: Tensor
    z: Tensor  # (N, latent_dim)
    z2: Tensor
    noise: Tensor  # (N, 2 kinds, 3 uses, augment.NUMBERS) in [0, 1)

    def split(self, parts: int) -> list[Batch]:
        """Equal parts, in order."""
        columns = [getattr(self, f.name).chunk(parts) for f in dataclasses.fields(self)]
        return [Batch(*column) for column in zip(*columns, strict=True)]

    def to(self, device: torch.device | str) -> Batch:
        return Batch(*(getattr(self, f.name).to(device, non_blocking=True) for f in dataclasses.fields(self)))


def sample_batch(
    config: TrainConfig,
    pictures: data.Pictures,
    iteration: int,
    process: int = 0,
    processes: int = 1,
    device: torch.device | str = "cpu",
) -> Batch:
    """The batch of an iteration, or a process's share of it: it depends on the seed and the iteration alone, so a resumed run
    sees the same pictures. They are cropped on the device, where that takes next to no time."""
    rng = np.random.default_rng([config.seed, iteration])
    targets = len(config.domains)
    y_org, source = data.balanced(pictures, config.batch, rng, high=targets)
    y_trg, first, second = data.pairs(pictures, config.batch, rng, high=targets)
    if config.sources:
        y_only, only = data.balanced(pictures, config.batch, rng, low=targets)
        # As many as the share says, the rest by chance; spread over the batch, so that its parts are alike.
        taken = rng.permutation(config.batch) + rng.random() < config.source_share * config.batch
        y_org, source = np.where(taken, y_only, y_org), np.where(taken, only, source)
    boxes = torch.from_numpy(data.random_boxes(3 * config.batch, rng)).view(3, config.batch, 2, 3)
    z, z2 = torch.from_numpy(rng.standard_normal((2, config.batch, config.model.latent_dim), dtype=np.float32))
    noise = torch.from_numpy(rng.random((config.batch, len(KINDS), 3, NUMBERS), dtype=np.float32))
    shard = slice(process * config.batch // processes, (process + 1) * config.batch // processes)

    def cropped(index: np.ndarray, box: Tensor) -> Tensor:
        x = data.warp(pictures.batch(index[shard], device), box[shard].to(device), config.image_size)
        return x.contiguous(memory_format=torch.channels_last)

    x_real, x_ref, x_ref2 = (cropped(i, b) for i, b in zip((source, first, second), boxes, strict=True))
    y = [torch.from_numpy(d[shard]) for d in (y_org, y_trg)]
    return Batch(x_real, y[0], x_ref, x_ref2, y[1], z[shard], z2[shard], noise[shard]).to(device)

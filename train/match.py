"""Fits the mapping network of a trained model to the styles of real pictures.

The mapping network learns at 1/100 of the other rates. In a short run its styles therefore stay about where they were initialised,
beside those that the style encoder finds in real pictures, and what is made of them looks less real than what is made after a
reference. Here it alone is trained on, in minutes, until its styles are distributed as the encoder's, by the energy distance
(Székely and Rizzo 2013, doi 10.1016/j.jspi.2013.03.018). Generator and style encoder stay as they are.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from stargan.model import Model
from stargan.precision import autocast
from train import data
from train.data import framing

BATCH = 256  # styles a domain and step
LEARNING_RATE = 1e-3


def energy_distance(a: Tensor, b: Tensor) -> Tensor:
    """The squared energy distance of two samples (N, D) and (M, D) of at least two points, without bias, so about 0 (and at
    times slightly below) for two of one distribution. Scalar."""
    # Not by matrix products: small distances would lose their digits.
    between = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").mean()
    return 2 * between - torch.pdist(a).mean() - torch.pdist(b).mean()


@torch.no_grad()
def encoded(model: Model, pictures: data.Pictures, domain: int) -> Tensor:
    """The styles of all pictures of a domain and of their mirror images, (2N, style_dim)."""
    found, index = [], pictures.of(domain)
    for start in tqdm(range(0, len(index), 32), desc=f"styles of {pictures.domains[domain]}", unit="batch"):
        x = pictures.batch(index[start : start + 32])
        for image in (x, x.flip(3)):
            with autocast():
                found.append(model.style_encoder(image, torch.full((len(image),), domain)).float())
    return torch.cat(found)


def match_styles(model: Model, root: Path | str, *, steps: int, cache: Path, seed: int = 0) -> tuple[float, float]:
    """Trains `model.mapping_network` in place, on the train split of `root`; returns the energy distance between its styles and
    those of the pictures before and after, the mean over domains. The same seed gives the same result on one machine. What aligned
    the pictures is noted for a model that did not know. DataError for a folder that lacks a domain of the model, or whose pictures
    another aligner cut than the model's."""
    by = framing.aligner(Path(root))
    if by is not None and model.aligner not in (None, by):
        raise data.DataError(
            f"{root} was aligned by {by}, and {model.name} learned from pictures that {model.aligner} aligned; prepare the folder "
            f"with --aligner {model.aligner}"
        )
    model.aligner = model.aligner or by
    pictures = data.load(root, "train", model.config.image_size, cache, model.config.domains)
    domains = range(len(model.config.domains))
    real = [encoded(model, pictures, d) for d in domains]
    net = model.mapping_network.float().requires_grad_(True)
    optimiser = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    generator = torch.Generator().manual_seed(seed)

    def distance(count: int) -> Tensor:
        parts = []
        for d in domains:
            # The branch of this domain alone: the network as a whole goes through all of them.
            styles = net.unshared[d](net.shared(torch.randn(count, model.config.latent_dim, generator=generator)))
            parts.append(energy_distance(styles, real[d][torch.randint(len(real[d]), (count,), generator=generator)]))
        return torch.stack(parts).mean()

    def measured() -> float:
        with torch.no_grad():
            return distance(8 * BATCH).item()

    before = measured()
    for _ in tqdm(range(steps), desc="match", unit="step"):
        optimiser.zero_grad()
        distance(BATCH).backward()
        optimiser.step()
        schedule.step()
    net.requires_grad_(False)
    return before, measured()

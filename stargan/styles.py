"""Style codes: 64 numbers that say how an output looks within its domain."""

from __future__ import annotations

import json
import operator
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from stargan.media import images
from stargan.model import Model
from stargan.precision import undisturbed

MEAN_OF = 1024  # latents whose mean style truncation pulls towards
LARGEST = 1000.0  # number of a style that is read; those of real pictures are a few units


def _domain(model: Model, domain: str | int, count: int = 1) -> Tensor:
    return torch.full((count,), model.config.domain_index(domain), device="cpu")


@undisturbed()
def from_latents(model: Model, domain: str | int, latents: Tensor) -> Tensor:
    """Latents (N, latent_dim) -> styles (N, style_dim)."""
    return model.mapping_network(latents, _domain(model, domain, len(latents)))


def _latents(model: Model, seed: int, count: int = 1) -> Tensor:
    """(count, latent_dim), the same whatever type and device tensors have by default."""
    rng = torch.Generator("cpu").manual_seed(seed)
    return torch.randn(count, model.config.latent_dim, generator=rng, dtype=torch.float32, device="cpu")


def mean(model: Model, domain: str | int) -> Tensor:
    """The mean style of a domain over a fixed set of latents, (style_dim,); the model keeps it."""
    index = model.config.domain_index(domain)
    if index not in model.mean_styles:
        model.mean_styles[index] = from_latents(model, domain, _latents(model, 0, MEAN_OF)).mean(0)
    return model.mean_styles[index].clone()  # which a caller may change


def truncate(model: Model, domain: str | int, style: Tensor, psi: float) -> Tensor:
    """A style (style_dim,) truncated: psi 1 leaves it, 0 gives the domain's mean, more exaggerates it (arXiv 1812.04948, section
    3.1). ValueError for psi outside 0 to 2."""
    if not 0 <= psi <= 2:
        raise ValueError(f"psi is {psi}; it has to be from 0 (the mean style) to 2")
    return style if psi == 1 else torch.lerp(mean(model, domain), style, psi)


def from_seed(model: Model, domain: str | int, seed: int, psi: float = 1.0) -> Tensor:
    """The style (style_dim,) of the latent that a seed stands for, under `truncate`. ValueError for psi outside 0 to 2, a
    seed that is no whole number from 0 on, or an unknown domain."""
    try:
        number = operator.index(seed)  # of NumPy's whole numbers, too
    except TypeError:
        number = -1
    if not 0 <= number < 2**63:
        raise ValueError(f"the seed is {seed}; it has to be a whole number from 0 to 2**63 - 1")
    return truncate(model, domain, from_latents(model, domain, _latents(model, number))[0], psi)


@undisturbed()
def from_reference(model: Model, reference: Image.Image | Tensor, domain: str | int) -> Tensor:
    """The style (style_dim,) of a square picture, or of a tensor (1, 3, H, W) in [-1, 1], of that domain.
    ValueError for another tensor, or an unknown domain."""
    square = images.to_square(reference, model.config.image_size)
    return model.style_encoder(square, _domain(model, domain))[0]


def interpolate(a: Tensor, b: Tensor, t: float) -> Tensor:
    """Linear between two styles: t 0 gives a, 1 gives b."""
    return torch.lerp(a, b, t)


def bilinear(corners: Sequence[Tensor], x: float, y: float) -> Tensor:
    """Between four styles at the corners of a square, in the order of reading: x goes from the first to the second, y from these
    to the others, each from 0 to 1."""
    a, b, c, d = corners
    return torch.lerp(torch.lerp(a, b, x), torch.lerp(c, d, x), y)


def mix(styles: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The mean of styles (style_dim,) under weights of 0 and above; ValueError where they do not match or are all 0."""
    if len(styles) != len(weights) or not styles:
        raise ValueError(f"there are {len(styles)} styles and {len(weights)} weights; give one weight a style")
    weight = torch.tensor(weights, dtype=torch.float32, device="cpu")
    if bool((weight < 0).any()) or weight.sum() <= 0:
        raise ValueError(f"the weights are {list(weights)}; they have to be 0 or above, at least one of them above")
    return (weight / weight.sum()) @ torch.stack(list(styles))


def to_json(style: Tensor, model: Model, domain: str) -> str:
    """A style (style_dim,) as text that `from_json` reads, with the model and the domain that it was made for."""
    numbers = [float(f"{value:.6g}") for value in style.tolist()]
    return json.dumps({"model": model.name, "domain": domain, "style": numbers})


def from_json(text: str, model: Model, domain: str | None = None) -> Tensor:
    """The style (style_dim,) that `to_json` wrote; ValueError where the text is none, or says that it is of another model, or of
    another domain than `domain`."""
    try:
        said = json.loads(text)
        numbers = said["style"]
        fine = isinstance(numbers, list) and all(type(n) in (int, float) and abs(n) <= LARGEST for n in numbers)
    except (ValueError, TypeError, KeyError, RecursionError):
        fine = False
    if not fine:
        raise ValueError('this is no style; paste what "Style as JSON" shows')
    if said.get("model", model.name) != model.name:
        raise ValueError(f"this style is one of the model {said['model']!r}, not of {model.name!r}; choose that model first")
    if domain is not None and said.get("domain", domain) != domain:
        raise ValueError(f"this style is one of the domain {said['domain']!r}, not of {domain!r}; choose that domain first")
    if len(numbers) != model.config.style_dim:
        raise ValueError(f"this style has {len(numbers)} numbers, this model takes {model.config.style_dim}; use one of its own")
    return torch.tensor(numbers, dtype=torch.float32, device="cpu")

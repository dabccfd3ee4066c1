"""The losses of StarGAN v2 (arXiv 1912.01865, section 2.2), each a function of network outputs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def adversarial(logits: Tensor, real: bool) -> Tensor:
    """Equation 1, one side of it: binary cross-entropy of logits (N,) with all real or all fake. For the generator, whose
    fakes should pass for real, this is the non-saturating form of arXiv 1406.2661. Scalar, 0 and above."""
    return F.softplus(-logits if real else logits).mean()


def r1(logits: Tensor, image: Tensor) -> Tensor:
    """R1 (arXiv 1801.04406, equation 9, without its weight): half the squared norm of the gradient of real logits (N,) with
    respect to their images (N, 3, S, S), mean over the batch. Differentiable once more. Scalar, 0 and above."""
    (gradient,) = torch.autograd.grad(logits.sum(), image, create_graph=True)
    return 0.5 * gradient.square().sum((1, 2, 3)).mean()


def mismatch(logits: Tensor, domain: Tensor) -> Tensor:
    """Matching-aware discrimination (arXiv 1605.05396, section 4.1): to each branch but its own a real picture is a fake, so that
    what passes for real has to be of the domain, too. logits (N, K) of all branches that are targets, domain (N,) long. Scalar,
    0 and above; 0 with a single branch."""
    others = F.softplus(logits).scatter(1, domain[:, None], 0.0)
    return others.sum() / max(1, len(logits) * (logits.shape[1] - 1))


def style_reconstruction(style: Tensor, found: Tensor) -> Tensor:
    """Equation 2: mean absolute difference of the style asked for and the one found in the output, both (N, style_dim)."""
    return (found - style).abs().mean()


def diversity(fake: Tensor, other: Tensor) -> Tensor:
    """Equation 3, to be maximised: mean absolute difference of two outputs (N, 3, S, S) of one source; no gradient goes
    through the second."""
    return (fake - other.detach()).abs().mean()


def landmarks(source: Tensor, output: Tensor) -> Tensor:
    """How far the landmarks of outputs lie from those of their sources: the squared distance of heatmaps (N, L, h, w), as a FAN
    gives them, over the square of the sources'. Of the batch as a whole, so that a picture without a face has little weight.
    Scalar, 0 and above, about 2 where no landmark of one meets one of the other."""
    return (output - source).square().sum() / source.square().sum().clamp(min=1e-6)


def cycle(source: Tensor, reconstruction: Tensor) -> Tensor:
    """Equation 4: mean absolute difference of the source (N, 3, S, S) and what the output is translated back to."""
    return (reconstruction - source).abs().mean()

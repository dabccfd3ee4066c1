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
    other = torch.ones_like(logits, dtype=torch.bool).scatter_(1, domain[:, None], False)
    return F.softplus(logits[other]).mean() if logits.shape[1] > 1 else logits.sum() * 0


def fine_chroma(fake: Tensor, real: Tensor) -> Tensor:
    """How much more colour, brightness apart, varies in small in outputs than in pictures of their domains, both (N, 3, S, S): the
    logarithm of the ratio of its mean differences from what a filter over 5 x 5 px leaves of it. Pictures have little of it, most of
    all after JPEG, and a discriminator on pixels hardly sees it beside brightness. Scalar; 0 where outputs have no more."""
    left, reference = (_fine_chroma(x) for x in (fake, real))
    return F.relu(torch.log(left / reference))


def _fine_chroma(x: Tensor) -> Tensor:
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=x.dtype, device=x.device)  # of brightness, ITU-R BT.601
    chroma = x - torch.einsum("nchw,c->nhw", x, weights)[:, None]
    row = torch.tensor([1.0, 4, 6, 4, 1], dtype=x.dtype, device=x.device) / 16
    kernel = torch.outer(row, row).expand(3, 1, 5, 5)
    return (chroma - F.conv2d(F.pad(chroma, (2, 2, 2, 2), mode="reflect"), kernel, groups=3)).abs().mean() + 1e-4


def style_reconstruction(style: Tensor, found: Tensor) -> Tensor:
    """Equation 2: mean absolute difference of the style asked for and the one found in the output, both (N, style_dim)."""
    return (found - style).abs().mean()


def diversity(fake: Tensor, other: Tensor) -> Tensor:
    """Equation 3, to be maximised: mean absolute difference of two outputs (N, 3, S, S) of one source; no gradient goes
    through the second."""
    return (fake - other.detach()).abs().mean()


def cycle(source: Tensor, reconstruction: Tensor) -> Tensor:
    """Equation 4: mean absolute difference of the source (N, 3, S, S) and what the output is translated back to."""
    return (reconstruction - source).abs().mean()

"""A content loss: how far the structure of an output is from that of its source.

Adversarial, style and cycle losses leave open who is in the picture: a generator may give every source of a domain one face, as
long as the cycle finds in it what it hid there. Here source and output are compared in features of a network trained on photographs
(as in arXiv 1603.08155), after instance normalisation, which takes colour and contrast, and with them most of the style, out of
them (arXiv 1703.06868); what is left is where edges, lines and parts are: the person.

The network looks at every 2nd, 4th, 8th and 16th pixel in the end, so that its gradients bear a grid. Were it always at one place,
outputs would learn to bear it, too: each time the part that is compared moves a little, and is resized a little differently.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from train.step.features import Features

SIDE = 160  # px to which pictures are resized
REACH, SCALE = 1 / 28, 0.1  # how far the part moves, as a fraction of the picture's side, and how much the size of 160 px varies
STAGES = 3  # of the features: of strides 4, 8 and 16

Box = tuple[float, float, float, float]


def described(features: Features, image: Tensor, box: Box, side: int = SIDE) -> list[Tensor]:
    """(N, 3, S, S) in [-1, 1] -> the normalised features of each stage, (N, C, h, w), of the part of the picture in the box, as
    fractions (left, top, right, bottom), seen `side` x `side` px large."""
    left, top, right, bottom = (round(min(1.0, max(0.0, edge)) * image.shape[-1]) for edge in box)
    x = image[:, :, top:bottom, left:right]
    x = F.interpolate(x, size=(side, side), mode="bilinear", antialias=x.shape[-1] > side)
    return [F.instance_norm(found.float()) for found in features(x, STAGES)]


def content(
    features: Features,
    source: Tensor,
    output: Tensor,
    box: Box = (0.0, 0.0, 1.0, 1.0),
    moved: tuple[float, float, float] = (0.5, 0.5, 0.5),
    weight: Tensor | None = None,
) -> Tensor:
    """The mean L1 distance between instance-normalised features of three stages.

    Both pictures (N, 3, S, S) in [-1, 1]; box: the part of them that is compared; moved: how it moves to the right and down, and
    how its size varies, uniform in [0, 1), 0.5 for not at all; weight (N,): of each pair, 1 by default -> a scalar of 0 and above;
    differentiable in `output`.
    """
    dx, dy, scale = (2 * number - 1 for number in moved)
    left, top, right, bottom = box
    part = left + REACH * dx, top + REACH * dy, right + REACH * dx, bottom + REACH * dy
    side = round(SIDE * (1 + SCALE * scale))
    with torch.no_grad():
        wanted = described(features, source, part, side)
    distances = [(a - b).abs().mean((1, 2, 3)) for a, b in zip(wanted, described(features, output, part, side), strict=True)]
    each = torch.stack(distances).mean(0)
    return (each if weight is None else weight * each).mean()

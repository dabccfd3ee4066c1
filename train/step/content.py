"""A content loss: how far the structure of an output is from that of its source.

Adversarial, style and cycle losses leave open who is in the picture: a generator may give every source of a domain one face, as
long as the cycle finds in it what it hid there. Here source and output are compared in features of a network trained on photographs
(as in arXiv 1603.08155), after instance normalisation, which takes colour and contrast, and with them most of the style, out of
them (arXiv 1703.06868); what is left is where edges, lines and parts are: the person.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from train.step.features import Features

SIDE = 160  # px to which pictures are resized
STAGES = 3  # of the features: of strides 4, 8 and 16

Box = tuple[float, float, float, float]


def described(features: Features, image: Tensor, box: Box) -> list[Tensor]:
    """(N, 3, S, S) in [-1, 1] -> the normalised features of each stage, (N, C, h, w), of the part of the picture in the box, as
    fractions (left, top, right, bottom)."""
    left, top, right, bottom = (round(edge * image.shape[-1]) for edge in box)
    x = image[:, :, top:bottom, left:right]
    x = F.interpolate(x, size=(SIDE, SIDE), mode="bilinear", antialias=x.shape[-1] > SIDE)
    return [F.instance_norm(found.float()) for found in features(x, STAGES)]


def content(features: Features, source: Tensor, output: Tensor, box: Box = (0.0, 0.0, 1.0, 1.0)) -> Tensor:
    """The mean L1 distance between instance-normalised features of three stages.

    Both pictures (N, 3, S, S) in [-1, 1]; box: the part of them that is compared -> a scalar of 0 and above; differentiable in
    `output`.
    """
    with torch.no_grad():
        wanted = described(features, source, box)
    distances = [(a - b).abs().mean() for a, b in zip(wanted, described(features, output, box), strict=True)]
    return torch.stack(distances).mean()

"""A content loss: how far the structure of an output is from that of its source.

Adversarial, style and cycle losses leave open who is in the picture: a generator may give every source of a domain one face, as
long as the cycle finds in it what it hid there. Here source and output are compared in features of a network trained on photographs
(as in arXiv 1603.08155), after instance normalisation, which takes colour and contrast, and with them most of the style, out of
them (arXiv 1703.06868); what is left is where edges, lines and parts are: the person.

The network looks at every 2nd, 4th, 8th and 16th pixel in the end, so that its gradients bear a grid. Were it always at one place,
outputs would learn to bear it, too: each time the part that is compared moves a little, and is resized a little differently.

A box compares whatever is in it. Of a head that is turned, that is the room behind it, too, which outputs would then keep in the
middle of a face; so what is compared can be weighed by where the face is.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from train.step.features import Features

SIDE = 160  # px to which pictures are resized
REACH, SCALE = 1 / 28, 0.1  # how far the part moves, as a fraction of the picture's side, and how much the size of 160 px varies
STAGES = 3  # of the features: of strides 4, 8 and 16
FAINT = 0.1  # the lowest peak of a heatmap that says where a landmark is
HEIGHT = 0.6  # of a peak, below which a place is none of the landmark's
# As fractions of the side: half of the widest gap between landmarks that belongs to the face, and how soft its edge is.
GAP, MARGIN = 0.16, 0.03
EPSILON = 1e-5
ELSEWHERE = 0.03  # what there counts of what counts 1 on the face

Box = tuple[float, float, float, float]


@torch.no_grad()
def face_of(heatmaps: Tensor) -> Tensor:
    """Where the face is whose landmarks a FAN sees in these heatmaps (N, L, h, w): (N, 1, h, w) from 0 to 1, soft at its edge."""
    peaks = heatmaps.float() / heatmaps.float().amax((2, 3), keepdim=True).clamp(min=FAINT)
    seen = ((peaks - HEIGHT) / (1 - HEIGHT)).clamp(min=0).amax(1, keepdim=True)
    gap, margin = (round(part * seen.shape[-1]) for part in (GAP, MARGIN))
    wide = F.max_pool2d(F.pad(seen, [gap] * 4), 2 * gap + 1, 1, gap)
    filled = -F.max_pool2d(-wide, 2 * gap + 1, 1, gap)
    filled = filled[..., gap:-gap, gap:-gap] if gap else filled
    return F.avg_pool2d(filled, 2 * margin + 1, 1, margin, count_include_pad=False)


def part_of(image: Tensor, box: Box, side: int) -> Tensor:
    """(N, C, S, S) -> the part of it in the box, as fractions (left, top, right, bottom), `side` x `side` px large."""
    left, top, right, bottom = (round(min(1.0, max(0.0, edge)) * image.shape[-1]) for edge in box)
    x = image[:, :, top:bottom, left:right]
    return F.interpolate(x, size=(side, side), mode="bilinear", antialias=x.shape[-1] > side)


def normalised(found: Tensor, where: Tensor) -> Tensor:
    """Features (N, C, h, w), each less its mean and over its deviation, both weighed by where (N, 1, h, w), which sums up to 1."""
    found = found.float()
    mean = (where * found).sum((2, 3), keepdim=True)
    variance = (where * (found - mean).square()).sum((2, 3), keepdim=True)
    return (found - mean) * torch.rsqrt(variance + EPSILON)


def content(
    features: Features,
    source: Tensor,
    output: Tensor,
    box: Box = (0.0, 0.0, 1.0, 1.0),
    moved: tuple[float, float, float] = (0.5, 0.5, 0.5),
    weight: Tensor | None = None,
    face: Tensor | None = None,
) -> Tensor:
    """The mean L1 distance between normalised features of three stages.

    Both pictures (N, 3, S, S) in [-1, 1]; box: the part of them that is compared; moved: how it moves to the right and down, and
    how its size varies, uniform in [0, 1), 0.5 for not at all; weight (N,): of each pair, 1 by default; face: `face_of` the
    sources, all of whose part counts by default -> a scalar of 0 and above; differentiable in `output`.
    """
    dx, dy, scale = (2 * number - 1 for number in moved)
    left, top, right, bottom = box
    part = left + REACH * dx, top + REACH * dy, right + REACH * dx, bottom + REACH * dy
    side = round(SIDE * (1 + SCALE * scale))
    with torch.no_grad():
        wanted = features(part_of(source, part, side), STAGES)
        face = source.new_ones(len(source), 1, 1, 1) if face is None else face
        counts = ELSEWHERE + (1 - ELSEWHERE) * F.interpolate(face, size=source.shape[-2:], mode="bilinear")
        counts = part_of(counts, part, side)
    distances = []
    for a, b in zip(wanted, features(part_of(output, part, side), STAGES), strict=True):
        where = F.adaptive_avg_pool2d(counts, a.shape[-2:])
        where = where / where.sum((2, 3), keepdim=True)
        distances.append((where * (normalised(a, where) - normalised(b, where)).abs()).sum((2, 3)).mean(1))
    each = torch.stack(distances).mean(0)
    return (each if weight is None else weight * each).mean()

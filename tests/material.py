"""What tests are made of: golden weights, a tiny network, generated portraits."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from PIL import Image

from stargan.fan import FANConfig

GOLDEN = Path(__file__).parent / "golden"
sys.path.insert(0, str(GOLDEN))

import recipe  # noqa: E402

TINY_FAN = FANConfig(landmarks=68, width=16, input_size=64, depth=2, boundary=False)


def fill(net: torch.nn.Module, prefix: str) -> torch.nn.Module:
    """Gives a network the weights of the golden values."""
    own = {k: v for k, v in net.state_dict().items() if k.endswith("num_batches_tracked") or k == "hpf.filter"}
    filled = {k: recipe.fill(prefix, k, tuple(v.shape)) for k, v in net.state_dict().items() if k not in own}
    net.load_state_dict(own | filled)
    return net.eval()


def portrait(seed: int, side: int = 96) -> Image.Image:
    """Smooth colour noise as a picture."""
    pixels = recipe.image(seed, 1, side)[0].permute(1, 2, 0).add(1).mul(127.5).round().byte()
    return Image.fromarray(pixels.numpy())

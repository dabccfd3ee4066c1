"""What several tests need: the golden recipe, small models, generated portraits."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stargan import checkpoint
from stargan.fan import FANConfig
from stargan.networks import ModelConfig

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


@pytest.fixture(scope="session")
def tiny_model() -> checkpoint.Model:
    """A random model that is quick: 64 px, three domains, with masks."""
    torch.manual_seed(0)
    config = ModelConfig(image_size=64, domains=("man", "orc", "woman"), base_channels=8, max_channels=16, hidden_dim=32)
    return checkpoint.build(config, TINY_FAN, name="tiny", licence="MIT")


def portrait(seed: int, side: int = 96) -> Image.Image:
    """Smooth colour noise as a picture."""
    pixels = recipe.image(seed, 1, side)[0].permute(1, 2, 0).add(1).mul(127.5).round().byte()
    return Image.fromarray(pixels.numpy())


@pytest.fixture(scope="session")
def picture_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder: train and val, two domains of a few generated pictures, with landmarks."""
    root = tmp_path_factory.mktemp("pictures")
    names = []
    for s, split in enumerate(("train", "val")):
        for d, domain in enumerate(("cold", "warm")):
            (root / split / domain).mkdir(parents=True)
            for i in range(4):
                portrait(100 * s + 10 * d + i).save(root / split / domain / f"{i}.png")
                names.append(f"{split}/{domain}/{i}")
    points = np.random.default_rng(0).uniform(20, 216, (len(names), 68, 2)).astype(np.float16)
    np.savez(root / "landmarks.npz", files=np.array(names), points=points)
    return root

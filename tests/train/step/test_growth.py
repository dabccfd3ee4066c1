"""A model of twice the side: which are made, and that they do what the smaller one does."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from material import TINY_FAN

from stargan.faces.masks import face_masks
from stargan.model import build
from stargan.networks import Discriminator, ModelConfig
from train import data
from train.step import growth, peaks

SMALL = ModelConfig(image_size=64, domains=("a", "b"), base_channels=8, max_channels=16)


def large(**changes: object) -> ModelConfig:
    return dataclasses.replace(SMALL, **({"image_size": 128, "base_channels": 4} | changes))


def test_only_twice_the_side_at_half_the_width_grows() -> None:
    assert growth.can_grow(SMALL, large()) and growth.can_grow(SMALL, large(domains=("c",)))
    for changes in ({"image_size": 256}, {"base_channels": 8}, {"max_channels": 32}, {"w_hpf": 0.0}, {"style_dim": 32}):
        assert not growth.can_grow(SMALL, large(**changes))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, picture_folder: Path) -> data.Pictures:
    return data.load(picture_folder, "train", 160, tmp_path_factory.mktemp("cache"))


@pytest.mark.slow
def test_a_grown_model_keeps_all_inner_blocks_and_does_as_the_small_one(pictures: data.Pictures) -> None:
    torch.manual_seed(3)
    small = build(SMALL, TINY_FAN, "small")
    grown = growth.grow(small, large(), pictures, scale=0.05)
    fresh = growth.grow(small, large(), pictures, scale=0.0)
    assert grown.config == large() and grown.name == "small"
    assert not any(p.requires_grad for net in grown.networks.values() for p in net.parameters())
    for i, block in enumerate(small.generator.encode):
        for key, value in block.state_dict().items():
            assert torch.equal(grown.generator.encode[i + 1].state_dict()[key], value)
    for key, value in small.style_encoder.unshared.state_dict().items():
        assert torch.equal(grown.style_encoder.unshared.state_dict()[key], value)
    assert torch.equal(grown.fan.l0.weight, small.fan.l0.weight)
    x = data.random_crop(pictures.batch(range(8)), 128, np.random.default_rng(5))
    with torch.inference_mode():
        style = small.mapping_network(torch.randn(8, 16), torch.arange(8) % 2)
        masks = face_masks(small.fan(x))
        wanted = torch.nn.functional.interpolate(small.generator(growth.halved(x), style, masks), scale_factor=2, mode="bicubic")
        near, far = ((model.generator(x, style, masks) - wanted).abs().mean().item() for model in (grown, fresh))
    assert near < 0.96 * far


@pytest.mark.slow
def test_the_discriminator_grows_too(pictures: data.Pictures) -> None:
    torch.manual_seed(3)
    small = Discriminator(SMALL).eval()
    grown, fresh = (growth.grow_discriminator(small, large(), pictures, scale=scale) for scale in (0.05, 0.0))
    assert torch.equal(grown.main[-1].weight, small.main[-1].weight)
    x = data.random_crop(pictures.batch(range(8)), 128, np.random.default_rng(5))
    y = torch.arange(8) % 2
    with torch.inference_mode():
        near, far = ((net(x, y) - small(growth.halved(x), y)).abs().mean().item() for net in (grown, fresh))
    assert near < far


def test_peaks_are_what_stands_out_of_its_map() -> None:
    torch.manual_seed(0)
    model = build(SMALL)
    with torch.inference_mode():
        x, style = torch.rand(2, 3, 64, 64) * 2 - 1, torch.randn(2, 64)
        features, _ = model.generator.features(x)
        image, flat = peaks.synthesize(model.generator, features, style, None)
        assert torch.allclose(image, model.generator(x, style), atol=1e-5)
        model.generator.decode[-1].register_forward_hook(lambda module, given, made: made.index_fill(3, torch.tensor([5]), 1e3))
        _, steep = peaks.synthesize(model.generator, features, style, None)
    assert steep > flat + 0.5
    one = torch.zeros(1, 2, 32, 32)
    one[0, 0, 3, 4] = 1.0
    assert peaks.peaks(one).item() == pytest.approx((32 - peaks.HIGHEST) / 2, rel=0.01)


def test_the_loss_on_peaks_lowers_them() -> None:
    torch.manual_seed(0)
    generator = build(SMALL).generator.requires_grad_(True)
    with torch.no_grad():
        generator.decode[-2].conv2.weight.mul_(0)
        generator.decode[-2].conv2.weight[:, 0, 1, 1] = 5.0
    features, style = generator.features(torch.rand(2, 3, 64, 64))[0].detach(), torch.randn(2, 64)
    optimiser = torch.optim.Adam(generator.parameters(), 1e-2)
    found = []
    for _ in range(8):
        loss = peaks.synthesize(generator, features, style, None)[1]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        found.append(loss.item())
    assert found[0] > 0 and found[-1] < found[0]

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
from train.step import growth

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
    grown = growth.grow(small, large(last_shortcut=True), pictures, scale=0.05)
    fresh = growth.grow(small, large(), pictures, scale=0.0)
    assert grown.config == large(last_shortcut=True) and grown.name == "small"
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


@pytest.mark.slow
def test_a_last_shortcut_hands_on_what_the_small_model_paints(pictures: data.Pictures) -> None:
    torch.manual_seed(3)
    small = build(SMALL, TINY_FAN, "small")
    with torch.no_grad():
        # Two features make the picture, and one of those that are not needed is far larger than they are.
        small.generator.to_rgb[2].weight[:, [0, 1, 2, 4, 6, 7]] = 0
        small.generator.decode[-1].conv2.weight[2] *= 100
    large_generator = build(large(last_shortcut=True)).generator
    inner = growth.take_over(large_generator, small.generator)
    assert any(key.startswith("decode.0.") for key in inner) and not any(key.startswith("to_rgb.") for key in inner)
    sample = growth.Sample(pictures, 128, np.random.default_rng(5))
    growth.hand_on(large_generator, small, sample)
    chosen = large_generator.decode[-1].conv1x1.weight[:, :, 0, 0].abs().max(0).values > 0
    assert chosen[[3, 5]].all() and chosen.sum() == 4
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.inference_mode():
        style = small.mapping_network(torch.randn(2, 16), torch.arange(2))
        features, _ = small.generator.features(x)
        wanted = small.generator.synthesize(features, style)
        found = large_generator.synthesize(features, style)
    # The same features, each over four pixels: nothing is lost where as few as there is room for make the picture.
    assert torch.allclose(found, torch.nn.functional.interpolate(wanted, scale_factor=2, mode="nearest"), atol=0.02)


def test_a_last_shortcut_is_part_of_the_shape() -> None:
    assert growth.can_grow(SMALL, large(last_shortcut=True))
    plain, with_shortcut = (build(large(last_shortcut=there)).generator for there in (False, True))
    assert [block.shortcut for block in plain.decode] == [False] * len(plain.decode)
    assert [block.shortcut for block in with_shortcut.decode] == [False] * (len(plain.decode) - 1) + [True]
    assert plain.state_dict().keys() == with_shortcut.state_dict().keys()

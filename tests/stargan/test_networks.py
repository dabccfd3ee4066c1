"""The networks give what the reference implementation gives."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from material import GOLDEN, fill, recipe

from stargan.faces.masks import combine, face_masks, part_masks
from stargan.fan import FAN
from stargan.layers import subsample_chroma
from stargan.networks import Discriminator, Generator, MappingNetwork, ModelConfig, StyleEncoder

KEYS = json.loads((GOLDEN / "keys.json").read_text())
CASES = {"forward_256_hpf1_cap512": 1000, "forward_256_hpf1_cap64": 2000}


def close(found: torch.Tensor, wanted: np.ndarray) -> bool:
    """Within 1e-3 of the array's largest value, as the golden values ask."""
    return float(np.abs(found.numpy() - wanted).max()) <= 1e-3 * float(np.abs(wanted).max())


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> SimpleNamespace:
    seed = CASES[request.param]
    config = ModelConfig(max_channels=int(request.param.rpartition("cap")[2]))
    return SimpleNamespace(
        keys=KEYS[request.param],
        golden=np.load(GOLDEN / f"{request.param}.npz"),
        nets={
            "generator": fill(Generator(config), "generator"),
            "mapping_network": fill(MappingNetwork(config), "mapping_network"),
            "style_encoder": fill(StyleEncoder(config), "style_encoder"),
            "discriminator": fill(Discriminator(config), "discriminator"),
            "fan": fill(FAN(), "fan"),
        },
        x=recipe.image(seed),
        z=recipe.normal(seed + 1, 2, 16),
        y=torch.tensor([0, 1]),
        masks=(recipe.mask(seed + 2), recipe.mask(seed + 3)),
    )


def test_golden_keys_and_shapes(case: SimpleNamespace) -> None:
    for name, net in case.nets.items():
        assert {k: list(v.shape) for k, v in net.state_dict().items()} == case.keys[name], name


@torch.inference_mode()
def test_golden_mapping_network(case: SimpleNamespace) -> None:
    assert close(case.nets["mapping_network"](case.z, case.y), case.golden["mapping_network"])


@torch.inference_mode()
def test_golden_style_encoder(case: SimpleNamespace) -> None:
    assert close(case.nets["style_encoder"](case.x, case.y), case.golden["style_encoder"])


@torch.inference_mode()
def test_golden_discriminator(case: SimpleNamespace) -> None:
    assert close(case.nets["discriminator"](case.x, case.y), case.golden["discriminator"])


@torch.inference_mode()
def test_golden_generator(case: SimpleNamespace) -> None:
    style = case.nets["mapping_network"](case.z, case.y)
    plain = case.nets["generator"](case.x, style)
    assert close(plain[..., ::4, ::4], case.golden["generator"])
    assert close(torch.stack([plain.mean(), plain.std()]), case.golden["generator_mean_std"])
    assert close(case.nets["generator"](case.x, style, case.masks)[..., ::4, ::4], case.golden["generator_masked"])


@torch.inference_mode()
def test_golden_fan_and_its_masks(case: SimpleNamespace) -> None:
    heatmaps = case.nets["fan"](case.x)
    assert close(heatmaps[..., ::2, ::2], case.golden["fan_heatmaps"])
    full, inner = face_masks(heatmaps)
    assert close(full[..., ::2, ::2], case.golden["fan_mask_full"])
    assert close(inner[..., ::2, ::2], case.golden["fan_mask_inner"])
    style = case.nets["mapping_network"](case.z, case.y)
    masked = case.nets["generator"](case.x, style, (full, inner))
    assert close(masked[..., ::4, ::4], case.golden["generator_fan_masked"])


def test_golden_masks() -> None:
    golden = np.load(GOLDEN / "masks.npz")
    full, inner = combine(part_masks(recipe.heatmaps(9000), upsample=1))
    assert close(full[..., ::2, ::2], golden["full"])
    assert close(inner[..., ::2, ::2], golden["inner"])


def test_loss_case_keys_and_shapes() -> None:
    config = ModelConfig(domains=("a", "b", "c"), w_hpf=0, max_channels=64)
    wanted = KEYS["losses_256_hpf0_cap64"]
    for name, kind in (("generator", Generator), ("style_encoder", StyleEncoder), ("discriminator", Discriminator)):
        assert {k: list(v.shape) for k, v in kind(config).state_dict().items()} == wanted[name]


@pytest.mark.parametrize("size", [64, 128, 256, 512, 1024])
@pytest.mark.parametrize("w_hpf", [0.0, 1.0])
def test_every_size_keeps_its_shape(size: int, w_hpf: float) -> None:
    config = ModelConfig(image_size=size, base_channels=4, max_channels=8, w_hpf=w_hpf)
    x = torch.zeros(1, 3, size, size)
    masks = (torch.ones(1, 1, 64, 64),) * 2 if w_hpf else None
    with torch.inference_mode():
        assert Generator(config)(x, torch.zeros(1, 64), masks).shape == x.shape
        assert StyleEncoder(config)(x, torch.tensor([1])).shape == (1, 64)
        assert Discriminator(config)(x, torch.tensor([1])).shape == (1,)


def test_a_generator_of_subsampled_chroma_has_no_weights_of_its_own_for_it() -> None:
    small = {"image_size": 64, "base_channels": 4, "max_channels": 8, "w_hpf": 0.0}
    plain, subsampled = (Generator(ModelConfig(**small, subsampled_chroma=there)) for there in (False, True))
    subsampled.load_state_dict(plain.state_dict())
    x, style = torch.rand(1, 3, 64, 64), torch.randn(1, 64)
    torch.testing.assert_close(subsampled(x, style), subsample_chroma(plain(x, style)))
    assert not torch.allclose(subsampled(x, style), plain(x, style))


@pytest.mark.parametrize(
    "wrong", [{"image_size": 100}, {"image_size": 32}, {"domains": ()}, {"domains": ("a", "a")}, {"w_hpf": -1}, {"style_dim": 0}]
)
def test_impossible_configurations_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ModelConfig(**wrong)


@pytest.mark.parametrize("name", ["../evil", "a/b", "a\\b", "..", " ", "", "line\nbreak", 101 * "x"])
def test_a_domain_is_called_as_a_file_can_be(name: str) -> None:
    with pytest.raises(ValueError, match="a domain cannot be called"):
        ModelConfig(domains=("man", name))

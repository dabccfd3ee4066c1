"""The discriminator on features: what it sees, what stays as it is, and what its losses ask of whom."""

from __future__ import annotations

import pytest
import torch
from torchvision.models import mobilenet_v2

from train.step import losses
from train.step.features import CHANNELS, Features
from train.step.projected import PLACES, ProjectedDiscriminator


@pytest.fixture(scope="module")
def look() -> Features:
    torch.manual_seed(0)
    return Features(mobilenet_v2().features)


def test_it_has_a_logit_for_each_place_scale_and_domain(look: Features) -> None:
    maps = look(torch.rand(2, 3, 128, 128) * 2 - 1)
    assert tuple(m.shape[1] for m in maps) == CHANNELS
    assert [128 // m.shape[-1] for m in maps] == [4, 8, 16, 32]
    assert ProjectedDiscriminator(3)(maps).shape == (2, len(CHANNELS) * PLACES**2, 3)


def test_only_its_heads_learn(look: Features) -> None:
    net = ProjectedDiscriminator(2)
    before = {name: value.clone() for name, value in net.named_buffers() if name.startswith("projection")}
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    image = torch.rand(2, 3, 64, 64, requires_grad=True)
    losses.adversarial(net(look(image)).flatten(), real=True).backward()
    optimiser.step()
    assert len(before) == len(CHANNELS) and all(torch.equal(value, net.get_buffer(name)) for name, value in before.items())
    assert all(p.grad is None for p in look.parameters())
    assert image.grad is not None and image.grad.abs().sum() > 0, "the generator learns through the features"
    # What can be computed anew, the frozen network, is in no checkpoint; what was drawn at random is.
    assert set(before) < set(net.state_dict()) and not any("stages" in key for key in net.state_dict())


def test_it_learns_to_tell_two_kinds_of_pictures_by_their_texture(look: Features) -> None:
    torch.manual_seed(1)
    net = ProjectedDiscriminator(1)
    optimiser = torch.optim.Adam(net.parameters(), 2e-3)
    smooth = torch.nn.functional.interpolate(torch.rand(16, 3, 4, 4), size=(64, 64), mode="bilinear") * 2 - 1
    rough = smooth + 0.2 * torch.randn(16, 3, 64, 64)
    with torch.no_grad():
        real, fake = look(smooth), look(rough)
    for _ in range(30):
        optimiser.zero_grad()
        loss = losses.adversarial(net([m[:8] for m in real]).flatten(), real=True)
        loss = loss + losses.adversarial(net([m[:8] for m in fake]).flatten(), real=False)
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        unseen = [net([m[8:] for m in maps]).mean((1, 2)) for maps in (real, fake)]
    assert unseen[0].min() > unseen[1].max()

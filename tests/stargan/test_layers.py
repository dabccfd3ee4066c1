"""What the networks compute apart from their parameters, against what it stands for."""

from __future__ import annotations

import pytest
import torch

from stargan import layers


@pytest.mark.parametrize("side", [8, 64])
@pytest.mark.parametrize("folded", ["conv_then_pool", "upsample_then_conv"])
def test_folded_convolutions_are_exact(folded: str, side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    conv = torch.nn.Conv2d(5, 7, 3, padding=1).double()
    x = torch.randn(2, 5, side, side, dtype=torch.float64)
    monkeypatch.setattr(layers, "FOLD_FROM", 1)
    fast = getattr(layers, folded)(x, conv)
    monkeypatch.setattr(layers, "FOLD_FROM", 10**9)
    torch.testing.assert_close(fast, getattr(layers, folded)(x, conv))


@pytest.mark.parametrize("scale", [torch.linspace(0.5, 2, 6), torch.linspace(0.5, 2, 12).view(2, 6)], ids=["one", "each"])
def test_what_lies_channels_last_is_normalised_as_it_lies(scale: torch.Tensor) -> None:
    torch.manual_seed(0)
    weights = torch.randn(2, 6, 32, 32)
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        x = (3 * torch.randn(2, 6, 32, 32, generator=torch.manual_seed(1)) + 5).contiguous(memory_format=layout)
        leaves = [x.requires_grad_(), scale.clone().requires_grad_(), (scale - 1).requires_grad_()]
        y = layers.normalize(*leaves)
        assert y.is_contiguous(memory_format=layout)
        found.append([y, *torch.autograd.grad((y * weights).sum(), leaves)])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_a_mean_far_from_zero_costs_no_digits_that_matter() -> None:
    torch.manual_seed(0)
    x = (torch.randn(1, 16, 256, 256) + 30).contiguous(memory_format=torch.channels_last)
    found = layers.normalize(x, torch.ones(16), torch.zeros(16))
    wanted = torch.nn.functional.instance_norm(x.double())
    assert (found - wanted).abs().max() < 1e-3


def test_colour_is_painted_at_half_the_resolution_of_brightness() -> None:
    weights = torch.tensor(layers.LUMA)[:, None, None]
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    found = layers.subsample_chroma(x)
    # Brightness stays as it is.
    torch.testing.assert_close((found * weights).sum(1), (x * weights).sum(1))
    plain = torch.tensor([0.5, -0.25, 0.1])[:, None, None].expand(1, 3, 16, 16)
    torch.testing.assert_close(layers.subsample_chroma(plain), plain)
    # Red and blue in turn, of one brightness: too fine to stay.
    board = (torch.arange(16)[:, None] + torch.arange(16)) % 2 * 2.0 - 1
    fine = board * torch.tensor([layers.LUMA[2], 0, -layers.LUMA[0]])[:, None, None]
    assert fine.abs().max() > 0.1 and layers.subsample_chroma(fine[None]).abs().max() < 1e-6

"""The losses, and two whole iterations through the real loop, against the reference implementation."""

from __future__ import annotations

import json
import math

import pytest
import torch
from material import GOLDEN, fill, recipe

from stargan.fan import FAN
from train.config import TrainConfig
from train.step import losses
from train.step.augment import NUMBERS, diff_augment
from train.step.batch import Batch
from train.step.state import State
from train.step.update import iterate

# The first iteration agrees to 3e-4. Its steps go by the signs of gradients (Adam without a first moment), which rounding decides
# where a gradient is about zero: the plain algorithm itself, run on one thread instead of two, gives another second iteration by
# as much as 1.4e-2.
TOLERANCE = (1e-3, 2e-2)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["losses_128_hpf1_cap128", "losses_256_hpf0_cap64"])
def test_golden_losses(case: str) -> None:
    golden = json.loads((GOLDEN / f"{case}.json").read_text())
    size, domains, seed = golden["size"], golden["domains"], golden["seed"]
    config = TrainConfig(
        domains=tuple(str(d) for d in range(domains)),
        image_size=size,
        max_channels=golden["max_conv_dim"],
        w_hpf=float(golden["w_hpf"]),
        lambda_ds=2.0,
        ds_iterations=10,
        exact=True,
        precision="fp32",
    )
    state = State(config, fill(FAN(), "fan").requires_grad_(False) if config.w_hpf else None)
    for name, net in state.networks.items():
        fill(net, name)
        if name in state.averaged:
            fill(state.averaged[name], name)
    for i, wanted in enumerate(golden["iterations"]):
        b = seed + 100 * i
        x_real, x_ref, x_ref2 = (recipe.image(b + j, 2, size) for j in range(3))
        z, z2 = recipe.normal(b + 3, 2, 16), recipe.normal(b + 4, 2, 16)
        noise = torch.zeros(2, 2, 3, NUMBERS)
        batch = Batch(x_real, torch.tensor([0, 1]), x_ref, x_ref2, torch.tensor([domains - 1, 0]), z, z2, noise)
        found = {k: v.item() for k, v in iterate(state, batch).items()}
        assert found.keys() == wanted.keys()
        for key in wanted:
            assert found[key] == pytest.approx(wanted[key], rel=TOLERANCE[i]), f"{key} of iteration {i}"
    for name, wanted in golden["ema_sum"].items():
        total = sum(p.double().sum().item() for p in state.averaged[name].parameters())
        assert total == pytest.approx(wanted, rel=1e-3), name


def test_adversarial_loss_is_cross_entropy() -> None:
    logits = torch.tensor([-2.0, 0.5])
    probability = torch.sigmoid(logits)
    torch.testing.assert_close(losses.adversarial(logits, real=True), -probability.log().mean())
    torch.testing.assert_close(losses.adversarial(logits, real=False), -(1 - probability).log().mean())
    assert losses.adversarial(torch.tensor([0.0]), real=True).item() == pytest.approx(math.log(2))


def test_r1_of_a_linear_discriminator_is_known() -> None:
    weight = torch.randn(3, 8, 8, requires_grad=True)
    image = torch.randn(5, 3, 8, 8, requires_grad=True)
    penalty = losses.r1((image * weight).sum((1, 2, 3)), image)
    torch.testing.assert_close(penalty, 0.5 * weight.square().sum())
    penalty.backward()
    torch.testing.assert_close(weight.grad, weight.detach())


def test_a_real_picture_of_another_domain_is_a_fake_to_a_branch() -> None:
    logits = torch.tensor([[3.0, -1.0, 0.5], [2.0, 0.0, -4.0]], requires_grad=True)
    loss = losses.mismatch(logits, torch.tensor([0, 1]))
    others = torch.tensor([-1.0, 0.5, 2.0, -4.0])
    torch.testing.assert_close(loss, -(1 - torch.sigmoid(others)).log().mean())
    loss.backward()
    assert (logits.grad == 0).tolist() == [[True, False, False], [False, True, False]]
    assert losses.mismatch(logits[:, :1], torch.tensor([0, 0])).item() == 0, "one branch has no others"


def test_landmarks_that_meet_are_no_loss() -> None:
    source, elsewhere = torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 8, requires_grad=True)
    source[0, :, 2, 2] = 1
    assert losses.landmarks(source, source.clone()).item() == 0
    assert losses.landmarks(source, torch.roll(source, 3, 3)).item() == 2
    assert losses.landmarks(torch.zeros_like(source), torch.zeros_like(source)).item() == 0, "nobody is in the picture"
    losses.landmarks(source, elsewhere).backward()
    assert (elsewhere.grad != 0).sum() == 3 and elsewhere.grad[0, 0, 2, 2] < 0


def test_no_gradient_through_the_second_picture_of_diversity() -> None:
    a, b = torch.zeros(1, 3, 4, 4, requires_grad=True), torch.ones(1, 3, 4, 4, requires_grad=True)
    loss = losses.diversity(a, b)
    loss.backward()
    assert loss.item() == 1 and a.grad is not None and b.grad is None


def test_differentiable_augmentation() -> None:
    x = torch.rand(4, 3, 32, 32, requires_grad=True)
    noise = torch.rand(4, NUMBERS)
    out = diff_augment(x, noise)
    assert out.shape == x.shape and not torch.equal(out, diff_augment(x, 1 - noise))
    assert torch.equal(out[2:], diff_augment(x[2:], noise[2:])), "each picture has numbers of its own"
    out.sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0


def test_the_colour_part_of_the_augmentation_has_a_strength() -> None:
    x = torch.rand(1, 3, 16, 16)
    colours = torch.tensor([[0.9, 0.5, 0.5, 0.5, 0.5], [0.5, 0.1, 0.5, 0.5, 0.5], [0.5, 0.5, 0.9, 0.5, 0.5]])
    for noise in colours:
        none, half, full = (diff_augment(x, noise[None], colour) - x for colour in (0.0, 0.5, 1.0))
        assert full.abs().max() > 0.05 and none.abs().max() < 1e-6
        torch.testing.assert_close(2 * half, full, rtol=1e-4, atol=1e-5)


def test_augmentation_in_the_middle_changes_nothing_and_shifts_are_exact() -> None:
    x = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(diff_augment(x, torch.full((1, NUMBERS), 0.5)), x)
    left_and_up = diff_augment(x, torch.tensor([[0.5, 0.5, 0.5, 0.99, 0.99]]))
    torch.testing.assert_close(left_and_up[..., :-2, :-2], x[..., 2:, 2:])
    assert (left_and_up[..., -2:, :] == 0).all() and (left_and_up[..., -2:] == 0).all()

"""Styles, and translation through the encode-once path."""

from __future__ import annotations

import pytest
import torch
from material import fill, portrait

from stargan import checkpoint, images, styles
from stargan.checkpoint import Model
from stargan.fan import FANConfig
from stargan.masks import PARTS, face_masks
from stargan.networks import ModelConfig
from stargan.translate import Translator


@pytest.fixture(scope="module")
def golden_model() -> Model:
    """Filled weights: unlike random ones, every skip and style shows in the output."""
    config = ModelConfig(image_size=64, domains=("a", "b"), base_channels=16, max_channels=32)
    model = checkpoint.build(config, FANConfig(landmarks=68, width=16, input_size=64, depth=2, boundary=False))
    for name, net in model.networks.items():
        fill(net, name)
    return model


def test_the_cached_path_equals_the_plain_one(golden_model: Model) -> None:
    source = portrait(1, 64)
    style = styles.from_seed(golden_model, "b", 3)
    translator = Translator(golden_model, precision="fp32")
    x = images.to_tensor(source)
    with torch.inference_mode():
        masks = face_masks(golden_model.fan(x))
        # In the same memory layout: another one sums in another order.
        x = x.contiguous(memory_format=torch.channels_last)
        plain = translator.generator(x, style[None], masks)
        unmasked = translator.generator(x, style[None])
    cached = translator.decode(translator.encode(source), style)
    torch.testing.assert_close(cached, plain.clamp(-1, 1), atol=1e-5, rtol=1e-5)
    free = translator.decode(translator.encode(source, masks=False), style)
    torch.testing.assert_close(free, unmasked.clamp(-1, 1), atol=1e-5, rtol=1e-5)
    assert (cached - free).abs().max() > 1e-3


def test_a_batch_of_styles_equals_single_ones(golden_model: Model) -> None:
    translator = Translator(golden_model, precision="fp32")
    encoded = translator.encode(portrait(2, 64))
    several = torch.stack([styles.from_seed(golden_model, d, s) for d, s in (("a", 1), ("b", 1), ("b", 2))])
    together = translator.decode(encoded, several)
    for i, style in enumerate(several):
        torch.testing.assert_close(together[i : i + 1], translator.decode(encoded, style), atol=1e-5, rtol=1e-5)


def test_new_mask_weights_do_not_encode_again(golden_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    translator = Translator(golden_model, precision="fp32")
    encoded = translator.encode(portrait(3, 64))
    style = styles.from_seed(golden_model, "a", 0)
    anew = translator.encode(portrait(3, 64), parts={"eyes": 0.0, "nose": 0.5})

    def no_encoder(*_: object) -> None:
        raise AssertionError("the encoder ran again")

    monkeypatch.setattr(translator.generator, "features", no_encoder)
    changed = translator.with_masks(encoded, parts={"eyes": 0.0, "nose": 0.5})
    torch.testing.assert_close(translator.decode(changed, style), translator.decode(anew, style))
    off = translator.with_masks(encoded, parts=dict.fromkeys(PARTS, 0.0))
    without = translator.with_masks(encoded, on=False)
    torch.testing.assert_close(translator.decode(off, style), translator.decode(without, style))


def test_bf16_stays_close_to_fp32(golden_model: Model) -> None:
    style = styles.from_seed(golden_model, "a", 0)
    exact, fast = (
        t.decode(t.encode(portrait(4, 64)), style) for t in (Translator(golden_model, precision=p) for p in ("fp32", "bf16"))
    )
    mse = (exact - fast).square().mean()
    assert 10 * torch.log10(4 / mse) > 30  # dB, for a range of 2


def test_sources_of_any_size_are_taken(golden_model: Model) -> None:
    translator = Translator(golden_model)
    for side in (48, 200):
        out = translator.decode(translator.encode(portrait(5, side)), styles.from_seed(golden_model, "a", 0))
        assert out.shape == (1, 3, 64, 64) and out.dtype == torch.float32 and out.abs().max() <= 1


def test_a_model_without_fan_ignores_masks() -> None:
    config = ModelConfig(image_size=64, domains=("a",), base_channels=8, max_channels=8, w_hpf=0, hidden_dim=16)
    translator = Translator(checkpoint.build(config))
    encoded = translator.encode(portrait(6, 64), masks=True)
    assert encoded.masks is None
    assert translator.decode(encoded, torch.zeros(64)).shape == (1, 3, 64, 64)


def test_unknown_precision_is_refused(golden_model: Model) -> None:
    with pytest.raises(ValueError, match="fp8"):
        Translator(golden_model, precision="fp8")


def test_a_seed_stands_for_one_style(golden_model: Model) -> None:
    first = styles.from_seed(golden_model, "a", 7)
    assert torch.equal(first, styles.from_seed(golden_model, 0, 7))
    assert not torch.equal(first, styles.from_seed(golden_model, "a", 8))
    assert not torch.equal(first, styles.from_seed(golden_model, "b", 7))


def test_truncation_pulls_towards_the_mean(golden_model: Model) -> None:
    mean = styles.mean(golden_model, "a")
    torch.testing.assert_close(styles.from_seed(golden_model, "a", 7, psi=0), mean)
    distance = [(styles.from_seed(golden_model, "a", 7, psi=p) - mean).norm() for p in (0.25, 0.5, 1.0)]
    assert distance[0] < distance[1] < distance[2]
    for psi in (-0.1, 2.1, float("nan")):
        with pytest.raises(ValueError, match="psi"):
            styles.from_seed(golden_model, "a", 7, psi=psi)
    with pytest.raises(ValueError, match="seed"):
        styles.from_seed(golden_model, "a", -1)
    with pytest.raises(ValueError, match=r"'cat'.*a, b"):
        styles.from_seed(golden_model, "cat", 1)


def test_reference_styles_differ_by_picture_and_domain(golden_model: Model) -> None:
    style = styles.from_reference(golden_model, portrait(1, 100), "a")
    assert style.shape == (64,)
    assert not torch.allclose(style, styles.from_reference(golden_model, portrait(2, 100), "a"))
    assert not torch.allclose(style, styles.from_reference(golden_model, portrait(1, 100), "b"))


def test_mixing_and_interpolation() -> None:
    a, b = torch.zeros(64), torch.ones(64)
    torch.testing.assert_close(styles.interpolate(a, b, 0.25), torch.full((64,), 0.25))
    torch.testing.assert_close(styles.mix([a, b], [1, 3]), torch.full((64,), 0.75))
    for weights in ([1.0], [0, 0], [-1, 2]):
        with pytest.raises(ValueError, match="weights"):
            styles.mix([a, b], weights)

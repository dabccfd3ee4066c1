"""Styles, and translation through the encode-once path."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from material import fill, portrait

from stargan import styles, transition, zoo
from stargan.faces.masks import PARTS, face_masks
from stargan.fan import FANConfig
from stargan.fast import FastGenerator, modulated
from stargan.files import checkpoint, places
from stargan.media import images
from stargan.model import Model, build
from stargan.networks import ModelConfig
from stargan.translate import FOLD_FROM, Translator


@pytest.fixture(scope="module")
def golden_model() -> Model:
    """Filled weights: unlike random ones, every skip and style shows in the output."""
    config = ModelConfig(image_size=64, domains=("a", "b"), base_channels=16, max_channels=32)
    model = build(config, FANConfig(landmarks=68, width=16, input_size=64, depth=2, boundary=False))
    for name, net in model.networks.items():
        fill(net, name)
    return model


def plain_and_cached(model: Model, on: bool) -> tuple[torch.Tensor, torch.Tensor]:
    source, style = portrait(1, model.config.image_size), styles.from_seed(model, model.config.domains[1], 3)
    # In the memory layout of the fast path: another one sums in another order.
    x = images.to_tensor(source).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        masks = face_masks(model.fan(x)) if on and model.fan is not None else None
        plain = model.generator(x, style[None], masks).clamp(-1, 1)
    translator = Translator(model, precision="fp32")
    return plain, translator.decode(translator.encode(source, masks=on), style)


def test_the_cached_path_equals_the_plain_one(golden_model: Model) -> None:
    # The filled weights magnify rounding; those of a trained model do not.
    for model, tolerance in ((zoo.load(zoo.DEFAULT), 1e-5), (golden_model, 1e-4)):
        with_masks = plain_and_cached(model, True)
        without = plain_and_cached(model, False)
        for plain, cached in (with_masks, without):
            torch.testing.assert_close(cached, plain, atol=tolerance, rtol=0)
        assert (with_masks[1] - without[1]).abs().max() > 1e-3


def test_the_same_with_shortcuts_instead_of_skips() -> None:
    shape = {"image_size": 128, "domains": ("a", "b"), "base_channels": 8, "max_channels": 32, "w_hpf": 0.0}
    for chroma in (False, True):
        model = build(ModelConfig(**shape, subsampled_chroma=chroma))
        for name, net in model.networks.items():
            fill(net, name)
        plain, cached = plain_and_cached(model, False)
        torch.testing.assert_close(cached, plain, atol=1e-5, rtol=1e-5)


def test_styles_of_references_are_kept(golden_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    translator = Translator(golden_model, precision="fp32")
    first = translator.style(portrait(1, 64), "a")
    torch.testing.assert_close(first, styles.from_reference(golden_model, portrait(1, 64), "a"), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        translator.style(portrait(2, 100), "b"), styles.from_reference(golden_model, portrait(2, 100), "b"), atol=1e-5, rtol=1e-5
    )
    monkeypatch.setitem(translator._calls, "styles", not_again)
    assert torch.equal(translator.style(portrait(1, 64), "a"), first)
    for picture, domain in ((portrait(1, 64), "b"), (portrait(3, 64), "a")):
        with pytest.raises(AssertionError, match="ran again"):
            translator.style(picture, domain)


def not_again(*_: object) -> None:
    raise AssertionError("it ran again")


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

    for name in ("encode", "parts"):
        monkeypatch.setitem(translator._calls, name, not_again)
    changed = translator.with_masks(encoded, parts={"eyes": 0.0, "nose": 0.5})
    torch.testing.assert_close(translator.decode(changed, style), translator.decode(anew, style))
    off = translator.with_masks(encoded, parts=dict.fromkeys(PARTS, 0.0))
    without = translator.with_masks(encoded, on=False)
    torch.testing.assert_close(translator.decode(off, style), translator.decode(without, style))


@pytest.mark.slow
def test_the_fast_path_shows_no_difference() -> None:
    """64 portraits of the bundled model, latent- and reference-guided in turn, against float32."""
    model = zoo.load(zoo.DEFAULT)
    exact, fast = (Translator(model, precision=p) for p in ("fp32", "bf16"))
    domains = model.config.domains
    examples = [images.read(path) for path in sorted((places.weights() / zoo.DEFAULT / "examples").glob("*.jpg"))]
    encoded = [exact.encode(example) for example in examples]
    found = []
    for i in range(64):
        maker = styles.from_seed(model, domains[i % 3], i)
        source = images.to_pil(exact.decode(encoded[i % len(examples)], maker))
        domain = domains[(i + i // 3) % 3]
        if i % 2:
            codes = [styles.from_seed(model, domain, 1000 + i)] * 2
        else:
            codes = [t.style(examples[(i + 1) % len(examples)], domain) for t in (exact, fast)]
        a, b = (t.decode(t.encode(source), code) for t, code in zip((exact, fast), codes, strict=True))
        found.append(10 * torch.log10(4 / (a - b).square().mean()).item())  # dB, for a range of 2
    assert sum(found) / 64 >= 40 and min(found) >= 36, (sum(found) / 64, min(found))


@pytest.mark.parametrize("side", [24, 32, 256])
def test_sums_over_many_pixels_are_exact(side: int) -> None:
    generator = torch.Generator().manual_seed(side)
    x = torch.randn(2, 5, side, side, generator=generator).mul_(3).add_(2).contiguous(memory_format=torch.channels_last)
    scale, shift = torch.randn(2, 2, 5, 1, 1, generator=generator)
    wide = x.double()
    variance, mean = torch.var_mean(wide, dim=(2, 3), correction=0, keepdim=True)
    wanted = F.leaky_relu((wide - mean) * torch.rsqrt(variance + 1e-5) * scale + shift, 0.2)
    torch.testing.assert_close(modulated(x, scale, shift).double(), wanted, atol=4e-6, rtol=0)
    torch.testing.assert_close(modulated(x, scale[:1], shift[:1])[:1].double(), wanted[:1], atol=4e-6, rtol=0)
    half = modulated(x.bfloat16(), scale, shift)
    assert half.dtype == torch.bfloat16 and half.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(half.double(), wanted, atol=0.1, rtol=0.02)


@pytest.mark.slow
def test_compiled_translation_is_the_same() -> None:
    shape = ModelConfig(image_size=64, domains=("a", "b"), base_channels=8, max_channels=16, hidden_dim=16)
    model = build(shape, FANConfig(landmarks=68, width=16, input_size=32, depth=1, boundary=False))
    for name, net in model.networks.items():
        fill(net, name)
    translator = Translator(model, precision="fp32")
    several = torch.stack([styles.from_seed(model, "ab"[s % 2], s) for s in range(10)])
    before = translator.decode(translator.encode(portrait(7, 64)), several), translator.style(portrait(8, 64), "a")
    unmasked = translator.decode(translator.encode(portrait(9, 64), masks=False), several[:3])
    assert "eager" in translator.path
    worked = translator.compile()
    assert worked == translator.compiled and ("compiled" in translator.path) == worked
    assert worked or shutil.which("g++") is None
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    after = translator.decode(translator.encode(portrait(7, 64)), several)
    torch.testing.assert_close(after, before[0], atol=1e-4, rtol=1e-4)
    translator._styles.clear()
    torch.testing.assert_close(translator.style(portrait(8, 64), "a"), before[1], atol=1e-4, rtol=1e-4)
    translator.decode(translator.with_masks(translator.encode(portrait(9, 64)), parts={"eyes": 0.5}), several[0])
    again = translator.decode(translator.encode(portrait(9, 64), masks=False), several[:3])
    torch.testing.assert_close(again, unmasked, atol=1e-4, rtol=1e-4)
    # Nobody waits for a compiler afterwards.
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == graphs


def test_without_a_compiler_it_goes_on(
    golden_model: Model, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> object:
        def call(*_: object) -> None:
            raise RuntimeError("no C++ compiler")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    translator = Translator(golden_model)
    assert not translator.compile() and "no C++ compiler" in caplog.text
    assert translator.decode(translator.encode(portrait(7, 64)), torch.zeros(3, 64)).shape == (3, 3, 64, 64)


def test_tuning_measures_and_changes_no_result(golden_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = torch.get_num_threads()
    translator = Translator(golden_model, precision="fp32")
    style = styles.from_seed(golden_model, "a", 0)
    before = translator.decode(translator.encode(portrait(1, 64)), style)
    try:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        translator.tune()
        assert 1 <= torch.get_num_threads() <= (os.cpu_count() or 1)
        torch.testing.assert_close(translator.decode(translator.encode(portrait(1, 64)), style), before, atol=1e-4, rtol=0)
        translator.tune(threads=1)
        assert torch.get_num_threads() == 1
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
        translator.tune()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)


def test_tuning_takes_the_fastest_folding(golden_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    translator = Translator(golden_model, precision="fp32")
    real = FastGenerator.encode

    def slow(self: FastGenerator, x: torch.Tensor) -> object:
        time.sleep(0.0 if sum(getattr(m, "fold", False) for m in self.modules()) == wanted else 0.2)
        return real(self, x)

    monkeypatch.setattr(FastGenerator, "encode", slow)
    for side in FOLD_FROM:
        wanted = sum(getattr(m, "fold", False) for m in FastGenerator(golden_model.generator, torch.float32, side).modules())
        translator.tune(threads=torch.get_num_threads())
        assert sum(getattr(m, "fold", False) for m in translator.generator.modules()) == wanted


def test_sources_of_any_size_are_taken(golden_model: Model) -> None:
    translator = Translator(golden_model)
    for side in (48, 200):
        out = translator.decode(translator.encode(portrait(5, side)), styles.from_seed(golden_model, "a", 0))
        assert out.shape == (1, 3, 64, 64) and out.dtype == torch.float32 and out.abs().max() <= 1


def test_tensors_that_are_no_picture_or_no_style_are_refused(golden_model: Model) -> None:
    translator, x = Translator(golden_model), images.to_tensor(portrait(5, 64))
    encoded = translator.encode(x)
    for same in (x[0], x.double(), x.half(), x.transpose(2, 3).contiguous().transpose(2, 3)):
        torch.testing.assert_close(translator.encode(same).image, x, atol=1e-3, rtol=0)
        styles.from_reference(golden_model, same, "a")
    pixels = (x + 1) * 127.5
    for wrong in (pixels, pixels.byte(), x * float("nan"), x.repeat(2, 1, 1, 1), x[:0], x[:, :1], x.permute(0, 2, 3, 1), x.numpy()):
        for call in (translator.encode, lambda w: translator.style(w, "a"), lambda w: styles.from_reference(golden_model, w, "a")):
            with pytest.raises(ValueError, match="picture"):
                call(wrong)
    for style in (torch.zeros(63), torch.zeros(128), torch.zeros(0, 64)):
        with pytest.raises(ValueError, match="64 numbers"):
            translator.decode(encoded, style)


def test_a_model_without_fan_ignores_masks() -> None:
    config = ModelConfig(image_size=64, domains=("a",), base_channels=8, max_channels=8, w_hpf=0, hidden_dim=16)
    translator = Translator(build(config))
    encoded = translator.encode(portrait(6, 64), masks=True)
    assert encoded.masks is None
    assert translator.decode(encoded, torch.zeros(64)).shape == (1, 3, 64, 64)


def test_an_unknown_precision_or_device_is_refused(golden_model: Model) -> None:
    for device in ("CPU", "tpu", "cuda:99", "mps" if torch.cuda.is_available() else "cuda"):
        with pytest.raises(ValueError, match=f"'{device}'"):
            Translator(golden_model, device)
    with pytest.raises(ValueError, match="fp8"):
        Translator(golden_model, precision="fp8")


def test_a_seed_stands_for_one_style(golden_model: Model) -> None:
    first = styles.from_seed(golden_model, "a", 7)
    assert torch.equal(first, styles.from_seed(golden_model, 0, 7))
    assert torch.equal(first, styles.from_seed(golden_model, np.int64(0), np.int64(7)))  # type: ignore[arg-type]
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
    for seed in (-1, 2**63, 7.5, "7", None):
        with pytest.raises(ValueError, match="seed"):
            styles.from_seed(golden_model, "a", seed)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"'cat'.*a, b"):
        styles.from_seed(golden_model, "cat", 1)


def test_reference_styles_differ_by_picture_and_domain(golden_model: Model) -> None:
    style = styles.from_reference(golden_model, portrait(1, 100), "a")
    assert style.shape == (64,)
    assert not torch.allclose(style, styles.from_reference(golden_model, portrait(2, 100), "a"))
    assert not torch.allclose(style, styles.from_reference(golden_model, portrait(1, 100), "b"))


def test_a_style_survives_being_written_down(golden_model: Model) -> None:
    style = styles.from_seed(golden_model, "a", 7)
    read = styles.from_json(styles.to_json(style, golden_model, "a"), golden_model)
    torch.testing.assert_close(read, style, atol=1e-5, rtol=1e-5)
    lists = ('{"style": "a"}', '{"style": [1, null]}', '{"style": [NaN]}', '{"style": [true]}')
    # Of these a picture would be made that is no number.
    large = ('{"style": [1e300]}', '{"style": [-1001]}', '{"style": [1' + 400 * "0" + "]}")
    for text in ("", "seven", "[1, 2]", *lists, *large, "[" * 10**5):
        with pytest.raises(ValueError, match="no style"):
            styles.from_json(text, golden_model)
    with pytest.raises(ValueError, match="2 numbers.*64"):
        styles.from_json('{"style": [1, 2.5]}', golden_model)
    text = styles.to_json(style, golden_model, "a")
    assert torch.equal(styles.from_json(text, golden_model, "a"), read)
    with pytest.raises(ValueError, match="one of the domain 'a', not of 'b'"):
        styles.from_json(text, golden_model, "b")
    with pytest.raises(ValueError, match="one of the model"):
        styles.from_json(text.replace('"model": "', '"model": "another '), golden_model, "a")


def test_a_style_is_truncated_and_mixed_in_a_square(golden_model: Model) -> None:
    style = styles.from_seed(golden_model, "a", 7)
    assert torch.equal(styles.truncate(golden_model, "a", style, 1), style)
    torch.testing.assert_close(styles.truncate(golden_model, "a", style, 0), styles.mean(golden_model, "a"))
    with pytest.raises(ValueError, match="psi is 3"):
        styles.truncate(golden_model, "a", style, 3)
    corners = [torch.full((2,), float(i)) for i in range(4)]
    for i, (x, y) in enumerate(((0, 0), (1, 0), (0, 1), (1, 1))):
        assert torch.equal(styles.bilinear(corners, x, y), corners[i])
    torch.testing.assert_close(styles.bilinear(corners, 0.5, 0.5), torch.full((2,), 1.5))


def test_what_tensors_are_by_default_decides_nothing(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = ModelConfig(image_size=64, domains=("a", "b"), hidden_dim=24, base_channels=4, max_channels=16)
    checkpoint.save(build(config, FANConfig(landmarks=98, width=16, input_size=64, depth=2)), tmp_path / "model.safetensors")

    def results() -> list[torch.Tensor]:
        model = zoo.load(str(tmp_path / "model.safetensors"))
        translator, source = Translator(model, "cpu", "fp32"), portrait(1, 64)
        seed, reference = styles.from_seed(model, "b", 7, psi=0.5), styles.from_reference(model, source, "a")
        pasted = styles.from_json(styles.to_json(seed, model, "b"), model)
        mixed = styles.mix([seed, reference, pasted, translator.style(source, "a")], [1, 2, 3, 4])
        return [mixed, translator.decode(translator.encode(source), transition.path([mixed, seed], 2))]

    usual = results()
    with torch.device("meta"):
        elsewhere = results()
    with torch.autocast("cpu", torch.bfloat16):
        styles.from_seed(zoo.load(str(tmp_path / "model.safetensors")), "b", 7, psi=0.5)
    torch.set_default_dtype(torch.float64)
    try:
        longer = results()
    finally:
        torch.set_default_dtype(torch.float32)
    for results_so in (elsewhere, longer):
        assert all(map(torch.equal, usual, results_so))


def test_mixing_and_interpolation() -> None:
    a, b = torch.zeros(64), torch.ones(64)
    torch.testing.assert_close(styles.interpolate(a, b, 0.25), torch.full((64,), 0.25))
    torch.testing.assert_close(styles.mix([a, b], [1, 3]), torch.full((64,), 0.75))
    for weights in ([1.0], [0, 0], [-1, 2]):
        with pytest.raises(ValueError, match="weights"):
            styles.mix([a, b], weights)

"""What programs do with a translator: copy it, send it elsewhere, fork, change what it gives, call it amid their own settings."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from material import TINY_FAN, fill, portrait
from torch import Tensor

from stargan import styles
from stargan.model import Model, build
from stargan.networks import ModelConfig
from stargan.translate import Translator


@pytest.fixture(scope="module")
def model() -> Model:
    config = ModelConfig(image_size=64, domains=("a", "b"), base_channels=16, max_channels=32)
    model = build(config, TINY_FAN, free=True)
    for name, net in model.networks.items():
        fill(net, name.replace("free", "generator"))
    return model


def made(translator: Translator, likeness: float = 1.0) -> Tensor:
    style = styles.from_seed(translator.model, "b", 3)
    return translator.decode(translator.encode(portrait(1, 64), likeness=likeness), style)


def test_copies_and_what_was_sent_translate_the_same(model: Model) -> None:
    translator = Translator(model, precision="fp32", likeness=0.5)
    for other in (copy.deepcopy(translator), pickle.loads(pickle.dumps(translator))):
        assert (other.precision, other.likeness, other.device) == ("fp32", 0.5, translator.device)
        assert torch.equal(made(other), made(translator))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_forked_process_translates(model: Model) -> None:
    translator = Translator(model, precision="fp32")
    wanted = made(translator)  # torch has threads by now
    found, sender = multiprocessing.get_context("fork").Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=lambda: sender.send(made(translator).numpy()))
    child.start()
    try:
        assert found.poll(60)
        torch.testing.assert_close(torch.from_numpy(found.recv()), wanted, atol=1e-4, rtol=0)
    finally:
        child.kill()
        child.join()


@contextmanager
def doubles() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("amid", ["inference", "bfloat16", "float16", "doubles"])
def test_a_callers_settings_change_nothing(model: Model, amid: str) -> None:
    wanted = made(Translator(model, precision="fp32"), 0.5)
    settings = {"inference": torch.inference_mode, "doubles": doubles}
    with settings[amid]() if amid in settings else torch.autocast("cpu", getattr(torch, amid)):
        translator = Translator(model, precision="fp32")
        assert torch.equal(made(translator, 0.5), wanted)
        made(translator, 0.25)
    assert torch.equal(made(translator, 0.5), wanted)


def test_what_is_given_can_be_changed_and_learned(model: Model) -> None:
    translator = Translator(model, precision="fp32")
    for give in (
        lambda: styles.from_seed(model, "b", 7),
        lambda: styles.from_seed(model, "b", 7, psi=0),
        lambda: styles.mean(model, "b"),
        lambda: styles.from_reference(model, portrait(2, 64), "b"),
        lambda: translator.style(portrait(2, 64), "b"),
    ):
        first = give()
        kept = first.clone()
        first += 1
        assert torch.equal(give(), kept)
        first.requires_grad_()
        model.generator(torch.zeros(1, 3, 64, 64), first[None]).sum().backward()
        assert first.grad is not None and first.grad.abs().sum() > 0

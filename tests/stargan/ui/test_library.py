"""The models of a page."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from stargan import zoo
from stargan.files import checkpoint
from stargan.model import build
from stargan.networks import ModelConfig
from stargan.translate import Translator
from stargan.ui.library import Library


def test_another_model_leaves_the_number_of_threads_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of Python that have worked already would stay with another number, and come to other last bits."""
    model = build(ModelConfig(image_size=64, domains=("a", "b"), w_hpf=0, base_channels=4, max_channels=8, hidden_dim=16))
    for name in ("first", "second"):
        checkpoint.save(model, tmp_path / f"{name}.safetensors")
    monkeypatch.setattr(zoo, "available", lambda: {"second": tmp_path / "second.safetensors"})
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    asked, tune = [], Translator.tune

    def noted(self: Translator, threads: int = 0) -> None:
        asked.append(threads)
        tune(self, threads)

    monkeypatch.setattr(Translator, "tune", noted)
    library = Library(str(tmp_path / "first.safetensors"), compiled=False)
    measured = torch.get_num_threads()
    monkeypatch.setattr(zoo, "load", lambda name: checkpoint.load(tmp_path / f"{name}.safetensors"))
    with ThreadPoolExecutor(1) as other:
        other.submit(library.get, "second").result()
    assert asked == [0, measured] and torch.get_num_threads() == measured

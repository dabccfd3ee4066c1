"""The models of a page."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import ClassVar

import pytest
import torch

from stargan import zoo
from stargan.files import checkpoint
from stargan.model import Model, build
from stargan.networks import ModelConfig
from stargan.translate import Translator
from stargan.ui import studio
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


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Models by name, as the library finds them."""
    shape = ModelConfig(image_size=64, domains=("a", "b"), w_hpf=0, base_channels=4, max_channels=8, hidden_dim=16)
    found = {name: tmp_path / f"{name}.safetensors" for name in "abcde"}
    for path in found.values():
        checkpoint.save(build(shape), path)
    monkeypatch.setattr(zoo, "available", lambda: found)
    return found


def test_who_wants_a_model_does_not_wait_for_another(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on, times = Event(), Event(), []

    def load(name: str) -> Model:
        times.append(name)
        if name == "b":
            begun.set()
            assert go_on.wait(60)
        return checkpoint.load(files[name])

    monkeypatch.setattr(zoo, "load", load)
    library = Library("a", compiled=False)
    with ThreadPoolExecutor(2) as visitors:
        waiting = [visitors.submit(library.get, "b") for _ in range(2)]
        assert begun.wait(60)
        assert library.get("a") and not any(one.done() for one in waiting)
        go_on.set()
        assert waiting[0].result() is waiting[1].result() and times == ["a", "b"], "it is loaded once for both"


def test_a_model_that_could_not_be_loaded_is_tried_again(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library("a", compiled=False)
    with monkeypatch.context() as broken, pytest.raises(zoo.ZooError, match="no network"):

        def load(name: str) -> Model:
            raise zoo.ZooError("no network")

        broken.setattr(zoo, "load", load)
        library.get("b")
    assert library.get("b").domains == ("a", "b")


class Later:
    """A timer, of which all go off when they are told to."""

    waiting: ClassVar[list[Later]] = []

    def __init__(self, seconds: float, act: Callable[[], object]) -> None:
        assert seconds == studio.COMPILE_AFTER
        self.act = act

    def start(self) -> None:
        self.waiting.append(self)

    def cancel(self) -> None:
        self.waiting.remove(self)


def test_a_model_that_is_let_go_is_not_compiled_any_more(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    monkeypatch.setattr(Later, "waiting", [])
    monkeypatch.setattr(studio, "Timer", Later)
    monkeypatch.setattr(Translator, "compile", lambda self: compiled.append(self.model.name))
    library = Library("a")
    kept = {name: library.get(name).model.name for name in "abcde"}
    with ThreadPoolExecutor(1) as timers:
        list(timers.map(lambda timer: timer.act(), Later.waiting))
    assert sorted(compiled) == sorted(kept[name] for name in "cde"), "those that are kept, and no others"

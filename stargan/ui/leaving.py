"""Work for visitors who may leave in the middle of it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import gradio as gr

Stay = Callable[[], None]
Step = TypeVar("Step")


class LeftError(ValueError):
    """The visitor has left: nobody is there to read what this says."""


class Visitors:
    """Who has work under way. `leave` is for `gr.Blocks.unload`, which knows of a tab that is closed and of a program that ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._working: dict[str, list[threading.Event]] = {}

    def leave(self, request: gr.Request) -> None:
        """All work that is under way for a visitor ends at its next step."""
        with self._lock:
            for left in self._working.get(request.session_hash or "", ()):
                left.set()

    @contextlib.contextmanager
    def work(self, request: gr.Request) -> Iterator[Stay]:
        """Yields what is to be called at each step, and raises LeftError once the visitor has left."""
        visitor, left = request.session_hash or "", threading.Event()

        def stay() -> None:
            if left.is_set():
                raise LeftError("the visitor has left")

        with self._lock:
            self._working.setdefault(visitor, []).append(left)
        try:
            yield stay
        finally:
            with self._lock:
                self._working[visitor].remove(left)
                if not self._working[visitor]:
                    del self._working[visitor]


def watched(steps: Iterable[Step], stay: Stay) -> Iterator[Step]:
    """The steps, none of which is begun once the visitor has left."""
    for step in steps:
        stay()
        yield step

"""Work for visitors who may leave in the middle of it, and what is remembered of those who have left."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import gradio as gr
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

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


class Sessions:
    """What Gradio remembers of each tab: every value that it was last shown, pictures among them, for as long as the page runs
    (Gradio 6.31, `StateHolder`). Of tabs that have asked for nothing for `seconds` it is forgotten."""

    def __init__(self, page: gr.Blocks, seconds: float) -> None:
        self.page, self.seconds = page, seconds
        self._seen: dict[tuple[str, object], float] = {}
        threading.Thread(target=self._sweep, daemon=True).start()

    def _sweep(self) -> None:
        while True:
            time.sleep(max(1.0, self.seconds / 12))
            self.sweep(time.monotonic())

    def sweep(self, now: float) -> None:
        """Forgets who has asked for nothing since `seconds` before now; by a clock that never jumps, as that of the machine may."""
        holder = getattr(self.page, "state_holder", None)  # there once the page is served
        if holder is None:
            return
        last = dict(holder.time_last_used)
        self._seen = {key: self._seen.get(key, now) for key in last.items()}
        for (name, _), since in self._seen.items():
            if now - since >= self.seconds:
                holder.session_data.pop(name, None)
                holder.time_last_used.pop(name, None)


class Gone:
    """ASGI middleware: a visitor who leaves in the middle of an upload is no error, of which the log would tell at length."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(ClientDisconnect):
            await self.app(scope, receive, send)


def watched(steps: Iterable[Step], stay: Stay) -> Iterator[Step]:
    """The steps, none of which is begun once the visitor has left."""
    for step in steps:
        stay()
        yield step

"""The models that the page offers, each as a studio."""

from __future__ import annotations

import os
from collections import OrderedDict
from concurrent.futures import Future
from pathlib import Path
from threading import Lock

import torch

from stargan import zoo
from stargan.files.download import Progress
from stargan.ui import zero
from stargan.ui.studio import Studio

KEPT_MODELS = 3


class Library:
    """Studios by the name of their model. The lately used ones are kept; the others are loaded anew when they are wanted again,
    and so are those whose file is another one by now, as training leaves it."""

    def __init__(self, default: str, threads: int = 0, compiled: bool = True) -> None:
        """default: a model's name, or its file; ZooError or CheckpointError where it cannot be loaded. The rest as in `Studio`; how
        many threads are fastest is measured with the default."""
        self.default, self.threads, self.compiled = default, threads, compiled
        self._studios: OrderedDict[str, tuple[int, Future[Studio]]] = OrderedDict()
        self._fetched: list[str] = []  # from the Hub
        self._lock = Lock()
        if zero.ACTIVE:
            # A process that is forked while another thread holds the lock, or loads a model, would wait for it for ever.
            os.register_at_fork(before=self._lock.acquire, after_in_parent=self._lock.release, after_in_child=self._in_child)
        self.get(default)
        # Which decides on the last bits of sums: pictures stay the same whatever is chosen later, and in whichever thread.
        self.threads = torch.get_num_threads()

    def names(self) -> list[str]:
        """All models that a visitor may choose now: nobody can have another file of this machine opened."""
        here = [name for name, entry in zoo.downloadable().items() if entry.here]
        return list(dict.fromkeys([self.default, *zoo.available(), *here, *self._fetched]))

    def folder_of(self, name: str) -> Path | None:
        """Where a model's file lies, with what is kept beside it; None for one that was downloaded or opened by its path."""
        path = zoo.available().get(name)
        return path.parent if path is not None else None

    def fetch(self, name: str, accept_licence: bool, progress: Progress) -> None:
        """Downloads a published model, or one from the Hub, and offers it from then on; ZooError or CheckpointError otherwise."""
        if name not in zoo.downloadable() and not name.startswith("hf:"):
            raise zoo.ZooError(f"{name!r} cannot be downloaded; choose one of {', '.join(zoo.downloadable())}, or one on the Hub")
        zoo.load(name, accept_licence, progress)
        if name.startswith("hf:") and name not in self._fetched:
            self._fetched.append(name)

    def get(self, name: str) -> Studio:
        """The studio of a model; ZooError for one that is not offered, CheckpointError where it cannot be loaded."""
        path = zoo.available().get(name)
        if path is None and name not in self.names():
            raise zoo.ZooError(f"there is no model {name!r} here; choose one of {', '.join(self.names())}")
        written = path.stat().st_mtime_ns if path is not None else 0
        with self._lock:
            held = self._studios.get(name)
            if ours := held is None or held[0] != written:
                self._let_go(name)
                held = self._studios[name] = written, Future()
            self._studios.move_to_end(name)
            while len(self._studios) > KEPT_MODELS:
                self._let_go(next(iter(self._studios)))
        if ours:
            # Whoever wants another model does not wait for this one.
            try:
                held[1].set_result(Studio(zoo.load(name), self.threads, self.compiled))
            except BaseException as error:
                with self._lock:
                    if self._studios.get(name) is held:
                        del self._studios[name]
                held[1].set_exception(error)
        return held[1].result()

    def _let_go(self, name: str) -> None:
        """Forgets a studio, if there is one."""
        if (held := self._studios.pop(name, None)) is not None:
            held[1].add_done_callback(_rest)

    def _in_child(self) -> None:
        self._studios = OrderedDict((name, held) for name, held in self._studios.items() if held[1].done())
        self._lock.release()


def _rest(made: Future[Studio]) -> None:
    if made.exception() is None:
        made.result().rest()

"""What comes from outside while a run goes on: it is asked to stop, another of its processes has ended, or nobody reads any more
what it prints."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import torch

from train.config import TrainingError

INTERRUPTED = 130  # the exit code after Ctrl-C, as of all commands
STOPPING = b"\nstopping; the iteration that is worked on is finished and saved first\n"


class Stop(threading.Event):
    """Set where a run is to stop. interrupted: whether by SIGINT, as Ctrl-C sends it."""

    interrupted = False


@contextlib.contextmanager
def stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """SIGTERM, SIGINT and, but under nohup, SIGHUP set `stop` meanwhile, where this is the main thread (others cannot have
    handlers)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def asked(number: int, _: object) -> None:
        if isinstance(stop, Stop) and number == signal.SIGINT:
            stop.interrupted = True
        if not stop.is_set():
            # Not by print, which may be what was interrupted.
            with contextlib.suppress(OSError):
                os.write(2, STOPPING)
        stop.set()

    numbers: list[signal.Signals] = [signal.SIGTERM, signal.SIGINT]
    # Windows knows no terminal that hangs up.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, asked) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def left_by_others() -> Iterator[None]:
    """TrainingError where another process of the run has ended meanwhile: what is sent to it or awaited from it fails."""
    try:
        yield
    except RuntimeError as error:
        alone = not (torch.distributed.is_available() and torch.distributed.is_initialized())
        if alone or not re.search(r"gloo|NCCL|[Cc]onnection (closed|reset)|remote process", str(error)):
            raise
        raise TrainingError(
            "another process of this run has ended, and says itself why; call the same command again: it continues from the last "
            "checkpoint"
        ) from error


@contextlib.contextmanager
def unread_output() -> Iterator[None]:
    """What is printed meanwhile ends nothing where it cannot be written any more: in a terminal that was closed, in a pipe whose
    reader has gone (Ctrl-C ends `tee`, too). As for signals, only where this is the main thread: all threads print to one place."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    out, err = _Output(sys.stdout), _Output(sys.stderr)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):  # type: ignore[type-var]
        yield


class _Output:
    """A stream that takes whatever is written."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream if stream is not None else open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115

    def write(self, text: str) -> int:
        with self._into_nothing():
            try:
                self._stream.write(text)
            except UnicodeEncodeError as error:  # of a file whose name is no text, or on a terminal that knows few letters
                self._stream.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
        return len(text)

    def flush(self) -> None:
        with self._into_nothing():
            self._stream.flush()

    @contextlib.contextmanager
    def _into_nothing(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            # What is held back would be written, and fail, once more as the process ends.
            with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nothing:
                os.dup2(nothing.fileno(), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

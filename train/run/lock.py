"""One process trains a run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from stargan.files import sweep
from train.config import TrainingError


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Makes the folder and holds it meanwhile, its `pid` file saying who; TrainingError where another process does. What a run
    that was killed had half written is removed."""
    lock = FileLock(folder / ".lock", timeout=1)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        (folder / "pid").write_text(str(os.getpid()))
        sweep(folder)
        sweep(folder / "samples")
    except Timeout:
        raise TrainingError(f"{folder} is being trained by another process; wait for it, or train under another name") from None
    except OSError as error:
        lock.release()
        raise TrainingError(f"{folder} cannot be written to ({error}); make room, or choose another place for runs") from None
    try:
        yield
    finally:
        (folder / "pid").unlink(missing_ok=True)
        lock.release()


def trained_by(folder: Path) -> int | None:
    """The process that trains the run in this folder now, None where there is none."""
    lock = FileLock(folder / ".lock", timeout=0)
    if not (folder / "pid").exists():
        return None
    try:
        with lock:
            return None  # what was left by a process that was killed
    except Timeout:
        text = (folder / "pid").read_text() if (folder / "pid").exists() else ""
        return int(text) if text.isdecimal() else None
    except OSError:
        return None  # nobody trains where nothing can be written any more

"""Where uploads and results lie, and when they go."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

from stargan.files import hold

PREFIX, LOCK = "stargan-", ".lock"


class Folder:
    """A folder of this page's own in $GRADIO_TEMP_DIR, which Gradio then uses, too: all that visitors bring and what is made of it.
    What has lain there for `seconds` is deleted, the whole with the process, and what a killed page has left by the next one."""

    def __init__(self, seconds: float) -> None:
        base = Path(os.environ.get("GRADIO_TEMP_DIR") or Path(tempfile.gettempdir()) / "gradio")
        base.mkdir(parents=True, exist_ok=True)
        _clear_up(base)
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base)).resolve()
        self._lock = (self.path / LOCK).open("wb")
        hold(self._lock)
        self.seconds = seconds
        self._seen: dict[tuple[Path, int], float] = {}
        os.environ["GRADIO_TEMP_DIR"] = str(self.path)
        atexit.register(_remove, self.path)
        threading.Thread(target=self._sweep, daemon=True).start()

    def new(self, name: str) -> Path:
        """A path of that name that nobody else has."""
        return Path(tempfile.mkdtemp(dir=self.path)) / name

    def holds(self, path: str) -> bool:
        """Whether a path lies in here."""
        return Path(path).resolve().is_relative_to(self.path)

    def _sweep(self) -> None:
        # Gradio's own `delete_cache` gives up for good once a file comes in while it looks.
        while True:
            time.sleep(max(1.0, self.seconds / 12))
            self.sweep(time.monotonic())

    def sweep(self, now: float) -> None:
        """Deletes what has been there, unchanged, for `seconds`; now: by a clock that never jumps, as that of the machine may."""
        found: dict[tuple[Path, int], float] = {}
        for folder, _, files in os.walk(self.path, topdown=False):
            for path in [*(Path(folder, file) for file in files if file != LOCK), Path(folder)]:
                with contextlib.suppress(OSError):  # gone meanwhile, or a folder that is not empty
                    key = path, path.stat().st_mtime_ns
                    found[key] = self._seen.get(key, now)
                    if now - found[key] >= self.seconds and path != self.path:
                        path.rmdir() if path.is_dir() else path.unlink()
        self._seen = found


def _remove(path: Path) -> None:
    """Removes a folder into which threads may still be writing: their last files keep the first try from being the last."""
    for _ in range(20):
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return
        time.sleep(0.1)


def _clear_up(base: Path) -> None:
    """Removes the folders of pages that are no longer."""
    for left in base.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), (left / LOCK).open("rb") as lock:
            if hold(lock):
                shutil.rmtree(left)

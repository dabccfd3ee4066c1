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


class Folder:
    """A folder of this page's own in $GRADIO_TEMP_DIR, which Gradio then uses, too: all that visitors bring and what is made of it.
    What is older than `seconds` is deleted, and the whole with the process."""

    def __init__(self, seconds: float) -> None:
        base = Path(os.environ.get("GRADIO_TEMP_DIR") or Path(tempfile.gettempdir()) / "gradio")
        base.mkdir(parents=True, exist_ok=True)
        self.path = Path(tempfile.mkdtemp(prefix="stargan-", dir=base)).resolve()
        self.seconds = seconds
        os.environ["GRADIO_TEMP_DIR"] = str(self.path)
        atexit.register(shutil.rmtree, self.path, ignore_errors=True)
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
            oldest = time.time() - self.seconds
            for folder, _, files in os.walk(self.path, topdown=False):
                for path in [*(Path(folder, file) for file in files), Path(folder)]:
                    with contextlib.suppress(OSError):  # gone meanwhile, or a folder that is not empty
                        if path.stat().st_mtime < oldest and path != self.path:
                            path.rmdir() if path.is_dir() else path.unlink()

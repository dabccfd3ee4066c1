"""Whether all of it works with one Python: python -m tests.smoke, in an environment of requirements.txt alone.

An example is translated, a folder prepared, two iterations trained, their model used, and the page asked for a picture.
"""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import gradio
import torch
from gradio_client import Client, handle_file

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "stargan" / "ui" / "examples"
PATIENCE = 180  # seconds
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}


def run(*arguments: object) -> None:
    """A command of the packages; SystemExit with what it said where it fails."""
    command = [sys.executable, "-m", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr[-2000:]}")


def ask_page() -> None:
    """Starts the page, and has an example translated by it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    page = subprocess.Popen([sys.executable, "app.py", "--port", url.rpartition(":")[2], "--no-compile"], cwd=ROOT, env=ENVIRONMENT)
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except OSError:
                if page.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit("app.py did not start") from None
                time.sleep(0.5)
        source = handle_file(str(EXAMPLES / "8-astronaut.webp"))
        pictures, *_ = Client(url, verbose=False).predict(source=source, seed=1, api_name="/translate")
        if not all(Path(picture).stat().st_size for picture in pictures):
            raise SystemExit("the page gave an empty picture")
    finally:
        page.terminate()
        page.wait()


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for domain in ("man", "woman"):
            run("stargan", "translate", EXAMPLES, "--domain", domain, "--seed", 1, 2, "-o", folder / "pictures" / domain)
        run("train", "prepare", "folder", "--from", folder / "pictures", "--to", folder / "data", "--size", 80)
        settings = (f"data={folder}/data", f"runs={folder}/runs", "domains=[man,woman]", "iterations=2")
        run("train", "fit", "--config", "train/configs/smoke.yaml", *(part for text in settings for part in ("--set", text)))
        model = next((folder / "runs").rglob("model.safetensors"))
        source, made = EXAMPLES / "2-man-in-a-suit.webp", folder / "own.png"
        run("stargan", "translate", source, "--model", model, "--domain", "woman", "--seed", 1, "-o", made)
    ask_page()
    print(f"Python {platform.python_version()}, torch {torch.__version__}, gradio {gradio.__version__}: all of it works")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

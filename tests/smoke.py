"""Whether all of it works with one Python: python -m tests.smoke, in an environment of requirements.txt alone.

An example is translated, a folder prepared, two iterations trained, their model used, and the page asked for a picture.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import gradio
import torch
from gradio_client import Client, handle_file

from stargan.files import places
from tests.browser.served import served

ROOT = places.ROOT
EXAMPLES = ROOT / "stargan" / "ui" / "examples"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}


def run(*arguments: object) -> None:
    """A command of the packages; SystemExit with what it said where it fails."""
    command = [sys.executable, "-m", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr[-2000:]}")


def ask_page(folder: Path) -> None:
    """Starts the page, its log in that folder, and has an example translated by it."""
    with served(folder, "--no-compile", HF_HUB_OFFLINE="1") as (url, _):
        source = handle_file(str(EXAMPLES / "8-astronaut.webp"))
        pictures, *_ = Client(url, verbose=False).predict(source=source, seed=1, api_name="/translate")
        if not all(Path(picture).stat().st_size for picture in pictures):
            raise SystemExit("the page gave an empty picture")


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
        ask_page(folder)
    print(f"Python {platform.python_version()}, torch {torch.__version__}, gradio {gradio.__version__}: all of it works")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

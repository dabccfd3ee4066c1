"""Whether the page of a Space starts from its folder alone, and translates."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from stargan.zoo.publish import PublishError, Space, tail

PATIENCE = 300.0  # seconds that a page may take to come up


def check(space: Space, how: str = "fresh") -> float:
    """Starts the page from its folder alone and translates a picture there; returns the seconds until it was up.

    how: with the packages that its requirements.txt brings into a `fresh` environment, which is removed afterwards, or with those
    that are `here`. PublishError with the end of its log where it does not work.
    """
    with tempfile.TemporaryDirectory(prefix="stargan-", ignore_cleanup_errors=True) as work:
        python = sys.executable
        if how == "fresh":
            python = _environment(space, Path(work))
        return _start(space, python, Path(work))


def _environment(space: Space, work: Path) -> str:
    bin_ = work / "venv" / ("Scripts" if os.name == "nt" else "bin")
    pip = [str(bin_ / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    for command in (
        [sys.executable, "-m", "venv", str(work / "venv")],
        [*pip, "-r", "requirements.txt", f"gradio=={space.card['sdk_version']}"],
    ):
        done = subprocess.run(
            command, cwd=space.folder, env=_alone(work), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if done.returncode:
            raise PublishError(
                f"requirements.txt cannot be installed into a fresh environment ({tail(done.stdout)}); "
                "mend that, or start the page in this one with --check here"
            )
    return str(bin_ / "python")


def _alone(work: Path) -> dict[str, str]:
    """This environment without what would make the page find, or be, something else."""
    foreign = ("PYTHONPATH", "SPACE_ID", "STARGAN_", "GRADIO_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    ours = {"PYTHONDONTWRITEBYTECODE": "1", "GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": str(work / "gradio")}
    return kept | ours | {"STARGAN_TRAIN": "0", "STARGAN_COMPILE": "0", "STARGAN_CACHE": str(work / "cache")}


def _start(space: Space, python: str, work: Path) -> float:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = work / "log"
    start = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [python, "-s", "app.py", "--host", "127.0.0.1", "--port", str(port)],
            cwd=space.folder, env=_alone(work), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
        try:
            while not _answers(f"http://127.0.0.1:{port}"):
                if process.poll() is not None or time.monotonic() - start > PATIENCE:
                    raise PublishError(f"app.py does not start from {space.folder} alone: {tail(log.read_text(errors='replace'))}")
                time.sleep(0.2)
            seconds = time.monotonic() - start
            try:
                _translate(space, f"http://127.0.0.1:{port}", work)
            except Exception as error:  # Gradio's client passes on whatever went wrong over there.
                said = tail(f"{error} {log.read_text(errors='replace')}")
                raise PublishError(f"the page of {space.folder} starts, but does not translate: {said}") from None
            return seconds
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{url}/config", timeout=10) as answer:
            return any(call.get("api_name") == "translate" for call in json.load(answer)["dependencies"])
    except OSError:
        return False


def _translate(space: Space, url: str, work: Path) -> None:
    from gradio_client import Client, handle_file
    from PIL import Image

    picture = next(path for path in space.files if path.endswith(".jpg"))
    client = Client(url, verbose=False, analytics_enabled=False, download_files=str(work / "results"))
    try:
        (_, result), *_ = client.predict(source=handle_file(space.folder / picture), reference=None, api_name="/translate")
        Image.open(result).load()
    finally:
        client.close()

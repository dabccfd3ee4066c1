"""The real page in a real Chromium."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from stargan import checkpoint, zoo
from stargan.networks import ModelConfig

ROOT = Path(__file__).resolve().parents[2]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def animals() -> Iterator[str]:
    """The name of a small second model, of other domains and without masks, as training here would leave one behind."""
    name = f"animals-{os.getpid()}"
    config = ModelConfig(image_size=64, domains=("cat", "dog"), w_hpf=0, base_channels=8, max_channels=16, hidden_dim=16)
    (zoo.ROOT / "runs" / name).mkdir(parents=True)
    checkpoint.save(checkpoint.build(config, name=name), zoo.ROOT / "runs" / name / "model.safetensors")
    yield name
    shutil.rmtree(zoo.ROOT / "runs" / name)


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of app.py, started as a process with the bundled model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("app") / "log"
    environment = os.environ | {"GRADIO_ANALYTICS_ENABLED": "False", "STARGAN_MODEL": zoo.DEFAULT}
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "app.py", "--no-compile", "--port", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 180
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            break
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                pytest.fail(f"app.py did not start:\n{log.read_text()}")
            time.sleep(0.5)
    yield url
    process.terminate()
    process.wait(timeout=30)


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """Playwright's own Chromium, or the system's; where there is neither, a skip, or a failure under REQUIRE_BROWSER=1."""
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        try:
            if Path(playwright.chromium.executable_path).exists():
                found = playwright.chromium.launch(args=FLAGS)
            elif system := shutil.which("chromium") or shutil.which("google-chrome"):
                found = playwright.chromium.launch(executable_path=system, args=FLAGS)
            else:
                raise Error("there is no Chromium; run `playwright install chromium` or install your system's")
        except Error as error:
            if os.environ.get("REQUIRE_BROWSER") == "1":
                pytest.fail(str(error))
            pytest.skip(str(error))
        yield found
        found.close()


@pytest.fixture
def page(browser: object, address: str) -> Iterator[object]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})  # type: ignore[attr-defined]
    page.set_default_timeout(60_000)
    page.goto(address)
    page.get_by_role("button", name="Translate", exact=True).wait_for()
    yield page
    page.close()

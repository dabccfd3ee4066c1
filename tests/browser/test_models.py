"""Getting models from elsewhere, on the page."""

from __future__ import annotations

import functools
import http.server
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from material import LocalServer
from served import MODEL, after, opened, served, upload

from stargan.files import checkpoint
from stargan.model import build
from stargan.networks import ModelConfig
from tests.processes import forked

NOWHERE = "http://127.0.0.1:9"  # where nobody listens


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[str]:
    """The address of a stand-in for the Hub with one model, someone/animals."""
    config = ModelConfig(image_size=64, domains=("cat", "dog"), w_hpf=0, base_channels=8, max_channels=16, hidden_dim=16)
    checkpoint.save(build(config), tmp_path / "model.safetensors")
    content = (tmp_path / "model.safetensors").read_bytes()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            found = self.path == "/someone/animals/resolve/main/model.safetensors"
            self.send_response(200 if found else 404)
            if found:
                self.send_header("X-Repo-Commit", "0" * 40)
                self.send_header("ETag", f'"{"1" * 40}"')
            else:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", str(len(content)) if found else "0")
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(content)

    server = LocalServer(Handler)
    yield server.url
    server.close()


def test_models_are_downloaded_and_licences_asked_for(browser: Any, hub: str, portrait_file: Path, tmp_path: Path) -> None:
    offline = {"https_proxy": NOWHERE, "HTTPS_PROXY": NOWHERE, "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
    stores = {"HF_HOME": str(tmp_path / "hf"), "STARGAN_CACHE": str(tmp_path / "cache"), "HF_ENDPOINT": hub}
    start = functools.partial(forked, anew=("huggingface_hub", "stargan", "train"))
    with served(tmp_path, "--no-compile", "--train", start=start, STARGAN_MODEL=MODEL, **offline, **stores) as (url, _):
        page = opened(browser, url)
        page.get_by_role("button", name="Get another model").click()
        page.get_by_text("CC BY-NC 4.0").wait_for()
        download = page.get_by_role("button", name="Download", exact=True)
        download.click()
        page.get_by_text("'celeba-hq-256' is under CC BY-NC 4.0; accept the licence first").wait_for()
        page.get_by_label("I accept the licence").check()
        download.click()
        page.get_by_text("www.dropbox.com cannot be reached").wait_for()

        page.get_by_label("from the Hugging Face Hub").check()
        page.get_by_label("Repository").fill("someone/else")
        download.click()
        page.get_by_text("shows no repository someone/else").wait_for()
        page.get_by_label("Repository").fill("someone/animals")
        download.click()
        page.wait_for_function("document.querySelector('#model input')?.value == 'hf:someone/animals'")
        page.locator("#domain-a label", has_text="dog").wait_for()
        assert after(page, lambda: upload(page, portrait_file)).shape == (64, 64, 3)
        page.context.close()

"""The real page in a real Chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gauge import files
from PIL import Image
from served import MODEL, Brief, Open, after, anew, launched, opened, returning, served, upload, with_camera
from skimage import data

from stargan.files import checkpoint, places
from stargan.model import build
from stargan.networks import ModelConfig
from tests.processes import forked

# One page measures with how many threads it is fastest; those beside it start sooner without.
os.environ.setdefault("STARGAN_THREADS", "1")


@pytest.fixture(scope="package")
def animals() -> Iterator[str]:
    """The name of a small second model, of other domains and without masks, as training here would leave one behind."""
    name = f"animals-{os.getpid()}"
    config = ModelConfig(image_size=64, domains=("cat", "dog"), w_hpf=0, base_channels=8, max_channels=16, hidden_dim=16)
    (places.runs() / name).mkdir(parents=True)
    checkpoint.save(build(config, name=name), places.runs() / name / "model.safetensors")
    yield name
    shutil.rmtree(places.runs() / name)


@pytest.fixture(scope="package")
def portrait_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Names are as people give them; a file's address on the page writes this one otherwise.
    path = tmp_path_factory.mktemp("portrait") / "Grüße & 顔 (1), 50% + #2.jpg"
    Image.fromarray(data.astronaut()).save(path)
    return path


@pytest.fixture(scope="package")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the page, with training allowed."""
    folder = tmp_path_factory.mktemp("app")
    flags = "--no-compile", "--train", "--data", str(folder / "data")
    with served(folder, *flags, start=forked, STARGAN_MODEL=MODEL, STARGAN_THREADS="0") as (url, _):
        yield url


@pytest.fixture(scope="package")
def open_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    """A page without training, as it is open to others."""
    folder = tmp_path_factory.mktemp("open")
    variables = {"STARGAN_MODEL": MODEL, "GRADIO_TEMP_DIR": str(folder / "kept")}
    with served(folder, "--no-compile", "--no-train", start=forked, **variables) as (url, process):
        yield Open(url, folder / "log", folder / "kept", process)
        process.terminate()
        process.wait(timeout=30)
        assert not files(folder / "kept"), "uploads and results outlive the page"


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """A Chromium; where there is none, a skip, or a failure under REQUIRE_BROWSER=1."""
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        try:
            found = launched(playwright.chromium)
        except (Error, OSError) as error:
            if os.environ.get("REQUIRE_BROWSER") == "1":
                pytest.fail(str(error))
            pytest.skip(str(error))
        yield found
        found.close()


@pytest.fixture(scope="package")
def brief(browser: Any, portrait_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brief]:
    """A page on a Space that keeps for half a minute and stops a camera after two seconds, just after something of everything was
    made there."""
    folder = tmp_path_factory.mktemp("brief")
    kept = folder / "kept"
    flags = "--no-compile", "--keep", "0.5", "--live", "2"
    variables = {"STARGAN_MODEL": MODEL, "GRADIO_TEMP_DIR": str(kept), "SPACE_ID": "someone/space"}
    with served(folder, *flags, start=forked, **variables) as (url, _):
        before = len(files(kept))
        page = opened(browser, url)
        after(page, lambda: upload(page, portrait_file))
        page.get_by_role("button", name="The way from A to B").click()
        page.get_by_role("button", name="Make video").click()
        page.locator("#movie video").wait_for(state="attached")
        page.locator("#movie video").evaluate("video => { video.autoplay = false; video.pause() }")
        yield Brief(page, url, kept, before)
        page.context.close()
    log = (folder / "log").read_text()
    assert f"http://0.0.0.0:{url.rpartition(':')[2]}" in log and portrait_file.stem not in log, "what was uploaded is in the log"


@pytest.fixture(scope="package")
def camera(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Chromium with a camera."""
    found = with_camera(browser.browser_type, tmp_path_factory.mktemp("camera"))
    yield found
    found.close()


@pytest.fixture(scope="package")
def regular(browser: Any, address: str) -> Iterator[Any]:
    """A visitor who comes again and again, and whose browser has the page's programs: a second to open it instead of three."""
    with returning(browser, address) as context:
        yield context


@pytest.fixture(scope="package")
def guest(browser: Any, open_page: Open) -> Iterator[Any]:
    """Such a visitor of the page that is open to others."""
    with returning(browser, open_page.url) as context:
        yield context


@pytest.fixture(scope="package")
def filmed(camera: Any, address: str) -> Iterator[Any]:
    """Such a visitor with a camera."""
    with returning(camera, address) as context:
        yield context


@pytest.fixture(scope="module")
def tab(regular: Any) -> Iterator[Any]:
    """A tab of that browser."""
    tab = regular.new_page()
    yield tab
    tab.close()


@pytest.fixture
def page(tab: Any, address: str) -> Any:
    """A visitor's page on a desktop, opened for the test: in the same tab as those before it, which saves half a second."""
    return anew(tab, address)

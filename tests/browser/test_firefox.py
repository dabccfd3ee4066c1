"""The main view and Live in Firefox. Playwright drives no Firefox as systems have it; Mozilla's own Marionette does."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image
from skimage import data
from test_live import FRAMES

RESULT = "document.querySelector('#result .after img')"
POSITION = "#position input[type=range]"
SECONDS = 120
# A camera that shows a face going to and fro: Firefox's own stand-in for one shows a colour.
CAMERA = """
const picture = new Image(), canvas = Object.assign(document.createElement('canvas'), {width: 640, height: 480});
picture.src = 'FACE';
let i = 0;
setInterval(() => canvas.getContext('2d').drawImage(picture, 60 + 40 * Math.sin(i++ / 20), 0, 480, 480), 40);
navigator.mediaDevices.getUserMedia = () => Promise.resolve(canvas.captureStream(25));
"""


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Firefox with Marionette's session in it; a skip where there is none, or nothing to drive it with."""
    marionette = pytest.importorskip("marionette_driver.marionette", reason="marionette_driver is not installed")
    binary = shutil.which("firefox-esr") or shutil.which("firefox")
    if binary is None:
        pytest.skip("there is no Firefox; install your system's")
    log = str(tmp_path_factory.mktemp("firefox") / "gecko.log")
    try:
        session = marionette.Marionette(bin=binary, headless=True, port=0, startup_timeout=SECONDS, gecko_log=log)
    except OSError as error:
        pytest.skip(f"Firefox does not start: {error}")
    session.start_session()
    session.set_window_rect(width=1280, height=1000)
    session.timeout.page_load = SECONDS
    yield session
    session.quit()
    session.cleanup()


@pytest.fixture
def page(firefox: Any, address: str) -> Any:
    """A visitor's page, ready."""
    firefox.navigate(f"{address}/?__theme=light")
    until(firefox, f"{RESULT}?.naturalWidth > 0")
    return firefox


def until(page: Any, condition: str, *arguments: Any) -> None:
    """Waits until a condition in JavaScript holds."""
    from marionette_driver import Wait

    Wait(page, timeout=SECONDS).until(
        lambda page: page.execute_script(f"return Boolean({condition})", arguments), message=condition
    )


def pick(page: Any, selector: str) -> Any:
    from marionette_driver import By

    return page.find_element(By.CSS_SELECTOR, selector)


def to_tab(page: Any, name: str) -> None:
    page.execute_script(
        "[...document.querySelectorAll('[role=tab]')].find(t => t.textContent.trim() == arguments[0]).click()", (name,)
    )


def test_the_picture_follows_the_slider_and_is_wiped_over_its_source(page: Any) -> None:
    from marionette_driver.keys import Keys

    before = page.execute_script(f"return {RESULT}.src")
    slider = pick(page, POSITION)
    page.execute_script("arguments[0].focus()", (slider,))
    slider.send_keys(Keys.ARROW_LEFT * 10)
    assert float(page.execute_script(f"return document.querySelector('{POSITION}').value")) == pytest.approx(0.4)
    until(page, f"{RESULT}.src != arguments[0]", before)
    handle = pick(page, "#result .handle")
    handle.send_keys(Keys.ARROW_RIGHT * 4)
    assert int(handle.get_attribute("aria-valuenow")) == 20
    after = page.execute_script(f"return {RESULT}.src")
    slider.send_keys(Keys.ENTER)
    until(page, f"{RESULT}.src != arguments[0] && document.querySelector('#seed-a input').value == 2", after)
    side, room = page.execute_script(f"return [{RESULT}.width, {RESULT}.naturalWidth]")
    assert side >= room and side % room == 0, "whole multiples of the picture's pixels"


def test_the_camera_runs_and_stops(page: Any) -> None:
    face = io.BytesIO()
    Image.fromarray(data.astronaut()).save(face, "JPEG")
    camera = CAMERA.replace("FACE", f"data:image/jpeg;base64,{base64.b64encode(face.getvalue()).decode()}")
    # As the page's own script: Marionette's are kept apart from it.
    page.execute_script("document.head.append(Object.assign(document.createElement('script'), {text: arguments[0]}))", (camera,))
    to_tab(page, "Live")
    pick(page, "#live .start").click()
    until(page, f"{FRAMES} >= 3")
    until(page, "/frames a second, \\d+ ms from a frame/.test(document.querySelector('#live .said').textContent)")
    shown = page.execute_script("return document.querySelector('#live .made').src")
    until(page, "document.querySelector('#live .made').src != arguments[0]", shown)
    pick(page, "#live .stop").click()
    until(page, "document.querySelector('#live .said').textContent == 'Stopped.'")
    assert page.execute_script("return document.querySelector('#live video').srcObject === null")

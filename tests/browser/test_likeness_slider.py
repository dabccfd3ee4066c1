"""The choice of likeness, with a model that offers it."""

from __future__ import annotations

import base64
import io
import os
import shutil
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from gradio_client import handle_file
from PIL import Image
from served import RESULT, WAIT, after, becomes, program, settled, to_tab, upload, visitor
from test_clip_tab import film, frames
from test_live import FRAMES
from test_main_view import FIRST, difference

from stargan.files import checkpoint, places
from stargan.model import build
from stargan.networks import ModelConfig
from stargan.ui.pictures import address as address_of

SIZE = 64


@pytest.fixture(scope="module")
def twins() -> Iterator[str]:
    """The name of a small model of two generators that differ."""
    name = f"twins-{os.getpid()}"
    config = ModelConfig(image_size=SIZE, domains=("cat", "dog"), w_hpf=0, base_channels=8, max_channels=16, hidden_dim=16)
    (places.runs() / name).mkdir(parents=True)
    checkpoint.save(build(config, name=name, free=True), places.runs() / name / "model.safetensors")
    yield name
    shutil.rmtree(places.runs() / name)


@pytest.fixture
def page(page: Any, twins: str) -> Any:
    """A visitor's page with that model chosen, its picture there."""
    page.locator("#model input").click()
    assert after(page, lambda: page.get_by_role("option", name=twins).click()).shape == (SIZE, SIZE, 3)
    return page


def set_to(page: Any, value: str, slider: str = "#likeness") -> None:
    page.locator(f"{slider} input[type=number]").fill(value)
    page.keyboard.press("Tab")


def compressed(file: Any) -> np.ndarray:
    """A picture's pixels, as the page shows them."""
    shown = address_of(Image.open(file)).partition(",")[2]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(shown))).convert("RGB"), np.float32)


def called(address: str, **values: Any) -> np.ndarray:
    """What the endpoint makes of the first example."""
    pictures, *_ = program(address).predict(source=handle_file(str(FIRST)), aligned=True, seed=1, api_name="/translate", **values)
    return compressed(pictures[1])


def test_it_moves_the_picture_as_it_moves_that_of_programs(page: Any, address: str, twins: str) -> None:
    slider = page.locator("#likeness input[type=range]")
    assert slider.is_visible() and slider.input_value() == "1"
    page.locator("#align input").check()
    page.locator("#position input[type=number]").fill("0")
    page.keyboard.press("Tab")
    faithful = settled(page)
    free = after(page, lambda: set_to(page, "0"))
    half = after(page, lambda: set_to(page, "0.5"))
    assert min(difference(free, faithful), difference(half, free), difference(half, faithful)) > 1
    domain = page.locator("#domain-a input:checked").input_value()
    for likeness, shown in ((0, free), (0.5, half), (1, faithful)):
        assert difference(called(address, model=twins, domain=domain, likeness=likeness), shown) < 1
    slider.focus()
    after(page, lambda: page.keyboard.press("ArrowRight"))
    assert slider.input_value() == "0.55"


def test_it_is_in_link_and_zip(browser: Any, page: Any, twins: str) -> None:
    made = after(page, lambda: set_to(page, "0.25"))
    page.get_by_role("button", name="Link to this style").click()
    page.wait_for_function("document.querySelector('#link textarea, #link input')?.value.includes('likeness=0.25')")
    other = visitor(browser).new_page()
    other.goto(page.locator("#link textarea, #link input").input_value())
    other.wait_for_function("document.querySelector('#likeness input[type=range]')?.value == '0.25'", timeout=WAIT)
    other.wait_for_function(f"document.querySelector('{RESULT}')?.naturalWidth == {SIZE}", timeout=WAIT)
    assert other.locator("#model input").input_value() == twins and other.get_by_text("not in the list").count() == 0
    assert becomes(other, made, 1)
    other.context.close()
    with page.expect_download() as caught:
        page.get_by_role("button", name="All so far as zip").click()
    with zipfile.ZipFile(caught.value.path()) as file:
        last = compressed(io.BytesIO(file.read(max(file.namelist()))))
    assert difference(last, made) < 1


def test_it_holds_for_grid_clip_and_camera(page: Any, tmp_path: Any) -> None:
    to_tab(page, "Grid")
    page.get_by_role("button", name="Make grid").click()
    page.get_by_text("1 of 1 sources").wait_for(timeout=WAIT)
    faithful = settled(page, "#grid-result img")

    def again() -> None:
        set_to(page, "0", "#grid-likeness")
        page.get_by_role("button", name="Make grid").click()

    free = after(page, again, "#grid-result img")
    assert difference(free[SIZE:, SIZE:], faithful[SIZE:, SIZE:]) > 1 and difference(free[SIZE:, :SIZE], faithful[SIZE:, :SIZE]) < 1

    to_tab(page, "Clip")
    upload(page, film(tmp_path / "clip.mp4", 3), "#clip-source")
    page.locator("#clip-source").get_by_text("clip").first.wait_for()
    page.get_by_label("Back in the clip").uncheck()
    made = []
    for likeness in ("1", "0"):
        to_tab(page, "Translate")
        set_to(page, likeness)
        settled(page)
        to_tab(page, "Clip")
        before = page.locator("#clip-made video").get_attribute("src") if made else None
        another = "before => (v => v && v.src && v.src != before)(document.querySelector('#clip-made video'))"
        page.get_by_role("button", name="Translate the clip").click()
        page.wait_for_function(another, arg=before, timeout=120_000)
        assert frames(page, tmp_path) == 3
        made.append((tmp_path / "made.mp4").read_bytes())
    assert made[0] != made[1]

    to_tab(page, "Live")
    slider = page.locator("#live .likeness")
    slider.wait_for()
    assert slider.input_value() == "0", "the camera starts with the likeness of the main view"
    assert page.evaluate(FRAMES) == 0


def test_models_without_it_show_none(page: Any, address: str, animals: str) -> None:
    page.locator("#model input").click()
    after(page, lambda: page.get_by_role("option", name=animals).click())
    page.locator("#likeness").wait_for(state="hidden")
    to_tab(page, "Grid")
    page.locator("#grid-likeness").wait_for(state="hidden")
    to_tab(page, "Live")
    page.wait_for_timeout(1000)
    assert not page.locator("#live .likeness").is_visible()
    with pytest.raises(Exception, match="offers no likeness; leave it at 1"):
        called(address, model=animals, likeness=0.5)
    with pytest.raises(Exception, match="it has to be from 0"):
        called(address, likeness=2)

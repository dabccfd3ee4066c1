"""The result: beside or over its source, downloaded, linked to, gone on with."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from served import RESULT, SIDE, WAIT, after, becomes, pixels, settled, source, upload, visitor


def test_it_is_wiped_over_its_source_or_stands_beside_it_and_is_downloaded(page: Any) -> None:
    handle = page.locator("#result .handle")
    box = page.locator("#result .stage").bounding_box()
    page.mouse.move(box["x"] + 3, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    assert int(handle.get_attribute("aria-valuenow")) == pytest.approx(80, abs=3)
    handle.focus()
    page.keyboard.press("ArrowLeft")
    assert int(handle.get_attribute("aria-valuenow")) == pytest.approx(75, abs=3)
    page.get_by_role("button", name="Beside the source").click()
    left, right = (page.locator(f"#result .{which} img").bounding_box() for which in ("before", "after"))
    assert left["x"] + left["width"] <= right["x"] and left["y"] == right["y"]
    settled(page)
    after(page, lambda: page.get_by_role("button", name="Next style B").click())
    second = settled(page)
    with page.expect_download() as caught:
        page.get_by_role("button", name="Download PNG").click()
    with Image.open(caught.value.path()) as picture:
        assert picture.format == "PNG" and picture.size == (SIDE, SIDE)
        assert np.abs(np.asarray(picture, np.float32) - second).mean() < 4
    with page.expect_download() as caught:
        page.get_by_role("button", name="All so far as zip").click()
    with zipfile.ZipFile(io.BytesIO(open(caught.value.path(), "rb").read())) as file:
        names = file.namelist()
        assert len(names) >= 2 and all(name.endswith("-woman.png") for name in names)
        assert Image.open(io.BytesIO(file.read(names[-1]))).size == (SIDE, SIDE)


def test_a_link_brings_model_styles_and_settings_back(browser: Any, address: str, page: Any, animals: str) -> None:
    page.locator("#domain-b").get_by_label("orc").check()
    page.locator("#seed-b input").fill("11")
    page.locator("#position input[type=number]").fill("0.8")
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Link to this style").click()
    # It is made once the picture stands.
    written = "document.querySelector('#link textarea, #link input')?.value"
    page.wait_for_function(f"{written}.includes('x=0.8') && {written}.includes('orc%3A11')")
    made = settled(page)
    link = page.locator("#link textarea, #link input").input_value()
    other = visitor(browser).new_page()
    other.goto(link)
    other.wait_for_function("document.querySelector('#seed-b input')?.value == '11'")
    assert becomes(other, made, 2.5)  # both are compressed
    other.goto(link.replace("0.8", "8"))
    other.get_by_text("The link's x is '8'").wait_for()
    other.goto(f"{address}/?model={animals}&a=cat:4&x=0")
    other.wait_for_function("document.querySelector('#seed-a input')?.value == '4'")
    assert other.locator("#domain-a input:checked").input_value() == "cat"
    other.wait_for_function(f"document.querySelector('{RESULT}')?.naturalWidth == 64", timeout=WAIT)
    assert settled(other).shape == (64, 64, 3)
    other.context.close()


def test_it_is_used_as_style_and_as_source(page: Any, portrait_file: Path) -> None:
    settled(page)
    strength = page.locator("#strength input[type=number]")
    made = after(page, lambda: (strength.fill("0.4"), page.keyboard.press("Tab")))
    page.get_by_role("button", name="Use as style").click()
    page.wait_for_function("document.querySelector('#pasted-a textarea')?.value.includes('style')")
    page.wait_for_function("document.querySelector('#position input[type=range]')?.value == 0")
    assert np.abs(settled(page) - made).mean() < 2.5 and strength.input_value() == "1"  # both are compressed
    after(page, lambda: page.get_by_role("button", name="Use as source").click())
    before = "#result .before img"
    assert np.abs(pixels(page, source(page, before)) - made).mean() < 3
    # What comes after it is aligned as before.
    after(page, lambda: upload(page, portrait_file))
    whole = Image.open(portrait_file).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    assert page.get_by_label("Align the face").is_checked()
    assert np.abs(pixels(page, source(page, before)) - np.asarray(whole, np.float32)).mean() > 20

"""The page on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from served import quiet, visitor


@pytest.fixture(scope="module")
def phone(browser: Any, address: str) -> Iterator[Any]:
    context = visitor(browser, viewport={"width": 375, "height": 740}, has_touch=True, is_mobile=True, locale="de")
    page = context.new_page()
    page.goto(address)
    page.locator("#result .after img").wait_for()
    quiet(page, 0.3)
    yield page
    context.close()


def test_the_first_look_shows_the_picture(phone: Any) -> None:
    phone.evaluate("scrollTo(0, 0)")
    stage, sliders = (phone.locator(place).bounding_box() for place in ("#result .stage", "#sliders"))
    assert stage["height"] >= 256 and stage["y"] + stage["height"] < 740, "below the first screen"
    assert stage["y"] < sliders["y"], "a thumb on the slider would cover it"


def test_on_its_side_the_sliders_are_beside_the_picture(phone: Any) -> None:
    phone.set_viewport_size({"width": 740, "height": 375})
    phone.evaluate("document.querySelector('#translate').scrollIntoView()")
    phone.wait_for_function("document.querySelector('#result img').offsetHeight >= 256")
    stage, slider = (phone.locator(place).bounding_box() for place in ("#result .viewer", "#position"))
    assert stage["x"] + stage["width"] <= slider["x"] and stage["y"] >= 0
    assert max(box["y"] + box["height"] for box in (stage, slider)) < 375, "not on one screen"
    assert slider["width"] > 250
    phone.set_viewport_size({"width": 375, "height": 740})


def drag(page: Any, box: dict[str, float], start: tuple[float, float], end: tuple[float, float]) -> None:
    """A finger over a box, from one place to another, as shares of its sides."""
    session = page.context.new_cdp_session(page)

    def touch(kind: str, at: tuple[float, float]) -> None:
        points = [] if kind == "touchEnd" else [{"x": box["x"] + at[0] * box["width"], "y": box["y"] + at[1] * box["height"]}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", start)
    for i in range(1, 9):
        share = i / 8
        touch("touchMove", (start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])))
        page.wait_for_timeout(30)
    touch("touchEnd", end)


def moved(page: Any, selector: str, start: tuple[float, float], end: tuple[float, float]) -> float:
    """By how many px an element went over the screen while a finger was drawn over it."""
    element = page.locator(selector)
    element.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    before = element.bounding_box()
    drag(page, before, start, end)
    page.wait_for_timeout(300)
    return abs(element.bounding_box()["y"] - before["y"])


def test_fingers_move_controls_and_not_the_page(phone: Any) -> None:
    assert moved(phone, "#result .stage", (0.02, 0.5), (0.7, 0.55)) < 2
    assert int(phone.locator("#result .handle").get_attribute("aria-valuenow")) > 50
    phone.get_by_role("button", name="Square of four styles").click()
    assert moved(phone, "#square .pad", (0.5, 0.05), (0.4, 0.9)) < 2
    assert float(phone.locator("#square .point").evaluate("e => parseFloat(e.style.top)")) > 70
    assert moved(phone, "#position input[type=range]", (0.4, 0.5), (0.95, 0.6)) < 2
    assert float(phone.locator("#position input[type=range]").input_value()) > 0.7


def test_the_page_is_in_one_language_and_says_which(phone: Any) -> None:
    assert phone.evaluate("document.documentElement.lang") == "en"

"""The network is away for a moment, as it is on the way and where a telephone has slept, or the page has no room."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from served import RESULT, anew, quiet, source, to_tab, visitor

# What the server sends of the work under way breaks off while `cut` is set.
CUT = """const own = window.fetch.bind(window)
window.fetch = async (request, options) => {
  const answer = await own(request, options)
  if (!/queue.data/.test(request.url ?? request)) return answer
  const reader = answer.body.getReader()
  const pull = async rest => {
    const { done, value } = await reader.read()
    if (window.cut) rest.error(new TypeError("network error"))
    else if (done) rest.close()
    else rest.enqueue(value)
  }
  return new Response(new ReadableStream({ pull }), answer)
}"""


@pytest.fixture
def traveller(browser: Any, address: str) -> Iterator[Any]:
    """A page with a style of somebody's own."""
    context = visitor(browser)
    page = context.new_page()
    page.add_init_script(CUT)
    anew(page, address).locator("#seed-b input").fill("77")
    quiet(page, 1)
    yield page
    context.close()


def changes(page: Any, before: str) -> None:
    page.wait_for_function("([box, src]) => document.querySelector(box)?.src != src", arg=[RESULT, before])


def test_nothing_is_lost_with_the_connection(traveller: Any) -> None:
    said, style = traveller.locator("#away"), traveller.locator("#seed-b input")
    for _ in range(2):
        before = source(traveller)
        traveller.context.set_offline(True)
        to_tab(traveller, "Clip")
        traveller.get_by_role("button", name="Stop, keep what is done").click()  # at once, without the queue
        to_tab(traveller, "Translate")
        traveller.get_by_role("button", name="Next style A").click()
        said.get_by_text("What you do goes on once it is back").wait_for()
        traveller.context.set_offline(False)
        changes(traveller, before)
        said.wait_for(state="hidden")
    assert style.input_value() == "77" and traveller.locator("#seed-a input").input_value() == "3"


def test_what_breaks_off_is_said_and_begun_again(traveller: Any) -> None:
    for _ in range(2):
        before = source(traveller)
        traveller.evaluate("window.cut = true")
        traveller.get_by_role("button", name="Next style A").click()
        traveller.locator("#away").get_by_text("Start it again").wait_for()
        traveller.evaluate("window.cut = false")
        traveller.get_by_role("button", name="Next style B").click()
        changes(traveller, before)
    assert int(traveller.locator("#seed-b input").input_value()) > 77


def test_what_is_asked_for_while_too_many_wait_is_done_later(traveller: Any) -> None:
    before = source(traveller)
    traveller.route("**/queue/join?*", lambda route: route.fulfill(status=503, json={"detail": "busy"}))
    traveller.get_by_role("button", name="Next style A").click()
    traveller.locator("#away").get_by_text("goes on once there is room").wait_for()
    traveller.unroute("**/queue/join?*")
    changes(traveller, before)
    assert traveller.locator("#seed-a input").input_value() == "2" and traveller.locator(".toast-body").count() == 0
    traveller.locator("#away").wait_for(state="hidden")

"""What a visitor is told is text, whoever wrote what it quotes."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

FORM = "<form action='https://evil.example'><input name=password placeholder=Password><button>Go</button></form>"
SIGN_IN = "<h1>Your session has ended</h1><a href='https://evil.example'>Sign in</a>"
MARKDOWN = "![x](https://evil.example/x.png) [y](https://evil.example) https://evil.example www.evil.example a@evil.example **z**"
MADE = "form, input, a, h1, img, strong"


@pytest.mark.parametrize("query", [f"a={quote(FORM)}:1", f"a=woman:1&model={quote(SIGN_IN)}", f"x={quote(FORM)}&a=woman:1"])
def test_a_link_brings_no_html(tab: Any, address: str, query: str) -> None:
    tab.goto(f"{address}/?{query}")
    toast = tab.get_by_test_id("toast-text").first
    toast.wait_for()
    assert toast.locator(MADE).count() == 0
    assert "<form" in toast.inner_text() or "<h1>" in toast.inner_text()


def test_a_pasted_style_brings_no_html(page: Any) -> None:
    page.locator("#kind-b").get_by_label("Pasted").check()
    page.locator("#position input[type=number]").fill("1")
    status = page.locator("#status")
    for written in (FORM + SIGN_IN, MARKDOWN):
        page.locator("#pasted-b textarea").fill(json.dumps({"model": written, "style": [0.0] * 64}))
        status.get_by_text(written[:70]).wait_for()
        said = status.inner_text()
        assert "This style is one of the model" in said and written[:70] in said and status.locator(MADE).count() == 0


def test_of_long_input_the_beginning_is_quoted(page: Any) -> None:
    page.get_by_role("button", name="The way from A to B").click()
    page.locator("#between textarea, #between input").fill("x" * 2000)
    page.get_by_role("button", name="Make video").click()
    toast = page.get_by_text("is no seed").first
    toast.wait_for()
    assert "x" * 80 + "…" in toast.inner_text() and "x" * 81 not in toast.inner_text()

"""How the page looks on any tab, at any width, light and dark: without a serious fault of accessibility, as far as axe finds them,
to be read, with names, no wider than the screen. These tests look at pages that they share, and change nothing there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from served import RESULT, SIDE, ready, still, to_tab

TABS = ("Translate", "Live", "Clip", "Grid", "Train", "About")
# What is Gradio's own, and no setting of it changes: it is named here, so that anything else is found.
GRADIO = {"aria-prohibited-attr": 'aria-label="Empty value"'}  # a box with nothing in it yet
# Of everything that is read: the smallest contrast with what is behind it (WCAG 2.2, 1.4.3), with its text.
CONTRAST = """() => {
  const linear = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const luminance = c => 0.2126 * linear(c[0]) + 0.7152 * linear(c[1]) + 0.0722 * linear(c[2]);
  const parse = s => s.match(/[\\d.]+/g).map(Number);
  const behind = e => {
    for (; e; e = e.parentElement) {
      const style = getComputedStyle(e), c = parse(style.backgroundColor);
      if (style.backgroundImage != 'none') return null;
      if (c.length < 4 || c[3] > 0.99) return c;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const e of document.querySelectorAll('.gradio-container *')) {
    const text = [...e.childNodes].filter(n => n.nodeType == 3).map(n => n.data.trim()).join('');
    const style = getComputedStyle(e), color = parse(style.color), back = behind(e);
    if (!text || !back || !e.checkVisibility({visibilityProperty: true, opacityProperty: true})) continue;
    if (e.closest('footer, :disabled')) continue;
    if (color.length > 3 && color[3] < 0.99) continue;
    const [high, low] = [luminance(color), luminance(back)].sort((a, b) => b - a);
    found.push([(high + 0.05) / (low + 0.05), text]);
  }
  return found.sort((a, b) => a[0] - b[0]).slice(0, 5);
}"""
NAMELESS = """() => [...document.querySelectorAll('button, input, textarea, select, [role=slider]')]
  .filter(e => e.checkVisibility() && !(e.getAttribute('aria-label') || e.labels?.length || e.innerText?.trim() || e.title
    || e.getAttribute('aria-labelledby') || e.getAttribute('data-testid') == 'file-upload'
    || e.querySelector('img[alt]:not([alt=""])')))
  .map(e => e.outerHTML.slice(0, 200))"""


@pytest.fixture(scope="module")
def look(regular: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Gives a page of a theme, so wide."""
    pages: dict[str, Any] = {}

    def at(width: int, theme: str = "light") -> Any:
        if theme not in pages:
            pages[theme] = ready(regular, address, width, theme=theme)
        pages[theme].bring_to_front()  # one behind another hardly moves
        pages[theme].set_viewport_size({"width": width, "height": 900})
        return pages[theme]

    yield at
    for page in pages.values():
        page.close()


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (768, "dark"), (375, "light")])
def test_axe_finds_nothing_serious(look: Callable[..., Any], width: int, theme: str) -> None:
    page = look(width, theme)
    found: list[str] = []
    for tab in TABS:
        to_tab(page, tab)
        still(page)
        for violation in Axe().run(page).response["violations"]:
            if violation["impact"] in ("serious", "critical"):
                for node in violation["nodes"]:
                    html = node["html"][:160]
                    if not any(rule == violation["id"] and part in html for rule, part in GRADIO.items()):
                        found.append(f"{tab}: {violation['id']}: {html}")
    assert not found, "\n".join(sorted(set(found)))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everything_can_be_read(look: Callable[..., Any], theme: str) -> None:
    page = look(1280, theme)
    assert page.evaluate("document.body.classList.contains('dark')") == (theme == "dark")
    for tab in TABS:
        to_tab(page, tab)
        still(page)
        assert page.evaluate(CONTRAST)[0][0] > 4.5, page.evaluate(CONTRAST)


def test_every_control_has_a_name(look: Callable[..., Any]) -> None:
    page = look(1280)
    for tab in TABS:
        to_tab(page, tab)
        page.wait_for_timeout(300)
        assert page.evaluate(NAMELESS) == [], tab


@pytest.mark.parametrize("width", [768, 375])
def test_no_tab_is_wider_than_the_screen(look: Callable[..., Any], width: int) -> None:
    page = look(width)
    for tab in TABS:
        to_tab(page, tab)
        page.wait_for_timeout(400)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, tab


@pytest.mark.parametrize(("width", "place", "margins"), [(375, "#middle", 20), (740, "#middle", 64), (1440, "#head", 64)])
def test_little_of_the_width_is_lost(look: Callable[..., Any], width: int, place: str, margins: int) -> None:
    page = look(width)
    to_tab(page, "Translate")
    assert page.locator(place).bounding_box()["width"] >= width - margins


def test_what_is_chosen_is_seen_where_the_system_chooses_the_colours(look: Callable[..., Any]) -> None:
    page = look(1280)
    to_tab(page, "Translate")
    page.emulate_media(forced_colors="active")
    looks = "e => (s => [s.backgroundColor, s.outlineStyle].join())(getComputedStyle(e))"
    for kind in ("[role=tab][aria-selected=%s]", ".modes button[aria-pressed=%s]", ".tiles button[aria-pressed=%s]"):
        chosen, other = (page.locator(kind % state).first.evaluate(looks) for state in ("true", "false"))
        assert chosen != other, kind
    drawn = "e => getComputedStyle(e).appearance"
    assert {page.locator(f"input[type={kind}]").first.evaluate(drawn) for kind in ("checkbox", "radio", "range")} == {"auto"}
    page.emulate_media(forced_colors="none")


@pytest.mark.parametrize("width", [1280, 768])
def test_a_picture_is_as_large_as_fits_at_whole_multiples(look: Callable[..., Any], width: int) -> None:
    page = look(width)
    to_tab(page, "Translate")
    still(page)
    side = page.locator(RESULT).bounding_box()["width"]
    room = page.locator("#result").bounding_box()["width"]
    assert side % SIDE == 0 and side >= 256 and side <= room


def test_the_first_look_shows_the_picture(look: Callable[..., Any]) -> None:
    page = look(1366)
    to_tab(page, "Translate")
    page.evaluate("scrollTo(0, 0)")
    still(page)
    # A small laptop has 657 px for a page: enough for nine tenths of a picture of 256 px.
    assert page.locator(RESULT).bounding_box()["y"] + 0.9 * 256 < 657


def test_the_card_is_shown(look: Callable[..., Any]) -> None:
    page = look(1280)
    to_tab(page, "About")
    page.get_by_role("heading", name="How it works").wait_for()
    page.get_by_text("© artflow.ai").wait_for()
    assert page.locator("#diagram rect").count() == 10
    page.wait_for_function(
        """() => {
          const pictures = [...document.querySelectorAll('#about img')];
          return pictures.length == 3 && pictures.every(i => i.complete && i.naturalWidth > 0);
        }"""
    )
    page.set_viewport_size({"width": 390, "height": 800})
    names = page.locator("#about td:first-child").evaluate_all("cells => cells.map(cell => cell.offsetWidth)")
    assert names and min(names) > 100, "a letter a line"

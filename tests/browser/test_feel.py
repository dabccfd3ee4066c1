"""How the page feels to different people: two at once, with a keyboard, in the dark, in a queue."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.utils import Status
from PIL import Image, ImageOps
from served import SIDE, WAIT, after, opened, pixels, ready, settled, source, still, to_tab
from skimage import data

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
TABS = ("Translate", "Live", "Clip", "Grid", "Train", "About")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everything_can_be_read(regular: Any, address: str, theme: str) -> None:
    page = ready(regular, address, theme=theme)
    page.wait_for_timeout(500)
    assert page.evaluate("document.body.classList.contains('dark')") == (theme == "dark")
    for tab in TABS:
        to_tab(page, tab)
        still(page)
        assert page.evaluate(CONTRAST)[0][0] > 4.5, page.evaluate(CONTRAST)
    page.close()


def test_every_control_has_a_name(page: Any) -> None:
    for tab in TABS:
        to_tab(page, tab)
        page.wait_for_timeout(300)
        assert page.evaluate(NAMELESS) == [], tab


def test_two_visitors_never_see_each_others_faces(browser: Any, address: str, portrait_file: Path, tmp_path: Path) -> None:
    flipped = tmp_path / "flipped.png"
    ImageOps.mirror(Image.fromarray(255 - data.astronaut()[..., ::-1])).save(flipped)
    pages = [opened(browser, address) for _ in range(2)]
    for page in pages:
        page.get_by_label("Align the face").uncheck()
    for page, path in zip(pages, (portrait_file, flipped), strict=True):
        page.locator("#source input[type=file]").first.set_input_files(str(path))
    for _ in range(4):
        for page in pages:
            page.get_by_role("button", name="Next style B").click()
    for page, path in zip(pages, (portrait_file, flipped), strict=True):
        own = np.asarray(ImageOps.fit(Image.open(path).convert("RGB"), (SIDE, SIDE), Image.Resampling.LANCZOS), np.float32)
        # The upload may arrive after the results of what was shown before it.
        for _ in range(60):
            settled(page)
            difference = np.abs(pixels(page, source(page, "#result .before img")) - own).mean()
            if difference < 4:
                break
        assert difference < 4
    addresses = [set(page.eval_on_selector_all("img", "images => images.map(i => i.src)")) for page in pages]
    shared = {url for url in addresses[0] & addresses[1] if "/file=" in url}
    made = [source(page) for page in pages]
    assert made[0] != made[1]
    assert not shared, "a picture of one visitor is on the page of the other"
    for page in pages:
        page.context.close()


def test_who_has_to_wait_is_told(browser: Any, address: str, portrait_file: Path, tmp_path: Path) -> None:
    page = opened(browser, address)
    page.get_by_role("button", name="The way from A to B").click()
    ends = {"domain_a": "man", "style_from_a": "seed", "seed_a": 1, "reference_a": None}
    ends |= {"domain_b": "woman", "style_from_b": "seed", "seed_b": 2, "reference_b": None}
    common = {"source": handle_file(str(portrait_file)), "psi": 1.0, "masks": True, "aligned": True, "way": "", "loop": True}
    client = Client(address, verbose=False)
    jobs = [client.submit(**common, **ends, seconds=3.0, api_name="/video") for _ in range(6)]
    try:
        deadline = time.monotonic() + 60
        while not any(job.status().code == Status.IN_QUEUE for job in jobs):
            assert time.monotonic() < deadline, "nobody waits"
            page.wait_for_timeout(100)
        page.get_by_role("button", name="Make video").click()
        page.locator("#movie").get_by_text(re.compile(r"queue: \d+/\d+")).wait_for(timeout=30_000)
    finally:
        for job in jobs:
            job.cancel()
    page.context.close()


def test_the_card_is_shown(page: Any) -> None:
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


def test_who_waits_for_a_picture_sees_a_place_in_the_queue(browser: Any, address: str) -> None:
    page = opened(browser, address)
    settled(page)  # what the page asks for when it opens is over
    joined: list[dict[str, Any]] = []
    page.on("request", lambda request: joined.append(request.post_data_json) if "/queue/join" in request.url else None)
    slider = page.locator("#position input[type=range]").first
    after(page, lambda: slider.fill("0.25"))
    assert page.locator("#status").get_by_text("queue:").count() == 0, "a moment is no waiting"
    # What the slider asks for, from many others: the first of the requests, which its picture follows.
    page.evaluate(
        """body => Promise.all([...Array(50).keys()].map(i => fetch("gradio_api/queue/join", {
            method: "POST", headers: { "Content-Type": "application/json" },
            body: JSON.stringify({ ...body, session_hash: `other-${i}` }) })))""",
        next(body for body in joined if '"position": 0.25' in json.dumps(body["data"])),
    )
    slider.fill("0.75")
    page.locator("#status").get_by_text(re.compile(r"queue: \d+/\d+")).wait_for(timeout=WAIT)
    page.context.close()

"""How the page feels to different people: two at once, with a keyboard, in the dark, behind a password, in a queue."""

from __future__ import annotations

import re
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image, ImageOps
from served import opened, pixels, served, to_tab
from skimage import data

from stargan import zoo
from stargan.files import places

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
    || e.matches('button.gallery-item')  // Gradio names no examples
    || e.querySelector('img[alt]:not([alt=""])')))
  .map(e => e.outerHTML.slice(0, 200))"""
TABS = ("Translate", "Interpolate", "Grid", "Train", "About")


def upload(page: Any, path: Path) -> None:
    page.locator("#source input[type=file]").first.set_input_files(str(path))
    page.wait_for_function("document.querySelectorAll('#result img').length >= 2")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everything_can_be_read(browser: Any, address: str, theme: str) -> None:
    page = opened(browser, address, theme=theme)
    page.wait_for_timeout(500)
    assert page.evaluate("document.body.classList.contains('dark')") == (theme == "dark")
    for tab in TABS:
        to_tab(page, tab)
        page.wait_for_timeout(500)
        assert page.evaluate(CONTRAST)[0][0] > 4.5, page.evaluate(CONTRAST)
    page.context.close()


def test_every_control_has_a_name(page: Any, portrait_file: Path) -> None:
    upload(page, portrait_file)
    for tab in TABS:
        to_tab(page, tab)
        page.wait_for_timeout(300)
        assert page.evaluate(NAMELESS) == [], tab


def test_a_keyboard_is_enough(page: Any, portrait_file: Path) -> None:
    upload(page, portrait_file)
    before = page.eval_on_selector_all("#result img", "images => images.map(i => i.src).join()")
    page.get_by_role("tab", name="Translate").focus()
    reached: list[str] = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("(e => (e.closest('[id]:not([id^=range_]):not(input)')?.id ?? ''))(document.activeElement)"))
        if reached[-1] == "go":
            break
    assert {"masks", "domain", "seed", "dice", "psi", "go"} <= set(reached), reached
    page.locator("#domain").get_by_label("orc", exact=True).focus()
    page.keyboard.press("Space")
    page.wait_for_function(
        "before => [...document.querySelectorAll('#result img')].map(i => i.src).join() != before", arg=before, timeout=60_000
    )


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
            page.get_by_role("button", name="Another style").click()
    for page, path in zip(pages, (portrait_file, flipped), strict=True):
        page.wait_for_function("document.querySelectorAll('#result img').length >= 2")
        page.wait_for_timeout(3000)
        own = np.asarray(ImageOps.fit(Image.open(path).convert("RGB"), (128, 128), Image.Resampling.LANCZOS), np.float32)
        before = pixels(page, page.locator("#result img").first.get_attribute("src"))
        assert np.abs(before - own).mean() < 3
    addresses = [set(page.eval_on_selector_all("img", "images => images.map(i => i.src)")) for page in pages]
    shared = {url for url in addresses[0] & addresses[1] if "/file=" in url and not re.search(r"\d-\w+\.jpg$", url)}
    assert not shared, "a picture of one visitor is on the page of the other"
    for page in pages:
        page.context.close()


def test_the_result_is_downloaded_as_png(page: Any, portrait_file: Path) -> None:
    upload(page, portrait_file)
    with page.expect_download() as caught:
        page.locator("#result").get_by_label("Download").click()
    with Image.open(caught.value.path()) as picture:
        assert picture.format == "PNG" and picture.size == (128, 128)


def test_an_example_is_translated(page: Any) -> None:
    page.locator(".gallery-item, .gallery button").first.click()
    page.wait_for_function("document.querySelectorAll('#result img').length >= 2")


def test_a_grid_can_be_cancelled(page: Any, portrait_file: Path, tmp_path: Path) -> None:
    to_tab(page, "Grid")
    picture = Image.open(portrait_file)
    for i in range(8):
        picture.crop((i, i, 512, 512)).save(tmp_path / f"{i}.png")
    page.locator("#grid-sources input[type=file]").first.set_input_files([str(tmp_path / f"{i}.png") for i in range(8)])
    page.locator("#grid-sources").get_by_text("7").first.wait_for()
    page.get_by_role("button", name="Make grid").click()
    page.get_by_text(re.compile("[1-7] of 8 sources")).wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Cancelled.").wait_for()
    page.wait_for_timeout(1500)  # for a row that was under way
    done = page.locator("#grid-status").inner_text()
    page.wait_for_timeout(1500)
    assert page.locator("#grid-status").inner_text() == done != "8 of 8 sources"
    page.get_by_role("button", name="Make grid").click()
    page.get_by_text("Cancelled.").wait_for(state="hidden")
    page.get_by_text("8 of 8 sources").wait_for()


def test_uploads_and_results_are_deleted_after_a_while(browser: Any, portrait_file: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"

    def count() -> int:
        examples = {p.name for p in (places.weights() / zoo.DEFAULT / "examples").iterdir()}
        return sum(p.is_file() and p.name not in examples for p in kept.rglob("*"))

    # Minutes: enough for all that follows to be made before any of it goes.
    with served(tmp_path, "--no-compile", "--keep", "0.5", GRADIO_TEMP_DIR=str(kept)) as (url, _):
        before = count()
        page = opened(browser, url)
        upload(page, portrait_file)
        to_tab(page, "Interpolate")
        page.locator("#interpolate-source input[type=file]").first.set_input_files(str(portrait_file))
        page.locator("#strip img").first.wait_for()
        page.get_by_role("button", name="Make video").click()
        page.locator("#movie video").wait_for(state="attached")
        assert count() > before + 3
        deadline = time.monotonic() + 120
        while count() > before and time.monotonic() < deadline:
            page.wait_for_timeout(1000)
        assert count() == before
        page.reload()
        page.locator(".gallery-item, .gallery button").first.click()  # an example, which is not deleted
        page.wait_for_function("document.querySelectorAll('#result img').length >= 2")
        page.context.close()
    log = (tmp_path / "log").read_text()
    assert url in log and portrait_file.stem not in log, "what was uploaded is in the log"


def test_a_password_is_asked_for(tmp_path: Path, portrait_file: Path) -> None:
    with served(tmp_path, "--no-compile", "--auth", "me:secret") as (url, _):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{url}/config")
        with pytest.raises(Exception, match=r"[Cc]redentials|[Ll]ogin|auth"):
            Client(url, auth=("me", "guess"), verbose=False)
        client = Client(url, auth=("me", "secret"), verbose=False)
        style = client.predict(
            source=handle_file(str(portrait_file)), domain="woman", style_from="seed", seed=7, psi=1.0,
            reference=None, masks=True, aligned=True, api_name="/translate",
        )[-1]  # fmt: skip
        assert '"style"' in style


def test_who_has_to_wait_is_told(browser: Any, address: str, portrait_file: Path, tmp_path: Path) -> None:
    page = opened(browser, address)
    to_tab(page, "Interpolate")
    page.locator("#interpolate-source input[type=file]").first.set_input_files(str(portrait_file))
    page.locator("#strip img").first.wait_for()
    source = handle_file(str(portrait_file))
    stop = threading.Event()

    def keep_busy() -> None:
        client = Client(address, verbose=False)
        ends = {"domain_a": "man", "style_from_a": "seed", "seed_a": 1, "reference_a": None}
        ends |= {"domain_b": "woman", "style_from_b": "seed", "seed_b": 2, "reference_b": None}
        while not stop.is_set():
            client.predict(
                source=source, psi=1.0, masks=True, aligned=True, way="", seconds=1.0, loop=True, **ends, api_name="/video"
            )

    threads = [threading.Thread(target=keep_busy) for _ in range(6)]
    for thread in threads:
        thread.start()
    try:
        page.wait_for_timeout(3000)
        page.get_by_role("button", name="Make video").click()
        page.locator("#movie").get_by_text(re.compile(r"queue: \d+/\d+")).wait_for(timeout=30_000)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    page.context.close()

"""How fast the picture follows the slider: PYTHONPATH=. python tests/browser/bench_slider.py

Starts the page, drags its slider in Chromium, and prints when the first picture was there, and the time from each move to its
picture.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright
from served import launched, served

from stargan import zoo

# Remembers when each picture was there, that is, loaded.
WATCH = """() => {
  window.loads = [];
  window.moves = [];
  document.querySelector('#position').addEventListener('input', () => window.moves.push(performance.now()), true);
  document.querySelector('#result').addEventListener('load', e => window.loads.push(performance.now()), true);
}"""
# Milliseconds from the last of more than so many moves to its picture, once it is there.
DELAY = """count => {
  const moved = window.moves.length > count ? window.moves.at(-1) : Infinity;
  return window.loads.find(l => l > moved) - moved;
}"""
# Milliseconds from the page's first byte to its first picture: the script is there before anything of the page.
FIRST = """() => {
  const look = () => {
    const picture = document.querySelector('#result .after img');
    if (picture?.complete && picture.naturalWidth) requestAnimationFrame(() => window.first = performance.now());
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""
SINCE = "() => window.first - performance.getEntriesByType('navigation')[0].responseStart"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moves", type=int, default=60)
    parser.add_argument("--model", default=zoo.DEFAULT, help="name of a model (default: %(default)s)")
    parser.add_argument("--no-compile", action="store_true")
    arguments = parser.parse_args()
    flags = ["--model", arguments.model, *(["--no-compile"] if arguments.no_compile else [])]
    with tempfile.TemporaryDirectory() as work, served(Path(work), *flags) as (url, _), sync_playwright() as playwright:
        browser = launched(playwright.chromium)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.add_init_script(f"({FIRST})()")
        firsts = []
        for _ in range(5):
            page.goto(url)
            page.wait_for_function("window.first", timeout=60_000)
            firsts.append(page.evaluate(SINCE))
        print(f"first picture after {statistics.median(firsts):.0f} ms in the median of {len(firsts)}, {firsts[0]:.0f} ms at first")
        if not arguments.no_compile:
            deadline = time.monotonic() + 180
            while time.monotonic() < deadline and not _compiled(page):
                page.wait_for_timeout(3000)
        page.locator("#position input[type=range]").scroll_into_view_if_needed()
        page.evaluate(WATCH)
        box = page.locator("#position input[type=range]").bounding_box()
        y = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + 2, y)
        page.mouse.down()
        times = []
        for i in range(1, arguments.moves + 1):  # not from where it is
            count = page.evaluate("window.moves.length")
            page.mouse.move(box["x"] + 2 + (box["width"] - 4) * ((i * 7) % arguments.moves) / arguments.moves, y)
            times.append(page.wait_for_function(DELAY, arg=count, timeout=30_000, polling=5).json_value())
            page.wait_for_timeout(60)
        page.mouse.up()
        browser.close()
    times.sort()
    print(
        f"{len(times)} moves: median {statistics.median(times):.0f} ms, 95th percentile {times[int(0.95 * len(times))]:.0f} ms, "
        f"longest {times[-1]:.0f} ms"
    )


def _compiled(page: Any) -> bool:
    """Whether the page says so by now."""
    page.get_by_role("button", name="Next style B").click()
    page.wait_for_timeout(1500)
    return "compiled" in page.locator("#status").inner_text()


if __name__ == "__main__":
    main()

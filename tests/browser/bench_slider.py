"""How fast the picture follows the slider: PYTHONPATH=. python tests/browser/bench_slider.py

Starts the page, drags the slider of the Interpolate tab in Chromium, and prints the time from each move to its picture.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright
from served import launched, opened, served
from skimage import data

# Remembers when each picture was there, that is, loaded.
WATCH = """() => {
  window.loads = [];
  document.querySelector('#between').addEventListener('load', e => window.loads.push(performance.now()), true);
}"""
MOVE = "() => performance.now()"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moves", type=int, default=60)
    parser.add_argument("--no-compile", action="store_true")
    arguments = parser.parse_args()
    flags = ["--no-compile"] if arguments.no_compile else []
    with tempfile.TemporaryDirectory() as work, served(Path(work), *flags) as (url, _), sync_playwright() as playwright:
        source = Path(work) / "astronaut.jpg"
        Image.fromarray(data.astronaut()).save(source)
        browser = launched(playwright.chromium)
        page = opened(browser, url, height=1100)
        page.get_by_role("tab", name="Interpolate").click()
        page.locator("#interpolate-source input[type=file]").first.set_input_files(str(source))
        page.locator("#strip img").first.wait_for(timeout=60_000)
        if not arguments.no_compile:
            deadline = time.monotonic() + 180
            while time.monotonic() < deadline and not _compiled(page, source):
                page.wait_for_timeout(3000)
        page.evaluate(WATCH)
        box = page.locator("#position input[type=range]").bounding_box()
        y = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + 2, y)
        page.mouse.down()
        times = []
        for i in range(arguments.moves):
            page.mouse.move(box["x"] + 2 + (box["width"] - 4) * ((i * 7) % arguments.moves) / arguments.moves, y)
            moved = page.evaluate(MOVE)
            page.wait_for_function("t => window.loads.some(l => l > t)", arg=moved, timeout=30_000, polling=5)
            times.append(page.evaluate("t => window.loads.find(l => l > t) - t", moved))
            page.wait_for_timeout(60)
        page.mouse.up()
        browser.close()
    times.sort()
    print(
        f"{len(times)} moves: median {statistics.median(times):.0f} ms, 95th percentile {times[int(0.95 * len(times))]:.0f} ms, "
        f"longest {times[-1]:.0f} ms"
    )


def _compiled(page: object, source: Path) -> bool:
    """Whether the Translate tab says so by now."""
    page.get_by_role("tab", name="Translate", exact=True).click()
    if not page.locator("#result img").count():
        page.locator("#source input[type=file]").first.set_input_files(str(source))
    else:
        page.get_by_role("button", name="Another style").click()
    page.wait_for_timeout(1500)
    found = "compiled" in page.locator("#status").inner_text()
    page.get_by_role("tab", name="Interpolate").click()
    page.wait_for_timeout(300)
    return found


if __name__ == "__main__":
    main()

"""How fast the camera's picture comes back: PYTHONPATH=. python tests/browser/bench_live.py [--visitors 2]

Starts the page, lets Chromium's fake camera run on the Live tab, and prints frames a second and the time from a frame to its
picture.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright
from served import opened, served, visitor, with_camera
from test_live import FRAMES, live

from stargan import zoo

# A rate that stands no more than so long after the start has been measured on uncompiled code.
WARM = 90_000


def said(page: Any, seconds: float) -> str:
    """What the tab says of its last 60 frames after so many seconds."""
    page.wait_for_timeout(1000 * seconds)
    return str(page.locator("#live .said").inner_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=1, help="cameras at once (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=20, help="that are measured (default: %(default)s)")
    parser.add_argument("--model", default=zoo.DEFAULT, help="name of a model (default: %(default)s)")
    parser.add_argument("--no-compile", action="store_true")
    arguments = parser.parse_args()
    flags = ["--model", arguments.model, *(["--no-compile"] if arguments.no_compile else [])]
    with tempfile.TemporaryDirectory() as work, served(Path(work), *flags) as (url, _), sync_playwright() as playwright:
        camera = with_camera(playwright.chromium, Path(work))
        if not arguments.no_compile:
            opened(camera, url).wait_for_timeout(WARM)
        pages = [live(visitor(camera), url) for _ in range(arguments.visitors)]
        pages[0].wait_for_timeout(1000 * arguments.seconds)
        for i, page in enumerate(pages, 1):
            print(f"visitor {i}: {said(page, 0)} ({page.evaluate(FRAMES)} frames in all)")
        camera.close()


if __name__ == "__main__":
    main()

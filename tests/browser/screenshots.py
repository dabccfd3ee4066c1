"""Pictures of every tab, light and dark, desktop and phone: PYTHONPATH=. python tests/browser/screenshots.py --out FOLDER"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright
from served import launched, opened, served, to_tab
from skimage import data

SCREENS = {"desktop": (1280, 900), "phone": (390, 844)}


def fill(page: Any, tab: str, portrait: str) -> None:
    """Something to see in a tab."""
    if tab == "Translate":
        page.locator("#source input[type=file]").first.set_input_files(portrait)
        page.wait_for_function("document.querySelectorAll('#result img').length >= 2")
        page.wait_for_function("document.querySelectorAll('#others img').length == 8")
        page.get_by_role("button", name="Parts of the face").click()
    elif tab == "Interpolate":
        page.locator("#interpolate-source input[type=file]").first.set_input_files(portrait)
        page.locator("#strip img").first.wait_for()
    elif tab == "Grid":
        page.locator("#grid-sources input[type=file]").first.set_input_files(portrait)
        page.locator("#grid-sources").get_by_text("portrait").first.wait_for()
        page.get_by_role("button", name="Make grid").click()
        page.get_by_text("1 of 1 sources").wait_for()
    elif tab == "Train":
        page.locator("#train-state p").first.wait_for()
    page.wait_for_timeout(1500)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work, served(Path(work), "--no-compile") as (address, _), sync_playwright() as playwright:
        portrait = str(Path(work) / "portrait.jpg")
        Image.fromarray(data.astronaut()).save(portrait)
        browser = launched(playwright.chromium)
        for screen, (width, height) in SCREENS.items():
            for theme in ("light", "dark"):
                page = opened(browser, address, width, height, theme)
                for tab in ("Translate", "Interpolate", "Grid", "Train", "About"):
                    to_tab(page, tab)
                    fill(page, tab, portrait)
                    page.screenshot(path=out / f"{tab.lower()}-{screen}-{theme}.png", full_page=True)
                    wide = page.evaluate("document.documentElement.scrollWidth")
                    print(f"{tab} {screen} {theme}: {wide} px wide{' (too wide)' if wide > width else ''}", flush=True)
                page.context.close()
        browser.close()


if __name__ == "__main__":
    main()

"""Pictures of every tab, light and dark, desktop and phone: PYTHONPATH=. python tests/browser/screenshots.py --out FOLDER"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright
from served import opened, served, to_tab, with_camera
from test_clip_tab import film
from test_live import FRAMES

SCREENS = {"desktop": (1280, 900), "tablet": (768, 1024), "phone": (375, 812)}


TABS = ("Translate", "Live", "Clip", "Grid", "Train", "About")


def fill(page: Any, tab: str, work: Path) -> None:
    """Something to see in a tab."""
    if tab == "Translate":
        page.locator("#result .handle").focus()
        for _ in range(6):
            page.keyboard.press("ArrowRight")
    elif tab == "Live":
        page.get_by_role("button", name="Start the camera").click()
        page.wait_for_function(f"{FRAMES} >= 4", timeout=90_000)
    elif tab == "Clip":
        page.locator("#clip-source input[type=file]").set_input_files(str(work / "clip.mp4"))
        page.locator("#clip-source").get_by_text("clip").first.wait_for()
        page.get_by_role("button", name="Translate the clip").click()
        page.get_by_text("A face in").wait_for(timeout=120_000)
    elif tab == "Grid":
        page.get_by_role("button", name="Make grid").click()
        page.get_by_text("1 of 1 sources").wait_for(timeout=90_000)
    elif tab == "Train":
        page.locator("#train-state p").first.wait_for()
    page.wait_for_timeout(1500)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work, served(Path(work), "--no-compile") as (address, _), sync_playwright() as playwright:
        film(Path(work) / "clip.mp4", 10)
        browser = with_camera(playwright.chromium, Path(work))
        for screen, (width, height) in SCREENS.items():
            for theme in ("light", "dark"):
                page = opened(browser, address, width, height, theme)
                for tab in TABS:
                    to_tab(page, tab)
                    fill(page, tab, Path(work))
                    page.screenshot(path=out / f"{tab.lower()}-{screen}-{theme}.png", full_page=True)
                    wide = page.evaluate("document.documentElement.scrollWidth")
                    print(f"{tab} {screen} {theme}: {wide} px wide{' (too wide)' if wide > width else ''}", flush=True)
                page.context.close()
        browser.close()


if __name__ == "__main__":
    main()

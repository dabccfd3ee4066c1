"""How the page feels to several people: two at once, and in a queue."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from served import SIDE, WAIT, after, anew, calling, opened, pixels, settled, source
from skimage import data


def test_a_browser_that_shows_a_page_nobody_uses_rests(regular: Any, address: str) -> None:
    """Gradio's loading screen would ask for 60 frames a second when it is long gone."""
    page = regular.new_page()
    page.add_init_script(
        """window.frames = 0
        const frame = window.requestAnimationFrame.bind(window)
        window.requestAnimationFrame = draw => { window.frames += 1; return frame(draw) }"""
    )
    anew(page, address)
    asked = [0, page.evaluate("window.frames")]
    while (last := asked[-1] - asked[-2]) >= 20 and len(asked) < 20:  # what moved when the page opened comes to rest
        page.wait_for_timeout(1000)
        asked.append(page.evaluate("window.frames"))
    assert asked[1] > 0 and last < 20, asked
    page.close()


def test_two_visitors_never_see_each_others_faces(
    page: Any, browser: Any, address: str, portrait_file: Path, tmp_path: Path
) -> None:
    flipped = tmp_path / "flipped.png"
    ImageOps.mirror(Image.fromarray(255 - data.astronaut()[..., ::-1])).save(flipped)
    pages = [page, opened(browser, address)]
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
    pages[1].context.close()


def test_who_has_to_wait_is_told(page: Any, address: str, portrait_file: Path) -> None:
    page.get_by_role("button", name="The way from A to B").click()
    settled(page, seconds=0.3)  # what waits from here on are the others
    others = calling(address, "/video", 6, portrait_file, seconds=2.0)
    try:
        deadline = time.monotonic() + 60
        while page.request.get(f"{address}/gradio_api/queue/status").json()["queue_size"] < 3:
            assert time.monotonic() < deadline and others.poll() is None, "nobody waits"
            page.wait_for_timeout(100)
        page.get_by_role("button", name="Make video").click()
        page.locator("#movie").get_by_text(re.compile(r"queue: \d+/\d+")).wait_for(timeout=30_000)
    finally:
        others.kill()


def test_who_waits_for_a_picture_sees_a_place_in_the_queue(page: Any) -> None:
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

"""The Live tab, with a camera that shows what the test makes."""

from __future__ import annotations

import re
import time
from typing import Any

from served import ready, to_tab, visitor

FRAMES = "Number(document.querySelector('#live [data-frames]')?.dataset.frames || 0)"


def live(context: Any, address: str) -> Any:
    """A visitor's page, with the camera started."""
    page = ready(context, address)
    to_tab(page, "Live")
    page.get_by_role("button", name="Start the camera").click()
    return page


def more_frames(page: Any, count: int) -> None:
    now = page.evaluate(FRAMES)
    page.wait_for_function(f"least => {FRAMES} >= least", arg=now + count, timeout=90_000)


def test_the_camera_runs_and_the_slider_acts_meanwhile(filmed: Any, address: str) -> None:
    page = live(filmed, address)
    more_frames(page, 3)
    box = page.locator("#live .made").bounding_box()
    assert box["y"] + box["height"] < 901, "below the screen"
    assert re.search(r"[\d.]+ frames a second, \d+ ms from a frame", page.locator("#live .said").inner_text())
    page.evaluate(
        """() => {
          window.seen = {};
          const made = document.querySelector('#live .made');
          made.addEventListener('load', () => {
            const canvas = Object.assign(document.createElement('canvas'), {width: 1, height: 1});
            const context = canvas.getContext('2d');
            context.drawImage(made, 0, 0, 1, 1);
            const x = document.querySelector('#live .between').value;
            (window.seen[x] ||= []).push([...context.getImageData(0, 0, 1, 1).data]);
          });
        }"""
    )
    between = page.locator("#live .between")
    for x in ("0", "1"):
        between.fill(x)
        more_frames(page, 4)
    seen = page.evaluate("window.seen")
    assert {"0", "1"} <= set(seen) and seen["0"][-1] != seen["1"][-1]
    # The styles of the Translate tab hold here.
    to_tab(page, "Translate")
    page.locator("#domain-b").get_by_label("orc").check()
    to_tab(page, "Live")
    more_frames(page, 2)
    page.get_by_label("Back in the camera's picture").check()
    more_frames(page, 3)
    assert page.locator("#live .made").evaluate("i => i.naturalWidth") == 480
    # On a phone, the camera's own picture is small in a corner of the one that it is held for.
    page.set_viewport_size({"width": 375, "height": 740})
    small, made = (page.locator(f"#live {name}").bounding_box() for name in (".camera", ".made"))
    assert small["width"] < made["width"] / 3 and small["x"] > made["x"] + made["width"] / 2
    assert abs(small["y"] - made["y"]) < made["height"] / 2
    filmed.set_offline(True)
    page.locator("#away").get_by_text("What you do goes on once it is back").wait_for()
    page.wait_for_timeout(2000)
    filmed.set_offline(False)
    more_frames(page, 2)
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_text("Stopped.").wait_for()
    assert page.locator("#live video").evaluate("v => v.srcObject === null")
    page.close()


def test_two_cameras_run_at_once(camera: Any, filmed: Any, address: str) -> None:
    pages = [live(context, address) for context in (filmed, visitor(camera))]
    for page in pages:
        more_frames(page, 3)
    before, gained = [page.evaluate(FRAMES) for page in pages], [0]
    deadline = time.monotonic() + 60
    while min(gained) < 4 and time.monotonic() < deadline:
        pages[0].wait_for_timeout(300)
        gained = [page.evaluate(FRAMES) - start for page, start in zip(pages, before, strict=True)]
    assert min(gained) >= 4 and max(gained) <= 4 * min(gained) + 4, gained
    pages[0].close()
    pages[1].context.close()


def test_a_camera_that_is_refused_or_missing_or_vanishes_is_said(regular: Any, filmed: Any, address: str) -> None:
    page = live(regular, address)  # without any camera
    page.get_by_text(re.compile("There is no camera|The camera was refused")).wait_for()
    page.add_init_script("navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'))")
    page.reload()
    to_tab(page, "Live")
    page.get_by_role("button", name="Start the camera").click()
    page.get_by_text("The camera was refused").wait_for()
    page.close()
    page = live(filmed, address)
    more_frames(page, 1)
    page.context.set_offline(True)  # for a moment, in which some frames get no answer
    page.wait_for_timeout(1000)
    page.context.set_offline(False)
    more_frames(page, 1)
    page.evaluate("document.querySelector('#live video').srcObject.getTracks()[0].dispatchEvent(new Event('ended'))")
    page.get_by_text("The camera is gone").wait_for()
    assert not page.locator("#live .made").is_visible(), "the last face stays for whoever comes next"
    page.get_by_role("button", name="Start the camera").click()
    more_frames(page, 1)
    page.close()

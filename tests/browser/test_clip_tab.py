"""The Clip tab."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import av
from PIL import Image
from served import shown, to_tab
from skimage import data

from stargan.media import video


def film(path: Path, count: int) -> Path:
    face = Image.fromarray(data.astronaut()).resize((256, 256))
    frames = []
    for i in range(count):
        frames.append(Image.new("RGB", (320, 256), (90, 90, 90)))
        frames[-1].paste(face, (i % 40, 0))
    video.write(path, frames, 10)
    return path


def frames(page: Any, tmp_path: Path) -> int:
    player = page.locator("#clip-made video")
    player.wait_for(state="attached", timeout=120_000)
    (tmp_path / "made.mp4").write_bytes(page.request.get(player.get_attribute("src")).body())
    with av.open(str(tmp_path / "made.mp4")) as file:
        return sum(1 for _ in file.decode(video=0))


def test_a_clip_is_translated(page: Any, tmp_path: Path) -> None:
    to_tab(page, "Clip")
    page.get_by_role("button", name="Translate the clip").click()
    page.get_by_text("There is no clip yet").wait_for()
    page.locator("#clip-source input[type=file]").set_input_files(str(film(tmp_path / "clip (1).mp4", 5)))
    page.locator("#clip-source").get_by_text("clip").first.wait_for()
    page.get_by_label("From style A to style B over the clip").check()
    page.get_by_role("button", name="Translate the clip").click()
    page.get_by_text("A face in 5 of 5 frames").wait_for(timeout=120_000)
    assert frames(page, tmp_path) == 5


def test_what_is_done_is_kept_when_it_is_stopped(page: Any, tmp_path: Path) -> None:
    to_tab(page, "Clip")
    page.locator("#clip-source input[type=file]").set_input_files(str(film(tmp_path / "clip (1).mp4", 400)))
    page.locator("#clip-source").get_by_text("clip").first.wait_for()
    page.get_by_role("button", name="Translate the clip").click()
    left = page.get_by_text(re.compile(r"about \d+ s left")).first
    left.wait_for(timeout=120_000)
    assert shown(left)
    page.get_by_role("button", name="Stop, keep what is done").click()
    page.get_by_text("Stopped. A face in").wait_for(timeout=60_000)
    assert 1 <= frames(page, tmp_path) < 400

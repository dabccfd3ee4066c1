"""Whoever closes the page in the middle of something long: the machine is there for the others at once."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from gauge import files
from PIL import Image
from served import Open, calling, ready, to_tab
from skimage import data

from stargan.media import video

FRAMES = 600


def found(kept: Path, pattern: str) -> set[Path]:
    return {path for path in files(kept) if path.match(pattern)}


def until_it_ends(kept: Path) -> None:
    """What is half-written is gone: finished, or given up. That takes as long as the machine takes."""
    deadline = time.monotonic() + 300
    while found(kept, "*.part"):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_the_clip_of_who_leaves_is_given_up(guest: Any, open_page: Open, tmp_path: Path) -> None:
    url, _, kept, _ = open_page
    before = found(kept, "stargan.mp4")
    face = Image.fromarray(data.astronaut()).resize((256, 256))
    video.write(tmp_path / "clip.mp4", [face] * FRAMES, 10)
    visitor = ready(guest, url)
    to_tab(visitor, "Clip")
    visitor.locator("#clip-source input[type=file]").set_input_files(str(tmp_path / "clip.mp4"))
    visitor.locator("#clip-source").get_by_text("clip").first.wait_for()
    visitor.get_by_role("button", name="Translate the clip").click()
    visitor.get_by_text(re.compile(r"about \d+ s left")).first.wait_for(timeout=120_000)
    assert found(kept, "*.part")
    visitor.close()
    until_it_ends(kept)
    assert found(kept, "stargan.mp4") == before, "all frames were made for nobody"


def test_the_video_of_a_program_that_ends_is_given_up(open_page: Open, portrait_file: Path) -> None:
    url, _, kept, _ = open_page
    before = found(kept, "stargan.mp4")
    way = ", ".join(str(seed) for seed in range(14))
    program = calling(url, "/video", 1, portrait_file, way=way, seconds=5.0, loop=True)
    deadline = time.monotonic() + 120
    while not found(kept, "*.part"):
        assert time.monotonic() < deadline and program.poll() is None
        time.sleep(0.05)
    program.kill()
    until_it_ends(kept)
    assert found(kept, "stargan.mp4") == before, "all frames were made for nobody"

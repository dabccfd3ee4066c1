"""How much a visitor may ask for at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from stargan import settings
from stargan.media import clips, video
from stargan.ui import own
from stargan.ui.footage import MOST_SECONDS
from stargan.ui.grid import MOST, Order, painter
from stargan.ui.live import MOST as MOST_CAMERAS
from stargan.ui.scene import Scene
from stargan.ui.studio import SourceChoice, StyleChoice
from stargan.ui.way import LONGEST, film, further


def test_so_many_calls_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STARGAN_MAX_QUEUE", raising=False)
    assert settings.read([]).max_queue == 64 and settings.read(["--max-queue", "3"]).max_queue == 3


ROWS = [[SourceChoice("a")] * (MOST + 1), []]


@pytest.mark.parametrize("change", [{"count": MOST + 1}, {"count": 0}, *({"sources": rows} for rows in ROWS)])
def test_a_grid_has_so_many_rows_and_columns(change: dict[str, Any]) -> None:
    class Nothing:
        def get(self, name: str) -> Any:
            return type("Studio", (), {"model": type("Model", (), {"config": type("Config", (), {"image_size": 8})})})

    with pytest.raises(ValueError, match=f"1 to {MOST}"):
        next(painter(Nothing())(replace(Order("model", [SourceChoice("a")], "man"), **change)))  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [LONGEST + 0.01, 1e9, 0.0, -1.0, float("nan"), float("inf")])
def test_a_video_lasts_so_long(seconds: float, tmp_path: Path) -> None:
    scene = Scene("model", SourceChoice("a"), (StyleChoice("man"),) * 4)
    with pytest.raises(ValueError, match="at most 5"):
        film(None, scene, "", seconds, False, tmp_path / "video.mp4", lambda: None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at most 16"):
        further(", ".join(map(str, range(15))), "man")


def test_a_clip_lasts_so_long(tmp_path: Path) -> None:
    video.write(tmp_path / "clip.mp4", [Image.new("RGB", (32, 32))] * (MOST_SECONDS + 2), 1)
    with pytest.raises(ValueError, match=f"at most {MOST_SECONDS}"):
        clips.opened(str(tmp_path / "clip.mp4"), MOST_SECONDS)


def test_no_more_is_taken_of_what_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def size(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(len(await request.body())))

    monkeypatch.setattr(own, "LARGEST", 2**20)
    client = TestClient(own.Own(Starlette(routes=[Route("/", size, methods=["POST"])]), tmp_path))
    assert client.post("/", content=bytes(2**20)).text == str(2**20)
    refused = client.post("/", content=bytes(2**20 + 1))
    assert refused.status_code == 413 and refused.json() == {"detail": own.TOO_LARGE}


def test_a_camera_on_a_space_is_stopped_after_two_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SPACE_ID", "STARGAN_LIVE"):
        monkeypatch.delenv(name, raising=False)
    assert (settings.read([]).live, MOST_CAMERAS) == (0, 6)
    monkeypatch.setenv("SPACE_ID", "user/name")
    assert settings.read([]).live == 120


def test_no_more_paths_are_looked_up_than_a_page_names(tmp_path: Path) -> None:
    async def done(request: Request) -> PlainTextResponse:
        return PlainTextResponse("done")

    client = TestClient(own.Own(Starlette(routes=[Route("/", done, methods=["POST"])]), tmp_path))
    assert client.post("/", json={"data": ["a/b"] * own.MOST_PATHS, "words": ["words"] * 5000}).text == "done"
    assert client.post("/", json={"data": ["a/b"] * (own.MOST_PATHS + 1)}).status_code == 413

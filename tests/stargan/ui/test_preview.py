"""Large photographs are made smaller where a browser shows them, and nowhere else."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from stargan.ui.preview import LARGE, SIDE, Preview

SHOWN = {"sec-fetch-dest": "image"}


@pytest.fixture(scope="module")
def large() -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (800, 1200, 3), np.uint8)
    return Image.fromarray(noise).resize((2400, 1600), Image.Resampling.NEAREST)


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    async def file(request: Request) -> FileResponse:
        return FileResponse(request.path_params["path"])

    (tmp_path / "kept").mkdir()
    routes = [Route("/gradio_api/file={path:path}", file)]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(Preview, folder=tmp_path / "kept")]))


def test_a_large_photograph_is_shown_smaller_and_upright(client: TestClient, tmp_path: Path, large: Image.Image) -> None:
    path = tmp_path / "kept" / "IMG 1 (ü).JPG"
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    large.save(path, "JPEG", quality=90, exif=exif, icc_profile=b"a profile")
    assert path.stat().st_size > LARGE
    answer = client.get(f"/gradio_api/file={path}", headers=SHOWN)
    assert answer.headers["content-type"] == "image/jpeg" and answer.headers["vary"] == "Sec-Fetch-Dest"
    with Image.open(io.BytesIO(answer.content)) as shown:
        assert shown.size == (round(SIDE * 2 / 3), SIDE) and shown.info["icc_profile"] == b"a profile" and not shown.getexif()
    for headers in ({}, {"sec-fetch-dest": "empty"}):
        assert client.get(f"/gradio_api/file={path}", headers=headers).content == path.read_bytes()


@pytest.mark.parametrize("kind", ["small", "png", "cmyk", "broken", "elsewhere"])
def test_everything_else_is_as_it_is(kind: str, client: TestClient, tmp_path: Path, large: Image.Image) -> None:
    path = tmp_path / ("a.jpg" if kind == "elsewhere" else "kept/a.png" if kind == "png" else "kept/a.jpg")
    picture = large.convert("CMYK") if kind == "cmyk" else large.resize((300, 200)) if kind == "small" else large
    picture.save(path, quality=90)
    if kind == "broken":
        path.write_bytes(b"\xff\xd8" + bytes(2 * LARGE))
    assert client.get(f"/gradio_api/file={path}", headers=SHOWN).content == path.read_bytes()

"""The page is compressed, and its programs are once for all visitors."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from stargan.ui.transfer import FOR_EVER, Transfer

PROGRAM, TEXT = "/assets/Index-Akn07EZk2.js", "let a = 1;\n" * 500
URL = "http://127.0.0.1:7860"


@pytest.fixture
def asked() -> list[Request]:
    return []


@pytest.fixture
def client(asked: list[Request]) -> TestClient:
    """Of an app that notes what it was asked for, and repeats the origin that it was asked from."""

    async def answer(request: Request) -> Response:
        asked.append(request)
        headers = {"x-origin": request.headers.get("origin", "none")}
        status = 404 if "missing" in request.url.path else 200
        return PlainTextResponse(TEXT, status, headers)

    routes = [Route("/", answer), Route("/{path:path}", answer, methods=["GET", "HEAD", "POST"])]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(Transfer)]), base_url=URL)


def test_a_program_is_compressed_once_and_kept_by_the_browser(client: TestClient, asked: list[Request]) -> None:
    for origin in ({}, {"origin": URL}, {}):
        answer = client.get(PROGRAM, headers={"accept-encoding": "gzip, br", **origin})
        assert answer.status_code == 200 and answer.text == TEXT and int(answer.headers["content-length"]) < len(TEXT) / 10
        assert answer.headers["content-encoding"] == "gzip" and answer.headers["cache-control"] == FOR_EVER
        assert answer.headers["vary"] == "Accept-Encoding" and answer.headers["x-origin"] == "none"
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (PROGRAM, {"accept-encoding": "br"}),
        (PROGRAM, {"origin": "https://example.org"}),
        (PROGRAM, {"range": "bytes=0-9"}),
        (PROGRAM, {"if-none-match": '"a"'}),
        ("/assets/missing-Akn07EZk.js", {}),
        ("/assets/logo.svg", {}),
        (f"/gradio_api/file=/tmp{PROGRAM}", {}),
        ("/config", {}),
    ],
)
def test_what_is_not_the_same_for_everybody_is_asked_for_every_time(
    client: TestClient, asked: list[Request], path: str, headers: dict[str, str]
) -> None:
    client.get(PROGRAM, headers={"accept-encoding": "gzip"})
    for _ in range(2):
        answer = client.get(path, headers={"accept-encoding": "gzip", **headers})
        assert answer.text == TEXT and "cache-control" not in answer.headers and "content-encoding" not in answer.headers
        assert answer.headers["x-origin"] == headers.get("origin", "none")
    assert len(asked) == 3


def test_the_page_itself_is_compressed(client: TestClient, asked: list[Request]) -> None:
    for _ in range(2):
        answer = client.get("/", headers={"accept-encoding": "gzip"})
        assert answer.text == TEXT and answer.headers["content-encoding"] == "gzip" and "cache-control" not in answer.headers
    assert client.get("/", headers={"accept-encoding": "identity"}).headers.get("content-encoding") is None
    assert len(asked) == 3

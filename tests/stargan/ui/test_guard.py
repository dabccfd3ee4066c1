"""Which requests the page answers: its own, and those of programs."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from stargan import settings
from stargan.ui import guard

LOCAL = "http://127.0.0.1:7860"


@pytest.fixture(autouse=True)
def no_space(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SPACE_ID", "STARGAN_TRAIN", "STARGAN_HOSTS", "STARGAN_HOST", "STARGAN_SHARE", "STARGAN_AUTH"):
        monkeypatch.delenv(name, raising=False)


def client(*flags: str, url: str = LOCAL) -> TestClient:
    """Of an app that says `done` to whatever is let through."""

    async def done(request: object) -> PlainTextResponse:
        return PlainTextResponse("done")

    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text("done")
        await socket.close()

    routes = [Route("/", done, methods=["GET", "POST", "OPTIONS"]), WebSocketRoute("/talk", talk)]
    return TestClient(Starlette(routes=routes, middleware=guard(settings.read(flags))), base_url=url)


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "text/plain"])
def test_pages_alone_begin_with_what_lets_a_browser_rest(kind: str) -> None:
    async def page(request: object) -> Response:
        return Response("<html><head><title>é</title></head></html>", media_type=kind)

    browser = TestClient(Starlette(routes=[Route("/", page)], middleware=guard(settings.read([]))), base_url=LOCAL)
    answer = browser.get("/", headers={"accept-encoding": "identity"})
    assert len(answer.content) == int(answer.headers["content-length"]) and answer.text.endswith("<title>é</title></head></html>")
    assert ("<head><script>" in answer.text and "performance" in answer.text) == kind.startswith("text/html")


def test_the_page_is_for_this_machine() -> None:
    assert settings.read([]).host == "127.0.0.1" and not settings.read([]).share


def test_a_port_that_is_none_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    for port in ("65536", "-1"):
        with pytest.raises(SystemExit):
            settings.read([f"--port={port}"])
        assert f"--port is {port}; it has to be from 1 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags,words",
    [
        (["--threads=-1"], "--threads is -1; it has to be from 1 to 1024, or 0"),
        (["--max-queue=0"], "--max-queue is 0; it has to be 1 or above"),
        (["--keep=nan"], "--keep is nan; it has to be above 0"),
        (["--keep=0"], "--keep is 0.0; it has to be above 0"),
        (["--keep=inf"], "--keep is inf; it has to be above 0"),
        (["--live=-1"], "--live is -1.0; it has to be 0 (never) or above"),
        (["--live=inf"], "--live is inf"),
        (["--auth=:"], "--auth needs a name and a password"),
        (["--auth=user:"], "--auth needs a name and a password"),
        ([f"--data={__file__}"], "which is a file; give a folder"),
    ],
)
def test_a_page_that_could_not_run_is_refused_at_once(flags: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        settings.read(flags)
    assert words in capsys.readouterr().err


def test_a_switch_in_the_environment_is_taken_as_it_is_meant(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("share", "compile", "train"):
        for written, meant in (("1", True), ("true", True), ("Yes", True), ("0", False), ("no", False), ("FALSE", False)):
            monkeypatch.setenv(f"STARGAN_{name.upper()}", written)
            assert getattr(settings.read([]), name) is meant
        monkeypatch.setenv(f"STARGAN_{name.upper()}", "")
        assert getattr(settings.read([]), name) is (name != "share"), "as if it were not there"
        monkeypatch.setenv(f"STARGAN_{name.upper()}", "maybe")
        with pytest.raises(SystemExit):
            settings.read([])
        assert f"STARGAN_{name.upper()} is 'maybe'; it has to be 1 or 0" in capsys.readouterr().err
        monkeypatch.delenv(f"STARGAN_{name.upper()}")
    monkeypatch.setenv("STARGAN_PORT", "")
    assert settings.read([]).port == 0


def test_training_is_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.read([]).train
    assert not settings.read(["--share"]).train and not settings.read(["--no-train"]).train
    monkeypatch.setenv("SPACE_ID", "user/name")
    assert not settings.read([]).train
    monkeypatch.setenv("STARGAN_TRAIN", "1")
    assert settings.read([]).train and settings.read(["--share"]).train


@pytest.mark.parametrize("url", [LOCAL, "http://localhost:7860", "http://[::1]:7860", "http://LOCALHOST:7860"])
def test_a_local_page_answers_under_the_names_of_this_machine(url: str) -> None:
    page = client(url=url)
    assert page.get("/").text == "done"
    assert page.post("/").text == "done", "programs send no Origin"
    assert page.post("/", headers={"Origin": url.lower()}).text == "done"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "localhost.evil.example:7860", "127.0.0.1.evil.example", "", "["]
)
def test_a_local_page_answers_under_no_other_name(host: str) -> None:
    answer = client().get("/", headers={"Host": host})
    assert answer.status_code == 403 and "--hosts" in answer.text
    own = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    assert client().post("/", headers=own).status_code == 403, "a site whose name leads to this machine sees itself as the page"


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://127.0.0.1:8000", "http://localhost:7860", "https://127.0.0.1:9", "null", "["]
)
@pytest.mark.parametrize("flags", [(), ("--host", "0.0.0.0"), ("--share",)])
def test_other_sites_are_not_answered(origin: str, flags: tuple[str, ...]) -> None:
    for site in ("cross-site", "same-site", "none", ""):
        headers = {"Origin": origin} | ({"Sec-Fetch-Site": site} if site else {})
        assert client(*flags).post("/", headers=headers).status_code == 403
        assert client(*flags).get("/", headers=headers).status_code == 403


def test_a_link_from_another_site_may_be_followed() -> None:
    assert client().get("/", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}).text == "done"


def test_sockets_are_looked_at_as_well() -> None:
    with client().websocket_connect("/talk", headers={"Host": "127.0.0.1:7860", "Origin": LOCAL}) as socket:
        assert socket.receive_text() == "done"
    with pytest.raises(WebSocketDisconnect), client().websocket_connect("/talk", headers={"Origin": "http://evil.example"}):
        pass


def test_a_page_for_other_machines_answers_under_any_name_unless_they_are_given() -> None:
    assert client("--host", "0.0.0.0", url="http://box.lan:7860").get("/").text == "done"
    assert client("--host", "0.0.0.0", "--hosts", "box.lan", url="http://box.lan:7860").get("/").text == "done"
    assert client("--host", "0.0.0.0", "--hosts", "box.lan", url="http://evil.example:7860").get("/").status_code == 403
    assert client("--share", url="https://abc.gradio.live").get("/").text == "done"


def test_a_proxy_and_a_site_can_be_let_in() -> None:
    public = {"Origin": "https://stars.example", "Sec-Fetch-Site": "cross-site"}
    assert client().post("/", headers=public).status_code == 403
    assert client("--hosts", "box.lan, stars.example").post("/", headers=public).text == "done"
    assert client("--hosts", "stars.example", url="http://stars.example").get("/").text == "done"
    # A proxy that asks under the address of this machine.
    assert client().post("/", headers={"Origin": "https://stars.example", "Sec-Fetch-Site": "same-origin"}).text == "done"


def test_a_space_is_there_for_other_sites_unless_it_trains_or_asks_for_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_ID", "user/name")
    space, other = "https://user-name.hf.space", {"Origin": "https://evil.example"}
    open_to_all = client(url=space).post("/", headers=other)
    assert open_to_all.text == "done" and "Content-Security-Policy" not in open_to_all.headers
    for flags in (("--train",), ("--auth", "me:secret")):
        page = client(*flags, url=space)
        assert page.post("/", headers=other).status_code == 403
        assert page.post("/", headers={"Origin": space}).text == "done"
        assert "https://huggingface.co" in page.get("/").headers["Content-Security-Policy"]


def test_every_answer_says_what_others_may_do_with_it() -> None:
    headers = client().get("/").headers
    assert headers["Content-Security-Policy"] == "frame-ancestors 'self'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_who_leaves_in_the_middle_of_an_upload_is_no_error() -> None:
    async def upload(request: Request) -> Response:
        return Response(await request.body())

    page = Starlette(routes=[Route("/", upload, methods=["POST"])], middleware=guard(settings.read([])))
    came = iter([{"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"}])
    headers = [(b"host", b"localhost"), (b"content-type", b"multipart/form-data")]
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers}

    async def receive() -> Any:
        return next(came)

    async def send(message: Any) -> None:
        raise AssertionError(message)

    with ThreadPoolExecutor(1) as thread:  # where no loop of a browser's runs
        thread.submit(asyncio.run, page(scope, receive, send)).result()

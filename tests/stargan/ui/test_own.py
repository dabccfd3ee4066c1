"""Files of the page's folder go to those who brought them, or were told of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from stargan.ui import own

NewClient = Callable[[], TestClient]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    kept = tmp_path / "kept"
    (kept / "0a1b").mkdir(parents=True)
    (kept / "0a1b" / "my face, 2.png").write_bytes(b"a face")
    return kept


@pytest.fixture
def clients(folder: Path) -> NewClient:
    """Makes clients of a page that tells of a file, gives it out, and repeats what is said to it."""
    picture = str(folder / "0a1b" / "my face, 2.png")

    async def page(request: Request) -> Response:
        return HTMLResponse("a page")

    async def make(request: Request) -> Response:
        return JSONResponse({"data": [{"path": picture, "url": f"http://x/gradio_api/file={picture}"}]})

    async def file(request: Request) -> Response:
        return FileResponse(request.path_params["path"])

    async def repeat(request: Request) -> Response:
        return JSONResponse(f"{request.query_params} {(await request.body()).decode()!r} is no seed")

    routes = [
        Route("/", page),
        Route("/make", make, methods=["POST"]),
        Route("/gradio_api/file={path:path}", file),
        Route("/repeat", repeat, methods=["GET", "POST"]),
    ]
    app = Starlette(routes=routes, middleware=[Middleware(own.Own, folder=folder)])
    return lambda: TestClient(app)


def browser(clients: NewClient) -> TestClient:
    """One that has opened the page and keeps its cookie."""
    client = clients()
    assert client.get("/").cookies.get(own.COOKIE)
    assert not client.get("/").headers.get("set-cookie")
    return client


def test_a_file_goes_to_whom_the_page_told_of_it(clients: NewClient, folder: Path) -> None:
    mine, other, program = browser(clients), browser(clients), clients()
    path = mine.post("/make", json={}).json()["data"][0]["path"]
    assert mine.get(f"/gradio_api/file={path}").content == b"a face"
    ways = (path, path.replace("/kept/", "/kept//"), f"{folder}/x/../0a1b/my face, 2.png", path.replace("my", "%6dy"))
    for client in (other, program):
        assert [client.get(f"/gradio_api/file={way}").status_code for way in ways] == [403] * len(ways)
    # The same content, which lies at the same place, brought by another one.
    assert other.post("/make", json={}).status_code == 200
    assert other.get(f"/gradio_api/file={path}").content == mine.get(f"/gradio_api/file={path}").content
    assert program.get(f"/gradio_api/file={path}").status_code == 403


def test_a_file_may_be_named_by_its_address(clients: NewClient, folder: Path) -> None:
    mine, later, other = browser(clients), browser(clients), browser(clients)
    path, _ = (client.post("/make", json={}).json()["data"][0]["path"] for client in (mine, later))
    said = {"data": [{"path": path, "url": f"http://x/gradio_api/file={quote(path)}"}]}
    assert quote(path) != path
    assert (mine.post("/repeat", json=said).status_code, other.post("/repeat", json=said).status_code) == (200, 403)
    # Where there is a file of that very name, it is meant, and it is somebody else's.
    (folder / "0a1b" / "my%20face%2C%202.png").write_bytes(b"another face")
    assert later.post("/repeat", json=said).status_code == 403
    twice = f"http://x/gradio_api/file={quote(quote(path))}"
    assert later.post("/repeat", json={"url": twice}).status_code == 403


def test_what_programs_without_cookies_made_is_for_no_browser(clients: NewClient) -> None:
    program, other = clients(), browser(clients)
    path = program.post("/make", json={}).json()["data"][0]["path"]
    assert program.get(f"/gradio_api/file={path}").content == b"a face"
    assert other.get(f"/gradio_api/file={path}").status_code == 403


def test_nobody_has_anothers_file_worked_on(clients: NewClient) -> None:
    mine, other = browser(clients), browser(clients)
    path = mine.post("/make", json={}).json()["data"][0]["path"]
    told = [{"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}]}, [f"7, {path}"], {path: 1}, f"{'x' * 9000}{path}"]
    for said in told:
        assert mine.post("/repeat", json=said).status_code == 200
        # Repeated to them, it would be theirs.
        assert other.post("/repeat", json=said).status_code == 403
    escaped = f'{{"data": ["{path}"]}}'.replace("/", "\\u002f").encode()
    assert other.post("/repeat", content=escaped, headers={"Content-Type": "text/plain"}).status_code == 403
    assert other.get("/repeat", params={"a": f"x {path}"}).status_code == 403
    assert other.get(f"/gradio_api/file={path}").status_code == 403


def test_all_else_is_let_through(clients: NewClient, tmp_path: Path) -> None:
    client = browser(clients)
    elsewhere = tmp_path / "example.png"
    elsewhere.write_bytes(b"for all")
    assert client.get(f"/gradio_api/file={elsewhere}").content == b"for all"
    for body in (b"", b"no json", b'{"data": ["man", 7, null, "a/b", "\\u0000/"]}', b"[" * 100_000):
        assert client.post("/repeat", content=body).status_code == 200


def test_what_is_gone_is_forgotten(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "MANY", 10)
    names = iter(range(1000))

    async def tell(request: Request) -> Response:
        return JSONResponse([str(folder / "0a1b" / "my face, 2.png"), str(folder / "gone" / str(next(names)))])

    page = own.Own(Starlette(routes=[Route("/", tell)]), folder)
    client = TestClient(page)
    for _ in range(100):
        client.get("/")
    assert len(page._owners) <= 12 and folder / "0a1b" / "my face, 2.png" in page._owners


def test_inside_another_site_the_cookie_is_of_a_kind_that_is_kept(folder: Path) -> None:
    async def page(request: Request) -> Response:
        return HTMLResponse("a page")

    for embedded, wanted in ((True, "SameSite=None; Secure; Partitioned"), (False, "SameSite=Lax")):
        client = TestClient(own.Own(Starlette(routes=[Route("/", page)]), folder, embedded))
        assert client.get("/").headers["set-cookie"].endswith(f"HttpOnly; {wanted}")


def test_it_is_said_that_pictures_of_an_earlier_page_have_gone(tmp_path: Path) -> None:
    async def done(request: Request) -> Response:
        return JSONResponse("done")

    (tmp_path / "stargan-new").mkdir()
    client = TestClient(own.Own(Starlette(routes=[Route("/", done, methods=["POST"])]), tmp_path / "stargan-new"))
    earlier = client.post("/", json={"data": [{"path": str(tmp_path / "stargan-old" / "0a1b" / "me.png")}]})
    assert (earlier.status_code, earlier.json()) == (410, {"detail": own.GONE})
    assert client.post("/", json={"data": [{"path": str(tmp_path / "stargan-new" / "0a1b" / "me.png")}]}).status_code == 403
    assert client.post("/", json={"data": [str(tmp_path / "elsewhere" / "me.png")]}).json() == "done"

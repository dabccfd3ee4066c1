"""The real page as a process, and a Chromium to open it with."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import shutil
import socket
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from gradio_client import Client
from PIL import Image
from safetensors import safe_open
from skimage import data

from stargan import zoo
from stargan.files import places
from tests.processes import NOTHING, Process, Start, forked, fresh

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--process-per-site",  # of a visitor: what one page has compiled, the next has, too
]
PATIENCE = 180  # seconds
WAIT = 90_000  # ms
# What most tests have pages open with: of the bundled ones that which needs least work.
MODEL = "portraits-128"
with safe_open(places.weights() / MODEL / "model.safetensors", "pt") as file:
    SIDE: int = json.loads(file.metadata()["config"])["image_size"]  # px, of what it makes


class Open(NamedTuple):
    """A page that is open to others: its address, its log, the folder of uploads and results, and its process."""

    url: str
    log: Path
    kept: Path
    process: Process


class Brief(NamedTuple):
    """A page that keeps what it is given and makes for half a minute: as a visitor has it open, who has something of everything;
    its address, the folder of what it keeps, and how many files lay there before."""

    page: Any
    url: str
    kept: Path
    before: int


@contextlib.contextmanager
def served(folder: Path, *flags: str, start: Start = fresh, **variables: str) -> Iterator[tuple[str, Process]]:
    """The address and the process of app.py with the model that it opens with as a rule, these flags and environment variables;
    folder: for its log. RuntimeError with what it printed where it does not start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "log"
    environment = os.environ | {"GRADIO_ANALYTICS_ENABLED": "False", "STARGAN_MODEL": zoo.DEFAULT} | variables
    process = start(["app.py", "--port", str(port), *flags], places.ROOT, environment, log, log)
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + PATIENCE
    try:
        while True:
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"app.py did not start:\n{log.read_text()}") from None
                time.sleep(0.3)
        yield url, process
    finally:
        process.terminate()
        process.wait(timeout=30)


def program(address: str, auth: tuple[str, str] | None = None) -> Client:
    """A program that calls the page. It reads no authorities' certificates, which takes 20 ms a call and is of no use here."""
    return Client(address, auth=auth, verbose=False, ssl_verify=False)


# Arguments: an address, an endpoint, how many calls, a picture, other values as JSON.
CALLS = """
import json, sys
from gradio_client import Client, handle_file
address, endpoint, count, source, values = sys.argv[1:]
client = Client(address, verbose=False, ssl_verify=False)
jobs = [client.submit(source=handle_file(source), **json.loads(values), api_name=endpoint) for _ in range(int(count))]
for job in jobs:
    job.result()
"""


def calling(address: str, endpoint: str, count: int, source: Path, **values: Any) -> Process:
    """A program apart, which calls an endpoint of the page so many times at once and waits for what comes. One that is killed has
    left at once, with its calls; a client in this process is there until the page speaks to it again, after 15 seconds."""
    arguments = [address, endpoint, str(count), str(source), json.dumps(values)]
    return forked(["-c", CALLS, *arguments], places.ROOT, os.environ, NOTHING, NOTHING)


def launched(chromium: Any, *flags: str) -> Any:
    """Playwright's own Chromium, or the system's, with these flags too; to be awaited where `chromium` is of the asynchronous API.
    FileNotFoundError where there is neither."""
    own = Path(chromium.executable_path).exists()
    system = shutil.which("chromium") or shutil.which("google-chrome")
    if not own and system is None:
        raise FileNotFoundError("there is no Chromium; run `playwright install chromium` or install your system's")
    return chromium.launch(executable_path=None if own else system, args=[*FLAGS, *flags])


def with_camera(chromium: Any, folder: Path) -> Any:
    """A Chromium with a camera that sees a face going to and fro; folder: for its film."""
    path = folder / "camera.mjpeg"  # JPEGs in a row
    astronaut = Image.fromarray(data.astronaut()).resize((480, 480))
    with path.open("wb") as file:
        for i in range(16):
            frame = Image.new("RGB", (640, 480), (80, 90, 100))
            frame.paste(astronaut, (40 + 10 * min(i, 16 - i), 0))
            frame.save(file, "JPEG", quality=90)
    flags = "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", f"--use-file-for-fake-video-capture={path}"
    return launched(chromium, *flags)


@dataclass
class Asked:
    """What a page has asked for and not yet got: calls, what the server sends of them, uploads. last: when one began or ended."""

    pending: set[Any] = field(default_factory=set)
    last: float = field(default_factory=time.monotonic)

    def begin(self, request: Any) -> None:
        if "/gradio_api/queue/" in request.url or "/gradio_api/upload" in request.url:
            self.pending.add(request)
            self.last = time.monotonic()

    def end(self, request: Any) -> None:
        if request in self.pending:
            self.pending.remove(request)
            self.last = time.monotonic()


ASKED: WeakKeyDictionary[Any, Asked] = WeakKeyDictionary()  # of each page
# Seconds after which what a page waits for will bring nothing. Where the last of several calls is done before the page has heard
# that it was taken, Gradio's client opens a stream for it that nothing comes through any more (6.31).
IDLE = 5.0


def visitor(browser: Any, **options: Any) -> Any:
    """A new visitor, as a context of the browser: its pages have its cookie, and what it has fetched already."""
    context = browser.new_context(accept_downloads=True, **options)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.set_default_timeout(60_000)
    context.on("page", watch)
    return context


@contextlib.contextmanager
def returning(browser: Any, address: str) -> Iterator[Any]:
    """A visitor whose browser has compiled a page's programs once for all its pages."""
    context = visitor(browser)
    context.new_page().goto(f"{address}/theme.css")  # which stays, and keeps the process that they are compiled in
    yield context
    context.close()


def watch(page: Any) -> None:
    """Notes from now on what a page waits for."""
    asked = ASKED.setdefault(page, Asked())
    page.on("request", asked.begin)
    page.on("requestfinished", asked.end)
    page.on("requestfailed", asked.end)


def quiet(page: Any, seconds: float, patience: float = WAIT / 1000) -> bool:
    """Whether the page comes to a time, within `patience` seconds, in which it asks for nothing and gets nothing: for so long where
    it waits for nothing, and otherwise for as long as nothing will come any more."""
    start, asked = time.monotonic(), ASKED[page]
    while (left := (max(seconds, IDLE) if asked.pending else seconds) + max(start, asked.last) - time.monotonic()) > 0:
        if time.monotonic() - start > patience:
            return False
        page.wait_for_timeout(1000 * min(left, 0.1 if asked.pending else left))
        page.evaluate("0")  # it has done what was due
    return True


def ready(context: Any, address: str, width: int = 1280, height: int = 900, theme: str = "light") -> Any:
    """A page of a visitor, ready."""
    return anew(context.new_page(), address, width, height, theme)


def anew(page: Any, address: str, width: int = 1280, height: int = 900, theme: str = "light") -> Any:
    """A page in place of what a tab shows, ready."""
    ASKED[page].pending.clear()  # of what was there before
    page.set_viewport_size({"width": width, "height": height})
    page.goto(f"{address}/?__theme={theme}")
    page.locator("#result .after img").wait_for()
    return page


def opened(browser: Any, address: str, width: int = 1280, height: int = 900, theme: str = "light") -> Any:
    """A new visitor's page, ready."""
    return ready(visitor(browser), address, width, height, theme)


def still(page: Any) -> None:
    """Waits until the page waits for nothing, and no colour is on its way to another."""
    quiet(page, 0.3, patience=10)
    moving = "document.getAnimations().filter(a => a instanceof CSSTransition)"
    page.evaluate(f"Promise.all({moving}.map(a => a.finished.catch(() => 0)))")


def shown(element: Any) -> bool:
    """Whether a visitor who scrolls to an element sees it: what is cut off has a place on the page, too."""
    part = """e => new Promise(found => {
        e.scrollIntoView({ block: "center" })
        new IntersectionObserver(([seen], observer) => { observer.disconnect(); found(seen.intersectionRatio) }).observe(e)
    })"""
    return bool(element.evaluate(part) > 0.9)


def to_tab(page: Any, name: str) -> None:
    """Opens a tab; on a narrow screen the last ones are in a menu."""
    tab = page.get_by_role("tab", name=name)
    page.locator("button", has_text=name).locator("visible=true").or_(page.get_by_label("More tabs")).first.wait_for()
    if not tab.is_visible():
        page.get_by_label("More tabs").click()
        tab = page.locator(".overflow-dropdown button", has_text=name)
    tab.click()


def upload(page: Any, path: Path, box: str = "#source") -> None:
    """Puts a file into a box."""
    page.locator(f"{box} input[type=file]").first.set_input_files(str(path))


def pixels(page: Any, url: str) -> np.ndarray:
    """A picture of the page, (height, width, 3) from 0 to 255."""
    if url.startswith("data:"):
        content = base64.b64decode(url.partition(",")[2])
    else:
        response = page.request.get(url)
        assert response.ok, f"{url}: {response.status} {response.text()[:200]}"
        content = response.body()
    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture.convert("RGB"), np.float32)


RESULT = "#result .after img"


def source(page: Any, box: str = RESULT) -> str:
    """The address of the picture in a box, once there is one."""
    image = page.locator(f"{box}[src]").first
    image.wait_for(timeout=WAIT)
    return str(image.get_attribute("src"))


def settled(page: Any, box: str = RESULT, seconds: float = 1.0) -> np.ndarray:
    """The picture that is there once the page has waited for nothing for so long: longer than it takes until what follows a picture
    that stays is asked for."""
    assert quiet(page, seconds), "the page goes on asking for something"
    return pixels(page, source(page, box))


def becomes(page: Any, wanted: np.ndarray, within: float, box: str = RESULT) -> bool:
    """Whether the picture that stays comes to be this one, but for so much in the mean."""
    deadline = time.monotonic() + WAIT / 1000
    while np.abs(settled(page, box) - wanted).mean() >= within:
        if time.monotonic() > deadline:
            return False
    return True


def after(page: Any, change: Any, box: str = RESULT) -> np.ndarray:
    """The picture that stays in a box after a change, which is another one than before."""
    before = page.locator(box).first.get_attribute("src") if page.locator(box).count() else None
    change()
    page.wait_for_function(
        "([box, before]) => { const i = document.querySelector(box); return i && i.src && i.src !== before }",
        arg=[box, before],
        timeout=WAIT,
    )
    return settled(page, box, 0.3)

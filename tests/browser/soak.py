"""Visitors for half an hour: PYTHONPATH=. python tests/browser/soak.py [--visitors 20] [--minutes 30] [--out FOLDER]

Starts the page; each visitor, a tab of its own in a Chromium, uploads a picture that bears its number, drags the slider, switches
models, makes videos, grids and clips, sends frames of a camera, leaves in the middle and comes back. Every picture that comes back
is looked at for the number. Prints how the server's memory, threads, handles and files went, whether any picture reached another
visitor, and what was left after all had gone; writes the curve to FOLDER/soak.png and the samples to FOLDER/soak.jsonl.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import io
import json
import os
import random
import shutil
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from gauge import Gauge
from marks import mark, marked
from PIL import Image
from playwright.async_api import Browser, Error, Page, async_playwright
from served import FLAGS, served

from stargan import styles, zoo
from stargan.files import checkpoint, places
from stargan.media import images, video
from stargan.model import Model, build
from stargan.networks import ModelConfig

WAIT = 600_000  # ms: with many visitors the queue is long
RETRIES = 2  # as browsers do where a connection that was kept open has just been closed
EVERY = 5.0  # seconds between samples
WARM = 5.0  # minutes after which memory may not grow any more
SECOND = f"soak-{os.getpid()}"  # a small model to switch to
CLIP = 20  # frames


@dataclass
class Book:
    """What was done, what was seen, and what went wrong; pictures of another mark are written to `out`."""

    out: Path
    done: Counter[str] = field(default_factory=Counter)
    seen: int = 0
    mixed: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def look(self, number: int, where: str, pixels: np.ndarray) -> None:
        """Notes whose picture it is that visitor `number` has got."""
        found = mark(pixels)
        self.seen += 1
        if found != number:
            self.mixed.append(f"visitor {number}, {where}: the mark {found}")
            Image.fromarray(pixels.astype(np.uint8)).save(self.out / f"mixed-{len(self.mixed)}.png")


@dataclass
class Visitor:
    """One of the visitors, in a tab."""

    url: str
    number: int
    folder: Path
    model: Model
    book: Book
    page: Page

    @property
    def picture(self) -> Path:
        return self.folder / f"{self.number}.png"

    async def pixels(self, box: str) -> np.ndarray:
        """The picture in a box."""
        address = await self.page.locator(f"{box}[src]").first.get_attribute("src", timeout=WAIT) or ""
        if address.startswith("data:"):
            content = base64.b64decode(address.partition(",")[2])
        else:
            content = await self.content(address)
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), np.float32)

    async def content(self, address: str) -> bytes:
        answer = await self.page.request.get(address, timeout=WAIT, max_retries=RETRIES)
        if not answer.ok:
            raise ValueError(f"{address.rpartition('/')[2]}: {answer.status}")
        return await answer.body()

    async def frame(self, address: str, last: bool = False) -> np.ndarray:
        """A frame of a video: the first or the last one."""
        with av.open(io.BytesIO(await self.content(address))) as file:
            frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
        return frames[-1 if last else 0].astype(np.float32)

    async def come(self) -> None:
        """Opens the page and uploads the picture; from then on the source is its own."""
        await self.page.goto(self.url, timeout=WAIT)
        await self.page.locator("#result .after img").wait_for(timeout=WAIT)
        await self.page.get_by_label("Align the face").uncheck()
        await self.page.locator("#source input[type=file]").first.set_input_files(str(self.picture))
        deadline = time.monotonic() + WAIT / 1000
        # The example that was there before bears no mark.
        while (found := mark(await self.pixels("#result .before img"))) is None and time.monotonic() < deadline:
            await asyncio.sleep(0.5)
        if found is None:
            raise ValueError("the upload was not shown")
        self.book.look(self.number, "source", await self.pixels("#result .before img"))

    async def drag(self) -> None:
        slider = self.page.locator("#position input[type=range]").first
        for _ in range(10):
            await slider.fill(f"{random.randrange(101) / 100}")
            await asyncio.sleep(0.1)
        await self.page.get_by_role("button", name=f"Next style {random.choice('AB')}").click()
        await asyncio.sleep(2)
        self.book.look(self.number, "drag", await self.pixels("#result .before img"))

    async def switch(self) -> None:
        """To the other model and back."""
        for name in (SECOND, zoo.DEFAULT):
            await self.page.get_by_label("Model").first.click()
            await self.page.get_by_role("option", name=name).first.click()
            await asyncio.sleep(2)
            self.book.look(self.number, "switch", await self.pixels("#result .before img"))

    async def movie(self) -> None:
        if not await self.page.locator("#make-video").is_visible():
            await self.page.get_by_role("button", name="The way from A to B").click()
        address = await self.made("#make-video", "#movie video")
        frame = await self.frame(address)
        self.book.look(self.number, "video", frame[:, : frame.shape[1] // 2])

    async def grid(self) -> None:
        await self.tab("Grid")
        await self.page.locator("#make-grid").click()
        await self.page.get_by_text("1 of 1 sources").wait_for(timeout=WAIT)
        sheet = await self.pixels("#grid-result img")
        side = len(sheet) // 2
        self.book.look(self.number, "grid", sheet[side:, :side])
        await self.tab("Translate")

    async def clip(self, leaves: bool = False) -> None:
        await self.tab("Clip")
        if not await self.page.locator("#clip-source").get_by_text("clip").nth(1).is_visible():
            await self.page.locator("#clip-source input[type=file]").set_input_files(str(self.folder / f"clip-{self.number}.mp4"))
            await self.page.locator("#clip-source .file-preview").wait_for(timeout=WAIT)
        if leaves:
            await self.page.locator("#make-clip").click()
            await asyncio.sleep(random.uniform(0, 3))
            return
        self.book.look(self.number, "clip", await self.frame(await self.made("#make-clip", "#clip-made video"), last=True))
        await self.tab("Translate")

    async def made(self, button: str, box: str) -> str:
        """The address of the video that a button brings."""
        shown = self.page.locator(box)
        before = await shown.first.get_attribute("src") if await shown.count() else None
        await self.page.locator(button).click()
        await self.page.wait_for_function(
            "([box, before]) => { const v = document.querySelector(box); return v && v.src && v.src !== before }",
            arg=[box, before],
            timeout=WAIT,
        )
        return str(await shown.first.get_attribute("src"))

    async def live(self) -> None:
        """Frames as the Live tab's script sends them, each with the number in it."""
        config = await (await self.page.request.get(f"{self.url}/config", max_retries=RETRIES)).json()
        camera = next(part["id"] for part in config["components"] if part["props"].get("elem_id") == "live")
        a, b = (styles.from_seed(self.model, self.model.config.domains[0], seed).tolist() for seed in (1, 2))
        content = io.BytesIO()
        Image.open(self.picture).save(content, "JPEG", quality=90)
        frame = f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
        told = {"visitor": f"{self.number}", "model": zoo.DEFAULT, "a": a, "b": b, "x": 0.5, "picture": frame, "whole": True}
        body = {"data": told, "component_id": camera, "fn_name": "live_frame", "session_hash": f"soak{self.number}"}
        address = f"{self.url}/gradio_api/component_server"
        for _ in range(8):
            answer = await self.page.request.post(address, data=body, timeout=WAIT, max_retries=RETRIES)
            said = await answer.json()
            if said.get("ended"):
                return  # there are enough cameras
            if not said.get("picture"):
                raise ValueError(f"no frame came back: {said}")
            picture = Image.open(io.BytesIO(base64.b64decode(said["picture"].partition(",")[2])))
            self.book.look(self.number, "live", np.asarray(picture.convert("RGB"), np.float32))

    async def zip(self) -> None:
        async with self.page.expect_download(timeout=WAIT) as download:
            await self.page.locator("#download-all").click()
        await (await download.value).delete()

    async def tab(self, name: str) -> None:
        await self.page.get_by_role("tab", name=name).first.click()

    async def leave(self) -> None:
        """In the middle of something."""
        if random.random() < 0.5:
            await self.clip(leaves=True)
        else:
            await self.page.locator("#position input[type=range]").first.fill(f"{random.random():.2f}")


async def visits(browser: Browser, url: str, number: int, folder: Path, model: Model, book: Book, stop: asyncio.Event) -> None:
    """Comes, does some of what can be done, leaves, and comes back, until `stop`."""
    while not stop.is_set():
        context = await browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
        visitor = Visitor(url, number, folder, model, book, await context.new_page())
        visitor.page.set_default_timeout(WAIT)
        doing: list[Callable[[], Awaitable[None]]] = [visitor.drag, visitor.switch, visitor.movie, visitor.grid, visitor.clip]
        doing += [visitor.live, visitor.zip, visitor.drag]
        random.shuffle(doing)
        for act in [visitor.come, *doing[: random.randrange(2, 6)], visitor.leave]:
            if stop.is_set():
                break
            try:
                await act()
                book.done[act.__name__] += 1
            except (Error, ValueError, OSError) as error:
                if not stop.is_set():
                    book.faults.append(f"visitor {number}, {act.__name__}: {' '.join(str(error).split())[:200]}")
                    print(book.faults[-1], file=sys.stderr, flush=True)
                break
            await asyncio.sleep(random.uniform(0, 2))
        await context.close()


async def watch(gauge: Gauge, book: Book, stop: asyncio.Event) -> None:
    while not stop.is_set():
        now = gauge.sample()
        print(
            f"{now['minute']:5.1f} min, {now['memory']:6.0f} MB, {now['threads']:3.0f} threads, {now['handles']:3.0f} handles, "
            f"{now['files']:4.0f} files of {now['kept']:5.1f} MB, {sum(book.done.values())} done, {len(book.faults)} faults",
            file=sys.stderr, flush=True,
        )  # fmt: skip
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(stop.wait(), EVERY)


async def soak(url: str, gauge: Gauge, folder: Path, model: Model, book: Book, visitors: int, minutes: float) -> float:
    """All visits. Returns the seconds of processor time that the page still worked after all had left."""
    stop = asyncio.Event()
    async with async_playwright() as playwright:
        chromium = playwright.chromium
        system = None if Path(chromium.executable_path).exists() else shutil.which("chromium") or shutil.which("google-chrome")
        browser = await chromium.launch(executable_path=system, args=FLAGS)
        tasks = [asyncio.create_task(visits(browser, url, i, folder, model, book, stop)) for i in range(visitors)]
        watching = asyncio.create_task(watch(gauge, book, stop))
        await asyncio.sleep(60 * minutes)
        stop.set()
        await watching
        gauge.sample()
        await browser.close()  # all leave at once, in the middle of what they do
        left = gauge.busy()
        await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(10)
    return gauge.busy() - left


def prepared(folder: Path, visitors: int, model: Model) -> None:
    """A picture and a clip of each visitor, and a second model."""
    examples = sorted((places.weights() / zoo.DEFAULT / "examples").glob("*.jpg"))
    for number in range(visitors):
        picture = marked(images.read(examples[number % len(examples)]), number)
        picture.save(folder / f"{number}.png")
        video.write(folder / f"clip-{number}.mp4", [picture] * CLIP, 10)
    config = ModelConfig(image_size=128, domains=model.config.domains, w_hpf=0, base_channels=8, max_channels=16, hidden_dim=16)
    (places.runs() / SECOND).mkdir(parents=True)
    checkpoint.save(build(config, name=SECOND), places.runs() / SECOND / "model.safetensors")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--keep", type=float, default=10, help="minutes for which the page keeps files (default: %(default)g)")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for the curve and the samples (default: here)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random.seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    model, book = zoo.load(zoo.DEFAULT), Book(options.out)
    try:
        with tempfile.TemporaryDirectory() as work:
            folder = Path(work)
            prepared(folder, options.visitors, model)
            flags = ("--no-compile", "--keep", str(options.keep), "--max-queue", "200")
            with served(folder, *flags, GRADIO_TEMP_DIR=str(folder / "kept")) as (url, process):
                gauge = Gauge(process, folder / "kept")
                still = asyncio.run(soak(url, gauge, folder, model, book, options.visitors, options.minutes))
                deadline = time.monotonic() + 60 * options.keep * 1.5
                while gauge.files() and time.monotonic() < deadline:
                    time.sleep(EVERY)
                    gauge.sample()
                after, left = gauge.sample(), len(gauge.files())
                urllib.request.urlopen(url, timeout=60).close()  # it still answers
            log = (folder / "log").read_text()
    finally:
        shutil.rmtree(places.runs() / SECOND, ignore_errors=True)
    return report(options, gauge, book, after, left, still, log)


def report(
    options: argparse.Namespace, gauge: Gauge, book: Book, after: dict[str, float], left: int, still: float, log: str
) -> int:  # fmt: skip
    gauge.draw(options.out / "soak.png")
    (options.out / "soak.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in gauge.samples))
    begin, end = min(WARM, options.minutes / 2), options.minutes - 0.5
    print(f"{options.visitors} visitors for {options.minutes:g} minutes: {dict(book.done.most_common())}")
    print(f"{book.seen} pictures looked at, {len(book.mixed)} with another mark than their visitor's; {len(book.faults)} faults")
    grown = {name: gauge.around(name, end) - gauge.around(name, begin) for name in ("memory", "threads", "handles")}
    for name, more in grown.items():
        print(
            f"{name}: {gauge.around(name, begin):.0f} at minute {begin:g}, {gauge.around(name, end):.0f} at the end ({more:+.0f})"
        )
    most = {name: max(one[name] for one in gauge.samples) for name in ("files", "kept")}
    print(f"files: {most['files']:.0f} of {most['kept']:.0f} MB at most")
    print(f"after all had left: {still:.1f} s of work")
    print(f"in the end: {left} files, {after['threads']:.0f} threads, {after['handles']:.0f} handles")
    for line in [*book.mixed, *book.faults]:
        print(line)
    traces = log.count("Traceback")
    if traces:
        print(f"{traces} tracebacks in the page's log, the last: {log[log.rindex('Traceback') :][-800:]}")
    return 1 if book.mixed or book.faults or left or traces or grown["memory"] > 50 else 0


if __name__ == "__main__":
    sys.exit(main())

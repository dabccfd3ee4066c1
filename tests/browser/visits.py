"""What a visitor of soak.py does on the page, and what is noted of it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import random
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from marks import mark
from PIL import Image
from playwright.async_api import Browser, Error, Page, TimeoutError
from served import ASKED, watch

from stargan import styles, zoo
from stargan.model import Model

WAIT = 600_000  # ms: with many visitors the queue is long
LONGEST = 8.0  # minutes that something may take: who has been there so long that the upload would go meanwhile uploads it again
RETRIES = 2  # as browsers do where a connection that was kept open has just been closed
# Twenty tabs that redraw 60 times a second, as they do while something moves, would leave the server, on the same cores, none.
CALM = """
window.requestAnimationFrame = draw => setTimeout(() => draw(performance.now()), 250)
window.cancelAnimationFrame = clearTimeout
addEventListener('DOMContentLoaded', () => {
  const style = document.createElement('style')
  style.textContent = '*, *::before, *::after { animation: none !important; transition: none !important }'
  document.head.append(style)
})
"""


@dataclass
class Book:
    """What was done, what was seen, and what went wrong; pictures of another mark are written to `out`."""

    out: Path
    took: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # seconds, of what was done
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


@dataclass(frozen=True)
class Site:
    """What all visitors share. url: of the page; folder: with a picture and a clip of each; model: the page's first one; second:
    the name of another; keep: minutes after which the page deletes what was uploaded."""

    url: str
    folder: Path
    model: Model
    second: str
    keep: float
    book: Book


@dataclass
class Visitor:
    """One of the visitors, in a tab."""

    site: Site
    number: int
    page: Page
    brought: float = 0.0  # when the picture was uploaded

    @property
    def picture(self) -> Path:
        return self.site.folder / f"{self.number}.png"

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
        await self.page.goto(self.site.url, timeout=WAIT)
        await self.page.locator("#result .after img").wait_for(timeout=WAIT)
        await self.page.get_by_label("Align the face").uncheck()
        await self.bring()
        deadline = time.monotonic() + WAIT / 1000
        # The example that was there before bears no mark.
        while (found := mark(await self.pixels("#result .before img"))) is None and time.monotonic() < deadline:
            await asyncio.sleep(0.5)
        if found is None:
            raise ValueError("the upload was not shown")
        self.site.book.look(self.number, "source", await self.pixels("#result .before img"))

    async def bring(self) -> None:
        await self.page.locator("#source input[type=file]").first.set_input_files(str(self.picture))
        self.brought = time.monotonic()

    async def drag(self) -> None:
        slider = self.page.locator("#position input[type=range]").first
        for _ in range(10):
            await slider.fill(f"{random.randrange(101) / 100}")
            await asyncio.sleep(0.1)
        await self.page.get_by_role("button", name=f"Next style {random.choice('AB')}").click()
        await asyncio.sleep(2)
        self.site.book.look(self.number, "drag", await self.pixels("#result .before img"))

    async def switch(self) -> None:
        """To the other model and back."""
        for name in (self.site.second, zoo.DEFAULT):
            await self.page.get_by_label("Model").first.click()
            await self.page.get_by_role("option", name=name).first.click()
            await asyncio.sleep(2)
            self.site.book.look(self.number, "switch", await self.pixels("#result .before img"))

    async def movie(self) -> None:
        if not await self.page.locator("#make-video").is_visible():
            await self.page.get_by_role("button", name="The way from A to B").click()
        address = await self.made("#make-video", "#movie video")
        frame = await self.frame(address)
        self.site.book.look(self.number, "video", frame[:, : frame.shape[1] // 2])

    async def grid(self) -> None:
        await self.tab("Grid")
        await self.page.locator("#make-grid").click()
        await self.page.get_by_text("1 of 1 sources").wait_for(timeout=WAIT)
        sheet = await self.pixels("#grid-result img")
        side = len(sheet) // 2
        self.site.book.look(self.number, "grid", sheet[side:, :side])
        await self.tab("Translate")

    async def clip(self, leaves: bool = False) -> None:
        await self.tab("Clip")
        if not await self.page.locator("#clip-source").get_by_text("clip").nth(1).is_visible():
            clip = self.site.folder / f"clip-{self.number}.mp4"
            await self.page.locator("#clip-source input[type=file]").set_input_files(str(clip))
            await self.page.locator("#clip-source .file-preview").wait_for(timeout=WAIT)
        if leaves:
            await self.page.locator("#make-clip").click()
            await asyncio.sleep(random.uniform(0, 3))
            return
        self.site.book.look(self.number, "clip", await self.frame(await self.made("#make-clip", "#clip-made video"), last=True))
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
        config = await (await self.page.request.get(f"{self.site.url}/config", max_retries=RETRIES)).json()
        camera = next(part["id"] for part in config["components"] if part["props"].get("elem_id") == "live")
        a, b = (styles.from_seed(self.site.model, self.site.model.config.domains[0], seed).tolist() for seed in (1, 2))
        content = io.BytesIO()
        Image.open(self.picture).save(content, "JPEG", quality=90)
        frame = f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
        told = {"visitor": f"{self.number}", "model": zoo.DEFAULT, "a": a, "b": b, "x": 0.5, "picture": frame, "whole": True}
        body = {"data": told, "component_id": camera, "fn_name": "live_frame", "session_hash": f"soak{self.number}"}
        address = f"{self.site.url}/gradio_api/component_server"
        for _ in range(8):
            answer = await self.page.request.post(address, data=body, timeout=WAIT, max_retries=RETRIES)
            said = await answer.json()
            if said.get("ended"):
                return  # there are enough cameras
            if not said.get("picture"):
                raise ValueError(f"no frame came back: {said}")
            picture = Image.open(io.BytesIO(base64.b64decode(said["picture"].partition(",")[2])))
            self.site.book.look(self.number, "live", np.asarray(picture.convert("RGB"), np.float32))

    async def zip(self) -> None:
        # Before the first result there is nothing in it, and the page says so.
        deadline = time.monotonic() + WAIT / 1000
        while time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                async with self.page.expect_download(timeout=30_000) as download:
                    await self.page.locator("#download-all").click()
                await (await download.value).delete()
                return
        raise ValueError("no download came")

    async def tab(self, name: str) -> None:
        await self.page.get_by_role("tab", name=name).first.click()

    async def leave(self) -> None:
        """In the middle of something."""
        if random.random() < 0.5:
            await self.clip(leaves=True)
        else:
            await self.page.locator("#position input[type=range]").first.fill(f"{random.random():.2f}")


async def visits(browser: Browser, site: Site, number: int, stop: asyncio.Event) -> None:
    """Comes, does some of what can be done, leaves, and comes back, until `stop`: every other time as somebody new."""
    context = await browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    await context.add_init_script(CALM)
    while not stop.is_set():
        visitor = Visitor(site, number, await context.new_page())
        visitor.page.set_default_timeout(WAIT)
        watch(visitor.page)
        doing: list[Callable[[], Awaitable[None]]] = [visitor.drag, visitor.switch, visitor.movie, visitor.grid, visitor.clip]
        doing += [visitor.live, visitor.zip, visitor.drag]
        random.shuffle(doing)
        for act in [visitor.come, *doing[: random.randrange(2, 6)], visitor.leave]:
            if stop.is_set():
                break
            start = time.monotonic()
            try:
                if visitor.brought and start - visitor.brought > 60 * (site.keep - LONGEST):
                    await visitor.bring()
                await act()
                site.book.took[act.__name__].append(time.monotonic() - start)
            except (Error, ValueError, OSError) as error:
                if not stop.is_set():
                    which = f"visitor {number}, {act.__name__} after {time.monotonic() - start:.0f} s"
                    shown = await seen(visitor.page, site.book.out / f"fault-{len(site.book.faults)}.png")
                    site.book.faults.append(f"{which}: {' '.join(str(error).split())[:200]}; {shown}")
                    print(site.book.faults[-1], file=sys.stderr, flush=True)
                break
            await asyncio.sleep(random.uniform(0, 2))
        await visitor.page.close()
        if random.random() < 0.5:
            await context.clear_cookies()


async def seen(page: Page, target: Path) -> str:
    """What a page in which something failed shows, as a picture and in words, and what it waits for."""
    try:
        await page.screenshot(path=target, timeout=60_000)
        told = " / ".join(await page.locator("#status, .toast-body").all_inner_texts()).split()
        waiting = [request.url.rpartition("/gradio_api/")[2] for request in ASKED[page].pending]
        return f"it says {' '.join(told)!r} and waits for {waiting}"
    except Error as error:
        return str(error)

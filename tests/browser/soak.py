"""Visitors for half an hour: PYTHONPATH=. python tests/browser/soak.py [--visitors 20] [--minutes 30] [--out FOLDER]

Starts the page; each visitor, a tab of its own in a Chromium, uploads a picture that bears its number, drags the slider, switches
models, makes videos, grids and clips, sends frames of a camera, leaves in the middle and comes back. Every picture that comes back
is looked at for the number. Prints how the server's memory, threads, handles and files went, whether any picture reached another
visitor, and what was left after all had gone; writes the curve to FOLDER/soak.png and the samples to FOLDER/soak.jsonl.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np
from gauge import Gauge
from marks import marked
from playwright.async_api import async_playwright
from served import launched, served
from visits import Book, Site, visits

from stargan import zoo
from stargan.files import checkpoint, places
from stargan.media import images, video
from stargan.model import Model, build
from stargan.networks import ModelConfig

EVERY = 5.0  # seconds between samples
WARM = 5.0  # minutes after which memory may not grow any more
SECOND = f"soak-{os.getpid()}"  # a small model to switch to
CLIP = 20  # frames


async def measure(gauge: Gauge, book: Book, stop: asyncio.Event) -> None:
    while not stop.is_set():
        now, done = gauge.sample(), sum(map(len, book.took.values()))
        print(
            f"{now['minute']:5.1f} min, {now['memory']:6.0f} MB, {now['threads']:3.0f} threads, {now['handles']:3.0f} handles, "
            f"{now['files']:4.0f} files of {now['kept']:5.1f} MB, {done} done, {len(book.faults)} faults",
            file=sys.stderr, flush=True,
        )  # fmt: skip
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(stop.wait(), EVERY)


async def soak(site: Site, gauge: Gauge, visitors: int, minutes: float) -> float:
    """All visits. Returns the seconds of processor time that the page still worked after all had left."""
    stop = asyncio.Event()
    async with async_playwright() as playwright:
        browser = await launched(playwright.chromium)
        tasks = [asyncio.create_task(visits(browser, site, i, stop)) for i in range(visitors)]
        watching = asyncio.create_task(measure(gauge, site.book, stop))
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
    parser.add_argument("--keep", type=float, default=12, help="minutes for which the page keeps files (default: %(default)g)")
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
                site = Site(url, folder, model, SECOND, options.keep, book)
                still = asyncio.run(soak(site, gauge, options.visitors, options.minutes))
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
    print(f"{options.visitors} visitors for {options.minutes:g} minutes; what they did, seconds in the median and at most:")
    for name, took in sorted(book.took.items()):
        print(f"  {name}: {len(took)} times, {np.median(took):.0f} and {max(took):.0f}")
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

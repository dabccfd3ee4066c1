"""Many visitors at once: PYTHONPATH=. python tests/browser/load.py [--clients 1 5 20 50] [--calls 10]

Starts the page; each client calls /translate with sources and seeds of its own, while the camera of one more visitor runs; what
came back is compared with what the model makes of them. Prints a table: how many calls a second, how long they took and waited, how
many were lost or mixed up, how many frames the camera had back, and the server's memory.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from gradio_client import handle_file
from PIL import Image
from served import program, served

from stargan import styles, zoo
from stargan.files import places
from stargan.media import images
from stargan.model import Model
from stargan.translate import Translator
from tests.processes import Process


def memory(process: Process) -> float:
    """GiB that a process holds now."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 2**20
    raise ValueError("this system does not say how much memory a process holds")


def camera(url: str, model: Model, picture: bytes, stop: threading.Event, answers: list[str]) -> None:
    """Sends frames as the Live tab does, one after the other, until `stop`; what came back is in `answers`."""
    with urllib.request.urlopen(f"{url}/config") as reply:
        found = [part["id"] for part in json.load(reply)["components"] if part["props"].get("elem_id") == "live"]
    a, b = (styles.from_seed(model, model.config.domains[0], seed).tolist() for seed in (1, 2))
    address = f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
    told = {"visitor": "load", "model": model.name, "a": a, "b": b, "x": 0.5, "picture": address}
    body = {"data": told, "component_id": found[0], "fn_name": "live_frame", "session_hash": "load"}
    while not stop.is_set():
        request = urllib.request.Request(
            f"{url}/gradio_api/component_server", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                answer = json.load(reply)
            answers.append("" if answer.get("picture") else str(answer))
        except OSError as error:
            answers.append(str(error))


@dataclass
class Visits:
    """What became of the calls of so many clients. seconds: each call's; made: client, domain, seed and picture of each."""

    clients: int
    seconds: list[float] = field(default_factory=list)
    made: list[tuple[int, str, int, bytes]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    frames: list[str] = field(default_factory=list)  # of the camera: what was wrong with each
    whole: float = 0.0
    memory: float = 0.0  # GiB, afterwards

    @property
    def faults(self) -> list[str]:
        return [*self.lost, *self.mixed, *filter(None, self.frames)]

    def row(self) -> str:
        waited = sorted(self.seconds) or [0.0]
        cells = [
            str(self.clients), str(len(self.made)), f"{len(self.made) / self.whole:.1f}", f"{statistics.median(waited):.2f} s",
            f"{waited[-1]:.2f} s", str(len(self.lost)), str(len(self.mixed)), str(len(self.frames)), f"{self.memory:.2f} GiB",
        ]  # fmt: skip
        return f"| {' | '.join(cells)} |"


HEAD = """| visitors | calls | a second | waited, median | at most | lost | mixed up | frames of a camera meanwhile | memory |
| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"""


def visited(url: str, folder: Path, domains: tuple[str, ...], clients: int, calls: int) -> Visits:
    """So many clients at once, each with so many calls, one after the other."""
    visits, lock = Visits(clients), threading.Lock()

    def visit(i: int) -> None:
        path = folder / f"{i}.png"
        client = program(url)
        for call in range(calls):
            domain, seed = domains[(i + call) % len(domains)], 100 * i + call
            start = time.perf_counter()
            try:
                (_, after), *_ = client.predict(
                    source=handle_file(str(path)), domain=domain, style_from="seed", seed=seed, psi=1.0, reference=None,
                    masks=True, aligned=False, api_name="/translate",
                )  # fmt: skip
                took, content = time.perf_counter() - start, Path(after).read_bytes()
            except Exception as error:
                with lock:
                    visits.lost.append(f"client {i}, call {call}: {error}")
                continue
            with lock:
                visits.seconds.append(took)
                visits.made.append((i, domain, seed, content))

    start = time.perf_counter()
    threads = [threading.Thread(target=visit, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    visits.whole = time.perf_counter() - start
    return visits


def check(visits: Visits, translator: Translator, folder: Path) -> None:
    """Whether each picture is the one that was asked for."""
    encoded = {i: translator.encode(images.read(folder / f"{i}.png")) for i in range(visits.clients)}
    for i, domain, seed, content in visits.made:
        wanted = images.to_pil(translator.decode(encoded[i], styles.from_seed(translator.model, domain, seed)))
        found = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), np.float32)
        # Another style or face is further off than bf16 rounding with another number of threads.
        if np.abs(found - np.asarray(wanted, np.float32)).mean() > 1:
            visits.mixed.append(f"client {i}, {domain}, seed {seed}: another picture")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 5, 20, 50], help="at once, by turns (default: 1 5 20 50)")
    parser.add_argument("--calls", type=int, default=10, help="of each client (default: %(default)s)")
    options = parser.parse_args()
    model = zoo.load(zoo.DEFAULT)
    translator = Translator(model)
    domains = tuple(model.config.domains)
    found: list[Visits] = []
    with tempfile.TemporaryDirectory() as work, served(Path(work), "--no-compile") as (url, process):
        folder = Path(work)
        examples = sorted((places.weights() / zoo.DEFAULT / "examples").glob("*.jpg"))
        for i in range(max(options.clients)):
            source = images.centre_crop(images.read(examples[i % len(examples)]), model.config.image_size)
            made = translator.decode(translator.encode(source), styles.from_seed(model, domains[i % len(domains)], 10_000 + i))
            images.to_pil(made).save(folder / f"{i}.png")
        visited(url, folder, domains, 1, 2)  # what is loaded once is loaded
        before = memory(process)
        jpeg = io.BytesIO()
        images.read(examples[0]).resize((320, 320)).save(jpeg, "JPEG")
        for clients in options.clients:
            stop, frames = threading.Event(), []
            live = threading.Thread(target=camera, args=(url, model, jpeg.getvalue(), stop, frames))
            live.start()
            visits = visited(url, folder, domains, clients, options.calls)
            stop.set()
            live.join()
            visits.frames, visits.memory = frames, memory(process)
            found.append(visits)
        for visits in found:
            check(visits, translator, folder)
    print(f"`{model.name}`, server's memory {before:.2f} GiB before\n\n{HEAD}")
    for visits in found:
        print(visits.row())
    faults = [fault for visits in found for fault in visits.faults]
    print(*faults, sep="\n")
    return 1 if faults or not all(visits.frames for visits in found) else 0


if __name__ == "__main__":
    sys.exit(main())

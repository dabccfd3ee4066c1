"""Many visitors at once: PYTHONPATH=. python tests/browser/load.py [--clients 20] [--calls 10]

Starts the page; each client calls /translate with sources and seeds of its own, and compares what comes back with what the model
makes of them, while the camera of one more visitor runs. Prints how many calls were lost or mixed up, how long they took and
waited, how many of the camera's frames came back, and the server's memory before and after.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
from gradio_client import Client, handle_file
from PIL import Image
from served import served

from stargan import styles, zoo
from stargan.files import places
from stargan.media import images
from stargan.model import Model
from stargan.translate import Translator


def memory(process: subprocess.Popen[bytes]) -> float:
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--calls", type=int, default=10, help="of each client (default: %(default)s)")
    options = parser.parse_args()
    model = zoo.load(zoo.DEFAULT)
    translator = Translator(model)
    domains = model.config.domains
    lost: list[str] = []
    mixed: list[str] = []
    seconds: list[float] = []
    lock = threading.Lock()
    with tempfile.TemporaryDirectory() as work, served(Path(work), "--no-compile") as (url, process):
        folder = Path(work)
        examples = sorted((places.weights() / zoo.DEFAULT / "examples").glob("*.jpg"))
        for i in range(options.clients):
            source = images.centre_crop(images.read(examples[i % len(examples)]), model.config.image_size)
            made = translator.decode(translator.encode(source), styles.from_seed(model, domains[i % len(domains)], 10_000 + i))
            images.to_pil(made).save(folder / f"{i}.png")

        def visit(i: int) -> None:
            path = folder / f"{i}.png"
            encoded = translator.encode(images.read(path))
            client = Client(url, verbose=False)
            for call in range(options.calls):
                domain, seed = domains[(i + call) % len(domains)], 100 * i + call
                start = time.perf_counter()
                try:
                    (_, after), *_ = client.predict(
                        source=handle_file(str(path)), domain=domain, style_from="seed", seed=seed, psi=1.0, reference=None,
                        masks=True, aligned=False, api_name="/translate",
                    )  # fmt: skip
                    took = time.perf_counter() - start
                    content = Path(after).read_bytes()
                except Exception as error:
                    with lock:
                        lost.append(f"client {i}, call {call}: {error}")
                    continue
                wanted = images.to_pil(translator.decode(encoded, styles.from_seed(model, domain, seed)))
                found = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), np.float32)
                with lock:
                    seconds.append(took)
                    # Another style or face is further off than bf16 rounding with another number of threads.
                    if np.abs(found - np.asarray(wanted, np.float32)).mean() > 1:
                        mixed.append(f"client {i}, call {call}")

        visit(0)  # what is loaded once is loaded
        seconds.clear()
        before = memory(process)
        start = time.perf_counter()
        stop = threading.Event()
        answers: list[str] = []
        jpeg = io.BytesIO()
        images.read(examples[0]).resize((320, 320)).save(jpeg, "JPEG")
        live = threading.Thread(target=camera, args=(url, model, jpeg.getvalue(), stop, answers))
        live.start()
        threads = [threading.Thread(target=visit, args=(i,)) for i in range(options.clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stop.set()
        live.join()
        whole, after = time.perf_counter() - start, memory(process)
    seconds.sort()
    print(f"{options.clients} clients, {options.clients * options.calls} calls in {whole:.1f} s")
    print(f"{len(lost)} lost, {len(mixed)} mixed up")
    print(f"waited {statistics.median(seconds):.2f} s in the median, {seconds[-1]:.2f} s at most")
    faults = [answer for answer in answers if answer]
    print(f"{len(answers)} frames of a camera meanwhile, {len(faults)} of them without a picture {set(faults) or ''}")
    print(f"server's memory: {before:.2f} GiB before, {after:.2f} GiB after")
    for line in [*lost, *mixed]:
        print(line)
    return 1 if lost or mixed or faults or not answers else 0


if __name__ == "__main__":
    sys.exit(main())

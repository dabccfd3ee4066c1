"""The commands that are tried, what they are given, and what they come to."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml

from stargan import zoo
from stargan.files import checkpoint, places
from stargan.media import images, video
from stargan.model import build
from stargan.networks import ModelConfig
from tests.material import LocalServer, portrait

TRAIN, STARGAN = ("-m", "train"), ("-m", "stargan")
SIDE = 64
FILE = b"".join(hashlib.sha256(bytes([i % 256, i // 256])).digest() for i in range(2**16))  # 2 MB to download
# Neither of these is a result: times, events with times, decoded pictures, locks.
PASSING = re.compile(r"(^|/)(cache|tensorboard)/|(^|/)(pid|output\.txt|\.lock|config\.json|[^/]*\.lock)$")

DOWNLOAD = """
import sys
from stargan.files.download import download
try:
    download(*sys.argv[1:])
except ValueError as error:
    sys.exit(str(error))
"""
# As the page's Train tab does it: started, watched, and continued where there is something to continue.
PAGE = """
import json, sys, time
from pathlib import Path
from train.run.runner import Runner
runs, data, settings = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
runner = Runner(runs, data)
while runner.busy():
    time.sleep(0.2)
try:
    if "page" not in runner.names():
        runner.start(runner.settings("page", data, **settings))
    elif runner.progress("page").state != "done":
        runner.resume("page", settings["iterations"])
except ValueError as error:
    sys.exit(str(error))
while runner.busy():
    time.sleep(0.2)
now = runner.progress("page")
if now.state != "done":
    sys.exit(f"training is {now.state}: {now.message}")
"""


@dataclass(frozen=True)
class Command:
    """Arguments of Python in which {out} stands for the folder that it writes to; it writes nowhere else."""

    name: str
    line: tuple[str, ...]

    def at(self, out: Path) -> list[str]:
        return [part.replace("{out}", str(out)) for part in self.line]


class Material:
    """Pictures, a model, a FAN and a file server, made once in a folder."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder
        torch.manual_seed(0)
        names = [f"{split}/{domain}/{i}" for split in ("train", "val") for domain in ("cold", "warm") for i in range(4)]
        for i, name in enumerate(names):
            for root in ("data", "unsorted"):
                # Unsorted: a folder a domain, as people have them.
                path = folder / root / (name if root == "data" else re.sub("(train|val)/(.*)/", r"\2/\1-", name))
                path.parent.mkdir(parents=True, exist_ok=True)
                portrait(i).save(path.with_suffix(".png"))
        points = np.random.default_rng(0).uniform(8, 88, (len(names), 68, 2)).astype(np.float16)
        np.savez(folder / "data" / "landmarks.npz", files=np.array(names), points=points)
        config = ModelConfig(image_size=SIDE, domains=("cold", "warm"), w_hpf=0, base_channels=4, max_channels=8, hidden_dim=16)
        self.model = folder / "small.safetensors"
        checkpoint.save(build(config, name="small"), self.model)
        shape = {"image_size": SIDE, "base_channels": 4, "max_channels": 8, "w_hpf": 0.0, "precision": "fp32", "batch": 4}
        often = {"iterations": 6, "save_every": 2, "sample_every": 3, "log_every": 1}
        self.settings = {**shape, **often, "init_from": ""}
        run = {"name": "run", "domains": ["cold", "warm"], "data": str(folder / "data"), **shape, **often}
        (folder / "run.yaml").write_text(yaml.safe_dump(run))
        # A face has to be found in it.
        faces = [images.read(next((places.weights() / zoo.DEFAULT / "examples").glob("*.jpg")))]
        video.write(folder / "clip.mp4", faces * 8, 8)
        self.address = address

    def commands(self) -> list[Command]:
        data, model = str(self.folder / "data"), str(self.model)
        prepare = ("prepare", "folder", "--from", str(self.folder / "unsorted"), "--to", "{out}", "--size", "64")
        translate = ("translate", data, "--model", model, "--domain", "warm", "--seed", "1", "2", "--no-align", "--no-masks")
        match = ("match", "--model", model, "--data", data, "--steps", "3", "--cache", "{out}/cache")
        video = ("video", f"{data}/train/cold/0.png", "--model", model, "--styles", "cold:1", "warm:2", "--no-align")
        clip = ("video", "--from", str(self.folder / "clip.mp4"), "--model", model, "--styles", "cold:1", "warm:2")
        return [
            Command("fit", (*TRAIN, "fit", "--config", str(self.folder / "run.yaml"), "--set", "runs={out}")),
            Command("prepare", (*TRAIN, *prepare)),
            Command("translate", (*STARGAN, *translate, "--grid", "-o", "{out}")),
            Command("workers", (*STARGAN, *translate, "--workers", "2", "-o", "{out}")),
            Command("match", (*TRAIN, *match, "--out", "{out}/matched.safetensors")),
            Command("fan", ("-c", FAN_RUN, data, "{out}")),
            Command("export", (*STARGAN, "export", model, "--onnx", "{out}")),
            Command("video", (*STARGAN, *video, "-o", "{out}/video.mp4")),
            Command("clip", (*STARGAN, *clip, "-o", "{out}/clip.mp4")),
            Command("page", ("-c", PAGE, "{out}", data, json.dumps(self.settings))),
            Command("download", ("-c", DOWNLOAD, self.address, "{out}/file", hashlib.sha256(FILE).hexdigest())),
        ]


# The bundled network's own shape takes minutes.
FAN_RUN = """
import dataclasses, sys
from pathlib import Path
from train import fan
fan.NETWORK = dataclasses.replace(fan.NETWORK, width=16, input_size=64, depth=2)
fan.KEEP_EVERY = 2
try:
    fan.fit(fan.FANTraining((Path(sys.argv[1]),), Path(sys.argv[2]) / "fan.safetensors", steps=6, batch=4))
except (ValueError, OSError) as error:
    sys.exit(str(error))
"""


def result(out: Path) -> dict[str, str]:
    """What a command has come to: the digests of its files, of logs without their times."""
    found = {}
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        name = path.relative_to(out).as_posix()
        if PASSING.search(name):
            continue
        content = path.read_bytes()
        if path.suffix == ".jsonl":
            lines = [json.loads(line) for line in content.splitlines()]
            content = json.dumps([{k: v for k, v in line.items() if k != "seconds"} for line in lines]).encode()
        elif path.suffix == ".safetensors":
            # The order of the metadata in the header is another one in every process.
            size = 8 + int.from_bytes(content[:8], "little")
            content = json.dumps(json.loads(content[8:size]), sort_keys=True).encode() + content[size:]
        found[name] = hashlib.sha256(content).hexdigest()
    return found


def litter(out: Path) -> list[str]:
    """Half-written files that are left."""
    return sorted(p.relative_to(out).as_posix() for p in out.rglob("*.part"))


class _Files(http.server.BaseHTTPRequestHandler):
    """Serves FILE in small pieces, from where it is asked to."""

    def do_GET(self) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted else 0
        if start >= len(FILE):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(FILE)}")
            self.end_headers()
            return
        self.send_response(206 if wanted else 200)
        self.send_header("ETag", '"one"')
        self.send_header("Content-Length", str(len(FILE) - start))
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(FILE) - 1}/{len(FILE)}")
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            for at in range(start, len(FILE), 2**16):
                self.wfile.write(FILE[at : at + 2**16])


@contextlib.contextmanager
def material(folder: Path) -> Iterator[Material]:
    server = LocalServer(_Files)
    try:
        yield Material(folder, f"{server.url}/file")
    finally:
        server.close()

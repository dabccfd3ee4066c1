"""What tests are made of: golden weights, a tiny network, generated portraits."""

from __future__ import annotations

import http.server
import itertools
import sys
import threading
from pathlib import Path

import torch
from PIL import Image

from stargan.fan import FANConfig

GOLDEN = Path(__file__).parent / "golden"
sys.path.insert(0, str(GOLDEN))

import recipe  # noqa: E402

TINY_FAN = FANConfig(landmarks=68, width=16, input_size=64, depth=2, boundary=False)

# Of the smallest runs that tests make, on `picture_folder`.
TINY_RUN = {
    "name": "tiny",
    "domains": ["cold", "warm"],
    "image_size": 64,
    "base_channels": 4,
    "max_channels": 8,
    "w_hpf": 0.0,
    "precision": "fp32",
}


def fill(net: torch.nn.Module, prefix: str) -> torch.nn.Module:
    """Gives a network the weights of the golden values."""
    own = {k: v for k, v in net.state_dict().items() if k.endswith("num_batches_tracked") or k == "hpf.filter"}
    filled = {k: recipe.fill(prefix, k, tuple(v.shape)) for k, v in net.state_dict().items() if k not in own}
    net.load_state_dict(own | filled)
    return net.eval()


class SmallNet(torch.nn.Module):
    """In place of MobileNetV2: as many layers, but small, and on random weights, so that none have to be downloaded."""

    def __init__(self) -> None:
        super().__init__()
        widths = [3, *[24] * 4, *[32] * 3, *[96] * 7, *[320] * 4]
        convs = [torch.nn.Conv2d(i, o, 1) for i, o in itertools.pairwise(widths)]
        convs[0] = torch.nn.Conv2d(3, 24, 3, stride=8)
        self.features = torch.nn.Sequential(*convs)


def portrait(seed: int, side: int = 96) -> Image.Image:
    """Smooth colour noise as a picture."""
    pixels = recipe.image(seed, 1, side)[0].permute(1, 2, 0).add(1).mul(127.5).round().byte()
    return Image.fromarray(pixels.numpy())


class Malicious:
    """Writes to `path` when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self.path, "w")


class LocalServer:
    """Answers on 127.0.0.1 with that handler until it is closed."""

    def __init__(self, handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        handler.log_message = lambda *_: None  # type: ignore[method-assign]
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

"""The endpoints, as programs use them."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import av
import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from stargan.files import places
from stargan.ui.source import EXAMPLES


def test_the_endpoint(address: str, portrait_file: Path) -> None:
    client = Client(address, verbose=False)
    pictures = []
    for domain, seed in (("man", 1), ("woman", 1), ("woman", 2)):
        (before, after), aligned, overlay, words, style = client.predict(
            source=handle_file(str(portrait_file)),
            domain=domain,
            style_from="seed",
            seed=seed,
            psi=1.0,
            reference=None,
            masks=True,
            aligned=True,
            api_name="/translate",
        )
        assert all(Path(p).exists() for p in (before, aligned, overlay)) and " ms" in words
        assert len(json.loads(style)["style"]) == 64
        pictures.append(np.asarray(Image.open(after).convert("RGB"), np.float32))
    assert np.abs(pictures[0] - pictures[1]).mean() > 1 and np.abs(pictures[1] - pictures[2]).mean() > 1
    with pytest.raises(Exception, match="[Tt]here is no model"):
        client.predict(
            source=handle_file(str(portrait_file)), domain="man", style_from="seed", seed=0, psi=1.0, reference=None, masks=True,
            aligned=True, model=str(places.weights() / "fan-68" / "fan.safetensors"), api_name="/translate",
        )  # fmt: skip
    with pytest.raises(Exception, match="[Tt]here is no domain 'cat'"):
        client.predict(
            source=handle_file(str(portrait_file)),
            domain="cat",
            style_from="seed",
            seed=0,
            psi=1.0,
            reference=None,
            masks=True,
            aligned=True,
            api_name="/translate",
        )


def test_the_endpoints_of_interpolation(address: str, portrait_file: Path) -> None:
    client = Client(address, verbose=False)
    source = handle_file(str(portrait_file))
    ends = {"domain_a": "man", "style_from_a": "seed", "seed_a": 1, "reference_a": None}
    ends |= {"domain_b": "woman", "style_from_b": "seed", "seed_b": 2, "reference_b": None}
    common = {"source": source, "psi": 1.0, "masks": True, "aligned": True}
    pictures = [client.predict(position=p, **common, **ends, api_name="/interpolate") for p in (0.0, 1.0)]
    first, last = (np.asarray(Image.open(path).convert("RGB"), np.float32) for path in pictures)
    assert np.abs(first - last).mean() > 3
    with Image.open(client.predict(**common, **ends, api_name="/strip")) as strip:
        assert strip.size == (9 * 128, 128)
    movie = client.predict(way="", seconds=0.2, loop=False, **common, **ends, api_name="/video")
    with av.open(movie["video"] if isinstance(movie, dict) else movie) as file:
        assert sum(1 for _ in file.decode(video=0)) == 6


def test_another_models_domains_are_known(address: str, portrait_file: Path, animals: str) -> None:
    client = Client(address, verbose=False)
    pictures, _, kept, *_ = client.predict(
        source=handle_file(str(portrait_file)), domain="cat", model=animals, api_name="/translate"
    )
    assert Image.open(pictures[1]).size == (64, 64) and kept is None
    with pytest.raises(Exception, match="[Tt]here is no domain 'woman'"):
        client.predict(source=handle_file(str(portrait_file)), domain="woman", model=animals, api_name="/translate")


def test_no_other_file_of_the_machine_is_opened(address: str) -> None:
    picture = str(min(EXAMPLES.glob("*.webp")))
    with pytest.raises(Exception, match="has to be uploaded first"):
        Client(address, verbose=False).predict(source={"path": picture}, api_name="/translate")
    # As no client would write it, which uploads what it calls a file.
    file = {"path": "/etc/hostname", "meta": {"_type": "gradio.FileData"}}
    values = [file, "", "seed", 0, 1.0, None, True, True, "", "", *[True] * 5, *[1.0] * 6]
    request = urllib.request.Request(
        f"{address}/gradio_api/call/translate", json.dumps({"data": values}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as reply:
        event = json.load(reply)["event_id"]
    with urllib.request.urlopen(f"{address}/gradio_api/call/translate/{event}", timeout=120) as reply:
        said = reply.read().decode()
    assert "event: error" in said and "event: complete" not in said

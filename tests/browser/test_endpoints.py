"""The endpoints, as programs use them."""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from gradio_client import handle_file
from PIL import Image
from served import SIDE, program
from skimage import data

from stargan.files import places
from stargan.media.images import centre_crop
from stargan.ui.source import EXAMPLES


def test_browsers_make_nothing_of_what_is_for_programs(address: str) -> None:
    with urllib.request.urlopen(f"{address}/config") as answer:
        config = json.load(answer)
    components = {component["id"]: component for component in config["components"]}

    def shown(node: dict[str, Any]) -> Iterator[str]:
        component = components.get(node["id"], {"type": "page", "props": {}})
        if component["props"].get("visible", True):
            yield component["type"]
            for child in node.get("children") or []:
                yield from shown(child)

    kinds = set(shown(config["layout"]))
    assert "image" in kinds and "api" not in kinds
    assert {endpoint["api_name"] for endpoint in config["dependencies"]} >= {"translate", "interpolate", "strip", "grid", "video"}


def test_the_endpoint(address: str, portrait_file: Path) -> None:
    client = program(address)
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
    client = program(address)
    source = handle_file(str(portrait_file))
    ends = {"domain_a": "man", "style_from_a": "seed", "seed_a": 1, "reference_a": None}
    ends |= {"domain_b": "woman", "style_from_b": "seed", "seed_b": 2, "reference_b": None}
    common = {"source": source, "psi": 1.0, "masks": True, "aligned": True}
    pictures = [client.predict(position=p, **common, **ends, api_name="/interpolate") for p in (0.0, 1.0)]
    first, last = (np.asarray(Image.open(path).convert("RGB"), np.float32) for path in pictures)
    assert np.abs(first - last).mean() > 3
    with Image.open(client.predict(**common, **ends, api_name="/strip")) as strip:
        assert strip.size == (9 * SIDE, SIDE)
    movie = client.predict(way="", seconds=0.2, loop=False, **common, **ends, api_name="/video")
    with av.open(movie["video"] if isinstance(movie, dict) else movie) as file:
        assert sum(1 for _ in file.decode(video=0)) == 6


def pixels(path: str) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"), np.float32)


@pytest.fixture
def two(portrait_file: Path, tmp_path: Path) -> Path:
    """Two people beside each other, as a photograph that says it is to be turned."""
    both = Image.new("RGB", (900, 450))
    both.paste(Image.open(portrait_file).resize((450, 450)), (0, 0))
    both.paste(Image.open(min(EXAMPLES.glob("*.webp"))).convert("RGB").resize((450, 450)), (450, 0))
    exif = Image.Exif()
    exif[0x0112] = 6
    both.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "two.jpg", quality=95, exif=exif)
    return tmp_path / "two.jpg"


def test_a_face_is_chosen_and_put_back(address: str, two: Path) -> None:
    client = program(address)
    source = handle_file(str(two))
    squares = [client.predict(source=source, seed=1, face=face, api_name="/translate")[1] for face in (1, 2)]
    assert np.abs(pixels(squares[0]) - pixels(squares[1])).mean() > 10
    photographs = {}
    for face in (1, 2, "all"):
        (before, after), *_ = client.predict(source=source, seed=1, face=face, paste=True, api_name="/translate")
        changed = np.abs(pixels(after) - pixels(before))
        assert changed.shape == (450, 900, 3)
        photographs[face] = [half.mean() > 0.5 for half in (changed[:, :450], changed[:, 450:])]
    assert photographs == {1: [True, False], 2: [False, True], "all": [True, True]}
    between = pixels(client.predict(source=source, face=2, paste=True, api_name="/interpolate"))
    assert between.shape == (450, 900, 3) and np.abs(between - pixels(before))[:, :450].mean() < 0.5
    refused = {
        "there is no face 3: 2 faces were found, 1 to 2 from left to right; choose one of them": {"face": 3},
        "there is no face 0: 2 faces were found": {"face": 0, "paste": True},
        "give paste=True, or a face by its number": {"face": "all"},
        "the face is 'left'": {"face": "left"},
        "no face to put back; give aligned=True": {"paste": True, "aligned": False},
        "give aligned=True, or leave the face out": {"face": 1, "aligned": False},
        "here is no source yet": {"source": None, "paste": True},
    }
    for sentence, values in refused.items():
        with pytest.raises(Exception, match=sentence if sentence[0] != "t" else f"[Tt]{sentence[1:]}"):
            client.predict(**{"source": source} | values, api_name="/translate")


def test_values_of_a_wrong_kind_are_said(address: str, portrait_file: Path) -> None:
    client = program(address)
    source = handle_file(str(portrait_file))
    for endpoint, values, sentence in (
        ("translate", {"psi": "much"}, "Psi is 'much'; it has to be a number"),
        ("translate", {"psi": True}, "Psi is 'True'; it has to be a number"),
        ("translate", {"seed": None}, "Seed is 'None'; it has to be a whole number"),
        ("translate", {"eyes": [1]}, r"Eyes is '\[1\]'; it has to be a number"),
        ("translate", {"masks": "no"}, "Masks is 'no'; it has to be True or False"),
        ("interpolate", {"position": "left"}, "Position is 'left'; it has to be a number"),
        ("video", {"way": 5}, "Way is '5'; it has to be text"),
        ("video", {"seconds": "x"}, "Seconds is 'x'; it has to be a number"),
        ("strip", {"domain_a": 3}, "domain_a is '3'; it has to be text"),
        ("translate", {"aligned": "yes"}, "Aligned is 'yes'; it has to be True or False"),
        ("translate", {"source": 5}, "'5' is no picture"),
        ("translate", {"source": [source]}, "is no picture; give one that has been uploaded"),
        ("translate", {"reference": 5, "style_from": "reference"}, "'5' is no picture"),
        ("translate", {"model": "<b>"}, "no model '<b>' here"),
    ):
        with pytest.raises(Exception, match=sentence):
            client.predict(**{"source": source} | values, api_name=f"/{endpoint}")
    for values, sentence in (
        ({"count": "x"}, "Count is 'x'; it has to be a whole number"),
        ({"count": 2.5}, "Count is '2.5'; it has to be a whole number"),
        ({"sources": [None]}, "Picture 1 of sources is None"),
        ({"style_from": "bad"}, "cannot be from 'bad'; choose seed or reference"),
    ):
        with pytest.raises(Exception, match=sentence):
            client.predict(**{"sources": [source]} | values, api_name="/grid")
    sheet, words = client.predict(sources=[source], count=2.0, api_name="/grid")
    assert pixels(sheet).shape == (2 * SIDE, 3 * SIDE, 3) and words == "1 of 1 sources"
    made = client.predict(source=source, seed=1.0, face=1.0, api_name="/translate")
    assert np.array_equal(pixels(made[0][1]), pixels(client.predict(source=source, seed=1, api_name="/translate")[0][1]))


def test_a_data_uri_is_a_picture(address: str, portrait_file: Path) -> None:
    client = program(address)
    uri = f"data:image/jpeg;base64,{base64.b64encode(portrait_file.read_bytes()).decode()}"
    made = [
        pixels(client.predict(source=source, seed=1, api_name="/translate")[0][1])
        for source in (handle_file(str(portrait_file)), uri, {"url": uri})
    ]
    assert np.array_equal(made[0], made[1]) and np.array_equal(made[0], made[2])
    sheet, _ = client.predict(sources=[uri], references=[uri], style_from="reference", api_name="/grid")
    assert pixels(sheet).shape[0] == 2 * len(made[0])
    for bad, sentence in (
        ("data:image/png;base64,??", "data URI holds no picture"),
        ("https://example.org/a.png", "uploaded first"),
    ):
        with pytest.raises(Exception, match=sentence):
            client.predict(source=bad, api_name="/translate")


def test_a_model_that_knows_no_faces_takes_the_middle(address: str, animals: str, tmp_path: Path) -> None:
    client = program(address)
    Image.fromarray(data.chelsea()).save(tmp_path / "cat.png")
    cat = handle_file(str(tmp_path / "cat.png"))
    (_, made), middle, *_ = client.predict(source=cat, model=animals, api_name="/translate")
    assert np.abs(pixels(middle) - np.asarray(centre_crop(Image.fromarray(data.chelsea()), 64))).mean() < 1
    assert pixels(made).shape == (64, 64, 3)
    with pytest.raises(Exception, match="No face was found"):
        client.predict(source=cat, model=animals, aligned=True, api_name="/translate")
    with pytest.raises(Exception, match="No face was found"):
        client.predict(source=cat, api_name="/translate")


def test_another_models_domains_are_known(address: str, portrait_file: Path, animals: str) -> None:
    client = program(address)
    pictures, _, kept, *_ = client.predict(
        source=handle_file(str(portrait_file)), domain="cat", model=animals, api_name="/translate"
    )
    assert Image.open(pictures[1]).size == (64, 64) and kept is None
    with pytest.raises(Exception, match="[Tt]here is no domain 'woman'"):
        client.predict(source=handle_file(str(portrait_file)), domain="woman", model=animals, api_name="/translate")


def test_no_other_file_of_the_machine_is_opened(address: str) -> None:
    picture = str(min(EXAMPLES.glob("*.webp")))
    with pytest.raises(Exception, match="has to be uploaded first"):
        program(address).predict(source={"path": picture}, api_name="/translate")
    # As no client would write it, which uploads what it calls a file.
    file = {"path": "/etc/hostname", "meta": {"_type": "gradio.FileData"}}
    values = [file, "", "seed", 0, 1.0, None, True, True, "", "", *[True] * 5, *[1.0] * 6, None, False]
    request = urllib.request.Request(
        f"{address}/gradio_api/call/translate", json.dumps({"data": values}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as reply:
        event = json.load(reply)["event_id"]
    with urllib.request.urlopen(f"{address}/gradio_api/call/translate/{event}", timeout=120) as reply:
        said = reply.read().decode()
    assert "event: error" in said and "event: complete" not in said

"""What answers the camera's frames."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from PIL import Image
from skimage import data

from stargan.files import checkpoint
from stargan.model import build
from stargan.networks import ModelConfig
from stargan.ui.library import Library
from stargan.ui.live import FORGOTTEN, MOST, LiveStudio


def jpeg(image: Image.Image) -> str:
    content = io.BytesIO()
    image.save(content, "JPEG")
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    config = ModelConfig(image_size=64, domains=("a", "b"), w_hpf=0, base_channels=8, max_channels=16, hidden_dim=16)
    checkpoint.save(build(config), path)
    return Library(str(path), compiled=False)


@pytest.fixture
def told(library: Library) -> dict[str, Any]:
    """A frame as the browser sends it."""
    face = Image.fromarray(data.astronaut()).resize((320, 320))
    return {"visitor": "one", "model": library.default, "a": [0.0] * 64, "b": [1.0] * 64, "x": 0.5, "picture": jpeg(face)}


def test_a_frame_comes_back_as_square_or_whole(library: Library, told: dict[str, Any]) -> None:
    studio = LiveStudio(library)
    for whole, size in ((False, (64, 64)), (True, (320, 320))):
        answer = studio.frame({**told, "whole": whole})
        content = base64.b64decode(answer["picture"].partition(",")[2])
        assert Image.open(io.BytesIO(content)).size == size


def test_without_a_face_it_says_so(library: Library, told: dict[str, Any]) -> None:
    answer = LiveStudio(library).frame({**told, "picture": jpeg(Image.new("RGB", (320, 240)))})
    assert answer == {"picture": None, "said": "No face is seen."}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"picture": "data:image/jpeg;base64,!!!"}, "came broken"),
        ({"picture": "https://example.org/picture.jpg"}, "no small JPEG"),
        ({"picture": None}, "no small JPEG"),
        ({"picture": jpeg(Image.new("L", (4000, 3000)))}, "12 megapixels; at most 2 are taken"),
        ({"a": [0.0]}, "none of this model's"),
        ({"b": [float("nan")] * 64}, "none of this model's"),
        ({"a": "text"}, "without styles"),
        ({"x": 7}, "none of this model's"),
        ({"parts": {"eyes": "much"}}, "came broken"),
        ({"model": "/etc/passwd"}, "no model"),
    ],
)
def test_what_cannot_be_used_is_said(library: Library, told: dict[str, Any], change: dict[str, Any], said: str) -> None:
    answer = LiveStudio(library).frame(told | change)
    assert answer["picture"] is None and said in answer["said"]


def test_time_and_number_of_visitors_are_limited(library: Library, told: dict[str, Any]) -> None:
    now = 0.0
    studio = LiveStudio(library, limit=20, clock=lambda: now)
    empty = jpeg(Image.new("RGB", (64, 48)))
    for i in range(MOST):
        assert "ended" not in studio.frame({**told, "visitor": str(i), "picture": empty})
    assert "cameras run already" in studio.frame({**told, "visitor": "late", "picture": empty})["ended"]
    now = 10.0
    assert "ended" not in studio.frame({**told, "visitor": "0", "picture": empty})
    now = 21.0
    assert "After 20 seconds" in studio.frame({**told, "visitor": "0", "picture": empty})["ended"]
    assert "ended" not in studio.frame({**told, "visitor": "0", "picture": empty}), "one may start again"
    now += FORGOTTEN + 1
    assert "ended" not in studio.frame({**told, "visitor": "late", "picture": empty})

"""What the endpoints take from programs."""

from __future__ import annotations

import functools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from stargan.ui.endpoints import Endpoints, typed
from stargan.ui.folder import Folder
from stargan.ui.grid import painter
from stargan.ui.leaving import Visitors


def endpoint(
    count: int = 1, psi: float = 1.0, aligned: bool | None = None, face: int | None = None, files: list[dict | str] | None = None
) -> tuple[Any, ...]:
    return count, psi, aligned, face, files


def test_a_whole_number_may_be_written_as_a_float() -> None:
    taken = typed(endpoint)(2.0, 1, None, face=3.0, files=["a"])
    assert taken == (2, 1, None, 3, ["a"]) and [type(value) for value in taken[:4:3]] == [int, int]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"count": 2.5}, "Count is '2.5'; it has to be a whole number"),
        ({"count": float("inf")}, "Count is 'inf'; it has to be a whole number"),
        ({"count": None}, "Count is 'None'; it has to be a whole number"),
        ({"count": True}, "Count is 'True'; it has to be a whole number"),
        ({"psi": True}, "Psi is 'True'; it has to be a number"),
        ({"aligned": "yes"}, "Aligned is 'yes'; it has to be True or False"),
        ({"aligned": 1}, "Aligned is '1'; it has to be True or False"),
        ({"face": 1.5}, "Face is '1.5'; it has to be a whole number"),
        ({"face": "<b>"}, "Face is '<b>'; it has to be a whole number"),
    ],
)
def test_a_value_of_another_kind_is_said(values: dict[str, Any], words: str) -> None:
    with pytest.raises(gr.Error) as refused:
        typed(endpoint)(**values)
    assert refused.value.message == f"{words}."


@pytest.fixture
def endpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Endpoints:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    studio = SimpleNamespace(
        domains=("man",), aligns=True, checked=float, model=SimpleNamespace(config=SimpleNamespace(image_size=8))
    )
    library = SimpleNamespace(default="model", get=lambda name: studio)
    work = SimpleNamespace(library=library, visitors=Visitors())
    return Endpoints(work, Folder(60), painter(library))  # type: ignore[arg-type]


@pytest.mark.parametrize("file", [5, True, [{"path": "a.png"}]])
def test_what_is_no_file_is_no_picture(endpoints: Endpoints, file: Any) -> None:
    with pytest.raises(ValueError, match="is no picture; give one that has been uploaded"):
        endpoints.given(file)
    with pytest.raises(gr.Error, match="is no picture"):
        endpoints.translate(source=file)
    with pytest.raises(gr.Error, match="is no picture"):
        endpoints.translate(reference=file)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sources": [None]}, "Picture 1 of sources is None; give a picture"),
        ({"sources": ["data:,x", None]}, "Picture 2 of sources is None; give a picture"),
        ({"sources": "data:,x"}, "Sources is 'data:,x'; it has to be a list of pictures"),
        ({"sources": ["data:,x"], "references": 5}, "References is '5'; it has to be a list of pictures"),
        ({"sources": ["data:,x"], "references": [5]}, "'5' is no picture"),
        ({"sources": ["data:,x"], "style_from": "bad"}, "cannot be from 'bad'; choose seed or reference"),
        ({"sources": ["data:,x"], "style_from": "reference"}, "There are 0 references; give 1 to 8"),
    ],
)
def test_a_grid_says_what_it_cannot_be_made_of(endpoints: Endpoints, values: dict[str, Any], words: str) -> None:
    with pytest.raises(gr.Error) as refused:
        endpoints.grid(SimpleNamespace(session_hash="me"), **values)  # type: ignore[arg-type]
    assert words in refused.value.message


def test_a_style_is_pasted_only_where_there_is_a_place_for_it(endpoints: Endpoints) -> None:
    photo = "data:image/png;base64,"
    video = functools.partial(endpoints.video, gr.Request(session_hash="me"))
    for made in (endpoints.interpolate, endpoints.strip, video):
        with pytest.raises(gr.Error, match="A style cannot be from 'pasted' here; choose seed or reference"):
            made(source=photo, style_from_b="pasted")
    with pytest.raises(gr.Error, match="A style cannot be from 'other' here; choose seed, reference or pasted"):
        endpoints.translate(source=photo, style_from="other")


def test_a_face_may_be_written_as_a_float(endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    faces: list[Any] = []

    def noted(self: Endpoints, model: str, source: Any, aligned: Any, face: Any, *rest: Any) -> Any:
        faces.append(face)
        raise ValueError("enough")

    monkeypatch.setattr(Endpoints, "scene", noted)
    for call in (endpoints.translate, endpoints.interpolate, endpoints.strip):
        with pytest.raises(gr.Error, match="Enough"):
            typed(call)(face=2.0)
    assert faces == [2, 2, 2] and all(type(face) is int for face in faces)
    with pytest.raises(gr.Error, match="The face is 1.5; give its number"):
        typed(endpoints.translate)(face=1.5)

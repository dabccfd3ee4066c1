"""What the widgets of the page are read as, and what they are set to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import pytest
from PIL import Image

from stargan.faces.find import Face
from stargan.faces.frame import mean_landmarks
from stargan.faces.masks import PARTS
from stargan.model import build
from stargan.networks import ModelConfig
from stargan.ui.footage import STILL, Footage, Job
from stargan.ui.keep import KeepInput
from stargan.ui.live import Live
from stargan.ui.pictures import within
from stargan.ui.result import Session
from stargan.ui.scene import Scene
from stargan.ui.source import WHOLE, Source
from stargan.ui.studio import PASTED, REFERENCE, SourceChoice, SourceSquare, Studio, StyleChoice
from stargan.ui.style import another_model
from stargan.ui.translate import Translate, missing


@pytest.fixture(scope="module")
def studio() -> Studio:
    shape: dict[str, Any] = {"image_size": 64, "base_channels": 8, "max_channels": 16, "hidden_dim": 16}
    return Studio(build(ModelConfig(domains=("man", "woman"), w_hpf=0, **shape)), compiled=False)


def test_a_number_that_is_being_typed_stays_in_its_range() -> None:
    assert [within(value, 1.0, 1.5) for value in (None, -1, 0, 0.4, 99)] == [1.0, 0.0, 0, 0.4, 1.5]


def test_parts_whose_box_is_empty_are_kept() -> None:
    values = {"masks": True, "likeness": None} | dict.fromkeys(PARTS) | {f"keep_{part}": part != "nose" for part in PARTS}
    keep = KeepInput.read(values)
    assert keep.likeness == 1 and keep.parts == {part: float(part != "nose") for part in PARTS}


def test_a_switch_stands_as_it_was_wished_where_the_model_can(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    def stands(wished: bool) -> bool:
        return bool(KeepInput.offered(studio, wished)[1]["value"])

    assert not stands(True) and not stands(False)
    monkeypatch.setattr(studio, "has_masks", True)
    assert stands(True) and not stands(False)


def test_a_domain_that_both_models_have_is_not_set(studio: Studio) -> None:
    assert "value" not in another_model(studio, "man")
    assert another_model(studio, "orc")["value"] == "woman"


def photo(path: Path) -> dict[str, Any]:
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}}


def test_a_result_is_used_as_it_is_and_what_comes_after_it_is_aligned(tmp_path: Path) -> None:
    values = {"photo": photo(tmp_path / "result-1.png"), "refused": {}, "aligned": True, "chosen": ("result-1.png", WHOLE)}
    assert Source.read(values) == SourceChoice(str(tmp_path / "result-1.png"), whole=True)
    later = tmp_path / "another.png"
    assert Source.read(values | {"photo": photo(later)}) == SourceChoice(str(later))
    assert Source.read(values | {"photo": photo(later), "chosen": (str(later), 2)}) == SourceChoice(str(later), face=2)


def test_a_reference_beside_a_result_is_aligned(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[SourceChoice] = []

    def prepare(source: SourceChoice) -> SourceSquare:
        asked.append(source)
        return SourceSquare(Image.new("RGB", (64, 64)), ())

    monkeypatch.setattr(studio, "prepare", prepare)
    corner = StyleChoice("man", REFERENCE, reference="reference.jpg")
    Scene("small", SourceChoice("result-1.png", whole=True), (corner,) * 4, x=0.0).style(studio)
    assert asked == [SourceChoice("reference.jpg")]


def test_it_is_said_which_style_waits_and_what_for() -> None:
    corners = StyleChoice("man"), StyleChoice("man", REFERENCE), StyleChoice("man", PASTED), StyleChoice("man", seed=None)
    scene = Scene("small", SourceChoice("photo.jpg"), corners, x=0.5, y=0.5)
    said = ["Drop a reference for style B.", "Paste the JSON of a style for style C.", "Give style D a seed."]
    assert missing(scene, scene.needed) == " ".join(said)
    assert missing(replace(scene, y=0.0), replace(scene, y=0.0).needed) == said[0]
    assert missing(scene, (0,)) == ""


def test_a_camera_says_what_its_styles_wait_for(studio: Studio) -> None:
    scenes = [Scene("small", SourceChoice(None), (StyleChoice("man"), StyleChoice("man", kind))) for kind in ("seed", REFERENCE)]
    view = SimpleNamespace(work=SimpleNamespace(library={"small": studio}), read=lambda values: scenes[values["number"]])
    live = Live(cast(Any, view), *[cast(Any, None)] * 2)
    ready, waiting = (live.steer(number=number) for number in range(2))
    assert len(ready["a"]) == 64 and ready["model"] == "small"
    assert waiting == {"said": "Drop a reference for style B."}


def test_the_face_in_the_square_is_known_among_faces_found_anew(tmp_path: Path) -> None:
    Image.new("RGB", (320, 160)).save(tmp_path / "two.png")
    places = [mean_landmarks() * 100 + [40 + 150 * i, 20] for i in range(2)]
    found = SimpleNamespace(faces=lambda content: [Face(points + 0.4) for points in places])
    square = SourceSquare(Image.new("RGB", (64, 64)), (), Face(places[1]))
    offered = Source.offer(cast(Any, found), SourceChoice(str(tmp_path / "two.png")), square)
    assert len(offered["tiles"]) == 2 and offered["chosen"] == 1


def test_it_is_said_that_a_clip_or_results_have_been_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = {"path": str(tmp_path / "clip.mp4"), "meta": {"_type": "gradio.FileData"}}
    footage = Footage(cast(Any, SimpleNamespace(read=lambda values: None)), *[cast(Any, None)] * 8)
    _, told = footage.run(clip, STILL, True, Job(), cast(Any, None), cast(Any, None))
    assert told == "This clip has been deleted from the page meanwhile; drop it again."
    session, said = Session(), list[str]()
    for name in ("gone.png", "there.png"):
        session.keep(tmp_path / name, "man")
    (tmp_path / "there.png").touch()
    monkeypatch.setattr(gr, "Info", lambda text, title: said.append(text))
    Translate.all(cast(Any, SimpleNamespace(result=SimpleNamespace(zipped=lambda session: {}))), session)
    assert said == ["Without the first 1, which the page has deleted meanwhile."]

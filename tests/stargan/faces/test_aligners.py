"""Which aligner goes with a model: the one that its pictures were aligned by, where it is there."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from stargan import clip
from stargan.cli.main import main
from stargan.faces import align, landmarks
from stargan.faces.find import Face, find
from stargan.faces.landmarks import face_alignment_here
from stargan.faces.squares import aligner_for
from stargan.faces.track import Tracker
from stargan.fan import FANConfig
from stargan.files import checkpoint
from stargan.files.tensors import CheckpointError
from stargan.media import clips, video
from stargan.model import Model, build
from stargan.networks import ModelConfig
from stargan.translate import Encoded, Translator
from stargan.ui.library import Library
from stargan.ui.live import LiveStudio


class FaceAlignment:
    """Stands for the package's aligner: it sees what ours sees, further to the right, and its network what ours sees, without."""

    def __init__(self) -> None:
        self.seen = 0

    def face_alignment_net(self, image: torch.Tensor) -> list[torch.Tensor]:
        """(1, 3, 256, 256) in [0, 1]"""
        assert image.shape == (1, 3, 256, 256) and image.min() >= 0 and image.max() <= 1
        self.seen += 1
        return [landmarks.load_fan68()(image * 2 - 1)]

    @staticmethod
    def get_landmarks_from_image(rgb: np.ndarray) -> list[np.ndarray] | None:
        return [face.landmarks + [10, 0] for face in find(Image.fromarray(rgb))] or None


def model(aligner: str | None, fan: bool = False) -> Model:
    torch.manual_seed(0)
    config = ModelConfig(image_size=64, domains=("man", "woman"), hidden_dim=24, base_channels=4, max_channels=16, w_hpf=float(fan))
    made = build(config, FANConfig(landmarks=68, width=16, depth=1, coords=False, boundary=False) if fan else None, name="small")
    made.aligner = aligner
    return made


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where face_alignment looks for its weights, with empty files of their names."""
    pytest.importorskip("face_alignment")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name in ("2DFAN4-11f355bf06.pth.tar", "s3fd-619a316812.pth"):
        (folder / name).touch()
    return folder


def test_its_weights_are_there_or_not(weights: Path) -> None:
    assert face_alignment_here()
    next(weights.glob("s3fd-*")).unlink()
    assert not face_alignment_here()


def test_a_model_is_given_the_aligner_of_its_pictures(weights: Path) -> None:
    assert aligner_for(model("face_alignment")) == ("face_alignment", "")
    assert aligner_for(model("face_alignment", fan=True)) == ("face_alignment", "")
    assert aligner_for(model("fan-68")) == aligner_for(model(None, fan=True)) == ("fan-68", "")
    none, why = aligner_for(model(None))
    assert none is None and "middle square" in why
    next(weights.glob("2DFAN4-*")).unlink()
    instead, why = aligner_for(model("face_alignment"))
    assert instead == "fan-68" and "not here with its weights" in why


def test_the_command_line_uses_it_without_being_told(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(align, "load_face_alignment", FaceAlignment)
    Image.fromarray(data.astronaut()).save("photo.png")
    for name, aligner in (("theirs", "face_alignment"), ("ours", "fan-68")):
        checkpoint.save(model(aligner), f"{name}.safetensors")

    def translated(name: str, *more: str) -> np.ndarray:
        call = [
            "translate",
            "photo.png",
            "--model",
            f"{name}.safetensors",
            "--domain",
            "man",
            "--seed",
            "1",
            "-o",
            "out.png",
            *more,
        ]
        assert main(call) == 0
        return np.asarray(Image.open("out.png"))

    theirs, ours = translated("theirs"), translated("ours")
    assert capsys.readouterr().err == "" and not np.array_equal(theirs, ours)
    assert np.array_equal(translated("theirs", "--aligner", "fan-68"), ours)
    assert np.array_equal(translated("ours", "--aligner", "face_alignment"), theirs)
    assert np.array_equal(translated("theirs", "--face", "1"), theirs)
    next(weights.glob("s3fd-*")).unlink()
    assert np.array_equal(translated("theirs"), ours)
    assert "which is not here with its weights; our network finds them." in capsys.readouterr().err


def test_its_faces_are_numbered_from_left_to_right(monkeypatch: pytest.MonkeyPatch) -> None:
    head = Image.fromarray(data.astronaut()).crop((100, 0, 350, 250))
    two = Image.new("RGB", (520, 260), (120, 120, 120))
    two.paste(head, (5, 5))
    two.paste(head.resize((200, 200)), (300, 30))
    monkeypatch.setattr(align, "load_face_alignment", FaceAlignment)
    found = align.find_all(two, backend="face_alignment")
    assert len(found) == 2 and all(isinstance(face, Face) for face in found)
    assert found[0].landmarks[:, 0].mean() < 260 < found[1].landmarks[:, 0].mean()
    with pytest.raises(align.NoFace, match="no face was found"):
        align.find_all(Image.fromarray(data.coffee()), backend="face_alignment")


def test_a_face_is_followed_by_the_network_of_its_aligner(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, photograph = FaceAlignment(), Image.fromarray(data.astronaut())
    monkeypatch.setattr(align, "load_face_alignment", lambda: theirs)
    monkeypatch.setattr(landmarks, "load_face_alignment", lambda: theirs)
    ours = find(photograph)[0].landmarks
    tracker = Tracker()
    first = tracker.follow(photograph, "face_alignment")
    assert first is not None and np.abs(first.landmarks - ours - [10, 0]).max() < 1e-6 and theirs.seen == 0
    # Its network sees where the face is, which the smoothed landmarks approach.
    second = tracker.follow(photograph, "face_alignment")
    assert second is not None and theirs.seen == 1
    assert np.abs(second.landmarks - ours).mean() < np.abs(first.landmarks - ours).mean()
    assert Tracker().follow(Image.new("RGB", (64, 64)), "face_alignment") is None


def test_clips_and_cameras_are_aligned_as_pictures_are(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(align, "load_face_alignment", FaceAlignment)
    photograph = Image.fromarray(data.astronaut())
    video.write(tmp_path / "clip.mp4", [photograph], 10)
    content = io.BytesIO()
    photograph.save(content, "JPEG", quality=95)
    frame = f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
    for aligner in ("face_alignment", "fan-68"):
        translator, squares = Translator(model(aligner), "cpu", "fp32"), []

        def encode(square: Image.Image, own: Translator = translator, into: list[Image.Image] = squares) -> Encoded:
            into.append(square)
            return own.encode(square)

        clip.translate(translator, clips.opened(tmp_path / "clip.mp4"), tmp_path / "out.mp4", torch.zeros(1, 64), encode=encode)
        checkpoint.save(translator.model, tmp_path / f"{aligner}.safetensors")
        library = Library(str(tmp_path / f"{aligner}.safetensors"), compiled=False)
        studio = library.get(library.default)
        own = studio.encode_square
        monkeypatch.setattr(
            studio, "encode_square", lambda square, keep, own=own, into=squares: into.append(square) or own(square, keep)
        )
        told = {"model": library.default, "a": [0.0] * 64, "b": [0.0] * 64, "picture": frame}
        assert LiveStudio(library).frame(told)["picture"]
        wanted = align.align(photograph, 64, backend=aligner).image
        other = align.align(photograph, 64, backend="fan-68" if aligner != "fan-68" else "face_alignment").image
        for square in squares:
            near, far = (np.abs(np.asarray(square, int) - np.asarray(one, int)).mean() for one in (wanted, other))
            assert near < 0.5 * far, aligner
        assert len(squares) == 2


def test_the_file_of_a_model_says_it(tmp_path: Path) -> None:
    for aligner in (None, "fan-68", "face_alignment"):
        checkpoint.save(model(aligner), tmp_path / "model.safetensors")
        assert checkpoint.load(tmp_path / "model.safetensors").aligner == aligner
    odd = model("face_alignment")
    odd.aligner = "dlib"
    checkpoint.save(odd, tmp_path / "odd.safetensors")
    with pytest.raises(CheckpointError, match="aligner 'dlib', which is none of fan-68, face_alignment"):
        checkpoint.load(tmp_path / "odd.safetensors")


def test_nothing_is_fetched_where_the_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "face_alignment", None)
    monkeypatch.setitem(__import__("sys").modules, "face_alignment.api", None)
    monkeypatch.setattr(landmarks, "load_face_alignment", lambda: pytest.fail("was loaded"))
    assert not face_alignment_here()

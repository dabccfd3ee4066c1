"""Faces on the command line: numbered, chosen, pasted back, checked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from stargan import bulk
from stargan.cli.main import main
from stargan.faces import check
from stargan.faces.find import Face, find
from stargan.faces.frame import mean_landmarks
from stargan.files import checkpoint
from stargan.model import build
from stargan.networks import ModelConfig


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    torch.manual_seed(0)
    config = ModelConfig(image_size=64, domains=("man", "woman"), hidden_dim=24, base_channels=4, max_channels=16)
    checkpoint.save(build(config), folder / "small.safetensors")
    head = Image.fromarray(data.astronaut()).crop((100, 0, 350, 250))
    two = Image.new("RGB", (440, 220), (120, 120, 120))
    two.paste(head.resize((200, 200)), (10, 10))
    two.paste(head.resize((160, 160)), (240, 40))
    two.save(folder / "two.png")
    return folder


@pytest.fixture(autouse=True)
def there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(folder)
    yield
    bulk.translator.cache_clear()


def translate(*arguments: str, out: str) -> int:
    return main(["translate", "two.png", "--model", "small.safetensors", "--domain", "man", "-o", out, *arguments])


def changed(path: str) -> np.ndarray:
    """Which columns of the photograph were changed."""
    before, after = (np.asarray(Image.open(name).convert("RGB")).astype(int) for name in ("two.png", path))
    return np.abs(after - before).max((0, 2)) > 8


def test_faces_are_listed_by_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["faces", "two.png", "none.png"]) == 1
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "two.png: 2 faces" and lines[1].startswith("  1  ") and lines[2].endswith("% sure")
    assert err == "none.png: there is no file none.png\n"
    Image.open("two.png").resize((154, 77)).save("far.png")
    Image.new("RGB", (200, 100)).save("black.png")
    assert main(["faces", "far.png", "black.png"]) == 0
    far, black = capsys.readouterr().out.splitlines()
    assert far.startswith("far.png: 0 faces; the largest face in this picture is about") and "needs 40" in far
    assert black.startswith("black.png: 0 faces; no face was found; use a picture that shows a face")


@pytest.mark.parametrize("landmarks,sentence", [("none.npz", "there is no file none.npz"), (".", ". is a folder; give a file")])
def test_landmarks_are_a_file(landmarks: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["faces", "--check", ".", "--landmarks", landmarks])
    assert f"argument --landmarks: {sentence}" in capsys.readouterr().err


def test_a_face_is_chosen_by_its_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert translate("--seed", "1", "--face", "2", "--paste", out="second.png") == 0
    second = changed("second.png")
    assert not second[:230].any() and second[290:330].all()
    assert "faces were found" not in capsys.readouterr().err
    assert translate("--seed", "1", "--paste", out="largest.png") == 0
    assert changed("largest.png")[80:130].all() and not changed("largest.png")[240:].any()
    assert "2 faces were found; the largest one is taken, number 1" in capsys.readouterr().err
    assert translate("--seed", "1", "--face", "3", out="third.png") == 2
    assert "there is no face 3: 2 faces were found" in capsys.readouterr().err


def test_all_faces_are_translated_in_turn(folder: Path) -> None:
    assert translate("--seed", "1", "--face", "all", out="each.png") == 0
    assert Image.open("each-1.png").size == Image.open("each-2.png").size == (64, 64)
    assert translate("--seed", "1", "--face", "all", "--paste", out="both.png") == 0
    assert changed("both.png")[80:130].all() and changed("both.png")[290:330].all()
    assert translate("--seed", "1", "2", "--face", "all", out="many") == 0
    made = {path.name: path.stat().st_mtime_ns for path in (folder / "many").glob("*.png")}
    assert sorted(made) == [f"two-face-{face}--seed-{seed}.png" for face in (1, 2) for seed in (1, 2)]
    # A second call has nothing to do; a folder of pasted pictures is another one.
    assert translate("--seed", "1", "2", "--face", "all", out="many") == 0
    assert made == {path.name: path.stat().st_mtime_ns for path in (folder / "many").glob("*.png")}
    assert translate("--seed", "1", "2", "--face", "all", "--paste", out="many") == 2


def test_no_source_is_written_over(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("own-2.png").write_bytes(before := Path("two.png").read_bytes())
    Path("two--seed-1.png").write_bytes(before)
    call = ["translate", "--model", "small.safetensors", "--domain", "man", "--aligner", "fan-68", "--seed", "1"]
    assert main([*call, "--face", "all", "own-2.png", "-o", "own.png"]) == 2 and not Path("own-1.png").exists()
    assert "own-2.png is what it is to be made of" in capsys.readouterr().err
    assert main([*call, "--overwrite", "two.png", "two--seed-1.png", "-o", "."]) == 2
    assert "two--seed-1.png is a source and would be written over" in capsys.readouterr().err
    assert Path("own-2.png").read_bytes() == Path("two--seed-1.png").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--paste", "--no-align"), "--face and --paste need the face to be found"),
        (("--face", "0"), "'0' is not a whole number from 1"),
        (("--face", "all", "--grid"), "leave --paste and --face all out"),
    ],
)
def test_choices_that_do_not_go_together_are_refused(
    arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = translate("--seed", "1", *arguments, out="out")
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2 and sentence in capsys.readouterr().err


def test_a_model_without_a_fan_takes_the_middle_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert translate("--seed", "1", out="middle.png") == 0
    assert "knows no faces" in capsys.readouterr().err
    assert translate("--seed", "1", "--no-align", out="same.png") == 0
    assert np.array_equal(Image.open("middle.png"), Image.open("same.png"))
    assert translate("--seed", "1", "--aligner", "fan-68", out="face.png") == 0
    assert not np.array_equal(Image.open("middle.png"), Image.open("face.png"))


def test_a_video_shows_the_whole_photograph() -> None:
    video = ["video", "two.png", "--model", "small.safetensors", "--domain", "man", "--styles", "1", "2"]
    assert main([*video, "--seconds", "0.2", "--fps", "10", "--face", "2", "--paste", "-o", "two.mp4"]) == 0
    with av.open("two.mp4") as file:
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    assert len(frames) == 3 and frames[0].shape == (220, 440, 3)
    assert np.abs(frames[0][60:200, 290:330].astype(int) - np.asarray(Image.open("two.png"))[60:200, 290:330]).mean() > 10


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder of two faces with the landmarks that are found in them, one of them said to be elsewhere."""
    (tmp_path / "val").mkdir()
    head = Image.fromarray(data.astronaut()).crop((100, 0, 350, 250))
    head.save(tmp_path / "val" / "a.png")
    head.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "val" / "b.png")
    points = np.stack([find(head)[0].landmarks, find(head)[0].landmarks + 90])
    np.savez(tmp_path / "landmarks-val.npz", names=np.array(["a", "b"]), points=points)
    lines = ["name,yaw,race,gender", "a,0.05,Here,Female", "b,0.4,Over_There,Male"]
    (tmp_path / "manifest-val.csv").write_text("\n".join(lines))
    return tmp_path


@pytest.mark.slow
def test_the_check_counts_what_is_found(photographs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["faces", "--check", str(photographs / "val"), "--landmarks", str(photographs / "landmarks-val.npz")]) == 0
    out = capsys.readouterr().out
    assert "| all | 2 | 50.0 % | 0.0" in out and "| from the front | 1 | 100.0 % | 0.0" in out
    assert "| Here | 1 | 100.0 %" in out and "| Over, There | 1 | 0.0 % | - | - |" in out and "| Male, from the front | 0 |" in out
    assert "| turned by 90 degrees | 2 | 50.0 %" in out and "| eyes 25 px apart in 1600 px | 2 | 50.0 %" in out
    assert f"Faces in {len(check.EMPTY)} pictures without one: none" in out


def test_a_finder_that_finds_everywhere_is_seen_through(photographs: Path) -> None:
    known = check.known(photographs / "val", photographs / "landmarks-val.npz")
    table = "\n".join(check.rows(known, finder=lambda picture: [Face(mean_landmarks() * 20)]))
    assert "| all | 2 | 0.0 % |" in table and "without one: brick, cat, cell" in table


def test_what_is_checked_is_known_exactly() -> None:
    rgb, points = np.zeros((60, 40, 3), np.uint8), np.stack([np.full(68, 10.0), np.full(68, 50.0)], 1)
    rgb[49:52, 9:12] = 255
    for turn in (30, 90, 180):
        picture, moved = check.turned(rgb, points, turn)
        row, column = np.unravel_index(picture[..., 0].argmax(), picture.shape[:2])
        bright = np.argwhere(picture[..., 0] > 200).mean(0)
        assert np.abs(bright[::-1] - moved[0]).max() < 1.5 and picture[row, column, 0] > 200
    face = mean_landmarks() * 200
    picture, moved = check.small(np.full((200, 200, 3), 255, np.uint8), face, seed=3)
    eyes = np.linalg.norm(moved[36:42].mean(0) - moved[42:48].mean(0))
    assert picture.shape == (1600, 1600, 3) and abs(eyes - 25) < 1e-6
    inside = np.argwhere(picture[..., 0] == 255)
    assert (moved.min(0) > inside.min(0)[::-1]).all() and (moved.max(0) < inside.max(0)[::-1]).all()


def test_a_check_that_cannot_be_made_is_refused(photographs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["faces"]) == 2 and "give pictures to find faces in, or --check" in capsys.readouterr().err
    known = ["--check", str(photographs / "val"), "--landmarks", str(photographs / "landmarks-val.npz")]
    assert main(["faces", "two.png", *known]) == 2 and "leave the other pictures or --check out" in capsys.readouterr().err
    assert main(["faces", "two.png", "--most", "3"]) == 2 and "--most counts the photographs of --check" in capsys.readouterr().err
    assert main(["faces", "--check", "."]) == 2 and "--check and --landmarks go together" in capsys.readouterr().err
    (photographs / "val" / "b.png").unlink()
    assert main(["faces", "--check", str(photographs / "val"), "--landmarks", str(photographs / "landmarks-val.npz")]) == 2
    assert "lacks 1 of the pictures" in capsys.readouterr().err and check.CheckError
    assert main(["faces", "--check", str(photographs / "val"), "--landmarks", str(photographs / "manifest-val.csv")]) == 2

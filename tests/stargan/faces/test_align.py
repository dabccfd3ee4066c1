"""From a photograph to the aligned square."""

from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from skimage import data

from stargan import fan
from stargan.faces import landmarks
from stargan.faces.align import NoFace, align, square
from stargan.faces.find import SURE, Face, find
from stargan.faces.frame import AlignError, mean_landmarks, similarity, warp
from stargan.media import images


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    return Image.fromarray(data.astronaut())


def eyes(landmarks: np.ndarray) -> np.ndarray:
    return np.stack([landmarks[36:42].mean(0), landmarks[42:48].mean(0)])


def test_the_astronaut_is_aligned(astronaut: Image.Image) -> None:
    found = align(astronaut, 256)
    assert found.image.size == (256, 256) and found.image.mode == "RGB" and found.notes == ()
    # The eyes of the photograph are at about (204, 102) and (249, 103).
    assert np.abs(eyes(found.landmarks) - [[204, 102], [249, 103]]).max() < 8
    again = align(found.image, 256)
    assert np.abs(eyes(again.landmarks) / 256 - eyes(mean_landmarks())).max() < 0.05


@pytest.mark.parametrize("angle", [-12, 12])
def test_a_tilted_face_is_turned_upright(astronaut: Image.Image, angle: int) -> None:
    tilted = align(astronaut.rotate(angle, Image.Resampling.BICUBIC, center=(225, 120)), 128)
    straight = align(astronaut, 128)
    difference = np.asarray(tilted.image, float) - np.asarray(straight.image, float)
    assert np.abs(difference[20:108, 30:98]).mean() < 20


def test_a_large_photograph_is_not_aliased(astronaut: Image.Image) -> None:
    large = align(astronaut.resize((2048, 2048), Image.Resampling.BICUBIC), 128)
    assert np.abs(np.asarray(large.image, float) - np.asarray(align(astronaut, 128).image, float)).mean() < 8


def test_the_largest_of_several_faces_is_taken_and_said(astronaut: Image.Image) -> None:
    two = Image.new("RGB", (900, 520), "grey")
    two.paste(astronaut.crop((100, 0, 350, 250)).resize((250, 250)), (20, 200))
    two.paste(astronaut.crop((100, 0, 350, 250)).resize((400, 400)), (450, 60))
    found = align(two, 128)
    assert eyes(found.landmarks)[:, 0].min() > 450
    assert found.notes[0].startswith("2 faces were found; the largest")


def test_a_face_cut_by_the_border_is_said(astronaut: Image.Image) -> None:
    cut = astronaut.crop((150, 20, 300, 158))
    found = align(cut, 128)
    assert any("cut by the border" in note for note in found.notes)
    assert np.asarray(found.image).std() > 20


@pytest.mark.parametrize("picture", ["coffee", "chelsea", "rocket", "grass", "clock"])
def test_a_picture_without_a_face_is_refused(picture: str) -> None:
    with pytest.raises(NoFace, match="no face was found; use a picture") as refused:
        align(Image.fromarray(getattr(data, picture)()), 128)
    assert max(refused.value.picture.size) <= 512


def test_a_face_that_is_too_small_has_its_own_sentence(astronaut: Image.Image) -> None:
    far = Image.new("RGB", (500, 300), "grey")
    far.paste(astronaut.crop((100, 0, 350, 250)).resize((70, 70)), (200, 100))
    with pytest.raises(NoFace, match=r"about 2\d px wide and needs 40"):
        align(far, 128)


@pytest.mark.parametrize("size", [(8000, 200), (32, 4000), (300, 300)])
def test_a_picture_of_nothing_is_refused_whatever_its_shape(size: tuple[int, int]) -> None:
    with pytest.raises(NoFace, match="no face was found"):
        align(Image.new("RGB", size), 128)


def test_unknown_aligners_are_refused(astronaut: Image.Image) -> None:
    with pytest.raises(ValueError, match=r"'dlib'.*fan-68, face_alignment"):
        align(astronaut, 128, backend="dlib")


def test_face_alignment_without_its_package_says_so(astronaut: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    landmarks.load_face_alignment.cache_clear()
    monkeypatch.setitem(sys.modules, "face_alignment", None)
    with pytest.raises(landmarks.FANUnavailable, match="bundled 68-point FAN"):
        align(astronaut, 128, backend="face_alignment")


def test_face_alignment_without_its_weights_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    package = pytest.importorskip("face_alignment")
    landmarks.load_face_alignment.cache_clear()

    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(package, "FaceAlignment", offline)
    with pytest.raises(landmarks.FANUnavailable, match=r"no route to host.*bundled 68-point FAN"):
        landmarks.FaceAlignmentFAN()


def test_the_adapter_gives_heatmaps_as_our_own_fan_does() -> None:
    network = fan.FAN(fan.FANConfig(landmarks=68, width=16, depth=2, coords=False, boundary=False)).eval()
    adapter = landmarks.FaceAlignmentFAN(network)
    x = torch.rand(2, 3, 128, 128) * 2 - 1
    with torch.inference_mode():
        assert adapter(x).shape == (2, 68, 64, 64)
        # The package's network takes 256 px in [0, 1].
        larger = torch.nn.functional.interpolate(x, size=(256, 256), mode="bilinear")
        torch.testing.assert_close(adapter(x), network(larger * 0.5 + 0.5))


def test_a_similarity_is_recovered() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(20, 2))
    angle, scale, shift = 0.7, 2.5, np.array([3.0, -4.0])
    rotation = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = similarity(points, points @ rotation.T + shift)
    np.testing.assert_allclose(matrix, np.column_stack([rotation, shift]), atol=1e-9)
    with pytest.raises(AlignError, match="fall together"):
        similarity(np.zeros((4, 2)), points[:4])


def test_the_identity_changes_nothing() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert np.array_equal(warp(rgb, np.eye(2, 3), 64), rgb)


def test_the_border_is_mirrored_and_softened() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    shifted = np.array([[1.0, 0, 40], [0, 1, 0]])
    out = warp(rgb, shifted, 64).astype(float)
    assert np.array_equal(out[:, 40:], rgb[:, :24])
    assert out[:, :25].std() < 0.6 * rgb.std() and abs(out[:, :25].mean() - rgb.mean()) < 12


def test_what_is_far_outside_of_the_square_does_not_matter() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (700, 500, 3), dtype=np.uint8)
    matrix = np.array([[0.8, 0.1, -200], [-0.1, 0.8, -250]])
    whole = warp(rgb, matrix, 64)
    other = rgb.copy()
    other[:200], other[480:] = 0, 255
    assert np.array_equal(warp(other, matrix, 64), whole)


def test_a_face_that_fills_the_picture_is_found(astronaut: Image.Image) -> None:
    square = align(astronaut, 236).image
    assert align(square, 128).image.size == (128, 128)


def test_landmarks_do_not_depend_on_the_size_of_the_picture(astronaut: Image.Image) -> None:
    half = align(astronaut.resize((256, 256), Image.Resampling.LANCZOS), 64)
    assert np.abs(half.landmarks * 2 - align(astronaut, 64).landmarks).mean() < 3
    assert images.to_tensor(half.image).shape == (1, 3, 64, 64)


def test_what_may_be_no_face_is_said(astronaut: Image.Image) -> None:
    (face,) = find(astronaut)
    assert square(astronaut, face, 64)[1] == ()
    assert square(astronaut, Face(face.landmarks, 0.52), 64)[1] == ("This may not be a face: 52 % sure.",)


def test_a_painted_face_is_taken_and_a_drawn_smile_is_not(astronaut: Image.Image) -> None:
    paint = Image.fromarray(cv2.stylization(np.asarray(astronaut.crop((100, 0, 350, 250))), sigma_s=40, sigma_r=0.5))
    assert find(paint)[0].sure > 0.6
    smile = Image.new("RGB", (300, 300), "yellow")
    draw = ImageDraw.Draw(smile)
    draw.ellipse((90, 90, 110, 120), "black")
    draw.ellipse((190, 90, 210, 120), "black")
    draw.arc((80, 100, 220, 230), 20, 160, "black", 6)
    assert all(face.sure < SURE for face in find(smile))

"""Pictures in memory: decoded once, drawn evenly, cropped."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from material import portrait

from train import data


def test_pictures_are_decoded_once(picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = data.load(picture_folder, "train", 32, tmp_path)
    assert first.pixels.shape == (8, 32, 32, 3) and first.domains == ("cold", "warm")
    assert first.batch([0, 7]).shape == (2, 3, 32, 32) and first.batch([0]).abs().max() <= 1
    monkeypatch.setattr(data.images, "read", lambda _: pytest.fail("decoded again"))
    second = data.load(picture_folder, "train", 32, tmp_path)
    assert np.array_equal(first.pixels, second.pixels)


def test_a_changed_folder_is_decoded_again(picture_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(picture_folder, tmp_path / "data")
    assert len(data.load(tmp_path / "data", "val", 32, tmp_path / "cache").names) == 8
    portrait(99).save(tmp_path / "data" / "val" / "warm" / "9.png")
    (tmp_path / "data" / "val" / "warm" / "._9.png").write_bytes(b"what another system writes beside each file")
    assert len(data.load(tmp_path / "data", "val", 32, tmp_path / "cache").names) == 9


def test_bad_folders_are_named(picture_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(data.DataError, match="no folder in .*train"):
        data.load(tmp_path, "train", 32, tmp_path / "cache")
    with pytest.raises(data.DataError, match="no folder for hot; it has cold, warm"):
        data.load(picture_folder, "train", 32, tmp_path / "cache", ["cold", "hot"])
    shutil.copytree(picture_folder, tmp_path / "data")
    broken = tmp_path / "data" / "train" / "cold" / "2.png"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(data.DataError, match=r"2\.png"):
        data.load(tmp_path / "data", "train", 32, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*"))
    for picture in list((tmp_path / "data" / "train" / "cold").iterdir())[1:]:
        picture.unlink()
    with pytest.raises(data.DataError, match="cold has 1 picture; a domain needs at least two"):
        data.load(tmp_path / "data", "train", 32, tmp_path / "cache")


def test_a_cache_that_cannot_be_written_to_is_named(picture_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place, reason in ((Path("/proc/cache"), "No such file or directory"), (tmp_path / "file" / "cache", "Not a directory")):
        with pytest.raises(data.DataError) as refused:
            data.load_splits(picture_folder, 32, place, ("cold", "warm"))
        sentence = f"{place} cannot be written to ({reason}); decoded pictures are kept there: make room, or choose another place"
        assert str(refused.value) == sentence


def test_sampling_is_balanced_and_seeded(picture_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(picture_folder, tmp_path / "data")
    for i in range(30):
        portrait(200 + i, 40).save(tmp_path / "data" / "train" / "warm" / f"more{i}.png")
    pictures = data.load(tmp_path / "data", "train", 32, tmp_path / "cache")
    domain, first, second = data.pairs(pictures, 400, np.random.default_rng(0))
    assert 160 < (domain == 0).sum() < 240
    assert (pictures.domain[first] == domain).all() and (pictures.domain[second] == domain).all()
    assert (first != second).all()
    again = data.pairs(pictures, 400, np.random.default_rng(0))
    assert all(np.array_equal(a, b) for a, b in zip((domain, first, second), again, strict=True))


def test_random_crops_show_at_least_most_of_the_picture() -> None:
    ramp = torch.linspace(-1, 1, 80).expand(64, 3, 80, 80).contiguous()
    out = data.random_crop(ramp, 64, np.random.default_rng(0))
    assert out.shape == (64, 3, 64, 64)
    spans = (out[:, 0, 32, -1] - out[:, 0, 32, 0]) / 2
    flipped = spans < 0
    assert 16 < flipped.sum() < 48
    assert spans.abs().min() > 0.75 and spans.abs().max() <= 1.0
    assert 10 < (spans.abs() > 0.96).sum() < 54

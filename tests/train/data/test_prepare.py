"""Preparing data sets: what is written, what is skipped and listed, interruption, bad input."""

from __future__ import annotations

import csv
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from material import portrait
from PIL import Image
from skimage import data as samples

from train import data
from train.cli.main import main
from train.data import framing, own, prepare
from train.data.making import PrepareError, Report


def files(root: Path) -> list[str]:
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file() and p.name != ".lock")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two domains of eight pictures, some of one stem, some in subfolders; two that cannot be read."""
    root = tmp_path / "source"
    for d, domain in enumerate(("cold", "warm")):
        (root / domain / "more").mkdir(parents=True)
        for i in range(4):
            portrait(10 * d + i, 48).save(root / domain / f"{i}.png")
        for i in range(2):
            portrait(10 * d + 4 + i, 48).save(root / domain / f"{i}.jpg")
            portrait(10 * d + 6 + i, 48).save(root / domain / "more" / f"{i}.png")
    whole = (root / "cold" / "3.png").read_bytes()
    (root / "cold" / "cut off.png").write_bytes(whole[: len(whole) // 2])
    (root / "warm" / "text.jpg").write_text("no picture")
    (root / "warm" / "notes.txt").write_text("listed")
    return root


# Folders


def test_a_folder_becomes_a_data_set(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = own.folder(source, out, 32, val_fraction=0.3)
    assert (report.written, report.kept) == (16, 0)
    assert [s.partition(":")[0] for s in report.skipped] == ["warm/notes.txt", "cold/cut off.png", "warm/text.jpg"]
    assert (out / "skipped.txt").read_text().splitlines() == list(report.skipped)
    pictures = [p for p in files(out) if p != "skipped.txt"]
    assert len(pictures) == 16
    assert all(Image.open(out / p).size == (32, 32) for p in pictures)
    assert len({(out / p).read_bytes() for p in pictures}) == 16
    loaded = [data.load(out, split, 32, tmp_path / "cache") for split in ("train", "val")]
    assert all(p.domains == ("cold", "warm") for p in loaded) and sum(len(p.names) for p in loaded) == 16


def test_a_second_run_keeps_everything(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    own.folder(source, out, 32)
    before = {p: (out / p).stat().st_mtime_ns for p in files(out) if p != "skipped.txt"}
    report = own.folder(source, out, 32)
    assert (report.written, report.kept, len(report.skipped)) == (0, 16, 3)
    assert {p: (out / p).stat().st_mtime_ns for p in files(out) if p != "skipped.txt"} == before
    (source / "cold" / "cut off.png").unlink()
    (source / "warm" / "text.jpg").unlink()
    (source / "warm" / "notes.txt").unlink()
    assert own.folder(source, out, 32) == Report(0, 16, ())
    assert not (out / "skipped.txt").exists()


def test_the_split_comes_from_the_seed_and_the_path(tmp_path: Path) -> None:
    root = tmp_path / "source"
    for domain in ("cold", "warm"):
        (root / domain).mkdir(parents=True)
        for i in range(60):
            Image.new("RGB", (32, 32), (i, 0, 0)).save(root / domain / f"{i}.png")
    own.folder(root, tmp_path / "a", 32, val_fraction=0.3)
    own.folder(root, tmp_path / "b", 32, val_fraction=0.3)
    own.folder(root, tmp_path / "c", 32, val_fraction=0.3, seed=1)
    first = files(tmp_path / "a")
    assert files(tmp_path / "b") == first != files(tmp_path / "c")
    assert 20 < sum(p.startswith("val") for p in first) < 52
    for i in range(60, 80):
        Image.new("RGB", (32, 32), (i, 0, 0)).save(root / "cold" / f"{i}.png")
    assert own.folder(root, tmp_path / "a", 32, val_fraction=0.3) == Report(20, 120, ())
    assert set(first) < set(files(tmp_path / "a"))


def test_pictures_that_are_in_train_and_val_are_counted(tmp_path: Path) -> None:
    root, sentence = tmp_path / "source", "leave one of each out, as val is for pictures that were not learned from"
    for i, place in enumerate(("train/cat", "train/dog", "val/cat", "val/dog")):
        (root / place).mkdir(parents=True)
        for j in range(3):
            portrait(10 * i + j, 48).save(root / place / f"{j}.png")
    assert own.folder(root, tmp_path / "none", 32).remarks == ()
    shutil.copy(root / "train" / "cat" / "1.png", root / "val" / "cat" / "copy.png")
    one = f"1 picture of val is in train, too: val/cat/copy.png, the same as train/cat/1.png; {sentence}"
    assert own.folder(root, tmp_path / "out", 32).remarks == (one,)
    shutil.copy(root / "train" / "cat" / "2.png", root / "val" / "dog" / "twin.png")
    two = f"2 pictures of val are in train, too, such as val/cat/copy.png, the same as train/cat/1.png; {sentence}"
    for kept in (13, 14):
        report = own.folder(root, tmp_path / "out", 32)
        assert report.kept == kept and report.remarks == (two,), "also of what was there before"
    assert f"skipped\n  {two}" in str(report)


@pytest.mark.parametrize(("val_fraction", "poor"), [(1e-9, "val"), (1 - 1e-9, "train")])
def test_every_split_gets_two_pictures(source: Path, tmp_path: Path, val_fraction: float, poor: str) -> None:
    out = tmp_path / "out"
    own.folder(source, out, 32, val_fraction=val_fraction)
    first = files(out)
    assert [len(list((out / poor / domain).iterdir())) for domain in ("cold", "warm")] == [2, 2] and len(first) == 17
    report = own.folder(source, out, 32, val_fraction=val_fraction)
    assert (report.written, report.kept) == (0, 16) and files(out) == first


def test_what_a_domain_lacks_in_one_split_is_said_to_come_from_the_other(tmp_path: Path) -> None:
    root, need = tmp_path / "source", "a domain needs 2 pictures to train and 2 for val, and what is prepared stays where it is"
    for i, (place, count) in enumerate({"train/cat": 4, "val/cat": 1, "train/dog": 3, "val/dog": 2}.items()):
        (root / place).mkdir(parents=True)
        for j in range(count):
            portrait(10 * i + j, 48).save(root / place / f"{j}.png")
    for _ in range(2):
        (remark,) = own.folder(root, tmp_path / "out", 32).remarks
        assert re.fullmatch(rf"1 picture of train is in val instead: train/cat/\d\.png; {need}", remark)
    assert len(list((tmp_path / "out" / "val" / "cat").iterdir())) == 2
    portrait(40, 48).save(root / "train" / "dog" / "3.png")
    (root / "val" / "dog").rename(root / "train" / "bird")
    (root / "val" / "bird").mkdir()
    portrait(41, 48).save(root / "val" / "bird" / "0.png")
    portrait(42, 48).save(root / "train" / "bird" / "2.png")
    (remark,) = own.folder(root, tmp_path / "more", 32).remarks
    pattern = r"4 pictures are in the other split than the source has them in, such as train/(bird|cat|dog)/\d\.png in val; "
    assert re.fullmatch(pattern + need, remark)


@pytest.mark.parametrize("stop", ["reading", "writing"])
def test_an_interrupted_run_is_continued(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: str) -> None:
    out, calls = tmp_path / "out", 0

    def interrupted(do: Callable[..., object]) -> Callable[..., object]:
        def wrapper(*arguments: object) -> object:
            nonlocal calls
            calls += 1
            if calls == 6:
                raise KeyboardInterrupt
            return do(*arguments)

        return wrapper

    with monkeypatch.context() as patch:
        if stop == "reading":
            patch.setattr(own.images, "centre_crop", interrupted(own.images.centre_crop))
        else:
            patch.setattr(os, "replace", interrupted(os.replace))
        with pytest.raises(KeyboardInterrupt):
            own.folder(source, out, 32)
    left = files(out)
    assert not [p for p in left if p.endswith(".part")]
    (out / "train" / "cold" / ".0123456789abcdef.part").write_bytes(b"what a killed process leaves")
    whole = [p for p in left if p.endswith(".png")]
    assert 5 <= len(whole) < 16 and all(Image.open(out / p).load() for p in whole)
    report = own.folder(source, out, 32)
    assert (report.written, report.kept) == (16 - len(whole), len(whole))
    assert not [p for p in files(out) if p.endswith(".part")]


def test_a_cut_off_file_is_made_again(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    own.folder(source, out, 32)
    cut = next(out.glob("val/warm/*.png"))
    content = cut.read_bytes()
    cut.write_bytes(content[:100])
    next(out.glob("train/warm/*.png")).write_bytes(b"")
    report = own.folder(source, out, 32)
    assert (report.written, report.kept) == (2, 14) and cut.read_bytes() == content
    cut = next(p for p in out.glob("*/warm/*.png") if p.stem.startswith("3-"))
    cut.write_bytes(content[:100])
    (source / "warm" / "3.png").write_bytes(content[:100])
    report = own.folder(source, out, 32)
    assert (report.written, report.kept, len(report.skipped)) == (0, 15, 4) and not cut.exists()


@pytest.mark.parametrize("change", [{"size": 40}, {"align": True}, {"seed": 1}, {"val_fraction": 0.4}])
def test_other_settings_need_another_folder(source: Path, tmp_path: Path, change: dict[str, object]) -> None:
    settings: dict = {"size": 32, "val_fraction": 0.3}
    own.folder(source, tmp_path / "out", **settings)
    before = files(tmp_path / "out")
    with pytest.raises(PrepareError, match=r"out/\w+/\w+/.*png.* would not be made .* choose another folder"):
        own.folder(source, tmp_path / "out", **(settings | change))
    assert files(tmp_path / "out") == before


def test_faces_are_aligned_and_pictures_without_one_are_listed(tmp_path: Path) -> None:
    root, out = tmp_path / "source", tmp_path / "out"
    (root / "people").mkdir(parents=True)
    face = Image.fromarray(samples.astronaut()[:256, 96:352])
    for i in range(4):
        face.save(root / "people" / f"{i}.png")
    portrait(1).save(root / "people" / "noise.png")
    report = own.folder(root, out, 64, align=True)
    assert report.written == 4 and len(report.skipped) == 1
    assert report.skipped[0].startswith("people/noise.png: no face was found")
    aligned = np.asarray(Image.open(next(out.glob("val/people/*.png"))), np.float64)
    assert aligned.shape == (64, 64, 3)
    assert np.abs(aligned - np.asarray(face.resize((64, 64)))).mean() > 10


def test_pictures_that_are_not_aligned_are_not_said_to_be(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / framing.ALIGNED).write_text("fan-68\n")
    own.folder(source, tmp_path / "out", 32)
    assert framing.aligner(tmp_path / "out") is None


def test_too_few_pictures_are_named(source: Path, tmp_path: Path) -> None:
    for name in ("0.png", "1.png", "2.png", "3.png", "0.jpg"):
        (source / "cold" / name).unlink()
    with pytest.raises(PrepareError, match=r"cold has 3 pictures left .* mend what .*skipped\.txt"):
        own.folder(source, tmp_path / "out", 32)
    assert "cut off.png" in (tmp_path / "out" / "skipped.txt").read_text()
    (source / "cold" / "1.jpg").unlink()
    with pytest.raises(PrepareError, match="2 pictures to train and 2 for val, but in .* cold has 3"):
        own.folder(source, tmp_path / "new", 32)
    assert not (tmp_path / "new").exists()


def test_bad_settings_and_folders_are_refused(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with pytest.raises(PrepareError, match="size is 16; take at least 32"):
        own.folder(source, out, 16)
    with pytest.raises(PrepareError, match="fraction for val is 0"):
        own.folder(source, out, 32, val_fraction=0)
    with pytest.raises(PrepareError, match="there is no folder or archive .*none"):
        own.folder(tmp_path / "none", out, 32)
    (tmp_path / "empty").mkdir()
    with pytest.raises(PrepareError, match="empty has no pictures; make a folder for each domain"):
        own.folder(tmp_path / "empty", out, 32)
    for inside in (source, source / "cold" / "out", tmp_path):
        with pytest.raises(PrepareError, match="lie in each other"):
            own.folder(source, inside, 32)
    out.write_text("")
    with pytest.raises(PrepareError, match="is a file"):
        own.folder(source, out, 32)
    assert main(["prepare", "folder", "--from", str(source), "--to", str(out / "in"), "--size", "32"]) == 2
    sentence = f"python -m train prepare: {out / 'in'} cannot be written to (Not a directory); make room, or choose another folder"
    assert capsys.readouterr().err.startswith(sentence)
    monkeypatch.setattr(own, "folder", lambda *_: os.write(os.open("/dev/full", os.O_WRONLY), b"x"))
    assert main(["prepare", "folder", "--from", str(source), "--to", str(tmp_path / "full"), "--size", "32"]) == 2
    assert f"{tmp_path / 'full'} cannot be written to (No space left on device); make room" in capsys.readouterr().err


def test_a_long_report_is_cut() -> None:
    assert str(Report(3, 1, ())) == "3 written, 1 kept, 0 skipped"
    assert str(Report(0, 0, ("a: b",))) == "0 written, 0 kept, 1 skipped\n  a: b"
    assert str(Report(0, 0, ("a: b",) * 12)).endswith("\n  a: b\n  and 2 more, see skipped.txt")


# Portraits


def test_portraits_are_cut_from_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone, out = tmp_path / "clone", tmp_path / "out"
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(
        "id,domain,split\r\n7,man,train\r\n107,orc,val\r\n1207,woman,train\r\n33,man,val\r\n34,man,val\r\n5,orc,train\r\n"
    )
    monkeypatch.setattr(prepare, "MANIFEST", manifest)
    (clone / "images" / "07").mkdir(parents=True)
    (clone / "images" / "33").mkdir()
    (clone / "images" / "34").mkdir()
    portrait(7, 256).save(clone / "images" / "07" / "An-orc-of-1207-7.jpg", quality=95)
    portrait(107, 256).save(clone / "images" / "07" / "Agent-007-107.png")
    portrait(1207, 128).save(clone / "images" / "07" / "Small-1207.jpg")
    whole = (clone / "images" / "07" / "Small-1207.jpg").read_bytes()
    (clone / "images" / "33" / "Broken-33.jpg").write_bytes(whole[: len(whole) // 2])
    portrait(34, 256).save(clone / "images" / "34" / "One-34.jpg")
    portrait(34, 256).save(clone / "images" / "34" / "Other-34.jpg")
    report = prepare.portraits(clone, out)
    assert (report.written, report.kept) == (2, 0)
    reasons = dict(s.split(": ", 1) for s in report.skipped)
    assert reasons.keys() == {"portrait 1207", "portrait 33", "portrait 34", "portrait 5"}
    assert "Small-1207.jpg is 128 x 128 px" in reasons["portrait 1207"] and "Broken-33.jpg is broken" in reasons["portrait 33"]
    assert "2 files" in reasons["portrait 34"] and "no files" in reasons["portrait 5"]
    assert files(out) == ["skipped.txt", "train/man/7.webp", "val/orc/107.webp"]
    with Image.open(out / "val" / "orc" / "107.webp") as cut:
        assert (cut.format, cut.size) == ("WEBP", (236, 236))
        wanted = np.asarray(portrait(107, 256).crop((10, 0, 246, 236)), np.float64)
        assert np.abs(np.asarray(cut, np.float64) - wanted).mean() < 6
    portrait(5, 256).save(clone / "images" / "07" / "Late-5.jpg")
    second = prepare.portraits(clone, out)
    assert (second.written, second.kept, len(second.skipped)) == (1, 2, 3)


def test_what_is_no_clone_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path / "none", tmp_path):
        with pytest.raises(PrepareError, match="no clone of the portraits.*git clone https://github.com"):
            prepare.portraits(folder, tmp_path.parent / f"{tmp_path.name}-out")
    with pytest.raises(PrepareError, match="lie in each other"):
        prepare.portraits(tmp_path, tmp_path / "images")


def test_the_manifest_is_sound() -> None:
    with prepare.MANIFEST.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({int(row["id"]) for row in rows}) == len(rows) == 7447
    assert {(row["split"], row["domain"]) for row in rows} == {(s, d) for s in ("train", "val") for d in ("man", "orc", "woman")}

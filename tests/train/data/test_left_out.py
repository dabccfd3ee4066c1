"""What in people's folders and archives is no picture of a domain, cannot be opened, or is read in a way of its own."""

from __future__ import annotations

import errno
import os
import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from material import portrait
from PIL import Image
from test_layouts import CASES, made, put, several, zipped

from stargan.media import images
from train import data
from train.data import layouts, own
from train.data.making import PrepareError, Report


def test_empty_folders_are_no_domains(tmp_path: Path) -> None:
    source = put(tmp_path / "source", several("cat", "dog"))
    (source / "bird").mkdir()
    (source / ".git").mkdir()
    for place in (source, zipped(source, tmp_path / "a.zip", folders=("bird",))):
        report = own.folder(place, tmp_path / f"out-{place.name}", 32)
        assert report.skipped == ("bird: has no pictures",)


def test_links_between_folders_are_followed_once(tmp_path: Path) -> None:
    source = put(tmp_path / "source", several("cat"))
    put(tmp_path / "elsewhere", several(""))
    (source / "dog").symlink_to(tmp_path / "elsewhere")
    (source / "hound").symlink_to(tmp_path / "elsewhere")
    (source / "cat" / "one more.png").symlink_to(tmp_path / "elsewhere" / "0.png")
    report = own.folder(source, tmp_path / "out", 32)
    assert report.written == 9 and "cat (5), dog (4)" in report.taken_for
    assert sorted(report.skipped) == ["hound: has no pictures", "hound: is a link to a folder that is here already"]


def test_what_cannot_be_opened_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = put(tmp_path / "source", [*several("cat"), "dog/0.png"])
    os.mkfifo(source / "cat" / "pipe.png")
    scan = os.scandir

    def scandir(place: str) -> object:
        if os.fspath(place).endswith("dog"):
            raise PermissionError(errno.EACCES, "Permission denied", place)
        return scan(place)

    monkeypatch.setattr(os, "scandir", scandir)
    report = own.folder(source, tmp_path / "out", 32)
    assert set(report.skipped) == {
        "dog: cannot be read (Permission denied)", "dog: has no pictures", "cat/pipe.png: is no file"
    }  # fmt: skip


def test_names_that_are_no_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = put(tmp_path / "source", several("caf\udce9", "dog"))
    (source / "dog" / "n\udce9.txt").write_text("x")
    report = own.folder(source, tmp_path / "out", 32)
    print(report)
    assert {domain for _, domain in made(tmp_path / "out")} == {"caf_", "dog"} and report.written == 8
    assert "dog/n\\udce9.txt: is no picture" in capsys.readouterr().out
    assert "dog/n\\udce9.txt: is no picture" in (tmp_path / "out" / "skipped.txt").read_text()


@pytest.mark.parametrize(
    "names,sentence",
    [
        (["cat.zip", "dog.tar.gz"], r"has no pictures, but archives \(cat.zip, dog.tar.gz\); unpack each"),
        (["cat/1.cr2", "dog/1.PSD"], r"no pictures that are read, but .cr2, .psd; convert them"),
        (["notes.txt"], "has no pictures; make a folder for each domain"),
    ],
)
def test_sources_without_pictures(names: list[str], sentence: str) -> None:
    with pytest.raises(layouts.LayoutError, match=sentence):
        layouts.find(names, "source", lambda _: "")


def test_links_in_archives_are_left_out_and_those_to_nothing_are_listed(tmp_path: Path) -> None:
    source = put(tmp_path / "source", several("cat", "dog"))
    archive = zipped(source, tmp_path / "a.zip")
    with zipfile.ZipFile(archive, "a") as opened:
        link = zipfile.ZipInfo("cat/passwords.png")
        link.external_attr = 0o120777 << 16
        opened.writestr(link, "/etc/passwd")
        opened.writestr("cat/./0.png", b"another")
    report = own.folder(archive, tmp_path / "out", 32)
    assert report.skipped == ("cat/passwords.png: is a link", "cat/0.png: is in the archive more than once; the first is taken")
    (source / "cat" / "gone.png").symlink_to("nowhere.png")
    (source / "dog" / "round").symlink_to(source)
    assert own.folder(source, tmp_path / "other", 32).skipped == ("cat/gone.png: is a link to nothing",)


def test_another_table_beside_folders_is_no_table_of_labels(tmp_path: Path) -> None:
    root = put(tmp_path / "source", several("cat", "dog"))
    (root / "prices.csv").write_text("thing,price\nbread,3\n")
    report = own.folder(root, tmp_path / "out", 32)
    assert "a folder for each domain" in report.taken_for and report.skipped == ("prices.csv: is no picture",)


@pytest.mark.parametrize("suffix", [".jfif", ".avif", ".heic", ".heif", ".jp2", ".jpeg", ".JPG", ".webp"])
def test_pictures_of_all_names(tmp_path: Path, suffix: str) -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    form = {".jfif": "JPEG", ".heic": "HEIF", ".heif": "HEIF", ".jp2": "JPEG2000", ".jpg": "JPEG"}.get(suffix.lower())
    for domain in CASES:
        (tmp_path / "source" / domain).mkdir(parents=True)
        for i in range(4):
            portrait(i, 64).save(tmp_path / "source" / domain / f"{i}{suffix}", form)
    assert own.folder(tmp_path / "source", tmp_path / "out", 32) == Report(8, 0, ())
    picture = images.read(tmp_path / "source" / "cat" / f"0{suffix}")
    assert np.abs(np.asarray(picture, np.float32) - np.asarray(portrait(0, 64), np.float32)).mean() < 20


@pytest.mark.parametrize("source", ["pics/*", "nothing", "a.txt"])
def test_sources_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("no archive")
    sentence = {
        "pics/*": "the pattern was not filled in",
        "nothing": "there is no folder or archive nothing",
        "a.txt": "zip archive",
    }
    with pytest.raises(PrepareError, match=sentence[source]):
        own.folder(Path(source), tmp_path / "out", 32)


def test_a_data_set_without_the_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(PrepareError, match="pip install datasets"):
        own.folder("hf:user/name", tmp_path / "out", 32)


@pytest.mark.parametrize("form", ["dict on disk", "one on disk", "parquet"])
def test_data_sets_of_hugging_face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    datasets = pytest.importorskip("datasets")
    kinds = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    rows = {"image": [portrait(i, 40) for i in range(8)], "label": [i % 2 for i in range(8)]}
    part, place = datasets.Dataset.from_dict(rows, features=kinds), tmp_path / "set"
    if form == "dict on disk":
        datasets.DatasetDict({"train": part, "validation": part.select(range(4))}).save_to_disk(place)
    elif form == "one on disk":
        part.save_to_disk(place)
    else:
        (place / "data").mkdir(parents=True)
        part.to_parquet(place / "data" / "train-00000-of-00001.parquet")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    report = own.folder(place, tmp_path / "out", 32)
    assert "a data set of Hugging Face (columns image and label)" in report.taken_for
    wanted = {"train": 4, "val": 2} if form == "dict on disk" else {}
    counts = made(tmp_path / "out")
    assert {domain for _, domain in counts} == {"cat", "dog"} and sum(counts.values()) == report.written
    assert all(counts[split, domain] == n for split, n in wanted.items() for domain in CASES)
    with Image.open(next((tmp_path / "out").rglob("*.png"))) as picture:
        assert picture.size == (32, 32)


def test_fit_names_all_broken_pictures_of_both_splits_at_once(tmp_path: Path) -> None:
    root = put(tmp_path / "data", several("train/cat", "val/cat"))
    for split in ("train", "val"):
        (root / split / "cat" / "cut.png").write_bytes(b"\x89PNG")
        (root / split / "cat" / "notes.txt").write_text("listed")
    said: list[str] = []
    with pytest.raises(data.DataError) as error:
        data.load_splits(root, 32, tmp_path / "cache", ("cat",), said.append)
    each = [rf"these pictures cannot be read, mend or remove them: \S+/{split}/cat/cut.png \(.+?\)" for split in ("train", "val")]
    assert re.fullmatch("; ".join(each), str(error.value)), "told apart, though a command line says it in one line"
    assert said == [f"left out, as no pictures: {root / split / 'cat' / 'notes.txt'}" for split in ("train", "val")]


def test_a_folder_that_is_not_prepared_says_how(tmp_path: Path) -> None:
    put(tmp_path / "pics", several("cat", "dog"))
    with pytest.raises(data.DataError, match="python -m train prepare folder --from .*pics"):
        data.folders(tmp_path / "pics" / "train")
    with pytest.raises(data.DataError) as error:
        data.load_splits(tmp_path / "none", 32, tmp_path / "cache", ("cat",))
    assert str(error.value).startswith(f"there is no folder {tmp_path / 'none'}; ") and str(error.value).count("none") == 2

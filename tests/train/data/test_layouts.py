"""How people's pictures lie, in folders and archives alike: told apart, said, and what is left out is listed with its reason."""

from __future__ import annotations

import errno
import os
import sys
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from material import portrait
from PIL import Image

from stargan.media import images
from train import data
from train.data import layouts, own
from train.data.making import PrepareError, Report
from train.data.splits import split_of

CASES = ("cat", "dog")


def several(*folders: str, count: int = 4, suffix: str = ".png") -> list[str]:
    return [f"{folder}/{i}{suffix}" if folder else f"{i}{suffix}" for folder in folders for i in range(count)]


# Files, what they are taken for, domains, splits (or none), and what is left out.
LAYOUTS: dict[str, tuple[list[str], str, set[str], set[str], dict[str, str]]] = {
    "a folder a domain": (several("cat", "dog"), "a folder for each domain", {"cat", "dog"}, {""}, {}),
    "image folder, deep": (several("cat/a/b", "cat/c", "dog/x"), "a folder for each domain", {"cat", "dog"}, {""}, {}),
    "one domain": (several("people"), "the folder of one domain", {"people"}, {""}, {}),
    "one domain with more": (several("people", "people/more"), "the folder of one domain", {"people"}, {""}, {}),
    "flat": (several(""), "one flat folder", {"source"}, {""}, {}),
    "train and val": (
        several("train/cat", "train/dog", "val/cat", "val/dog"),
        "a data folder with train, val",
        {"cat", "dog"},
        {"train", "val"},
        {},
    ),
    "Train and Test": (
        several("Train/cat", "Train/dog", "Test/cat", "Test/dog"),
        "a data folder with Test, Train",
        {"cat", "dog"},
        {"train", "val"},
        {},
    ),
    "train, val and test": (
        several("train/cat", "train/dog", "val/cat", "val/dog", "test/cat"),
        "a data folder with train, val",
        {"cat", "dog"},
        {"train", "val"},
        {"test": "left out, as val is there"},
    ),
    "train alone": (
        several("train/cat", "train/dog"),
        "a data folder with train, from which val is drawn",
        {"cat", "dog"},
        {""},
        {},
    ),
    "splits of one domain": (several("train", "val"), "of one domain", {"source"}, {"train", "val"}, {}),
    "splits and more": (
        several("train/cat", "val/cat", "notes"),
        "a data folder with train, val",
        {"cat"},
        {"train", "val"},
        {"notes": "left out, as it lies beside train, val"},
    ),
    "trainA and so on": (
        several("trainA", "trainB", "testA", "testB"),
        "pairs of folders, trainA and so on",
        {"A", "B"},
        {"train", "val"},
        {},
    ),
    "a wrapping folder": (several("faces/cat", "faces/dog"), "a folder for each domain", {"cat", "dog"}, {""}, {}),
    "two wrapping folders": (several("a/b/cat", "a/b/dog/x"), "a folder for each domain", {"cat", "dog"}, {""}, {}),
    "wrapped splits": (several("afhq/train/cat", "afhq/val/cat"), "a data folder", {"cat"}, {"train", "val"}, {}),
    "wrapped pairs": (several("horse2zebra/trainA", "horse2zebra/trainB"), "pairs of folders", {"A", "B"}, {""}, {}),
    "strays beside folders": (
        [*several("x/cat", "x/dog"), "x/0.png"],
        "a folder for each domain",
        {"cat", "dog"},
        {""},
        {"x/0.png": "lies in no domain's folder"},
    ),
    "names that differ in capitals": (several("Cat", "cat"), "a folder for each domain", {"Cat", "cat 2"}, {""}, {}),
    "a railway": (several("train", "car"), "a folder for each domain", {"train", "car"}, {""}, {}),
    "splits in each domain": (
        several("cat/train", "cat/val", "dog/train", "dog/test"), "test, train, val in it", {"cat", "dog"}, {"train", "val"}, {}
    ),
    "splits in one of the domains": (
        several("cat/train", "cat/val", "dog"), "a folder for each domain", {"cat", "dog"}, {"train", "val", ""}, {}
    ),
    "train, val and test in a domain": (
        several("cat/train", "cat/val", "cat/test", "dog"),
        "with train, val in it",
        {"cat", "dog"},
        {"train", "val", ""},
        {"cat/test": "left out, as val is there"},
    ),
    "splits of one domain in its folder": (several("x/cat/train", "x/cat/val"), "of one domain", {"cat"}, {"train", "val"}, {}),
    "training_set and test_set": (
        several("training_set/training_set/cat", "training_set/training_set/dog", "test_set/test_set/cat", "test_set/test_set/dog"),
        "a data folder with test_set, training_set",
        {"cat", "dog"},
        {"train", "val"},
        {},
    ),
    "seg_train and seg_test": (
        several("seg_train/cat", "seg_test/cat", "seg_pred"),
        "a data folder",
        {"cat"},
        {"train", "val"},
        {"seg_pred": "left out, as it lies beside"},
    ),
    "train-images, val2017": (several("train-images/cat", "val2017/cat"), "a data folder", {"cat"}, {"train", "val"}, {}),
    "a folder of images in each split": (
        several("train/images/cat", "train/images/dog", "val/images/cat"), "a data folder", {"cat", "dog"}, {"train", "val"}, {}
    ),
    "splits in images": (several("images/train/cat", "images/val/cat"), "a data folder", {"cat"}, {"train", "val"}, {}),
    "images of one domain": (several("train/images", "val/images"), "of one domain", {"source"}, {"train", "val"}, {}),
    "a val without domains": (
        [*several("train/cat", "train/dog"), "val/0.png"],
        "a data folder with train, from which val is drawn",
        {"cat", "dog"},
        {""},
        {"val/0.png": "lies in no domain's folder"},
    ),
    "train_male and so on": (
        several("train_male", "train_female", "test_male", "test_female"),
        "pairs of folders",
        {"male", "female"},
        {"train", "val"},
        {},
    ),
    "male-train and so on": (several("male-train", "male-val"), "pairs of folders", {"male"}, {"train", "val"}, {}),
    "pairs and more": (
        several("trainA", "trainB", "testA", "testB", "paper"),
        "pairs of folders",
        {"A", "B"},
        {"train", "val"},
        {"paper": "left out, as it lies beside testA, testB, trainA, trainB (4 pictures)"},
    ),
    "railways": (several("train_station", "train_track"), "a folder for each domain", {"train_station", "train_track"}, {""}, {}),
    "names of all kinds": (
        several("кошка", "e\u0301", "\u00e9", "my cats ", "-rf", "cat.v2", "a\udce9"),
        "a folder for each domain",
        {"кошка", "\u00e9", "\u00e9 2", "my cats", "-rf", "cat.v2", "a_"},
        {""},
        {},
    ),
    "suffixes in capitals": (several("cat", "dog", suffix=".JPG"), "a folder for each domain", {"cat", "dog"}, {""}, {}),
    "what is not read": (
        [*several("cat", "dog"), "cat/1.psd", "dog.zip", "dog/RAW.NEF"],
        "a folder for each domain",
        {"cat", "dog"},
        {""},
        {"cat/1.psd": "is a picture of a kind", "dog/RAW.NEF": "is a picture of a kind", "dog.zip": "is an archive; unpack it"},
    ),
    "programs' own": (
        [
            *several("cat", "dog"),
            "__MACOSX/cat/._0.png",
            "cat/.ipynb_checkpoints/0-checkpoint.png",
            "cat/@eaDir/0.png/thumb.jpg",
            "dog/.thumbnails/0.png",
            "dog/Thumbs.db",
            "dog/desktop.ini",
            ".DS_Store",
            "cat/._1.png",
        ],
        "a folder for each domain",
        {"cat", "dog"},
        {""},
        dict.fromkeys(
            [
                "__MACOSX",
                "cat/.ipynb_checkpoints",
                "cat/@eaDir",
                "dog/.thumbnails",
                "dog/Thumbs.db",
                "dog/desktop.ini",
                ".DS_Store",
                "cat/._1.png",
            ],
            "a program's own",
        ),
    ),
    "no pictures": (
        [*several("cat", "dog"), "cat/notes.txt", "readme.md", "dog/clip.mp4"],
        "a folder for each domain",
        {"cat", "dog"},
        {""},
        dict.fromkeys(["cat/notes.txt", "readme.md", "dog/clip.mp4"], "is no picture"),
    ),
}


@pytest.mark.parametrize("kind", LAYOUTS)
def test_layouts_are_told_apart(kind: str) -> None:
    names, words, domains, splits, left = LAYOUTS[kind]
    found = layouts.find(names, "source", lambda name: "")
    assert words in found.words
    assert {p.domain for p in found.pictures} == domains and {p.split for p in found.pictures} == splits
    assert not any(split_of(domain) for domain in domains) or kind == "a railway"
    reasons = dict(sentence.split(": ", 1) for sentence in found.left)
    assert reasons.keys() == left.keys()
    for name, reason in left.items():
        assert reasons[name].startswith(reason)
    assert len({p.name for p in found.pictures}) == len(found.pictures)


def put(root: Path, names: list[str]) -> Path:
    for i, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png" and not path.name.startswith("."):
            portrait(i, 40).save(path)
        else:
            path.write_bytes(b"no picture")
    return root


def zipped(root: Path, path: Path, slash: str = "/", folders: tuple[str, ...] = ()) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for folder in folders:
            archive.writestr(zipfile.ZipInfo(folder + slash), b"")
        for file in sorted(p for p in root.rglob("*") if p.is_file()):
            info = zipfile.ZipInfo(file.relative_to(root).as_posix().replace("/", slash))
            info.filename = info.filename.replace("/", slash)
            archive.writestr(info, file.read_bytes())
    return path


def made(out: Path) -> Counter[tuple[str, str]]:
    return Counter((p.parts[-3], p.parts[-2]) for p in out.glob("*/*/*.png"))


@pytest.mark.parametrize("way", ["folder", "zip", "zip with backslashes"])
@pytest.mark.parametrize("kind", ["a wrapping folder", "train and val", "trainA and so on", "programs' own", "image folder, deep"])
def test_all_ways_in_have_one_rule(tmp_path: Path, kind: str, way: str) -> None:
    names, words, domains, splits, left = LAYOUTS[kind]
    source = put(tmp_path / "source", names)
    if way != "folder":
        source = zipped(source, tmp_path / "source.zip", "\\" if "back" in way else "/")
    report = own.folder(source, tmp_path / "out", 32)
    assert words in report.taken_for and str(report).startswith("taken for ")
    assert {domain for _, domain in made(tmp_path / "out")} == domains
    pictures = [n for n in names if n.endswith(".png") and not any(n.startswith(mark) for mark in left)]
    assert report.written == len(pictures) == sum(made(tmp_path / "out").values())
    assert {sentence.split(": ")[0] for sentence in report.skipped} == set(left)
    if splits == {"train", "val"}:
        counts = made(tmp_path / "out")
        assert all(counts["train", domain] and counts["val", domain] for domain in domains)
    again = own.folder(source, tmp_path / "out", 32)
    assert (again.written, again.kept) == (0, len(pictures))


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
    assert "train/cat/cut.png" in str(error.value) and "val/cat/cut.png" in str(error.value)
    assert said == [f"left out, as no pictures: {root / split / 'cat' / 'notes.txt'}" for split in ("train", "val")]


def test_a_folder_that_is_not_prepared_says_how(tmp_path: Path) -> None:
    put(tmp_path / "pics", several("cat", "dog"))
    with pytest.raises(data.DataError, match="python -m train prepare folder --from .*pics"):
        data.folders(tmp_path / "pics" / "train")

"""How people's pictures lie, in folders and archives alike: told apart, said, and what is left out is listed with its reason."""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path

import pytest
from material import portrait

from train.data import layouts, own
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
    "thousands": (several("ffhq/00000", "ffhq/01000", "ffhq/69000"), "one flat folder, in thousands", {"ffhq"}, {""}, {}),
    "FFHQ": (several("images1024x1024/00000", "images1024x1024/01000"), "one flat folder, in thousands", {"source"}, {""}, {}),
    "a thousand of FFHQ": (several("ffhq/images1024x1024/05000"), "one flat folder, in thousands", {"ffhq"}, {""}, {}),
    "FFHQ in two sizes": (
        several("images1024x1024/00000", "images1024x1024/01000", "thumbnails128x128/00000", "thumbnails128x128/01000"),
        "one flat folder, in thousands",
        {"source"},
        {""},
        {"thumbnails128x128": "left out, as images1024x1024 is taken for the same pictures, larger (8 pictures)"},
    ),
    "domains in two sizes": (
        [*several("x/images_64x64/cat", "x/images_128x128/cat", "x/images_128x128/dog"), "x/0.png"],
        "a folder for each domain",
        {"cat", "dog"},
        {""},
        {"x/0.png": "lies in no domain's folder", "images_64x64": "left out, as images_128x128 is taken"},
    ),
    "domains of different sizes": (
        several("cat64x64", "images128x128"),
        "a folder for each domain",
        {"cat64x64", "images128x128"},
        {""},
        {},
    ),
    "numbers that are no thousands": (several("00000", "01500"), "a folder for each domain", {"00000", "01500"}, {""}, {}),
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
    "a railway with folders": (several("train/steam", "car"), "a folder for each domain", {"train", "car"}, {""}, {}),
    "a test folder that says no domains": (
        several("x/cat", "x/dog/deep", "x/test1"),
        "a folder for each domain",
        {"cat", "dog"},
        {""},
        {"test1": "left out, as it does not say which domain its pictures show (4 pictures)"},
    ),
    "val beside one domain, and no train": (
        several("cat", "val/some"),
        "the folder of one domain",
        {"cat"},
        {""},
        {"val": "left out, as it does not say which domain"},
    ),
    "val beside the domains": (
        several("x/cat", "x/dog/deep", "x/val/cat", "x/val/dog/deep"),
        "a folder for each domain, with val beside",
        {"cat", "dog"},
        {"train", "val"},
        {},
    ),
    "val beside one domain": (
        several("cat", "val/cat"),
        "the folder of one domain, with val beside",
        {"cat"},
        {"train", "val"},
        {},
    ),
    "train beside the domains": (
        several("cat", "dog", "train/cat", "train/dog"),
        "with train beside, from which val is drawn",
        {"cat", "dog"},
        {""},
        {},
    ),
    "val and test beside the domains": (
        several("cat", "dog", "val/cat", "val/dog", "test/cat"),
        "with val beside",
        {"cat", "dog"},
        {"train", "val"},
        {"test": "left out, as val is there"},
    ),
    "a val with more than the domains": (
        [*several("cat", "dog", "val/cat", "val/bird"), "val/0.png"],
        "with val beside",
        {"cat", "dog"},
        {"train", "val"},
        {"val/0.png": "lies in no", "val/bird": "left out, as no folder of that name lies beside val (4 pictures)"},
    ),
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
    assert words in found.words and ("in thousands" in found.words) == ("in thousands" in words)
    assert {p.domain for p in found.pictures} == domains and {p.split for p in found.pictures} == splits
    assert not any(split_of(domain) for domain in domains) or "railway" in kind
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
@pytest.mark.parametrize(
    "kind",
    [*("a wrapping folder", "train and val", "trainA and so on", "val beside the domains"), "programs' own", "image folder, deep"],
)
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

"""Archives that are unpacked: those of known data sets, and uploads. What is hostile or broken is listed or refused."""

from __future__ import annotations

import gzip
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from material import portrait
from PIL import Image
from test_prepare import files

from train.data import archives, making, own, prepare
from train.data.making import PrepareError, Report


def jpeg(path: Path, seed: int) -> bytes:
    portrait(seed, 64).save(path / "one.jpg")
    return (path / "one.jpg").read_bytes()


@pytest.mark.parametrize(
    ("unpack", "top", "val", "domains"),
    [
        (prepare.celeba_hq, "celeba_hq/", "val", ("female", "male")),
        (prepare.afhq, "afhq/", "val", ("cat", "dog", "wild")),
        (prepare.afhq, "", "test", ("cat", "dog", "wild")),
    ],
)
def test_archives_are_unpacked(
    tmp_path: Path, unpack: Callable[[Path, Path], Report], top: str, val: str, domains: tuple[str, ...]
) -> None:
    wanted = {}
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{top}README.txt", "not unpacked")
        for split in ("train", val):
            for d, domain in enumerate(domains):
                archive.writestr(f"{top}{split}/{domain}/", "")
                content = jpeg(tmp_path, d)
                archive.writestr(f"{top}{split}/{domain}/{d}.jpg", content)
                wanted[f"{'train' if split == 'train' else 'val'}/{domain}/{d}.jpg"] = content
    assert unpack(tmp_path / "a.zip", tmp_path / "out") == Report(len(wanted), 0, ())
    assert {p: (tmp_path / "out" / p).read_bytes() for p in files(tmp_path / "out")} == wanted
    assert unpack(tmp_path / "a.zip", tmp_path / "out") == Report(0, len(wanted), ())


def test_broken_and_hostile_members_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "MAX_MEMBER", 2**20)
    good, path, out = jpeg(tmp_path, 0), tmp_path / "a.zip", tmp_path / "sub" / "out"
    places = ("..", "../../train/cat", "/train/cat", "afhq/train/cat/../../..", "afhq/train/cow")
    hostile = [f"{place}/evil.jpg" for place in places]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("afhq/train/cat/1.jpg", good)
        archive.writestr("afhq/train/cat/flipped.jpg", b"\xff\xd8" + b"here be dragons" * 50)
        archive.writestr("afhq/train/cat/cut.jpg", good[: len(good) // 2])
        archive.writestr(zipfile.ZipInfo("afhq/train/cat/large.jpg"), bytes(2**20 + 1), zipfile.ZIP_DEFLATED)
        for name in hostile:
            archive.writestr(zipfile.ZipInfo(name), good)
        archive.writestr("train/cat/1.jpg", jpeg(tmp_path, 1))
        archive.writestr("afhq/val/cat/2.jpg", good)
    path.write_bytes(path.read_bytes().replace(b"dragons", b"dragonz", 1))
    report = prepare.afhq(path, out)
    assert (report.written, report.kept) == (2, 0)
    assert files(tmp_path / "sub") == ["out/skipped.txt", "out/train/cat/1.jpg", "out/val/cat/2.jpg"]
    assert (out / "train" / "cat" / "1.jpg").read_bytes() == good
    reasons = dict(s.split(": ", 1) for s in report.skipped)
    assert reasons.keys() == {*hostile, "train/cat/1.jpg", *(f"afhq/train/cat/{n}.jpg" for n in ("flipped", "cut", "large"))}
    assert all("none of the data set's folders" in reasons[name] for name in hostile)
    assert "broken in the archive" in reasons["afhq/train/cat/flipped.jpg"]
    assert "broken or cut off" in reasons["afhq/train/cat/cut.jpg"]
    assert "at most 1 are taken" in reasons["afhq/train/cat/large.jpg"]


def test_a_member_larger_than_it_declares_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train/male/bomb.jpg", jpeg(tmp_path, 0) + bytes(2**22))
        size = archive.infolist()[0].file_size
    path.write_bytes(path.read_bytes().replace(size.to_bytes(4, "little"), (1000).to_bytes(4, "little")))
    report = prepare.celeba_hq(path, tmp_path / "out")
    assert report.written == 0 and "bomb.jpg: is broken in the archive" in report.skipped[0]


def test_what_is_no_such_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("no archive")
    (tmp_path / "unpacked").mkdir()
    for name, sentence in (
        ("none.zip", r"there is no file \S+none\.zip; name the archive"),
        ("text.zip", r"text\.zip cannot be read as a zip archive .*download it again"),
        ("unpacked", r"unpacked is a folder; .*`python -m train prepare folder --from \S+unpacked --to \S+out --size"),
    ):
        with pytest.raises(PrepareError, match=sentence):
            prepare.afhq(tmp_path / name, tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "celeba.zip", "w") as archive:
        archive.writestr("celeba_hq/train/male/1.jpg", jpeg(tmp_path, 0))
    with pytest.raises(PrepareError, match="no pictures in train/ and val/ of cat, dog, wild"):
        prepare.afhq(tmp_path / "celeba.zip", tmp_path / "out")
    prepare.celeba_hq(tmp_path / "celeba.zip", tmp_path / "out")
    portrait(3).save(tmp_path / "out" / "train" / "male" / "own.png")
    with pytest.raises(PrepareError, match=r"own\.png would not be made"):
        prepare.celeba_hq(tmp_path / "celeba.zip", tmp_path / "out")


# Somebody's own archive


def archived(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return path


@pytest.mark.parametrize("around", ["", "faces/", "train/", "data/train/"])
def test_an_uploaded_archive_is_prepared(tmp_path: Path, around: str) -> None:
    members = {f"{around}{domain}/{i}.jpg": jpeg(tmp_path, i) for domain in ("a cat", "dog") for i in range(5)}
    members |= {f"{around}a cat/readme.txt": b"no picture", "__MACOSX/x/._0.jpg": b"rubbish", f"{around}dog/cut.png": b"\x89PNG"}
    report = own.folder(archived(tmp_path / "a.zip", members), tmp_path / "out", 48)
    assert report.written == 10
    reasons = [sentence.removeprefix(around).split(": ")[0] for sentence in report.skipped]
    assert reasons == ["__MACOSX", "a cat/readme.txt", "dog/cut.png"]
    assert {p.name for p in (tmp_path / "out" / "train").iterdir()} == {"a cat", "dog"}
    pictures = list((tmp_path / "out").rglob("*.png"))
    assert len(pictures) == 10
    with Image.open(pictures[0]) as picture:
        assert picture.size == (48, 48)


def test_hostile_uploads_are_refused_before_anything_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, out = jpeg(tmp_path, 0), tmp_path / "out"
    for name in ("../evil/1.jpg", "/etc/1.jpg", "cat/../../1.jpg", "..\\evil\\1.jpg", "C:/cat/1.jpg"):
        with pytest.raises(PrepareError, match=r"leads out of a\.zip"):
            own.folder(archived(tmp_path / "a.zip", {"cat/1.jpg": good, name: good}), out, 48)
    monkeypatch.setattr(archives, "MAX_ARCHIVE", 2**20)
    with pytest.raises(PrepareError, match=r"would unpack to .* GB"):
        own.folder(archived(tmp_path / "bomb.zip", {f"cat/{i}.jpg": bytes(2**18) for i in range(5)}), out, 48)
    with pytest.raises(PrepareError, match="has no pictures; make a folder for each domain"):
        own.folder(archived(tmp_path / "text.zip", {"1.txt": good, "2.txt": good}), out, 48)
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(PrepareError, match=r"text\.zip cannot be read as a zip archive"):
        own.folder(tmp_path / "text.zip", out, 48)
    # Of an upload only its name is somebody's business.
    with pytest.raises(PrepareError, match=r"needs 2 pictures to train and 2 for val, but in few\.zip \(taken for .*\) cat has 1"):
        own.folder(archived(tmp_path / "few.zip", {"cat/1.jpg": good}), out, 48)
    assert not out.exists()


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=["deflate", "bzip2", "lzma"])
def test_one_broken_member_costs_itself_alone(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        for i in range(6):
            archive.writestr(f"cat/{i}.jpg", jpeg(tmp_path, i))
    spoil(tmp_path / "a.zip", "cat/1.jpg")
    report = own.folder(tmp_path / "a.zip", tmp_path / "out", 48)
    assert report.written == 5 and "cat/1.jpg: is broken in the archive" in report.skipped[0]


def spoil(path: Path, name: str) -> None:
    """Breaks a member of an archive in its middle."""
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(name)
    content = bytearray(path.read_bytes())
    middle = member.header_offset + 30 + len(name) + member.compress_size // 2
    end = middle + min(24, member.compress_size // 4)
    content[middle:end] = bytes(byte ^ 0x5A for byte in content[middle:end])
    path.write_bytes(content)


def test_a_table_that_is_broken_or_packed_in_an_unknown_way_is_said(tmp_path: Path) -> None:
    table = "file,label\n" + "".join(f"{i}.jpg,{'ab'[i % 2]}\n" for i in range(8))
    members = {f"{i}.jpg": jpeg(tmp_path, i) for i in range(8)} | {"labels.csv": table.encode()}
    assert own.folder(archived(tmp_path / "good.zip", members), tmp_path / "out", 48).written == 8
    spoil(archived(tmp_path / "bad.zip", members), "labels.csv")
    with pytest.raises(PrepareError, match=r"labels\.csv is broken in the archive"):
        own.folder(tmp_path / "bad.zip", tmp_path / "other", 48)
    content = bytearray(archived(tmp_path / "new.zip", members).read_bytes())
    content[content.rfind(b"PK\x01\x02") + 6] = 99  # the version that its last member needs
    (tmp_path / "new.zip").write_bytes(content)
    with pytest.raises(PrepareError, match=r"new\.zip is broken, or cut off"):
        own.folder(tmp_path / "new.zip", tmp_path / "other", 48)


def test_headers_of_tar_archives_take_no_more_memory_than_they_should(tmp_path: Path) -> None:
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = tarfile.XHDTYPE, 40 * 2**20
    with gzip.open(tmp_path / "bomb.tar.gz", "wb") as file:
        file.write(header.tobuf(tarfile.GNU_FORMAT))
        for _ in range(41):
            file.write(bytes(2**20))
    tracemalloc.start()
    with pytest.raises(PrepareError, match=r"bomb\.tar\.gz"):
        own.folder(tmp_path / "bomb.tar.gz", tmp_path / "out", 48)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20 * 2**20


def test_what_fails_leaves_nothing_where_that_is_wished_and_nothing_of_others_goes(tmp_path: Path) -> None:
    good, out = {f"cat/{i}.jpg": jpeg(tmp_path, i) for i in range(6)}, tmp_path / "out"
    bad = {f"cat/{i}.jpg": b"no picture" for i in range(6)}
    for undo in (True, False):
        # A list that goes with the rest is no advice.
        named = r"cat/0\.jpg and 5 more \(.* is not a picture .*\)" if undo else r"what .*out.skipped\.txt names"
        with pytest.raises(PrepareError, match=f"cat has 0 pictures left .*; mend {named}, or add"):
            own.folder(archived(tmp_path / "bad.zip", bad), out, 48, undo=undo)
        assert out.exists() != undo
    own.folder(archived(tmp_path / "good.zip", good), out, 48, undo=True)
    with FileLock(out / ".lock"), pytest.raises(PrepareError, match="being prepared already"):
        own.folder(tmp_path / "good.zip", out, 48, undo=True)
    with pytest.raises(PrepareError, match="would not be made from this source"):
        own.folder(archived(tmp_path / "other.zip", {f"dog/{i}.jpg": good["cat/1.jpg"] for i in range(6)}), out, 48, undo=True)
    assert len(list(out.rglob("*.png"))) == 6

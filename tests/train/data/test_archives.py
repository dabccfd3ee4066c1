"""Archives of pictures: every kind is one rule, what is hostile is refused, what is broken says so."""

from __future__ import annotations

import errno
import io
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
from material import portrait

from train.data import archives, own
from train.data.making import PrepareError

KINDS = {
    "a.zip": "", "A.ZIP": "", "a.tar": "w", "a.tar.gz": "w:gz", "a.tgz": "w:gz", "a.tar.bz2": "w:bz2", "a.tar.xz": "w:xz",
    "download": "w:gz", "pictures.zip": "w:gz",
}  # fmt: skip


def content(i: int) -> bytes:
    file = io.BytesIO()
    portrait(i, 40).save(file, "JPEG")
    return file.getvalue()


FILES = {f"my set/{d}/{i}.JPG": content(10 * k + i) for k, d in enumerate(("кошка", "dog v1.0")) for i in range(4)}
FILES |= {"__MACOSX/my set/dog v1.0/._0.JPG": b"x", "my set/notes.txt": b"notes"}


def packed(path: Path, files: dict[str, bytes], mode: str) -> Path:
    if not mode:
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_one_rule(tmp_path: Path, kind: str) -> None:
    report = own.folder(packed(tmp_path / kind, FILES, KINDS[kind]), tmp_path / "out", 32)
    assert report.taken_for == "taken for a folder for each domain: dog v1.0 (4), кошка (4)" and report.written == 8
    assert set(report.skipped) == {"__MACOSX: a program's own (1 file)", "my set/notes.txt: is no picture"}
    again = own.folder(tmp_path / kind, tmp_path / "out", 32)
    assert (again.written, again.kept) == (0, 8)


@pytest.mark.parametrize("mode", ["", "w:gz"])
def test_a_table_in_an_archive(tmp_path: Path, mode: str) -> None:
    files = {f"images/{i}.jpg": content(i) for i in range(8)}
    files["labels.csv"] = "\n".join(["file;label", *(f"{i}.jpg;{'cat' if i % 2 else 'dog'}" for i in range(8))]).encode("utf-16")
    report = own.folder(packed(tmp_path / "a", files, mode), tmp_path / "out", 32)
    assert "a table of labels (labels.csv" in report.taken_for and "cat (4), dog (4)" in report.taken_for


@pytest.mark.parametrize("mode", ["", "w", "w:gz"])
@pytest.mark.parametrize("name", ["../evil/1.jpg", "/etc/1.jpg", "cat/../../1.jpg", "..\\evil\\1.jpg", "C:/cat/1.jpg"])
def test_paths_that_climb_out(tmp_path: Path, mode: str, name: str) -> None:
    path = packed(tmp_path / "a", {**FILES, name: content(0)}, mode)
    with pytest.raises(PrepareError, match="leads out of a; pack the folders of pictures alone"):
        own.folder(path, tmp_path / "out", 32)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a"]


@pytest.mark.parametrize("mode", ["", "w:gz"])
def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    path = packed(tmp_path / "a", {f"cat/{i}.jpg": bytes(2**18) for i in range(5)}, mode)
    monkeypatch.setattr(archives, "MAX_ARCHIVE", 2**20)
    monkeypatch.setattr(archives.tempfile, "tempdir", str(tmp_path / "place"))
    (tmp_path / "place").mkdir()
    with pytest.raises(PrepareError, match=r"a would unpack to .* GB; at most"):
        own.folder(path, tmp_path / "out", 32)
    assert not list((tmp_path / "place").iterdir()) and not (tmp_path / "out").exists()


def test_a_member_that_is_too_large_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBER", 2**16)
    path = packed(tmp_path / "a", {**FILES, "my set/кошка/9.png": bytes(2**17)}, "w:gz")
    assert "my set/кошка/9.png: has 0 MB unpacked; at most 0 are taken" in own.folder(path, tmp_path / "out", 32).skipped


def test_links_and_devices_of_a_tar_are_left_out(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.tar", FILES, "w")
    with tarfile.open(path, "a") as archive:
        for name, kind in (
            ("link", tarfile.SYMTYPE),
            ("hard", tarfile.LNKTYPE),
            ("pipe", tarfile.FIFOTYPE),
            ("disk", tarfile.BLKTYPE),
        ):
            info = tarfile.TarInfo(f"my set/dog v1.0/{name}.jpg")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    left = set(own.folder(path, tmp_path / "out", 32).skipped)
    assert {f"my set/dog v1.0/{name}.jpg: is a link" for name in ("link", "hard")} <= left
    assert {f"my set/dog v1.0/{name}.jpg: is no file" for name in ("pipe", "disk")} <= left


@pytest.mark.parametrize("kind", ["a.tar", "a.tar.gz", "a.tar.xz", "a.zip"])
@pytest.mark.parametrize("part", [0.3, 0.7])
def test_what_is_cut_off_says_so(tmp_path: Path, kind: str, part: float) -> None:
    path = packed(tmp_path / kind, FILES, KINDS[kind])
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(PrepareError, match=rf"{kind} (is broken, or cut off|cannot be read as a zip archive)") as error:
        own.folder(path, tmp_path / "out", 32)
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "name,data,sentence",
    [
        ("a.rar", b"Rar!\x1a\x07", "is an archive of another kind"),
        ("a.7z", b"7z\xbc\xaf", "is an archive of another kind"),
        ("photo.jpg", content(0), "is one picture; give a folder"),
        ("train-0.parquet", b"PAR1", "is a part of a data set of Hugging Face; give the folder"),
        ("a.zip", b"", "cannot be read as a zip archive"),
        ("notes.docx", b"text", "cannot be read as a zip archive"),
    ],
)
def test_what_is_none(tmp_path: Path, name: str, data: bytes, sentence: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(PrepareError, match=f"{name} {sentence}"):
        own.folder(tmp_path / name, tmp_path / "out", 32)


def test_an_archive_with_a_password(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", FILES, "")
    data = bytearray(path.read_bytes())
    start = data.find(b"PK\x01\x02")
    data[start + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(PrepareError, match="has a password; unpack it"):
        own.folder(path, tmp_path / "out", 32)


def test_archives_in_archives_are_named(tmp_path: Path) -> None:
    inner = {"cat.zip": packed(tmp_path / "cat.zip", FILES, "").read_bytes()}
    with pytest.raises(PrepareError, match=r"has no pictures, but archives \(cat.zip\); unpack each"):
        own.folder(packed(tmp_path / "a.zip", inner, ""), tmp_path / "out", 32)
    report = own.folder(packed(tmp_path / "b.zip", {**FILES, **inner}, ""), tmp_path / "out", 32)
    assert "cat.zip: is an archive; unpack it, to use what is in it" in report.skipped


def test_no_room_to_unpack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(PrepareError, match=r"there is no room to unpack a.tgz in .*; make some"):
        own.folder(packed(tmp_path / "a.tgz", FILES, "w:gz"), tmp_path / "out", 32)

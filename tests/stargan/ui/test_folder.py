"""Uploads and results go after their time, with the page, and where it was killed, at the start of the next."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from stargan.files import places
from stargan.ui.folder import Folder, _remove
from tests.processes import ran

KILLED = """
import os, signal
from stargan.ui.folder import Folder
folder = Folder(3600)
folder.new("picture.png").write_bytes(b"mine")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return tmp_path


def pictures(base: Path) -> list[str]:
    return sorted(path.name for path in base.rglob("*.png"))


def test_what_a_killed_page_left_goes_and_what_another_has_stays(base: Path) -> None:
    done = ran(["-c", KILLED], places.ROOT, os.environ)
    assert done.returncode == -signal.SIGKILL and pictures(base) == ["picture.png"]
    first = Folder(3600)
    assert pictures(base) == []
    first.new("own.png").write_bytes(b"")
    os.environ["GRADIO_TEMP_DIR"] = str(base)
    second = Folder(3600)
    assert pictures(base) == ["own.png"] and second.path != first.path
    assert first.path.stat().st_mode & 0o077 == 0, "other users of the machine can look into it"
    for folder in (first, second):
        shutil.rmtree(folder.path)


def test_files_go_after_their_time_whatever_the_clock_says(base: Path) -> None:
    folder = Folder(3600)
    old, new = folder.new("old.png"), folder.new("new.png")
    old.write_bytes(b"")
    os.utime(old, (0, 0))
    folder.sweep(1000.0)
    new.write_bytes(b"")
    os.utime(new, (2**33, 2**33))
    folder.sweep(1001.0)
    assert pictures(base) == ["new.png", "old.png"], "no file is older than the page has known it"
    folder.sweep(1000.0 + 3600)
    assert pictures(base) == ["new.png"]
    folder.sweep(1001.0 + 3600)
    assert pictures(base) == []
    folder.sweep(1001.0 + 2 * 3600)
    assert os.listdir(folder.path) == [".lock"], "empty folders are left"
    shutil.rmtree(folder.path)


def test_what_is_written_while_the_folder_goes_goes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, removed = tmp_path / "kept", []
    kept.mkdir()
    remove = shutil.rmtree

    def late(path: Path, **options: bool) -> None:
        remove(path, **options)
        if len(removed) < 2:
            kept.mkdir()
            (kept / "late.png").touch()
        removed.append(path)

    monkeypatch.setattr(shutil, "rmtree", late)
    _remove(kept)
    assert len(removed) == 3 and not kept.exists()

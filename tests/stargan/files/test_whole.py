"""Files that are whole or not there, and what is left of those that are not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from stargan.files import places, sweep, whole

KILLED = """
import os, signal, sys
from stargan.files import whole
with whole(sys.argv[1]) as partial:
    partial.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(path: Path) -> Path:
    """What is left of a process that is killed while it writes a file."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=places.ROOT)
    assert done.returncode == -signal.SIGKILL and not path.exists()
    (left,) = path.parent.glob(".*.part")
    assert left.read_text() == "half"
    return left


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with whole(path) as partial:
        partial.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["a"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_a_pipe_or_a_device_stays_what_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        with pytest.raises(OSError, match="no ordinary file"), whole(tmp_path / name) as partial:
            partial.write_text("new")
    assert (tmp_path / "pipe").is_fifo() and sorted(os.listdir(tmp_path)) == ["link", "pipe"]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), whole(path) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a"]


def test_what_a_kill_left_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a"
    left = killed(path)
    with whole(path) as partial:
        assert partial == left and partial.read_bytes() == b""
        partial.write_text("new")
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["a"]


def test_what_a_kill_left_is_swept_and_what_is_being_written_stays(tmp_path: Path) -> None:
    killed(tmp_path / "a")
    (tmp_path / "mine.part").write_text("of another program")
    with whole(tmp_path / "b") as partial:
        sweep(tmp_path)
        assert sorted(os.listdir(tmp_path)) == sorted([partial.name, "mine.part"])
        partial.write_text("new")
    assert (tmp_path / "b").read_text() == "new"


def test_several_write_one_file_at_once(tmp_path: Path) -> None:
    path, texts = tmp_path / "a", [str(i) * 10_000 for i in range(8)]

    def write(text: str) -> None:
        for _ in range(50):
            with whole(path) as partial:
                partial.write_text(text)
            assert path.read_text() in texts

    failed: list[object] = []
    before, threading.excepthook = threading.excepthook, failed.append
    try:
        threads = [threading.Thread(target=write, args=(text,)) for text in texts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        threading.excepthook = before
    assert not failed and os.listdir(tmp_path) == ["a"]


def test_what_others_have_begun_is_not_swept(tmp_path: Path) -> None:
    (tmp_path / ".a-download.part").write_text("of another program")
    sweep(tmp_path)
    assert (tmp_path / ".a-download.part").exists()


def test_without_locks_nothing_is_left_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stargan.files.fcntl", None)
    replace, closed = os.replace, []

    def noted(partial: Path, target: Path) -> None:
        closed.append(not any(os.path.samefile(partial, link) for link in Path("/proc/self/fd").iterdir() if link.exists()))
        replace(partial, target)

    monkeypatch.setattr(os, "replace", noted)
    with whole(tmp_path / "file") as partial:
        partial.write_text("whole")
    assert os.listdir(tmp_path) == ["file"] and closed == [True], "an open file cannot be moved everywhere"

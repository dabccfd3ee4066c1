"""How the process that trains holds its memory."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

from train import memory
from train.cli.main import main

PROGRAM = """
import os, sys
from train.memory import use_large_pages

use_large_pages()
block = bytearray(100_000)
heap = open("/proc/self/smaps").read().partition("[heap]")[2]
print(os.getpid(), "hg" in heap.partition("VmFlags:")[2].partition(chr(10))[0].split(), os.environ["GLIBC_TUNABLES"], sys.argv[1:])
"""


@pytest.mark.skipif(not memory.large_pages_are_offered(), reason="no pages of 2 MB for who asks, or another C library")
def test_the_process_begins_anew_once_with_large_pages() -> None:
    environment = os.environ | {"GLIBC_TUNABLES": "glibc.malloc.check=0"}
    command = [sys.executable, "-c", PROGRAM, "a", "b c"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        said, _ = process.communicate(timeout=60)
    assert said.strip() == f"{process.pid} True glibc.malloc.check=0:glibc.malloc.hugetlb=1 ['a', 'b c']"


@pytest.mark.parametrize(
    ("pages", "tunables"),
    [
        ("always [madvise] never", "glibc.malloc.hugetlb=0"),
        ("[always] madvise never", ""),
        ("always madvise [never]", ""),
        (None, ""),  # another system
    ],
)
def test_it_stays_where_that_is_settled(
    pages: str | None, tunables: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "LARGE_PAGES", tmp_path / "enabled")
    if pages is not None:
        memory.LARGE_PAGES.write_text(pages)
    monkeypatch.setenv(memory.TUNABLES, tunables)
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("it began anew"))
    memory.use_large_pages()
    assert os.environ[memory.TUNABLES] == tunables


def test_only_commands_begin_anew(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[str] = []
    monkeypatch.setattr("train.cli.main.use_large_pages", lambda: asked.append(sys.argv[1]))
    for verb in ("fit", "bench", "prepare"):
        monkeypatch.setattr(sys, "argv", ["train", verb, "--no-such-option"])
        for arguments in (None, [verb, "--no-such-option"]):
            with pytest.raises(SystemExit):
                main(arguments)
    assert asked == ["fit", "bench"] and "see --help" in capsys.readouterr().err


def test_what_another_process_works_for_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A child has the arguments of what began it, not its own."""
    monkeypatch.setattr(memory, "LARGE_PAGES", tmp_path / "enabled")
    memory.LARGE_PAGES.write_text("always [madvise] never")
    monkeypatch.delenv(memory.TUNABLES, raising=False)
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: object())
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("it began anew"))
    memory.use_large_pages()
    assert memory.TUNABLES not in os.environ

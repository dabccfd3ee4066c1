"""What is found where a run or a preparation was killed, or is still going on."""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import signal
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock
from material import TINY_RUN, portrait

from train import config, data, log
from train.data import own
from train.data.making import PrepareError
from train.run import loop
from train.run.runner import Runner
from train.run.stopping import stopped_by_signals, unread_output


def lines(*iterations: int) -> str:
    return "".join(json.dumps({"iteration": i, "seconds": i, "G/latent_adv": 1.0}) + "\n" for i in iterations)


def test_a_log_is_cut_where_its_run_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log.cut(path, 2)
    assert not path.exists()
    path.write_text(lines(1, 2, 3, 4) + lines(5)[:9])
    log.cut(path, 2)
    assert path.read_text() == lines(1, 2)
    path.write_text(lines(1, 2)[:-1])
    log.cut(path, 2)
    assert path.read_text() == lines(1), "a line without its end may be half a line"
    log.cut(path, 0)
    assert path.read_text() == ""
    path.write_bytes(lines(1).encode() + b"\xff\xfe\x00\n" + b"\x80" * 9)
    log.cut(path, 2)
    assert path.read_text() == lines(1), "what a crash of the machine has left"


def test_a_run_that_was_killed_stands_at_its_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text('{"iterations": 4}')
    (folder / "log.jsonl").write_text(lines(1, 2, 3, 4))
    (folder / "checkpoint-0000002.pt").touch()
    now = Runner(tmp_path, tmp_path / "data").progress("run")
    assert (now.state, now.iteration) == ("stopped", 2), "it has to be possible to continue it"


def test_room_for_pictures_is_taken_before_they_are_decoded(picture_folder: Path, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, before[1]))
    try:
        with pytest.raises(data.DataError, match=r"no room for \d+ MB of decoded pictures"):
            data.load(picture_folder, "train", 128, tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((tmp_path / "cache").iterdir())
    assert len(data.load(picture_folder, "train", 128, tmp_path / "cache").names) == 8


def test_one_process_prepares_a_folder(tmp_path: Path) -> None:
    for domain in ("cold", "warm"):
        (tmp_path / "source" / domain).mkdir(parents=True)
        for i in range(4):
            portrait(i, 48).save(tmp_path / "source" / domain / f"{i}.png")
    out = tmp_path / "out"
    out.mkdir()
    with FileLock(out / ".lock"), pytest.raises(PrepareError, match="being prepared already; wait"):
        own.folder(tmp_path / "source", out, 32)
    assert own.folder(tmp_path / "source", out, 32).written == 8


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_run_whose_terminal_and_tensorboard_have_gone_is_saved(
    picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on_step(iteration: int, found: dict[str, float]) -> None:
        if iteration == 1:
            shutil.rmtree(tmp_path / "tiny" / "tensorboard")
        if iteration == 2:
            os.kill(os.getpid(), signal.SIGHUP)

    reader, writer = os.pipe()
    os.close(reader)
    printed = os.fdopen(writer, "w", buffering=1)
    monkeypatch.setattr(sys, "stdout", printed)
    monkeypatch.setattr(sys, "stderr", printed)
    before = signal.signal(signal.SIGHUP, signal.default_int_handler)
    try:
        changes = {"data": str(picture_folder), "runs": str(tmp_path), "iterations": 1000, "save_every": 1000, "log_every": 1}
        state = loop.fit(config.from_mapping(TINY_RUN | changes), on_step)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        with stopped_by_signals(stop := threading.Event()):
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    printed.close()
    small = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", small)
    with unread_output():
        print("n\udcf6tes.txt, Mädchen", flush=True)
    assert small.buffer.getvalue() == b"n\\udcf6tes.txt, M\\xe4dchen\n"  # type: ignore[attr-defined]
    assert sys.stderr is printed and not stop.is_set()
    assert state.iteration == 2 and (tmp_path / "tiny" / "checkpoint-0000002.pt").exists()

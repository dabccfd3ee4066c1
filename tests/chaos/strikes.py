"""What befalls a command, and what is wrong with it afterwards: nothing, as a rule."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from stargan.files import places
from tests.chaos.commands import Command, litter, result
from tests.processes import NOTHING, Process, Start, fresh

PATIENCE = 600.0  # seconds that a call may take
ENOUGH = 512 * 2**20  # bytes: room for any of the commands
PAGE = 4096  # bytes, in which room is given
MOST_ROOM = 40  # pages: too little for whatever a command begins with
LONGEST_DELAY = 0.05  # seconds between a change of files and the kill that follows it


class Started(NamedTuple):
    """A call under way, and the file that it writes to."""

    process: Process
    said: Path


@dataclass(frozen=True)
class Call:
    """How a process ended, and what it said on stderr."""

    code: int
    said: str

    @property
    def killed(self) -> bool:
        return self.code < 0

    def faults(self) -> list[str]:
        """What is wrong with the way in which it failed: it has to be with a sentence."""
        if "Traceback" in self.said:
            return [f"a traceback: {self.said.strip().splitlines()[-1]}"]
        if self.killed:
            return [f"ended by signal {-self.code}"]
        return [] if self.said.strip() else [f"exit code {self.code} without a word"]


@dataclass
class Tally:
    """What became of one command under one kind of strike. faults: a sentence on whatever was lost or said badly."""

    command: str
    strike: str
    struck: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Whole:
    """What an undisturbed call comes to: its files' digests, how many changes of files it takes, and how many bytes it leaves."""

    files: dict[str, str]
    changes: int
    size: int


class Arena:
    """Calls commands in folders of its own, and compares what they come to with what an undisturbed call comes to."""

    def __init__(self, folder: Path, seed: int | str, patience: float = PATIENCE, begin: Start = fresh) -> None:
        """patience: seconds after which a call hangs. begin: starts its processes."""
        self.folder, self.random, self.patience, self.begin = folder, random.Random(seed), patience, begin
        self._whole: dict[str, Whole] = {}

    @contextlib.contextmanager
    def out(self) -> Iterator[Path]:
        out = Path(tempfile.mkdtemp(dir=self.folder))
        try:
            yield out
        finally:
            shutil.rmtree(out)

    def start(self, command: Command, out: Path, at: int = 0, delay: float = 0.0, clock: float = 0.0) -> Started:
        """A call of the command under the eyes of `sitecustomize`; see there for what the numbers mean."""
        path = os.pathsep.join([str(Path(__file__).parent / "mortal"), str(places.ROOT)])
        ways = {"CHAOS_FOLDER": out, "CHAOS_AT": at, "CHAOS_DELAY": delay, "CHAOS_CLOCK": clock, "CHAOS_COUNT": self._counter(out)}
        environment = os.environ | {k: str(v) for k, v in ways.items()} | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        said = self.folder / f"{uuid.uuid4()}-said"
        return Started(self.begin(command.at(out), places.ROOT, environment, NOTHING, said), said)

    def call(self, command: Command, out: Path, at: int = 0, delay: float = 0.0, clock: float = 0.0) -> Call:
        return self.finished(self.start(command, out, at, delay, clock))

    def finished(self, call: Started) -> Call:
        try:
            return Call(call.process.wait(timeout=self.patience), call.said.read_text(errors="replace"))
        except subprocess.TimeoutExpired:
            call.process.kill()
            call.process.wait()
            return Call(1, f"Traceback: hung for {self.patience:g} s")

    def whole(self, command: Command) -> Whole:
        if command.name not in self._whole:
            with self.out() as out:
                call = self.call(command, out)
                if call.code != 0:
                    raise RuntimeError(f"{command.name} does not even work undisturbed: {call.said}")
                size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
                self._whole[command.name] = Whole(result(out), self._counter(out).stat().st_size, size)
        return self._whole[command.name]

    def compare(self, command: Command, out: Path, call: Call) -> list[str]:
        """What is wrong after the last call, which nothing disturbed."""
        if call.code != 0:
            return [f"did not go on: {call.said.strip().splitlines()[-1] if call.said.strip() else call.code}"]
        wanted, found = self.whole(command).files, result(out)
        lost = [f"{name} is lost" for name in wanted if name not in found]
        more = [f"{name} is too many" for name in found if name not in wanted]
        other = [f"{name} differs" for name in wanted if found.get(name, wanted[name]) != wanted[name]]
        return [*lost, *more, *other, *(f"{name} is left" for name in litter(out))]

    def _counter(self, out: Path) -> Path:
        return out.with_name(f"{out.name}-changes")


def kills(arena: Arena, command: Command, count: int) -> Tally:
    """Kills at random changes of files and shortly after them, up to three in a row."""
    tally, changes = Tally(command.name, "kill -9"), arena.whole(command).changes
    while tally.struck < count:
        with arena.out() as out:
            for _ in range(min(arena.random.randint(1, 3), count - tally.struck)):
                delay = arena.random.choice([0.0, arena.random.uniform(0, LONGEST_DELAY)])
                at = arena.random.randint(1, changes)
                before = tally.struck
                call = arena.call(command, out, at, delay)
                # A process of its own that was killed makes the command fail with a sentence.
                tally.struck += call.code != 0
                if not call.killed and call.code != 0:
                    tally.faults += call.faults()
                if tally.struck == before:
                    break
            tally.faults += arena.compare(command, out, arena.call(command, out))
    return tally


def full_disk(arena: Arena, command: Command, count: int) -> Tally:
    """Rooms of random size, less than what is needed; then there is room again."""
    tally, most = Tally(command.name, "full disk"), min(MOST_ROOM, arena.whole(command).size // PAGE - 1)
    for _ in range(count):
        with arena.out() as out, mounted(out) as remount:
            remount(f"size={arena.random.randint(1, max(1, most)) * PAGE}")
            call = arena.call(command, out)
            if call.code != 0:
                tally.struck += 1
                tally.faults += call.faults()
            remount(f"size={ENOUGH}")
            tally.faults += arena.compare(command, out, arena.call(command, out))
    return tally


def read_only(arena: Arena, command: Command, count: int) -> Tally:
    """The folder cannot be written to, before anything is there or with what a kill has left; then it can again."""
    tally, changes = Tally(command.name, "read-only"), arena.whole(command).changes
    for i in range(count):
        with arena.out() as out, mounted(out) as remount:
            if i % 2:
                arena.call(command, out, arena.random.randint(1, changes))
            remount("ro")
            call = arena.call(command, out)
            if call.code != 0:
                tally.struck += 1
                tally.faults += call.faults()
            remount(f"rw,size={ENOUGH}")
            tally.faults += arena.compare(command, out, arena.call(command, out))
    return tally


def two_at_once(arena: Arena, command: Command, count: int) -> Tally:
    """Two calls on one folder: each works or says why not."""
    tally = Tally(command.name, "two at once")
    for _ in range(count):
        with arena.out() as out:
            calls = [arena.finished(process) for process in [arena.start(command, out) for _ in range(2)]]
            tally.struck += 1
            for call in calls:
                if call.code != 0:
                    tally.faults += call.faults()
            tally.faults += arena.compare(command, out, arena.call(command, out))
    return tally


def clock(arena: Arena, command: Command, count: int) -> Tally:
    """The clock jumps by a day to and fro all the time, and the call is killed once."""
    tally, changes = Tally(command.name, "clock jumps"), arena.whole(command).changes
    for _ in range(count):
        with arena.out() as out:
            arena.call(command, out, arena.random.randint(1, changes), clock=86400.0)
            tally.struck += 1
            tally.faults += arena.compare(command, out, arena.call(command, out, clock=86400.0))
    return tally


STRIKES: dict[str, Callable[[Arena, Command, int], Tally]] = {
    "kill": kills,
    "full-disk": full_disk,
    "read-only": read_only,
    "two-at-once": two_at_once,
    "clock": clock,
}
MOUNTING = ("full-disk", "read-only")


@contextlib.contextmanager
def mounted(folder: Path) -> Iterator[Callable[[str], None]]:
    """A file system in memory at `folder` meanwhile; yields what mounts it anew with other options. PermissionError where this
    user may not mount."""
    _mount("-t", "tmpfs", "-o", f"size={ENOUGH}", "tmpfs", str(folder))
    try:
        yield lambda options: _mount("-o", f"remount,{options}", str(folder))
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _mount(*arguments: str) -> None:
    try:
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    except FileNotFoundError as error:
        raise PermissionError(str(error)) from None
    if done.returncode:
        raise PermissionError(done.stderr.strip())


def cannot_mount(folder: Path) -> str:
    """Why file systems cannot be mounted here; empty where they can."""
    try:
        with mounted(folder):
            return ""
    except PermissionError as error:
        return str(error)

"""Processes of Python: `fresh` ones, and ones `forked` from a process that has read the project and its libraries already, which
takes several seconds of a processor. Both have an environment, folder, output and end of their own; but what a library takes
from the environment as it is read (huggingface_hub does), forked ones have as the tests have it, unless they read it anew.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.forkserver
import multiprocessing.util  # whose end, which waits, comes after what is registered later
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

LIBRARIES = ["torch", "torchvision", "stargan.ui", "train.ui", "train.run.loop", "train.cli.main", "torch._dynamo"]
TESTS = str(Path(__file__).parent)
NOTHING = Path(os.devnull)
spawned = multiprocessing.util.spawnv_passfds


class Process(Protocol):
    """What tests need of a `subprocess.Popen`."""

    pid: int

    @property
    def returncode(self) -> int | None: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


class Start(Protocol):
    def __call__(self, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], output: Path, errors: Path) -> Process:
        """Starts `python` with these arguments; what it writes goes to the ends of these files."""


def fresh(arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], output: Path, errors: Path) -> Process:
    with output.open("ab") as written, errors.open("ab") as said:
        return subprocess.Popen([sys.executable, *arguments], cwd=cwd, env=environment, stdout=written, stderr=said)


class Forked:
    """A process as `Process` has it."""

    # How a process ended is read once, from a pipe, and starting one asks all others: two threads at once would both read.
    asked = threading.Lock()

    def __init__(self, process: Any) -> None:
        with self.asked:
            process.start()
        self._process, self.pid = process, int(process.pid)

    @property
    def returncode(self) -> int | None:
        with self.asked:
            found: int | None = self._process.exitcode
        return found

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """TimeoutExpired where it goes on for longer."""
        multiprocessing.connection.wait([self._process.sentinel], timeout)
        code = self.returncode
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return code

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


@functools.cache
def server() -> Any:
    """What forks, running: a process of these tests has one. Whoever is still there at their end is killed, and not waited for."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LIBRARIES)
    multiprocessing.forkserver.ensure_running()
    atexit.register(_kill_all)
    return context


def fork_from_here() -> None:
    """Has what forks be forked itself, from this process, which has no threads yet, instead of reading everything again."""
    for library in LIBRARIES:
        importlib.import_module(library)
    with mock.patch.object(multiprocessing.util, "spawnv_passfds", _begin):
        server()


def _begin(executable: bytes, arguments: Sequence[str], files: Sequence[int]) -> int:
    """As `multiprocessing.util.spawnv_passfds`, but what forks goes on from here."""
    if "forkserver" not in arguments[-1]:
        return spawned(executable, arguments, files)
    if process := os.fork():
        return process
    try:
        atexit._clear()
        atexit.register(multiprocessing.util._exit_function)
        multiprocessing.forkserver._forkserver.__init__()  # type: ignore[misc]  # whoever forked holds its lock
        nothing = os.open(os.devnull, os.O_RDWR)
        for file in map(int, os.listdir("/dev/fd")):
            if file not in (*files, *range(3)):
                with contextlib.suppress(OSError):  # the list's own
                    os.dup2(nothing, file)
        exec(arguments[-1], {})
    finally:
        os._exit(0)


def _kill_all() -> None:
    for process in multiprocessing.active_children():
        process.kill()


def forked(
    arguments: Sequence[str],
    cwd: Path,
    environment: Mapping[str, str],
    output: Path,
    errors: Path,
    anew: Sequence[str] = (),
) -> Process:
    """anew: packages that it reads itself, as they are on its own path or with its own environment."""
    plain = [str(argument) for argument in arguments], str(cwd), dict(environment), [str(output), str(errors)], list(anew)
    return Forked(server().Process(target=_run, args=plain))


def as_here(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment with as many threads as there are here, unless it says how many: they decide on the last bits of sums, and
    more than the tests have would only wait for each other."""
    return {"OMP_NUM_THREADS": str(importlib.import_module("torch").get_num_threads()), **environment}


def ran(
    arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], timeout: float = 120, anew: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """A forked process that has come to its end, as of `subprocess.run`, which kills it, too, where it takes longer; with as many
    threads as here."""
    with tempfile.TemporaryDirectory() as folder:
        output, errors = Path(folder, "output"), Path(folder, "errors")
        process = forked(arguments, cwd, as_here(environment), output, errors, anew)
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        return subprocess.CompletedProcess(arguments, code, output.read_text(), errors.read_text())


def _run(arguments: list[str], cwd: str, environment: dict[str, str], outputs: list[str], anew: list[str]) -> None:
    gc.freeze()  # what is there is not looked through again and again
    gc.enable()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, path in enumerate(outputs, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    first = str(Path(arguments[0]).parent.resolve()) if arguments[0].endswith(".py") else ""
    given = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [first, *given, *(path for path in sys.path[1:] if not path.startswith(TESTS))]
    if "OMP_NUM_THREADS" in environment:
        importlib.import_module("torch").set_num_threads(int(environment["OMP_NUM_THREADS"]))
    for name in [name for name in sys.modules if name.partition(".")[0] in anew]:
        del sys.modules[name]
    sys.modules.pop("sitecustomize", None)
    with contextlib.suppress(ImportError):
        importlib.import_module("sitecustomize")
    try:
        _execute(*arguments)
    finally:
        # An end as the interpreter has it, and not as one of these processes.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()


def _execute(what: str, *more: str) -> None:
    if what == "-m":
        sys.argv = list(more)
        runpy.run_module(more[0], run_name="__main__", alter_sys=True)
    elif what == "-c":
        sys.argv = ["-c", *more[1:]]
        exec(more[0], sys.modules["__main__"].__dict__)
    else:
        sys.argv = [what, *more]
        runpy.run_path(what, run_name="__main__")

"""Runs on this machine, started, watched and stopped through their folders: what the page's Train tab stands on."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stargan import zoo
from stargan.files import places, whole
from stargan.priority import give_way
from train import config, data, log
from train.config import ConfigError, TrainConfig, TrainingError
from train.run.lock import trained_by
from train.run.stopping import INTERRUPTED

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}")
TAKEN = ("train", "val", "cache")  # beside data folders or runs
ENDED = (0, None, -signal.SIGTERM, INTERRUPTED)  # exit codes of runs that have not failed


@dataclass(frozen=True)
class Progress:
    """How a run stands. state: starting, running, stopped (may be continued), done or failed; rate in iterations a second and
    remaining in seconds, None where not known yet; curves: rows of iteration, loss and value; sheet: the newest picture; push: the
    command that puts its model on the Hub, empty where there is none yet."""

    state: str
    iteration: int
    iterations: int
    rate: float | None
    curves: list[tuple[int, str, float]]
    sheet: Path | None
    message: str = ""
    push: str = ""

    @property
    def remaining(self) -> float | None:
        return (self.iterations - self.iteration) / self.rate if self.rate else None


class Runner:
    """Trains one run at a time with `python -m train fit`, which is `train.fit` in a process of its own: it takes neither the
    page's memory nor its threads with it. What a run has come to is read from its folder, so that runs from a terminal, or from
    before the page was started, are watched and stopped as well."""

    def __init__(self, runs: Path, folders: Path) -> None:
        """runs: holds a folder for each run. folders: holds prepared data folders, or is one."""
        self.runs, self.folders = runs, folders
        self._process: subprocess.Popen[bytes] | None = None
        self._name = ""
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Of all runs, the one that was last worked on first."""
        found = list(self.runs.glob("*/config.json"))
        return [p.parent.name for p in sorted(found, key=lambda p: p.parent.stat().st_mtime, reverse=True)]

    def datasets(self) -> dict[str, Path]:
        """Prepared data folders by name."""
        found = [self.folders, *sorted(self.folders.glob("*"))]
        return {p.name: p for p in found if all(any(p.glob(f"{split}/*/")) for split in ("train", "val"))}

    def check(self, name: str) -> None:
        """ConfigError where a new run cannot have this name."""
        if not name:
            raise ConfigError("the new model has no name yet; write one")
        if not NAME.fullmatch(name):
            raise ConfigError(f"{name!r} cannot be a run's name; write letters and digits, with - or _ between them, 41 at most")
        if (places.weights() / name).exists() or name in zoo.downloadable():
            raise ConfigError(f"{name} is another model's name; give the run a name of its own")
        if name in TAKEN:
            raise ConfigError(f"{name} is a folder of another kind here; give the run another name")
        if (self.runs / name / "config.json").exists():
            raise ConfigError(f"there is a run {name} already; continue it, or give this one another name")

    def settings(self, name: str, folder: Path, **changes: Any) -> TrainConfig:
        """A run of that name on that data folder, like the bundled model's but for the changes; one that starts from a model
        has its shape. Its rates fall over the last tenth. ValueErrors for a name that cannot be used, pictures that are missing,
        and settings out of range."""
        self.check(name)
        if changes.get("init_from"):
            model = zoo.load(changes["init_from"]).config
            known = {field.name for field in dataclasses.fields(TrainConfig)} - {"domains"}
            changes |= {key: value for key, value in dataclasses.asdict(model).items() if key in known}
        values = dataclasses.asdict(config.read(Path(__file__).parents[1] / "configs" / "portraits-128.yaml"))
        of_the_page = {"evaluate_every": 0, "log_every": 5, "licence": "", "domains": list(data.folders(folder / "train"))}
        values |= of_the_page | {"name": name, "data": str(folder.resolve()), "runs": str(self.runs.resolve())} | changes
        # Curves need some points in short runs, too.
        often = max(1, min(values["log_every"], values["iterations"] // 20))
        return config.from_mapping({**values, "log_every": often, "lr_decay": values["iterations"] // 10})

    def start(self, settings: TrainConfig) -> None:
        """Starts or continues a run; TrainingError while another one is going on, and where its folder cannot be written to."""
        with self._lock, _writing(settings.folder):
            self.check_idle()
            folder = settings.folder
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / "config.json"
            with whole(path) as partial:
                text = json.dumps(dataclasses.asdict(settings), indent=1, ensure_ascii=False)
                partial.write_text(text, encoding="utf-8")
            with (folder / "output.txt").open("wb") as output:
                command = [sys.executable, "-m", "train", "fit", "--config", str(path.resolve())]
                self._process = subprocess.Popen(
                    command, cwd=places.ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
                )
            self._name = settings.name
            give_way(self._process.pid)

    def resume(self, name: str, iterations: int) -> None:
        """Continues a run up to that many iterations; TrainingError where it has them already, or is not there."""
        path = self._folder(name) / "config.json"
        values = json.loads(path.read_text(encoding="utf-8"))
        done = self.progress(name).iteration
        if iterations <= done:
            raise TrainingError(f"{name} has {done} iterations already; ask for more than that")
        self.start(config.from_mapping(values | {"iterations": iterations, "runs": str(self.runs.resolve())}))

    def stop(self, name: str) -> None:
        """Asks a run to save and end; TrainingError where it is not going on."""
        pid = self._pid(name)
        if pid is None:
            raise TrainingError(f"{name} is not being trained")
        os.kill(pid, signal.SIGTERM)

    def busy(self) -> str | None:
        """The run that is going on or starting, in whatever process."""
        return next((name for name in self.names() if self._pid(name) is not None), None)

    def check_idle(self) -> None:
        """TrainingError while a run is going on."""
        if busy := self.busy():
            raise TrainingError(f"{busy!r} is being trained; stop it first, or wait for it")

    def progress(self, name: str) -> Progress:
        """How a run stands; TrainingError where there is none of that name."""
        folder = self._folder(name)
        try:
            values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            iterations, licence = int(values["iterations"]), str(values.get("licence", ""))
        except (ValueError, KeyError):
            iterations, licence = 0, ""
        lines = log.read(folder / "log.jsonl")
        sheets = sorted(folder.glob("samples/*.png"))
        rate = log.rate(lines)
        going, message = self._pid(name) is not None, ""
        # What a run that was killed had told past its checkpoint is lost.
        iteration = max([int(line["iteration"]) for line in lines[-1:] if going] + [_saved(folder)])
        own = name == self._name and self._process is not None
        if going:
            fresh = own and not trained_by(folder)
            state, rate = ("starting", None) if fresh else ("running", rate)
        # Before the first iteration, a run that is stopped just ends.
        elif own and self._process is not None and self._process.returncode not in ENDED:
            state, message = "failed", _last_words(folder / "output.txt", self._process.returncode)
        else:
            state = "done" if iteration >= iterations > 0 else "stopped"
        push = _push(name, licence) if not going and (folder / "model.safetensors").is_file() else ""
        return Progress(state, iteration, iterations, rate, log.curves_of(lines), sheets[-1] if sheets else None, message, push)

    def _folder(self, name: str) -> Path:
        if name not in self.names():
            raise TrainingError(f"there is no run {name!r}; start one")
        return self.runs / name

    def _pid(self, name: str) -> int | None:
        if name == self._name and self._process is not None and self._process.poll() is None:
            return self._process.pid
        return trained_by(self.runs / name)


def _push(name: str, licence: str) -> str:
    """The command that puts a run's model on the Hub; without a licence it would be refused."""
    return f"python -m stargan push {name} USER/{name}" + ("" if licence else " --licence 'CC BY 4.0'")


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TrainingError(f"{folder} cannot be written to ({error.strerror}); make room, or choose another folder") from None


def _saved(folder: Path) -> int:
    """The iteration of the newest checkpoint."""
    return max((int(p.stem.removeprefix("checkpoint-")) for p in folder.glob("checkpoint-*.pt")), default=0)


def _last_words(path: Path, code: int) -> str:
    """Why a process ended: its sentence, or where to look."""
    lines = path.read_text(errors="replace").replace("\r", "\n").splitlines() if path.exists() else []
    said = [line for line in lines if line.startswith("python -m train fit: ")]
    if said:
        return said[-1].removeprefix("python -m train fit: ")
    return f"training ended unexpectedly (exit code {code}); {path} shows what was printed, and the run can be continued"

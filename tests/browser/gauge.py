"""How a process and the folder that it keeps files in go over time."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.processes import Process

SHOWN = {"memory": "MB", "threads": "threads", "handles": "handles", "kept": "MB of files"}


def files(folder: Path) -> list[Path]:
    """The files below a folder in which others come and go meanwhile; `Path.rglob` fails where a folder goes."""
    return [Path(root, name) for root, _, names in os.walk(folder) for name in names if name != ".lock"]


@dataclass
class Gauge:
    """Samples of a process and of its folder. Times in minutes."""

    process: Process
    folder: Path
    start: float = field(default_factory=time.monotonic)
    samples: list[dict[str, float]] = field(default_factory=list)

    def files(self) -> list[Path]:
        return files(self.folder)

    def busy(self) -> float:
        """Seconds of processor time so far."""
        numbers = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")

    def sample(self) -> dict[str, float]:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        said = {line.split(":")[0]: line.split()[1] for line in status.splitlines() if line.startswith(("VmRSS", "Threads"))}
        kept = self.files()
        size = 0
        for path in kept:
            with contextlib.suppress(OSError):  # gone meanwhile
                size += path.stat().st_size
        found = {
            "minute": (time.monotonic() - self.start) / 60, "memory": int(said["VmRSS"]) / 1024, "threads": int(said["Threads"]),
            "handles": len(os.listdir(f"/proc/{self.process.pid}/fd")), "files": len(kept), "kept": size / 2**20,
            "busy": self.busy(),
        }  # fmt: skip
        self.samples.append(found)
        return found

    def around(self, name: str, minute: float) -> float:
        """The median of what was sampled within half a minute of that."""
        return float(np.median([one[name] for one in self.samples if abs(one["minute"] - minute) <= 0.5]))

    def draw(self, target: Path) -> None:
        """The curve of the samples."""
        from matplotlib.figure import Figure

        minutes = [one["minute"] for one in self.samples]
        figure = Figure(figsize=(8, 6), dpi=80, layout="constrained")
        panes = figure.subplots(len(SHOWN), 1, sharex=True)
        for pane, (name, words) in zip(panes, SHOWN.items(), strict=True):
            pane.plot(minutes, [one[name] for one in self.samples], linewidth=1)
            pane.set_ylabel(words)
            pane.set_ylim(bottom=0)
            pane.grid(alpha=0.3)
        panes[-1].set_xlabel("minutes")
        figure.savefig(target)

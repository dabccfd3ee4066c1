"""The losses in the log.jsonl of a run, as the page and a card show them."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from stargan.files import whole

LOSSES = {
    "discriminator": ("D/{}_real", "D/{}_fake"),
    "adversarial": ("G/{}_adv",),
    "style": ("G/{}_sty",),
    "diversity": ("G/{}_ds",),
    "cycle": ("G/{}_cyc",),
    "content": ("G/{}_con",),
    "landmarks": ("G/{}_lmk",),
}
POINTS = 300  # of a curve


def read(path: Path) -> list[dict[str, Any]]:
    """The losses in a log; the last line may be half written."""
    try:
        now = path.stat()
    except OSError:
        return []
    return _read(path, now.st_mtime_ns, now.st_size)


@functools.lru_cache(maxsize=4)
def _read(path: Path, written: int, size: int) -> list[dict[str, Any]]:
    """The same of a log as it is now, which all who look at a run ask for again and again."""
    found: list[dict[str, Any]] = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict) and all(isinstance(line.get(key), int | float) for key in ("iteration", "seconds")):
            # A run that was killed goes back to its checkpoint.
            while found and found[-1]["iteration"] >= line["iteration"]:
                found.pop()
            found.append(line)
    return found


def cut(path: Path, iteration: int) -> None:
    """Takes back what a log tells past an iteration, a last line that is half written, and what is no line of a log."""
    if not path.exists():
        return
    # A machine that crashed may have left bytes that are no text.
    content = path.read_bytes()
    kept = b"".join(line for line in content.splitlines(keepends=True) if _until(line, iteration))
    if kept != content:
        with whole(path) as partial:
            partial.write_bytes(kept)


def _until(line: bytes, iteration: int) -> bool:
    try:
        return line.endswith(b"\n") and json.loads(line)["iteration"] <= iteration
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def rate(lines: list[dict[str, Any]]) -> float | None:
    """Iterations a second, of the last fifty lines since the run was last started."""
    recent = lines[-50:]
    starts = [i for i in range(1, len(recent)) if recent[i]["seconds"] < recent[i - 1]["seconds"]]
    recent = recent[starts[-1] :] if starts else recent
    if len(recent) < 2 or recent[-1]["seconds"] <= recent[0]["seconds"]:
        return None
    return (recent[-1]["iteration"] - recent[0]["iteration"]) / (recent[-1]["seconds"] - recent[0]["seconds"])


def curves(log: Path) -> list[tuple[int, str, float]]:
    """Iteration, loss and value from a run's log.jsonl: means over equal stretches, latent- and reference-guided together."""
    return curves_of(read(log))


def curves_of(lines: list[dict[str, Any]]) -> list[tuple[int, str, float]]:
    width = 2 * max(1, -(-len(lines) // (2 * POINTS)))  # even, for both kinds of guidance to be in
    rows = []
    for start in range(0, len(lines), width):
        stretch = lines[start : start + width]
        for loss, keys in LOSSES.items():
            found = [
                sum(line[key.format(kind)] for key in keys)
                for line in stretch
                for kind in ("latent", "ref")
                if all(key.format(kind) in line for key in keys)
            ]
            if found:
                rows.append((int(stretch[-1]["iteration"]), loss, sum(found) / len(found)))
    return rows

"""python -m tests.chaos [--kills 200] [--others 4] [--jobs 1] [--minutes M] [--seed 0] [--only fit prepare ...]

Every command is killed at random moments, runs out of disk, finds its folder read-only, meets itself and lives with a clock that
jumps; after each it is called again. Prints what was done and what was lost: in what the last call's files differ, byte for byte,
from those of an undisturbed one. The exit code is 1 where anything was.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.chaos.commands import Command, material
from tests.chaos.strikes import MOUNTING, PATIENCE, STRIKES, Arena, Tally, cannot_mount

ROUND = 3  # strikes of a kind on a command before the next one's turn: all have had some when the time is up


def table(tallies: Sequence[Tally]) -> str:
    """A row for each command and strike, and a line for each fault."""
    lines = [f"{'command':12}{'strike':14}{'struck':>8}{'faults':>8}"]
    lines += [f"{t.command:12}{t.strike:14}{t.struck:8}{len(t.faults):8}" for t in tallies]
    struck, faults = sum(t.struck for t in tallies), sum(len(t.faults) for t in tallies)
    lines += [f"{'all':26}{struck:8}{faults:8}"]
    return "\n".join([*lines, *(f"{t.command}, {t.strike}: {fault}" for t in tallies for fault in t.faults)])


def rounds(wanted: dict[tuple[str, str], int]) -> list[tuple[str, str, int]]:
    """How many strikes of each kind each command is to have -> in which order: one kind after the other, commands in turns."""
    order = []
    for strike in dict.fromkeys(strike for _, strike in wanted):
        left = {command: count for (command, kind), count in wanted.items() if kind == strike}
        while any(left.values()):
            for command in left:
                if count := min(ROUND, left[command]):
                    order.append((command, strike, count))
                    left[command] -= count
    return order


def struck(
    arenas: dict[str, Arena], commands: dict[str, Command], order: Sequence[tuple[str, str, int]], jobs: int, minutes: float
) -> list[Tally]:
    """A tally for each command and strike that there was time for; so many at once."""
    deadline = time.monotonic() + 60 * minutes
    tallies: dict[tuple[str, str], Tally] = {}

    def strike(one: tuple[str, str, int]) -> None:
        name, kind, count = one
        if time.monotonic() > deadline:
            return
        tally = STRIKES[kind](arenas[name], commands[name], count)
        whole = tallies.setdefault((name, kind), Tally(tally.command, tally.strike))
        whole.struck += tally.struck
        whole.faults += tally.faults
        said = "".join(f"\n  {fault}" for fault in tally.faults)
        print(f"{name}: {tally.strike}, {tally.struck} times, {len(tally.faults)} faults{said}", file=sys.stderr, flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(strike, order))
    return [tallies[key] for key in itertools.product(commands, STRIKES) if key in tallies]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__.partition("\n\n")[2])
    parser.add_argument("--kills", type=int, default=200, help="of all commands together (default: %(default)s)")
    parser.add_argument("--others", type=int, default=4, help="strikes of each other kind on each command (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="commands at once (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no strike after so many (default: all are done)")
    parser.add_argument(
        "--patience", type=float, default=PATIENCE, metavar="SECONDS", help="that a call may take (default: %(default)g)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: %(default)s)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these commands or strikes alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as work, material(Path(work) / "material") as made:
        reason = cannot_mount(Path(work))
        if reason:
            print(f"left out, as nothing can be mounted here ({reason}): {', '.join(MOUNTING)}")
        commands, names = {command.name: command for command in made.commands()}, set(options.only or ())
        if unknown := names - set(commands) - set(STRIKES):
            parser.error(f"{', '.join(sorted(unknown))}: no command or strike; there are {', '.join([*commands, *STRIKES])}")
        chosen = {name: command for name, command in commands.items() if name in names} or commands
        strikes = [s for s in STRIKES if s in names] or list(STRIKES)
        kills = -(-options.kills // len(chosen))
        wanted = {
            (name, strike): kills if strike == "kill" else options.others
            for strike in strikes
            if not (reason and strike in MOUNTING)
            for name in chosen
        }
        arenas = {name: Arena(Path(work), f"{options.seed} {name}", options.patience) for name in chosen}
        tallies = struck(arenas, chosen, rounds(wanted), options.jobs, options.minutes)
    print(table(tallies))
    return 1 if any(tally.faults for tally in tallies) else 0


if __name__ == "__main__":
    sys.exit(main())

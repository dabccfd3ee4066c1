"""python -m tests.chaos [--kills 200] [--others 4] [--seed 0] [--only fit prepare ...]

Every command is killed at random moments, runs out of disk, finds its folder read-only, meets itself and lives with a clock that
jumps; after each it is called again. Prints what was done and what was lost: in what the last call's files differ, byte for byte,
from those of an undisturbed one. The exit code is 1 where anything was.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.chaos.commands import material
from tests.chaos.strikes import MOUNTING, STRIKES, Arena, Tally, cannot_mount


def table(tallies: list[Tally]) -> str:
    """A row for each command and strike, and a line for each fault."""
    lines = [f"{'command':12}{'strike':14}{'struck':>8}{'faults':>8}"]
    lines += [f"{t.command:12}{t.strike:14}{t.struck:8}{len(t.faults):8}" for t in tallies]
    struck, faults = sum(t.struck for t in tallies), sum(len(t.faults) for t in tallies)
    lines += [f"{'all':26}{struck:8}{faults:8}"]
    return "\n".join([*lines, *(f"{t.command}, {t.strike}: {fault}" for t in tallies for fault in t.faults)])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__.partition("\n\n")[2])
    parser.add_argument("--kills", type=int, default=200, help="of all commands together (default: %(default)s)")
    parser.add_argument("--others", type=int, default=4, help="strikes of each other kind on each command (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: %(default)s)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these commands or strikes alone")
    options = parser.parse_args()
    tallies: list[Tally] = []
    with tempfile.TemporaryDirectory(prefix="chaos-") as work, material(Path(work) / "material") as made:
        reason = cannot_mount(Path(work))
        if reason:
            print(f"left out, as nothing can be mounted here ({reason}): {', '.join(MOUNTING)}")
        commands, names = made.commands(), set(options.only or ())
        if unknown := names - {c.name for c in commands} - set(STRIKES):
            known = ", ".join([*(c.name for c in commands), *STRIKES])
            parser.error(f"{', '.join(sorted(unknown))}: no command or strike; there are {known}")
        chosen = [c for c in commands if c.name in names] or commands
        strikes = [s for s in STRIKES if s in names] or list(STRIKES)
        arena = Arena(Path(work), options.seed)
        for command in chosen:
            for strike in strikes:
                if reason and strike in MOUNTING:
                    continue
                count = -(-options.kills // len(chosen)) if strike == "kill" else options.others
                tally = STRIKES[strike](arena, command, count)
                tallies.append(tally)
                print(f"{tally.command}: {tally.strike}, {tally.struck} times, {len(tally.faults)} faults", file=sys.stderr)
    print(table(tallies))
    return 1 if any(tally.faults for tally in tallies) else 0


if __name__ == "__main__":
    sys.exit(main())

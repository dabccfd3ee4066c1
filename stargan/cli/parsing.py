"""What both command lines have in common: a verb is a module with HELP, `add_options` and `run`."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, Protocol, TypeVar

from stargan.files import FULL

FIRST = "before the options, or after --"  # where files stand
Value = TypeVar("Value", int, float)


class CommandError(ValueError):
    """An argument that cannot be used; the sentence says what to give instead."""


class Verb(Protocol):
    """A module of a command line, named as the verb is. Its docstring stands above the options in `--help`."""

    __name__: str
    __doc__: str | None
    HELP: str  # in a few words, for the list of verbs

    def add_options(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, options: argparse.Namespace) -> int:
        """Does the work; returns the exit code."""


class Parser(argparse.ArgumentParser):
    """Says what was wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        if "arguments are required: SOURCE" in message:  # an option that takes several may have taken it
            message += f"; give it {FIRST}"
        self.exit(2, f"{self.prog}: {message}; see --help\n")


def run_verb(prog: str, description: str, verbs: Sequence[Verb], arguments: Sequence[str] | None) -> int:
    """Runs one verb; returns its exit code, 2 after one sentence on stderr for unusable input, 130 after Ctrl-C, or 141 where
    nobody reads what is printed any more."""
    _prepare_streams()
    parser = Parser(prog=prog, description=description)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for verb in verbs:
        name = verb.__name__.rpartition(".")[2].replace("_", "-")
        command = commands.add_parser(name, help=verb.HELP, description=" ".join((verb.__doc__ or "").split()))
        verb.add_options(command)
        command.set_defaults(run=verb.run)
    options = parser.parse_args(arguments)
    try:
        code = options.run(options)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # which Python writes to once more
        return 141
    except (ValueError, OSError) as error:
        print(f"{prog} {options.command}: {' '.join(_said(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _said(error: Exception) -> str:
    """What an error says; one of the system's without its number, and what to do about a full disk."""
    if not isinstance(error, OSError) or type(error).__module__ != "builtins" or not error.strerror:
        return str(error)
    place = f"{error.filename}: " if error.filename is not None else ""
    return f"{place}{error.strerror}" + "; make room, and call it again" * (error.errno in FULL)


def _prepare_streams() -> None:
    """Streams that can be written to: one that was closed leads nowhere, and what its encoding has not, as names of files may hold,
    is written with backslashes."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (for as long as the process runs)
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def whole(low: int, high: int = 2**31 - 1) -> Callable[[str], int]:
    """The type of an argument that is a whole number from `low` to `high`."""
    return _between(int, low, high, "a whole number")


def number(low: float, high: float) -> Callable[[str], float]:
    """The type of an argument that is a number from `low` to `high`."""
    return _between(float, low, high, "a number")


def _between(kind: Callable[[str], Value], low: Value, high: Value, what: str) -> Callable[[str], Value]:
    def parse(text: str) -> Value:
        with contextlib.suppress(ValueError):
            if low <= (value := kind(text)) <= high:
                return value
        if os.path.exists(text):
            raise argparse.ArgumentTypeError(f"{text!r} is a file, not {what}; give it {FIRST}")
        raise argparse.ArgumentTypeError(f"{text!r} is not {what} from {low} to {high}")

    return parse


def names(text: str) -> tuple[str, ...]:
    """The type of an argument that is a list of different names, with commas between them."""
    found = tuple(name.strip() for name in text.split(","))
    if "" in found or len(set(found)) != len(found):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of different names, such as female,male")
    return found


def existing_file(text: str) -> Path:
    """The type of an argument that is a file to read."""
    path = Path(text).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder; give a file")
    raise argparse.ArgumentTypeError(_missing(text, "file"))


def _missing(text: str, kind: str) -> str:
    if re.search(r"[*?\[]", text):
        return f"{text} is a pattern that nothing fits; give the name of a {kind}"
    return f"there is no {kind} {text}"

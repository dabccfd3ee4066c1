"""How the page is run: flags, each with its environment variable. Nothing heavy is read for them, so that what cannot be used is
said at once."""

from __future__ import annotations

import argparse
import math
import os
import socket
from collections.abc import Callable, Sequence

from stargan.files import places

SWITCH = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
YEAR = 365 * 24 * 60  # minutes
# What numbers have to be, and whether one is that.
RANGES: dict[str, tuple[str, Callable[[float], bool]]] = {
    "port": (f"from 1 to {2**16 - 1}, or 0 for the first that is free", lambda v: 0 <= v < 2**16),
    "max-queue": ("1 or above", lambda v: v >= 1),
    "threads": ("from 1 to 1024, or 0 for as many as are fastest", lambda v: 0 <= v <= 1024),
    "keep": (f"above 0, and {YEAR} (a year) at most", lambda v: 0 < v <= YEAR),
    "live": ("0 (never) or above, and finite", lambda v: 0 <= v < math.inf),
}


def read(flags: Sequence[str] | None) -> argparse.Namespace:
    """What flags say, those of the command line where there are none given, and otherwise environment variables; SystemExit after a
    sentence on stderr for what cannot be used."""
    parser = argparse.ArgumentParser(description="StarGAN v2 in the browser. Every flag has an environment variable.")
    options: tuple[tuple[str, type, str, str], ...] = (
        ("model", str, "", "name or file of a model; empty: the bundled one"),
        ("host", str, "127.0.0.1", "address to listen on"),
        ("port", int, "0", "port to listen on; 0: 7860, or the next one that is free"),
        ("hosts", str, "", "further names under which the page is reached, such as a proxy's, with commas between them"),
        ("max-queue", int, "64", "calls that may wait"),
        ("threads", int, "0", "threads that translate; 0: as many as are fastest"),
        ("keep", float, "60", "minutes after which uploads and results are deleted"),
        ("live", float, "120" if "SPACE_ID" in os.environ else "0", "seconds after which a camera is stopped; 0: never"),
        ("auth", str, "", "user:password that a visitor has to give; empty: nothing"),
        ("data", str, str(places.data()), "folder of prepared data folders, where the Train tab puts uploads too"),
    )
    switches = (
        ("share", "0", "public link"),
        ("compile", "1", "compile for this processor in the background"),
        ("train", "", "offer training and downloads of models; by default only without a Space or public link"),
    )
    # An empty variable is as none.
    for name, kind, default, text in options:
        variable = _variable(name)
        written = os.environ.get(variable) or default
        parser.add_argument(f"--{name}", type=kind, default=written, help=f"{text} ({variable}; default: {default})")
    for name, default, text in switches:
        variable = _variable(name)
        written = os.environ.get(variable) or default
        chosen = SWITCH.get(written.strip().lower())
        if written and chosen is None:
            parser.error(f"{variable} is {written!r}; it has to be 1 or 0")
        parser.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, default=chosen, help=f"{text} ({variable}=1 or 0)")
    found = parser.parse_args(flags)
    if found.train is None:
        found.train = "SPACE_ID" not in os.environ and not found.share
    for name, (wanted, is_so) in RANGES.items():
        value = getattr(found, name.replace("-", "_"))
        if not is_so(value):
            parser.error(f"--{name} is {value}; it has to be {wanted}")
    if found.auth and not all(found.auth.partition(":")):
        parser.error("--auth needs a name and a password with a colon between them")
    if os.path.exists(found.data) and not os.path.isdir(found.data):
        parser.error(f"--data is {found.data}, which is a file; give a folder")
    return found


def _variable(name: str) -> str:
    """The environment variable that stands for a flag."""
    return "STARGAN_" + name.upper().replace("-", "_")


def check_address(arguments: argparse.Namespace) -> None:
    """Tries whether the address can be listened on, before models are loaded for it; SystemExit with a sentence where it cannot."""
    family = socket.AF_INET6 if ":" in arguments.host else socket.AF_INET
    try:
        socket.create_server((arguments.host, arguments.port), family=family).close()
    except OSError as error:
        # Python adds the address to what the system says.
        raise cannot_listen(arguments, (error.strerror or str(error)).partition(" (while")[0]) from None


def cannot_listen(arguments: argparse.Namespace, why: str) -> SystemExit:
    where = f"{arguments.host}:{arguments.port or 7860}"
    return SystemExit(f"app.py: cannot listen on {where} ({why}); choose another --port or --host")

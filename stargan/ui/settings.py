"""How the page is run: flags, each with its environment variable."""

from __future__ import annotations

import argparse
import os
import socket
from collections.abc import Sequence

from stargan import zoo
from stargan.files import places


def settings(flags: Sequence[str] | None) -> argparse.Namespace:
    """What flags say, those of the command line where there are none given, and otherwise environment variables."""
    env = os.environ.get
    parser = argparse.ArgumentParser(description="StarGAN v2 in the browser. Every flag has an environment variable.")
    options: tuple[tuple[str, type, str, str], ...] = (
        ("model", str, zoo.DEFAULT, "name or file of a model"),
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
    for name, kind, default, text in options:
        variable = "STARGAN_" + name.upper().replace("-", "_")
        parser.add_argument(f"--{name}", type=kind, default=env(variable, default), help=f"{text} ({variable}; default: {default})")
    for name, default, text in switches:
        variable = "STARGAN_" + name.upper()
        chosen = {"1": True, "0": False}.get(env(variable, default))
        parser.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, default=chosen, help=f"{text} ({variable}=1 or 0)")
    found = parser.parse_args(flags)
    if found.train is None:
        found.train = "SPACE_ID" not in os.environ and not found.share
    if not 0 <= found.port < 2**16:
        parser.error(f"--port is {found.port}; it has to be from 1 to {2**16 - 1}, or 0 for the first that is free")
    if found.auth and ":" not in found.auth:
        parser.error("--auth needs a name and a password with a colon between them")
    return found


def check_address(arguments: argparse.Namespace) -> None:
    """Tries whether the address can be listened on, before models are loaded for it; SystemExit with a sentence where it cannot."""
    family = socket.AF_INET6 if ":" in arguments.host else socket.AF_INET
    try:
        socket.create_server((arguments.host, arguments.port), family=family).close()
    except OSError as error:
        raise cannot_listen(arguments, error.strerror or str(error)) from None


def cannot_listen(arguments: argparse.Namespace, why: str) -> SystemExit:
    where = f"{arguments.host}:{arguments.port or 7860}"
    return SystemExit(f"app.py: cannot listen on {where} ({why}); choose another --port or --host")

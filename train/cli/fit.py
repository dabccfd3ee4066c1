"""Trains a model, or continues a run where it was."""

from __future__ import annotations

import argparse
import sys

from stargan.cli.parsing import CommandError, names
from train.cli.arguments import add_config, read_config

HELP = "train a model, or continue a run"


def add_options(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument(
        "--init-from",
        metavar="MODEL",
        help="start with the weights of a model: a name, a file (.safetensors, .ckpt, .pt), or hf:user/name",
    )
    parser.add_argument(
        "--init-domains", type=names, metavar="A,B", help="names for that model's domains, in its order; published ones have none"
    )
    parser.add_argument("--wing", metavar="FILE", help="the FAN of that model, where it is a published one with masks")
    parser.add_argument(
        "--accept-changes",
        action="store_true",
        help="continue a run with other domains or pictures than those that it has seen, or without a network that it has trained",
    )


def run(options: argparse.Namespace) -> int:
    given = {"init_from": options.init_from, "init_domains": options.init_domains, "init_wing": options.wing}
    settings = read_config(options, **{key: value for key, value in given.items() if value is not None})
    for option, key in (("--init-domains", "init_domains"), ("--wing", "init_wing")):
        if given[key] is not None and not settings.init_from:
            raise CommandError(f"{option} is about the model to start from, but there is none; name it by --init-from or init_from")
    from stargan import zoo
    from train.run import loop
    from train.run.stopping import INTERRUPTED, Stop

    if settings.name in zoo.bundled():
        file = settings.folder / "model.safetensors"
        print(f"{settings.name} stays the bundled model's name; this run's is --model {file}, or give it a name", file=sys.stderr)
    stop = Stop()
    loop.fit(settings, stop=stop, accept_changes=options.accept_changes)
    return INTERRUPTED if stop.interrupted else 0

"""Trains a model, or continues a run where it was."""

from __future__ import annotations

import argparse

from train.cli.arguments import add_config, read_config

HELP = "train a model, or continue a run"


def add_options(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument("--init-from", metavar="MODEL", help="start with the weights of a model, by name, .safetensors or .ckpt")


def run(options: argparse.Namespace) -> int:
    settings = read_config(options, *([f"init_from={options.init_from}"] if options.init_from else []))
    from train.run import loop

    loop.fit(settings)
    return 0

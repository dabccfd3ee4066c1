"""Compares a run's speed with the paper's code, in turn in one process."""

from __future__ import annotations

import argparse

from stargan.cli.parsing import whole
from train.cli.arguments import add_config, read_config

HELP = "compare a run's speed with the paper's code"


def add_options(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument(
        "--rounds", type=whole(1), default=3, metavar="N", help="of which the median is shown (default: %(default)s)"
    )
    parser.add_argument("--profile", action="store_true", help="show where the time goes")


def run(options: argparse.Namespace) -> int:
    from train.judge import bench

    print(bench.bench(read_config(options), options.rounds, options.profile))
    return 0

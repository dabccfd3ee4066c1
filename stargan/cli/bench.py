"""Times translation beside the whole forward pass in float32, in turn in one process, and prints a table."""

from __future__ import annotations

import argparse

from stargan.cli.parsing import CommandError, whole

HELP = "measure how fast translation is here"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        nargs="+",
        metavar="NAME",
        help="models, or `published` for the size of the published ones with random weights (default: that and the bundled)",
    )
    parser.add_argument(
        "--rounds", type=whole(1, 1000), default=20, metavar="N", help="of which the median is shown (default: %(default)s)"
    )
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda", "mps"), help="to translate on (default: %(default)s)")
    parser.add_argument("--no-compile", action="store_true", help="without torch.compile")


def run(options: argparse.Namespace) -> int:
    import torch

    from stargan import bench, zoo

    if not {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}[options.device]:
        raise CommandError(f"--device is {options.device}, which this machine has not, or has no driver for; leave it out")
    for name in options.model or ():
        if name != bench.PUBLISHED:
            bench.model(name)  # refused at once, and not after the first of several
    for name in options.model or (bench.PUBLISHED, zoo.DEFAULT):
        print(bench.bench(name, options.rounds, not options.no_compile, options.device), end="\n\n", flush=True)
    return 0

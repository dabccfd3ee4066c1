"""Puts two models of one training together, a free one and a faithful one, into one whose likeness can be chosen."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from stargan.cli.parsing import CommandError, number
from train.cli.arguments import add_cache, model_file

HELP = "put a free and a faithful model together, so that likeness can be chosen"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--free", metavar="MODEL", help="the model at likeness 0, by name or file (default: what the faithful one has there)"
    )
    parser.add_argument("--faithful", required=True, metavar="MODEL", help="the model at likeness 1, trained on from it or with it")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="folder with train/<domain>/, to enlarge a free model on that is half as large"
    )
    parser.add_argument(
        "--ends", type=number(0, 2), nargs=2, default=(0.0, 1.0), metavar=("A", "B"),
        help="where likeness 0 and 1 lie on the line from the free (0) to the faithful model (1) and on to 2 (default: 0 1)",
    )  # fmt: skip
    add_cache(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="model to write (.safetensors)")


def run(options: argparse.Namespace) -> int:
    out = model_file(options.out)
    import torch

    from stargan import zoo
    from stargan.files import checkpoint
    from train import data
    from train.pair import enlarged, pair, relative_distance
    from train.step import growth

    faithful = zoo.load(options.faithful)
    if options.free is not None:
        free = zoo.load(options.free)
    elif faithful.free is not None:
        free = dataclasses.replace(faithful, generator=faithful.free, free=None)
    else:
        raise CommandError(f"{options.faithful} has one generator alone; name the model at likeness 0 by --free")
    if growth.can_grow(free.config, faithful.config) and free.config.domains == faithful.config.domains:
        if options.data is None:
            raise CommandError(f"{options.free} is half as large as {options.faithful}; name pictures by --data to enlarge it on")
        side, folders = faithful.config.image_size * 5 // 4, faithful.config.domains + faithful.sources
        free = enlarged(free, faithful, data.load(options.data, "train", side, options.cache, folders))
    checkpoint.save(pair(free, faithful, tuple(options.ends)), out, dtype=torch.float16)
    print(f"the two lie {100 * relative_distance(free, faithful):.0f} % of their size apart; written to {out}")
    return 0

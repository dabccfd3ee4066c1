"""Trains the 68-point face alignment network on pictures with known landmarks."""

from __future__ import annotations

import argparse
from pathlib import Path

from stargan.cli.parsing import number, whole
from train.cli.arguments import add_seed, model_file

HELP = "train the 68-point face alignment network"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        nargs="+",
        metavar="DIR",
        help="folders with train/, val/ and landmarks.npz, or with landmarks-train.npz and landmarks-val.npz",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/fan/fan.safetensors"), metavar="FILE", help="to write (default: %(default)s)"
    )
    parser.add_argument("--start", type=Path, metavar="FILE", help="a FAN of the same shape to go on from")
    parser.add_argument("--steps", type=whole(1), default=4000, metavar="N", help="of training (default: %(default)s)")
    parser.add_argument(
        "--lr", type=number(1e-7, 1), default=2e-3, metavar="R", help="learning rate at first (default: %(default)g)"
    )
    add_seed(parser, "the augmentation and the first weights")


def run(options: argparse.Namespace) -> int:
    out = model_file(options.out)
    from train import fan

    fan.fit(fan.FANTraining(tuple(options.data), out, options.start, options.steps, lr=options.lr, seed=options.seed))
    return 0

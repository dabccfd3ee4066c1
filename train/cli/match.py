"""Fits the mapping network of a trained model to the styles of real pictures, and leaves the rest of the model as it is."""

from __future__ import annotations

import argparse
from pathlib import Path

from stargan.cli.arguments import add_model, load_model
from stargan.cli.parsing import whole
from train.cli.arguments import add_cache, add_data, add_seed, model_file

HELP = "fit the mapping network of a trained model to the styles of real pictures"


def add_options(parser: argparse.ArgumentParser) -> None:
    add_model(parser, required=True)
    add_data(parser, "train/<domain>/")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="model to write (.safetensors)")
    add_cache(parser)
    parser.add_argument("--steps", type=whole(1), default=4000, metavar="N", help="of 256 styles a domain (default: %(default)s)")
    add_seed(parser, "latents and pictures")


def run(options: argparse.Namespace) -> int:
    out = model_file(options.out)
    import torch

    from stargan.files import checkpoint
    from train import match

    model = load_model(options)
    before, after = match.match_styles(model, options.data, steps=options.steps, cache=options.cache, seed=options.seed)
    checkpoint.save(model, out, dtype=torch.float16)
    print(f"energy distance of the styles: {before:.3f} before, {after:.3f} after; written to {out}")
    return 0

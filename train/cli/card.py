"""Makes the pictures of a model's card."""

from __future__ import annotations

import argparse
from pathlib import Path

from stargan.cli.arguments import add_model, load_model
from stargan.cli.parsing import existing_file
from train.cli.arguments import add_data, add_seed, check_writable

HELP = "make the pictures of a model's card"


def add_options(parser: argparse.ArgumentParser) -> None:
    add_model(parser, required=True)
    add_data(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the card")
    parser.add_argument("--photo", type=existing_file, metavar="FILE", help="a photograph to show in every domain")
    parser.add_argument(
        "--photos", type=Path, metavar="DIR", help="folder of photographs of people, to show what becomes of twelve of them"
    )
    parser.add_argument("--log", type=existing_file, metavar="FILE", help="log.jsonl of the run, for the training curve")
    add_seed(parser, "sources and styles")


def run(options: argparse.Namespace) -> int:
    from train.judge import card, photographs

    check_writable(options.out)
    model = load_model(options)
    photos = photographs.read(options.photos, model) if options.photos else None
    for path in card.make(model, options.data, options.out, options.photo, photos, options.log, options.seed):
        print(f"wrote {path}")
    return 0

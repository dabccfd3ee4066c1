"""Makes a data folder of whatever pictures there are, or goes on with one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from stargan.cli.parsing import CommandError, whole
from stargan.files import FULL
from train.cli.arguments import add_seed

if TYPE_CHECKING:
    from train.data.making import Report

HELP = "make a data folder"
KINDS = (
    ("portraits", "clone of the public repository", "the pictures that the bundled model was trained on"),
    ("photographs", "folder of photographs with landmarks and manifest", "photographs as a source-only domain, photo"),
    ("folder", "folder, zip or tar archive, table of labels, or hf:user/name", "your own pictures, however they lie"),
    ("celeba-hq", "celeba_hq.zip", "the published CelebA-HQ archive"),
    ("afhq", "afhq.zip", "the published AFHQ archive, version 1 or 2"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    for name, source, text in KINDS:
        kind = kinds.add_parser(name, help=text, description=f"Prepares {text}.")
        kind.add_argument("--from", dest="source", type=Path, required=True, metavar="PATH", help=source)
        kind.add_argument("--to", dest="out", type=Path, required=True, metavar="DIR", help="data folder to make, or to go on with")
        if name in ("folder", "photographs"):
            kind.add_argument(
                "--size", type=whole(32, 2048), required=True, metavar="N", help="side of the pictures in px, 32 to 2048"
            )
        if name == "folder":
            kind.add_argument("--align", action="store_true", help="find and level the face instead of the central square")
            kind.add_argument(
                "--aligner",
                # stargan.model.ALIGNERS, which would take seconds to import for --help.
                choices=("fan-68", "face_alignment"),
                help="with --align: what finds the face, the bundled network or the face-alignment package (default: fan-68); a "
                "model trained on the pictures says which, and uses it",
            )
            kind.add_argument("--val-fraction", type=float, default=0.1, metavar="F", help="share for val (default: %(default)s)")
            add_seed(kind, "the split")
            kind.add_argument("--label", default="", metavar="COLUMN", help="of a table or data set: the column of the domains")


def run(options: argparse.Namespace) -> int:
    try:
        report = _prepared(options)
    except OSError as error:
        # What a full disk does not take has no name any more.
        if not (error.errno in FULL or str(error.filename or "").startswith(str(options.out))):
            raise
        raise CommandError(
            f"{options.out} cannot be written to ({error.strerror}); make room, or choose another folder by --to"
        ) from error
    print(report)
    return 0


def _prepared(options: argparse.Namespace) -> Report:
    from train.data import own, prepare

    if options.kind == "folder":
        if options.aligner and not options.align:
            raise CommandError("--aligner goes with --align; give both, or neither")
        settings = (options.size, options.align, options.val_fraction, options.seed, options.label, options.aligner or "fan-68")
        return own.folder(options.source, options.out, *settings)
    if options.kind == "photographs":
        return prepare.photographs(options.source, options.out, options.size)
    make = {"portraits": prepare.portraits, "celeba-hq": prepare.celeba_hq, "afhq": prepare.afhq}[options.kind]
    return make(options.source, options.out)

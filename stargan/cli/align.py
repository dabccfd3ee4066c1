"""Cuts out and levels a face."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from stargan.cli.arguments import FORMATS, PHOTOGRAPH, add_aligner, add_face, squares, target, write
from stargan.cli.parsing import whole

HELP = "cut out and level a face"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help=PHOTOGRAPH)
    parser.add_argument(
        "--size", type=whole(32, 2048), default=256, metavar="N", help="side in px, 32 to 2048 (default: %(default)s)"
    )
    add_aligner(parser)
    add_face(parser, every=False)
    parser.add_argument("-o", "--out", required=True, metavar="OUT", help=f"file to write: {', '.join(FORMATS)}")


def run(options: argparse.Namespace) -> int:
    start = time.perf_counter()
    path = target(options.out, [options.source])
    from stargan.media import images

    (cut,) = squares(images.read(Path(options.source)), options.size, options.source, options.aligner or "fan-68", options.face)
    done = time.perf_counter()
    write(cut.image, path)
    print(f"aligned in {done - start:.2f} s, wrote {path}")
    return 0

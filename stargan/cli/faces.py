"""Finds the faces of pictures and numbers them from left to right, as --face takes them. With --check, measures how well that goes
on photographs whose landmarks are known."""

from __future__ import annotations

import argparse
import functools
import sys
from pathlib import Path

from stargan.cli.parsing import CommandError, existing_file, whole

HELP = "find the faces of pictures, or check how well they are found"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", nargs="*", metavar="SOURCE", help="photographs of faces")
    parser.add_argument("--check", metavar="FOLDER", help="photographs with one known face each; needs --landmarks")
    parser.add_argument(
        "--landmarks",
        type=existing_file,
        metavar="FILE",
        help="npz with their `names` (without extension) and `points`; manifest-*.csv beside landmarks-*.npz has yaw and groups",
    )
    parser.add_argument("--most", type=whole(1), metavar="N", help="check so many, evenly chosen (default: all)")


def run(options: argparse.Namespace) -> int:
    if (options.check is None) != (options.landmarks is None):
        raise CommandError("--check and --landmarks go together: a folder of photographs, and the file that knows their landmarks")
    if options.source and options.check is not None:
        raise CommandError("--check takes the photographs of its folder; leave the other pictures or --check out")
    if not options.source and options.check is None:
        raise CommandError("give pictures to find faces in, or --check")
    if options.most is not None and options.check is None:
        raise CommandError("--most counts the photographs of --check; leave it out")
    if options.check is not None:
        return _check(options)
    from stargan.faces.align import NoFace, find_all
    from stargan.media import images

    failed = 0
    for path in options.source:
        try:
            faces = find_all(images.read(Path(path)))
        except NoFace as error:
            print(f"{path}: 0 faces; {error}")
            continue
        except images.ImageError as error:
            print(f"{path}: {error}", file=sys.stderr)
            failed = 1
            continue
        print(f"{path}: {len(faces)} face{'' if len(faces) == 1 else 's'}")
        for number, face in enumerate(faces, 1):
            x, y, width, height = face.box
            print(f"  {number}  {width:.0f} x {height:.0f} px at ({x:.0f}, {y:.0f}), {100 * face.sure:.0f} % sure")
    return failed


def _check(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from stargan.faces import check

    photographs = check.known(Path(options.check), options.landmarks, options.most)
    progress = functools.partial(tqdm, unit="photo", mininterval=1, dynamic_ncols=True, leave=False)
    for row in check.rows(photographs, progress=progress):
        print(row, flush=True)
    return 0

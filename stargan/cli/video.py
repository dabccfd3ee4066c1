"""Writes a video of a picture beside its translations, which move from style to style, or of a clip whose face does."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from stargan.cli.arguments import (
    PHOTOGRAPH,
    add_alignment,
    add_face,
    add_likeness,
    add_masks,
    add_model,
    add_paste,
    add_psi,
    aligner,
    check_faces,
    load_model,
    psi,
    square,
    squares,
    target,
)
from stargan.cli.parsing import FIRST, CommandError, number, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from PIL.Image import Image
    from torch import Tensor

    from stargan.model import Model

PASTED_SIDE = 1920  # px at most of a video of the whole photograph
SECONDS, FPS = 1.0, 30  # of a picture
HELP = "move a picture, or the face of a clip, through styles"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", nargs="?", metavar="SOURCE", help=PHOTOGRAPH)
    parser.add_argument("--from", dest="clip", metavar="CLIP", help="a clip instead (mp4, mov, webm, gif), whose sound is kept")
    add_model(parser)
    parser.add_argument("--domain", help="the domain of the styles that do not name theirs")
    parser.add_argument(
        "--styles",
        nargs="+",
        action="extend",
        required=True,
        metavar="STYLE",
        help="two or more (for a clip one is enough), each a seed or a picture's path, with its domain before it as in woman:7 or "
        "man:painting.jpg",
    )
    parser.add_argument(
        "--seconds",
        type=number(0.1, 60),
        metavar="S",
        help=f"from one style to the next, 0.1 to 60 (default: {SECONDS:g}); a clip keeps its length",
    )
    parser.add_argument("--fps", type=whole(1, 120), metavar="N", help=f"frames a second (default: {FPS}); a clip keeps its own")
    parser.add_argument("--loop", action="store_true", help="go back to the first style in the end")
    add_psi(parser)
    add_masks(parser)
    add_likeness(parser)
    add_alignment(parser)
    add_face(parser, every=False)
    add_paste(parser)
    parser.add_argument("-o", "--out", required=True, metavar="OUT", help="file to write: .mp4")


def run(options: argparse.Namespace) -> int:
    start = time.perf_counter()
    out = target(options.out, [options.clip], (".mp4",))
    if (options.source is None) == (options.clip is None):
        raise CommandError(f"give a picture {FIRST}, or a clip with --from")
    if options.clip is not None:
        return _clip(options, out)
    from tqdm import tqdm

    from stargan import transition
    from stargan.media import images, video
    from stargan.translate import Translator

    check_faces(options)
    source = images.read(Path(options.source))
    if options.paste:
        source.thumbnail((PASTED_SIDE, PASTED_SIDE))
    model = load_model(options)
    how = aligner(options, model)
    (cut,) = squares(source, model.config.image_size, options.source, how, options.face, model.frame)
    fps = options.fps or FPS
    between = max(1, round((options.seconds or SECONDS) * fps))
    path = transition.path([_style(options, model, how, style) for style in options.styles], between, options.loop)
    translator = Translator(model)
    encoded = translator.encode(cut.image, masks=not options.no_masks, likeness=options.likeness)
    frames: Iterator[np.ndarray] | Iterator[Image] = transition.frames(translator, encoded, cut.image, path)
    if options.paste:
        frames = transition.pasted(translator, encoded, source, cut, path)
    video.write(out, tqdm(frames, total=len(path), unit="frame", mininterval=1, dynamic_ncols=True), fps)
    print(f"{len(path)} frames, {len(path) / fps:.1f} s, made in {time.perf_counter() - start:.2f} s, wrote {out}")
    return 0


def _clip(options: argparse.Namespace, out: Path) -> int:
    import functools

    import torch
    from tqdm import tqdm

    from stargan import clip
    from stargan.media import clips
    from stargan.translate import Translator

    if options.no_align:
        raise CommandError("the face of a clip has to be found; leave --no-align out")
    if options.seconds is not None or options.fps is not None:
        raise CommandError("a clip keeps its length and its frames a second; leave --seconds and --fps out")
    start = time.perf_counter()
    taken = clips.opened(options.clip)
    model = load_model(options)
    how = aligner(options, model)
    styles = [_style(options, model, how, style) for style in options.styles]
    if options.loop:
        styles.append(styles[0])
    translator = Translator(model)
    translator.check_likeness(options.likeness)
    encode = functools.partial(translator.encode, masks=not options.no_masks, likeness=options.likeness)
    with tqdm(total=taken.frames, unit="frame", mininterval=1, dynamic_ncols=True) as bar:

        def watch(done: int, total: int) -> bool:
            bar.update(done - bar.n)
            return True

        try:
            seen = clip.translate(translator, taken, out, torch.stack(styles), options.paste, encode, options.face, how, watch)
        finally:
            bar.refresh()
    read = int(bar.n) + 1
    if early := taken.ended(read):
        print(early.strip(), file=sys.stderr)
    print(f"a face in {seen} of {read} frame{'' if read == 1 else 's'}, made in {time.perf_counter() - start:.2f} s, wrote {out}")
    return 0


def _style(options: argparse.Namespace, model: Model, how: str | None, text: str) -> Tensor:
    """The style that `7`, `woman:7`, `painting.jpg` or `woman:painting.jpg` stands for."""
    from stargan import styles
    from stargan.media import images

    head, colon, rest = text.partition(":")
    named = bool(colon) and head in model.config.domains
    domain, what = (head, rest) if named else (options.domain, text)
    seed = re.fullmatch("[0-9]+", what)
    if not seed and not os.path.isfile(what):
        domains = ", ".join(model.config.domains)
        raise CommandError(f"{text!r} is no seed and no picture; give either, with its domain ({domains}) and a colon before it")
    if domain is None:
        raise CommandError(f"{text!r} has no domain; give --domain, or write {model.config.domains[0]}:{text}")
    if seed:
        return styles.from_seed(model, domain, int(what), psi(options))
    reference = square(images.read(Path(what)), model, what, how)
    return styles.truncate(model, domain, styles.from_reference(model, reference, domain), psi(options))

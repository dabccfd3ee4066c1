"""Translates one picture into one style, as a file; or many, into a folder of files named SOURCE--STYLE.png, which a second call
completes. Under `accelerate launch --multi_gpu -m stargan ...` each process takes its shard."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from stargan.cli.arguments import (
    FORMATS,
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
    model_name,
    psi,
    square,
    squares,
    target,
    write,
)
from stargan.cli.parsing import CommandError, whole

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from stargan.bulk import Job, Result
    from stargan.model import Model

HELP = "translate pictures into a domain"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        nargs="+",
        metavar="SOURCE",
        help="photographs of faces (PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF, HEIC or JPEG 2000), or folders of them",
    )
    add_model(parser)
    parser.add_argument("--domain", required=True, help="a domain of the model, by its name")
    style = parser.add_mutually_exclusive_group(required=True)
    style.add_argument(
        "--seed", type=whole(0, 2**63 - 1), nargs="+", action="extend", metavar="N", help="styles from seeds, 0 to 2**63 - 1"
    )
    style.add_argument(
        "--reference",
        nargs="+",
        action="extend",
        metavar="FILE",
        help="styles from other pictures of the domain, or folders of them",
    )
    add_psi(parser)
    add_masks(parser)
    add_likeness(parser)
    add_alignment(parser)
    add_face(parser)
    add_paste(parser)
    parser.add_argument(
        "--grid",
        action="store_true",
        help="also write grid.png into the folder: sources down, styles across, the first 16 of each",
    )
    parser.add_argument(
        "--workers",
        type=whole(1, 256),
        default=1,
        metavar="N",
        help="processes that share a folder's pictures (default: %(default)s)",
    )
    parser.add_argument("--overwrite", action="store_true", help="make all files anew instead of those that the folder lacks")
    parser.add_argument("-o", "--out", required=True, metavar="OUT", help=f"file to write ({', '.join(FORMATS)}), or folder")


def run(options: argparse.Namespace) -> int:
    check_faces(options)
    if options.grid and (options.paste or options.face == "all"):
        raise CommandError("--grid shows squares of one face each; leave --paste and --face all out")
    one = len(options.source) == 1 and len(options.seed or options.reference) == 1 and not options.grid
    folders = any(os.path.isdir(path) for path in (*options.source, *(options.reference or ()), options.out))
    return _translate_one(options) if one and not folders else _translate_many(options)


def _translate_one(options: argparse.Namespace) -> int:
    start = time.perf_counter()
    inputs = [*options.source, *(options.reference or ())]
    path = target(options.out, inputs)
    from stargan import styles
    from stargan.faces.squares import put_back
    from stargan.media import images
    from stargan.translate import Translator

    photograph = images.read(Path(options.source[0]))
    reference = images.read(Path(options.reference[0])) if options.reference is not None else None
    model = load_model(options)
    model.config.domain_index(options.domain)
    how = aligner(options, model)
    cut = squares(photograph, model.config.image_size, options.source[0], how, options.face, model.frame)
    paths = [path]
    if len(cut) > 1 and not options.paste:
        paths = [target(str(path.with_stem(f"{path.stem}-{i}")), inputs) for i in range(1, len(cut) + 1)]
    if reference is not None:
        reference = square(reference, model, options.reference[0], how)
    loaded = time.perf_counter()
    if reference is not None:
        style = styles.from_reference(model, reference, options.domain)
    else:
        style = styles.from_seed(model, options.domain, options.seed[0])
    style = styles.truncate(model, options.domain, style, psi(options))
    translator = Translator(model)
    encoded = [translator.encode(one.image, masks=not options.no_masks, likeness=options.likeness) for one in cut]
    results = [images.to_pil(translator.decode(face, style)) for face in encoded]
    if options.paste:
        results = [put_back(photograph, cut, results)]
    done = time.perf_counter()
    for result, each in zip(results, paths):
        write(result, each)
    print(f"translated in {done - loaded:.2f} s ({done - start:.2f} s with loading), wrote {', '.join(map(str, paths))}")
    return 0


def _translate_many(options: argparse.Namespace) -> int:
    start = time.perf_counter()
    out = Path(options.out)
    if not out.is_dir() and (out.exists() or out.suffix.lower() in FORMATS):
        raise CommandError(f"{out} is the name of a file; give a folder for several pictures")
    from stargan import bulk

    rank, world = bulk.rank_and_world()
    bulk.own_gpu(rank, world)
    if options.grid and world > 1:
        raise CommandError("--grid needs the pictures of all processes; call again with it, and in one process, when they are done")
    sources = bulk.sources(map(Path, options.source), out)
    load_model(options)  # what has to be downloaded is here before workers look for it
    translator = bulk.translator(model_name(options), options.domains, options.wing)
    model = translator.model
    translator.check_likeness(options.likeness)
    how = aligner(options, model)
    styles, heads, failures = _styles(options, model, how)
    job = bulk.Job(
        model_name(options),
        styles,
        out,
        not options.no_masks,
        how,
        options.domains,
        options.wing,
        options.likeness,
        options.face,
        options.paste,
    )
    mine = bulk.shard(sources, rank, world)
    targets = [path for name in mine for path in job.everything(name)]
    if made_of := {os.path.realpath(path) for path in targets} & {os.path.realpath(path) for path in sources.values()}:
        raise CommandError(f"{min(made_of)} is a source and would be written over; write into another folder")
    bulk.open_folder(out, _request(options, model, job), targets, options.overwrite)
    missing = job.missing(mine)
    failed = _run(job, missing, len(mine), options.workers, shown=rank == 0)
    failures += failed
    if options.grid:
        _write_grid(job, sources, heads)
    for result in failures:
        print(f"{result.source}: {' '.join(str(result.failure).split())}", file=sys.stderr)
    print(
        f"translated {len(missing) - len(failed)} of {len(mine)} sources into {len(styles)} style{'s' * (len(styles) != 1)} in "
        f"{time.perf_counter() - start:.2f} s ({len(mine) - len(missing)} were there already, {len(failures)} failed), wrote {out}"
    )
    return 1 if failures else 0


def _request(options: argparse.Namespace, model: Model, job: Job) -> dict[str, object]:
    """What decides the pictures of a folder."""
    from stargan import bulk

    return {
        "sources": [os.path.realpath(path) for path in options.source],
        "model": f"{model.name} {bulk.fingerprint(model)}",
        "domain": options.domain,
        "styles": options.seed or [os.path.realpath(path) for path in options.reference],
        "psi": psi(options),
        "masks": job.masks,
        "alignment": job.aligner,
        # Folders that were made without these hold what they would hold with them.
        **({} if job.likeness in (None, 1) else {"likeness": job.likeness}),
        **({} if job.face is None else {"face": job.face}),
        **({"paste": True} if job.paste else {}),
    }


def _run(job: Job, missing: dict[str, Path], total: int, workers: int, shown: bool) -> list[Result]:
    """Translates what is missing of `total` sources, under a progress bar; returns what failed."""
    from tqdm import tqdm

    from stargan import bulk

    failed = []
    bar = tqdm(total=total, initial=total - len(missing), unit="source", mininterval=1, dynamic_ncols=True, disable=not shown)
    with bar:
        for result in bulk.run(job, missing, workers):
            bar.update()
            if result.failure is not None:
                failed.append(result)
            for note in result.notes:
                tqdm.write(f"{result.source}: {note}", file=sys.stderr)
    return failed


def _styles(
    options: argparse.Namespace, model: Model, how: str | None
) -> tuple[dict[str, np.ndarray], dict[str, Image], list[Result]]:
    """Styles by name, the picture that stands for each in a grid, and what went wrong with references."""
    from stargan import bulk, styles
    from stargan.media import images

    size = model.config.image_size
    codes, heads, failures = {}, {}, []
    for seed in options.seed or ():
        name = f"seed-{seed}"
        codes[name] = styles.from_seed(model, options.domain, seed, psi(options)).numpy()
        heads[name] = bulk.label(f"seed {seed}", size)
    for name, path in bulk.references(map(Path, options.reference or ()), Path(options.out)).items():
        try:
            heads[name], _ = bulk.square(images.read(path), model, how)
            style = styles.from_reference(model, heads[name], options.domain)
            codes[name] = styles.truncate(model, options.domain, style, psi(options)).numpy()
        except ValueError as error:
            failures.append(bulk.Result(path, str(error)))
    if not codes:
        raise CommandError(f"no reference can be used; the first: {failures[0].failure}")
    return codes, heads, failures


def _write_grid(job: Job, sources: dict[str, Path], heads: dict[str, Image]) -> None:
    from stargan import bulk

    grid = bulk.grid(job, sources, heads)
    if grid is None:
        return
    write(grid, job.out / "grid.png")
    if max(len(sources), len(heads)) > bulk.GRID:
        print(f"grid.png shows the first {bulk.GRID} of {len(sources)} sources and {len(heads)} styles", file=sys.stderr)

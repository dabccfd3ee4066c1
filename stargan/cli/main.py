"""python -m stargan translate | video | align | bench | publish: the package on the command line."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from torch import Tensor

    from stargan.batch import Outcome, Task
    from stargan.model import Model

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


class CommandError(ValueError):
    """An argument that cannot be used; the sentence says what to give instead."""


class Parser(argparse.ArgumentParser):
    """Says what was wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see --help\n")


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
        return value

    return parse


def _number(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low:g} to {high:g}")
        return value

    return parse


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="NAME", help="a model's name, or a .safetensors or .ckpt file (default: the bundled)")


def _add_licence(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--accept-licence",
        action="store_true",
        help="download a published model under its licence, where --model names one that is not here yet",
    )


def _add_psi(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--psi",
        type=_number(0, 2),
        metavar="P",
        help="with seeds: 0 gives the domain's mean style, 1 (default) the seed's, up to 2",
    )


def _add_masks_and_alignment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-masks", action="store_true", help="do not hold on to facial parts of the source")
    parser.add_argument(
        "--no-align",
        action="store_true",
        help="take the middle square of the pictures instead of finding the face",
    )
    _add_aligner(parser)


def _add_aligner(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--aligner",
        # stargan.faces.align.BACKENDS, which would take seconds to import for --help.
        choices=("fan-68", "face_alignment"),
        default="fan-68",
        help="what finds the face: the bundled network, or the face-alignment package (default %(default)s)",
    )


def _parser() -> Parser:
    formats = ", ".join(FORMATS)
    parser = Parser(prog="python -m stargan", description="Translates portraits between domains with StarGAN v2.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    translate = commands.add_parser(
        "translate",
        help="translate pictures into a domain",
        description="Translates one picture into one style, as a file; or many, into a folder of files named SOURCE--STYLE.png, "
        "which a second call completes. Under `accelerate launch --multi_gpu -m stargan ...` each process takes its share.",
    )
    translate.add_argument(
        "source", nargs="+", metavar="SOURCE", help="photographs of faces (PNG, JPEG, WebP, GIF, BMP or TIFF), or folders of them"
    )
    _add_model(translate)
    _add_licence(translate)
    translate.add_argument("--domain", required=True, help="a domain of the model, by its name")
    style = translate.add_mutually_exclusive_group(required=True)
    style.add_argument(
        "--seed",
        type=_whole(0, 2**63 - 1),
        nargs="+",
        action="extend",
        metavar="N",
        help="styles from seeds, 0 to 2**63 - 1",
    )
    style.add_argument(
        "--reference",
        nargs="+",
        action="extend",
        metavar="FILE",
        help="styles from other pictures of the domain, or folders of them",
    )
    _add_psi(translate)
    _add_masks_and_alignment(translate)
    translate.add_argument(
        "--grid",
        action="store_true",
        help="also write grid.png into the folder: sources down, styles across, the first 16 of each",
    )
    translate.add_argument(
        "--workers",
        type=_whole(1, 256),
        default=1,
        metavar="N",
        help="processes that share a folder's pictures (default %(default)s)",
    )
    translate.add_argument("--overwrite", action="store_true", help="make all files anew instead of those that the folder lacks")
    translate.add_argument("-o", "--out", required=True, metavar="OUT", help=f"file to write ({', '.join(FORMATS)}), or folder")
    translate.set_defaults(run=_translate)

    video = commands.add_parser(
        "video",
        help="move a picture through styles",
        description="Writes a video of a picture beside its translations, which move from style to style.",
    )
    video.add_argument("source", metavar="SOURCE", help="photograph of a face: PNG, JPEG, WebP, GIF, BMP or TIFF")
    _add_model(video)
    _add_licence(video)
    video.add_argument("--domain", help="the domain of the styles that do not name theirs")
    video.add_argument(
        "--styles",
        nargs="+",
        action="extend",
        required=True,
        metavar="STYLE",
        help="two or more, each a seed or a picture's path, with its domain before it as in woman:7 or man:painting.jpg",
    )
    video.add_argument(
        "--seconds",
        type=_number(0.1, 60),
        default=1.0,
        metavar="S",
        help="from one style to the next, 0.1 to 60 (default %(default)g)",
    )
    video.add_argument("--fps", type=_whole(1, 120), default=30, metavar="N", help="frames a second (default %(default)s)")
    video.add_argument("--loop", action="store_true", help="go back to the first style in the end")
    _add_psi(video)
    _add_masks_and_alignment(video)
    video.add_argument("-o", "--out", required=True, metavar="OUT", help="file to write: .mp4")
    video.set_defaults(run=_video)

    align = commands.add_parser("align", help="cut out and level a face", description="Cuts out and levels a face.")
    align.add_argument("source", metavar="SOURCE", help="photograph of a face: PNG, JPEG, WebP, GIF, BMP or TIFF")
    align.add_argument(
        "--size",
        type=_whole(32, 2048),
        default=256,
        metavar="N",
        help="side in px, 32 to 2048 (default %(default)s)",
    )
    _add_aligner(align)
    align.add_argument("-o", "--out", required=True, metavar="OUT", help=f"file to write: {formats}")
    align.set_defaults(run=_align)

    bench = commands.add_parser(
        "bench",
        help="measure how fast translation is here",
        description="Times translation beside the whole forward pass in float32, in turn in one process, and prints a table.",
    )
    bench.add_argument(
        "--model",
        nargs="+",
        metavar="NAME",
        help="models, or `published` for the size of the published ones with random weights (default: that and the bundled)",
    )
    bench.add_argument(
        "--rounds", type=_whole(1, 1000), default=20, metavar="N", help="of which the median is shown (default %(default)s)"
    )
    bench.add_argument("--device", default="cpu", help="cpu, cuda or mps (default %(default)s)")
    bench.add_argument("--no-compile", action="store_true", help="without torch.compile")
    bench.set_defaults(run=_bench)

    publish = commands.add_parser(
        "publish",
        help="put the page on the Hugging Face Hub as a Space",
        description="Assembles what a Space needs in a folder, checks that the page starts from it alone and translates, and "
        "uploads it. Whoever publishes is logged in by `hf auth login` or by the token in HF_TOKEN.",
    )
    publish.add_argument(
        "repository", metavar="USER/NAME", help="of the Space; one that was published like this is brought up to date"
    )
    publish.add_argument("--dry-run", action="store_true", help="write the folder, check it and print the plan, without the Hub")
    publish.add_argument("--model", metavar="NAME", help="shown first: the bundled model (default), or one that was trained here")
    publish.add_argument("--private", action="store_true", help="where the Space is a new one: nobody else sees it")
    publish.add_argument("--out", metavar="DIR", help="the folder to assemble it in (default: runs/space/NAME)")
    publish.add_argument(
        "--check",
        choices=("fresh", "here", "none"),
        help="start the page in a fresh environment, for which several GB are downloaded and removed again, or in the one that is "
        "here, or not at all (default: fresh, with --dry-run here)",
    )
    publish.set_defaults(run=_publish)
    return parser


def _translate(options: argparse.Namespace) -> int:
    if options.reference is not None and options.psi is not None:
        raise CommandError("--psi goes with --seed only; leave it out or give a seed instead of a reference")
    one = len(options.source) == 1 and len(options.seed or options.reference) == 1 and not options.grid
    folders = any(os.path.isdir(path) for path in (*options.source, *(options.reference or ()), options.out))
    return _translate_one(options) if one and not folders else _translate_many(options)


def _translate_one(options: argparse.Namespace) -> int:
    start = time.perf_counter()
    target = _target(options.out, FORMATS)
    from stargan import styles
    from stargan.media import images
    from stargan.translate import Translator

    source = images.read(Path(options.source[0]))
    reference = images.read(Path(options.reference[0])) if options.reference is not None else None
    model = _load(options)
    model.config.domain_index(options.domain)
    size = model.config.image_size
    source = _square(source, size, options.source[0], _aligner(options))
    if reference is not None:
        reference = _square(reference, size, options.reference[0], _aligner(options))
    loaded = time.perf_counter()
    if reference is not None:
        style = styles.from_reference(model, reference, options.domain)
    else:
        style = styles.from_seed(model, options.domain, options.seed[0], _psi(options))
    translator = Translator(model)
    result = images.to_pil(translator.decode(translator.encode(source, masks=not options.no_masks), style))
    done = time.perf_counter()
    _write(result, target)
    print(f"translated in {done - loaded:.2f} s ({done - start:.2f} s with loading), wrote {target}")
    return 0


def _translate_many(options: argparse.Namespace) -> int:
    start = time.perf_counter()
    out = Path(options.out)
    if not out.is_dir() and (out.exists() or out.suffix.lower() in FORMATS):
        raise CommandError(f"{out} is the name of a file; give a folder for several pictures")
    from tqdm import tqdm

    from stargan import batch

    rank, world = batch.process()
    if options.grid and world > 1:
        raise CommandError("--grid needs the pictures of all processes; call again with it, and in one process, when they are done")
    sources = batch.sources(map(Path, options.source), out)
    _load(options)  # what has to be downloaded is here before workers look for it
    model = batch.translator(_model(options)).model
    styles, heads, failures = _styles(options, model)
    task = batch.Task(_model(options), styles, out, not options.no_masks, _aligner(options))
    mine = batch.share(sources, rank, world)
    request = {
        "sources": [os.path.realpath(path) for path in options.source],
        "model": f"{model.name} {batch.fingerprint(model)}",
        "domain": options.domain,
        "styles": options.seed or [os.path.realpath(path) for path in options.reference],
        "psi": _psi(options),
        "masks": task.masks,
        "alignment": task.aligner,
    }
    batch.claim(out, request, [t for name in mine for t in task.targets(name).values()], options.overwrite)
    missing = task.missing(mine)
    progress = tqdm(
        batch.run(task, missing, options.workers),
        total=len(mine),
        initial=len(mine) - len(missing),
        unit="source",
        mininterval=1,
        dynamic_ncols=True,
        disable=rank > 0,
    )
    done = 0
    for outcome in progress:
        if outcome.failure is None:
            done += 1
        else:
            failures.append(outcome)
        for note in outcome.notes:
            tqdm.write(f"{outcome.source}: {note}", file=sys.stderr)
    if options.grid:
        _write_grid(task, sources, heads)
    for outcome in failures:
        print(f"{outcome.source}: {' '.join(str(outcome.failure).split())}", file=sys.stderr)
    print(
        f"translated {done} of {len(mine)} sources into {len(styles)} styles in {time.perf_counter() - start:.2f} s "
        f"({len(mine) - len(missing)} were there already, {len(failures)} failed), wrote {out}"
    )
    return 1 if failures else 0


def _styles(options: argparse.Namespace, model: Model) -> tuple[dict[str, np.ndarray], dict[str, Image], list[Outcome]]:
    """Styles by name, the picture that stands for each in a grid, and what went wrong with references."""
    from stargan import batch, styles
    from stargan.media import images

    size = model.config.image_size
    codes, heads, failures = {}, {}, []
    for seed in options.seed or ():
        name = f"seed-{seed}"
        codes[name] = styles.from_seed(model, options.domain, seed, _psi(options)).numpy()
        heads[name] = batch.label(f"seed {seed}", size)
    for name, path in batch.references(map(Path, options.reference or ()), Path(options.out)).items():
        try:
            heads[name], _ = batch.square(images.read(path), size, _aligner(options))
            codes[name] = styles.from_reference(model, heads[name], options.domain).numpy()
        except ValueError as error:
            failures.append(batch.Outcome(path, str(error)))
    if not codes:
        raise CommandError(f"no reference can be used; the first: {failures[0].failure}")
    return codes, heads, failures


def _write_grid(task: Task, sources: dict[str, Path], heads: dict[str, Image]) -> None:
    from stargan import batch

    grid = batch.grid(task, sources, heads)
    if grid is None:
        return
    _write(grid, task.out / "grid.png")
    if max(len(sources), len(heads)) > batch.GRID:
        print(f"grid.png shows the first {batch.GRID} of {len(sources)} sources and {len(heads)} styles", file=sys.stderr)


def _video(options: argparse.Namespace) -> int:
    start = time.perf_counter()
    target = _target(options.out, (".mp4",))
    from tqdm import tqdm

    from stargan import transition
    from stargan.media import images, video
    from stargan.translate import Translator

    source = images.read(Path(options.source))
    model = _load(options)
    source = _square(source, model.config.image_size, options.source, _aligner(options))
    path = transition.path(
        [_style(options, model, style) for style in options.styles],
        max(1, round(options.seconds * options.fps)),
        options.loop,
    )
    translator = Translator(model)
    frames = transition.frames(translator, translator.encode(source, masks=not options.no_masks), source, path)
    video.write(target, tqdm(frames, total=len(path), unit="frame", mininterval=1, dynamic_ncols=True), options.fps)
    print(f"{len(path)} frames, {len(path) / options.fps:.1f} s, made in {time.perf_counter() - start:.2f} s, wrote {target}")
    return 0


def _style(options: argparse.Namespace, model: Model, text: str) -> Tensor:
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
        return styles.from_seed(model, domain, int(what), _psi(options))
    reference = _square(images.read(Path(what)), model.config.image_size, what, _aligner(options))
    return styles.from_reference(model, reference, domain)


def _align(options: argparse.Namespace) -> int:
    start = time.perf_counter()
    target = _target(options.out, FORMATS)
    from stargan.media import images

    result = _square(images.read(Path(options.source)), options.size, options.source, options.aligner)
    done = time.perf_counter()
    _write(result, target)
    print(f"aligned in {done - start:.2f} s, wrote {target}")
    return 0


def _bench(options: argparse.Namespace) -> int:
    from stargan import bench, zoo

    for name in options.model or (bench.PUBLISHED, zoo.DEFAULT):
        print(bench.bench(name, options.rounds, not options.no_compile, options.device), end="\n\n", flush=True)
    return 0


def _publish(options: argparse.Namespace) -> int:
    from stargan import zoo
    from stargan.zoo import publish

    repo = publish.repository(options.repository)
    how = options.check or ("here" if options.dry_run else "fresh")
    account = None if options.dry_run else publish.account(repo, options.private)
    folder = Path(options.out) if options.out is not None else zoo.ROOT / "runs" / "space" / repo.split("/")[1]
    space = publish.assemble(folder, _model(options))
    private = options.private if account is None else account.private
    new = "" if account is None else ", new" if account.held is None else ", brought up to date"
    print(f"Space {repo} ({'private' if private else 'public'}{new})")
    print(space.plan())
    if account is not None:
        for path in sorted((account.held or frozenset()) - set(space.files)):
            print(f"     removed  {path}")
        print(f"publishing as {account.name}")
    if how != "none":
        print("checking: installing its requirements.txt" if how == "fresh" else "checking: starting it", flush=True)
        print(f"the page was up after {publish.check(space, how):.1f} s, and translates")
    if account is None:
        print("nothing was uploaded, as it is a dry run")
    else:
        print(f"uploaded: {publish.upload(repo, space, options.private)}")
    return 0


def _load(options: argparse.Namespace) -> Model:
    """The model that is asked for, with a progress bar where it has to be downloaded."""
    from tqdm import tqdm

    from stargan import zoo

    bar: tqdm | None = None

    def show(done: int, total: int | None) -> None:
        nonlocal bar
        bar = bar or tqdm(total=total, unit="B", unit_scale=True, desc=options.model, dynamic_ncols=True)
        bar.update(done - bar.n)

    model = zoo.load(_model(options), options.accept_licence, show)
    if bar is not None:
        bar.close()
    return model


def _model(options: argparse.Namespace) -> str:
    from stargan import zoo

    return zoo.DEFAULT if options.model is None else options.model


def _psi(options: argparse.Namespace) -> float:
    return 1.0 if options.psi is None else options.psi


def _aligner(options: argparse.Namespace) -> str | None:
    return None if options.no_align else options.aligner


def _square(image: Image, size: int, name: str, aligner: str | None) -> Image:
    from stargan import batch

    result, notes = batch.square(image, size, aligner)
    for note in notes:
        print(f"{name}: {note}", file=sys.stderr)
    return result


def _target(out: str, extensions: Collection[str]) -> Path:
    """Checks where to write before any work is done."""
    path = Path(out)
    if path.suffix.lower() not in extensions:
        raise CommandError(f"{out} has no known extension; end it in {', '.join(extensions)}")
    if not path.parent.is_dir():
        raise CommandError(f"the folder {path.parent} does not exist; make it or write elsewhere")
    if path.is_dir():
        raise CommandError(f"{out} is a folder; give the name of a file")
    return path


def _write(image: Image, path: Path) -> None:
    from stargan import batch

    try:
        batch.write(image, path, FORMATS[path.suffix.lower()])
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror or error}") from error


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0, 1 where some of many sources failed, or 2 after one sentence on stderr for
    unusable input."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, OSError) as error:
        print(f"{parser.prog} {options.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())

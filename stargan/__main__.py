"""python -m stargan translate | align: the package on the command line."""

from __future__ import annotations

import argparse
import io
import os
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from PIL.Image import Image

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


def _psi(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 2")
    return value


def _add_aligner(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--aligner",
        # stargan.align.BACKENDS, which would take seconds to import for --help.
        choices=("fan-68", "face_alignment"),
        default="fan-68",
        help="what finds the face: the bundled network, or the face-alignment package (default %(default)s)",
    )


def _parser() -> Parser:
    formats = ", ".join(FORMATS)
    parser = Parser(
        prog="python -m stargan", description="Translates portraits between domains with StarGAN v2."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    translate = commands.add_parser(
        "translate", help="translate a picture into a domain", description="Translates a picture."
    )
    translate.add_argument(
        "source", metavar="SOURCE", help="photograph of a face: PNG, JPEG, WebP, GIF, BMP or TIFF"
    )
    translate.add_argument(
        "--model",
        metavar="NAME",
        help="a model's name, or a .safetensors or .ckpt file (default: the bundled)",
    )
    translate.add_argument("--domain", required=True, help="a domain of the model, by its name")
    style = translate.add_mutually_exclusive_group(required=True)
    style.add_argument(
        "--seed", type=_whole(0, 2**63 - 1), metavar="N", help="style from a seed, 0 to 2**63 - 1"
    )
    style.add_argument("--reference", metavar="FILE", help="style from another picture of the domain")
    translate.add_argument(
        "--psi",
        type=_psi,
        metavar="P",
        help="with --seed: 0 gives the domain's mean style, 1 (default) the seed's, up to 2",
    )
    translate.add_argument(
        "--no-masks", action="store_true", help="do not hold on to facial parts of the source"
    )
    translate.add_argument(
        "--no-align",
        action="store_true",
        help="take the middle square of the pictures instead of finding the face",
    )
    _add_aligner(translate)
    translate.add_argument("-o", "--out", required=True, metavar="OUT", help=f"file to write: {formats}")
    translate.set_defaults(run=_translate)

    align = commands.add_parser(
        "align", help="cut out and level a face", description="Cuts out and levels a face."
    )
    align.add_argument(
        "source", metavar="SOURCE", help="photograph of a face: PNG, JPEG, WebP, GIF, BMP or TIFF"
    )
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
    return parser


def _translate(options: argparse.Namespace) -> str:
    start = time.perf_counter()
    if options.reference is not None and options.psi is not None:
        raise CommandError("--psi goes with --seed only; leave it out or give a seed instead of a reference")
    target = _target(options.out)
    from stargan import images, styles, zoo
    from stargan.translate import Translator

    source = images.read(Path(options.source))
    reference = images.read(Path(options.reference)) if options.reference is not None else None
    model = zoo.load(zoo.DEFAULT if options.model is None else options.model)
    model.config.domain_index(options.domain)
    size = model.config.image_size
    aligner = None if options.no_align else options.aligner
    source = _square(source, size, options.source, aligner)
    if reference is not None:
        reference = _square(reference, size, options.reference, aligner)
    loaded = time.perf_counter()
    if reference is not None:
        style = styles.from_reference(model, reference, options.domain)
    else:
        psi = 1.0 if options.psi is None else options.psi
        style = styles.from_seed(model, options.domain, options.seed, psi)
    translator = Translator(model)
    result = images.to_pil(translator.decode(translator.encode(source, masks=not options.no_masks), style))
    done = time.perf_counter()
    _write(result, target)
    return f"translated in {done - loaded:.2f} s ({done - start:.2f} s with loading), wrote {target}"


def _align(options: argparse.Namespace) -> str:
    start = time.perf_counter()
    target = _target(options.out)
    from stargan import images

    result = _square(images.read(Path(options.source)), options.size, options.source, options.aligner)
    done = time.perf_counter()
    _write(result, target)
    return f"aligned in {done - start:.2f} s, wrote {target}"


def _square(image: Image, size: int, name: str, aligner: str | None) -> Image:
    if aligner is None:
        from stargan import images

        return images.centre_crop(image, size)
    from stargan.align import align

    result = align(image, size, backend=aligner)
    for note in result.notes:
        print(f"{name}: {note}", file=sys.stderr)
    return result.image


def _target(out: str) -> Path:
    """Checks where to write before any work is done."""
    path = Path(out)
    if path.suffix.lower() not in FORMATS:
        raise CommandError(f"{out} has no known extension; end it in {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise CommandError(f"the folder {path.parent} does not exist; make it or write elsewhere")
    if path.is_dir():
        raise CommandError(f"{out} is a folder; give the name of a file")
    return path


def _write(image: Image, path: Path) -> None:
    """Writes a picture so that the file under its name is always whole."""
    buffer = io.BytesIO()
    image.save(buffer, FORMATS[path.suffix.lower()], quality=95)
    target = Path(os.path.realpath(path))
    partial = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with partial.open("xb") as file:
            file.write(buffer.getvalue())
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0, or 2 after one sentence on stderr for unusable input."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        print(options.run(options))
    except (ValueError, OSError) as error:
        print(f"{parser.prog} {options.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

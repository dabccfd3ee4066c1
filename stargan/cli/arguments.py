"""The options that several verbs have, and what they stand for."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from stargan.cli.parsing import CommandError, names, number, whole

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from stargan.faces.squares import Choice, Square
    from stargan.model import Model

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
PHOTOGRAPH = "photograph of a face: PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF, HEIC or JPEG 2000"


def add_model(parser: argparse.ArgumentParser, required: bool = False, nargs: str | None = None) -> None:
    """The model, whether it may be downloaded, and what its file does not say: see `load_model`."""
    parser.add_argument(
        "--model",
        metavar="NAME",
        nargs=nargs,
        required=required,
        help="a model's name, a file (.safetensors, or a checkpoint: .ckpt, .pt or .pth), or hf:user/name"
        + " (default: the bundled)" * (not required),
    )
    add_loading(parser)


def add_loading(parser: argparse.ArgumentParser) -> None:
    """How a model is loaded: see `load_model`."""
    parser.add_argument(
        "--accept-licence",
        action="store_true",
        help="download a published model under its licence, where --model names one that is not here yet",
    )
    parser.add_argument(
        "--domains", type=names, metavar="A,B", help="names for the model's domains, in its order; published checkpoints have none"
    )
    parser.add_argument("--wing", metavar="FILE", help="the FAN of a published checkpoint with masks (wing.ckpt)")


def add_psi(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--psi",
        type=number(0, 2),
        metavar="P",
        help="strength of the style: 0 gives the domain's mean style, 1 (default) that of the seed or reference, up to 2",
    )


def add_masks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-masks", action="store_true", help="do not hold on to facial parts of the source")


def add_likeness(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--likeness",
        type=number(0, 1),
        metavar="L",
        help="how much of the person outputs keep, 0 to 1 (default: 1), where the model offers the choice",
    )


def add_alignment(parser: argparse.ArgumentParser) -> None:
    """Whether and how the face is found: see `aligner`."""
    parser.add_argument(
        "--no-align", action="store_true", help="take the middle square of the pictures instead of finding the face"
    )
    add_aligner(parser)


def add_aligner(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--aligner",
        # stargan.model.ALIGNERS, which would take seconds to import for --help.
        choices=("fan-68", "face_alignment"),
        help="what finds the face: the bundled network, or the face-alignment package (default: what aligned the model's pictures, "
        "where that is known; else the bundled network, but the middle square for a model that has no FAN)",
    )


def model_name(options: argparse.Namespace) -> str:
    from stargan import zoo

    return zoo.DEFAULT if options.model is None else options.model


def load_model(options: argparse.Namespace, name: str | None = None) -> Model:
    """The model of that name, by default the one that is asked for, with a progress bar where it has to be downloaded."""
    from tqdm import tqdm

    from stargan import zoo

    name = model_name(options) if name is None else name
    bar: tqdm | None = None

    def show(done: int, total: int | None) -> None:
        nonlocal bar
        bar = bar or tqdm(total=total, unit="B", unit_scale=True, desc=name, dynamic_ncols=True)
        bar.update(done - bar.n)

    model = zoo.load(name, options.accept_licence, show, options.domains, options.wing)
    if bar is not None:
        bar.close()
    for note in model.notes:
        print(f"{model.name}: {note}", file=sys.stderr)
    return model


def psi(options: argparse.Namespace) -> float:
    return 1.0 if options.psi is None else options.psi


def add_face(parser: argparse.ArgumentParser, every: bool = True) -> None:
    """Which face of a source: a number or, with `every`, `all`."""

    def face(text: str) -> int | str:
        return text if every and text == "all" else whole(1)(text)

    each = ", or `all` for each in turn" if every else ""
    parser.add_argument(
        "--face", type=face, metavar="N", help=f"the source's face number N from the left{each} (default: the largest)"
    )


def add_paste(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--paste", action="store_true", help="put the translated face back into its photograph, or clip")


def check_faces(options: argparse.Namespace) -> None:
    """CommandError where --face or --paste is asked for without alignment."""
    if options.no_align and (options.face is not None or options.paste):
        raise CommandError("--face and --paste need the face to be found; leave --no-align out")


def aligner(options: argparse.Namespace, model: Model) -> str | None:
    """What `squares` takes; that a model aligns nothing, or by another network than its pictures, is said on stderr."""
    if options.no_align:
        return None
    if options.aligner is not None:
        return str(options.aligner)
    from stargan.faces.squares import aligner_for

    found, why = aligner_for(model)
    if found is None and (options.face is not None or options.paste):
        return "fan-68"
    if why:
        print(why if found else f"{why} --aligner fan-68 aligns all the same.", file=sys.stderr)
    return found


def square(image: Image, model: Model, name: str, aligner: str | None) -> Image:
    """The square of the largest face that a model takes; see `squares`."""
    return squares(image, model.config.image_size, name, aligner, frame=model.frame)[0].image


def squares(
    image: Image, size: int, name: str, aligner: str | None, face: Choice = None, frame: np.ndarray | None = None
) -> list[Square]:
    """As `faces.squares.squares`; its notes go to stderr, under the name of the picture."""
    from stargan.faces.squares import squares

    cut, notes = squares(image, size, aligner, face, frame)
    for note in notes:
        print(f"{name}: {note}", file=sys.stderr)
    return cut


def target(out: str, inputs: Iterable[str | None], extensions: Collection[str] = tuple(FORMATS)) -> Path:
    """The file to write, checked before any work is done. inputs: files that it must not take the place of."""
    path = Path(out)
    if path.suffix.lower() not in extensions:
        raise CommandError(f"{out} has no known extension; end it in {', '.join(extensions)}")
    if not path.parent.is_dir():
        raise CommandError(f"the folder {path.parent} does not exist; make it or write elsewhere")
    if path.is_dir():
        raise CommandError(f"{out} is a folder; give the name of a file")
    if path.exists() and not path.is_file():
        raise CommandError(f"{out} is a device or a pipe; give the name of a file")
    if path.exists() and any(os.path.exists(given) and path.samefile(given) for given in inputs if given is not None):
        raise CommandError(f"{out} is what it is to be made of, and would be lost; give another name")
    return path


def write(image: Image, path: Path) -> None:
    """Writes a picture in the format of its extension."""
    from stargan.media import images

    try:
        images.write(image, path, FORMATS[path.suffix.lower()])
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror or error}") from error

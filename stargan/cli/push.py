"""Puts a model on the Hugging Face Hub with a card, examples and its licence, loads it back from there and compares the two.
Whoever pushes is logged in by `hf auth login` or by the token in HF_TOKEN."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stargan.cli.arguments import PHOTOGRAPH, add_loading, load_model
from stargan.cli.parsing import existing_file
from stargan.files import places

if TYPE_CHECKING:
    from PIL.Image import Image

    from stargan.model import Model

HELP = "put a model on the Hugging Face Hub"
SHOWN = 4  # photographs of the page's examples
SEEDS = (1, 2)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a model's name, or a file")
    parser.add_argument(
        "repository", metavar="USER/NAME", help="of the model there; one that was pushed before is brought up to date"
    )
    add_loading(parser)
    parser.add_argument("--dry-run", action="store_true", help="write the folder and print the plan, without the Hub")
    parser.add_argument("--private", action="store_true", help="where the model is new there: nobody else sees it")
    parser.add_argument("--licence", metavar="TEXT", help="of the weights, such as 'CC BY 4.0'; needed where the model says none")
    parser.add_argument(
        "--photo",
        type=existing_file,
        nargs="+",
        metavar="FILE",
        help=f"to show in the examples (default: the page's); {PHOTOGRAPH}",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="the folder to assemble it in (default: runs/hub/NAME)")


def run(options: argparse.Namespace) -> int:
    from stargan.zoo import hub, publish, push

    repo = publish.repository(options.repository, "model")
    model = load_model(options, options.model)
    if options.licence is not None:
        model.licence = publish.agreed(options.model, model.licence, options.licence)
    push.check(options.model, model)
    account = None if options.dry_run else hub.owner(repo, options.private)
    folder = options.out if options.out is not None else places.runs() / "hub" / repo.split("/")[1]
    photos = options.photo or sorted((Path(__file__).parents[1] / "ui" / "examples").glob("*.webp"))[:SHOWN]
    parcel = push.assemble(folder, options.model, repo, model, examples(model, photos))
    private = options.private if account is None else account.private
    new = "" if account is None else ", new" if account.held is None else ", brought up to date"
    print(f"model {repo} ({'private' if private else 'public'}{new})")
    print(parcel.plan())
    if account is None:
        print("nothing was uploaded, as it is a dry run")
        return 0
    print(f"pushing as {account.name}", flush=True)
    address = hub.push(repo, parcel, options.private)
    print(f"uploaded: {address}\nloaded back by hf:{repo}, and found the same")
    return 0


def examples(model: Model, photos: Sequence[Path]) -> Image:
    """A row for each photograph: its square, then a column for each domain and seed, under a head with their names."""
    from PIL import Image

    from stargan import bulk, styles
    from stargan.faces.squares import aligner_for, squares
    from stargan.media import images
    from stargan.translate import Translator

    size, how = model.config.image_size, aligner_for(model)[0]
    codes = {f"{d}\nseed {s}": styles.from_seed(model, d, s) for d in model.config.domains for s in SEEDS}
    codes = dict(list(codes.items())[: bulk.GRID])
    translator = Translator(model)
    sheet = Image.new("RGB", (size * (1 + len(codes)), size * len(photos) + size // 3), "white")
    for x, name in enumerate(codes, 1):
        sheet.paste(bulk.label(name, size).crop((0, size // 3, size, 2 * size // 3)), (size * x, 0))
    for y, path in enumerate(photos):
        cut, _ = squares(images.read(path), size, how, frame=model.frame)
        source, top = cut[0].image, size * y + size // 3
        sheet.paste(source, (0, top))
        encoded = translator.encode(source)
        for x, code in enumerate(codes.values(), 1):
            sheet.paste(images.to_pil(translator.decode(encoded, code)), (size * x, top))
    return sheet

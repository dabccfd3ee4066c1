"""Measures models on the val split, or on photographs, and prints a table with a column for each."""

from __future__ import annotations

import argparse
from pathlib import Path

from stargan.cli.arguments import add_model, load_model
from stargan.cli.parsing import CommandError, number, whole
from train.cli.arguments import add_cache, add_data, add_seed, check_writable

HELP = "measure models on the val split"


def _limit(text: str) -> int:
    value = whole(-(2**31))(text)
    if value == 1 or value < 0:
        raise argparse.ArgumentTypeError(f"{text} sources are too few to compare; give at least 2, or 0 for all")
    return value


def add_options(parser: argparse.ArgumentParser) -> None:
    add_model(parser, required=True, nargs="+")
    add_data(parser)
    parser.add_argument(
        "--photos", type=Path, metavar="DIR", help="folder of photographs to translate instead, and to measure likeness with"
    )
    parser.add_argument(
        "--likeness",
        type=number(0, 1),
        nargs="+",
        default=[1.0],
        metavar="L",
        help="how much of the person outputs keep, 0 to 1, side by side where the model offers the choice (default: 1)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for JSON, grid and mean pictures (default: runs/evaluate/NAME)"
    )
    add_cache(parser, "pictures and classifier")
    parser.add_argument(
        "--outputs", type=whole(1), default=10, metavar="N", help="a source and pair of domains (default: %(default)s)"
    )
    parser.add_argument("--limit", type=_limit, default=0, metavar="N", help="N sources a domain at most; 0: all (default)")
    add_seed(parser, "latents, references and projections")
    parser.add_argument("--no-downloads", action="store_true", help="leave out FID and LPIPS, whose networks are downloaded")


def run(options: argparse.Namespace) -> int:
    names = short_names(options.model)
    from train.judge import evaluate, photographs, table

    models = [load_model(options, name) for name in options.model]
    # Among others, a model without the choice is measured once; alone, it is refused.
    runs = [
        (name, model, likeness)
        for name, model in zip(names, models, strict=True)
        for likeness in (options.likeness if model.has_likeness or len(models) == 1 else [1.0])
    ]
    labels = [name if likeness == 1 else f"{name}-{likeness:g}" for name, _, likeness in runs]
    inner = options.out is None or len(runs) > 1
    folders = [(options.out or Path("runs/evaluate")) / label if inner else options.out for label in labels]
    for folder in folders:
        check_writable(folder)
    found = []
    for (_, model, likeness), label, folder in zip(runs, labels, folders, strict=True):
        photos = None
        if options.photos:
            photos = photographs.read(options.photos, model, options.limit or photographs.COUNT)
        measured = evaluate.evaluate(
            model,
            options.data,
            photographs=photos,
            likeness=likeness,
            out=folder,
            cache=options.cache,
            outputs=options.outputs,
            limit=options.limit,
            seed=options.seed,
            downloads=not options.no_downloads,
        )
        found.append(measured | ({"model": label} if len(runs) > 1 else {}))
    print(table.table(*found))
    print(f"\nwritten to {', '.join(map(str, folders))}")
    return 0


def short_names(models: list[str]) -> list[str]:
    """A short name of each model: its own, as `zoo.called` has it, after that of the folder around where several have one."""
    from stargan import zoo

    here = zoo.available()
    paths = [Path(here.get(model, model)) for model in models]
    names = [model if model in here else zoo.called(path) for model, path in zip(models, paths, strict=True)]
    if len(set(names)) < len(names):
        folders = [path.resolve().parent for path in paths]
        around = [f.parent if path.name in zoo.OF_FOLDERS else f for path, f in zip(paths, folders, strict=True)]
        names = [f"{folder.name}-{name}" for folder, name in zip(around, names, strict=True)]
    if len(set(names)) < len(names):
        raise CommandError("--model names one model twice, or models whose files and folders have the same names; give each once")
    return names

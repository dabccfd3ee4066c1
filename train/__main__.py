"""python -m train fit | match | evaluate | prepare | card | bench | fan: the trainer on the command line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stargan.cli.arguments import add_model, load_model


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return value


def _limit(text: str) -> int:
    value = int(text)
    if value == 1 or value < 0:
        raise argparse.ArgumentTypeError(f"{text} sources are too few to compare; give at least 2, or 0 for all")
    return value


def _add_config(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", type=Path, required=True, help="YAML file with the settings of the run (train/configs/)")
    command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting; may be repeated")


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m train", description="Trains StarGAN v2 on folders of pictures.")
    commands = top.add_subparsers(dest="command", required=True)

    fit = commands.add_parser("fit", help="train a model, or continue a run")
    _add_config(fit)
    fit.add_argument("--init-from", metavar="MODEL", help="start with the weights of a model, by name, .safetensors or .ckpt")

    match = commands.add_parser("match", help="fit the mapping network of a trained model to the styles of real pictures")
    add_model(match, required=True)
    match.add_argument("--data", type=Path, required=True, help="folder with train/<domain>/")
    match.add_argument("--out", type=Path, required=True, metavar="FILE", help="model to write (.safetensors)")
    match.add_argument("--cache", type=Path, default=Path("runs/cache"), help="for pictures (%(default)s)")
    match.add_argument("--steps", type=_count, default=4000, help="of 256 styles a domain (default: %(default)s)")
    match.add_argument("--seed", type=int, default=0, help="of latents and pictures (default: %(default)s)")

    evaluate = commands.add_parser("evaluate", help="measure a model on the val split")
    add_model(evaluate, required=True, nargs="+")
    evaluate.add_argument("--data", type=Path, required=True, help="folder with train/<domain>/ and val/<domain>/")
    evaluate.add_argument("--photos", type=Path, help="folder of photographs to translate instead, and to measure likeness with")
    evaluate.add_argument("--out", type=Path, help="folder for JSON, grid and mean pictures (default: runs/evaluate/<model>)")
    evaluate.add_argument("--cache", type=Path, default=Path("runs/cache"), help="for pictures and classifier (%(default)s)")
    evaluate.add_argument("--outputs", type=_count, default=10, help="a source and pair of domains (default: %(default)s)")
    evaluate.add_argument("--limit", type=_limit, default=0, metavar="N", help="N sources a domain at most; 0: all (default)")
    evaluate.add_argument("--seed", type=int, default=0, help="of latents, references and projections (default: %(default)s)")
    evaluate.add_argument("--no-downloads", action="store_true", help="leave out FID and LPIPS, whose networks are downloaded")

    prepare = commands.add_parser("prepare", help="make a data folder")
    kinds = prepare.add_subparsers(dest="kind", required=True)
    for name, source, text in (
        ("portraits", "clone of the public repository", "the pictures that the bundled model was trained on"),
        ("photographs", "folder of photographs with landmarks and manifest", "photographs as a source-only domain, photo"),
        ("folder", "folder with a folder of pictures for each domain", "your own pictures"),
        ("celeba-hq", "celeba_hq.zip", "the published CelebA-HQ archive"),
        ("afhq", "afhq.zip", "the published AFHQ archive, version 1 or 2"),
    ):
        kind = kinds.add_parser(name, help=text)
        kind.add_argument("--from", dest="source", type=Path, required=True, help=source)
        kind.add_argument("--to", dest="out", type=Path, required=True, help="data folder to make, or to go on with")
        if name in ("folder", "photographs"):
            kind.add_argument("--size", type=_count, required=True, metavar="N", help="side of the pictures in px")
        if name == "folder":
            kind.add_argument("--align", action="store_true", help="find and level the face instead of the central square")
            kind.add_argument("--val-fraction", type=float, default=0.1, metavar="F", help="share for val (default: %(default)s)")
            kind.add_argument("--seed", type=int, default=0, help="of the split (default: %(default)s)")

    card = commands.add_parser("card", help="make the pictures of a model's card")
    add_model(card, required=True)
    card.add_argument("--data", type=Path, required=True, help="folder with train/<domain>/ and val/<domain>/")
    card.add_argument("--out", type=Path, required=True, help="folder of the card")
    card.add_argument("--photo", type=Path, metavar="FILE", help="a photograph to show in every domain")
    card.add_argument("--log", type=Path, metavar="FILE", help="log.jsonl of the run, for the training curve")
    card.add_argument("--seed", type=int, default=0, help="of sources and styles (default: %(default)s)")

    bench = commands.add_parser("bench", help="compare a run's speed with the paper's code")
    _add_config(bench)
    bench.add_argument("--rounds", type=_count, default=3, help="of which the median is shown (default: %(default)s)")
    bench.add_argument("--profile", action="store_true", help="show where the time goes")

    fan = commands.add_parser("fan", help="train the 68-point face alignment network")
    fan.add_argument(
        "--data",
        type=Path,
        required=True,
        nargs="+",
        help="folders with train/, val/ and landmarks.npz, or with landmarks-train.npz and landmarks-val.npz",
    )
    fan.add_argument("--out", type=Path, default=Path("runs/fan/fan.safetensors"), help="file to write (default: %(default)s)")
    fan.add_argument("--start", type=Path, metavar="FILE", help="a FAN of the same shape to go on from")
    fan.add_argument("--steps", type=_count, default=4000, help="of training (default: %(default)s)")
    fan.add_argument("--seed", type=int, default=0, help="of the augmentation and the first weights (default: %(default)s)")
    return top


def run(args: argparse.Namespace) -> None:
    if args.command == "fit":
        from train import config
        from train.run import loop

        start = [f"init_from={args.init_from}"] if args.init_from else []
        loop.fit(config.read(args.config, [*start, *args.set]))
    elif args.command == "match":
        import torch

        from stargan.files import checkpoint
        from train import match

        _check_model_file(args.out)
        model = load_model(args)
        before, after = match.match_styles(model, args.data, steps=args.steps, cache=args.cache, seed=args.seed)
        checkpoint.save(model, args.out, dtype=torch.float16)
        print(f"energy distance of the styles: {before:.3f} before, {after:.3f} after; written to {args.out}")
    elif args.command == "evaluate":
        _evaluate(args)
    elif args.command == "prepare":
        from train.data import prepare

        if args.kind == "folder":
            print(prepare.folder(args.source, args.out, args.size, args.align, args.val_fraction, args.seed))
        elif args.kind == "photographs":
            print(prepare.photographs(args.source, args.out, args.size))
        else:
            make = {"portraits": prepare.portraits, "celeba-hq": prepare.celeba_hq, "afhq": prepare.afhq}[args.kind]
            print(make(args.source, args.out))
    elif args.command == "card":
        from train.judge import card

        for path in card.make(load_model(args), args.data, args.out, args.photo, args.log, args.seed):
            print(f"wrote {path}")
    elif args.command == "bench":
        from train import config
        from train.judge import bench

        print(bench.bench(config.read(args.config, args.set), args.rounds, args.profile))
    else:
        from train import fan

        fan.fit(fan.FANTraining(tuple(args.data), args.out, args.start, args.steps, seed=args.seed))


def _evaluate(args: argparse.Namespace) -> None:
    from train.judge import evaluate, photographs, table

    options = {"outputs": args.outputs, "limit": args.limit, "seed": args.seed, "downloads": not args.no_downloads}
    names = _apart(args.model)
    models = [load_model(args, name) for name in args.model]
    found, folders = [], []
    for name, model in zip(names, models, strict=True):
        photos = photographs.read(args.photos, model.config.image_size, args.limit or photographs.COUNT) if args.photos else None
        out = (args.out / name if len(models) > 1 else args.out) if args.out else Path("runs/evaluate") / name
        found.append(evaluate.evaluate(model, args.data, photographs=photos, out=out, cache=args.cache, **options))
        if len(models) > 1:
            found[-1]["model"] = name
        folders.append(str(out))
    print(table.table(*found))
    print(f"\nwritten to {', '.join(folders)}")


def _apart(models: list[str]) -> list[str]:
    """A short name of each model: of its file, with its folder where files of one name are in several."""
    names = [Path(model).stem for model in models]
    if len(set(names)) < len(names):
        names = [f"{Path(model).resolve().parent.name}-{Path(model).stem}" for model in models]
    if len(set(names)) < len(names):
        raise ValueError("--model names one model twice, or models whose files and folders have the same names; give each once")
    return names


def _check_model_file(path: Path) -> None:
    """Makes the folder of a model that is to be written; ValueError, before minutes of work are lost, where it cannot be."""
    if path.suffix != ".safetensors" or path.is_dir():
        raise ValueError(f"--out is {path}; give the name of a file that ends in .safetensors")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--out is {path}, but {path.parent} is no folder and cannot be made one ({error.strerror})") from error


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0, 2 after one sentence on stderr for unusable input, 130 after Ctrl-C."""
    args = parser().parse_args(arguments)
    try:
        run(args)
    except ValueError as error:
        print(f"python -m train {args.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""python -m train fit | fan: the trainer on the command line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m train", description="Trains StarGAN v2 on folders of pictures.")
    commands = top.add_subparsers(dest="command", required=True)

    fit = commands.add_parser("fit", help="train a model, or continue a run")
    fit.add_argument("--config", type=Path, required=True, help="YAML file with the settings of the run (train/configs/)")
    fit.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting; may be repeated")

    fan = commands.add_parser("fan", help="train the 68-point face alignment network")
    fan.add_argument("--data", type=Path, required=True, help="folder with train/, val/ and landmarks.npz")
    fan.add_argument("--out", type=Path, default=Path("runs/fan/fan.safetensors"), help="file to write (default: %(default)s)")
    fan.add_argument("--minutes", type=_positive, default=20.0, help="how long to train, above 0 (default: %(default)s)")
    fan.add_argument("--seed", type=int, default=0, help="of the augmentation and the first weights (default: %(default)s)")
    return top


def main(arguments: list[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    try:
        if args.command == "fit":
            from train import config, loop

            loop.fit(config.read(args.config, args.set))
        else:
            from train import fan

            fan.fit(fan.FANTraining(args.data, args.out, args.minutes, seed=args.seed))
    except ValueError as error:
        print(f"python -m train {args.command}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

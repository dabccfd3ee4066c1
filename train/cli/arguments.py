"""The options that several verbs have."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargan.cli.parsing import CommandError, existing_file, whole

if TYPE_CHECKING:
    from train.config import TrainConfig


def add_config(parser: argparse.ArgumentParser) -> None:
    """The settings of a run: see `read_config`."""
    parser.add_argument(
        "--config", type=existing_file, required=True, metavar="FILE", help="YAML with the settings of the run (train/configs/)"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting; may be repeated")


def read_config(options: argparse.Namespace, **further: Any) -> TrainConfig:
    """The settings that are asked for, with further ones on top."""
    from train import config

    return config.read(options.config, options.set, **further)


def add_data(parser: argparse.ArgumentParser, splits: str = "train/<domain>/ and val/<domain>/") -> None:
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help=f"folder with {splits}")


def add_cache(parser: argparse.ArgumentParser, kept: str = "pictures") -> None:
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), metavar="DIR", help=f"for {kept} (default: %(default)s)")


def add_seed(parser: argparse.ArgumentParser, decided: str) -> None:
    parser.add_argument("--seed", type=whole(0), default=0, metavar="N", help=f"of {decided} (default: %(default)s)")


def model_file(path: Path) -> Path:
    """The .safetensors to write, in a folder that is made; CommandError, before minutes of work are lost, where it cannot be."""
    if path.suffix != ".safetensors" or path.is_dir():
        raise CommandError(f"--out is {path}; give the name of a file that ends in .safetensors")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"--out is {path}, but {path.parent} is no folder and cannot be made one ({error.strerror})") from error
    check_writable(path.parent)
    return path


def check_writable(folder: Path) -> None:
    """CommandError where nothing can be written to a folder, or where it would have to be made."""
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not place.is_dir():
        raise CommandError(f"--out is {folder}, but {place} is a file; name a folder")
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise CommandError(f"{place} cannot be written to ({error.strerror}); name another place by --out") from error

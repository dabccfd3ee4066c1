"""Writes a model as ONNX files, which run without this package and without PyTorch, and checks them against the model."""

from __future__ import annotations

import argparse
from pathlib import Path

from stargan.cli.arguments import add_loading, load_model
from stargan.cli.parsing import number

HELP = "write a model as ONNX files"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a model's name, a file, or hf:user/name")
    add_loading(parser)
    parser.add_argument("--onnx", type=Path, required=True, metavar="DIR", help="folder to write into")
    parser.add_argument("--fp16", action="store_true", help="half the size; inputs and outputs stay float32")
    parser.add_argument(
        "--likeness", type=number(0, 1), default=1.0, metavar="L", help="of a model with that choice, 0 to 1 (default: %(default)g)"
    )


def run(options: argparse.Namespace) -> int:
    from stargan import export

    precision = "fp16" if options.fp16 else "fp32"
    model = load_model(options, options.model)
    for name, difference in export.export(model, options.onnx, precision, options.likeness).items():
        size = (options.onnx / f"{name}.onnx").stat().st_size / 1e6
        print(f"{name}.onnx: {size:.1f} MB, differs by {difference:.1e} at most (allowed {export.tolerance(name, precision):g})")
    print(f"wrote {options.onnx}")
    return 0

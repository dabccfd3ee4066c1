"""The verbs of python -m train: one file each, with its options and then its work."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import cast

from stargan.cli.parsing import Verb, run_verb
from train.cli import bench, card, evaluate, fan, fit, match, pair, prepare
from train.memory import use_large_pages

VERBS = (prepare, fit, match, pair, evaluate, card, bench, fan)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb; returns the exit code: 0, 2 after one sentence on stderr for unusable input, 130 after Ctrl-C."""
    if arguments is None and sys.argv[1:2] in (["fit"], ["bench"]):
        use_large_pages()
    return run_verb("python -m train", "Trains StarGAN v2 on folders of pictures.", cast(tuple[Verb, ...], VERBS), arguments)

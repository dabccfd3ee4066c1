"""The verbs of python -m train: one file each, with its options and then its work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from stargan.cli.parsing import Verb, run_verb
from train.cli import bench, card, evaluate, fan, fit, match, pair, prepare

VERBS = (prepare, fit, match, pair, evaluate, card, bench, fan)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb; returns the exit code: 0, 2 after one sentence on stderr for unusable input, 130 after Ctrl-C."""
    return run_verb("python -m train", "Trains StarGAN v2 on folders of pictures.", cast(tuple[Verb, ...], VERBS), arguments)

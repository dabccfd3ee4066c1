"""The verbs of python -m stargan: one file each, with its options and then its work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from stargan.cli import align, bench, export, faces, publish, push, translate, video
from stargan.cli.parsing import Verb, run_verb

VERBS = (translate, video, align, faces, bench, export, push, publish)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb; returns the exit code: 0, 1 where some of many sources failed, 2 after one sentence on stderr for unusable
    input, 130 after Ctrl-C."""
    verbs = cast(tuple[Verb, ...], VERBS)
    return run_verb("python -m stargan", "Translates portraits between domains with StarGAN v2.", verbs, arguments)

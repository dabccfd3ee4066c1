"""What decoding several sources together saves: PYTHONPATH=. python tests/browser/bench_together.py [--model NAME] [--compile]

Takes the processor time of one thread, as that is what many visitors share, and which other work of the machine changes little.
Prints a table: so many sources, each in a style of its own, decoded together, against one after the other.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from stargan import zoo
from stargan.translate import Encoded, Translator

MOST = 8  # sources
TIMES = 16


def together(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(parts)).contiguous(memory_format=torch.channels_last)


def decoding(call: Callable[..., Tensor], sources: Sequence[Encoded], styles: Tensor) -> Callable[[], Tensor]:
    """What decodes sources, each in its style."""
    features, normalized = together([e.features for e in sources]), together([e.normalized for e in sources])
    skips = {side: together([e.skips[side] for e in sources]) for side in sources[0].skips}
    return lambda: call(features, normalized, styles, skips)


@torch.no_grad()
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=zoo.DEFAULT, help="a model's name or file (default: %(default)s)")
    parser.add_argument("--compile", action="store_true", help="each number of sources has to be compiled for itself")
    options = parser.parse_args()
    model = zoo.load(options.model)
    translator = Translator(model)
    translator.tune(1)
    side = model.config.image_size
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(MOST, 3, side, side, generator=generator) * 2 - 1
    styles = torch.randn(MOST, model.config.style_dim, generator=generator)
    start = time.thread_time()
    sources = [translator.encode(image[None]) for image in images]
    encoding = (time.thread_time() - start) / MOST
    runs: dict[int, Callable[[], Tensor]] = {}
    for count in (1, 2, 4, MOST):
        call = translator.generator.decode
        runs[count] = decoding(torch.compile(call, dynamic=False) if options.compile else call, sources[:count], styles[:count])
        runs[count]()
    found: dict[int, list[float]] = {count: [] for count in runs}
    for _ in range(TIMES):
        for count, run in runs.items():
            start = time.thread_time()
            run()
            found[count].append((time.thread_time() - start) / count)
    print(f"`{model.name}`, {side} px, {translator.precision}, {'compiled' if options.compile else 'eager'}, one thread")
    print(f"\nEncoding a source, masks included: {1000 * encoding:.1f} ms\n")
    print("| decoded together | each | against alone |")
    print("| ---: | ---: | ---: |")
    alone = statistics.median(found[1])
    for count, seconds in found.items():
        each = statistics.median(seconds)
        print(f"| {count} | {1000 * each:.1f} ms | {each / alone:.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())

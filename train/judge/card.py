"""The pictures of a model card. None but those that the model makes, and photographs that may be shown, are in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from stargan import styles
from stargan.faces.squares import aligner_for, squares
from stargan.files import whole
from stargan.media import images
from stargan.model import Model
from stargan.translate import Translator
from train import data
from train.judge.photographs import Photographs
from train.log import curves

QUALITY = 92
ROWS = 6  # sources of the sheet
PEOPLE = 12  # photographs of the sheet
CELL = 128  # px, of the sheet of photographs
LIKENESS = 0.0, 0.5, 1.0
SHOWN = "source faker-js"  # whose photographs are CC0 and of nobody; of those of other sources only what a model makes is shown
EXAMPLES = 2  # a domain
PSI = 0.8  # of the examples


class LogError(ValueError):
    """A file that is no log of a run; the sentence says what to give instead."""


def make(
    model: Model,
    root: Path,
    out: Path,
    photo: Path | None = None,
    photographs: Photographs | None = None,
    log: Path | None = None,
    seed: int = 0,
    cache: Path = Path("runs/cache"),
) -> list[Path]:
    """Writes the pictures and returns their paths: `samples.jpg`, val sources down (not shown), two seeds and two references (not
    shown) of each domain across, or with photographs what `of_photographs` has; `examples/`, portraits for the page; with a photo
    `translations.jpg`, it and two seeds of each domain; with a run's log.jsonl `curve.png`. ValueErrors before anything is
    written: DataError for a folder that lacks a domain of the model, LogError for a log without losses, those of `images.read` and
    `align` for the photo."""
    config = model.config
    losses = [] if log is None else _losses(log)
    square = None
    if photo is not None:  # as for everybody who brings one
        (cut,), _ = squares(images.read(photo), config.image_size, aligner_for(model)[0], frame=model.frame)
        square = cut.image
    val = data.load(root, "val", config.image_size, cache, config.domains)
    translator, rng, domains = Translator(model), np.random.default_rng(seed), range(len(config.domains))
    written = []

    def keep(picture: Image.Image, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as partial:
            picture.save(partial, "JPEG", quality=QUALITY)
        written.append(path)

    sheet = of_portraits(translator, val, rng) if photographs is None else of_photographs(translator, photographs, seed)
    keep(sheet, out / "samples.jpg")

    for n, d in enumerate(d for d in domains for _ in range(EXAMPLES)):
        source = int(rng.choice(val.of((d + 1 + n % 2) % len(domains))))
        style = styles.from_seed(model, config.domains[d], int(rng.integers(2**31)), PSI)
        picture = images.to_pil(translator.decode(translator.encode(val.batch([source])), style))
        keep(picture, out / "examples" / f"{n + 1}-{config.domains[d]}.jpg")

    if square is not None:
        codes = torch.stack([styles.from_seed(model, d, s) for d in config.domains for s in (1, 2)])
        row = [images.to_tensor(square)[0], *translator.decode(translator.encode(square), codes)]
        keep(data.grid_picture([row], config.image_size), out / "translations.jpg")

    if log is not None:
        with whole(out / "curve.png") as partial:
            plot(losses, partial)
        written.append(out / "curve.png")
    return written


def of_portraits(translator: Translator, val: data.Pictures, rng: np.random.Generator) -> Image.Image:
    """ROWS pictures down, not shown; across two seeds and two references, not shown, of each domain."""
    model = translator.model
    _, index = data.balanced(val, ROWS, rng)
    across = []
    for d, domain in enumerate(model.config.domains):
        across += [styles.from_seed(model, domain, s) for s in rng.integers(2**31, size=2).tolist()]
        references = rng.choice(val.of(d), size=2, replace=False)
        across += [styles.from_reference(model, val.batch([int(r)]), d) for r in references]
    rows = [list(translator.decode(translator.encode(val.batch([int(i)])), torch.stack(across))) for i in index]
    return data.grid_picture(rows, model.config.image_size)


def of_photographs(translator: Translator, photographs: Photographs, seed: int = 0) -> Image.Image:
    """PEOPLE photographs down, those that may be shown first and the others left white; across two seeds of each domain, each at
    every LIKENESS where the model has a choice."""
    model, everybody = translator.model, np.arange(len(photographs.names))
    # Photographs without a manifest are those of whoever makes the card.
    shown = photographs.groups.get(SHOWN, everybody[:0]) if photographs.groups else everybody
    chosen = np.concatenate([shown, np.setdiff1d(everybody, shown)])[:PEOPLE]
    seeds = np.random.default_rng(seed).integers(2**31, size=2).tolist()
    codes = torch.stack([styles.from_seed(model, d, s) for d in model.config.domains for s in seeds])
    rows: list[list[Tensor | None]] = []
    for i in chosen:
        square = Image.fromarray(photographs.pixels[int(i)])
        encoded = translator.encode(square)
        levels = [translator.with_likeness(encoded, x) for x in LIKENESS] if translator.has_likeness else [encoded]
        made = torch.stack([translator.decode(level, codes) for level in levels], 1).flatten(0, 1)
        cells = _small(torch.cat([images.to_tensor(square), made]))
        rows.append([cells[0] if i in shown else None, *cells[1:]])
    return data.grid_picture(rows, CELL)


def _small(x: Tensor) -> Tensor:
    return F.interpolate(x, size=(CELL, CELL), mode="bilinear", antialias=True).clamp(-1, 1)


def _losses(log: Path) -> list[tuple[int, str, float]]:
    # Steps that were left out have losses that are no numbers.
    found = [row for row in curves(log) if math.isfinite(row[2])]
    if not found:
        raise LogError(f"{log} has no losses in it; give the log.jsonl in the folder of a run")
    return found


def plot(rows: Sequence[tuple[int, str, float]], path: Path) -> None:
    """The losses of a run over its iterations, as `log.curves` has them, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    axes = figure.subplots()
    for loss in dict.fromkeys(name for _, name, _ in rows):
        points = [(i, value) for i, name, value in rows if name == loss]
        axes.plot(*zip(*points, strict=True), label=loss, linewidth=1)
    # The first losses can be so large that nothing is seen of the others.
    axes.set(xlabel="iteration", ylabel="loss", ylim=(0, 1.1 * max(v for i, _, v in rows if 10 * i > rows[-1][0])))
    axes.legend(ncols=5, loc="upper right", frameon=False)
    axes.grid(alpha=0.3)
    figure.savefig(path, format="png", dpi=120)

"""What a model makes of many sources, and the numbers that only this shows."""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from stargan import styles
from stargan.fan import FAN, landmarks_from_heatmaps
from stargan.media import images
from stargan.model import Model
from stargan.translate import Translator
from train import data
from train.judge import distances
from train.judge.classifier import Classifier
from train.judge.likeness import Recogniser
from train.judge.photographs import Photographs

KINDS = ("latent", "reference")
TARGETS = 4  # that a picture of a domain is translated into, at most: the time grows with the domains, not with their square
SWD_PICTURES = 512  # a domain at most
CORNERS = {68: (36, 45), 98: (60, 72)}  # outer corners of the eyes, by number of landmarks
ROWS = 6  # of the grid, at least
PHOTOGRAPH = -1  # the domain of sources that are of none

Key = tuple[str, int]  # kind of guidance, target domain


@dataclass(frozen=True)
class Sources:
    """What is translated: pixels (N, S, S, 3) uint8, the positions in them in turn, and of each its domain or PHOTOGRAPH, the
    domains that it is translated into, and whether landmarks are compared."""

    pixels: np.ndarray
    index: np.ndarray
    domain: np.ndarray
    targets: tuple[tuple[int, ...], ...]
    landmarks: np.ndarray

    @property
    def photographs(self) -> bool:
        return bool(len(self.domain)) and int(self.domain[0]) == PHOTOGRAPH

    def count(self, target: int) -> int:
        """How many sources are translated into a domain."""
        return sum(target in targets for targets in self.targets)


def of_domains(val: data.Pictures, limit: int, seed: int) -> Sources:
    """At most `limit` pictures of each domain (0: all), into the next TARGETS of the other domains in a circle."""
    rng, count = np.random.default_rng(seed), len(val.domains)
    index = [val.of(d) if not limit else rng.permutation(val.of(d))[:limit] for d in range(count)]
    into = [tuple(sorted((d + step) % count for step in range(1, min(TARGETS, count - 1) + 1))) or (d,) for d in range(count)]
    domain = np.repeat(np.arange(count), [len(i) for i in index])
    return Sources(val.pixels, np.concatenate(index), domain, tuple(into[d] for d in domain), np.ones(len(domain), bool))


def of_photographs(photographs: Photographs, domains: int) -> Sources:
    """All photographs, into every domain."""
    count = len(photographs.names)
    into = tuple(range(domains))
    return Sources(photographs.pixels, np.arange(count), np.full(count, PHOTOGRAPH), (into,) * count, photographs.frontal)


@dataclass
class Made:
    """What came out, by kind of guidance and target domain.

    numbers: by name, one or more a source. pictures: outputs (N, S, S, 3) uint8 for the distances. faces: the descriptors of one
    output a source with a style of its own ("own") and with one that all sources have ("shared"), (N, 128); sums: of the latter's
    outputs, (S, S, 3) in [0, 255 * N]. rows: the grid.
    """

    numbers: dict[str, dict[Key, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    pictures: dict[Key, list[np.ndarray]] = field(default_factory=lambda: defaultdict(list))
    faces: dict[tuple[str, str, int], list[np.ndarray]] = field(default_factory=lambda: defaultdict(list))
    sums: dict[Key, np.ndarray] = field(default_factory=dict)
    rows: list[list[Tensor | None]] = field(default_factory=list)


class Styles:
    """The styles of a measurement, drawn in turn."""

    def __init__(self, model: Model, val: data.Pictures, seed: int) -> None:
        self.model, self.val, self.rng = model, val, np.random.default_rng([seed, 1])
        self.of_picture = functools.cache(self._of_picture)

    def _of_picture(self, i: int) -> Tensor:
        return styles.from_reference(self.model, self.val.batch([i]), int(self.val.domain[i]))

    def draw(self, kind: str, target: int, count: int) -> Tensor:
        """(count, style_dim)."""
        if kind == "latent":
            latents = torch.from_numpy(self.rng.standard_normal((count, self.model.config.latent_dim), dtype=np.float32))
            return styles.from_latents(self.model, target, latents)
        of = self.val.of(target)
        return torch.stack([self.of_picture(int(r)) for r in self.rng.choice(of, size=count, replace=len(of) < count)])


def translate(
    translator: Translator,
    sources: Sources,
    val: data.Pictures,
    judge: Classifier,
    outputs: int,
    seed: int,
    downloaded: distances.Downloaded,
    recogniser: Recogniser | None,
) -> Made:
    """Translates every source `outputs` times into each of its targets, by either kind of guidance, references from `val`.
    Photographs also once in one style of each kind and target that is the same for all."""
    domains = range(len(translator.model.config.domains))
    drawn, made = Styles(translator.model, val, seed), Made()
    shared = {(kind, d): drawn.draw(kind, d, 1) for kind in KINDS for d in domains} if sources.photographs else {}
    keep = {d: min(outputs, math.ceil(SWD_PICTURES / max(sources.count(d), 1))) for d in domains}
    shown = _shown(sources)
    for n, i in enumerate(tqdm(sources.index, desc="translate", unit="source")):
        domain = int(sources.domain[n])
        source = _Source(translator, sources, n, None if domain == PHOTOGRAPH else drawn.of_picture(int(i)))
        row: list[Tensor | None] = [source.image[0]]
        faces: dict[tuple[str, str, int], np.ndarray] = {}
        for key in [(kind, target) for target in sources.targets[n] for kind in KINDS]:
            codes = drawn.draw(*key, outputs)
            found = translator.decode(source.encoded, torch.cat([codes, shared[key]]) if shared else codes)
            of_source, pixels = found[:outputs], _bytes(found)
            downloaded.add(key[0], domain, key[1], of_source)
            _measure(made, key, of_source, judge, translator.device)
            source.compare(made, key, codes[:1], of_source[:1])
            made.pictures[key].append(pixels[: keep[key[1]]])
            if shared:
                made.sums[key] = made.sums.get(key, 0) + pixels[-1].astype(np.float64)
                faces |= {("own", *key): pixels[0], ("shared", *key): pixels[-1]}
            row += of_source[:2] if outputs > 1 else [of_source[0], None]
        if recogniser is not None and faces:
            for name, descriptor in zip(faces, recogniser(np.stack(list(faces.values()))), strict=True):
                made.faces[name].append(descriptor)
        if n in shown:
            made.rows.append(row[: 1 + 4 * TARGETS])
        if n + 1 == len(sources.index) or sources.domain[n + 1] != domain:
            downloaded.finish(domain)
    return made


class _Source:
    """A source and what its outputs are compared with. own: the style of the source itself, where it has one."""

    def __init__(self, translator: Translator, sources: Sources, n: int, own: Tensor | None) -> None:
        pixels = torch.from_numpy(sources.pixels[[int(sources.index[n])]])
        self.image = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
        self.translator, self.own = translator, own
        self.encoded = translator.encode(self.image)
        fan = translator.model.fan
        self.fan = fan if sources.landmarks[n] and self.encoded.masks is not None else None
        self.landmarks = _landmarks(self.fan, self.image) if self.fan is not None else None

    def compare(self, made: Made, key: Key, style: Tensor, output: Tensor) -> None:
        """One output (1, 3, S, S) of a style (1, style_dim): translated back, and its landmarks beside those of the source."""
        if self.own is not None:
            back = self.translator.decode(self.translator.encode(output), self.own)
            made.numbers["cycle_l1"][key].append((back - self.image).abs().mean().item())
        if self.fan is not None and self.landmarks is not None:
            free = self.translator.decode(self.translator.with_masks(self.encoded, on=False), style)
            for name, x in (("landmark_error", output), ("landmark_error_no_masks", free)):
                made.numbers[name][key].append(_landmark_error(_landmarks(self.fan, x), self.landmarks))


def _shown(sources: Sources) -> set[int]:
    """The first two sources of each domain, or the first ROWS photographs."""
    each = ROWS if sources.photographs else 2
    firsts = [np.flatnonzero(sources.domain == d)[:each] for d in np.unique(sources.domain)]
    return {int(n) for n in np.concatenate(firsts)}


def _measure(made: Made, key: Key, outputs: Tensor, judge: Classifier, place: torch.device) -> None:
    """Accuracy, and the distances between the outputs (K, 3, S, S) of one source."""
    logits, features = judge(outputs.to(place))
    made.numbers["accuracy"][key] += (logits.argmax(1) == key[1]).float().tolist()
    if len(outputs) > 1:
        first, second = distances.pairs(len(outputs))
        near = distances.perceptual_distance([f[first] for f in features], [f[second] for f in features])
        made.numbers["diversity"][key].append(near.mean().item())
        made.numbers["diversity_pixels"][key].append(distances.pixel_distance(outputs[first], outputs[second]).mean().item())


def _landmarks(fan: FAN, x: Tensor) -> Tensor:
    return landmarks_from_heatmaps(fan(x))


def _landmark_error(found: Tensor, true: Tensor) -> float:
    """Mean distance of (1, L, 2) over that of the outer eye corners, as `train.fan.normalized_errors` has it."""
    left, right = CORNERS[true.shape[1]]
    return float(((found - true).norm(dim=-1).mean(1) / (true[:, left] - true[:, right]).norm(dim=-1)).mean())


def _bytes(x: Tensor) -> np.ndarray:
    return np.stack([np.asarray(images.to_pil(i)) for i in x])

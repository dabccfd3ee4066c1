"""How good a model is on a folder of pictures: what the paper measures (section 4), what needs no download, and likeness.

As in the paper, val pictures are translated into other domains, guided by latents and by references, several times. Where
photographs are given, these are translated instead, into every domain, and it is measured who is recognised in what comes out.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from stargan.files import whole
from stargan.media import images
from stargan.model import Model
from stargan.translate import Translator
from train import data
from train.judge import classifier, distances, spots, translations
from train.judge import likeness as identity
from train.judge.classifier import Classifier
from train.judge.distances import mean
from train.judge.photographs import Photographs
from train.judge.translations import KINDS, SWD_PICTURES, Made

FEW = 1000  # pictures of a domain, all pairs of which can be listed
REAL_PAIRS = 500  # a domain, whose mean distance is the diversity of real pictures


@torch.inference_mode()
def evaluate(
    model: Model,
    root: Path | str,
    *,
    photographs: Photographs | None = None,
    likeness: float = 1.0,
    out: Path | None = None,
    cache: Path,
    outputs: int = 10,
    limit: int = 0,
    seed: int = 0,
    downloads: bool = True,
    epochs: int = 10,
    device: str = "",
) -> dict[str, Any]:
    """Translates the val split of `root`, or photographs, and measures the results; returns numbers by kind of guidance, and those
    of real pictures.

    photographs: what to translate instead of the val pictures, which then are references only. likeness: as Translator has it.
    outputs: a source and target domain. limit: sources a domain at most, 0 for all. downloads: whether FID and LPIPS may fetch
    their networks. epochs: of the classifier's training. out: where metrics.json, grid.png and the mean pictures go. DataError for
    folders that lack a domain of the model.

    accuracy is the share that the classifier sees as the target domain. diversity is the mean distance between outputs of one
    source, and `diversity_ratio` that over the same between real val pictures of the target domain, None where these are all
    alike. swd is the distance between outputs and real train pictures, `swd_ratio` that over the distance between two halves of
    these (1 is as good as real; the number of pictures is the same in both). cycle_l1 is the mean absolute error of the source
    translated forth and back, in [0, 2], but not of photographs. landmark_error is over the inter-ocular distance, and of frontal
    photographs only. The likeness of each kind is `likeness.summary` and spots `spots.strongest`, by domain, of photographs.
    """
    config = model.config
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    translator = Translator(model, str(place), likeness=likeness)
    train = data.load(root, "train", config.image_size, cache, config.domains)
    val = data.load(root, "val", config.image_size, cache, config.domains)
    with torch.inference_mode(False), torch.enable_grad():
        shown = data.load(root, "train", classifier.LOADED_SIDE, cache, config.domains)
        judge = classifier.classifier(shown, cache, epochs, seed, place)
    if photographs is None:
        sources, recogniser = translations.of_domains(val, limit, seed), None
    else:
        sources, recogniser = translations.of_photographs(photographs, len(config.domains)), identity.load()
    downloaded = _downloaded(train, downloads, place)
    made = translations.translate(translator, sources, val, judge, outputs, seed, downloaded, recogniser)
    result: dict[str, Any] = {
        "model": model.name,
        "domains": list(config.domains),
        "sources": dict(Counter("photographs" if photographs is not None else config.domains[d] for d in sources.domain)),
        "outputs": outputs,
        "seed": seed,
        "likeness": likeness,
        "notes": [downloaded.missing] if downloaded.missing else [],
        **_compare(made, train, val, judge, place, seed),
    }
    for kind in KINDS:
        result[kind] |= downloaded.result(kind)
    means = _likeness(result, made, photographs, train, recogniser) if photographs is not None else {}
    if out is not None:
        _write(out, result, data.grid_picture(made.rows, config.image_size), means)
    return result


def _downloaded(train: data.Pictures, downloads: bool, place: torch.device) -> distances.Downloaded:
    """What measures with networks that are fetched, and knows the real pictures."""
    made = distances.Downloaded(downloads, place)
    if made.ready:
        for domain in range(len(train.domains)):
            made.add_real(domain, train.pixels[train.of(domain)])
    return made


def _write(out: Path, result: Mapping[str, Any], grid: Image.Image, means: Mapping[str, np.ndarray]) -> None:
    (out / "means" if means else out).mkdir(parents=True, exist_ok=True)
    with whole(out / "metrics.json") as partial:
        partial.write_text(json.dumps(result, indent=1))
    images.write(grid, out / "grid.png")
    for name, picture in means.items():
        images.write(Image.fromarray(picture), out / "means" / f"{name}.png")


def _likeness(
    result: dict[str, Any], made: Made, photographs: Photographs, train: data.Pictures, recogniser: identity.Recogniser | None
) -> dict[str, np.ndarray]:
    """Puts likeness and spots into the result; returns the mean pictures of the styles that all sources have, by name."""
    people = recogniser(photographs.pixels) if recogniser else None
    result["notes"] += [] if recogniser else [identity.MISSING]
    result["notes"] += [f"{photographs.left_out} photographs were left out: no face was found."] if photographs.left_out else []
    means: dict[str, np.ndarray] = {}
    for kind in KINDS:
        result[kind] |= {"likeness": {}, "spots": {}}
    for d, domain in enumerate(train.domains):
        real = spots.usual(train.pixels, train.of(d))
        for kind in KINDS:
            picture = made.sums[kind, d] / len(photographs.names)
            means[f"{domain}-{kind}"] = picture.round().astype(np.uint8)
            result[kind]["spots"][domain] = vars(spots.strongest(picture, real))
            if people is not None:
                of_style = {name: np.stack(made.faces[name, kind, d]) for name in ("own", "shared")}
                result[kind]["likeness"][domain] = identity.summary(of_style, people, photographs.groups)
    return means


def _compare(
    made: Made, train: data.Pictures, val: data.Pictures, judge: Classifier, place: torch.device, seed: int
) -> dict[str, Any]:
    """The numbers of the outputs, averaged over target domains, beside those of real pictures."""
    numbers, targets = made.numbers, range(len(val.domains))
    real = _real(val, judge, place, seed)
    swd: dict[str, dict[int, dict[int, float]]] = {kind: {} for kind in (*KINDS, "real")}
    for d in tqdm(targets, desc="distances", unit="domain"):
        kinds = {kind: np.concatenate(made.pictures[kind, d]) for kind in KINDS}
        halves = np.random.default_rng([seed, 2, d]).permutation(train.of(d))
        n = min(SWD_PICTURES, len(halves) // 2, *(len(pixels) for pixels in kinds.values()))
        first = distances.descriptors(train.pixels[np.sort(halves[:n])], seed)
        compared = {"real": train.pixels[np.sort(halves[n : 2 * n])]}
        for kind, pixels in kinds.items():
            compared[kind] = pixels[np.linspace(0, len(pixels) - 1, n).round().astype(int)]
        for kind, pixels in compared.items():
            second = distances.descriptors(pixels, seed + 1)
            swd[kind][d] = {side: distances.sliced_wasserstein(first[side], second[side], seed) for side in first}
    result: dict[str, Any] = {
        "real": {
            "accuracy": float(np.mean(real["accuracy"])),
            "accuracy_by_domain": dict(zip(val.domains, real["accuracy"], strict=True)),
            "diversity": float(np.mean(real["diversity"])),
            "diversity_pixels": float(np.mean(real["diversity_pixels"])),
            "swd": _by_side(swd["real"], swd["real"], ratio=False),
        }
    }
    for kind in KINDS:
        by_domain = {name: {d: mean(numbers[name][kind, d]) for d in targets} for name in numbers}
        row: dict[str, Any] = {name: mean([v for v in values.values() if v is not None]) for name, values in by_domain.items()}
        row["accuracy_by_domain"] = {val.domains[d]: value for d, value in by_domain["accuracy"].items()}
        for name in ("diversity", "diversity_pixels"):
            if name in by_domain:
                # Pictures of a domain that are all alike have no diversity to compare with.
                ratios = [value / real[name][d] for d, value in by_domain[name].items() if value is not None and real[name][d]]
                row[f"{name}_ratio"] = mean(ratios)
        row["swd"] = _by_side(swd[kind], swd["real"], ratio=False)
        row["swd_ratio"] = _by_side(swd[kind], swd["real"], ratio=True)
        result[kind] = row
    return result


def _by_side(found: Mapping[int, Mapping[int, float]], real: Mapping[int, Mapping[int, float]], ratio: bool) -> dict[str, float]:
    """Averaged over domains, by side in px; as a ratio, of the averages, where real pictures differ at all at that side."""
    averaged = {side: float(np.mean([found[d][side] for d in found])) for side in next(iter(found.values()))}
    base = {side: float(np.mean([real[d][side] for d in real])) for side in averaged}
    return {str(side): value / base[side] if ratio else value for side, value in averaged.items() if base[side] or not ratio}


def _real(val: data.Pictures, judge: Classifier, place: torch.device, seed: int) -> dict[str, list[float]]:
    """Accuracy and mean distances of real pictures, by domain."""
    rng = np.random.default_rng([seed, 3])
    found: dict[str, list[float]] = defaultdict(list)
    for d in range(len(val.domains)):
        right = [
            (judge(val.batch(part).to(place))[0].argmax(1) == d).float()
            for part in np.array_split(val.of(d), math.ceil(len(val.of(d)) / 64))
        ]
        found["accuracy"].append(torch.cat(right).mean().item())
        of = val.of(d)
        if len(of) > FEW:
            of = np.sort(rng.choice(of, FEW, replace=False))
        pairs = list(itertools.combinations(of, 2))
        chosen = rng.permutation(len(pairs))[:REAL_PAIRS]
        features, pixels = [], []
        for part in np.array_split(chosen, math.ceil(len(chosen) / 50)):
            a, b = (val.batch([pairs[i][side] for i in part]) for side in (0, 1))
            features.append(distances.perceptual_distance(judge(a.to(place))[1], judge(b.to(place))[1]))
            pixels.append(distances.pixel_distance(a, b))
        found["diversity"].append(torch.cat(features).mean().item())
        found["diversity_pixels"].append(torch.cat(pixels).mean().item())
    return found

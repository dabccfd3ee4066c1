"""How good a model is on a folder of pictures: what the paper measures (section 4), and what needs no download.

As in the paper, each val picture is translated into every other domain, guided by latents and by references, several times.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from stargan import styles
from stargan.fan import FAN, landmarks_from_heatmaps
from stargan.files import whole
from stargan.media import images
from stargan.model import Model
from stargan.translate import Translator
from train import data
from train.judge import classifier, distances
from train.judge.classifier import Classifier
from train.judge.distances import mean

KINDS = ("latent", "reference")
SWD_PICTURES = 512  # a domain at most
REAL_PAIRS = 500  # a domain, whose mean distance is the diversity of real pictures
CORNERS = {68: (36, 45), 98: (60, 72)}  # outer corners of the eyes, by number of landmarks


def _landmarks(fan: FAN, x: Tensor) -> Tensor:
    return landmarks_from_heatmaps(fan(x))


def _landmark_error(found: Tensor, true: Tensor) -> float:
    """Mean distance of (1, L, 2) over that of the outer eye corners, as `train.fan.normalized_errors` has it."""
    left, right = CORNERS[true.shape[1]]
    return float(((found - true).norm(dim=-1).mean(1) / (true[:, left] - true[:, right]).norm(dim=-1)).mean())


@torch.inference_mode()
def evaluate(
    model: Model,
    root: Path | str,
    *,
    out: Path | None = None,
    cache: Path,
    outputs: int = 10,
    limit: int = 0,
    seed: int = 0,
    downloads: bool = True,
    epochs: int = 10,
    device: str = "",
) -> dict[str, Any]:
    """Translates the val split of `root` and measures the results; returns numbers by kind of guidance, and those of real pictures.

    outputs: a source and target domain. limit: sources a domain at most, 0 for all. downloads: whether FID and LPIPS may fetch
    their networks. epochs: of the classifier's training. out: where metrics.json and grid.png go. DataError for folders that lack
    a domain of the model.

    accuracy is the share that the classifier sees as the target domain. diversity is the mean distance between outputs of one
    source, and `diversity_ratio` that over the same between real val pictures of the target domain. swd is the distance between
    outputs and real train pictures, `swd_ratio` that over the distance between two halves of these (1 is as good as real; the
    number of pictures is the same in both). cycle_l1 is the mean absolute error of the source translated forth and back, in [0,
    2]. landmark_error is over the inter-ocular distance.
    """
    config = model.config
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    train = data.load(root, "train", config.image_size, cache, config.domains)
    val = data.load(root, "val", config.image_size, cache, config.domains)
    with torch.inference_mode(False), torch.enable_grad():
        judge = classifier.classifier(train, cache, epochs, seed, place)
    rng = np.random.default_rng(seed)
    sources = {d: val.of(d) if not limit else rng.permutation(val.of(d))[:limit] for d in range(len(config.domains))}
    measured = _translate_all(model, val, sources, judge, outputs, seed, place, distances.Downloaded(downloads, place), train)
    result: dict[str, Any] = {
        "model": model.name,
        "domains": list(config.domains),
        "sources": {config.domains[d]: len(index) for d, index in sources.items()},
        "outputs": outputs,
        "seed": seed,
        **_compare(measured, train, val, judge, place, seed),
        "notes": [measured["missing"]] if measured["missing"] else [],
    }
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        with whole(out / "metrics.json") as partial:
            partial.write_text(json.dumps(result, indent=1))
        images.write(data.grid_picture(measured["rows"], config.image_size), out / "grid.png")
    return result


def _translate_all(
    model: Model,
    val: data.Pictures,
    sources: Mapping[int, np.ndarray],
    judge: Classifier,
    outputs: int,
    seed: int,
    place: torch.device,
    downloaded: distances.Downloaded,
    train: data.Pictures,
) -> dict[str, Any]:
    """Everything that needs the outputs: numbers by name, kind and target domain; pictures for the distances and the grid."""
    config = model.config
    translator = Translator(model, str(place))
    rng = np.random.default_rng([seed, 1])
    numbers: dict[str, dict[tuple[str, int], list[float]]] = defaultdict(lambda: defaultdict(list))
    pictures: dict[tuple[str, int], list[np.ndarray]] = defaultdict(list)
    rows: list[list[Tensor | None]] = []

    @functools.cache
    def of_picture(i: int) -> Tensor:
        return styles.from_reference(model, val.batch([i]), int(val.domain[i]))

    targets = range(len(config.domains))
    for domain in targets:
        downloaded.add_real(domain, train.pixels[train.of(domain)])
    todo = [(domain, int(i), n) for domain, index in sources.items() for n, i in enumerate(index)]
    for domain, i, n in tqdm(todo, desc="translate", unit="source"):
        x = val.batch([i])
        encoded = translator.encode(x)
        true = _landmarks(model.fan, x) if model.fan is not None and encoded.masks is not None else None
        own = of_picture(i)
        row: list[Tensor | None] = [x[0]]
        for target in targets:
            if target == domain and len(targets) > 1:
                row += [None] * 4
                continue
            latents = torch.from_numpy(rng.standard_normal((outputs, config.latent_dim), dtype=np.float32))
            references = rng.choice(val.of(target), size=outputs, replace=len(val.of(target)) < outputs)
            codes = {
                "latent": styles.from_latents(model, target, latents),
                "reference": torch.stack([of_picture(int(r)) for r in references]),
            }
            for kind in KINDS:
                key = kind, target
                made = translator.decode(encoded, codes[kind])
                downloaded.add(kind, domain, target, made)
                logits, features = judge(made.to(place))
                numbers["accuracy"][key] += (logits.argmax(1) == target).float().tolist()
                if outputs > 1:
                    first, second = distances.pairs(outputs)
                    near = distances.perceptual_distance([f[first] for f in features], [f[second] for f in features])
                    numbers["diversity"][key].append(near.mean().item())
                    numbers["diversity_pixels"][key].append(distances.pixel_distance(made[first], made[second]).mean().item())
                back = translator.decode(translator.encode(made[:1]), own)
                numbers["cycle_l1"][key].append((back - x).abs().mean().item())
                if true is not None and model.fan is not None:
                    free = translator.decode(translator.with_masks(encoded, on=False), codes[kind][:1])
                    numbers["landmark_error"][key].append(_landmark_error(_landmarks(model.fan, made[:1]), true))
                    numbers["landmark_error_no_masks"][key].append(_landmark_error(_landmarks(model.fan, free), true))
                pictures[key].append(_bytes(made))
                row += made[:2] if len(made) > 1 else [made[0], None]
        if n < 2:
            rows.append(row)
    return {
        "numbers": numbers,
        "pictures": pictures,
        "rows": rows,
        "missing": downloaded.missing,
        "downloaded": {kind: downloaded.result(kind) for kind in KINDS},
    }


def _bytes(x: Tensor) -> np.ndarray:
    return np.stack([np.asarray(images.to_pil(i)) for i in x])


def _compare(
    measured: Mapping[str, Any], train: data.Pictures, val: data.Pictures, judge: Classifier, place: torch.device, seed: int
) -> dict[str, Any]:
    """The numbers of the outputs, averaged over target domains, beside those of real pictures."""
    numbers, targets = measured["numbers"], range(len(val.domains))
    real = _real(val, judge, place, seed)
    swd: dict[str, dict[int, dict[int, float]]] = {kind: {} for kind in (*KINDS, "real")}
    for d in tqdm(targets, desc="distances", unit="domain"):
        kinds = {kind: np.concatenate(measured["pictures"][kind, d]) for kind in KINDS}
        halves = np.random.default_rng([seed, 2, d]).permutation(train.of(d))
        n = min(SWD_PICTURES, len(halves) // 2, *(len(made) for made in kinds.values()))
        first = distances.descriptors(train.pixels[np.sort(halves[:n])], seed)
        compared = {"real": train.pixels[np.sort(halves[n : 2 * n])]}
        for kind, made in kinds.items():
            compared[kind] = made[np.linspace(0, len(made) - 1, n).round().astype(int)]
        for kind, pixels in compared.items():
            others = distances.descriptors(pixels, seed + 1)
            swd[kind][d] = {side: distances.sliced_wasserstein(first[side], others[side], seed) for side in first}
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
                ratios = [value / real[name][d] for d, value in by_domain[name].items() if value is not None]
                row[f"{name}_ratio"] = mean(ratios)
        row["swd"] = _by_side(swd[kind], swd["real"], ratio=False)
        row["swd_ratio"] = _by_side(swd[kind], swd["real"], ratio=True)
        result[kind] = row | measured["downloaded"][kind]
    return result


def _by_side(found: Mapping[int, Mapping[int, float]], real: Mapping[int, Mapping[int, float]], ratio: bool) -> dict[str, float]:
    """Averaged over domains, by side in px; as a ratio, of the averages."""
    averaged = {side: float(np.mean([found[d][side] for d in found])) for side in next(iter(found.values()))}
    base = {side: float(np.mean([real[d][side] for d in real])) for side in averaged}
    return {str(side): value / base[side] if ratio else value for side, value in averaged.items()}


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
        pairs = list(itertools.combinations(val.of(d), 2))
        chosen = rng.permutation(len(pairs))[:REAL_PAIRS]
        features, pixels = [], []
        for part in np.array_split(chosen, math.ceil(len(chosen) / 50)):
            a, b = (val.batch([pairs[i][side] for i in part]) for side in (0, 1))
            features.append(distances.perceptual_distance(judge(a.to(place))[1], judge(b.to(place))[1]))
            pixels.append(distances.pixel_distance(a, b))
        found["diversity"].append(torch.cat(features).mean().item())
        found["diversity_pixels"].append(torch.cat(pixels).mean().item())
    return found

"""How good a model is on a folder of pictures: what the paper measures (section 4), and what needs no download.

As in the paper, each val picture is translated into every other domain, guided by latents and by references, several times.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import itertools
import json
import math
import socket
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet18
from tqdm import tqdm

from stargan import styles
from stargan.batch import write
from stargan.fan import FAN, landmarks_from_heatmaps
from stargan.files import whole
from stargan.media import images
from stargan.model import Model
from stargan.translate import Translator
from train import data

KINDS = ("latent", "reference")
CLASSIFIER_SIDE = 64
SMALLEST_LEVEL = 16  # px, of a Laplacian pyramid
PATCHES = 64  # a picture and level
PROJECTIONS = 256
SWD_PICTURES = 512  # a domain at most
REAL_PAIRS = 500  # a domain, whose mean distance is the diversity of real pictures
CORNERS = {68: (36, 45), 98: (60, 72)}  # outer corners of the eyes, by number of landmarks


class Classifier(nn.Module):
    """Which domain a picture is of: a ResNet-18 (arXiv 1512.03385) on pictures of 64 px."""

    def __init__(self, domains: int) -> None:
        super().__init__()
        self.net = resnet18(num_classes=domains)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(N, 3, H, W) in [-1, 1] -> logits (N, domains), and the features of the middle three of its four stages."""
        if x.shape[-1] != CLASSIFIER_SIDE:
            x = F.interpolate(x, size=(CLASSIFIER_SIDE, CLASSIFIER_SIDE), mode="bilinear", antialias=True)
        net = self.net
        x = net.layer1(net.maxpool(net.relu(net.bn1(net.conv1(x)))))
        kept = [x]
        for layer in (net.layer2, net.layer3):
            x = layer(x)
            kept.append(x)
        return net.fc(net.layer4(x).mean((2, 3))), kept


def train_classifier(train: data.Pictures, epochs: int, seed: int, device: torch.device) -> Classifier:
    """Trains on balanced domains, with the crops and flips of the trainer and changes of colour."""
    rng = np.random.default_rng(seed)
    batch = 64
    steps = max(1, epochs * len(train.names) // batch)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Classifier(len(train.domains)).to(device).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=2e-3, total_steps=steps)
    for _ in tqdm(range(steps), desc="classifier", unit="step"):
        domain, index = data.balanced(train, batch, rng)
        x = data.random_crop(train.batch(index), CLASSIFIER_SIDE, rng)
        brightness, contrast = rng.uniform(-0.2, 0.2, (batch, 3, 1, 1)), rng.uniform(0.8, 1.2, (batch, 1, 1, 1))
        x = x * torch.from_numpy(contrast).float() + torch.from_numpy(brightness).float()
        with torch.autocast(device.type, torch.bfloat16):
            logits, _ = net(x.to(device, memory_format=torch.channels_last))
        loss = F.cross_entropy(logits.float(), torch.from_numpy(domain).to(device), label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return net.eval()


def classifier(train: data.Pictures, cache: Path, epochs: int, seed: int, device: torch.device) -> Classifier:
    """The classifier of these pictures: trained at the first call, kept in `cache`, and read from there afterwards."""
    digest = hashlib.sha256(json.dumps([train.domains, train.names, epochs, seed]).encode())
    digest.update(np.ascontiguousarray(train.pixels).data)
    path = cache / f"classifier-{digest.hexdigest()[:16]}.safetensors"
    if not path.exists():
        net = train_classifier(train, epochs, seed, device)
        tensors = {k: v.detach().cpu().contiguous() for k, v in net.state_dict().items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as partial:
            partial.write_bytes(safetensors.torch.save(tensors, {"domains": json.dumps(train.domains)}))
    net = Classifier(len(train.domains)).to(device).to(memory_format=torch.channels_last)
    net.load_state_dict(safetensors.torch.load_file(path))
    return net.eval()


def perceptual_distance(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """The distance of LPIPS (arXiv 1801.03924, equation 1) without its weights: (N,) of features (N, C, h, w) of each layer."""
    layers = [(F.normalize(p) - F.normalize(q)).square().sum(1).mean((1, 2)) for p, q in zip(a, b, strict=True)]
    return torch.stack(layers).mean(0)


def pixel_distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference on a scale of 0 to 1, (N,), of pictures (N, 3, H, W) in [-1, 1]."""
    return (a - b).abs().mean((1, 2, 3)) / 2


def laplacian_pyramid(x: Tensor) -> dict[int, Tensor]:
    """(N, C, S, S) -> what each level adds to the next smaller one, by side, down to SMALLEST_LEVEL (arXiv 1710.10196, 5)."""
    row = torch.tensor([1.0, 4, 6, 4, 1], device=x.device) / 16
    kernel = torch.outer(row, row).expand(x.shape[1], 1, 5, 5)

    def blur(image: Tensor) -> Tensor:
        return F.conv2d(F.pad(image, (2, 2, 2, 2), mode="reflect"), kernel, groups=image.shape[1])

    levels: dict[int, Tensor] = {}
    while x.shape[-1] > SMALLEST_LEVEL:
        small = blur(x)[:, :, ::2, ::2]
        spread = torch.zeros_like(x)
        spread[:, :, ::2, ::2] = 4 * small
        levels[x.shape[-1]] = x - blur(spread)
        x = small
    return levels | {x.shape[-1]: x}


def descriptors(pixels: np.ndarray, seed: int, batch: int = 32) -> dict[int, Tensor]:
    """Pictures (N, S, S, 3) uint8 -> for each level of the pyramid PATCHES patches of 7 x 7 px a picture, (N * PATCHES, 147), each
    channel with mean 0 and deviation 1 over all."""
    generator = torch.Generator().manual_seed(seed)
    found: dict[int, list[Tensor]] = defaultdict(list)
    for start in range(0, len(pixels), batch):
        x = torch.from_numpy(np.ascontiguousarray(pixels[start : start + batch])).permute(0, 3, 1, 2).float() / 127.5 - 1
        for side, level in laplacian_pyramid(x).items():
            windows = level.unfold(2, 7, 1).unfold(3, 7, 1)  # (N, 3, side - 6, side - 6, 7, 7)
            rows, columns = torch.randint(side - 6, (2, len(x), PATCHES), generator=generator)
            found[side].append(windows[torch.arange(len(x))[:, None], :, rows, columns].flatten(0, 1))  # (N * PATCHES, 3, 7, 7)
    result = {}
    for side, parts in found.items():
        patches = torch.cat(parts)
        deviation, mean = torch.std_mean(patches, dim=(0, 2, 3), keepdim=True)
        result[side] = ((patches - mean) / (deviation + 1e-8)).flatten(1)
    return result


def sliced_wasserstein(a: Tensor, b: Tensor, seed: int) -> float:
    """The sliced Wasserstein distance (arXiv 1710.10196, section 5) of two sets of descriptors (N, D), N the same."""
    directions = torch.randn(a.shape[1], PROJECTIONS, generator=torch.Generator().manual_seed(seed))
    directions = F.normalize(directions, dim=0)
    total = 0.0
    for part in directions.split(64, dim=1):
        total += ((a @ part).sort(dim=0).values - (b @ part).sort(dim=0).values).abs().mean(0).sum().item()
    return total / PROJECTIONS


class Downloaded:
    """FID (arXiv 1706.08500) and LPIPS (arXiv 1801.03924) by torchmetrics, whose networks are downloaded at first use; where that
    fails, `missing` says why and both results are None."""

    def __init__(self, wanted: bool, device: torch.device) -> None:
        self.device = device
        self.missing = "" if wanted else "FID and LPIPS were left out, as asked."
        self.lpips: Callable[[Tensor, Tensor], Tensor] | None = None
        self.blank: Any = None
        if wanted:
            before = socket.getdefaulttimeout()
            socket.setdefaulttimeout(30)
            try:
                from torchmetrics.image.fid import FrechetInceptionDistance
                from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

                self.blank = FrechetInceptionDistance().to(device)
                self.lpips = LearnedPerceptualImagePatchSimilarity("alex").to(device)
            except (OSError, RuntimeError, ImportError) as error:
                reason = " ".join(str(error).split())[:200]
                self.missing = f"FID and LPIPS were left out: their networks could not be downloaded ({reason})."
            finally:
                socket.setdefaulttimeout(before)
        self.ready = not self.missing
        self.of_domain: dict[int, Any] = {}
        self.fid: dict[tuple[str, int, int], Any] = {}
        self.distances: dict[str, list[float]] = defaultdict(list)

    def add_real(self, domain: int, pixels: np.ndarray, batch: int = 64) -> None:
        """Pictures (N, S, S, 3) uint8 that outputs of this domain are compared with."""
        if not self.ready:
            return
        self.of_domain[domain] = self._copy(self.blank)
        for start in range(0, len(pixels), batch):
            x = torch.from_numpy(np.ascontiguousarray(pixels[start : start + batch])).permute(0, 3, 1, 2)
            self.of_domain[domain].update(x.to(self.device), real=True)

    def add(self, kind: str, source: int, target: int, outputs: Tensor) -> None:
        """The outputs (K, 3, S, S) of one source."""
        if not self.ready or self.lpips is None:
            return
        key = kind, source, target
        if key not in self.fid:
            self.fid[key] = self._copy(self.of_domain[target])
        x = outputs.to(self.device)
        self.fid[key].update(((x + 1) * 127.5).round().clamp(0, 255).byte(), real=False)
        first, second = _pairs(len(x))
        if len(first):
            self.distances[kind].append(float(self.lpips(x[first], x[second])))

    def result(self, kind: str) -> dict[str, float | None]:
        """The mean FID over pairs of domains, and the mean LPIPS among the outputs of a source."""
        if not self.ready:
            return {"fid": None, "lpips": None}
        fids = [float(metric.compute()) for key, metric in self.fid.items() if key[0] == kind]
        return {"fid": _mean(fids), "lpips": _mean(self.distances[kind])}

    def _copy(self, metric: Any) -> Any:
        # All share one feature network.
        return copy.deepcopy(metric, {id(metric.inception): metric.inception})


def _pairs(count: int) -> tuple[list[int], list[int]]:
    found = list(itertools.combinations(range(count), 2))
    return [a for a, _ in found], [b for _, b in found]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _landmarks(fan: FAN, x: Tensor) -> Tensor:
    return landmarks_from_heatmaps(fan(x))


def _landmark_error(found: Tensor, true: Tensor) -> float:
    """Mean distance of (1, L, 2) over that of the outer eye corners, as `train.fan.normalized_error` has it."""
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
        judge = classifier(train, cache, epochs, seed, place)
    rng = np.random.default_rng(seed)
    sources = {d: val.of(d) if not limit else rng.permutation(val.of(d))[:limit] for d in range(len(config.domains))}
    measured = _translate_all(model, val, sources, judge, outputs, seed, place, Downloaded(downloads, place), train)
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
        write(data.grid_picture(measured["rows"], config.image_size), out / "grid.png")
    return result


def _translate_all(
    model: Model,
    val: data.Pictures,
    sources: Mapping[int, np.ndarray],
    judge: Classifier,
    outputs: int,
    seed: int,
    place: torch.device,
    downloaded: Downloaded,
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
                    first, second = _pairs(outputs)
                    near = perceptual_distance([f[first] for f in features], [f[second] for f in features])
                    numbers["diversity"][key].append(near.mean().item())
                    numbers["diversity_pixels"][key].append(pixel_distance(made[first], made[second]).mean().item())
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
        first = descriptors(train.pixels[np.sort(halves[:n])], seed)
        compared = {"real": train.pixels[np.sort(halves[n : 2 * n])]}
        for kind, made in kinds.items():
            compared[kind] = made[np.linspace(0, len(made) - 1, n).round().astype(int)]
        for kind, pixels in compared.items():
            others = descriptors(pixels, seed + 1)
            swd[kind][d] = {side: sliced_wasserstein(first[side], others[side], seed) for side in first}
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
        by_domain = {name: {d: _mean(numbers[name][kind, d]) for d in targets} for name in numbers}
        row: dict[str, Any] = {name: _mean([v for v in values.values() if v is not None]) for name, values in by_domain.items()}
        row["accuracy_by_domain"] = {val.domains[d]: value for d, value in by_domain["accuracy"].items()}
        for name in ("diversity", "diversity_pixels"):
            if name in by_domain:
                ratios = [value / real[name][d] for d, value in by_domain[name].items() if value is not None]
                row[f"{name}_ratio"] = _mean(ratios)
        row["swd"] = _by_side(swd[kind], swd["real"], ratio=False)
        row["swd_ratio"] = _by_side(swd[kind], swd["real"], ratio=True)
        result[kind] = row | measured["downloaded"][kind]
    return result


def _by_side(found: Mapping[int, Mapping[int, float]], real: Mapping[int, Mapping[int, float]], ratio: bool) -> dict[str, float]:
    """Averaged over domains, by side in px; as a ratio, of the averages."""
    mean = {side: float(np.mean([found[d][side] for d in found])) for side in next(iter(found.values()))}
    base = {side: float(np.mean([real[d][side] for d in real])) for side in mean}
    return {str(side): value / base[side] if ratio else value for side, value in mean.items()}


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
            features.append(perceptual_distance(judge(a.to(place))[1], judge(b.to(place))[1]))
            pixels.append(pixel_distance(a, b))
        found["diversity"].append(torch.cat(features).mean().item())
        found["diversity_pixels"].append(torch.cat(pixels).mean().item())
    return found


def score(result: Mapping[str, Any]) -> float:
    """One number to choose a checkpoint by, lower is better: the mean ratio of sliced Wasserstein distances over scales and kinds,
    over the accuracy and over the ratio of diversity, as sharp pictures of one face or of the wrong domain are no success."""
    parts = []
    for kind in KINDS:
        row = result[kind]
        good = max(row["accuracy"], 1e-3) * min(1.0, max(row.get("diversity_ratio", 1.0), 1e-3))
        parts.append(float(np.mean(list(row["swd_ratio"].values()))) / good)
    return float(np.mean(parts))


def table(result: Mapping[str, Any]) -> str:
    """The result as a Markdown table."""

    def percent(value: float | None) -> str:
        return "" if value is None else f"{100 * value:.1f} %"

    def plain(value: float | None) -> str:
        return "" if value is None else f"{value:.3f}"

    def times(value: float | None) -> str:
        return "" if value is None else f"{value:.2f}x"

    columns = [result[kind] for kind in KINDS] + [result["real"]]
    rows = [("domain accuracy", [percent(c["accuracy"]) for c in columns])]
    for d in result["domains"]:
        rows.append((f"domain accuracy, {d}", [percent(c["accuracy_by_domain"][d]) for c in columns]))
    for name, words in (("diversity", "classifier features"), ("diversity_pixels", "pixels")):
        rows.append((f"diversity, {words}", [plain(c.get(name)) for c in columns]))
        rows.append((f"diversity, {words}, over real", [percent(c.get(f"{name}_ratio")) for c in columns[:2]] + [""]))
    for side in result["latent"]["swd"]:
        ratios = [times(c["swd_ratio"][side]) for c in columns[:2]]
        rows.append((f"sliced Wasserstein, {side} px, over real halves", [*ratios, "1.00x"]))
    rows.append(("cycle L1", [plain(c.get("cycle_l1")) for c in columns]))
    for name, words in (("landmark_error", "masks on"), ("landmark_error_no_masks", "masks off")):
        rows.append((f"landmark error, {words}", [percent(c.get(name)) for c in columns]))
    for name in ("fid", "lpips"):
        rows.append((name.upper(), [plain(c.get(name)) or ("not measured" if c is not columns[2] else "") for c in columns]))
    sources = ", ".join(f"{count} {d}" for d, count in result["sources"].items())
    head = f"{result['model']}: {result['outputs']} outputs of each source ({sources}) in each other domain\n"
    cells = [("", ["latent", "reference", "real pictures"]), ("---", ["---:"] * 3), *rows]
    lines = [head, *(f"| {name} | {' | '.join(values)} |" for name, values in cells), *(f"\n{note}" for note in result["notes"])]
    return "\n".join(lines)

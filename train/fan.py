"""Trains the 68-point FAN on faces with known landmarks (heatmap regression, arXiv 1703.07332 section 3)."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from stargan.faces.frame import mean_landmarks
from stargan.fan import FAN, FANConfig, landmarks_from_heatmaps
from stargan.files import checkpoint, sweep, whole
from stargan.media import images
from stargan.precision import autocast
from train import data
from train.config import TrainingError

NETWORK = FANConfig(landmarks=68, width=64, input_size=128, depth=3, coords=True, boundary=False)
CACHE_SIDE = 208
SIGMA = 1.0  # of a landmark's Gaussian, in cells of the heatmap
COORDINATES = 0.5  # weight of the places' own loss beside the heatmaps'
KEEP_EVERY, EVALUATE_EVERY = 25, 250  # steps between two savings of a run, and between two looks at the val pictures

# Where landmark i of the 68 stands after the picture is mirrored.
MIRROR = np.array(
    [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)]  # jaw, brows, nose
    + [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]  # eyes
    + [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]  # mouth
)


@dataclass(frozen=True)
class FANTraining:
    """Settings of a run.

    data: folders, each as `load` takes it, drawn from in proportion to their pictures. start: a FAN to go on from. steps: over
    them the learning rate follows half a cosine. A run that was stopped goes on where it was, with the settings that it has.
    """

    data: tuple[Path, ...]
    out: Path
    start: Path | None = None
    steps: int = 4000
    batch: int = 32
    lr: float = 2e-3
    seed: int = 0


@dataclass(frozen=True)
class Faces:
    """Pictures (N, side, side, 3) uint8, mapped from disk; points (N, 68, 2) float32 as fractions of the side; names of files."""

    pixels: np.ndarray
    points: Tensor
    names: tuple[str, ...]

    def batch(self, index: Sequence[int] | np.ndarray) -> Tensor:
        """(N, 3, side, side) float32 in [-1, 1]."""
        return torch.from_numpy(self.pixels[np.asarray(index)]).permute(0, 3, 1, 2).float() / 127.5 - 1


def load(folder: Path, split: str, cache: Path) -> Faces:
    """Square pictures with landmarks in pixels of the file.

    Either `landmarks.npz` names `files` (split/domain/stem), or `landmarks-<split>.npz` has `names` (stems in `folder/split`);
    both have `points` (N, 68, 2). The decoded pictures are kept under `cache`. DataError where something is missing.
    """
    own = folder / f"landmarks-{split}.npz"
    path = own if own.exists() else folder / "landmarks.npz"
    if not path.exists():
        raise data.DataError(f"{folder} has neither {own.name} nor landmarks.npz; a FAN learns from pictures with landmarks")
    with np.load(path, allow_pickle=False) as archive:
        names = [f"{split}/{n}" for n in archive["names"].tolist()] if path == own else archive["files"].tolist()
        known = {n: p for n, p in zip(names, archive["points"].astype(np.float32), strict=True) if n.startswith(f"{split}/")}
    found = {p.relative_to(folder).with_suffix("").as_posix(): p for p in sorted((folder / split).rglob("*")) if p.is_file()}
    if not known or (missing := [n for n in known if n not in found]):
        first = f"; the first that is not there is {missing[0]}" if known else ""
        raise data.DataError(f"{path} does not go with the pictures in {folder / split}{first}")
    files = [found[n] for n in known]
    digest = hashlib.sha256(json.dumps([CACHE_SIDE, [(str(p), p.stat().st_size) for p in files]]).encode()).hexdigest()[:16]
    pixels, sides = cache / f"faces-{digest}.npy", cache / f"faces-{digest}-sides.npy"
    if not sides.exists():
        _decode(files, pixels, sides)
    points = np.stack(list(known.values())) / np.load(sides)[:, None, None]
    return Faces(np.load(pixels, mmap_mode="r"), torch.from_numpy(points.astype(np.float32)), tuple(known))


def _decode(files: list[Path], pixels: Path, sides: Path) -> None:
    def read(file: Path) -> tuple[np.ndarray, int]:
        image = images.read(file)
        return np.asarray(images.centre_crop(image, CACHE_SIDE)), image.width

    pixels.parent.mkdir(parents=True, exist_ok=True)
    sweep(pixels.parent)
    with whole(pixels) as partial, ThreadPoolExecutor() as pool:
        held = data.mapped(partial, (len(files), CACHE_SIDE, CACHE_SIDE, 3))
        widths = np.zeros(len(files), np.float32)
        for i, (picture, width) in enumerate(tqdm(pool.map(read, files), total=len(files), desc="decode", unit="img")):
            held[i], widths[i] = picture, width
        held.flush()
    with whole(sides) as partial, partial.open("wb") as file:
        np.save(file, widths)


def frames(points: Tensor) -> np.ndarray:
    """(N, 68, 2) fractions -> (N, 2, 3): what takes a place of the aligned square to one of the picture, both in [-1, 1]
    (least squares over brows, eyes, nose and mouth, as `align` does it)."""
    target = points[:, 17:].double().numpy() * 2 - 1
    source = mean_landmarks()[None, 17:] * 2 - 1
    a, b = source - source.mean(1, keepdims=True), target - target.mean(1, keepdims=True)
    total = (a**2).sum((1, 2))
    cos, sin = (a * b).sum((1, 2)) / total, (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]).sum(1) / total
    rotation = np.stack([np.stack([cos, -sin], 1), np.stack([sin, cos], 1)], 1)
    shift = target.mean(1) - np.einsum("nij,kj->ni", rotation, source[0].mean(0, keepdims=True))
    return np.concatenate([rotation, shift[..., None]], 2)


def augment(x: Tensor, points: Tensor, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Faces as a detector's crop may show them: turned up to 60 degrees, larger and smaller, off the middle, mirrored; other light,
    blur and noise; parts covered; what lies outside of a picture mirrored, stretched, black or another picture.

    x (N, 3, side, side) in [-1, 1], points (N, 68, 2) as fractions -> the same, the pictures size x size.
    """
    n = len(x)
    wild = rng.random(n) < 0.5
    angle = np.radians(np.where(wild, rng.uniform(-60, 60, n), rng.normal(0, 7, n)))
    zoom = np.where(wild, np.exp(rng.uniform(np.log(0.75), np.log(1.7), n)), np.exp(rng.normal(0, 0.1, n)))
    shift = rng.normal(0, 1, (n, 2)) * np.where(wild, 0.16, 0.04)[:, None]
    mirror = rng.random(n) < 0.5
    cos, sin, sign = zoom * np.cos(angle), zoom * np.sin(angle), np.where(mirror, -1.0, 1.0)
    jitter = np.stack([np.stack([cos * sign, -sin, shift[:, 0]], 1), np.stack([sin * sign, cos, shift[:, 1]], 1)], 1)
    frame = frames(points)
    matrix = frame[:, :, :2] @ jitter
    matrix[:, :, 2] += frame[:, :, 2]
    matrices = torch.from_numpy(matrix.astype(np.float32))  # (N, 2, 3), from the output to the picture
    points = torch.linalg.solve(matrices[:, :, :2], ((points * 2 - 1) - matrices[:, None, :, 2]).mT).mT * 0.5 + 0.5
    points = torch.where(torch.from_numpy(mirror)[:, None, None], points[:, torch.from_numpy(MIRROR)], points)
    return _spoil(_framed(x, matrices, size, rng), rng), points


def _framed(x: Tensor, matrices: Tensor, size: int, rng: np.random.Generator) -> Tensor:
    """Resamples; what lies outside is filled as the dice have it, and some of each picture is covered."""
    n = len(x)
    out = data.warp(x, matrices, size, padding=str(rng.choice(["border", "reflection", "zeros"])))
    other = out.roll(1, 0)
    outside = data.warp(torch.ones(n, 3, *x.shape[2:]), matrices, size, padding="zeros") < 0.5
    out = torch.where(outside & torch.from_numpy(rng.random((n, 1, 1, 1)) < 0.3), other.flip(2), out)
    rows, columns = torch.meshgrid(*[(torch.arange(size) + 0.5) / size] * 2, indexing="ij")
    for _ in range(2):
        place, reach = rng.uniform(0, 1, (n, 2)), rng.uniform(0.06, 0.26, (n, 2))
        covered = torch.from_numpy(rng.random(n) < 0.2)[:, None, None]
        y, x_ = (torch.from_numpy(place[:, i].astype(np.float32))[:, None, None] for i in (0, 1))
        b, a = (torch.from_numpy(reach[:, i].astype(np.float32))[:, None, None] for i in (0, 1))
        power = 2 if rng.random() < 0.5 else 8  # an ellipse, or nearly a rectangle
        inside = (((rows - y).abs() / b) ** power + ((columns - x_).abs() / a) ** power < 1) & covered
        plain = torch.from_numpy(rng.uniform(-1, 1, (n, 3, 1, 1)).astype(np.float32))
        cover = torch.where(torch.from_numpy(rng.random((n, 1, 1, 1)) < 0.5), plain, other.roll(1, 0).flip(3))
        out = torch.where(inside[:, None], cover, out)
    return out


def _spoil(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Grey, colour casts, light from one side, contrast, blur and noise: (N, 3, size, size) in [-1, 1]."""
    n, size = len(x), x.shape[-1]

    def each(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).reshape(n, -1, 1, 1)

    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * each(np.where(rng.random(n) < 0.15, 0.0, rng.uniform(0.4, 1.5, n)))
    x = (x * 0.5 + 0.5).clamp(0, 1) ** each(np.exp(rng.normal(0, 0.3, n))) * 2 - 1
    x = x * each(rng.uniform(0.6, 1.4, (n, 1)) * rng.uniform(0.9, 1.1, (n, 3))) + each(rng.normal(0, 0.2, n))
    slope = torch.linspace(-1, 1, size)
    side = each(rng.normal(0, 0.25, n)) * slope + each(rng.normal(0, 0.15, n)) * slope[:, None]
    x = x + side * each(rng.random(n) < 0.5)
    soft = rng.random(n) < 0.35
    if soft.any():
        small = int(size * rng.uniform(0.2, 0.7))
        blurred = F.interpolate(F.interpolate(x[soft], size=small, mode="area"), size=size, mode="bilinear")
        x[torch.from_numpy(soft)] = blurred
    noise = torch.from_numpy(rng.standard_normal(x.shape, dtype=np.float32))
    return (x + noise * each(rng.exponential(0.03, n))).clamp(-1, 1)


def target_heatmaps(points: Tensor, side: int) -> Tensor:
    """A Gaussian of height 1 for each landmark: (N, 68, 2) fractions -> (N, 68, side, side)."""
    cells = torch.arange(side) + 0.5
    x, y = points[..., 0, None, None] * side, points[..., 1, None, None] * side  # (N, 68, 1, 1)
    return torch.exp(-((cells - x) ** 2 + (cells[:, None] - y) ** 2) / (2 * SIGMA**2))


def heatmap_loss(heatmaps: Tensor, target: Tensor) -> Tensor:
    """Squared error, cells near a landmark weighing ten times the rest (after arXiv 1904.07399, section 4.3)."""
    return ((heatmaps.float() - target) ** 2 * (1 + 9 * (target > 0.1))).mean() * 100


def coordinate_loss(heatmaps: Tensor, points: Tensor) -> Tensor:
    """Mean distance, in cells, of the places read from heatmaps to the true ones, for those whose peak is within three cells:
    what the heatmaps' own loss leaves to chance below a cell. points (N, 68, 2) fractions."""
    distance = (landmarks_from_heatmaps(heatmaps) - points).abs().sum(-1) * heatmaps.shape[-1]
    near = (distance.detach() < 3) & ((points > 0) & (points < 1)).all(-1)
    return (distance * near).sum() / near.sum().clamp(min=1)


@torch.inference_mode()
def normalized_errors(fan: nn.Module, faces: Faces) -> Tensor:
    """Distance of each aligned face's landmarks to the true ones over the distance of the outer eye corners: (N, 68)."""
    errors = []
    for index in (np.arange(i, min(i + 64, len(faces.names))) for i in range(0, len(faces.names), 64)):
        matrices = torch.from_numpy(frames(faces.points[index]).astype(np.float32))
        x = data.warp(faces.batch(index), matrices, NETWORK.input_size, padding="reflection")
        found = landmarks_from_heatmaps(fan(x)) * 2 - 1
        found = (found @ matrices[:, :, :2].mT + matrices[:, None, :, 2]) * 0.5 + 0.5
        true = faces.points[index]
        errors.append((found - true).norm(dim=-1) / (true[:, 36] - true[:, 45]).norm(dim=-1, keepdim=True))
    return torch.cat(errors)


def _said(errors: Tensor) -> str:
    inner = errors[:, 17:].mean(1)
    median, high = 100 * inner.median(), 100 * inner.quantile(0.9)
    return f"{100 * errors.mean():5.2f} % all points; 17 to 67: median {median:5.2f} %, 90th percentile {high:5.2f} %"


def _of(settings: FANTraining, train: Sequence[Faces]) -> dict[str, Any]:
    """What a run is of, by the names of the options: none of that can change while it goes on."""
    digest = hashlib.sha256()
    for faces in train:
        digest.update(json.dumps(faces.names).encode() + faces.points.numpy().tobytes())
    start = hashlib.sha256(settings.start.read_bytes()).hexdigest() if settings.start is not None else ""
    numbers = {"steps": settings.steps, "lr": settings.lr, "seed": settings.seed, "batch": settings.batch}
    return {"data": digest.hexdigest(), "start": start} | numbers


def _resumed(path: Path, of: dict[str, Any], parts: Mapping[str, Any]) -> int:
    """Takes over what a run that was stopped had come to, where there is one; returns its step. TrainingError where it is of
    something else."""
    if not path.exists():
        return 0
    held = torch.load(path, weights_only=True)
    if changed := [f"--{name}" for name, value in held.get("of", of).items() if of[name] != value]:
        raise TrainingError(
            f"{path} is of a run that was stopped at step {held['step']}, and that had another {' and '.join(changed)}; put that "
            "back to go on with it, remove the file to begin anew, or name another --out"
        )
    for name, part in parts.items():
        part.load_state_dict(held[name])
    return int(held["step"])


def fit(settings: FANTraining) -> float:
    """Trains, writes `settings.out` and returns the mean error on the val splits, over the inter-ocular distance. TrainingError
    where a run was stopped there that had other settings."""
    torch.manual_seed(settings.seed)
    cache, state = settings.out.parent / "cache", settings.out.with_suffix(".state.pt")
    train, val = ([load(folder, split, cache) for folder in settings.data] for split in ("train", "val"))
    fan = (FAN(NETWORK) if settings.start is None else checkpoint.load_fan(settings.start)).train().requires_grad_(True)
    fan = fan.to(memory_format=torch.channels_last)
    averaged = torch.optim.swa_utils.AveragedModel(
        fan, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998), use_buffers=True
    )
    optimiser = torch.optim.AdamW(fan.parameters(), lr=settings.lr, weight_decay=1e-4)
    parts: dict[str, Any] = {"fan": fan, "averaged": averaged, "optimiser": optimiser}
    of = _of(settings, train)
    done = _resumed(state, of, parts)
    settings.out.parent.mkdir(parents=True, exist_ok=True)
    sweep(settings.out.parent)
    for step in tqdm(range(done, settings.steps), total=settings.steps, initial=done, unit="step", mininterval=1):
        for group in optimiser.param_groups:
            group["lr"] = settings.lr * min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * step / settings.steps))
        # By step, for a run that was stopped to draw what it would have drawn.
        rng = np.random.default_rng([settings.seed, step])
        x, points = augment(*_batch(train, settings.batch, rng), fan.config.input_size, rng)
        with autocast():
            heatmaps = fan(x.contiguous(memory_format=torch.channels_last)).float()
        loss = heatmap_loss(heatmaps, target_heatmaps(points, heatmaps.shape[-1]))
        loss = loss + COORDINATES * coordinate_loss(heatmaps, points)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        averaged.update_parameters(fan)
        if (step + 1) % KEEP_EVERY == 0:
            with whole(state) as partial:
                torch.save({"step": step + 1, "of": of} | {name: part.state_dict() for name, part in parts.items()}, partial)
        if (step + 1) % EVALUATE_EVERY == 0:
            errors = [_said(normalized_errors(averaged.module.eval(), faces)) for faces in val]
            tqdm.write(f"step {step + 1:6d}  loss {loss.item():8.4f}  " + "  |  ".join(errors))
    fan.load_state_dict(averaged.module.state_dict())
    every = [normalized_errors(fan.eval(), faces) for faces in val]
    checkpoint.save_fan(fan, settings.out, torch.float16)
    state.unlink(missing_ok=True)
    for folder, found in zip(settings.data, every):
        print(f"{folder.name:12s} {len(found)} val pictures: {_said(found)}")
    return torch.cat(every).mean().item()


def _batch(folders: Sequence[Faces], count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Pictures and points drawn from all folders, each picture as likely as any other."""
    sizes = np.array([len(faces.names) for faces in folders])
    drawn = [rng.integers(size, size=k) for size, k in zip(sizes, rng.multinomial(count, sizes / sizes.sum()))]
    x = torch.cat([faces.batch(index) for faces, index in zip(folders, drawn)])
    points = torch.cat([faces.points[index] for faces, index in zip(folders, drawn)])
    order = torch.from_numpy(rng.permutation(count))
    return x[order], points[order]

"""Trains the 68-point FAN on portraits with known landmarks (heatmap regression, arXiv 1703.07332 section 3)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from stargan.fan import FAN, FANConfig, landmarks_from_heatmaps
from stargan.files import checkpoint
from train import data

NETWORK = FANConfig(landmarks=68, width=64, input_size=128, depth=3, coords=True, boundary=False)
CACHE_SIDE = 160
SIGMA = 1.0  # of a landmark's Gaussian, in cells of the heatmap

# Where landmark i of the 68 stands after the picture is mirrored.
MIRROR = np.array(
    [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)]  # jaw, brows, nose
    + [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]  # eyes
    + [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]  # mouth
)


@dataclass(frozen=True)
class FANTraining:
    """Settings of a run: minutes of wall-clock time over which the learning rate follows one cycle."""

    data: Path
    out: Path
    minutes: float = 20.0
    batch: int = 32
    lr: float = 2e-3
    seed: int = 0


def read_landmarks(path: Path, split: str, names: tuple[str, ...], picture_side: float = 236.0) -> Tensor:
    """(N, 68, 2) fractions of the picture's side, in the order of names (`domain/stem`), from an npz with `files`
    (split/domain/stem) and `points` in pixels of pictures `picture_side` px wide; DataError where one is missing."""
    with np.load(path, allow_pickle=False) as archive:
        known = dict(zip(archive["files"].tolist(), archive["points"].astype(np.float32) / picture_side, strict=True))
    if missing := [n for n in names if f"{split}/{n}" not in known]:
        raise data.DataError(f"{path} has no landmarks for {len(missing)} pictures, the first being {split}/{missing[0]}")
    return torch.from_numpy(np.stack([known[f"{split}/{n}"] for n in names]))


def augment(x: Tensor, points: Tensor, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Random scale, shift, rotation, mirror, colour, blur and noise.

    x (N, 3, side, side) in [-1, 1], points (N, 68, 2) as fractions -> the same, the pictures size x size.
    """
    n = len(x)
    angle = np.radians(np.clip(rng.normal(0, 18, n), -45, 45))
    zoom = np.exp(rng.uniform(np.log(0.75), np.log(1.9), n))  # how much of the picture's side the output shows
    mirror = rng.random(n) < 0.5
    shift = rng.normal(0, 0.12, (n, 2)) * np.maximum(zoom, 1)[:, None]
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    sign = np.where(mirror, -1.0, 1.0)
    matrix = np.stack([np.stack([cos * sign, -sin, shift[:, 0]], 1), np.stack([sin * sign, cos, shift[:, 1]], 1)], 1)
    matrices = torch.from_numpy(matrix.astype(np.float32))  # (N, 2, 3)
    x = data.warp(x, matrices, size, padding=str(rng.choice(["border", "reflection", "zeros"])))
    points = torch.linalg.solve(matrices[:, :, :2], ((points * 2 - 1) - matrices[:, None, :, 2]).mT).mT * 0.5 + 0.5
    flipped = torch.from_numpy(mirror)[:, None, None]
    points = torch.where(flipped, points[:, torch.from_numpy(MIRROR)], points)

    def column(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.astype(np.float32))[:, :, None, None]

    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * column(np.where(rng.random((n, 1)) < 0.15, 0.0, rng.uniform(0.4, 1.5, (n, 1))))
    x = x * column(rng.uniform(0.6, 1.4, (n, 1)) * rng.uniform(0.9, 1.1, (n, 3))) + column(rng.normal(0, 0.2, (n, 1)))
    if rng.random() < 0.3:
        small = int(size * rng.uniform(0.25, 0.7))
        x = F.interpolate(F.interpolate(x, size=small, mode="area"), size=size, mode="bilinear")
    x = x + torch.from_numpy(rng.standard_normal(x.shape, dtype=np.float32)) * column(rng.exponential(0.03, (n, 1)))
    return x.clamp(-1, 1), points


def target_heatmaps(points: Tensor, side: int) -> Tensor:
    """A Gaussian of height 1 for each landmark: (N, 68, 2) fractions -> (N, 68, side, side)."""
    cells = torch.arange(side) + 0.5
    x, y = points[..., 0, None, None] * side, points[..., 1, None, None] * side  # (N, 68, 1, 1)
    return torch.exp(-((cells - x) ** 2 + (cells[:, None] - y) ** 2) / (2 * SIGMA**2))


def heatmap_loss(heatmaps: Tensor, target: Tensor) -> Tensor:
    """Squared error, cells near a landmark weighing ten times the rest (after arXiv 1904.07399, section 4.3)."""
    return ((heatmaps.float() - target) ** 2 * (1 + 9 * (target > 0.1))).mean() * 100


@torch.inference_mode()
def normalized_error(fan: nn.Module, pictures: data.Pictures, points: Tensor) -> Tensor:
    """Mean distance to the true landmarks over the distance of the outer eye corners, for each picture: (N,)."""
    errors = []
    for index in data.in_order(pictures, 64):
        true = points[index]
        found = landmarks_from_heatmaps(fan(pictures.batch(index)))
        errors.append((found - true).norm(dim=-1).mean(1) / (true[:, 36] - true[:, 45]).norm(dim=-1))
    return torch.cat(errors)


def fit(settings: FANTraining) -> float:
    """Trains, writes `settings.out` and returns the mean error on the val split, over the inter-ocular distance."""
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    cache = settings.out.parent / "cache"
    train = data.load(settings.data, "train", CACHE_SIDE, cache)
    val = data.load(settings.data, "val", CACHE_SIDE, cache)
    train_points = read_landmarks(settings.data / "landmarks.npz", "train", train.names)
    val_points = read_landmarks(settings.data / "landmarks.npz", "val", val.names)
    fan = FAN(NETWORK).to(memory_format=torch.channels_last)
    averaged = torch.optim.swa_utils.AveragedModel(
        fan, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998), use_buffers=True
    )
    optimiser = torch.optim.AdamW(fan.parameters(), lr=settings.lr, weight_decay=1e-4)
    start, step = time.monotonic(), 0
    with tqdm(total=100, bar_format="{l_bar}{bar}| {elapsed}<{remaining} {postfix}") as bar:
        while (done := (time.monotonic() - start) / (60 * settings.minutes)) < 1:
            for group in optimiser.param_groups:
                group["lr"] = settings.lr * min(1.0, (step + 1) / 100) * 0.5 * (1 + np.cos(np.pi * done))
            index = rng.integers(len(train.names), size=settings.batch)
            x, points = augment(train.batch(index), train_points[index], NETWORK.input_size, rng)
            with torch.autocast("cpu", torch.bfloat16):
                heatmaps = fan(x.contiguous(memory_format=torch.channels_last))
            loss = heatmap_loss(heatmaps, target_heatmaps(points, heatmaps.shape[-1]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            averaged.update_parameters(fan)
            step += 1
            if step % 200 == 0:
                error = normalized_error(averaged.module.eval(), val, val_points).mean().item()
                tqdm.write(f"step {step:6d}  loss {loss.item():8.4f}  val error {100 * error:5.2f} %")
            bar.set_postfix_str(f"step {step} loss {loss.item():.3f}")
            bar.update(min(100, 100 * done) - bar.n)
    fan.load_state_dict(averaged.module.state_dict())
    best = fan.eval()
    errors = normalized_error(best, val, val_points)
    settings.out.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save_fan(best, settings.out)
    for i, name in enumerate(val.domains):
        print(f"{name:12s} {100 * errors[torch.from_numpy(val.of(i))].mean().item():5.2f} %")
    print(f"mean error over inter-ocular distance on {len(errors)} val pictures: {100 * errors.mean().item():.2f} %")
    return errors.mean().item()

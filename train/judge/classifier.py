"""Tells the domains of a data folder apart."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from stargan.files import whole
from stargan.precision import autocast
from train import data

CLASSIFIER_SIDE = 64
LOADED_SIDE = 80  # px, of the pictures that it learns from, of which crops are taken: the same for models of any size


class Classifier(nn.Module):
    """Which domain a picture is of: a ResNet-18 (arXiv 1512.03385) on pictures of 64 px."""

    def __init__(self, domains: int) -> None:
        # It takes as long to import as all else that a run needs, and few runs need it.
        from torchvision.models import resnet18

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
    count = 64  # pictures a step
    steps = max(1, epochs * len(train.names) // count)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Classifier(len(train.domains)).to(device).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=2e-3, total_steps=steps)
    for _ in tqdm(range(steps), desc="classifier", unit="step"):
        domain, index = data.balanced(train, count, rng)
        x = data.random_crop(train.batch(index), CLASSIFIER_SIDE, rng)
        brightness, contrast = rng.uniform(-0.2, 0.2, (count, 3, 1, 1)), rng.uniform(0.8, 1.2, (count, 1, 1, 1))
        x = x * torch.from_numpy(contrast).float() + torch.from_numpy(brightness).float()
        with autocast(device):
            logits, _ = net(x.to(device, memory_format=torch.channels_last))
        loss = F.cross_entropy(logits.float(), torch.from_numpy(domain).to(device), label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return net.eval()


def classifier(train: data.Pictures, cache: Path, epochs: int, seed: int, device: torch.device) -> Classifier:
    """The classifier of these pictures, of LOADED_SIDE as a rule: trained at the first call, kept in `cache`, then read from it."""
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

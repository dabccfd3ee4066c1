"""Fixtures that several tests share."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from fileserver import DATA, FileServer
from material import SmallNet, portrait

from tests import processes
from train.memory import keep_freed_memory

keep_freed_memory()
os.environ.pop("OMP_NUM_THREADS", None)  # PyTorch has read it; what the tests start has as many threads as they, see `as_here`
if "PYTEST_XDIST_WORKER" in os.environ:  # several processes share the cores: one thread each
    torch.set_num_threads(1)


def pytest_collection_finish() -> None:
    """All that the tests need is read."""
    if "PYTEST_XDIST_WORKER" in os.environ:  # a process with few tests need not read more than these do
        processes.fork_from_here()
    gc.freeze()
    gc.set_threshold(10_000, *gc.get_threshold()[1:])  # hundreds of networks are made and let go
    gc.enable()


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    """Tuning sets the number of threads of the whole process, which decides on the last bits of sums; compiling sets how often they
    take turns."""
    count, turn = torch.get_num_threads(), sys.getswitchinterval()
    yield
    torch.set_num_threads(count)
    sys.setswitchinterval(turn)


@pytest.fixture(scope="session")
def picture_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder: train and val, two domains of a few generated pictures, with landmarks."""
    root = tmp_path_factory.mktemp("pictures")
    names = []
    for s, split in enumerate(("train", "val")):
        for d, domain in enumerate(("cold", "warm")):
            (root / split / domain).mkdir(parents=True)
            for i in range(4):
                portrait(100 * s + 10 * d + i).save(root / split / domain / f"{i}.png")
                names.append(f"{split}/{domain}/{i}")
    points = np.random.default_rng(0).uniform(8, 88, (len(names), 68, 2)).astype(np.float16)
    np.savez(root / "landmarks.npz", files=np.array(names), points=points)
    return root


@pytest.fixture
def small_features(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What looks at pictures through MobileNetV2 has a small network instead."""
    torch.manual_seed(0)
    torch.save(SmallNet().state_dict(), tmp_path / "features.pth")
    monkeypatch.setattr("torchvision.models.mobilenet_v2", SmallNet)
    monkeypatch.setattr("train.step.features.weights_file", lambda: tmp_path / "features.pth")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """It has DATA as `/file`; downloads try again at once, and give up soon."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("stargan.files.download.WAITS", (0.01, 0.01))
    monkeypatch.setattr("stargan.files.download.TIMEOUT", 5.0)
    server = FileServer()
    server.files["/file"] = DATA
    yield server
    server.close()

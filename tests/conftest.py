"""Fixtures that several tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from material import portrait


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever needs a browser is slow."""
    for item in items:
        if "browser" in item.path.parts:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def as_many_threads_as_before() -> Iterator[None]:
    """Tuning sets the number of threads of the whole process, which decides on the last bits of sums."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


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

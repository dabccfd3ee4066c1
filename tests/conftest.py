"""Fixtures that several tests share, and which tests run beside which."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Read when the library of threads is loaded, here and in what the tests start: threads that wait do not spin.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# One test compiles: workers for that, of which each loads PyTorch, would take longer than it.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

import numpy as np
import pytest
import torch
from fileserver import DATA, FileServer
from material import SmallNet, portrait

WORKER = "PYTEST_XDIST_WORKER" in os.environ
# Files of tests/browser by what they need, each line about as long as the others.
PAGES = {
    "a page": (),  # all others
    "a second page": ("test_boxes.py", "test_feel.py", "test_main_view.py"),
    "a third page": ("test_endpoints.py", "test_firefox.py", "test_live.py", "test_looks.py", "test_phone.py", "test_train_tab.py"),
    "pages of their own": ("test_alone.py", "test_models.py", "test_privacy.py", "test_who_leaves.py"),
}


def pytest_configure(config: pytest.Config) -> None:
    # Several processes share the cores: one thread each.
    if WORKER:
        torch.set_num_threads(1)
    keep_freed_memory()
    # In the order below instead of by the number of tests.
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def keep_freed_memory() -> None:
    """Has glibc use freed memory again, up to a gigabyte of it, instead of asking the system for each large tensor, which clears
    every page of it."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(-4, 0)  # M_MMAP_MAX
        library.mallopt(-1, 2**30)  # M_TRIM_THRESHOLD
        library.mallopt(-2, 2**26)  # M_TOP_PAD


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever needs a browser is slow. These tests come first, then files with other slow ones, so that no process is left with a
    long one in the end."""
    for item in items:
        if "browser" in item.path.parts:
            item.add_marker(pytest.mark.slow)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: ("browser" not in item.path.parts, of_the_page(item.path.name), item.path not in slow))


def of_the_page(name: str) -> int:
    """Which of PAGES a file of tests/browser belongs to."""
    return next((i for i, names in enumerate(PAGES.values()) if name in names), 0)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `-n`, tests that share something share a process."""
    from xdist.scheduler import LoadScopeScheduling

    class Shared(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

    return Shared(config, log)


def group(nodeid: str) -> str:
    """What runs in one process: a file's tests, and those of all files of the browser that share a page."""
    path, _, test = nodeid.partition("::")
    if "browser/" in path:
        return list(PAGES)[of_the_page(path.rpartition("/")[2])]
    if path.endswith("test_chaos.py"):
        # They share what an undisturbed call of a command comes to; the other strikes are on `prepare`.
        killed = re.fullmatch(r".*_by_a_kill\[(.+)\]", test)
        return f"chaos {killed[1] if killed else 'prepare'}"
    return path


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

"""How tests are run, and which of them beside which. The process that shares them out with `-n` reads no library for that."""

from __future__ import annotations

import gc
import os
import re
from collections import Counter
from typing import Any

# Read when the library of threads is loaded, here and in what the tests start: threads that wait do not spin.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# One test compiles: workers for that, of which each loads PyTorch, would take longer than it.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
# And no trials of what the processor says that it can do, which take as long as a graph.
os.environ.setdefault("TORCHINDUCTOR_VEC_ISA_OK", "1")

import pytest

WORKER = "PYTEST_XDIST_WORKER" in os.environ
# Files of tests/browser by what they need, each line about as long as the others.
PAGES = {
    "a page": (),  # all others
    "a second page": ("test_boxes.py", "test_feel.py", "test_looks.py", "test_main_view.py", "test_train_tab.py"),
    "pages of their own": ("test_alone.py", "test_models.py", "test_privacy.py", "test_who_leaves.py", "test_without_trace.py"),
}
# What keeps a processor busy from beginning to end.
COMPUTING = ("test_losses.py", "test_translate.py")


def pytest_configure(config: pytest.Config) -> None:
    if WORKER or not getattr(config.option, "numprocesses", None):
        gc.disable()  # until all is read, of which nothing goes
        config.pluginmanager.import_plugin("shared")
    # In the order below instead of by the number of tests.
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever needs a browser is slow. What shares pages comes first, and beside it, as there is much waiting, what only computes;
    pages of their own, where there is most, in the middle of the slow files; last those with many tests, so that no process is left
    with a long one in the end."""
    for item in items:
        if "browser" in item.path.parts:
            item.add_marker(pytest.mark.slow)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    many = Counter(item.path for item in items)

    def turn(item: pytest.Item) -> tuple[int, int]:
        if "browser" in item.path.parts:
            page = of_the_page(item.path.name)
            return (0 if page < 2 else 3), page
        if item.path.name in COMPUTING:
            return 1, 0
        if item.path in slow:
            return (2 if "tests/stargan" in item.path.as_posix() else 4), 0
        return 5, -many[item.path]

    items.sort(key=turn)


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

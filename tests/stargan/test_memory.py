"""What threads have freed goes back to the system, and what was used is counted."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch

from stargan.memory import NotEnoughMemory, enough_memory, most_used, refused_beyond_what_is_free

PROGRAM = """
import resource, time
from stargan.memory import return_freed_memory

def held():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() >> 20  # MB

blocks = [bytearray(50_000) for _ in range(4000)]
before = held()
del blocks[:-1]  # the last one stays, above all that is freed
for back in (lambda: None, lambda: return_freed_memory(0.1)):
    back()
    for _ in range(20):
        time.sleep(0.1)
        if held() < before - 100:
            break
    print(before - held())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_freed_memory_is_returned() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    of_itself, asked_for = (int(line) for line in done.stdout.splitlines())  # MB
    assert of_itself <= 100 < asked_for


def test_the_most_that_was_used_is_in_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    for system, unit in (("linux", 2**20), ("darwin", 2**30)):  # in KiB, and in bytes
        monkeypatch.setattr(sys, "platform", system)
        assert most_used() == pytest.approx(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, rel=0.1)
    monkeypatch.setitem(sys.modules, "resource", None)
    assert math.isnan(most_used())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="as Linux counts memory")
def test_what_is_beyond_the_free_memory_is_refused_instead_of_granted() -> None:
    import resource

    with open("/proc/meminfo") as file:
        free = 1024 * sum(int(line.split()[1]) for line in file if line.startswith(("MemAvailable:", "SwapFree:")))
    held, before = [], resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(NotEnoughMemory, match="for this; set less"), enough_memory("set less"), refused_beyond_what_is_free():
        for _ in range(6):
            held.append(torch.empty(free // 4, dtype=torch.uint8))  # which nothing is written to, so that no memory is used
    assert 2 <= len(held) <= 4 and resource.getrlimit(resource.RLIMIT_DATA) == before

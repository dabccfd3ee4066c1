"""What threads have freed goes back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, time
from stargan.memory import return_freed_memory
if sys.argv[1] == "returned":
    return_freed_memory(0.1)

def held():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() >> 20  # MB

blocks = [bytearray(50_000) for _ in range(4000)]
before = held()
del blocks[:-1]  # the last one stays, above all that is freed
for _ in range(20):
    time.sleep(0.1)
    if held() < before - 100:
        break
print(before - held())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("how", ["returned", "kept"])
def test_freed_memory_is_returned(how: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True, timeout=60)
    assert (int(done.stdout) > 100) == (how == "returned")

"""Which work gives way to what people wait for."""

from __future__ import annotations

import os
import subprocess

import pytest

from stargan.priority import PRIORITY, give_way


@pytest.mark.skipif(not hasattr(os, "setpriority"), reason="this system has no such priorities")
@pytest.mark.parametrize(("before", "after"), [(0, PRIORITY), (15, 15)])
def test_a_process_gives_way_and_is_never_raised(before: int, after: int) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        os.setpriority(os.PRIO_PROCESS, process.pid, max(before, os.getpriority(os.PRIO_PROCESS, 0)))
        give_way(process.pid)
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == after
        process.kill()

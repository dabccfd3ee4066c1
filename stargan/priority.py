"""Which work gives way to what people wait for."""

from __future__ import annotations

import os

PRIORITY = 10  # as `nice` has it: 0 for what people wait for, 19 for what has time


def give_way(task: int) -> None:
    """Lets a process, or on Linux a thread, by its number, have PRIORITY, unless it has less already, which an ordinary user
    could not raise; nothing happens where the system has no such numbers."""
    if hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, task, max(PRIORITY, os.getpriority(os.PRIO_PROCESS, task)))

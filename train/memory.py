"""How the process that trains holds its memory."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import sys
from pathlib import Path

LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
TUNABLES, HUGETLB = "GLIBC_TUNABLES", "glibc.malloc.hugetlb"


def large_pages_are_offered() -> bool:
    """Whether Linux has pages of 2 MB for who asks, and glibc can ask for them."""
    try:
        return "[madvise]" in LARGE_PAGES.read_text() and "glibc" in (os.confstr("CS_GNU_LIBC_VERSION") or "")
    except (OSError, ValueError):
        return False  # another system or C library


def use_large_pages() -> None:
    """Begins this process anew, with the same arguments, if there are pages of 2 MB, as glibc asks for them only from its start: an
    iteration goes through gigabytes, whose addresses take up to a fifth of its time in pages of 4 KB. Before anything is read."""
    tunables = os.environ.get(TUNABLES, "")
    if not sys.executable or HUGETLB in tunables or multiprocessing.parent_process():
        return  # the last has none of its own arguments
    if large_pages_are_offered():
        os.environ[TUNABLES] = ":".join(filter(None, (tunables, f"{HUGETLB}=1")))
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def keep_freed_memory() -> None:
    """Asks glibc to keep large freed blocks instead of returning them: their pages would be zeroed anew at every step."""
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-4, 0)  # M_MMAP_MAX: no separate mapping for large blocks
        libc.mallopt(-1, -1)  # M_TRIM_THRESHOLD: never shrink the heap
    except (OSError, AttributeError):
        return  # another C library: only speed is lost

"""How the process that trains holds its memory."""

from __future__ import annotations

import ctypes


def keep_freed_memory() -> None:
    """Asks glibc to keep large freed blocks instead of returning them: their pages would be zeroed anew at every step."""
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-4, 0)  # M_MMAP_MAX: no separate mapping for large blocks
        libc.mallopt(-1, -1)  # M_TRIM_THRESHOLD: never shrink the heap
    except (OSError, AttributeError):
        return  # another C library: only speed is lost

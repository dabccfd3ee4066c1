"""Work that may need more memory than there is, and how a process of many threads holds what it has freed."""

from __future__ import annotations

import contextlib
import ctypes
import math
import re
import sys
import threading
import time
from collections.abc import Iterator

import torch

# What PyTorch says, besides torch.OutOfMemoryError of GPUs: its allocator of main memory has no error of its own.
SAID = re.compile(r"out of memory|not enough memory|can't allocate memory|cannot allocate memory|bad_alloc", re.IGNORECASE)


def return_freed_memory(every: float = 5.0) -> None:
    """Asks glibc to keep what threads have freed in two places for all, not in one for each of up to eight a core, as work that
    comes in by many threads in turn would leave tens of megabytes in each; and to return it to the system every so many seconds.
    Before there are threads."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(-8, 2)  # M_ARENA_MAX
        trim = library.malloc_trim

        def trimming() -> None:
            while True:
                time.sleep(every)
                trim(0)

        threading.Thread(target=trimming, daemon=True).start()


def most_used() -> float:
    """GiB of main memory that this process has had at most; NaN where the system does not count them."""
    with contextlib.suppress(ImportError):
        import resource

        unit = 1 if sys.platform == "darwin" else 2**10  # bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
    return math.nan


class NotEnoughMemory(ValueError):
    """There was not enough memory; the sentence says what needs less."""


@contextlib.contextmanager
def enough_memory(advice: str) -> Iterator[None]:
    """NotEnoughMemory, with this advice, where the memory of this machine or of its GPU is too small for the block."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        gpu = isinstance(error, torch.OutOfMemoryError)
        if not gpu and not isinstance(error, MemoryError) and not SAID.search(str(error)):
            raise
        if gpu and torch.cuda.is_available():
            torch.cuda.empty_cache()
        where = "the GPU has" if gpu else "this machine has"
        raise NotEnoughMemory(f"{where} not enough memory for this; {advice}") from None


@contextlib.contextmanager
def refused_beyond_what_is_free() -> Iterator[None]:
    """Has Linux refuse what the block asks for beyond the main memory that is free as it begins, which `enough_memory` hears of:
    otherwise it grants all, and kills the process once that is used."""
    if sys.platform != "linux":
        yield
        return
    import psutil

    process = psutil.Process()
    most = process.memory_info().data + psutil.virtual_memory().available + psutil.swap_memory().free
    before, hard = process.rlimit(psutil.RLIMIT_DATA)
    if any(limit != psutil.RLIM_INFINITY and limit < most for limit in (before, hard)):
        yield  # it is held shorter already
        return
    process.rlimit(psutil.RLIMIT_DATA, (most, hard))
    try:
        yield
    finally:
        process.rlimit(psutil.RLIMIT_DATA, (before, hard))

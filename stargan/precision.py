"""In which numbers a device calculates fastest."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator

import torch
import torch.nn.functional as F

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def fastest(device: torch.device) -> str:
    """The precision, of PRECISIONS, that translations are made fastest in there. The same throughout a process."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if device.type == "mps":
        return "fp16"
    return "bf16" if _bf16_is_faster() else "fp32"


def autocast(device: torch.device | str = "cpu") -> torch.autocast:
    """For training: bf16 where that is fastest, which needs no scaling of gradients; nothing elsewhere."""
    device = torch.device(device)
    return torch.autocast(device.type, torch.bfloat16, enabled=fastest(device) == "bf16")


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Without gradients, in the numbers that the block names rather than those of a caller's autocast. What it makes can be changed
    and learned from, as tensors of inference mode cannot."""
    cpu, cuda = (torch.autocast(kind, enabled=False) for kind in ("cpu", "cuda"))
    with torch.inference_mode(False), torch.no_grad(), cpu, cuda:
        yield


@functools.cache
def _bf16_is_faster() -> bool:
    """Whether this processor convolves faster in bf16, measured: there are some with units for it that take twice as long in it.
    Where both come to about the same, it is not.

    Measured is what it takes of a processor, not of the clock: others that have the cores meanwhile would decide, and a batch that
    goes on after a kill would come to other pictures than the one that it goes on with."""
    known = torch.cpu.get_capabilities()
    if not known.get("amx_bf16") and not known.get("avx512_bf16"):
        return False
    shapes = (1, 64, 64, 64), (64, 64, 3, 3)
    cases = {
        dtype: [torch.ones(shape, dtype=dtype, device="cpu").contiguous(memory_format=torch.channels_last) for shape in shapes]
        for dtype in (torch.float32, torch.bfloat16)
    }
    times: dict[torch.dtype, list[float]] = {dtype: [] for dtype in cases}
    with torch.no_grad():
        for _ in range(6):
            for dtype, (x, weight) in cases.items():
                start = time.thread_time()
                F.conv2d(x, weight, padding=1)
                times[dtype].append(time.thread_time() - start)
    return 1.2 * min(times[torch.bfloat16]) < min(times[torch.float32])

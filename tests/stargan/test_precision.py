"""The precision that is taken where nobody asks for one."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import torch

from stargan import precision


@pytest.fixture
def slow_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[torch.dtype, float]]:
    """Seconds of work that a convolution takes more, by type, on a processor that says it has units for bf16."""
    seconds: dict[torch.dtype, float] = {}
    convolve = torch.nn.functional.conv2d

    def slow(x: torch.Tensor, *more: object, **options: object) -> torch.Tensor:
        end = time.thread_time() + seconds.get(x.dtype, 0)
        while time.thread_time() < end:
            pass
        return convolve(x, *more, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(precision.F, "conv2d", slow)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    precision._bf16_is_faster.cache_clear()
    yield seconds
    precision._bf16_is_faster.cache_clear()


@pytest.mark.parametrize(("slower", "wanted"), [(torch.float32, "bf16"), (torch.bfloat16, "fp32")])
def test_the_faster_one_is_taken(slow_in: dict[torch.dtype, float], slower: torch.dtype, wanted: str) -> None:
    slow_in[slower] = 0.05
    assert precision.fastest(torch.device("cpu")) == wanted
    with precision.autocast():
        assert torch.is_autocast_enabled("cpu") == (wanted == "bf16")
    # It was measured once for all.
    slow_in.clear()
    assert precision.fastest(torch.device("cpu")) == wanted


def test_what_others_take_of_the_processor_decides_nothing(
    slow_in: dict[torch.dtype, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_in[torch.bfloat16] = 0.02
    convolve = precision.F.conv2d

    def waits(x: torch.Tensor, *more: object, **options: object) -> torch.Tensor:
        time.sleep(0.05 if x.dtype == torch.float32 else 0)
        return convolve(x, *more, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(precision.F, "conv2d", waits)
    assert precision.fastest(torch.device("cpu")) == "fp32"


def test_without_units_nothing_is_measured(slow_in: dict[torch.dtype, float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": False, "avx512_bf16": False})
    slow_in[torch.float32] = 60
    assert precision.fastest(torch.device("cpu")) == "fp32"

"""Work of a visitor who leaves ends at its next step; that of others goes on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from stargan.ui.leaving import LeftError, Visitors, watched


def request(name: str) -> Any:
    return SimpleNamespace(session_hash=name)


def test_who_leaves_ends_their_own_work() -> None:
    visitors, made = Visitors(), {"one": 0, "two": 0}
    with visitors.work(request("one")) as stay, visitors.work(request("two")) as others:
        steps, more = watched(range(100), stay), watched(range(100), others)
        for who, taken in (("one", steps), ("two", more)):
            made[who] += sum(1 for _ in zip(range(3), taken))
        visitors.leave(request("one"))
        with pytest.raises(LeftError):
            next(steps)
        made["two"] += sum(1 for _ in more)
    assert made == {"one": 3, "two": 100}


def test_nothing_is_kept_of_visitors() -> None:
    visitors = Visitors()
    for name in ("one", "two"):
        with visitors.work(request(name)), visitors.work(request(name)):
            visitors.leave(request("three"))
        visitors.leave(request(name))
        with visitors.work(request(name)) as stay:
            stay()  # who comes back can work again
    assert not visitors._working

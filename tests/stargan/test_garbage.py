"""What is read is not looked through for what is out of use; what comes later is."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from stargan import garbage


class Ring:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = gc.isenabled()
    yield
    gc.enable() if before else gc.disable()


def test_nothing_of_a_block_is_looked_through() -> None:
    with garbage.none_of_it():
        assert not gc.isenabled()
        ring = weakref.ref(Ring())
    assert gc.isenabled()
    gc.collect()
    assert ring() is not None
    later = weakref.ref(Ring())
    gc.collect()
    assert later() is None


def test_a_block_that_fails_leaves_python_as_it_was() -> None:
    with pytest.raises(ImportError), garbage.none_of_it():
        raise ImportError
    assert gc.isenabled()

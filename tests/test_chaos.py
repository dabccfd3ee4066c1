"""The short form of `python -m tests.chaos`: one strike of each kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.__main__ import rounds, struck, table
from tests.chaos.commands import Command, litter, material, result
from tests.chaos.strikes import MOUNTING, STRIKES, Arena, Call, Tally, cannot_mount
from tests.processes import forked

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Command]]:
    with material(tmp_path_factory.mktemp("material")) as made:
        yield {command.name: command for command in made.commands()}


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Arena:
    return Arena(tmp_path_factory.mktemp("arena"), seed=1, begin=forked)


@pytest.mark.parametrize("name", ["fit", "prepare", "workers", "match", "fan", "export", "video", "clip", "page", "download"])
def test_nothing_is_lost_by_a_kill(arena: Arena, commands: dict[str, Command], name: str) -> None:
    tally = STRIKES["kill"](arena, commands[name], 1)
    assert tally.struck == 1 and not tally.faults


@pytest.mark.parametrize("strike", [name for name in STRIKES if name != "kill"])
def test_nothing_is_lost_otherwise(arena: Arena, commands: dict[str, Command], strike: str) -> None:
    if strike in MOUNTING and (reason := cannot_mount(arena.folder)):
        pytest.skip(f"nothing can be mounted here: {reason}")
    tally = STRIKES[strike](arena, commands["prepare"], 1)
    assert tally.struck == 1 and not tally.faults


def test_what_is_lost_is_found(arena: Arena, commands: dict[str, Command]) -> None:
    command = commands["download"]
    with arena.out() as out:
        call = arena.call(command, out)
        assert call.code == 0 and not arena.compare(command, out, call)
        (out / ".0.part").write_text("half")
        assert litter(out) == [".0.part"]
        (out / ".0.part").unlink()
        (out / "file").write_bytes((out / "file").read_bytes()[:-1])
        assert arena.compare(command, out, call) == ["file differs"]
        (out / "file").rename(out / "other")
        assert arena.compare(command, out, call) == ["file is lost", "other is too many"]
        assert list(result(out)) == ["other"]
    assert Call(2, "").faults() and Call(1, "Traceback ...\nOSError: x").faults() and not Call(2, "x is full").faults()
    tally = Tally("fit", "kill -9", 3, ["file differs"])
    assert "fit, kill -9: file differs" in table([tally]) and table([tally]).splitlines()[1].split() == [
        "fit",
        "kill",
        "-9",
        "3",
        "1",
    ]


def test_all_have_their_turn_before_the_time_is_up(arena: Arena, commands: dict[str, Command]) -> None:
    order = rounds({("fit", "kill"): 7, ("fan", "kill"): 4, ("fit", "clock"): 1})
    assert order == [
        ("fit", "kill", 3),
        ("fan", "kill", 3),
        ("fit", "kill", 3),
        ("fan", "kill", 1),
        ("fit", "kill", 1),
        ("fit", "clock", 1),
    ]
    two = [("download", "two-at-once", 1)] * 2
    (tally,) = struck({"download": arena}, {"download": commands["download"]}, two, 2, 10)
    assert (tally.command, tally.struck, tally.faults) == ("download", 2, [])
    assert not struck({"download": arena}, {"download": commands["download"]}, two, 2, 0)

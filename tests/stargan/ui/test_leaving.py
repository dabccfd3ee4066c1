"""Work of a visitor who leaves ends at its next step; that of others goes on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from gradio.routes import App

from stargan.ui.leaving import LeftError, Sessions, Visitors, watched


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


def test_tabs_that_ask_for_nothing_are_forgotten() -> None:
    with gr.Blocks() as page:
        gr.Textbox("seen by everybody")
    sessions = Sessions(page, 60)
    sessions.sweep(0)  # nobody serves the page yet
    holder = App.create_app(page).state_holder
    for name in ("left", "there"):
        assert holder[name].config_values
    sessions.sweep(100)
    sessions.sweep(159)
    assert set(holder.session_data) == {"left", "there"}
    assert holder["there"]
    sessions.sweep(160)
    assert set(holder.session_data) == set(holder.time_last_used) == {"there"}
    assert holder["left"].config_values, "who comes back is new"

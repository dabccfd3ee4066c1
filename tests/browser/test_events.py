"""Handlers that several things call at once end, and do not wait for each other."""

from __future__ import annotations

import json
import time
import urllib.request
from collections import defaultdict
from typing import Any

import gradio as gr

from stargan.ui.events import always_last


def test_handlers_that_share_an_event_end(browser: Any) -> None:
    called: dict[str, list[str]] = {"left": [], "right": []}

    def left(value: str) -> None:
        time.sleep(0.4)
        called["left"].append(value)

    def right(value: str) -> None:
        time.sleep(0.5)
        called["right"].append(value)

    with gr.Blocks() as demo:
        box = gr.Textbox(elem_id="box")
        for handler in (left, right):
            always_last(box.change, handler, box)
    _, url, _ = demo.queue().launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    try:
        page = browser.new_page()
        page.goto(url)
        page.locator("#box textarea, #box input").press_sequentially("abcdef", delay=150)
        page.wait_for_timeout(3000)
        counts = {name: len(values) for name, values in called.items()}
        page.wait_for_timeout(2000)
        assert {name: len(values) for name, values in called.items()} == counts
        for values in called.values():
            assert values[-1] == "abcdef" and 2 <= len(values) < 6  # some came while it ran, of which the last counts
        page.close()
    finally:
        demo.close()


def test_no_two_handlers_of_the_page_call_each_other_up(address: str) -> None:
    with urllib.request.urlopen(f"{address}/config") as answer:
        config = json.load(answer)
    names = {component["id"]: component["props"].get("elem_id") for component in config["components"]}
    listening = defaultdict(list)
    for handler in config["dependencies"]:
        for target, event in handler["targets"]:
            if target is not None and handler["backend_fn"]:
                listening[names.get(target), target, event].append(handler["trigger_mode"])
    assert len(listening) > 20
    assert not {event: modes for event, modes in listening.items() if len(modes) > 1 and "always_last" in modes}


def test_no_handler_of_the_page_takes_many_inputs(address: str) -> None:
    """Whatever happens, Gradio tells each input of all handlers that have run."""
    with urllib.request.urlopen(f"{address}/config") as answer:
        handlers = json.load(answer)["dependencies"]
    own = [handler for handler in handlers if handler["backend_fn"] and handler["api_visibility"] == "private"]
    assert len(own) > 50
    assert not {handler["api_name"]: len(handler["inputs"]) for handler in own if len(handler["inputs"]) > 15}


def test_how_far_something_is_stands_where_it_can_be_seen(address: str) -> None:
    """Buttons do not show it, and empty text has no height for it."""
    with urllib.request.urlopen(f"{address}/config") as answer:
        config = json.load(answer)
    components = {component["id"]: component for component in config["components"]}
    shown = {}
    for handler in config["dependencies"]:
        places = handler["show_progress_on"] or handler["outputs"]
        if handler["backend_fn"] and handler["show_progress"] == "full" and places:
            found = [components[place] for place in places]
            shown[handler["api_name"]] = [
                "under-way" in one["props"].get("elem_classes", ()) if one["type"] == "markdown" else one["type"] != "button"
                for one in found
            ]
    assert {"fetch", "begin", "run", "draw", "film"} <= shown.keys()
    assert all(any(places) for places in shown.values()), shown

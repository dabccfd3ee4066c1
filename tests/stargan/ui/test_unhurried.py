"""Gradio does without work that nobody needs: writing type stubs, looking for events all the time, finding out signatures."""

from __future__ import annotations

import contextlib
import importlib
import inspect
from pathlib import Path

import gradio as gr
import pytest

from stargan.ui.events import unhurried
from stargan.ui.stubs import unwritten


def test_no_stubs_are_written_of_what_is_defined_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    before = inspect.getfile
    for block, name in ((contextlib.nullcontext(), "stubbed_box"), (unwritten(), "unstubbed_box")):
        (tmp_path / f"{name}.py").write_text("import gradio\n\n\nclass Box(gradio.HTML):\n    pass\n")
        with block:
            box = importlib.import_module(name).Box
            assert inspect.getfile(unwritten) == unwritten.__code__.co_filename
        assert box("<p>").value == "<p>" and inspect.getfile(box) == str(tmp_path / f"{name}.py")
    assert [path.name for path in tmp_path.glob("*.pyi")] == ["stubbed_box.pyi"] and inspect.getfile is before


def test_a_page_is_unhurried_and_its_components_stay_as_they_are() -> None:
    with gr.Blocks() as page:
        box, slider = gr.Textbox("a", label="b"), gr.Slider(1, 5, 2)
    before = [box.get_config(), slider.get_config()]
    page = unhurried(page.queue())
    assert page._queue.sleep_when_free >= 0.005 and page._queue.progress_update_sleep_when_free >= 0.05
    assert [box.get_config(), slider.get_config()] == before
    for component in (gr.Textbox, gr.Slider):
        assert inspect.signature(component.__init__) is inspect.signature(component.__init__), "one is made each time"

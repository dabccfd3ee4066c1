"""The Train tab: pictures in, a model for the other tabs out."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from stargan.files import places
from stargan.ui.library import Library
from train.run.runner import Runner
from train.ui.form import Form
from train.ui.watch import Watch

OFF = (
    "Training is switched off on this page. On a machine of your own, `python app.py` has it, and so has a Space with "
    "`STARGAN_TRAIN=1` among its variables; `python -m train fit` does the same without a page."
)


def tab(library: Library, opened: gr.Tab, folders: Path | None) -> None:
    """Builds the tab `opened`, which is open. folders: where prepared data folders are and uploads are put; None
    where training is not allowed."""
    if folders is None:
        gr.Markdown(OFF, elem_id="train-off")
        return
    runner = Runner(places.runs(), folders)
    with gr.Row(elem_id="train"):
        with gr.Column(min_width=300):
            form = Form.build(runner, library)
        with gr.Column(min_width=320):
            watch = Watch.build(runner)
    watch.wire(opened, form.iterations)
    form.wire(watch, opened)

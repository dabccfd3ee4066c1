"""Above the tabs: which model, and where to get another one."""

from __future__ import annotations

from typing import Any

import gradio as gr

from stargan import zoo
from stargan.ui.events import QUIET
from stargan.ui.library import Library
from stargan.ui.words import refusal

OTHER = "hub"


def picker(library: Library, downloads: bool) -> gr.Dropdown:
    """Builds the choice of model, each visitor's own, inside the Blocks that are open. downloads: whether visitors may have models
    fetched to this machine."""
    chosen = gr.Dropdown(library.names(), value=library.default, label="Model", elem_id="model", filterable=False, min_width=280)
    # Training may have made one since the page was opened.
    chosen.focus(lambda: gr.update(choices=library.names()), None, chosen, **QUIET)
    if not downloads:
        return chosen
    with gr.Column(min_width=180), gr.Accordion("Get another model", open=False, elem_id="get-model"):
        entries = zoo.downloadable()
        choices = [(f"{name}: {', '.join(entry.domains)}", name) for name, entry in entries.items()]
        which = gr.Radio([*choices, ("from the Hugging Face Hub", OTHER)], value=next(iter(entries)), label="Model to get")
        address = gr.Textbox(
            label="Repository",
            info="With a model.safetensors of this project; @revision and :file.safetensors may follow.",
            placeholder="user/name",
            elem_id="hub-name",
            max_lines=1,
            visible=False,
        )
        terms = gr.Markdown(_terms(next(iter(entries))), elem_id="licence")
        accepted = gr.Checkbox(False, label="I accept the licence", elem_id="accept-licence")
        get = gr.Button("Download", elem_id="download-model")
        under_way = gr.Markdown("", elem_classes="under-way")

    def fetch(
        which: str, address: str, accepted: bool,
        progress: gr.Progress = gr.Progress(track_tqdm=True),  # noqa: B008
    ) -> Any:  # fmt: skip
        name = f"hf:{address.strip().removeprefix('hf:')}" if which == OTHER else which

        def show(done: int, total: int | None) -> None:
            size = f"{done / 2**20:.0f}" + (f" of {total / 2**20:.0f}" if total else "")
            progress(done / total if total else 0, desc=f"{name}: {size} MB")

        try:
            library.fetch(name, accepted, show)
        except zoo.LicenceNotAccepted as error:
            raise refusal(ValueError(f"{error.entry.name!r} is under {error.entry.licence}; accept the licence first")) from None
        except ValueError as error:
            raise refusal(error) from None
        return gr.update(choices=library.names(), value=name)

    get.click(fetch, [which, address, accepted], chosen, api_visibility="private", show_progress_on=under_way)
    which.change(
        lambda name: (gr.update(visible=name == OTHER), _terms(name), False),
        which,
        [address, terms, accepted],
        **QUIET,
    )
    return chosen


def _terms(name: str) -> str:
    """What a person agrees to by downloading a model."""
    entry = zoo.downloadable().get(name)
    if entry is None:
        return "Its licence is the one that its repository states."
    size = f", {entry.size / 2**20:.0f} MB" if entry.size else ""
    return (
        f"Published by its [authors]({entry.source}) under **{entry.licence}**{size}: not for commercial use, and neither are the "
        "pictures that it makes."
    )

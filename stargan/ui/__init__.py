"""The page: one file a tab, over `studio.Library`. Tabs of other packages are handed in."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import gradio as gr
from gradio.route_utils import delete_files_created_by_app

from stargan import zoo
from stargan.files.checkpoint import CheckpointError
from stargan.ui import about, grid, interpolate, models, translate
from stargan.ui.guard import guard
from stargan.ui.settings import settings
from stargan.ui.studio import Library

__all__ = ["CSS", "THEME", "build", "guard", "settings"]

CSS = Path(__file__).with_name("style.css")
# Fonts of the visitor's system: nothing is fetched from elsewhere.
THEME = gr.themes.Soft(
    primary_hue="orange",
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
).set(
    # The theme's own colours for these can hardly be read.
    background_fill_primary="*neutral_50",  # which `set` would make white, as blocks are
    block_label_text_color="*primary_700",
    block_title_text_color="*primary_700",
    block_label_background_fill_dark="*primary_700",
    block_title_background_fill_dark="*primary_700",
    body_text_color_subdued="*neutral_500",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover="*primary_600",
    button_primary_background_fill_hover_dark="*primary_600",
    checkbox_border_color="*neutral_500",
    checkbox_label_background_fill_selected="*primary_700",
    checkbox_label_background_fill_selected_dark="*primary_700",
    link_text_color_dark="*secondary_300",
    link_text_color_visited_dark="*secondary_300",
)


def build(
    model: str,
    threads: int = 0,
    compiled: bool = True,
    downloads: bool = False,
    keep: float = 60,
    tabs: Mapping[str, Callable[[Library, gr.Tab], None]] | None = None,
) -> gr.Blocks:
    """The page for the model of that name or file; where there is none, a page that says so. downloads: whether visitors may have
    models fetched to this machine. keep: minutes after which uploads and results are deleted. tabs: further ones by their names,
    each built by a function inside its `gr.Tab`. The rest as in `Studio`."""
    seconds = max(1, round(60 * keep))
    with gr.Blocks(title="StarGAN v2", analytics_enabled=False, delete_cache=(seconds, seconds)) as demo:
        gr.Markdown("# StarGAN v2\nDrop a portrait, pick a domain, choose a style.", elem_id="heading")
        try:
            library = Library(model, threads, compiled)
        except (zoo.ZooError, CheckpointError) as error:
            gr.Markdown(f"**No model could be loaded:** {error}.", elem_id="no-model")
            return demo
        picker = models.picker(library, downloads)
        for name, module in (("Translate", translate), ("Interpolate", interpolate), ("Grid", grid)):
            with gr.Tab(name):
                module.tab(library, picker)
        for name, build_tab in (tabs or {}).items():
            with gr.Tab(name) as opened:
                build_tab(library, opened)
        with gr.Tab("About"):
            about.tab(library, picker, keep)
    threading.Thread(target=_delete_old_files, args=(demo, seconds), daemon=True).start()
    return demo


def _delete_old_files(demo: gr.Blocks, seconds: int) -> None:
    """As `delete_cache` does, which also clears up when the page ends, but looks rarely, and never again once a file came in
    while it looked."""
    while True:
        time.sleep(max(1, seconds / 12))
        with contextlib.suppress(RuntimeError):  # a set of files that grew under it
            delete_files_created_by_app(demo, seconds)

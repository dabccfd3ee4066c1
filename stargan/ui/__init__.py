"""The page: one file a tab, and above the tabs the model and the source that all of them use. Tabs of other packages are handed
in."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from stargan.ui.stubs import unwritten

with unwritten():
    import gradio as gr

from stargan import zoo
from stargan.files.checkpoint import CheckpointError
from stargan.ui import about, models
from stargan.ui.endpoints import Endpoints
from stargan.ui.events import unhurried
from stargan.ui.first import first
from stargan.ui.folder import Folder
from stargan.ui.footage import Footage
from stargan.ui.grid import Grid, painter
from stargan.ui.guard import guard
from stargan.ui.leaving import Sessions
from stargan.ui.library import Library
from stargan.ui.live import Live
from stargan.ui.photograph import Photograph
from stargan.ui.source import Source, examples
from stargan.ui.translate import Translate
from stargan.ui.way import Way
from stargan.ui.words import sentence
from stargan.ui.work import Work

__all__ = ["CSS", "THEME", "build", "guard", "unhurried"]

HEADING = "# StarGAN v2\nA portrait in another domain and style: choose two, and drag between them."
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
    body_text_color_subdued_dark="*neutral_300",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover="*primary_600",
    button_primary_background_fill_hover_dark="*primary_600",
    input_placeholder_color="*neutral_500",
    input_placeholder_color_dark="*neutral_400",
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
    live: float = 0,
    tabs: Mapping[str, Callable[[Library, gr.Tab], None]] | None = None,
) -> gr.Blocks:
    """The page for the model of that name or file, empty for the bundled one; where there is none, a page that says so. downloads:
    whether visitors may have models fetched to this machine. keep: minutes after which uploads and results are deleted. live:
    seconds after which a camera is stopped, 0 for never. tabs: further ones by their names, each built by a function inside its
    `gr.Tab`. The rest as in `Studio`."""
    seconds = max(1, round(60 * keep))
    folder = Folder(seconds)
    # After every event, Gradio would sum up its records of the last 10,000, for a page that is not there.
    os.environ |= {"GRADIO_ANALYTICS_MAX_EVENTS": "1", "GRADIO_ANALYTICS_CACHE_FREQUENCY": str(10**9)}
    with gr.Blocks(title="StarGAN v2", analytics_enabled=False, delete_cache=(seconds, seconds)) as demo:
        heading = gr.Markdown(HEADING, elem_id="heading", render=False)
        try:
            library = Library(model or zoo.DEFAULT, threads, compiled)
        except (zoo.ZooError, CheckpointError) as error:
            heading.render()
            gr.Markdown(f"**No model could be loaded:** {sentence(error)}", elem_id="no-model")
            return demo
        work = Work(library)
        demo.unload(work.visitors.leave)
        Sessions(demo, seconds)
        with gr.Row(elem_id="head"):
            with gr.Column(min_width=260):
                heading.render()
            with gr.Row():
                picker = models.picker(library, downloads)
        source = Source.build(library, folder)
        with gr.Tab("Translate"):
            view = Translate.build(work, source, picker, first(library, next(iter(examples(library)), None)))
            parts = Photograph.build(view), Way.build(view)
        with gr.Tab("Live") as opened:
            camera = Live.build(view, opened, live)
        with gr.Tab("Clip"):
            footage = Footage.build(view)
        sheets = painter(library)
        with gr.Tab("Grid"):
            grid = Grid.build(library, source, picker, sheets)
        for name, build_tab in (tabs or {}).items():
            with gr.Tab(name) as opened:
                build_tab(library, opened)
        with gr.Tab("About"):
            about.tab(library, picker, keep)
        source.wire(picker)
        view.wire(demo)
        for part in (*parts, camera, footage):
            part.wire()
        grid.wire(library)
        Endpoints(work, folder, sheets).build()
    return demo

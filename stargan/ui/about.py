"""The About tab: the model's card, and how it works."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import gradio as gr

from stargan import zoo
from stargan.ui.events import QUIET, always_last
from stargan.ui.library import Library
from stargan.ui.pictures import UNCHECKED
from stargan.ui.studio import Studio
from stargan.ui.words import plain, sentence

HOW = """
### How it works

A **style** is 64 numbers that say how a picture looks within its domain. They come from a seed, through the *mapping network*, or
from another picture of the domain, through the *style encoder*. The *generator* squeezes the source until little but its pose and
expression is left, then builds a picture up again; at every stage, adaptive instance normalisation lets the style decide on
contrast and brightness of each feature. What the landmarks of a *face alignment network* (FAN) mark is handed around the
squeeze, edges only, so that the source's face survives. A *discriminator* with a branch for each domain, needed for training alone,
taught all of them ([StarGAN v2](https://arxiv.org/abs/1912.01865)).
"""


def _box(x: int, y: int, width: int, text: str, kind: str) -> str:
    return (
        f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="44" rx="8"/>'
        f'<text x="{x + width / 2}" y="{y + 27}" text-anchor="middle">{text}</text>'
    )


def _arrow(points: str) -> str:
    return f'<polyline points="{points}" marker-end="url(#tip)"/>'


DIAGRAM = (
    '<div class="wide" tabindex="0" role="region" aria-label="How the networks work together">'
    '<svg id="diagram" viewBox="0 0 760 250" role="img" aria-label="Source to encoder to decoder to result; masks go around; '
    'seed or reference give the style of the decoder"><defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
    'markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>'
    + _box(10, 20, 100, "source", "data")
    + _box(190, 20, 130, "encoder", "net")
    + _box(430, 20, 130, "decoder", "net")
    + _box(650, 20, 100, "result", "data")
    + _box(190, 100, 130, "FAN masks", "net")
    + _box(10, 190, 100, "reference", "data")
    + _box(190, 190, 130, "style encoder", "net")
    + _box(430, 110, 130, "style (64)", "data")
    + _box(650, 190, 100, "seed", "data")
    + _box(430, 190, 130, "mapping network", "net")
    + _arrow("110,42 188,42")
    + _arrow("320,42 428,42")
    + _arrow("560,42 648,42")
    + _arrow("60,64 60,122 188,122")
    + _arrow("320,122 375,122 375,52 428,52")
    + _arrow("110,212 188,212")
    + _arrow("320,212 375,212 375,140 428,140")
    + _arrow("495,110 495,66")
    + _arrow("650,212 562,212")
    + _arrow("495,190 495,156")
    + "</svg></div>"
)


@functools.cache
def _address(picture: Path) -> str:
    gr.set_static_paths([picture])
    return f"gradio_api/file={picture}"


def card(studio: Studio) -> str:
    """The model's card with the pictures that lie beside it; without one, what the file says."""
    path = zoo.available().get(studio.model.name)
    text = path.with_name("README.md") if path is not None else None
    if text is None or not text.exists():
        name, licence = plain(studio.model.name), plain(studio.model.licence or "not said in the file")
        return f"#### {name}\n\nLicence of the weights: {licence}."
    shown = text.read_text(encoding="utf-8")
    for picture in text.parent.iterdir():
        if picture.suffix in (".jpg", ".png"):
            shown = shown.replace(f"]({picture.name})", f"]({_address(picture)})")
    return re.sub("^#", "####", shown, flags=re.MULTILINE)


def _text(studio: Studio) -> str:
    return f"### The model: {plain(studio.model.facts())}\n\n{card(studio)}"


def tab(library: Library, model: gr.Dropdown, keep: float) -> None:
    """Builds the tab inside the Blocks that are open, for the model that is chosen. keep: minutes that pictures are kept."""
    with gr.Column(elem_id="about"):
        gr.Markdown(HOW)
        gr.HTML(DIAGRAM)
        text = gr.Markdown(_text(library.get(library.default)))
        gr.Markdown(
            "### Your pictures\n\nThey stay on the machine that runs this page; uploads and results are deleted after "
            f"{keep:g} minutes. Nothing about them is logged. What is uploaded on the Train tab is kept, until somebody removes it "
            "on that machine."
        )

    def show(name: str) -> str:
        try:
            return _text(library.get(name))
        except ValueError as error:
            return sentence(error)

    always_last(model.change, show, model, text, **QUIET, **UNCHECKED)

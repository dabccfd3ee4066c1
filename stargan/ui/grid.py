"""The Grid tab: sources down, styles across, the paper's figure as one picture."""

from __future__ import annotations

import random
from collections.abc import Iterator

import gradio as gr
import torch
from PIL import Image
from torch import Tensor

from stargan.bulk import label
from stargan.media import images
from stargan.ui import zero
from stargan.ui.studio import REFERENCE, SEED, Library, Studio, domain_state, masks_state, masks_switch, sentence

MOST = 8  # sources, and styles


def tab(library: Library, model: gr.Dropdown) -> None:
    """Builds the tab inside the Blocks that are open, for the model that is chosen. Its endpoint is /grid."""
    initial = library.get(library.default)
    with gr.Row(elem_id="grid"):
        with gr.Column(min_width=280):
            sources = gr.File(
                label=f"Sources, up to {MOST}", file_count="multiple", file_types=["image"], elem_id="grid-sources", height=170
            )
            aligned = gr.Checkbox(True, label="Align faces", info="Off: the pictures' central squares are used as they are.")
            masks = masks_switch(initial, "grid-masks")
        with gr.Column(min_width=280):
            domain = gr.Radio(label="Domain of the styles", elem_id="grid-domain", **domain_state(initial))
            style_from = gr.Radio([("Seeds", SEED), ("Reference pictures", REFERENCE)], value=SEED, label="Styles from")
            with gr.Group() as by_seed:
                count = gr.Slider(1, MOST, 5, step=1, label="Styles")
                seed = gr.Number(0, label="First seed", precision=0, minimum=0, maximum=2**31 - 1)
                dice = gr.Button("⚄ Other styles")
                psi = gr.Slider(0, 1.5, 1.0, step=0.05, label="Psi")
            with gr.Group(visible=False) as by_reference:
                references = gr.File(
                    label=f"References, up to {MOST}",
                    file_count="multiple",
                    file_types=["image"],
                    elem_id="grid-references",
                    height=170,
                )
            with gr.Row():
                make = gr.Button("Make grid", variant="primary", elem_id="make-grid")
                cancel = gr.Button("Cancel", variant="stop", elem_id="cancel-grid")
    result = gr.Image(
        label="Sources down, styles across",
        alt_text="The grid",
        elem_id="grid-result",
        interactive=False,
        format="png",
        buttons=["download", "fullscreen"],
    )
    status = gr.Markdown("", elem_id="grid-status")
    cancelled = gr.Markdown("Cancelled.", visible=False)  # apart, as a row that was under way may still come

    @zero.gpu(seconds=60)
    def grid(
        sources: list[str] | None, domain: str, style_from: str, count: float, seed: float | None, psi: float,
        references: list[str] | None, masks: bool, aligned: bool, model: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Iterator[tuple[Image.Image, str]]:  # fmt: skip
        """Every source in every style. Rows are shown as they are made; pictures that cannot be used are named at the end."""
        try:
            studio = library.get(model)
            columns = _styles(studio, domain, style_from, int(count), seed, psi, references or [], aligned)
            yield from rows(studio, sources or [], columns, masks, aligned, progress)
        except ValueError as error:
            raise sentence(error) from None

    running = make.click(
        grid, [sources, domain, style_from, count, seed, psi, references, masks, aligned, model], [result, status], api_name="grid"
    )
    make.click(lambda: gr.update(visible=False), None, cancelled, api_visibility="private")
    cancel.click(lambda: gr.update(visible=True), None, cancelled, cancels=[running], api_visibility="private")
    model.change(
        lambda name: (gr.update(**domain_state(library.get(name))), gr.update(**masks_state(library.get(name)))),
        model,
        [domain, masks],
        api_visibility="private",
        show_progress="hidden",
    )
    dice.click(lambda: random.randrange(2**31 - MOST), None, seed, api_visibility="private")
    style_from.change(
        lambda value: (gr.update(visible=value == SEED), gr.update(visible=value == REFERENCE)),
        style_from,
        [by_seed, by_reference],
        api_visibility="private",
    )


def _styles(
    studio: Studio, domain: str, style_from: str, count: int, seed: float | None, psi: float, references: list[str], aligned: bool
) -> list[tuple[Image.Image, Tensor]]:
    """Styles, each with the picture that stands above its column."""
    size = studio.model.config.image_size
    if style_from == SEED:
        first = -1 if seed is None else int(seed)
        return [(label(f"seed {s}", size), studio.style(domain, SEED, s, psi, [], aligned)[0]) for s in range(first, first + count)]
    if not 1 <= len(references) <= MOST:
        raise ValueError(f"there are {len(references)} references; give 1 to {MOST}")
    return [(studio.prepare(r, aligned).image, studio.style(domain, REFERENCE, 0, psi, [(r, 1.0)], aligned)[0]) for r in references]


def rows(
    studio: Studio, sources: list[str], columns: list[tuple[Image.Image, Tensor]], masks: bool, aligned: bool, progress: gr.Progress
) -> Iterator[tuple[Image.Image, str]]:
    """The sheet after each source, and a sentence on how it goes. ValueError where nothing can be made."""
    if not 1 <= len(sources) <= MOST:
        raise ValueError(f"there are {len(sources)} sources; give 1 to {MOST}")
    size = studio.model.config.image_size
    styles = torch.stack([style for _, style in columns])
    done: list[list[Image.Image]] = []
    failures: list[str] = []
    for i, path in enumerate(sources, 1):
        progress((i - 1, len(sources)), unit="sources")
        try:
            prepared = studio.prepare(path, aligned)
            encoded = studio.translator.with_masks(prepared.encoded, masks)
            done.append([prepared.image, *(images.to_pil(x) for x in studio.translator.decode(encoded, styles))])
        except ValueError as error:
            failures.append(f"Source {i} was left out: {error}.")
        if done:
            yield _sheet(size, [head for head, _ in columns], done), "  \n".join([f"{i} of {len(sources)} sources", *failures])
    if not done:
        raise ValueError(" ".join(failures))


def _sheet(size: int, heads: list[Image.Image], done: list[list[Image.Image]]) -> Image.Image:
    sheet = Image.new("RGB", (size * (1 + len(heads)), size * (1 + len(done))), "white")
    for x, head in enumerate(heads, 1):
        sheet.paste(head, (size * x, 0))
    for y, row in enumerate(done, 1):
        for x, picture in enumerate(row):
            sheet.paste(picture, (size * x, size * y))
    return sheet

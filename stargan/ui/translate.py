"""The Translate tab: a source, a domain, a style, and the result to compare."""

from __future__ import annotations

import random
from pathlib import Path

import gradio as gr
from PIL import Image

from stargan import zoo
from stargan.ui.studio import REFERENCE, SEED, Studio, masks_switch, picture_input, sentence

MAX_SEED = 2**31 - 1


def tab(studio: Studio) -> None:
    """Builds the tab inside the Blocks that are open. Its endpoint is /translate."""
    domains = list(studio.model.config.domains)
    with gr.Row(elem_id="translate"):
        with gr.Column(min_width=280):
            source = picture_input("Source portrait", "source", 300)
            aligned = gr.Checkbox(True, label="Align the face", info="Off: the picture's central square is used as it is.")
            with gr.Row():
                crop = gr.Image(label="Aligned", elem_id="crop", interactive=False, height=170, min_width=120, buttons=[])
                overlay = gr.Image(label="Kept", elem_id="overlay", interactive=False, height=170, min_width=120, buttons=[])
        with gr.Column(min_width=280):
            domain = gr.Radio(domains, value=domains[-1], label="Domain", elem_id="domain")
            style_from = gr.Radio([("Seed", SEED), ("Reference picture", REFERENCE)], value=SEED, label="Style from")
            with gr.Group() as by_seed:
                with gr.Row():
                    seed = gr.Number(0, label="Seed", elem_id="seed", precision=0, minimum=0, maximum=MAX_SEED, min_width=120)
                    dice = gr.Button("⚄ Another style", elem_id="dice", min_width=120)
                psi = gr.Slider(
                    0, 1.5, 1.0, step=0.05, label="Psi", elem_id="psi", info="0 is the domain's mean style, above 1 exaggerates."
                )
            with gr.Group(visible=False) as by_reference:
                reference = picture_input("Reference portrait", "reference", 240)
            masks = masks_switch(studio, "masks")
        with gr.Column(min_width=300):
            result = gr.ImageSlider(
                label="Before and after", elem_id="result", type="pil", format="png", interactive=False, height=420, max_height=420
            )
            status = gr.Markdown("Drop a portrait to begin.", elem_id="status")
            button = gr.Button("Translate", variant="primary", elem_id="go")

    def translate(
        source: str | None,
        domain: str,
        style_from: str,
        seed: float | None,
        psi: float,
        reference: str | None,
        masks: bool,
        aligned: bool,
    ) -> tuple[tuple[Image.Image, Image.Image], Image.Image, Image.Image | None, str]:
        """Translates a portrait. Returns source and result, the aligned source, the mask over it, and how long it took."""
        try:
            done = studio.translate(source, domain, style_from, seed, psi, reference, masks, aligned)
        except ValueError as error:
            raise sentence(error) from None
        return (done.source, done.image), done.source, done.overlay, done.status

    inputs = [source, domain, style_from, seed, psi, reference, masks, aligned]
    outputs = [result, crop, overlay, status]
    button.click(translate, inputs, outputs, api_name="translate", show_progress="minimal")

    def live(*values: object) -> object:
        # Before there is anything to translate, moving a slider is no mistake.
        if values[0] is None or (values[2] == REFERENCE and values[5] is None):
            return [gr.skip()] * len(outputs)
        return translate(*values)  # type: ignore[arg-type]

    gr.on(
        [c.change for c in (source, domain, style_from, seed, psi, reference, masks, aligned)],
        live,
        inputs,
        outputs,
        api_visibility="private",
        show_progress="hidden",
        trigger_mode="always_last",
    )
    dice.click(lambda: random.randrange(MAX_SEED), None, seed, api_visibility="private")
    style_from.change(
        lambda value: (gr.update(visible=value == SEED), gr.update(visible=value == REFERENCE)),
        style_from,
        [by_seed, by_reference],
        api_visibility="private",
    )
    if examples := sorted(str(p) for p in Path(zoo.ROOT / "weights" / zoo.DEFAULT / "examples").glob("*.jpg")):
        gr.Examples(examples, source, label="Portraits made by this model", examples_per_page=12)

"""The Translate tab: a source, a domain, a style, and the result to compare."""

from __future__ import annotations

import random
from typing import Any

import gradio as gr
from PIL import Image

from stargan import styles, zoo
from stargan.faces.masks import PARTS
from stargan.files import places
from stargan.ui import zero
from stargan.ui.studio import (
    PASTED,
    REFERENCE,
    SEED,
    Library,
    Outcome,
    Studio,
    domain_state,
    masks_state,
    masks_switch,
    picture_input,
    sentence,
)

MAX_SEED = 2**31 - 1
OTHERS = 8  # styles to choose from
BLENDED = 3  # references


def tab(library: Library, model: gr.Dropdown) -> None:
    """Builds the tab inside the Blocks that are open, for the model that is chosen. Its endpoint is /translate."""
    initial = library.get(library.default)
    with gr.Row(elem_id="translate"):
        with gr.Column(min_width=280):
            source = picture_input("Source portrait", "source", 300)
            aligned = gr.Checkbox(True, label="Align the face", info="Off: the picture's central square is used as it is.")
            with gr.Row():
                crop = gr.Image(
                    label="Aligned",
                    alt_text="The face as the model sees it",
                    elem_id="crop",
                    interactive=False,
                    height=170,
                    min_width=120,
                    buttons=[],
                )
                overlay = gr.Image(
                    label="Kept",
                    alt_text="What of the face is kept, in orange",
                    elem_id="overlay",
                    interactive=False,
                    height=170,
                    min_width=120,
                    buttons=[],
                )
            masks = masks_switch(initial, "masks")
            switches, strengths = _parts(initial)
        with gr.Column(min_width=280):
            domain = gr.Radio(label="Domain", elem_id="domain", **domain_state(initial))
            kinds = [("Seed", SEED), ("Reference picture", REFERENCE), ("Pasted style", PASTED)]
            style_from = gr.Radio(kinds, value=SEED, label="Style from")
            with gr.Group() as by_seed:
                with gr.Row():
                    seed = gr.Number(0, label="Seed", elem_id="seed", precision=0, minimum=0, maximum=MAX_SEED, min_width=120)
                    dice = gr.Button("⚄ Another style", elem_id="dice", min_width=120)
                psi = gr.Slider(
                    0, 1.5, 1.0, step=0.05, label="Psi", elem_id="psi", info="0 is the domain's mean style, above 1 exaggerates."
                )
            with gr.Group(visible=False) as by_reference:
                references, weights = _references()
            with gr.Group(visible=False) as by_paste:
                pasted = gr.Textbox(
                    "", label="A style as JSON", elem_id="pasted", lines=3, max_lines=3, placeholder='{"style": [...]}'
                )
            others = gr.Gallery(
                label="Other styles", elem_id="others", columns=4, height=220, allow_preview=False, interactive=False, buttons=[]
            )
            first = gr.State(1)
            more = gr.Button("Eight more", elem_id="more")
        with gr.Column(min_width=300):
            result = gr.ImageSlider(
                label="Before and after", elem_id="result", type="pil", format="png", interactive=False, height=420, max_height=420
            )
            status = gr.Markdown("Drop a portrait to begin.", elem_id="status")
            button = gr.Button("Translate", variant="primary", elem_id="go")
            with gr.Accordion("Style as JSON", open=False):
                copied = gr.Textbox(
                    show_label=False, elem_id="style-json", lines=3, max_lines=3, interactive=False, buttons=["copy"]
                )
            with gr.Accordion("Back to the source", open=False):
                home = gr.Radio(label="Domain of the source", elem_id="home", **domain_state(initial, 0))
                back = gr.Button("Reconstruct", elem_id="reconstruct")
                again = gr.Image(
                    label="Reconstruction",
                    alt_text="The result brought back to the source",
                    elem_id="again",
                    interactive=False,
                    height=260,
                    buttons=["download"],
                )

    shared: list[Any] = [source, domain, style_from, seed, psi, references[0], masks, aligned, pasted, model]
    inputs: list[Any] = [*shared, *references[1:], *weights, *switches, *strengths]

    def outcome(values: tuple[Any, ...]) -> Outcome:
        source, domain, style_from, seed, psi, reference, masks, aligned, pasted, name, *rest = values
        studio = library.get(name)
        files, shares, on, strength = [reference, *rest[:2]], rest[2:5], rest[5:10], rest[10:15]
        parts = {part: s if o else 0.0 for part, o, s in zip(PARTS, on, strength, strict=True)}
        blend = list(zip(files, shares, strict=True))
        return studio.translate(
            source, aligned, lambda: studio.style(domain, style_from, seed, psi, blend, aligned, pasted), masks, parts
        )

    @zero.gpu(seconds=20)
    def everything(*values: Any) -> tuple[tuple[Image.Image, Image.Image], Image.Image, Image.Image | None, str, str]:
        try:
            done = outcome(values)
        except ValueError as error:
            raise sentence(error) from None
        text = styles.to_json(done.style, library.get(values[9]).model, values[1])
        return (done.source, done.image), done.source, done.overlay, done.status, text

    def translate(
        source: str | None, domain: str, style_from: str, seed: float | None, psi: float, reference: str | None, masks: bool,
        aligned: bool, pasted: str, model: str, keep_eyes: bool, keep_brows: bool, keep_nose: bool, keep_mouth: bool,
        keep_jaw: bool, eyes: float, brows: float, nose: float, mouth: float, jaw: float,
    ) -> tuple[tuple[Image.Image, Image.Image], Image.Image, Image.Image | None, str, str]:  # fmt: skip
        """Translates a portrait. Returns source and result, the aligned source, the mask over it, how long it took, the style."""
        blend = [None] * (BLENDED - 1) + [1.0] * BLENDED
        parts = keep_eyes, keep_brows, keep_nose, keep_mouth, keep_jaw, eyes, brows, nose, mouth, jaw
        return everything(source, domain, style_from, seed, psi, reference, masks, aligned, pasted, model, *blend, *parts)

    outputs = [result, crop, overlay, status, copied]
    # Where somebody has to wait, the status says how long, and the pictures stay to be seen.
    waiting: dict[str, Any] = {"show_progress": "minimal", "show_progress_on": status}
    button.click(everything, inputs, outputs, api_visibility="private", **waiting)
    # A caller would have to name every picture box, so the endpoint has one reference alone.
    gr.Button(visible=False).click(translate, [*shared, *switches, *strengths], outputs, api_name="translate")

    def live(*values: Any) -> Any:
        # Before there is anything to translate, moving a slider is no mistake.
        no_reference = values[2] == REFERENCE and all(values[i] is None for i in (5, 10, 11))
        waits = no_reference or (values[2] == PASTED and not values[8].strip())
        return [gr.skip()] * len(outputs) if values[0] is None or waits else everything(*values)

    gr.on(
        [c.change for c in inputs if c is not model],
        live,
        inputs,
        outputs,
        api_visibility="private",
        trigger_mode="always_last",
        **waiting,
    )

    @zero.gpu(seconds=20)
    def eight(source: str, domain: str, first: int, masks: bool, aligned: bool, model: str) -> list[Image.Image]:
        try:
            return library.get(model).others(source, domain, first, OTHERS, masks, aligned)
        except ValueError:
            return []  # the result says why

    def offer(source: str | None, *values: Any) -> Any:
        return gr.skip() if source is None else eight(source, *values)

    offered = [source, domain, first, masks, aligned, model]
    gr.on(
        [c.change for c in (source, domain, first, masks, aligned)],
        offer,
        offered,
        others,
        api_visibility="private",
        show_progress="hidden",
        trigger_mode="always_last",
    )
    more.click(lambda: random.randrange(MAX_SEED - OTHERS), None, first, api_visibility="private")

    def choose(first: int, event: gr.SelectData) -> tuple[int, str, float]:
        return first + event.index, SEED, 1.0

    others.select(choose, first, [seed, style_from, psi], api_visibility="private")

    @zero.gpu(seconds=20)
    def reconstruct(*values: Any) -> Image.Image:
        *given, home = values
        try:
            done = outcome(tuple(given))
            return library.get(given[9]).reconstruct(given[0], done.image, home, given[6], given[7])
        except ValueError as error:
            raise sentence(error) from None

    back.click(reconstruct, [*inputs, home], again, api_visibility="private")
    dice.click(lambda: random.randrange(MAX_SEED), None, seed, api_visibility="private")

    def follow(name: str) -> list[Any]:
        studio = library.get(name)
        masked = gr.update(interactive=studio.has_masks)
        states = domain_state(studio), domain_state(studio, 0), masks_state(studio)
        return [*(gr.update(**state) for state in states), *[masked] * 2 * len(PARTS)]

    followers = [domain, home, masks, *switches, *strengths]
    # First the domains, which another model may not know.
    moved = model.change(follow, model, followers, api_visibility="private", show_progress="hidden")
    moved.then(live, inputs, outputs, api_visibility="private", trigger_mode="always_last", **waiting)
    moved.then(offer, offered, others, api_visibility="private", show_progress="hidden", trigger_mode="always_last")
    style_from.change(
        lambda value: [gr.update(visible=value == kind) for kind in (SEED, REFERENCE, PASTED)],
        style_from,
        [by_seed, by_reference, by_paste],
        api_visibility="private",
    )
    if examples := sorted(str(p) for p in (places.weights() / zoo.DEFAULT / "examples").glob("*.jpg")):
        gr.Examples(examples, source, label="Portraits made by this model", examples_per_page=12)


def _parts(studio: Studio) -> tuple[list[gr.Checkbox], list[gr.Slider]]:
    """A switch and a strength for each facial part."""
    switches, strengths = [], []
    with gr.Accordion("Parts of the face", open=False, elem_id="parts"):
        for part in PARTS:
            with gr.Row(equal_height=True):
                switches.append(
                    gr.Checkbox(True, label=f"Keep {part}", elem_id=f"keep-{part}", interactive=studio.has_masks, min_width=100)
                )
                strengths.append(
                    gr.Slider(
                        0,
                        1,
                        1.0,
                        step=0.05,
                        label=part.capitalize(),
                        elem_id=f"part-{part}",
                        interactive=studio.has_masks,
                        min_width=140,
                        buttons=[],
                    )
                )
    return switches, strengths


def _references() -> tuple[list[gr.Image], list[gr.Slider]]:
    """Pictures to take a style from; the further ones are blended in by weight."""
    pictures = [picture_input("Reference portrait", "reference", 240)]
    with gr.Accordion("Blend several references", open=False, elem_id="blend"):
        weights = [gr.Slider(0, 1, 1.0, step=0.05, label="Weight of the first")]
        for i in range(2, BLENDED + 1):
            pictures.append(picture_input(f"Reference {i}", f"reference-{i}", 160))
            weights.append(gr.Slider(0, 1, 1.0, step=0.05, label=f"Weight of reference {i}"))
    return pictures, weights

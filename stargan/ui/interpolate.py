"""The Interpolate tab: from one style to another with a slider, as a strip, as a video."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
import torch
from gradio.utils import get_upload_folder
from PIL import Image
from torch import Tensor

from stargan import styles, transition
from stargan.media import images, video
from stargan.ui import zero
from stargan.ui.studio import (
    REFERENCE,
    SEED,
    Library,
    Studio,
    domain_state,
    masks_state,
    masks_switch,
    picture_input,
    sentence,
)

STEPS = 9  # of the strip
FPS = 25
MOST_STYLES = 16  # of a video
BETWEEN = "Smooth within a domain; between two, few styles have been trained."


Made = TypeVar("Made")


@dataclass(frozen=True)
class End:
    """The widgets of one of the two styles, in the order of the arguments that they give."""

    domain: gr.Radio
    style_from: gr.Radio
    seed: gr.Number
    reference: gr.Image

    @property
    def inputs(self) -> list[Any]:
        return [self.domain, self.style_from, self.seed, self.reference]


def _end(name: str, studio: Studio, seed: int) -> End:
    key = f"style-{name.lower()}"
    with gr.Column(min_width=260, elem_id=key):
        gr.Markdown(f"### Style {name}")
        of_domain = gr.Radio(label=f"Domain {name}", **domain_state(studio))
        style_from = gr.Radio([("Seed", SEED), ("Reference picture", REFERENCE)], value=SEED, label=f"Style {name} from")
        number = gr.Number(seed, label=f"Seed {name}", precision=0, minimum=0, maximum=2**31 - 1)
        with gr.Group(visible=False) as by_reference:
            reference = picture_input(f"Reference {name}", f"{key}-reference", 200)
    style_from.change(
        lambda value: (gr.update(visible=value == SEED), gr.update(visible=value == REFERENCE)),
        style_from,
        [number, by_reference],
        api_visibility="private",
    )
    return End(of_domain, style_from, number, reference)


def tab(library: Library, model: gr.Dropdown) -> None:
    """Builds the tab inside the Blocks that are open, for the chosen model. Its endpoints are /interpolate, /strip, /video."""
    initial = library.get(library.default)
    with gr.Row(elem_id="interpolate"):
        with gr.Column(min_width=260):
            source = picture_input("Source", "interpolate-source", 260)
            aligned = gr.Checkbox(True, label="Align faces", info="Off: the pictures' central squares are used as they are.")
            masks = masks_switch(initial, "interpolate-masks")
        a = _end("A", initial, 1)
        b = _end("B", initial, 2)
        with gr.Column(min_width=300):
            result = gr.Image(
                label="Between A and B",
                alt_text="The source in a style between A and B",
                elem_id="between",
                interactive=False,
                height=360,
                format="webp",
                buttons=["download"],
            )
            position = gr.Slider(0, 1, 0.5, step=0.01, label="From A to B", elem_id="position", info=BETWEEN)
            psi = gr.Slider(0, 1.5, 1.0, step=0.05, label="Psi of seeds", elem_id="interpolate-psi")
    gr.Markdown("### Nine steps from A to B")
    strip = gr.Image(
        label="Nine steps",
        show_label=False,
        alt_text="Nine steps from style A to style B",
        elem_id="strip",
        interactive=False,
        format="webp",
        buttons=["download"],
    )
    with gr.Row():
        with gr.Column(min_width=260):
            between = gr.Textbox(
                label="Further seeds on the way",
                elem_id="way",
                placeholder="woman:7, 12",
                info="With the domain before a colon, or of domain B.",
            )
            seconds = gr.Slider(0.2, 5, 1.0, step=0.1, label="Seconds from one style to the next")
            loop = gr.Checkbox(False, label="Return to A in the end")
            make = gr.Button("Make video", variant="primary", elem_id="make-video")
        movie = gr.Video(
            label="Video", elem_id="movie", interactive=False, autoplay=True, loop=True, height=300, buttons=["download"]
        )

    def ends(studio: Studio, psi: float, aligned: bool, values: tuple[Any, ...]) -> tuple[Tensor, Tensor]:
        def end(domain: str, style_from: str, seed: float | None, reference: str | None) -> Tensor:
            return studio.style(domain, style_from, seed, psi, [(reference, 1.0)], aligned)[0]

        return end(*values[:4]), end(*values[4:])

    @zero.gpu(seconds=20)
    def interpolate(
        source: str | None, position: float, psi: float, masks: bool, aligned: bool, model: str,
        domain_a: str, style_from_a: str, seed_a: float | None, reference_a: str | None,
        domain_b: str, style_from_b: str, seed_b: float | None, reference_b: str | None,
    ) -> Image.Image:  # fmt: skip
        """The source in the style at `position`, 0 for style A to 1 for style B."""
        values = domain_a, style_from_a, seed_a, reference_a, domain_b, style_from_b, seed_b, reference_b

        def make() -> Image.Image:
            studio = library.get(model)
            style = styles.interpolate(*ends(studio, psi, aligned, values), position)
            return _decode(studio, source, masks, aligned, style)[0]

        return said(make)

    @zero.gpu(seconds=20)
    def steps(
        source: str | None, psi: float, masks: bool, aligned: bool, model: str,
        domain_a: str, style_from_a: str, seed_a: float | None, reference_a: str | None,
        domain_b: str, style_from_b: str, seed_b: float | None, reference_b: str | None,
    ) -> Image.Image:  # fmt: skip
        """Nine steps from style A to style B, side by side."""
        values = domain_a, style_from_a, seed_a, reference_a, domain_b, style_from_b, seed_b, reference_b

        def make() -> Image.Image:
            studio = library.get(model)
            first, last = ends(studio, psi, aligned, values)
            path = torch.stack([styles.interpolate(first, last, i / (STEPS - 1)) for i in range(STEPS)])
            return side_by_side(_decode(studio, source, masks, aligned, path))

        return said(make)

    @zero.gpu(seconds=60)
    def film(
        source: str | None, psi: float, masks: bool, aligned: bool, model: str, way: str, seconds: float, loop: bool,
        domain_a: str, style_from_a: str, seed_a: float | None, reference_a: str | None,
        domain_b: str, style_from_b: str, seed_b: float | None, reference_b: str | None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> str:  # fmt: skip
        """A video from style A over further seeds to style B, the source beside it."""
        values = domain_a, style_from_a, seed_a, reference_a, domain_b, style_from_b, seed_b, reference_b

        def make() -> str:
            studio = library.get(model)
            prepared = studio.source(source, aligned)
            first, last = ends(studio, psi, aligned, values)
            stops = [first, *_further(studio, way, domain_b, psi), last]
            path = transition.path(stops, max(1, round(seconds * FPS)), loop)
            encoded = studio.translator.with_masks(prepared.encoded, masks)
            frames = transition.frames(studio.translator, encoded, prepared.image, path)
            # In Gradio's own folder, whose files are deleted after a while.
            folder = tempfile.mkdtemp(dir=Path(get_upload_folder()))
            target = str(Path(folder) / "stargan.mp4")
            video.write(target, progress.tqdm(frames, total=len(path), unit="frames"), FPS)
            return target

        return said(make)

    both = [*a.inputs, *b.inputs]
    common = [psi, masks, aligned, model]

    def live(make: Callable[..., Image.Image]) -> Callable[..., object]:
        # Before there is anything to translate, moving a slider is no mistake.
        @functools.wraps(make)
        def ready(*values: object) -> object:
            lacking = any(f == REFERENCE and r is None for f, r in ((values[-7], values[-5]), (values[-3], values[-1])))
            return gr.skip() if values[0] is None or lacking else make(*values)

        return ready

    changes = [c.change for c in (source, psi, masks, aligned, *both)]
    of_picture = {"fn": live(interpolate), "inputs": [source, position, *common, *both], "outputs": result}
    of_strip = {"fn": live(steps), "inputs": [source, *common, *both], "outputs": strip}
    quietly = {"show_progress": "hidden", "trigger_mode": "always_last"}
    gr.on([position.input, *changes], **of_picture, **quietly, api_name="interpolate")
    gr.on(changes, **of_strip, **quietly, api_name="strip")
    make.click(film, [source, *common, between, seconds, loop, *both], movie, api_name="video")

    def follow(name: str) -> list[Any]:
        studio = library.get(name)
        return [gr.update(**state) for state in (domain_state(studio), domain_state(studio), masks_state(studio))]

    # First the domains, which another model may not know.
    moved = model.change(follow, model, [a.domain, b.domain, masks], api_visibility="private", show_progress="hidden")
    for shown in (of_picture, of_strip):
        moved.then(**shown, **quietly, api_visibility="private")


def said(make: Callable[[], Made]) -> Made:
    """The result, or the sentence that the page shows."""
    try:
        return make()
    except ValueError as error:
        raise sentence(error) from None


def side_by_side(pictures: list[Image.Image]) -> Image.Image:
    side = pictures[0].width
    sheet = Image.new("RGB", (side * len(pictures), side))
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (side * i, 0))
    return sheet


def _decode(studio: Studio, source: str | None, masks: bool, aligned: bool, path: Tensor) -> list[Image.Image]:
    prepared = studio.source(source, aligned)
    encoded = studio.translator.with_masks(prepared.encoded, masks)
    return [images.to_pil(picture) for picture in studio.translator.decode(encoded, path)]


def _further(studio: Studio, way: str, domain: str, psi: float) -> list[Tensor]:
    """Styles of seeds written as `7, woman:12`."""
    stops = []
    for part in filter(None, (p.strip() for p in way.split(","))):
        head, _, seed = part.rpartition(":")
        if not seed.strip().isdecimal():
            raise ValueError(f"{part!r} is no seed; write seeds as 7, or woman:12, with commas between them")
        stops.append(studio.style(head.strip() or domain, SEED, int(seed), psi, [], True)[0])
    if len(stops) > MOST_STYLES - 2:
        raise ValueError(f"that is a way through {len(stops) + 2} styles; take at most {MOST_STYLES}")
    return stops

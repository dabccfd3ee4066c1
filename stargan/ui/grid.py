"""The Grid tab: sources down, styles across, the paper's figure as one picture."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import torch
from PIL import Image

from stargan.bulk import label
from stargan.media.images import centre_crop
from stargan.ui import zero
from stargan.ui.events import QUIET, always_last
from stargan.ui.keep import likeness_slider, masks_state, masks_switch
from stargan.ui.library import Library
from stargan.ui.pictures import UNCHECKED, path_of, within
from stargan.ui.source import Source
from stargan.ui.studio import REFERENCE, SEED, Keep, SourceChoice, Studio, StyleChoice
from stargan.ui.style import another_model, domain_state
from stargan.ui.words import plain, refusal

MOST = 8  # sources, and styles
Sheet = tuple[Image.Image, list[str]]  # with sentences on how it goes


@dataclass(frozen=True)
class Order:
    """What a grid is to hold. references: files, whose faces are sought and framed where `aligned`."""

    model: str
    sources: Sequence[SourceChoice]
    domain: str
    style_from: str = SEED
    count: int = 5
    seed: float | None = 0
    psi: float = 1.0
    references: Sequence[str] = ()
    masks: bool = True
    aligned: bool = True
    likeness: float = Keep.likeness

    @property
    def styles(self) -> list[StyleChoice]:
        """Of the columns; ValueError where there are too many or none."""
        if self.style_from not in (SEED, REFERENCE):
            raise ValueError(f"the styles of a grid cannot be from {self.style_from!r}; choose {SEED} or {REFERENCE}")
        if self.style_from == SEED:
            if not 1 <= self.count <= MOST:
                raise ValueError(f"that is a grid of {self.count} styles; make one of 1 to {MOST}")
            if self.seed is None:
                raise ValueError("there is no first seed yet; give a whole number, 0 or above")
            return [StyleChoice(self.domain, SEED, self.seed + i) for i in range(self.count)]
        if not 1 <= len(self.references) <= MOST:
            raise ValueError(f"there are {len(self.references)} references; give 1 to {MOST}")
        return [StyleChoice(self.domain, REFERENCE, reference=path) for path in self.references]


def painter(library: Library) -> Callable[[Order], Iterator[Sheet]]:
    """The function that gives the sheet after each source; ValueError where nothing can be made."""

    @zero.gpu(seconds=60)
    def sheets(order: Order) -> Iterator[Sheet]:
        if not 1 <= len(order.sources) <= MOST:
            raise ValueError(f"there are {len(order.sources)} sources; give 1 to {MOST}")
        studio, keep = library.get(order.model), Keep(order.masks, likeness=order.likeness)
        size = studio.model.config.image_size
        choices = order.styles
        heads = [_head(studio, choice, i, order.aligned) for i, choice in enumerate(choices, 1)]
        codes = torch.stack([studio.style(choice, order.psi, order.aligned) for choice in choices])
        done: list[list[Image.Image]] = []
        failures: list[str] = []
        for i, source in enumerate(order.sources, 1):
            try:
                done.append([studio.prepare(source).image, *studio.decode(studio.encode(source, keep), codes)])
            except ValueError as error:
                failures.append(f"Source {i} was left out: {error}.")
            if done:
                yield _sheet(size, heads, done), [f"{i} of {len(order.sources)} sources", *failures]
        if not done:
            raise ValueError(" ".join(failures))

    return sheets


def _head(studio: Studio, choice: StyleChoice, number: int, aligned: bool) -> Image.Image:
    """What stands above the column of this number: its seed, or its reference."""
    if choice.kind == SEED:
        return label(f"seed {int(choice.seed or 0)}", studio.model.config.image_size)
    try:
        return studio.prepare(SourceChoice(choice.reference, aligned)).image
    except ValueError as error:
        raise ValueError(f"reference {number} cannot be used: {error}") from None


def _sheet(size: int, heads: list[Image.Image], done: list[list[Image.Image]]) -> Image.Image:
    sheet = Image.new("RGB", (size * (1 + len(heads)), size * (1 + len(done))), "white")
    for x, head in enumerate(heads, 1):
        sheet.paste(centre_crop(head, size), (size * x, 0))
    for y, row in enumerate(done, 1):
        for x, picture in enumerate(row):
            sheet.paste(picture, (size * x, size * y))
    return sheet


def _files(name: str, elem_id: str) -> gr.File:
    return gr.File(label=name, file_count="multiple", file_types=["image"], elem_id=elem_id, height=170)


@dataclass(frozen=True)
class Grid:
    """The tab's widgets; more are sources beside the one above the tabs."""

    source: Source
    model: gr.Dropdown
    sheets: Callable[[Order], Iterator[Sheet]]
    more: gr.File
    masks: gr.Checkbox
    likeness: gr.Slider
    domain: gr.Radio
    style_from: gr.Radio
    by: tuple[gr.Group, gr.Group]
    count: gr.Slider
    seed: gr.Number
    dice: gr.Button
    psi: gr.Slider
    references: gr.File
    make: gr.Button
    cancel: gr.Button
    result: gr.Image
    status: gr.Markdown
    cancelled: gr.Markdown

    @classmethod
    def build(cls, library: Library, source: Source, model: gr.Dropdown, sheets: Callable[[Order], Iterator[Sheet]]) -> Grid:
        studio = library.get(library.default)
        with gr.Row(elem_id="grid"):
            with gr.Column(min_width=280):
                more = _files(f"Further sources, up to {MOST} in all", "grid-sources")
                masks = masks_switch(studio, "grid-masks")
                likeness = likeness_slider(studio, "grid-likeness")
            with gr.Column(min_width=280):
                domain = gr.Radio(label="Domain of the styles", elem_id="grid-domain", **domain_state(studio))
                kinds = [("Seeds", SEED), ("Reference pictures", REFERENCE)]
                style_from = gr.Radio(kinds, value=SEED, label="Styles from")
                with gr.Group() as by_seed:
                    count = gr.Slider(1, MOST, 5, step=1, label="Styles")
                    seed = gr.Number(0, label="First seed", precision=0, minimum=0, maximum=2**31 - 1)
                    dice = gr.Button("Other seeds")
                    psi = gr.Slider(0, 1.5, 1.0, step=0.05, label="Strength of the styles")
                with gr.Group(visible=False) as by_reference:
                    references = _files(f"References, up to {MOST}", "grid-references")
                with gr.Row():
                    make = gr.Button("Make grid", variant="primary", elem_id="make-grid")
                    cancel = gr.Button("Cancel", variant="stop", elem_id="cancel-grid", interactive=False)
        result = gr.Image(
            label="Sources down, styles across", alt_text="The grid", elem_id="grid-result", interactive=False, format="png",
            buttons=["download", "fullscreen"], visible=False, show_label=False,  # which would cover the heads of a narrow one
        )  # fmt: skip
        status = gr.Markdown("", elem_id="grid-status")
        # Apart, as a row that was under way may still come.
        cancelled = gr.Markdown("Cancelled.", visible=False, elem_id="grid-cancelled")
        by = by_seed, by_reference
        return cls(
            source, model, sheets, more, masks, likeness, domain, style_from, by, count, seed, dice, psi, references, make, cancel,
            result, status, cancelled,
        )  # fmt: skip

    def wire(self, library: Library) -> None:
        quiet = QUIET | UNCHECKED
        own = ("more", "masks", "likeness", "domain", "style_from", "count", "seed", "psi", "references", "model")
        inputs = {name: getattr(self, name) for name in own} | self.source.inputs
        drawn = [self.result, self.status]
        told = [self.cancelled, self.cancel]
        begun = "() => [{__type__: 'update', visible: false}, {__type__: 'update', interactive: true}]"
        ended = "() => ({__type__: 'update', interactive: false})"
        self.make.click(None, None, told, js=begun, **quiet)  # a handler of the server's would wait for the next one's end
        running = self.make.click(self.draw, inputs_kwargs=inputs, outputs=drawn, api_visibility="private", **UNCHECKED)
        running.then(None, None, self.cancel, js=ended, **quiet)
        self.cancel.click(lambda: [gr.update(visible=True), gr.update(interactive=False)], None, told, cancels=[running], **quiet)
        self.dice.click(lambda: random.randrange(2**31 - MOST), None, self.seed, **quiet)
        self.style_from.change(
            lambda value: [gr.update(visible=value == kind) for kind in (SEED, REFERENCE)], self.style_from, list(self.by), **quiet
        )

        def change_model(name: str, domain: str) -> Any:
            try:
                studio = library.get(name)
            except ValueError:
                return gr.skip()  # Make grid says why
            likeness = gr.update(visible=studio.has_likeness)
            return another_model(studio, domain), gr.update(**masks_state(studio)), likeness

        always_last(self.model.change, change_model, [self.model, self.domain], [self.domain, self.masks, self.likeness], **quiet)

    def draw(
        self, more: list[dict[str, Any]] | None, references: list[dict[str, Any]] | None, count: float | None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
        **values: Any,
    ) -> Iterator[tuple[Any, str]]:  # fmt: skip
        """Every source in every style. Rows are shown as they are made; pictures that cannot be used are named at the end."""
        first, aligned = self.source.read(values), values["aligned"]
        sources = [first, *(SourceChoice(path_of(file), aligned) for file in more or [])]
        order = Order(
            sources=[source for source in sources if source.path is not None],
            references=[str(path_of(file)) for file in references or []], aligned=aligned,
            count=int(within(count, Order.count, MOST)), psi=within(values["psi"], Order.psi, 1.5),
            likeness=within(values["likeness"], Order.likeness),
            **{name: values[name] for name in ("model", "domain", "style_from", "seed", "masks")},
        )  # fmt: skip
        try:
            for i, (sheet, said) in enumerate(self.sheets(order)):
                progress((i + 1, len(order.sources)), unit="sources")
                yield gr.update(value=sheet, visible=True), "  \n".join(map(plain, said))
        except ValueError as error:
            yield gr.update(value=None, visible=False), ""  # nobody is to take an earlier grid for this one
            raise refusal(error) from None

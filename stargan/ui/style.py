"""One of the styles on the main view: a domain, and within it a seed, a reference or a pasted style."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from stargan.ui.box import Box
from stargan.ui.events import QUIET, Gathered, always_last
from stargan.ui.folder import Folder
from stargan.ui.pictures import UNCHECKED, tile_row
from stargan.ui.studio import MOST_SEED, PASTED, REFERENCE, SEED, Studio, StyleChoice

MAX_SEED = 2**31 - 1
OFFERED, FIRST_OFFERED = 8, 1  # styles to choose from, and the seed of the first
# Only the browser marks what is chosen in a row: the pictures stay as they are.
MARK = "(kind, seed, row) => ({...row, chosen: kind === 'seed' ? row.tiles.findIndex(t => t.label.endsWith(`seed ${seed}`)) : -1})"
# What is said where a style is not there yet.
WANTED = {
    SEED: "Give style {} a seed.",
    REFERENCE: "Drop a reference for style {}.",
    PASTED: "Paste the JSON of a style for style {}.",
}
KINDS = [("Seed", SEED), ("Reference", REFERENCE), ("Pasted", PASTED)]


def domain_state(studio: Studio, chosen: str | None = None) -> dict[str, Any]:
    """The choices of domains for a model, the last one chosen where `chosen` is none of them."""
    return {"choices": list(studio.domains), "value": chosen if chosen in studio.domains else studio.domains[-1]}


def another_model(studio: Studio, chosen: str) -> Any:
    """What sets domains to choose from to those of another model. One that it has, too, stays chosen: not the one that was when
    this was asked for, as another may have been chosen since then."""
    return gr.update(choices=list(studio.domains)) if chosen in studio.domains else gr.update(**domain_state(studio))


def label(domain: str, seed: int) -> str:
    return f"{domain}, seed {seed}"


@dataclass(frozen=True)
class StyleInput:
    """The widgets of the style `key`; first is the seed of the first that is offered."""

    key: str
    domain: gr.Radio
    kind: gr.Radio
    seed: gr.Number
    following: gr.Button
    reference: Box
    pasted: gr.Textbox
    rows: tuple[gr.Group, ...]
    offered: gr.HTML | None
    more: gr.Button | None
    first: gr.State

    @classmethod
    def build(cls, key: str, folder: Folder, studio: Studio, chosen: StyleChoice, row: dict[str, Any] | None) -> StyleInput:
        """row: the value of the row of styles to choose from; None builds without it. folder: of the page."""
        name = f"style {key.upper()}"
        with gr.Column(min_width=230, elem_id=f"style-{key}", elem_classes="style"):
            domain = gr.Radio(label=f"Domain of {name}", elem_id=f"domain-{key}", **domain_state(studio, chosen.domain))
            offered = tile_row(row, f"Styles to choose as {name}", f"offered-{key}") if row is not None else None
            more = gr.Button(f"Other styles for {key.upper()}", elem_id=f"more-{key}", size="sm") if row is not None else None
            kind = gr.Radio(KINDS, value=SEED, label=f"Style {key.upper()} from", elem_id=f"kind-{key}")
            with gr.Group() as by_seed:
                seed = gr.Number(
                    chosen.seed, label=f"Seed of {name}", elem_id=f"seed-{key}", precision=0, minimum=0, maximum=MAX_SEED
                )
                following = gr.Button(f"Next {name}", elem_id=f"next-{key}", size="sm")
            with gr.Group(visible=False) as by_reference:
                reference = Box.build(folder, f"Reference {key.upper()}", f"reference-{key}", 190)
            with gr.Group(visible=False) as by_paste:
                pasted = gr.Textbox(
                    "", label=f"JSON of {name}", elem_id=f"pasted-{key}", lines=3, max_lines=3, placeholder='{"style": [...]}'
                )
        rows = by_seed, by_reference, by_paste
        return cls(key, domain, kind, seed, following, reference, pasted, rows, offered, more, gr.State(FIRST_OFFERED))

    @property
    def inputs(self) -> dict[str, Any]:
        """What handlers take by name, for `read`."""
        widgets = {
            "domain": self.domain, "kind": self.kind, "seed": self.seed, "reference": self.reference.photo,
            "refused": self.reference.refused, "pasted": self.pasted,
        }  # fmt: skip
        return {f"{self.key}_{name}": widget for name, widget in widgets.items()}

    @property
    def changes(self) -> list[Any]:
        return [widget.change for widget in (self.domain, self.kind, self.seed, self.reference.place, self.pasted)]

    @property
    def shown(self) -> list[Any]:
        """The widgets that `show` sets."""
        return [self.domain, self.kind, self.seed, self.reference.photo, self.pasted]

    def read(self, values: dict[str, Any]) -> StyleChoice:
        given = {name: values[f"{self.key}_{name}"] for name in ("domain", "kind", "seed", "pasted")}
        path, refused = Box.read(values[f"{self.key}_reference"], values[f"{self.key}_refused"])
        return StyleChoice(**given, reference=path, refused=refused)

    @staticmethod
    def show(choice: StyleChoice, studio: Studio) -> list[Any]:
        """What sets the widgets `shown` to a choice."""
        return [gr.update(**domain_state(studio, choice.domain)), choice.kind, choice.seed or 0, choice.reference, choice.pasted]

    def wire(self, offer: Callable[..., Any], inputs: dict[str, Any], changes: list[Any], gathered: Gathered) -> None:
        """offer: gives the row of styles to choose from, from `first` and `inputs`, when one of `changes` happened and all has been
        `gathered`."""
        quiet = QUIET | UNCHECKED
        self.reference.wire()
        self.reference.watch()
        always_last(self.kind.change, self.show_kind, self.kind, list(self.rows), **quiet)
        self.following.click(self.next_seed, self.seed, self.seed, **quiet)
        if self.offered is None or self.more is None:
            return
        marks = [self.kind, self.seed, self.offered]
        gr.on([self.kind.change, self.seed.change], None, marks, self.offered, js=MARK, **quiet)
        self.offered.select(self.choose, [self.first, self.domain], [self.domain, self.kind, self.seed], **quiet)
        self.more.click(lambda: random.randrange(MAX_SEED - OFFERED), None, self.first, **quiet)
        always_last(
            [self.domain.change, self.first.change, *changes],
            offer,
            inputs_kwargs={"first": self.first, **inputs},
            outputs=self.offered,
            gathered=gathered,
            **quiet,
        )

    @staticmethod
    def show_kind(chosen: str) -> list[Any]:
        return [gr.update(visible=chosen == kind) for _, kind in KINDS]

    @staticmethod
    def next_seed(seed: float | None) -> int:
        return (int(seed) + 1) % (MOST_SEED + 1) if seed is not None else 0

    @staticmethod
    def choose(first: int, domain: str, event: gr.SelectData) -> tuple[Any, str, Any]:
        """The style of the tile that was clicked, or dropped here from another row."""
        if event.index >= 0:
            return domain, SEED, first + event.index
        of, _, seed = str(event.value).rpartition(", seed ")
        return (of, SEED, int(seed)) if seed.isdecimal() else (gr.skip(), gr.skip(), gr.skip())

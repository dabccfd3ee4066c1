"""How much of the source is kept: likeness, the face's masks, and the weight of each of its parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from stargan.faces.masks import PARTS
from stargan.ui.events import QUIET
from stargan.ui.pictures import UNCHECKED, within
from stargan.ui.studio import Keep, Studio


def masks_state(studio: Studio, wished: bool = True) -> dict[str, Any]:
    """How the switch for masks stands for a model: where it has none, off, and saying why; otherwise as it is wished."""
    kept = "Eyes, brows, nose, mouth and jaw of the source survive."
    missing = "This model has no face alignment network, so there are no masks."
    return {"value": studio.has_masks and wished, "interactive": studio.has_masks, "info": kept if studio.has_masks else missing}


def masks_switch(studio: Studio, elem_id: str) -> gr.Checkbox:
    """Whether the source's face is kept."""
    return gr.Checkbox(label="Keep the face (FAN masks)", elem_id=elem_id, **masks_state(studio))


def likeness_slider(studio: Studio, elem_id: str) -> gr.Slider:
    """How much of the person is kept; not seen where the model offers no choice."""
    return gr.Slider(
        0, 1, Keep.likeness, step=0.05, label="Likeness to the person", elem_id=elem_id, visible=studio.has_likeness, buttons=[],
        min_width=200,
    )  # fmt: skip


@dataclass(frozen=True)
class KeepInput:
    """The widgets; switches and weights in the order of PARTS. wished: whether the face shall be kept, where the model can."""

    likeness: gr.Slider
    masks: gr.Checkbox
    switches: tuple[gr.Checkbox, ...]
    weights: tuple[gr.Slider, ...]
    wished: gr.State

    @classmethod
    def build(cls, studio: Studio, likeness: gr.Slider, masks: gr.Checkbox) -> KeepInput:
        """The parts of the face, beside what has been built already."""
        switches, weights = [], []
        with gr.Accordion("Parts of the face", open=False, elem_id="parts"):
            for part in PARTS:
                with gr.Row(equal_height=True):
                    state: dict[str, Any] = {"interactive": studio.has_masks}
                    switches.append(gr.Checkbox(True, label=f"Keep {part}", elem_id=f"keep-{part}", min_width=100, **state))
                    weights.append(
                        gr.Slider(
                            0, 1, 1.0, step=0.05, label=part.capitalize(), elem_id=f"part-{part}", min_width=140, buttons=[],
                            **state,
                        )
                    )
        return cls(likeness, masks, tuple(switches), tuple(weights), gr.State(True))

    @property
    def inputs(self) -> dict[str, Any]:
        """What handlers take by name, for `read`."""
        on = {f"keep_{part}": switch for part, switch in zip(PARTS, self.switches, strict=True)}
        return {"likeness": self.likeness, "masks": self.masks} | on | dict(zip(PARTS, self.weights, strict=True))

    @property
    def changes(self) -> list[Any]:
        return [widget.change for widget in self.inputs.values()]

    @property
    def shown(self) -> list[Any]:
        """The widgets that `show` sets, all but the last of which `offered` sets."""
        return [*self.inputs.values(), self.wished]

    def wire(self) -> None:
        self.masks.input(bool, self.masks, self.wished, **UNCHECKED | QUIET)

    @staticmethod
    def read(values: dict[str, Any]) -> Keep:
        parts = {part: within(values[part], 1.0) if values[f"keep_{part}"] else 0.0 for part in PARTS}
        return Keep(values["masks"], parts, within(values["likeness"], Keep.likeness))

    @staticmethod
    def show(keep: Keep) -> list[Any]:
        """What sets the widgets to values."""
        weights = [keep.parts.get(part, 1.0) for part in PARTS]
        return [keep.likeness, keep.masks, *(weight > 0 for weight in weights), *(weight or 1.0 for weight in weights), keep.masks]

    @staticmethod
    def offered(studio: Studio, wished: bool) -> list[Any]:
        """What sets the widgets to what a model offers."""
        masked = gr.update(interactive=studio.has_masks)
        return [gr.update(visible=studio.has_likeness), gr.update(**masks_state(studio, wished)), *[masked] * 2 * len(PARTS)]

"""The result put back into the photograph that it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
from PIL import Image

from stargan.faces.paste import paste
from stargan.media import images
from stargan.ui.result import Result
from stargan.ui.translate import Translate, quiet
from stargan.ui.words import refusal

SIDE = 900  # px, of the picture on the page


@dataclass(frozen=True)
class Photograph:
    """The widgets, for the picture of the main view. shown: whether they can be seen."""

    view: Translate
    opened: gr.Accordion
    shown: gr.State
    whole: gr.Image
    download: gr.Button

    @classmethod
    def build(cls, view: Translate) -> Photograph:
        with gr.Accordion("Back in the photograph", open=False, elem_id="photograph") as opened:
            whole = gr.Image(
                label="The photograph with this face", alt_text="The photograph with the translated face", elem_id="whole",
                interactive=False, format="webp", buttons=["fullscreen"],
            )  # fmt: skip
            download = gr.Button("Download the photograph as PNG", size="sm", elem_id="download-photograph")
        return cls(view, opened, gr.State(False), whole, download)

    def wire(self) -> None:
        self.opened.collapse(lambda: False, None, self.shown, **quiet())
        opened = self.opened.expand(lambda: True, None, self.shown, **quiet())
        for happened in (opened.then, self.view.result.viewer.rest):
            happened(self.show, inputs_kwargs={"shown": self.shown, **self.view.inputs}, outputs=self.whole, **quiet())
        self.download.click(
            self.save, inputs_kwargs=self.view.inputs, outputs=self.view.result.saver, **quiet(trigger_mode="once")
        )

    def make(self, values: dict[str, Any]) -> Image.Image:
        """The photograph at its own size; a ValueError says what is wrong."""
        scene = self.view.read(values)
        studio = self.view.work.library.get(scene.model)
        face = studio.prepare(scene.source).face
        if face is None:
            raise ValueError("without alignment there is no face to put back; switch it on above")
        made = self.view.work.picture(scene).image
        return paste(images.read(str(scene.source.path)), made, face.landmarks, studio.model.frame)

    def show(self, shown: bool, **values: Any) -> Any:
        scene = self.view.read(values)
        if not shown or scene.waits or not scene.knows(self.view.work.library.get(scene.model)):
            return gr.skip()
        try:
            made = self.make(values)
            made.thumbnail((SIDE, SIDE))
            return made
        except ValueError as error:
            gr.Info(refusal(error).message, title="")
            return None

    def save(self, **values: Any) -> dict[str, str]:
        try:
            return Result.handed(self.view.result.save(self.make(values), "photograph"))
        except ValueError as error:
            raise refusal(error) from None

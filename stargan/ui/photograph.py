"""The result put back into the photograph that it came from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from stargan.faces.paste import paste
from stargan.media import images
from stargan.ui.events import always_last
from stargan.ui.result import Result
from stargan.ui.scene import Scene
from stargan.ui.translate import Translate, quiet
from stargan.ui.words import refusal
from stargan.ui.work import Work

SIDE = 900  # px, of the picture on the page


class Nowhere(ValueError):
    """There is no place in the photograph that the result could go back to."""


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
                interactive=False, format="webp", buttons=["fullscreen"], show_label=False,  # which would cover a narrow one
            )  # fmt: skip
            download = gr.Button("Download the photograph as PNG", size="sm", elem_id="download-photograph")
        return cls(view, opened, gr.State(False), whole, download)

    def wire(self) -> None:
        self.opened.collapse(lambda: (False, None), None, [self.shown, self.whole], **quiet())
        opened = self.opened.expand(lambda: True, None, self.shown, **quiet())
        seen = {"shown": self.shown, **self.view.inputs}
        gathered = self.view.gathered
        gathered.before(opened.then, self.show, inputs_kwargs=seen, outputs=self.whole, **quiet())
        always_last(self.view.rested.then, self.show, inputs_kwargs=seen, outputs=self.whole, **quiet())
        save = {"inputs_kwargs": self.view.inputs, "outputs": self.view.result.saver, **quiet(trigger_mode="once")}
        gathered.before(self.download.click, self.save, **save)

    def make(self, values: dict[str, Any]) -> Image.Image:
        """The photograph at its own size; a ValueError says what is wrong."""
        scene = self.view.read(values)
        if not scene.source.framed:
            raise Nowhere("a source that is not aligned stands in no photograph; drop one, with alignment switched on")
        return put_back(self.view.work, scene)[1]

    def show(self, shown: bool, **values: Any) -> Any:
        scene = self.view.read(values)
        if scene.waits:
            return None
        if not shown or not scene.knows(self.view.work.library.get(scene.model)):
            return gr.skip()
        try:
            made = self.make(values)
            made.thumbnail((SIDE, SIDE))
            return made
        except Nowhere as error:
            gr.Info(refusal(error).message, title="")
            return None
        except ValueError:
            return None  # the status says why

    def save(self, **values: Any) -> dict[str, str]:
        try:
            return Result.handed(self.view.result.save(self.make(values), "photograph"))
        except ValueError as error:
            raise refusal(error) from None


def put_back(work: Work, scene: Scene, every: bool = False) -> tuple[Image.Image, Image.Image]:
    """The photograph that an aligned source was cut from, and the same with its face translated, or every face in turn; ValueErrors
    as in `Studio.prepare`."""
    studio = work.library.get(scene.model)
    studio.prepare(scene.source)  # says what is wrong with it
    content = Path(str(scene.source.path)).read_bytes()
    result = photograph = images.read(content)
    sources = [scene.source]
    if every:
        sources = [replace(scene.source, face=number) for number in range(1, len(studio.faces(content, photograph)) + 1)]
    for source in sources:
        face = studio.prepare(source).face
        assert face is not None
        result = paste(result, work.picture(replace(scene, source=source)).image, face.landmarks, studio.model.frame)
    return photograph, result

"""Above the tabs: the one source that all of them use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from stargan.faces.align import square
from stargan.faces.frame import AlignError
from stargan.media import images
from stargan.ui.box import Box
from stargan.ui.events import QUIET, always_last
from stargan.ui.folder import Folder
from stargan.ui.library import Library
from stargan.ui.pictures import SMALL, UNCHECKED, path_of, tile_row, tiles
from stargan.ui.studio import SourceChoice, SourceSquare, Studio
from stargan.ui.words import sentence

EXAMPLES = Path(__file__).with_name("examples")
MOST = 10  # examples
WHOLE = 0  # in place of a face's number: the picture is used as it is
# In the browser alone: which example the source is, by the name of its file.
MARK = """(photo, row) => {
  const name = photo?.path?.split(/[\\\\/]/).at(-1) ?? "";
  const is = tile => /^[0-9]+-/.test(name) && name.includes(`-${tile.label.split(": ")[1].replaceAll(" ", "-")}.`);
  return {...row, chosen: row.tiles.findIndex(is)};
}"""


def examples(library: Library) -> dict[Path, str]:
    """Files of the examples, each with what it is: photographs, then paintings of different domains from beside the model that the
    page opens with, MOST in all."""
    found = {path: f"photograph: {_name(path)}" for path in sorted(EXAMPLES.glob("*.webp"))}
    folder = library.folder_of(library.default)
    paintings = {_name(path): path for path in sorted((folder / "examples").glob("*.jpg"), reverse=True)} if folder else {}
    shown = sorted(paintings.items())[: MOST - len(found)]
    return found | {path: f"painting: {name}" for name, path in shown}


def align_state(studio: Studio) -> dict[str, Any]:
    """How the switch for alignment stands for a model: where it knows no faces, off, and saying why."""
    off = f"{studio.on_alignment} Switch it on where pictures show a face that is to be found."
    return {"value": studio.aligns, "info": "Off: the picture's central square is used as it is." if studio.aligns else off}


def _name(path: Path) -> str:
    """Of the file 1-two-words.webp: two words."""
    return path.stem.partition("-")[2].replace("-", " ")


@dataclass(frozen=True)
class Source:
    """The widgets, and what they are read as. chosen: a picture's path with the number of a face in it, or the name of a result's
    file with WHOLE. wished: whether faces shall be aligned, where the model knows faces."""

    library: Library
    folder: Folder
    box: Box
    aligned: gr.Checkbox
    offered: gr.HTML
    files: tuple[Path, ...]
    faces: gr.HTML
    chosen: gr.State
    wished: gr.State
    note: gr.Markdown

    @classmethod
    def build(cls, library: Library, folder: Folder) -> Source:
        known = examples(library)
        gr.set_static_paths(list(known))
        with gr.Row(elem_id="sources"):
            first = next((str(path) for path in known), None)
            box = Box.build(folder, "Portrait", "source", 150, first)
            with gr.Column(scale=3, min_width=260):
                opened = [Image.open(path).convert("RGB") for path in known]
                offered = tile_row(tiles(opened, list(known.values()), 0), "Examples", "examples")
                faces = tile_row(None, "Faces in this picture", "faces")
                aligned = gr.Checkbox(label="Align the face", elem_id="align", **align_state(library.get(library.default)))
                note = gr.Markdown("", elem_id="source-note")
        states = gr.State(("", None)), gr.State(True)
        return cls(library, folder, box, aligned, offered, tuple(known), faces, *states, note)

    @property
    def inputs(self) -> dict[str, Any]:
        """What handlers take by name, for `read`."""
        return {"photo": self.box.photo, "refused": self.box.refused, "aligned": self.aligned, "chosen": self.chosen}

    @property
    def changes(self) -> list[Any]:
        return [self.box.place.change, self.aligned.change, self.chosen.change]

    @staticmethod
    def read(values: dict[str, Any]) -> SourceChoice:
        (path, refused), (of, face) = Box.read(values["photo"], values["refused"]), values["chosen"]
        if path is not None and face == WHOLE and Path(path).name == of:
            return SourceChoice(path, values["aligned"], None, refused, whole=True)
        return SourceChoice(path, values["aligned"], face if of == path else None, refused)

    def wire(self, model: gr.Dropdown) -> None:
        quiet, photo = UNCHECKED | QUIET, self.box.photo
        self.box.wire()
        self.offered.select(self.take, model, [photo, self.aligned, self.wished], **quiet)
        self.aligned.input(lambda wished: (wished, ("", None)), self.aligned, [self.wished, self.chosen], **quiet)
        always_last(model.change, self.change_model, [model, self.wished], self.aligned, **quiet)
        self.box.place.change(None, [photo, self.offered], self.offered, js=MARK, **QUIET)
        self.faces.select(self.choose, photo, self.chosen, **quiet)
        looked = always_last(
            [*self.changes, model.change],
            self.look,
            inputs_kwargs=self.inputs | {"model": model},
            outputs=[self.note, *self.box.told, self.faces],
            **quiet,
        )
        self.box.empty_after(looked)

    def take(self, model: str, event: gr.SelectData) -> Any:
        """The example that was clicked."""
        if not 0 <= event.index < len(self.files):
            return gr.skip()
        try:
            aligned = self.library.get(model).aligns
        except ValueError:
            aligned = True  # the status says what is wrong with the model
        return str(self.files[event.index]), aligned, True

    def change_model(self, model: str, wished: bool) -> Any:
        """The switch for another model: off for one that knows no faces, and for the next that does as it was wished."""
        try:
            state = align_state(self.library.get(model))
        except ValueError:
            return gr.skip()  # the status says why
        return gr.update(**state | {"value": state["value"] and wished})

    @staticmethod
    def choose(photo: dict[str, Any] | None, event: gr.SelectData) -> Any:
        """The face that was clicked."""
        return (path_of(photo), event.index + 1) if event.index >= 0 else gr.skip()

    def look(self, model: str, **values: Any) -> tuple[Any, ...]:
        """What is to be said of the source, what its box is told, and its faces."""
        source, none = self.read(values), tiles([], [])
        if source.path is None:
            return source.refused, gr.skip(), gr.skip(), none
        try:
            studio = self.library.get(model)
            found = studio.prepare(source)
            return "  \n".join(found.notes), *self.box.taken(source.path), self.offer(studio, source, found)
        except AlignError as error:
            return sentence(error), *self.box.taken(source.path), none  # it was looked at, so it is shown
        except images.ImageError as error:
            return sentence(error), *self.box.refuse(source.path, error), none
        except ValueError as error:
            return sentence(error), gr.skip(), gr.skip(), none

    @staticmethod
    def offer(studio: Studio, source: SourceChoice, found: SourceSquare) -> dict[str, Any]:
        """The faces to choose from, where there are several."""
        if found.face is None:
            return tiles([], [])
        content = Path(str(source.path)).read_bytes()
        faces = studio.faces(content)
        if len(faces) < 2:
            return tiles([], [])
        picture = images.read(content)
        # They may have been found anew meanwhile, a little elsewhere.
        away = [np.abs(face.landmarks - found.face.landmarks).mean() for face in faces]
        position = int(np.argmin(away))
        crops = [square(picture, face, SMALL)[0] for face in faces]
        return tiles(crops, [f"face {i} from the left" for i in range(1, len(faces) + 1)], position)

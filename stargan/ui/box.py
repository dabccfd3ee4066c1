"""A box for a picture of any kind: what browsers cannot show is shown as it was read, and of what is no picture nothing stays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from stargan.media import images
from stargan.ui.events import QUIET, always_last
from stargan.ui.folder import Folder
from stargan.ui.pictures import UNCHECKED, path_of, photo
from stargan.ui.words import sentence

SHOWN = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".avif")  # what browsers show
NOT_SHOWN = ("TIFF", "HEIF", "JPEG2000")  # whatever the file is called
# In the browser alone: the box without the refused picture. Another that has been put into it meanwhile is not given back to it: it
# could come after what has been put there since then, and both would follow each other for ever.
WITHOUT = "(photo, refused) => photo && photo.path === refused?.path ? null : { __type__: 'update' }"


@dataclass(frozen=True)
class Box:
    """The widgets. place: the path of the picture in the box. readable: a picture of it for browsers that cannot show its file.
    refused: the path of what was no picture, and why, for as long as the box is empty."""

    folder: Folder
    photo: gr.Image
    place: gr.Textbox
    readable: gr.State
    refused: gr.JSON

    @classmethod
    def build(cls, folder: Folder, label: str, elem_id: str, height: int, value: str | None = None) -> Box:
        """value: the file of the first picture. folder: of the page."""
        box = photo(label, elem_id, height, value)
        place = gr.Textbox(value, visible="hidden", elem_id=f"{elem_id}-path")
        return cls(folder, box, place, gr.State(""), gr.JSON({}, visible="hidden", elem_id=f"{elem_id}-refused"))

    @property
    def told(self) -> list[Any]:
        """The outputs of a handler that has looked at the picture, as `taken` and `refuse` give them."""
        return [self.readable, self.refused]

    @staticmethod
    def read(picture: dict[str, Any] | None, refused: dict[str, str] | None) -> tuple[str | None, str]:
        """The picture's path, and where there is none, why the last was refused."""
        path = path_of(picture)
        return path, "" if path is not None else (refused or {}).get("why", "")

    def wire(self) -> None:
        # A box tells of changes also where handlers left it as it was, so that they would follow each other; its path does not.
        self.photo.change(None, self.photo, self.place, js="photo => photo?.path ?? ''", **QUIET)
        self.readable.change(lambda path: path or gr.skip(), self.readable, self.photo, **QUIET)

    def watch(self) -> None:
        """Looks at every picture that comes, where no other handler does."""
        looked = always_last(self.place.change, self.look, self.photo, self.told, **UNCHECKED, **QUIET)
        self.empty_after(looked)

    def empty_after(self, looked: Any) -> None:
        """Takes a picture out again that was refused. looked: the event of the handler that has looked at it."""
        looked.then(None, [self.photo, self.refused], self.photo, js=WITHOUT, **QUIET)

    def look(self, picture: dict[str, Any] | None) -> tuple[Any, Any]:
        path = path_of(picture)
        if path is None:
            return gr.skip(), gr.skip()
        try:
            return self.taken(path, images.read(Path(path).read_bytes()))
        except OSError:
            return gr.skip(), gr.skip()  # deleted meanwhile
        except images.ImageError as error:
            return self.refuse(path, error)

    def taken(self, path: str, picture: Image.Image | None = None) -> tuple[Any, Any]:
        """For `told`: the picture in a file of any kind, as one that browsers show where they would not show that file. picture:
        what was read of it already."""
        with Image.open(path, formats=images.FORMATS) as image:
            kind = image.format
        if path.lower().endswith(SHOWN) and kind not in NOT_SHOWN:
            return gr.skip(), {}
        target = self.folder.new("source.png")
        (picture or images.read(path)).save(target, compress_level=1)
        return str(target), {}

    @staticmethod
    def refuse(path: str, error: ValueError) -> tuple[Any, Any]:
        """For `told`: what is no picture."""
        return gr.skip(), {"path": path, "why": sentence(error)}

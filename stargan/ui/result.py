"""The result: large, beside or over its source, to download, to link to and to go on with."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from stargan.ui.folder import Folder
from stargan.ui.pictures import JS, address
from stargan.ui.scene import Scene

MOST_KEPT = 200  # pictures of a session
HTML = """
<div class="viewer">
  <div class="stage" data-mode="wipe">
    <div class="before" hidden><img alt="The source, as the model sees it"></div>
    <div class="after" hidden><img alt="The result"></div>
    <div class="handle" hidden role="slider" tabindex="0" aria-label="How much of the source is shown" aria-valuemin="0"
      aria-valuemax="100" aria-valuenow="0"></div>
  </div>
  <div class="modes" role="group" aria-label="How the result is shown">
    <button type="button" data-mode="wipe" aria-pressed="true">Over the source</button>
    <button type="button" data-mode="beside" aria-pressed="false">Beside the source</button>
    <button type="button" data-mode="alone" aria-pressed="false">Alone</button>
  </div>
</div>
"""


@dataclass
class Session:
    """What a visitor has made: files, by the names that they get in a zip. brought_back: of what the reconstruction is."""

    made: dict[str, Path] = field(default_factory=dict)
    brought_back: Scene | None = None

    @property
    def there(self) -> dict[str, Path]:
        """Those files that have not gone, as they do after a while."""
        return {name: path for name, path in self.made.items() if path.exists()}

    def keep(self, path: Path, words: str) -> None:
        """Takes a picture in; the oldest goes where there are MOST_KEPT."""
        number = 1 + max((int(name.partition("-")[0]) for name in self.made), default=0)
        self.made[f"{number:04d}-{words}.png"] = path
        while len(self.made) > MOST_KEPT:
            del self.made[next(iter(self.made))]


@dataclass(frozen=True)
class Result:
    """The widgets. `viewer.rest` happens once a picture has stood for a while, `viewer.next` on Enter."""

    folder: Folder
    viewer: gr.HTML
    status: gr.Markdown
    session: gr.State
    download: gr.Button
    together: gr.Button
    as_source: gr.Button
    as_style: gr.Button
    link: gr.Textbox
    saver: gr.HTML

    @classmethod
    def build(cls, folder: Folder, value: dict[str, Any] | None) -> Result:
        viewer = gr.HTML(
            value, label="Result", elem_id="result", html_template=HTML, js_on_load=(JS / "viewer.js").read_text(),
            apply_default_css=False,
        )  # fmt: skip
        status = gr.Markdown("", elem_id="status")
        return cls(folder, viewer, status, gr.State(Session()), *cls._buttons())

    @staticmethod
    def _buttons() -> tuple[Any, ...]:
        with gr.Row(elem_id="result-buttons"):
            download = gr.Button("Download PNG", size="sm", min_width=120, elem_id="download")
            together = gr.Button("All so far as zip", size="sm", min_width=120, elem_id="download-all")
            as_source = gr.Button("Use as source", size="sm", min_width=120, elem_id="as-source")
            as_style = gr.Button("Use as style", size="sm", min_width=120, elem_id="as-style")
        with gr.Accordion("Link to this style", open=False, elem_id="linking"):
            link = gr.Textbox(
                label="Link", info="Model, styles and settings, without the pictures.", elem_id="link", interactive=False,
                buttons=["copy"], lines=1, max_lines=1,
            )  # fmt: skip
        saver = gr.HTML(None, js_on_load=(JS / "save.js").read_text(), html_template="<span></span>", elem_id="saver")
        return download, together, as_source, as_style, link, saver

    @staticmethod
    def value(source: Image.Image | None, made: Image.Image | None) -> dict[str, Any]:
        """What the viewer shows."""
        return {"before": source and address(source), "after": made and address(made)}

    def save(self, picture: Image.Image, words: str) -> Path:
        """Writes a picture as PNG to the page's folder."""
        path = self.folder.new(f"{words}.png")
        picture.save(path)
        return path

    @staticmethod
    def handed(path: Path) -> dict[str, str]:
        """A file of the page's folder as the value of `saver`, which downloads it."""
        return {"url": f"gradio_api/file={path}", "name": path.name}

    def zipped(self, session: Session) -> dict[str, str]:
        """All pictures of a session that are still there."""
        there = session.there
        if not there:
            raise ValueError("there is nothing to download, or it has been deleted from the page meanwhile; make a picture first")
        target = self.folder.new("stargan.zip")
        with zipfile.ZipFile(target, "w") as file:
            for name, path in there.items():
                file.write(path, name)
        return self.handed(target)

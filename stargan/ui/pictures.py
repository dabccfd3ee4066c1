"""Pictures on the page: boxes that take them, rows of small ones, and their addresses."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio_client.utils import is_file_obj_with_meta
from PIL import Image

from stargan.ui.words import deleted

JS = Path(__file__).with_name("js")
SMALL = 104  # px, of the pictures in rows


# For handlers of boxes for pictures and of choices that depend on the model: values come as the browser sends them, and the
# handlers check them. Gradio's own checks know neither all kinds of pictures nor that another model has been chosen meanwhile.
UNCHECKED: dict[str, Any] = {"preprocess": False}


def within(value: float | None, default: float, most: float = 1.0) -> float:
    """The number of a slider from 0 on, as UNCHECKED gives it: what is typed into its box, which may be empty meanwhile."""
    return default if value is None else min(most, max(0.0, value))


def photo(label: str, elem_id: str, height: int, value: str | None = None) -> gr.Image:
    """A box for a picture, of any kind that `images.read` knows."""
    return gr.Image(
        value, label=label, alt_text=label, elem_id=elem_id, height=height, type="filepath",
        sources=["upload", "clipboard", "webcam"],
    )  # fmt: skip


def path_of(value: dict[str, Any] | None) -> str | None:
    """The file in a box of pictures or files, as UNCHECKED gives it; ValueError where it says nothing by that Gradio would have
    known it as a file, and looked whether it is one that the page may open."""
    if not value:
        return None
    if not is_file_obj_with_meta(value):
        raise ValueError("what is in a box is no file; reload the page")
    return str(value["path"])


def there(path: str, what: str) -> Path:
    """A file that a visitor has brought; ValueError where it has gone, as it does after a while."""
    if not Path(path).exists():
        raise ValueError(deleted(what))
    return Path(path)


def address(image: Image.Image, side: int | None = None) -> str:
    """The picture itself as an address, made smaller to `side` px where that is given."""
    if side is not None and image.width > side:
        image = image.resize((side, side), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    image.save(content, "WEBP", quality=90, method=0)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"


def tiles(pictures: Sequence[Image.Image], labels: Sequence[str], chosen: int = -1) -> dict[str, Any]:
    """The value of a `tile_row`."""
    shown = [{"src": address(picture, SMALL), "label": label} for picture, label in zip(pictures, labels, strict=True)]
    return {"tiles": shown, "chosen": chosen}


def tile_row(value: dict[str, Any] | None, label: str, elem_id: str, visible: bool = True) -> gr.HTML:
    """A row of small pictures to choose from, each a button; `select` says which, by `index` and label."""
    return gr.HTML(
        value,
        label=label,
        elem_id=elem_id,
        visible=visible,
        html_template=f'<div class="tile-row"><div class="tiles" role="group" aria-label="{label}"></div></div>',
        js_on_load=(JS / "tiles.js").read_text(),
        apply_default_css=False,
    )

"""The Live tab: the camera's picture in a style, while it runs.

Gradio's streaming image says nothing about a camera that is refused or vanishes, and writes every frame to a file, so the camera is
a small component of its own: its script sends a frame when the last one has come back.
"""

from __future__ import annotations

import base64
import binascii
import io
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
import torch
from PIL import Image
from torch import Tensor

from stargan import styles
from stargan.faces.paste import paste
from stargan.faces.track import Tracker
from stargan.media import images
from stargan.ui.events import always_last
from stargan.ui.library import Library
from stargan.ui.pictures import JS
from stargan.ui.studio import Keep
from stargan.ui.translate import Translate, missing, quiet
from stargan.ui.words import said

MOST = 6  # visitors at once
FORGOTTEN = 15.0  # seconds without a frame after which a visitor has gone
MOST_BYTES = 500_000  # of a frame
MOST_PIXELS = 2_000_000
HTML = """
<div class="live">
  <div class="live-controls">
    <button type="button" class="start">Start the camera</button>
    <button type="button" class="stop" disabled>Stop</button>
    <label>From style A to style B <input type="range" class="between" min="0" max="1" step="0.01" value="0.5"></label>
    <label class="like" hidden>Likeness to the person
      <input type="range" class="likeness" min="0" max="1" step="0.05" value="1"></label>
    <label><input type="checkbox" class="whole"> Back in the camera's picture</label>
  </div>
  <p class="said" role="status"></p>
  <div class="live-views">
    <div class="view">
      <span>The camera's picture will be here.</span>
      <video class="camera" muted playsinline aria-label="The camera"></video>
    </div>
    <div class="view">
      <span>The face before the camera, translated, will be here.</span>
      <img class="made" hidden alt="The face before the camera, translated">
    </div>
  </div>
</div>
"""


class LiveError(ValueError):
    """A frame that cannot be used; the sentence says why."""


@dataclass
class Visitor:
    """Somebody whose camera runs. started and seen: seconds on a clock that never jumps."""

    started: float
    seen: float
    tracker: Tracker = field(default_factory=Tracker)


class LiveStudio:
    """Translates frames of several visitors in turn, each as fast as it sends them.

    limit: seconds after which a visitor's turn ends, 0 for none. clock: for tests.
    """

    def __init__(self, library: Library, limit: float = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.library, self.limit, self.clock = library, limit, clock
        self._visitors: dict[str, Visitor] = {}
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def frame(self, told: dict[str, Any]) -> dict[str, Any]:
        """What the browser sends, as in `_read` -> picture (an address; None where no face is seen) and said, or ended with
        the reason."""
        try:
            visitor = self._visitor(str(told.get("visitor", ""))[:40])
            if isinstance(visitor, str):
                return {"ended": visitor}
            with self._turn:
                return self._translate(visitor, told)
        except ValueError as error:
            return {"picture": None, "said": said(error)}

    def _visitor(self, name: str) -> Visitor | str:
        """The visitor of that name, or why there is none."""
        now = self.clock()
        with self._lock:
            self._visitors = {key: one for key, one in self._visitors.items() if now - one.seen < FORGOTTEN}
            if name not in self._visitors:
                if len(self._visitors) >= MOST:
                    return f"{MOST} cameras run already; try again in a while."
                self._visitors[name] = Visitor(now, now)
            visitor = self._visitors[name]
            visitor.seen = now
            if self.limit and now - visitor.started > self.limit:
                del self._visitors[name]
                return f"After {self.limit:.0f} seconds it is the others' turn; start again if you wish."
            return visitor

    def _translate(self, visitor: Visitor, told: dict[str, Any]) -> dict[str, Any]:
        studio = self.library.get(str(told.get("model", "")))
        style, keep = _style(told, studio.model.config.style_dim), _keep(told)
        frame = _picture(told.get("picture"))
        found = visitor.tracker.align(frame, studio.model.config.image_size, studio.model.frame, studio.aligner)
        if found is None:
            return {"picture": None, "said": "No face is seen."}
        square, face = found
        made = studio.decode(studio.encode_square(square, keep), style)[0]
        if told.get("whole"):
            made = paste(frame, made, face.landmarks, studio.model.frame)
        content = io.BytesIO()
        made.save(content, "JPEG", quality=88)
        return {"picture": f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"}


def _style(told: dict[str, Any], size: int) -> Tensor:
    """The style between the two that are told."""
    try:
        a, b = (torch.tensor([float(number) for number in told[end]]) for end in "ab")
        x = float(told.get("x", 0.5))
    except (KeyError, TypeError, ValueError):
        raise LiveError("the frame came without styles; reload the page") from None
    if a.shape != (size,) or b.shape != (size,) or not torch.isfinite(a + b).all() or not 0 <= x <= 1:
        raise LiveError("the styles are none of this model's; reload the page")
    return styles.interpolate(a, b, x)


def _keep(told: dict[str, Any]) -> Keep:
    """How much of the person is kept."""
    try:
        parts = {str(name): float(weight) for name, weight in dict(told.get("parts") or {}).items()}
        likeness = told.get("likeness")
        likeness = Keep.likeness if likeness is None else min(1.0, max(0.0, float(likeness)))
        return Keep(told.get("masks") is not False, parts, likeness)
    except (TypeError, ValueError):
        raise LiveError("what is to be kept of the face came broken; reload the page") from None


def _picture(address: Any) -> Image.Image:
    head, _, text = str(address or "").partition(",")
    if not head.startswith("data:image/jpeg") or len(text) > MOST_BYTES:
        raise LiveError("the camera's frame is no small JPEG")
    try:
        return images.read(base64.b64decode(text, validate=True), MOST_PIXELS)
    except binascii.Error:
        raise LiveError("the camera's frame came broken") from None


@dataclass(frozen=True)
class Live:
    """The tab's widgets, for the styles of the main view."""

    view: Translate
    opened: gr.Tab
    camera: gr.HTML

    @classmethod
    def build(cls, view: Translate, opened: gr.Tab, limit: float) -> Live:
        studio = LiveStudio(view.work.library, limit)

        def live_frame(told: dict[str, Any]) -> dict[str, Any]:
            return studio.frame(told)

        gr.Markdown("The styles A and B of the Translate tab, and what is kept there, hold here, too. Nothing is recorded.")
        camera = gr.HTML(
            {}, label="Camera", elem_id="live", html_template=HTML, js_on_load=(JS / "live.js").read_text(),
            server_functions=[live_frame], apply_default_css=False,
        )  # fmt: skip
        return cls(view, opened, camera)

    def wire(self) -> None:
        view = self.view
        changes = [change for corner in view.corners[:2] for change in corner.changes]
        changes += [*view.keep.changes, view.strength.change, view.model.change, self.opened.select]
        always_last(changes, self.steer, inputs_kwargs=view.inputs, outputs=self.camera, gathered=view.gathered, **quiet())

    def steer(self, **values: Any) -> Any:
        """What goes with each frame: the model, both styles, and what is kept; or what is to be said while there is none."""
        scene = self.view.read(values)
        try:
            studio = self.view.work.library.get(scene.model)
            if waiting := missing(scene, (0, 1)):
                return {"said": waiting}
            if not scene.knows(studio):
                return gr.skip()
            a, b = (studio.style(corner, scene.strength, scene.source.aligned) for corner in scene.corners[:2])
        except ValueError as error:
            return {"said": said(error)}
        # Where the model offers no likeness, nobody is to be asked for it.
        likeness = scene.keep.likeness if studio.has_likeness else None
        keep = {"masks": scene.keep.masks, "parts": dict(scene.keep.parts), "likeness": likeness}
        return {"model": scene.model, "a": a.tolist(), "b": b.tolist(), **keep}

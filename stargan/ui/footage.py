"""The Clip tab: a clip whose face gets a style."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from typing import Any

import gradio as gr
import torch

from stargan import clip
from stargan.media import clips
from stargan.ui.events import QUIET
from stargan.ui.pictures import UNCHECKED, path_of, there
from stargan.ui.scene import Scene
from stargan.ui.translate import Translate
from stargan.ui.way import VIDEOS, ends_alone
from stargan.ui.words import sentence

MOST_SECONDS = 60
TYPES = [".mp4", ".mov", ".webm", ".gif", ".mkv", ".m4v"]
STILL, MOVING = "still", "moving"


@dataclass
class Job:
    """A visitor's clip under way. Asked to stop, it ends with what is done."""

    stopped: bool = False


@dataclass(frozen=True)
class Footage:
    """The tab's widgets, for the styles of the main view."""

    view: Translate
    source: gr.File
    way: gr.Radio
    whole: gr.Checkbox
    make: gr.Button
    stop: gr.Button
    made: gr.Video
    status: gr.Markdown
    job: gr.State

    @classmethod
    def build(cls, view: Translate) -> Footage:
        with gr.Row(elem_id="clip"):
            with gr.Column(min_width=280):
                source = gr.File(label=f"Clip of up to {MOST_SECONDS} seconds", file_types=TYPES, elem_id="clip-source", height=150)
                ways = [("As the picture on the Translate tab", STILL), ("From style A to style B over the clip", MOVING)]
                way = gr.Radio(ways, value=STILL, label="Style", elem_id="clip-way")
                whole = gr.Checkbox(True, label="Back in the clip", info="Off: the aligned face alone.", elem_id="clip-whole")
                with gr.Row():
                    make = gr.Button("Translate the clip", variant="primary", elem_id="make-clip")
                    stop = gr.Button("Stop, keep what is done", variant="stop", elem_id="stop-clip")
                status = gr.Markdown("", elem_id="clip-status", elem_classes="under-way")
            made = gr.Video(
                label="The clip", elem_id="clip-made", interactive=False, height=420, buttons=["download"], visible=False
            )
        return cls(view, source, way, whole, make, stop, made, status, gr.State(Job()))

    def wire(self) -> None:
        own = {"clip_file": self.source, "way": self.way, "whole": self.whole, "job": self.job}

        def tell(stopped: bool, job: Job) -> None:
            job.stopped = stopped

        # At once, so that it holds for a clip that still waits for others, too.
        begun = self.view.gathered.before(self.make.click, functools.partial(tell, False), inputs=self.job, queue=False, **QUIET)
        begun.then(
            self.run, inputs_kwargs=own | self.view.inputs, outputs=[self.made, self.status],
            api_visibility="private", show_progress_on=self.status, **UNCHECKED, **VIDEOS,
        )  # fmt: skip
        self.stop.click(functools.partial(tell, True), self.job, queue=False, **QUIET)

    def run(
        self, clip_file: dict[str, Any] | None, way: str, whole: bool, job: Job,
        request: gr.Request, progress: gr.Progress = gr.Progress(),  # noqa: B008
        **values: Any,
    ) -> tuple[Any, str]:  # fmt: skip
        """The clip in the style of the main view, or on the way from A to B."""
        scene = self.view.read(values)
        start = time.monotonic()
        written = 0

        def watch(done: int, total: int) -> bool:
            nonlocal written
            written = done
            left = (time.monotonic() - start) / done * max(0, total - done) if done else 0
            words = f"about {left:.0f} s left" if done else "looking for the face"
            progress((min(done, total), total), desc=words, unit="frames")
            stay()
            # A file may be longer than it says.
            return not job.stopped and done < most

        try:
            if clip_file is None:
                raise ValueError("there is no clip yet; drop one, of up to a minute")
            taken = clips.opened(str(there(str(path_of(clip_file)), "clip")), MOST_SECONDS)
            most = round((MOST_SECONDS + 1) * taken.fps)
            target = self.view.source.folder.new("stargan.mp4")
            with self.view.work.visitors.work(request) as stay:
                seen = self._work(scene, taken, str(target), way, whole, watch)
        except ValueError as error:
            # Nobody is to take an earlier clip for this one.
            return gr.update(value=None, visible=False), sentence(error)
        shown = f"A face in {seen} of {taken.frames} frames, made in {time.monotonic() - start:.0f} s."
        cut = f"Cut after {MOST_SECONDS} seconds. " if written >= most else taken.ended(written + 1)
        ended = "Stopped. " if job.stopped else cut
        return gr.update(value=str(target), visible=True), ended + shown

    def _work(self, scene: Scene, taken: clips.Clip, target: str, way: str, whole: bool, watch: clip.Watch) -> int:
        studio = self.view.work.library.get(scene.model)
        styles = torch.stack(ends_alone(scene).ends(studio)[:2]) if way == MOVING else scene.style(studio)[None]
        encode = functools.partial(studio.encode_square, keep=scene.keep)
        return clip.translate(studio.translator, taken, target, styles, whole, encode, watch=watch)

"""From style A to style B as nine pictures, and as a video over further seeds."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from stargan.media import video
from stargan.ui.events import always_last
from stargan.ui.leaving import Stay, watched
from stargan.ui.pictures import UNCHECKED, within
from stargan.ui.scene import Scene
from stargan.ui.studio import StyleChoice
from stargan.ui.translate import Translate, quiet
from stargan.ui.words import refusal
from stargan.ui.work import Work

STEPS = 9  # of the strip
FPS = 25
MOST_STYLES = 16  # of a video
LONGEST = 5.0  # seconds from one style to the next
VIDEOS: dict[str, Any] = {"concurrency_id": "video", "concurrency_limit": 2}  # at once, from the page and from programs


@dataclass(frozen=True)
class Way:
    """The widgets, for the styles of the main view."""

    view: Translate
    opened: gr.Accordion
    shown: gr.State
    strip: gr.Image
    between: gr.Textbox
    seconds: gr.Slider
    loop: gr.Checkbox
    make: gr.Button
    movie: gr.Video

    @classmethod
    def build(cls, view: Translate) -> Way:
        with gr.Accordion("The way from A to B: nine steps, and a video", open=False, elem_id="way") as opened:
            strip = gr.Image(
                label="Nine steps from A to B", alt_text="Nine steps from style A to style B", elem_id="strip", interactive=False,
                format="png", buttons=["download"], show_label=False,  # which would cover a narrow one
            )  # fmt: skip
            with gr.Row():
                with gr.Column(min_width=260):
                    between = gr.Textbox(
                        label="Further seeds on the way", elem_id="between", placeholder="woman:7, 12",
                        info="With the domain before a colon, or of domain B.",
                    )  # fmt: skip
                    seconds = gr.Slider(0.2, LONGEST, 1.0, step=0.1, label="Seconds from one style to the next")
                    loop = gr.Checkbox(False, label="Return to A in the end")
                    make = gr.Button("Make video", variant="primary", elem_id="make-video")
                movie = gr.Video(
                    label="Video", elem_id="movie", interactive=False, autoplay=True, loop=True, height=300, buttons=["download"]
                )
        return cls(view, opened, gr.State(False), strip, between, seconds, loop, make, movie)

    def wire(self) -> None:
        self.opened.collapse(lambda: (False, None), None, [self.shown, self.strip], **quiet())
        opened = self.opened.expand(lambda: True, None, self.shown, **quiet())
        seen, made = {"shown": self.shown, **self.view.inputs}, [self.strip, self.movie]
        gathered = self.view.gathered
        gathered.before(opened.then, self.steps, inputs_kwargs=seen, outputs=made, **quiet())
        always_last(self.view.rested.then, self.steps, inputs_kwargs=seen, outputs=made, **quiet())
        inputs = {"between": self.between, "seconds": self.seconds, "loop": self.loop, **self.view.inputs}
        making: dict[str, Any] = {"api_visibility": "private", **UNCHECKED, **VIDEOS}
        gathered.before(self.make.click, self.film, inputs_kwargs=inputs, outputs=self.movie, **making)

    def steps(self, shown: bool, **values: Any) -> tuple[Any, Any]:
        """The strip where it can be seen; where there is no result, neither it nor the video of an earlier one stays."""
        scene = ends_alone(self.view.read(values))
        if scene.waits:
            return None, None
        if not shown or not scene.knows(self.view.work.library.get(scene.model)):
            return gr.skip(), gr.skip()
        try:
            return side_by_side(self.view.work.steps(scene, STEPS)), gr.skip()
        except ValueError:
            return None, None  # the result says why

    def film(
        self, between: str, seconds: float | None, loop: bool, request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
        **values: Any,
    ) -> Iterator[str | None]:  # fmt: skip
        """A video from style A over further seeds to style B, the source beside it."""
        try:
            # The page takes a copy before it comes back here for more.
            with tempfile.TemporaryDirectory() as folder, self.view.work.visitors.work(request) as stay:
                scene, each = self.view.read(values), within(seconds, 1.0, LONGEST)
                yield film(self.view.work, scene, between, each, loop, Path(folder) / "stargan.mp4", stay, progress)
        except ValueError as error:
            yield None  # nobody is to take an earlier video for this one
            raise refusal(error) from None


def film(
    work: Work, scene: Scene, between: str, seconds: float, loop: bool, target: Path, stay: Stay,
    progress: gr.Progress | None = None,
) -> str:  # fmt: skip
    """Writes the video to `target`, as long as it may `stay`; a ValueError says what is wrong."""
    scene = ends_alone(scene)
    stops = further(between, scene.corners[1].domain)
    if not 0 < seconds <= LONGEST:
        raise ValueError(f"a video takes {seconds:g} seconds from one style to the next; give more than 0 and at most {LONGEST:g}")
    count = max(1, round(seconds * FPS))
    total = (len(stops) + 2) * count if loop else (len(stops) + 1) * count + 1
    frames: Any = watched(work.frames(scene, stops, count, loop), stay)
    video.write(target, progress.tqdm(frames, total=total, unit="frames") if progress is not None else frames, FPS)
    return str(target)


def ends_alone(scene: Scene) -> Scene:
    """The scene without what the square adds, and with both ends needed."""
    return replace(scene, x=0.5, y=0.0)


def side_by_side(pictures: list[Image.Image]) -> Image.Image:
    side = pictures[0].width
    sheet = Image.new("RGB", (side * len(pictures), side))
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (side * i, 0))
    return sheet


def further(way: str, domain: str) -> list[StyleChoice]:
    """Styles of seeds written as `7, woman:12`; ValueError where they are not."""
    stops = []
    for part in filter(None, (p.strip() for p in way.split(","))):
        head, _, seed = part.rpartition(":")
        if not seed.strip().isdecimal():
            raise ValueError(f"{part!r} is no seed; write seeds as 7, or woman:12, with commas between them")
        stops.append(StyleChoice(head.strip() or domain, seed=int(seed)))
    if len(stops) > MOST_STYLES - 2:
        raise ValueError(f"that is a way through {len(stops) + 2} styles; take at most {MOST_STYLES}")
    return stops

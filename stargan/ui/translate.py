"""The Translate tab: the source between two styles, large, moving with the slider."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from PIL import Image

from stargan import styles
from stargan.faces.masks import PARTS
from stargan.ui.events import QUIET, Gathered, always_last
from stargan.ui.first import First
from stargan.ui.keep import KeepInput, likeness_slider, masks_switch
from stargan.ui.pictures import JS, UNCHECKED, address, tiles, within
from stargan.ui.result import Result, Session
from stargan.ui.scene import CORNERS, Scene
from stargan.ui.source import WHOLE, Source
from stargan.ui.studio import PASTED, SEED, Studio, StyleChoice
from stargan.ui.style import OFFERED, WANTED, StyleInput, another_model, domain_state, label
from stargan.ui.words import refusal, sentence
from stargan.ui.work import Work

BEGIN = "Drop a portrait above, or take an example, to begin."
STRONGEST = 1.5  # style
LINKED = {*CORNERS, *PARTS, "model", "x", "y", "strength", "keep", "likeness"}  # what a link may say
SQUARE = """
<div class="pad">
  <span class="corner a">A</span><span class="corner b">B</span><span class="corner c">C</span><span class="corner d">D</span>
  <div class="point" role="slider" tabindex="0" aria-label="Place between the styles A, B, C and D" aria-valuemin="0"
    aria-valuemax="100"></div>
</div>
"""


def missing(scene: Scene, corners: Sequence[int]) -> str:
    """What is to be said where some of these corners wait for what their style is taken from; nothing where none does."""
    waiting = [i for i in corners if scene.corners[i].waits]
    return " ".join(WANTED[scene.corners[i].kind].format(CORNERS[i].upper()) for i in waiting)


def quiet(**more: Any) -> dict[str, Any]:
    return QUIET | {"trigger_mode": "always_last"} | UNCHECKED | more


@dataclass(frozen=True)
class Translate:
    """The tab's widgets, its handlers, and the inputs that other parts share with it. first: what the page opens with. shown: of
    which source the picture is. rested: the event of a picture that stands, after which all has been gathered."""

    work: Work
    first: Scene
    source: Source
    model: gr.Dropdown
    result: Result
    shown: gr.State
    corners: tuple[StyleInput, ...]
    position: gr.Slider
    square: gr.HTML
    strength: gr.Slider
    keep: KeepInput
    gathered: Gathered
    rested: Any
    kept: gr.HTML
    written: gr.Textbox
    home: gr.Radio
    back: gr.Button
    again: gr.Image

    @classmethod
    def build(cls, work: Work, source: Source, model: gr.Dropdown, first: First) -> Translate:
        studio, scene = work.library.get(work.library.default), first.scene
        with gr.Row(elem_id="translate"):
            a = StyleInput.build("a", source.folder, studio, scene.corners[0], first.rows[0])
            with gr.Column(min_width=300, scale=3, elem_id="middle"):
                with gr.Row(elem_id="sliders"):
                    position = gr.Slider(
                        0, 1, scene.x, step=0.01, label="From style A to style B", elem_id="position", buttons=[], min_width=200
                    )
                    likeness = likeness_slider(studio, "likeness")
                result = Result.build(source.folder, first.result)
                strength = gr.Slider(
                    0, STRONGEST, 1.0, step=0.05, label="Strength of the style", elem_id="strength",
                    info="0 is the mean style of the domain, above 1 exaggerates.",
                )  # fmt: skip
                masks = masks_switch(studio, "masks")
            b = StyleInput.build("b", source.folder, studio, scene.corners[1], first.rows[1])
        keep = KeepInput.build(studio, likeness, masks)
        square, c, d = cls._square(source, studio, scene)
        more, corners = cls._more(studio), (a, b, c, d)
        widgets = {"model": model, "position": position, "square": square, "strength": strength, **source.inputs, **keep.inputs}
        for corner in corners:
            widgets |= corner.inputs
        del widgets["chosen"]  # which the browser does not know
        gathered = Gathered.build(widgets, "scene")
        rested = result.viewer.rest(None, **gathered.step)
        shown = gr.State((scene.source.path, scene.source.face))
        return cls(work, scene, source, model, result, shown, corners, position, square, strength, keep, gathered, rested, *more)

    @staticmethod
    def _square(source: Source, studio: Studio, scene: Scene) -> tuple[gr.HTML, StyleInput, StyleInput]:
        with gr.Accordion("Square of four styles", open=False, elem_id="square-of-styles"):
            gr.Markdown("The upper edge is the slider from A to B. Further down, the styles C and D come in.")
            square = gr.HTML(
                {"x": scene.x, "y": 0.0}, label="Square of styles", elem_id="square", html_template=SQUARE,
                js_on_load=(JS / "square.js").read_text(), apply_default_css=False,
            )  # fmt: skip
            with gr.Row():
                c = StyleInput.build("c", source.folder, studio, scene.corners[2], None)
                d = StyleInput.build("d", source.folder, studio, scene.corners[3], None)
        return square, c, d

    @staticmethod
    def _more(studio: Studio) -> tuple[Any, ...]:
        with gr.Accordion("What is kept", open=False):
            kept = gr.HTML("", elem_id="kept")
        with gr.Accordion("Style as JSON", open=False):
            written = gr.Textbox(
                label="The style of the picture", elem_id="style-json", lines=3, max_lines=3, interactive=False, buttons=["copy"],
                info="The strength is in it: pasted somewhere, it is the same style at a strength of 1.",
            )  # fmt: skip
        with gr.Accordion("Back to the source", open=False):
            home = gr.Radio(label="Domain of the source", elem_id="home", **domain_state(studio, studio.domains[0]))
            back = gr.Button("Reconstruct", elem_id="reconstruct")
            again = gr.Image(
                label="Reconstruction", alt_text="The result brought back to the source", elem_id="again", interactive=False,
                height=260, buttons=["download"],
            )  # fmt: skip
        return kept, written, home, back, again

    @property
    def inputs(self) -> dict[str, Any]:
        """What handlers take by name, for `read`, once the rest has been `gathered`."""
        return {"scene": self.gathered.box, "chosen": self.source.chosen}

    def read(self, given: dict[str, Any]) -> Scene:
        values = {**given["scene"], "chosen": given["chosen"]}
        corners = tuple(corner.read(values) for corner in self.corners)
        y = float((values["square"] or {}).get("y", 0))
        source, keep = self.source.read(values), self.keep.read(values)
        x, strength = within(values["position"], 0.5), within(values["strength"], 1.0, STRONGEST)
        return Scene(values["model"], source, corners, x, y, strength, keep)

    def wire(self, page: gr.Blocks) -> None:
        result, inputs = self.result, self.inputs
        changes = [*self.source.changes, *self.keep.changes, self.strength.change, self.model.change]
        styled = [change for corner in self.corners for change in corner.changes]
        shown = [result.viewer, result.status, self.shown]
        place: dict[str, Any] = quiet(show_progress="minimal", show_progress_on=result.status)
        seen = {**inputs, "shown": self.shown}
        moves = [self.position.change, self.square.input]
        always_last([*moves, *changes, *styled], self.show, inputs_kwargs=seen, outputs=shown, gathered=self.gathered, **place)
        for i, corner in enumerate(self.corners):
            corner.wire(functools.partial(self.offer, i), inputs, changes, self.gathered)
        # The point in the square and the slider tell each other, in the browser alone.
        self.square.input(None, self.square, self.position, js="value => value.x", **quiet())
        self.position.change(
            None, [self.position, self.square], self.square, js="(x, value) => ({x, y: value ? value.y : 0})", **quiet()
        )
        domains = [corner.domain for corner in self.corners]
        self.keep.wire()
        offered = [*domains, self.home, *self.keep.shown[:-1]]
        self.model.change(self.change_model, [self.model, self.keep.wished, *domains], offered, **quiet(trigger_mode="multiple"))
        self._wire_result(page)

    def _wire_result(self, page: gr.Blocks) -> None:
        result, inputs, taken = self.result, self.inputs, {"session": self.result.session, **self.inputs}
        once: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal", "show_progress_on": result.status}
        once |= UNCHECKED
        told = [result.session, result.link, self.written, self.kept, self.again]
        rested = always_last(self.rested.then, self.rest, inputs_kwargs=taken, outputs=told, **quiet())
        # Only the browser knows at which address the page stands.
        here = "query => query.includes('://') ? query : location.origin + location.pathname + '?' + query"
        rested.then(None, result.link, result.link, js=here, **quiet())
        seeds = [self.corners[0].seed, self.corners[1].seed]
        result.viewer.next(self.next_style, [self.position, *seeds], seeds, **quiet())
        before = self.gathered.before
        before(result.download.click, self.download, inputs_kwargs=inputs, outputs=result.saver, **once)
        result.together.click(self.all, result.session, result.saver, **once)
        source = [self.source.box.photo, self.source.chosen]
        before(result.as_source.click, self.use_as_source, inputs_kwargs=inputs, outputs=source, **once)
        style = [*self.corners[0].shown, self.position, self.square, self.strength]
        before(result.as_style.click, self.use_as_style, inputs_kwargs=inputs, outputs=style, **once)
        before(self.back.click, self.reconstruct, inputs_kwargs={"home": self.home, **taken}, outputs=self.again, **once)
        page.load(self.restore, None, self.restored, **quiet())

    @property
    def restored(self) -> list[Any]:
        own = [self.model, self.position, self.square, self.strength]
        return [*own, *(widget for corner in self.corners for widget in corner.shown), *self.keep.shown]

    def show(self, shown: tuple[str, int | None] | None, **values: Any) -> tuple[Any, Any, Any]:
        """The picture of the scene; where something is wrong, none, so that nobody takes an earlier one for it. While a style waits
        for what it is taken from, that of the same source stays."""
        scene, none = self.read(values), Result.value(None, None)
        source = scene.source.path, scene.source.face
        try:
            if scene.source.path is None:
                return none, scene.source.refused or BEGIN, None
            studio = self.work.library.get(scene.model)
            if scene.waits:
                studio.prepare(scene.source)  # says what is wrong with it
                said = missing(scene, scene.needed)
                return (gr.skip(), said, gr.skip()) if shown == source else (none, said, None)
            if not scene.knows(studio):
                return gr.skip(), gr.skip(), gr.skip()
            made = self.work.picture(scene)
            return Result.value(made.source, made.image), made.words, source
        except ValueError as error:
            return none, sentence(error), None

    def offer(self, number: int, first: int, **values: Any) -> Any:
        """The source in the styles of seeds from `first` on, that of the corner of this number marked."""
        scene = self.read(values)
        style = scene.corners[number]
        try:
            if scene.source.path is None or style.domain not in self.work.library.get(scene.model).domains:
                return tiles([], [])
            seeds = range(first, first + OFFERED)
            made = self.work.seeds(scene.model, scene.source, scene.keep, style.domain, seeds, scene.strength)
            chosen = int(style.seed) - first if style.kind == SEED and style.seed is not None else -1
            return tiles(made, [label(style.domain, seed) for seed in seeds], chosen)
        except ValueError:
            return tiles([], [])  # the result says why

    def rest(self, session: Session, **values: Any) -> tuple[Any, ...]:
        """What follows a picture that stands: it is in the session, its style can be copied, its link is there, and no
        reconstruction of an earlier one."""
        scene = self.read(values)
        try:
            studio = self.work.library.get(scene.model)
            if scene.waits:
                return session, "", "", "", None
            if not scene.knows(studio):
                return session, gr.skip(), gr.skip(), gr.skip(), gr.skip()
            made = self.work.picture(scene)
            session.keep(self.result.save(made.image, scene.domain), scene.domain)
            over = self.work.overlay(scene)
            text = styles.to_json(made.style, studio.model, scene.domain)
            picture = f'<img src="{address(over)}" alt="What of the face is kept, in orange">' if over is not None else ""
            # Whoever is quick has asked for the reconstruction of this one already.
            return session, scene.query(studio), text, picture, gr.skip() if session.brought_back == scene else None
        except ValueError:
            return session, "", "", "", None  # the status says why

    @staticmethod
    def next_style(position: float, a: float | None, b: float | None) -> tuple[Any, Any]:
        """The next seed of the style that is nearer."""
        return (StyleInput.next_seed(a), gr.skip()) if position < 0.5 else (gr.skip(), StyleInput.next_seed(b))

    def download(self, **values: Any) -> dict[str, str]:
        scene = self.read(values)
        try:
            return Result.handed(self.result.save(self.work.picture(scene).image, f"stargan-{scene.domain}"))
        except ValueError as error:
            raise refusal(error) from None

    def all(self, session: Session) -> dict[str, str]:
        try:
            made = self.result.zipped(session)
        except ValueError as error:
            raise refusal(error) from None
        if gone := len(session.made) - len(session.there):
            gr.Info(f"Without the first {gone}, which the page has deleted meanwhile.", title="")
        return made

    def use_as_source(self, **values: Any) -> tuple[str, tuple[str, int]]:
        """The result as the source: it is a square already, as what comes after it may not be."""
        try:
            path = self.result.save(self.work.picture(self.read(values)).image, f"result-{secrets.token_hex(4)}")
            return str(path), (path.name, WHOLE)
        except ValueError as error:
            raise refusal(error) from None

    def use_as_style(self, **values: Any) -> list[Any]:
        """The result's style as style A, to go on from there; the strength is in it."""
        scene = self.read(values)
        try:
            studio = self.work.library.get(scene.model)
            text = styles.to_json(scene.style(studio), studio.model, scene.domain)
            chosen = StyleChoice(scene.domain, PASTED, scene.corners[0].seed, scene.corners[0].reference, text)
            return [*StyleInput.show(chosen, studio), 0.0, {"x": 0.0, "y": 0.0}, 1.0]
        except ValueError as error:
            raise refusal(error) from None

    def reconstruct(self, session: Session, home: str, **values: Any) -> Image.Image:
        scene = session.brought_back = self.read(values)
        try:
            return self.work.reconstruct(scene, self.work.picture(scene).image, home)
        except ValueError as error:
            session.brought_back = None
            raise refusal(error) from None

    def change_model(self, model: str, wished: bool, *domains: str) -> Any:
        """What another model offers; a domain that it has, too, stays chosen."""
        try:
            studio = self.work.library.get(model)
        except ValueError:
            return gr.skip()  # the status says why
        chosen = [another_model(studio, domain) for domain in domains]
        return [*chosen, gr.update(**domain_state(studio, studio.domains[0])), *KeepInput.offered(studio, wished)]

    def restore(self, request: gr.Request) -> Any:
        """The scene of the link by which the page was opened."""
        query: Mapping[str, str] = dict(request.query_params)
        if not LINKED & set(query):
            return [gr.skip()] * len(self.restored)
        try:
            model = query.get("model", self.first.model)
            studio = self.work.library.get(model)
            scene = self.first.linked(studio, query)
        except ValueError as error:
            gr.Warning(sentence(error), title="")
            return [gr.skip()] * len(self.restored)
        corners = [update for choice in scene.corners for update in StyleInput.show(choice, studio)]
        # It may have been made after the page was.
        chosen = gr.update(choices=self.work.library.names(), value=model)
        own = [chosen, scene.x, {"x": scene.x, "y": scene.y}, scene.strength]
        return [*own, *corners, *KeepInput.show(scene.keep)]

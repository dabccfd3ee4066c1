"""The endpoints for programs: what the tabs do, with plain values."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, get_args, get_type_hints

import gradio as gr
from PIL import Image

from stargan import styles
from stargan.faces.squares import ALL
from stargan.media.reading import is_data_uri, of_data_uri
from stargan.ui.folder import Folder
from stargan.ui.grid import Order, Sheet
from stargan.ui.leaving import watched
from stargan.ui.library import Library
from stargan.ui.photograph import put_back
from stargan.ui.scene import Scene
from stargan.ui.studio import PASTED, REFERENCE, SEED, Keep, SourceChoice, StyleChoice
from stargan.ui.way import STEPS, VIDEOS, film, side_by_side
from stargan.ui.words import answer
from stargan.ui.work import Work

MARK = {"_type": "gradio.FileData"}  # by which clients know a file
File = dict | str | None  # as a client uploads it, or as a data URI
KINDS = {bool: "True or False", float: "a number", int: "a whole number", str: "text"}


@dataclass(frozen=True)
class Endpoints:
    """Files come and go as Gradio's clients write them: dictionaries with a path in the page's folder."""

    work: Work
    folder: Folder
    sheets: Callable[[Order], Iterator[Sheet]]

    @property
    def library(self) -> Library:
        return self.work.library

    def build(self) -> None:
        """Adds them to the Blocks that are open."""
        with gr.Column(visible=False):  # or a browser makes something of each of their values before it shows the page
            for endpoint in (self.translate, self.interpolate, self.strip, self.grid):
                gr.api(typed(endpoint), api_name=endpoint.__name__)
            gr.api(typed(self.video), api_name="video", **VIDEOS)

    def given(self, file: object) -> str | None:
        """The path of a file that a caller has uploaded, or given as a data URI; ValueError for any other."""
        if file is None:
            return None
        if not isinstance(file, dict | str):
            raise ValueError(f"{str(file)!r} is no picture; give one that has been uploaded, as by handle_file, or a data URI")
        said = {"url": file} if isinstance(file, str) else file
        path, uri = said.get("path"), said.get("url")
        if path is None and is_data_uri(uri):
            target = self.folder.new("given")
            target.write_bytes(of_data_uri(uri))
            return str(target)
        if not isinstance(path, str) or not self.folder.holds(path):
            raise ValueError("a picture has to be uploaded first, as handle_file of gradio_client does, or come as a data URI")
        return path

    def several(self, name: str, files: object) -> list[str]:
        """The paths of such files; ValueError where they are no list, or one is missing."""
        if files is not None and not isinstance(files, list):
            raise ValueError(f"{name} is {str(files)!r}; it has to be a list of pictures")
        paths = list(map(self.given, files or []))
        if None in paths:
            raise ValueError(f"picture {paths.index(None) + 1} of {name} is None; give a picture, or leave it out of the list")
        return [path for path in paths if path is not None]

    def made(self, picture: Image.Image, name: str) -> dict[str, Any]:
        target = self.folder.new(f"{name}.png")
        picture.save(target)
        return self.file(str(target))

    @staticmethod
    def file(path: str) -> dict[str, Any]:
        return {"path": path, "orig_name": path.rsplit("/", 1)[-1], "meta": MARK}

    def scene(
        self, model: str, source: File, aligned: bool | None, face: int | None, ends: Sequence[StyleChoice], keep: Keep, psi: float,
        x: float,
    ) -> Scene:  # fmt: skip
        model = model or self.library.default
        studio = self.library.get(model)
        studio.checked(keep.likeness)
        known = tuple(
            StyleChoice(end.domain or studio.domains[-1], end.kind, end.seed, end.reference, end.pasted) for end in ends
        )  # fmt: skip
        if not 0 <= x <= 1:
            raise ValueError(f"the position is {x}; it has to be from 0 (style A) to 1 (style B)")
        aligned = studio.aligns if aligned is None else aligned
        if face is not None and not aligned:
            raise ValueError("a face is chosen where faces are sought; give aligned=True, or leave the face out")
        return Scene(model, SourceChoice(self.given(source), aligned, face), (*known, *known), x, 0.0, psi, keep)

    def pasted(self, scene: Scene, every: bool) -> tuple[Image.Image, Image.Image]:
        """The photograph before and after the result is put back."""
        if scene.source.path is not None and not scene.source.framed:
            raise ValueError("without alignment there is no face to put back; give aligned=True, or leave paste out")
        return put_back(self.work, scene, every)

    def end(self, domain: str, style_from: str, seed: float, reference: File, pasted: str | None = None) -> StyleChoice:
        """A style as a program describes it; pasted: None where it cannot be given as JSON. ValueError for another kind."""
        kinds = (SEED, REFERENCE) if pasted is None else (SEED, REFERENCE, PASTED)
        if style_from not in kinds:
            raise ValueError(f"a style cannot be from {style_from!r} here; choose {', '.join(kinds[:-1])} or {kinds[-1]}")
        return StyleChoice(domain, style_from, seed, self.given(reference), pasted or "")

    def translate(
        self, source: File = None, domain: str = "", style_from: str = SEED, seed: int = 0, psi: float = 1.0,
        reference: File = None, masks: bool = True, aligned: bool | None = None, pasted: str = "", model: str = "",
        keep_eyes: bool = True, keep_brows: bool = True, keep_nose: bool = True, keep_mouth: bool = True, keep_jaw: bool = True,
        eyes: float = 1.0, brows: float = 1.0, nose: float = 1.0, mouth: float = 1.0, jaw: float = 1.0,
        likeness: float = Keep.likeness, face: int | str | None = None, paste: bool = False,
    ) -> tuple[list, dict, dict | None, str, str]:  # fmt: skip
        """Translates a portrait. Returns source and result, the aligned source, the mask over it, how long it took, the style. With
        paste, source and result are the whole photograph; face is then a number from the left, or `all`."""
        weights = {"eyes": eyes, "brows": brows, "nose": nose, "mouth": mouth, "jaw": jaw}
        on = {"eyes": keep_eyes, "brows": keep_brows, "nose": keep_nose, "mouth": keep_mouth, "jaw": keep_jaw}
        keep = Keep(masks, {part: weight if on[part] else 0.0 for part, weight in weights.items()}, likeness)
        try:
            end = self.end(domain, style_from, seed, reference, pasted)
            every = face == ALL
            if every and not paste:
                raise ValueError("all faces are translated where they are put back; give paste=True, or a face by its number")
            scene = self.scene(model, source, aligned, None if every else _number(face), (end, end), keep, psi, 0.0)
            studio = self.library.get(scene.model)
            made = self.work.picture(scene)
            before, after = self.pasted(scene, every) if paste else (made.source, made.image)
            over = self.work.overlay(scene)
            words = "  \n".join([made.words, *made.notes])
            text = styles.to_json(made.style, studio.model, scene.domain)
        except ValueError as error:
            raise answer(error) from None
        kept = self.made(over, "kept") if over is not None else None
        square = self.made(made.source, "source")
        return [self.made(before, "before") if paste else square, self.made(after, "result")], square, kept, words, text

    def interpolate(
        self, source: File = None, position: float = 0.5, psi: float = 1.0, masks: bool = True, aligned: bool | None = None,
        model: str = "", domain_a: str = "", style_from_a: str = SEED, seed_a: int = 1, reference_a: File = None,
        domain_b: str = "", style_from_b: str = SEED, seed_b: int = 2, reference_b: File = None,
        likeness: float = Keep.likeness, face: int | None = None, paste: bool = False,
    ) -> dict:  # fmt: skip
        """The source in the style at `position`, 0 for style A to 1 for style B; with paste, in its photograph."""
        try:
            ends = self.end(domain_a, style_from_a, seed_a, reference_a), self.end(domain_b, style_from_b, seed_b, reference_b)
            scene = self.scene(model, source, aligned, face, ends, Keep(masks, likeness=likeness), psi, position)
            after = self.pasted(scene, every=False)[1] if paste else self.work.picture(scene).image
            return self.made(after, "between")
        except ValueError as error:
            raise answer(error) from None

    def strip(
        self, source: File = None, psi: float = 1.0, masks: bool = True, aligned: bool | None = None, model: str = "",
        domain_a: str = "", style_from_a: str = SEED, seed_a: int = 1, reference_a: File = None,
        domain_b: str = "", style_from_b: str = SEED, seed_b: int = 2, reference_b: File = None,
        likeness: float = Keep.likeness, face: int | None = None,
    ) -> dict:  # fmt: skip
        """Nine steps from style A to style B, side by side."""
        try:
            ends = self.end(domain_a, style_from_a, seed_a, reference_a), self.end(domain_b, style_from_b, seed_b, reference_b)
            scene = self.scene(model, source, aligned, face, ends, Keep(masks, likeness=likeness), psi, 0.5)
            return self.made(side_by_side(self.work.steps(scene, STEPS)), "strip")
        except ValueError as error:
            raise answer(error) from None

    def video(
        self, request: gr.Request,
        source: File = None, psi: float = 1.0, masks: bool = True, aligned: bool | None = None, model: str = "",
        way: str = "", seconds: float = 1.0, loop: bool = False,
        domain_a: str = "", style_from_a: str = SEED, seed_a: int = 1, reference_a: File = None,
        domain_b: str = "", style_from_b: str = SEED, seed_b: int = 2, reference_b: File = None,
        likeness: float = Keep.likeness, face: int | None = None,
    ) -> dict:  # fmt: skip
        """A video from style A over further seeds (`7, woman:12`) to style B, the source beside it."""
        try:
            ends = self.end(domain_a, style_from_a, seed_a, reference_a), self.end(domain_b, style_from_b, seed_b, reference_b)
            scene = self.scene(model, source, aligned, face, ends, Keep(masks, likeness=likeness), psi, 0.5)
            with self.work.visitors.work(request) as stay:
                return self.file(film(self.work, scene, way, seconds, loop, self.folder.new("stargan.mp4"), stay))
        except ValueError as error:
            raise answer(error) from None

    def grid(
        self, request: gr.Request,
        sources: list[dict | str] | None = None, domain: str = "", style_from: str = SEED, count: int = 5, seed: int = 0,
        psi: float = 1.0, references: list[dict | str] | None = None, masks: bool = True, aligned: bool | None = None,
        model: str = "",
        likeness: float = Keep.likeness,
    ) -> tuple[dict, str]:  # fmt: skip
        """Every source in every style, and a sentence on which were left out."""
        model = model or self.library.default
        try:
            files, shown = self.several("sources", sources), self.several("references", references)
            studio = self.library.get(model)
            aligned = studio.aligns if aligned is None else aligned
            order = Order(
                model, [SourceChoice(path, aligned) for path in files], domain or studio.domains[-1], style_from, count, seed, psi,
                shown, masks, aligned, studio.checked(likeness),
            )  # fmt: skip
            with self.work.visitors.work(request) as stay:
                *_, (sheet, said) = watched(self.sheets(order), stay)
            return self.made(sheet, "grid"), "  \n".join(said)
        except ValueError as error:
            raise answer(error) from None


def typed(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """An endpoint that says which value is of a wrong kind. Gradio tells clients the kinds and does not check them."""
    signature, hints = inspect.signature(endpoint), get_type_hints(endpoint)

    @functools.wraps(endpoint)
    def call(*values: Any, **named: Any) -> Any:
        given = signature.bind(*values, **named)
        try:
            given.arguments |= {name: _taken(name, value, hints.get(name)) for name, value in given.arguments.items()}
        except ValueError as error:
            raise answer(error) from None
        return endpoint(*given.args, **given.kwargs)

    return call


def _taken(name: str, value: Any, hint: Any) -> Any:
    """A value as its parameter takes it; ValueError for one of another kind, where the parameter is of one of KINDS, or None."""
    kinds = set(get_args(hint)) if NoneType in get_args(hint) else {hint}
    if (value is None and NoneType in kinds) or len(kinds - {NoneType}) > 1:
        return value
    (kind,) = kinds - {NoneType}
    value = _whole(value) if kind is int else value
    if kind in KINDS and not _is(value, kind):
        raise ValueError(f"{name} is {str(value)!r}; it has to be {KINDS[kind]}")
    return value


def _is(value: Any, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float if kind is float else kind)


def _whole(value: Any) -> Any:
    """A client may write a whole number as 1.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _number(face: Any) -> int | None:
    """A face's number; ValueError for anything else."""
    face = _whole(face)
    if face is None or (isinstance(face, int) and not isinstance(face, bool)):
        return face
    raise ValueError(f"the face is {face!r}; give its number from the left, from 1 on")

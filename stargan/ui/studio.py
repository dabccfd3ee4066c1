"""What the page makes of files: a model, the sources that it has seen lately, and styles as a person describes them."""

from __future__ import annotations

import functools
import hashlib
import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock, Timer, get_native_id
from typing import Generic, TypeVar

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from stargan import blending, styles
from stargan.faces.align import choose, find_all, square, warm_up
from stargan.faces.find import Face
from stargan.faces.squares import aligner_for
from stargan.media import images
from stargan.model import Model
from stargan.priority import give_way
from stargan.translate import Encoded, Translator
from stargan.ui import zero
from stargan.ui.words import deleted, said

KEPT_SOURCES = 32
KEPT_ROWS = 4  # of pictures in several styles: enough for whoever asks for the same at the same time
COMPILE_AFTER = 5.0  # seconds: the page comes up first
TURN = 0.0001  # seconds that a thread has the interpreter for, from then on
SEED, REFERENCE, PASTED = "seed", "reference", "pasted"
MOST_SEED = 2**63 - 1  # which `styles.from_seed` takes


@dataclass(frozen=True)
class SourceChoice:
    """path: of a picture's file, None before there is one. aligned: whether faces in pictures are sought and framed; otherwise
    their central squares are taken. face: which one, from left to right from 1 on; None for the largest. refused: why there is
    none, where what was brought is no picture. whole: whether this picture is taken as it is, however it is with others."""

    path: str | None
    aligned: bool = True
    face: int | None = None
    refused: str = ""
    whole: bool = False

    @property
    def framed(self) -> bool:
        """Whether the face in this picture is sought and framed."""
        return self.aligned and not self.whole


@dataclass(frozen=True)
class StyleChoice:
    """A style as a person describes it. kind: SEED, REFERENCE or PASTED, which says what of the rest counts. refused: why there is
    no reference, where what was brought is no picture."""

    domain: str
    kind: str = SEED
    seed: float | None = 0
    reference: str | None = None
    pasted: str | None = ""
    refused: str = ""

    @property
    def waits(self) -> bool:
        """Whether what it is to be taken from is not there yet, which is no mistake."""
        return self.lacks and not (self.kind == REFERENCE and self.refused)

    @property
    def lacks(self) -> bool:
        """Whether what it is to be taken from is not there."""
        lacking = {REFERENCE: self.reference is None, PASTED: not (self.pasted or "").strip(), SEED: self.seed is None}
        return lacking.get(self.kind, False)


@dataclass(frozen=True)
class Keep:
    """How much of the source is kept. masks: whether its face is, where the model can; parts: with which weights, as in
    `masks.combine`; likeness: 0 to 1, where the model offers it."""

    masks: bool = True
    parts: Mapping[str, float] = field(default_factory=dict)
    likeness: float = 1.0


@dataclass(frozen=True)
class SourceSquare:
    """A picture as the model takes it: its square, and sentences for the person. face: None where none was sought."""

    image: Image.Image
    notes: tuple[str, ...]
    face: Face | None = None


Value = TypeVar("Value")


class Lately(Generic[Value]):
    """The values that were used last."""

    def __init__(self, count: int = KEPT_SOURCES) -> None:
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._count, self._lock = count, Lock()

    def get(self, key: Hashable) -> Value | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Hashable, value: Value) -> Value:
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._count:
                self._values.popitem(last=False)
        return value

    def drop(self, key: Hashable) -> None:
        with self._lock:
            self._values.pop(key, None)


DIGESTS: Lately[str] = Lately(8 * KEPT_SOURCES)  # of files' contents
FACES: Lately[list[Face]] = Lately()  # by the picture's content and the aligner: they are the same for all models


class Studio:
    """Translates files. Sources are kept by content, so that a new style costs one decoding alone."""

    def __init__(self, model: Model, threads: int = 0, compiled: bool = True) -> None:
        """threads: of this process, 0 for as many as are fastest. compiled: whether to compile in the background."""
        self.model = model
        self.has_masks = model.has_masks
        # Whether sources are aligned unless a person says otherwise, by what they are where they are, and what is to be said of it.
        found, self.on_alignment = aligner_for(model)
        self.aligns, self.aligner = found is not None, found or "fan-68"
        self._squares: Lately[SourceSquare] = Lately()
        self._encoded: Lately[Encoded] = Lately()
        self._rows: Lately[Future[list[Image.Image]]] = Lately(KEPT_ROWS)
        self._beginning = Lock()
        self._compiling = Timer(COMPILE_AFTER, self._compile)
        if zero.ACTIVE:
            return
        # The first call of every kernel is slow; nobody should wait for it.
        self.translator.tune(threads)
        warm = self.translator.encode(torch.zeros(1, 3, model.config.image_size, model.config.image_size))
        self.translator.decode(warm, torch.zeros(model.config.style_dim))
        warm_up()
        if compiled:
            self._compiling.daemon = True
            self._compiling.start()

    def _compile(self) -> None:
        """Compiles behind what visitors ask for. Where threads can have a priority of their own, this one and the compilers that it
        starts have a lower one: not the lowest, as others wait while it holds the interpreter. They wait for that at each of a
        decoding's layers, which at 5 ms a turn came to seconds."""
        sys.setswitchinterval(TURN)
        if sys.platform == "linux":
            give_way(get_native_id())
        self.translator.compile()

    def rest(self) -> None:
        """Begins nothing more on its own: it is no longer kept for others."""
        self._compiling.cancel()

    @functools.cached_property
    def translator(self) -> Translator:
        """Of this process: under ZeroGPU, only those that run a call have the GPU."""
        return Translator(self.model, zero.device())

    @property
    def has_likeness(self) -> bool:
        """Whether the model lets one choose how much of the person is kept."""
        return self.model.has_likeness

    def checked(self, likeness: float) -> float:
        """A likeness that a program asks for; ValueError where this model does not offer it."""
        blending.check(likeness, self.has_likeness, self.model.name)
        return likeness

    @property
    def domains(self) -> tuple[str, ...]:
        return tuple(self.model.config.domains)

    def prepare(self, source: SourceChoice) -> SourceSquare:
        """Reads and aligns a picture, or finds it again; ImageError, AlignError or CheckpointError otherwise."""
        key = self._key(source)
        if (kept := self._squares.get(key)) is not None:
            return kept
        size = self.model.config.image_size
        content = _file(source, Path.read_bytes)
        picture = images.read(content)
        if source.framed:
            faces = self.faces(content, picture)
            face = faces[choose(faces, source.face)]
            image, notes = square(picture, face, size, self.model.frame)
            found = SourceSquare(image, (self.on_alignment, *notes) if self.aligns and self.on_alignment else notes, face)
        else:
            found = SourceSquare(images.centre_crop(picture, size), ())
        return self._squares.put(key, found)

    def faces(self, content: bytes, picture: Image.Image | None = None) -> list[Face]:
        """The faces of a picture from left to right, one at least; picture: what was read of it already. Errors as in `prepare`."""
        key = hashlib.sha256(content).hexdigest(), self.aligner
        known = FACES.get(key)
        return known or FACES.put(key, find_all(images.read(content) if picture is None else picture, backend=self.aligner))

    def encode(self, source: SourceChoice, keep: Keep) -> Encoded:
        """The source, ready for any style; errors as in `prepare`."""
        key = self._key(source)
        likeness = self._likeness(keep)
        encoded = self._encoded.get(key)
        if encoded is None:
            encoded = self.translator.encode(self.prepare(source).image, masks=False, likeness=likeness)
        elif likeness is not None:
            encoded = self.translator.with_likeness(encoded, likeness)
        masked = self.translator.with_masks(encoded, keep.masks, keep.parts)
        # What the FAN has found once holds for all masks.
        self._encoded.put(key, replace(encoded, parts=masked.parts or encoded.parts))
        return masked

    def encode_square(self, square: Image.Image, keep: Keep) -> Encoded:
        """A square that is not seen again, as the next frame of a camera is not."""
        return self.translator.encode(square, keep.masks, keep.parts, self._likeness(keep))

    def _likeness(self, keep: Keep) -> float | None:
        return keep.likeness if self.has_likeness else None

    def decode(self, encoded: Encoded, codes: Tensor) -> list[Image.Image]:
        """Styles (style_dim,) or (K, style_dim) -> as many pictures."""
        return [images.to_pil(picture) for picture in self.translator.decode(encoded, codes)]

    def style(self, choice: StyleChoice, strength: float = 1.0, aligned: bool = True) -> Tensor:
        """The style (style_dim,) that a person describes; a ValueError says what is wrong.

        strength: 0 gives the domain's mean style, 1 the style itself, more exaggerates it. aligned: as for sources.
        """
        domain = choice.domain or self.domains[-1]
        if choice.kind == PASTED:
            style = styles.from_json(choice.pasted or "", self.model, domain)
        elif choice.kind == REFERENCE:
            if choice.reference is None and not choice.refused:
                raise ValueError("there is no reference yet; drop one, or take the style from a seed")
            style = self.translator.style(self._reference(choice, aligned), domain)
        else:
            if choice.seed is None:
                raise ValueError("there is no seed yet; give a whole number, 0 or above")
            if not 0 <= choice.seed <= MOST_SEED or choice.seed != int(choice.seed):
                raise ValueError(f"the seed is {choice.seed}; it has to be a whole number from 0 to {MOST_SEED}")
            style = styles.from_seed(self.model, domain, int(choice.seed))
        return styles.truncate(self.model, domain, style, strength)

    def _reference(self, choice: StyleChoice, aligned: bool) -> Image.Image:
        """Its square; a ValueError that says that it is the reference with which something is wrong."""
        try:
            return self.prepare(SourceChoice(choice.reference, aligned, refused=choice.refused)).image
        except ValueError as error:
            raise ValueError(f"the reference cannot be used. {said(error)}") from None

    def seeds(self, source: SourceChoice, keep: Keep, domain: str, seeds: Sequence[int], strength: float) -> list[Image.Image]:
        """The source in the styles of seeds. Who asks for what is being made, as a page does for two styles of a domain, waits for
        it."""
        key = self._key(source), keep.masks, tuple(sorted(keep.parts.items())), keep.likeness, domain, tuple(seeds), strength
        with self._beginning:
            row = self._rows.get(key)
            if ours := row is None:
                row = self._rows.put(key, Future())
        if ours:
            try:
                codes = torch.stack([self.style(StyleChoice(domain, SEED, seed), strength) for seed in seeds])
                row.set_result(self.decode(self.encode(source, keep), codes))
            except BaseException as error:
                self._rows.drop(key)
                row.set_exception(error)
        return row.result()

    def reconstruct(self, source: SourceChoice, translated: Image.Image, domain: str, keep: Keep) -> Image.Image:
        """The translated picture in the source's own style of `domain`, as much of it kept as of the source: what the cycle loss is
        about (paper, equation 4)."""
        own = self.translator.style(self.prepare(source).image, domain)
        return self.decode(self.encode_square(translated, keep), own)[0]

    def overlay(self, source: SourceChoice, keep: Keep) -> Image.Image | None:
        """What is kept of the source, in orange over it; None without masks."""
        found = self.encode(source, keep).masks
        if found is None:
            return None
        x = images.to_tensor(self.prepare(source).image)
        opacity = 0.7 * F.interpolate(found[0], size=x.shape[-2:], mode="bilinear")
        orange = torch.tensor([1.0, 0.1, -0.8]).view(1, 3, 1, 1)
        return images.to_pil(x * (1 - opacity) + orange * opacity)

    @staticmethod
    def _key(source: SourceChoice) -> tuple[Hashable, ...]:
        """What a square depends on: the picture's content, for which its file is read once as long as it stays as it is."""
        now = _file(source, Path.stat)
        file = source.path, now.st_ino, now.st_mtime_ns, now.st_size
        digest = DIGESTS.get(file) or DIGESTS.put(file, hashlib.sha256(_file(source, Path.read_bytes)).hexdigest())
        return digest, source.framed, source.face


def _file(source: SourceChoice, ask: Callable[[Path], Value]) -> Value:
    """What a picture's file answers; ValueError where there is none, ImageError where it has gone."""
    if source.path is None:
        raise ValueError(source.refused or "there is no source yet; drop a portrait into the first box, or take an example")
    try:
        return ask(Path(source.path))
    except OSError:
        raise images.ImageError(deleted("picture")) from None

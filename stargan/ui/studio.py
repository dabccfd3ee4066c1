"""What the tabs share: one model, and the sources that it has seen lately."""

from __future__ import annotations

import functools
import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Timer
from typing import Any

import gradio as gr
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from stargan import styles, zoo
from stargan.faces.align import align, warm_up
from stargan.files.download import Progress
from stargan.media import images
from stargan.model import Model
from stargan.translate import Encoded, Translator
from stargan.ui import zero

KEPT_SOURCES = 32
KEPT_MODELS = 3
COMPILE_AFTER = 5.0  # seconds: the page comes up first
SEED, REFERENCE, PASTED = "seed", "reference", "pasted"


def sentence(error: ValueError) -> gr.Error:
    """What the page shows instead of a traceback."""
    text = str(error).rstrip(".")
    return gr.Error(f"{text[:1].upper()}{text[1:]}.", title="", print_exception=False)


def masks_state(studio: Studio) -> dict[str, Any]:
    """How the switch for masks stands for a model: where it has none, off, and saying why."""
    kept = "Eyes, brows, nose, mouth and jaw of the source survive."
    missing = "This model has no face alignment network, so there are no masks."
    return {"value": studio.has_masks, "interactive": studio.has_masks, "info": kept if studio.has_masks else missing}


def masks_switch(studio: Studio, elem_id: str) -> gr.Checkbox:
    """Whether the source's face is kept."""
    return gr.Checkbox(label="Keep the face (FAN masks)", elem_id=elem_id, **masks_state(studio))


def domain_state(studio: Studio, position: int = -1) -> dict[str, Any]:
    """The choices of domains for a model; position: of the one that is chosen."""
    domains = list(studio.model.config.domains)
    return {"choices": domains, "value": domains[position]}


def picture_input(label: str, elem_id: str, height: int) -> gr.Image:
    """An image input that hands the file on as it came: `images.read` turns it upright, checks it and words the errors."""
    picture = gr.Image(
        label=label, alt_text=label, elem_id=elem_id, height=height, type="filepath", sources=["upload", "clipboard", "webcam"]
    )

    def as_it_came(payload: Any) -> Any:
        return payload.path if payload is not None else None

    picture.preprocess = as_it_came  # type: ignore[method-assign]
    return picture


@dataclass(frozen=True)
class Prepared:
    """A picture as the model takes it. notes are sentences for the person; encoded is there once it was a source."""

    image: Image.Image
    notes: tuple[str, ...]
    encoded: Encoded


@dataclass(frozen=True)
class Outcome:
    """image is the translation, source the square it was made from, overlay the mask over the source (None without), style
    (style_dim,) the style."""

    image: Image.Image
    source: Image.Image
    overlay: Image.Image | None
    style: Tensor
    status: str


class Studio:
    """Translates files. Prepared sources are kept by content, so that a new style costs one decoding alone."""

    def __init__(self, model: Model, threads: int = 0, compiled: bool = True) -> None:
        """threads: of this process, 0 for as many as are fastest. compiled: whether to compile in the background."""
        self.model = model
        self.has_masks = model.fan is not None and model.config.w_hpf > 0
        self._kept: OrderedDict[tuple[str, bool], Prepared] = OrderedDict()
        self._lock = Lock()
        if zero.ACTIVE:
            return
        # The first call of every kernel is slow; nobody should wait for it.
        self.translator.tune(threads)
        warm = self.translator.encode(torch.zeros(1, 3, model.config.image_size, model.config.image_size))
        self.translator.decode(warm, torch.zeros(model.config.style_dim))
        warm_up()
        if compiled:
            later = Timer(COMPILE_AFTER, self.translator.compile)
            later.daemon = True
            later.start()

    @functools.cached_property
    def translator(self) -> Translator:
        """Of this process: under ZeroGPU, only those that run a call have the GPU."""
        return Translator(self.model, zero.device())

    def prepare(self, path: str, aligned: bool) -> Prepared:
        """Reads, aligns and encodes a picture, or finds it again; ImageError, AlignError or CheckpointError otherwise."""
        content = Path(path).read_bytes()
        key = hashlib.sha256(content).hexdigest(), aligned
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        size = self.model.config.image_size
        picture = images.read(content)
        if aligned:
            found = align(picture, size)
            square, notes = found.image, found.notes
        else:
            square, notes = images.centre_crop(picture, size), ()
        prepared = Prepared(square, notes, self.translator.encode(square))
        with self._lock:
            self._kept[key] = prepared
            while len(self._kept) > KEPT_SOURCES:
                self._kept.popitem(last=False)
        return prepared

    def style(
        self,
        domain: str,
        style_from: str,
        seed: float | None,
        psi: float,
        references: Sequence[tuple[str | None, float]],
        aligned: bool,
        pasted: str = "",
    ) -> tuple[Tensor, list[str]]:
        """A style (style_dim,) as a person describes it, and notes for them; references are files with weights. A ValueError says
        what is wrong."""
        if style_from == PASTED:
            return styles.from_json(pasted, self.model), []
        if style_from == REFERENCE:
            given = [(path, weight) for path, weight in references if path is not None]
            if not given:
                raise ValueError("there is no reference yet; drop one, or take the style from a seed")
            shown = [self.prepare(path, aligned) for path, _ in given]
            notes = [f"Reference: {note}" for prepared in shown for note in prepared.notes]
            found = [self.translator.style(prepared.image, domain) for prepared in shown]
            return styles.mix(found, [weight for _, weight in given]) if len(found) > 1 else found[0], notes
        if seed is None or seed != int(seed):
            raise ValueError("the seed has to be a whole number, 0 or above")
        return styles.from_seed(self.model, domain, int(seed), psi), []

    def translate(
        self,
        source: str | None,
        aligned: bool,
        style: Callable[[], tuple[Tensor, list[str]]],
        masks: bool,
        parts: Mapping[str, float] | None = None,
    ) -> Outcome:
        """Translates the picture in a file into the style that `style` gives; a ValueError says what is wrong."""
        start = time.perf_counter()
        prepared = self.source(source, aligned)
        code, notes = style()
        encoded = self.translator.with_masks(prepared.encoded, masks, parts)
        ready = time.perf_counter()
        image = images.to_pil(self.translator.decode(encoded, code))
        end = time.perf_counter()
        times = f"**{1000 * (end - start):.0f} ms** ({1000 * (end - ready):.0f} ms of it decoding; {self.translator.path})"
        overlay = _overlay(prepared.image, encoded.masks[0]) if encoded.masks is not None else None
        return Outcome(image, prepared.image, overlay, code, "  \n".join([times, *prepared.notes, *notes]))

    def others(self, source: str | None, domain: str, first: int, count: int, masks: bool, aligned: bool) -> list[Image.Image]:
        """The source in the styles of `count` seeds, from `first` on."""
        encoded = self.translator.with_masks(self.source(source, aligned).encoded, masks)
        codes = torch.stack([styles.from_seed(self.model, domain, seed) for seed in range(first, first + count)])
        return [images.to_pil(x) for x in self.translator.decode(encoded, codes)]

    def reconstruct(self, source: str | None, translated: Image.Image, domain: str, masks: bool, aligned: bool) -> Image.Image:
        """The translated picture in the source's own style of `domain`: what the cycle loss is about (paper, equation 4)."""
        own = self.translator.style(self.source(source, aligned).image, domain)
        return images.to_pil(self.translator.decode(self.translator.encode(translated, masks=masks), own))

    def source(self, path: str | None, aligned: bool) -> Prepared:
        """`prepare`, with a sentence where there is no picture yet."""
        if path is None:
            raise ValueError("there is no source yet; drop a portrait into the first box")
        return self.prepare(path, aligned)


class Library:
    """Studios by the name of their model. The lately used ones are kept; the others are loaded anew when they are wanted again,
    and so are those whose file is another one by now, as training leaves it."""

    def __init__(self, default: str, threads: int = 0, compiled: bool = True) -> None:
        """default: a model's name, or its file; ZooError or CheckpointError where it cannot be loaded. The rest as in `Studio`."""
        self.default, self.threads, self.compiled = default, threads, compiled
        self._studios: OrderedDict[str, tuple[int, Studio]] = OrderedDict()
        self._fetched: list[str] = []  # from the Hub
        self._lock = Lock()
        if zero.ACTIVE:
            # A process that is forked while another thread holds the lock would wait for it for ever.
            os.register_at_fork(before=self._lock.acquire, after_in_parent=self._lock.release, after_in_child=self._lock.release)
        self.get(default)

    def names(self) -> list[str]:
        """All models that a visitor may choose now: nobody can have another file of this machine opened."""
        here = [name for name, entry in zoo.downloadable().items() if entry.here]
        return list(dict.fromkeys([self.default, *zoo.available(), *here, *self._fetched]))

    def fetch(self, name: str, accept_licence: bool, progress: Progress) -> None:
        """Downloads a published model, or one from the Hub, and offers it from then on; ZooError or CheckpointError otherwise."""
        if name not in zoo.downloadable() and not name.startswith("hf:"):
            raise zoo.ZooError(f"{name!r} cannot be downloaded; choose one of {', '.join(zoo.downloadable())}, or one on the Hub")
        zoo.load(name, accept_licence, progress)
        if name.startswith("hf:") and name not in self._fetched:
            self._fetched.append(name)

    def get(self, name: str) -> Studio:
        """The studio of a model; ZooError for one that is not offered, CheckpointError where it cannot be loaded."""
        with self._lock:
            path = zoo.available().get(name)
            if path is None and name not in self.names():
                raise zoo.ZooError(f"there is no model {name!r} here; choose one of {', '.join(self.names())}")
            written = path.stat().st_mtime_ns if path is not None else 0
            if name not in self._studios or self._studios[name][0] != written:
                self._studios[name] = written, Studio(zoo.load(name), self.threads, self.compiled)
            self._studios.move_to_end(name)
            while len(self._studios) > KEPT_MODELS:
                self._studios.popitem(last=False)
            return self._studios[name][1]


def _overlay(image: Image.Image, mask: Tensor) -> Image.Image:
    """The mask (1, 1, H, W), in orange over the source."""
    x = images.to_tensor(image)
    share = 0.7 * F.interpolate(mask, size=x.shape[-2:], mode="bilinear")
    orange = torch.tensor([1.0, 0.1, -0.8]).view(1, 3, 1, 1)
    return images.to_pil(x * (1 - share) + orange * share)

"""Translation: a source is encoded once, then decoded for any number of styles."""

from __future__ import annotations

import copy
import functools
import hashlib
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from stargan import blending
from stargan.faces import masks
from stargan.fast import FastGenerator, FastStyleEncoder
from stargan.media import images
from stargan.memory import enough_memory
from stargan.model import Model
from stargan.networks import Generator
from stargan.precision import PRECISIONS, fastest, undisturbed

TOGETHER = 8  # styles that are decoded at once
KEPT_STYLES = 256
COMPILED = "encode", "decode", "heatmaps"  # other calls would gain a few hundredths of their time
LESS = "take a smaller model, fewer pictures at a time, or close other programs, and try again"
# The smallest side at which kernels are folded: folded ones are larger, and small feature maps gain little from them. `tune` tries
# all of these, and takes the first until then.
FOLD_FROM = 16, 32, 64

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Encoded:
    """A source, ready to be decoded.

    image (1, 3, S, S) is the source in [-1, 1]; features are the innermost ones of the encoder, normalized the same after the
    instance normalisation of the first decoder block; kept features by side, which masks are laid over; parts the masks of facial
    parts (none before they were needed); masks the full and the inner one, (1, 1, H, W) in [0, 1], or None; skips what the
    decoder adds; likeness that of the generator that encoded it, and will decode it.
    """

    image: Tensor
    features: Tensor
    normalized: Tensor
    kept: dict[int, Tensor]
    parts: dict[str, Tensor]
    masks: tuple[Tensor, Tensor] | None
    skips: dict[int, Tensor]
    likeness: float = 1.0


class Translator:
    """Holds a model ready on a device.

    device: cpu, cuda or mps; auto takes the fastest that is there. precision: auto takes what is fastest on the device; fp32
    gives the golden values. likeness: where the model offers a choice (`has_likeness`), how much of the person outputs keep, 0 to
    1, unless `encode` is given another; ValueError for another than 1 where it does not.
    ValueError also for a device or a precision that is not there.
    """

    @undisturbed()
    def __init__(self, model: Model, device: str = "auto", precision: str = "auto", likeness: float = 1.0) -> None:
        if precision not in ("auto", *PRECISIONS):
            raise ValueError(f"precision is {precision!r}; choose one of auto, {', '.join(PRECISIONS)}")
        _outlive_forks()
        self.model = model
        self.has_likeness = model.has_likeness
        self.likeness = self.check_likeness(likeness)
        self.device = _device(device)
        self.precision = fastest(self.device) if precision == "auto" else precision
        self.dtype = PRECISIONS[self.precision]
        if self.precision == "fp32":
            torch.backends.cudnn.allow_tf32 = False  # which would round convolutions to 10 bits
        self.compiled = False
        self.generator = self._fast(model.generator, FOLD_FROM[0])
        self._blend = self._blending(FOLD_FROM[0])
        self.style_encoder = FastStyleEncoder(model.style_encoder, self.dtype, FOLD_FROM[0]).to(self.device)
        self.has_masks = model.has_masks
        self.fan = copy.deepcopy(model.fan if self.has_masks else None)
        if self.fan is not None:
            self.fan.to(self.device, self.dtype).to(memory_format=torch.channels_last)
        self._styles: OrderedDict[tuple[str, int], Tensor] = OrderedDict()
        self._lock = threading.Lock()
        self._calls: dict[str, Callable[..., Any]] = self._plain()
        self._no_skips: dict[int, Tensor] = {}  # what is decoded without masks

    def __reduce__(self) -> tuple[type[Translator], tuple[Model, str, str, float]]:
        """Copied and sent to other processes as what it is made of; it is made anew there, neither tuned nor compiled."""
        return Translator, (self.model, str(self.device), self.precision, self.likeness)

    @property
    def path(self) -> str:
        """How translations are made here, in words."""
        return f"{self.device.type}, {self.precision}, channels_last, {'compiled' if self.compiled else 'eager'}"

    @classmethod
    def from_pretrained(
        cls, name: str = "", device: str = "auto", precision: str = "auto", likeness: float = 1.0, **options: Any
    ) -> Translator:
        """A translator for a model by name: a bundled one (the first by default), a file, or `hf:user/name`; options as for
        `zoo.load`, whose errors it raises."""
        from stargan import zoo

        return cls(zoo.load(name or zoo.DEFAULT, **options), device, precision, likeness)

    @enough_memory(LESS)
    @undisturbed()
    def encode(
        self,
        source: Image.Image | Tensor,
        masks: bool = True,
        parts: Mapping[str, float] | None = None,
        likeness: float | None = None,
    ) -> Encoded:
        """Encodes a square picture, or a tensor (1, 3, H, W) in [-1, 1], resized to what the model takes; ValueError
        for another tensor.

        masks: keep the source's face where the model can. parts: the weight of each facial part, as in `masks.combine`. likeness:
        0 to 1, by default the translator's.
        """
        return self.with_masks(self._encoded(self._square(source), self.check_likeness(likeness)), masks, parts)

    def _encoded(self, x: Tensor, likeness: float) -> Encoded:
        with self._blend.at(likeness):
            features, normalized, kept = self._calls["encode"](self._ready(x))
        return Encoded(x, features, normalized, kept, {}, None, {}, likeness)

    @enough_memory(LESS)
    @undisturbed()
    def with_likeness(self, encoded: Encoded, likeness: float) -> Encoded:
        """The same source under the same masks at another likeness. The encoder runs again, the FAN does not."""
        if self.check_likeness(likeness) == encoded.likeness:
            return encoded
        made = replace(self._encoded(encoded.image, likeness), parts=encoded.parts, masks=encoded.masks)
        if encoded.masks is None:
            return made
        full, inner = (mask.to(self.device) for mask in encoded.masks)
        return replace(made, skips=self._calls["skips"](made.kept, (full, inner)))

    def check_likeness(self, wanted: float | None) -> float:
        """A likeness that this model offers, by default the translator's; ValueError where it does not."""
        if wanted is None:
            return self.likeness
        blending.check(wanted, self.has_likeness, self.model.name)
        return float(wanted)

    @enough_memory(LESS)
    @undisturbed()
    def with_masks(self, encoded: Encoded, on: bool = True, parts: Mapping[str, float] | None = None) -> Encoded:
        """The same source under other masks. The encoder does not run again, the FAN only where it did not run yet."""
        if not on or not self.has_masks:
            return replace(encoded, masks=None, skips={})
        found = encoded.parts or masks.part_masks(self._calls["heatmaps"](self._ready(encoded.image)))
        full, inner = masks.combine(found, parts)
        skips = self._calls["skips"](encoded.kept, (full, inner))
        return replace(encoded, parts=found, masks=(full.cpu(), inner.cpu()), skips=skips)

    @enough_memory(LESS)
    @undisturbed()
    def decode(self, encoded: Encoded, style: Tensor) -> Tensor:
        """A style (style_dim,) or styles (K, style_dim) -> images (K, 3, S, S) in [-1, 1], float32, on the CPU; ValueError
        for styles of another length, or none."""
        count = self.model.config.style_dim
        if style.shape[-1:] != (count,) or not style.numel():
            raise ValueError(f"a style of this model has {count} numbers, not {list(style.shape)}; give ({count},) or (K, {count})")
        # A copy, as compiled code would be compiled anew for a tensor of inference mode.
        styles = style.reshape(-1, count).to(self.device, torch.float32, copy=True)
        # A processor has its hands full with one, unless what it does is compiled.
        groups = styles.split(TOGETHER if self.compiled or self.device.type != "cpu" else 1)
        # Compiled code knows two numbers of styles; a rest would be compiled anew.
        if self.compiled and len(groups[-1]) < TOGETHER:
            groups = (*groups[:-1], *groups[-1].split(1))
        decode, skips = self._calls["decode"], encoded.skips or self._no_skips
        with self._blend.at(encoded.likeness):
            return torch.cat([decode(encoded.features, encoded.normalized, group, skips).cpu() for group in groups])

    @enough_memory(LESS)
    @undisturbed()
    def style(self, reference: Image.Image | Tensor, domain: str | int) -> Tensor:
        """The style (style_dim,) of a reference, as `styles.from_reference`, kept by content."""
        x, index = self._square(reference), self.model.config.domain_index(domain)
        key = hashlib.sha256(x.contiguous().numpy().data).hexdigest(), index
        with self._lock:
            if key in self._styles:
                self._styles.move_to_end(key)
                return self._styles[key].clone()  # which a caller may change
        style = self._calls["styles"](self._ready(x))[0, index].cpu()
        with self._lock:
            self._styles[key] = style
            while len(self._styles) > KEPT_STYLES:
                self._styles.popitem(last=False)
        return style.clone()

    @undisturbed()
    def tune(self, threads: int = 0) -> None:
        """Measures with how many threads, and with kernels folded down to which side, this device translates fastest, and stays
        with that. threads: takes that many without measuring; OMP_NUM_THREADS, where it is set, decides as well. They are of the
        whole process, except for Python threads that have already worked. To be called before `compile`."""
        size = self.model.config.image_size
        x = self._ready(self._square(torch.zeros(1, 3, size, size, device="cpu")))
        styles = torch.zeros(1, self.model.config.style_dim, dtype=torch.float32, device=self.device)

        def seconds(generator: FastGenerator) -> float:
            times = []
            for _ in range(4):
                start = time.perf_counter()
                features, normalized, _ = generator.encode(x)
                generator.decode(features, normalized, styles, {}).cpu()
                times.append(time.perf_counter() - start)
            return min(times)

        if threads:
            torch.set_num_threads(threads)
        elif self.device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
            found: dict[int, float] = {}
            count = os.cpu_count() or 1
            while count:
                torch.set_num_threads(count)
                found[count] = seconds(self.generator)
                count //= 2
            torch.set_num_threads(min(found, key=lambda n: found[n]))
        generators = {side: self._fast(self.model.generator, side) for side in FOLD_FROM}
        best = min(generators, key=lambda side: seconds(generators[side]))
        self.generator = generators[best]
        self._blend = self._blending(best)
        self._calls = self._plain()

    def compile(self) -> bool:
        """Compiles for this device and takes over what came out, which takes a minute or two; until then, and where it fails (there
        is no C++ compiler, say), everything goes on as it was. Returns whether it worked. May run in a thread of its own."""
        # The limit counts all models of a process together.
        torch.compiler.config.recompile_limit = max(torch.compiler.config.recompile_limit, 256)
        config = self.model.config
        calls = self._plain()
        # All kernels of a graph as one piece of C++ are compiled in two thirds of the time that they take one by one. What calls
        # them is a piece of its own: optimised as they are, it takes longer to compile and is no faster.
        options: Any = {"cpp_wrapper": True, "cpp_wrapper_build_separate": True} if self.device.type == "cpu" else None
        calls |= {name: torch.compile(calls[name], dynamic=False, options=options) for name in COMPILED if name in calls}
        x = self._square(torch.zeros(1, 3, config.image_size, config.image_size, device="cpu"))
        try:
            with undisturbed():
                features, normalized, kept = calls["encode"](self._ready(x))
                skips: dict[int, Tensor] = {}
                if self.has_masks:
                    parts = masks.part_masks(calls["heatmaps"](self._ready(x)))
                    # Zeros, where masks are off, need no graphs of their own.
                    skips = {side: torch.zeros_like(skip) for side, skip in calls["skips"](kept, masks.combine(parts)).items()}
                for count in (1, TOGETHER):
                    styles = torch.zeros(count, config.style_dim, dtype=torch.float32, device=self.device)
                    calls["decode"](features, normalized, styles, skips)
        # Compilers fail in ways of their own.
        except Exception as error:
            log.warning("translation is not compiled, and somewhat slower: %s", " ".join(str(error).split())[:300])
            return False
        self._no_skips, self._calls, self.compiled = skips, calls, True
        return True

    def _fast(self, generator: Generator, fold_from: int) -> FastGenerator:
        return FastGenerator(generator, self.dtype, fold_from).to(self.device)

    def _blending(self, fold_from: int) -> blending.Blend:
        """Folding is linear, so that folded weights can be blended as they are."""
        return blending.Blend(self.generator, self._fast(self.model.free, fold_from) if self.model.free is not None else None)

    def _plain(self) -> dict[str, Callable[..., Any]]:
        calls: dict[str, Callable[..., Any]] = {
            "encode": self.generator.encode,
            "skips": self.generator.skips,
            "decode": self.generator.decode,
            "styles": self.style_encoder,
        }
        return calls if self.fan is None else calls | {"heatmaps": self.fan}

    def _square(self, picture: Image.Image | Tensor) -> Tensor:
        size = self.model.config.image_size
        # Written anew: compiled code wants the same strides every time, those of length-1 dimensions included.
        made = torch.empty((1, 3, size, size), dtype=torch.float32, device="cpu", memory_format=torch.channels_last)
        return made.copy_(images.to_square(picture, size))

    def _ready(self, x: Tensor) -> Tensor:
        return x.to(self.device, self.dtype)


@functools.cache
def _outlive_forks() -> None:
    """A process that is forked from this one has none of torch's threads, and would wait for them without end."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
        return torch.device(name)
    # Without CUDA in PyTorch it is an AssertionError.
    except (RuntimeError, TypeError, AssertionError):
        raise ValueError(f"the device {name!r} is none that is here; choose auto, cpu, cuda or mps") from None

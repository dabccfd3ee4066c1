"""Translation: a source is encoded once, then decoded for any number of styles."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from stargan import images, masks
from stargan.checkpoint import Model

PRECISIONS = ("auto", "bf16", "fp32")


@dataclass(frozen=True)
class Encoded:
    """A source, ready to be decoded.

    image (1, 3, S, S) is the source in [-1, 1]; features are the innermost ones of the encoder; kept its features by side;
    parts the masks of facial parts (none without a FAN); masks the full and the inner one, (1, 1, H, W) in [0, 1], or None.
    """

    image: Tensor
    features: Tensor
    kept: dict[int, Tensor]
    parts: dict[str, Tensor]
    masks: tuple[Tensor, Tensor] | None
    skips: dict[int, Tensor]


class Translator:
    """Holds a model ready on a device.

    device: cpu, cuda or mps. precision: auto takes bf16 where the device has units for it; fp32 gives the golden values.
    """

    def __init__(self, model: Model, device: str = "cpu", precision: str = "auto") -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision is {precision!r}; choose one of {', '.join(PRECISIONS)}")
        self.model = model
        self.device = torch.device(device)
        self.precision = ("bf16" if _has_bf16(self.device) else "fp32") if precision == "auto" else precision
        self.dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        # The styles come from the model itself, in float32, so the generator here is a copy.
        self.generator = copy.deepcopy(model.generator).to(self.device, self.dtype).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def encode(self, source: Image.Image | Tensor, masks: bool = True, parts: Mapping[str, float] | None = None) -> Encoded:
        """Encodes a square picture, or a tensor (1, 3, H, W) in [-1, 1], resized to what the model takes.

        masks: keep the source's face where the model can. parts: the weight of each facial part, as in `masks.combine`.
        """
        x = images.to_tensor(source) if isinstance(source, Image.Image) else source
        size = self.model.config.image_size
        if x.shape[-2:] != (size, size):
            x = F.interpolate(x, size=(size, size), mode="bilinear", antialias=True)
        found = self._parts(x)
        features, kept = self.generator.features(self._ready(x))
        encoded = Encoded(x, features, kept, found, None, {})
        return self.with_masks(encoded, masks, parts)

    @torch.inference_mode()
    def with_masks(self, encoded: Encoded, on: bool = True, parts: Mapping[str, float] | None = None) -> Encoded:
        """The same source under other masks; the encoder does not run again."""
        if not on or not encoded.parts:
            return Encoded(encoded.image, encoded.features, encoded.kept, encoded.parts, None, {})
        full, inner = masks.combine(encoded.parts, parts)
        skips = self.generator.skips(encoded.kept, (full.to(self.device), inner.to(self.device)))
        return Encoded(encoded.image, encoded.features, encoded.kept, encoded.parts, (full, inner), skips)

    @torch.inference_mode()
    def decode(self, encoded: Encoded, style: Tensor) -> Tensor:
        """A style (style_dim,) or styles (K, style_dim) -> images (K, 3, S, S) in [-1, 1], float32, on the CPU."""
        style = style.reshape(-1, self.model.config.style_dim).to(self.device, self.dtype)
        # The source's tensors are broadcast over the styles.
        features = encoded.features.expand(len(style), -1, -1, -1)
        return self.generator.synthesize(features, style, encoded.skips).float().cpu().clamp(-1, 1)

    def _ready(self, x: Tensor) -> Tensor:
        return x.to(self.device, self.dtype).contiguous(memory_format=torch.channels_last)

    def _parts(self, x: Tensor) -> dict[str, Tensor]:
        # Landmarks are cheap and decide what stays of the face: always in float32.
        if self.model.fan is None or self.model.config.w_hpf == 0:
            return {}
        return masks.part_masks(self.model.fan(x))


def _has_bf16(device: torch.device) -> bool:
    """Whether bf16 arithmetic has units of its own there, rather than being emulated."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    # These ask the processor; the flags bear an underscore but have no public counterpart.
    return device.type == "cpu" and (torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())

"""A model as ONNX files, which need neither this package nor PyTorch: each network a file, checked against the model."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stargan import blending
from stargan.faces.frame import frame_of
from stargan.faces.masks import face_masks
from stargan.fan import FAN
from stargan.files import whole
from stargan.layers import unfolded
from stargan.model import Model
from stargan.networks import Generator, MappingNetwork, StyleEncoder

OPSET = 17
TOLERANCE = {"fp32": 1e-4, "fp16": 2e-2}
# Runtimes normalize in float32, or not at all.
KEPT_IN_FP32 = ["InstanceNormalization", "Resize", "Range"]
CHECKED = 3  # pictures at once; another number than is traced with


class ExportError(ValueError):
    """A model that cannot be exported; the sentence says why and what to do."""


class _Encoder(nn.Module):
    """Image -> innermost features, and those that masks keep, the smallest side first."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        features, kept = self.generator.features(image)
        return (features, *(kept[side] for side in sorted(kept)))


class _Decoder(nn.Module):
    """Features, style, kept features and the two masks -> image."""

    def __init__(self, generator: Generator, sides: tuple[int, ...]) -> None:
        super().__init__()
        self.generator, self.sides = generator, sides

    def forward(self, features: Tensor, style: Tensor, *rest: Tensor) -> Tensor:
        skips = None
        if self.sides:
            *kept, full, inner = rest
            skips = self.generator.skips(dict(zip(self.sides, kept, strict=True)), (full, inner))
        return self.generator.synthesize(features, style, skips)


class _OfDomain(nn.Module):
    """Mapping network or style encoder, for domains that are given with the batch."""

    def __init__(self, network: MappingNetwork | StyleEncoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, domain: Tensor) -> Tensor:
        hidden = self.network.shared(x).flatten(1)
        styles = torch.stack([branch(hidden) for branch in self.network.unshared], dim=1)  # (N, domains, style_dim)
        return styles.gather(1, domain[:, None, None].expand(-1, 1, styles.shape[2]))[:, 0]


class _Masks(nn.Module):
    """Image -> the full and the inner mask."""

    def __init__(self, fan: FAN) -> None:
        super().__init__()
        self.fan = fan

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return face_masks(self.fan(image))


@torch.no_grad()
def export(model: Model, out: Path, precision: str = "fp32", likeness: float = 1.0, seed: int = 0) -> dict[str, float]:
    """Writes encoder, decoder, mapping_network, style_encoder and, for a model with masks, fan as `.onnx` with a dynamic batch, and
    `model.json` with the facts, which are in each file's metadata too. Returns by file how far its outputs are from the model's at
    most, on random inputs.

    precision: fp32, or fp16 with float32 inputs and outputs (but for the small FAN). likeness: of a model that offers the choice, 0
    to 1, else 1. ExportError for another, and where a network cannot be exported, is not what the model is to within `tolerance`,
    or a file cannot be written; what was whole stays, but for the `fan.onnx` of an earlier export where this model has none.
    """
    if precision not in TOLERANCE:
        raise ExportError(f"precision is {precision!r}; choose one of {', '.join(TOLERANCE)}")
    try:
        blending.check(likeness, model.has_likeness, model.name)
    except ValueError as error:
        raise ExportError(str(error)) from None
    if out.exists() and not out.is_dir():
        raise ExportError(f"{out} is a file; give a folder for the networks' files")
    generator = model.generator if model.free is None else blending.blended(model.free, model.generator, likeness)
    parts = _parts(model, generator, seed)
    facts = _facts(model, precision, likeness)
    found: dict[str, float] = {}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, (network, inputs, names, outputs) in parts.items():
            proto = _traced(network.float().eval(), tuple(x[:2] for x in inputs), names, outputs, name)
            allowed = tolerance(name, precision)
            if allowed == TOLERANCE["fp16"]:
                proto = _halved(proto)
            _describe(proto, {**facts, "network": name})
            content = proto.SerializeToString()
            found[name] = _difference(content, network, inputs, names, name)
            if not found[name] <= allowed:
                raise ExportError(
                    f"{name} differs from the model by {found[name]:.2g} in {precision}, more than {allowed:g}; it is "
                    f"not written{', take fp32' if precision == 'fp16' else ''}"
                )
            with whole(out / f"{name}.onnx") as partial:
                partial.write_bytes(content)
        if "fan" not in parts:
            (out / "fan.onnx").unlink(missing_ok=True)
        with whole(out / "model.json") as partial:
            partial.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    except OSError as error:
        raise ExportError(f"{out} cannot be written ({error.strerror or error}); make room, or choose another folder") from None
    return found


def tolerance(name: str, precision: str) -> float:
    """How far a file's outputs may be from the model's. The FAN stays in fp32: where its heatmaps are cut off, a small difference
    becomes a large one."""
    return TOLERANCE["fp32" if name == "fan" else precision]


def _parts(model: Model, generator: Generator, seed: int) -> dict[str, tuple[nn.Module, tuple[Tensor, ...], list[str], list[str]]]:
    """Each network with inputs to check it by, and the names of inputs and outputs."""
    config = model.config
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(CHECKED, 3, 8, 8, generator=rng) * 2 - 1
    image = nn.functional.interpolate(coarse, size=config.image_size, mode="bicubic").clamp(-1, 1)
    latent = torch.randn(CHECKED, config.latent_dim, generator=rng)
    domain = torch.arange(CHECKED) % len(config.domains)
    features, kept = generator.features(image)
    masked = model.fan is not None and bool(kept)
    sides = tuple(sorted(kept)) if masked else ()
    style = model.mapping_network(latent, domain)
    names = [f"kept_{side}" for side in sides]
    # As large as the FAN gives them, which need not be as large as the picture.
    side = face_masks(model.fan(image))[0].shape[-1] if masked and model.fan is not None else 0
    masks = tuple(torch.rand(CHECKED, 1, side, side, generator=rng) for _ in range(2)) if masked else ()
    rest = (*(kept[side] for side in sides), *masks)
    named = [*names, *(("full", "inner") if masked else ())]
    encoder: nn.Module = _Encoder(generator) if masked else _Plain(generator)
    parts: dict[str, Any] = {
        "encoder": (encoder, (image,), ["image"], ["features", *names]),
        "decoder": (_Decoder(generator, sides), (features, style, *rest), ["features", "style", *named], ["image"]),
        "mapping_network": (_OfDomain(model.mapping_network), (latent, domain), ["latent", "domain"], ["style"]),
        "style_encoder": (_OfDomain(model.style_encoder), (image, domain), ["image", "domain"], ["style"]),
    }
    if masked and model.fan is not None:
        parts["fan"] = (_Masks(model.fan), (image,), ["image"], ["full", "inner"])
    return parts


class _Plain(nn.Module):
    """Image -> innermost features alone."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, image: Tensor) -> Tensor:
        return self.generator.features(image)[0]


def _facts(model: Model, precision: str, likeness: float) -> dict[str, Any]:
    return {
        "name": model.name,
        "licence": model.licence,
        "domains": list(model.config.domains),
        "image_size": model.config.image_size,
        "latent_dim": model.config.latent_dim,
        "style_dim": model.config.style_dim,
        "masks": model.has_masks,
        "precision": precision,
        # Images are (N, 3, S, S), RGB, -1 to 1; faces lie in them with these landmarks, as fractions of the side.
        "values": [-1, 1],
        "landmarks": frame_of(model).round(5).tolist(),
    } | ({"likeness": likeness} if model.has_likeness else {})


def _traced(network: nn.Module, inputs: tuple[Tensor, ...], names: list[str], outputs: list[str], name: str) -> Any:
    import onnx

    buffer: Any = io.BytesIO()  # which it takes, too
    axes = {key: {0: "batch"} for key in (*names, *outputs)}
    try:
        with _quiet(), unfolded():  # kernels that are computed have no shape that the exporter knows
            settings: dict[str, Any] = {"opset_version": OPSET, "dynamo": False}
            torch.onnx.export(network, inputs, buffer, input_names=names, output_names=outputs, dynamic_axes=axes, **settings)
    # Exporters fail in ways of their own.
    except Exception as error:
        raise ExportError(f"{name} cannot be exported ({' '.join(str(error).split())[:200]})") from None
    return onnx.load_from_string(buffer.getvalue())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _halved(proto: Any) -> Any:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with _quiet():
        return convert_float_to_float16(proto, keep_io_types=True, op_block_list=KEPT_IN_FP32)


def _describe(proto: Any, facts: dict[str, Any]) -> None:
    for key, value in facts.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value if isinstance(value, str) else json.dumps(value)


def _difference(content: bytes, network: nn.Module, inputs: tuple[Tensor, ...], names: list[str], name: str) -> float:
    """The largest difference of any output, over the largest value of that output where this is above 1."""
    try:
        import onnxruntime

        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        given = session.run(None, {key: x.numpy() for key, x in zip(names, inputs, strict=True)})
    except Exception as error:
        raise ExportError(f"{name} cannot be run by onnxruntime ({' '.join(str(error).split())[:200]})") from None
    wanted = network(*inputs)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    differences = [
        float(np.abs(a - b.numpy()).max() / max(1.0, float(b.abs().max()))) for a, b in zip(given, wanted, strict=True)
    ]
    return max(differences)

"""How fast a model translates, beside the paper's way: the whole forward pass for each picture, eager, float32, contiguous tensors,
convolutions, pooling and upsampling one after the other."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from stargan import export, zoo
from stargan.faces.align import align
from stargan.faces.masks import face_masks
from stargan.faces.track import Tracker
from stargan.fan import FANConfig
from stargan.fast import FastConv
from stargan.files import places
from stargan.layers import unfolded
from stargan.media import images
from stargan.memory import most_used
from stargan.model import Model, build
from stargan.networks import ModelConfig
from stargan.translate import Translator

PUBLISHED = "published"  # stands for the published networks for CelebA-HQ, with random weights
STYLES = 16
ONNX = {"onnx": "full translation", "onnx style": "change of style"}  # what `exported` times
PHOTOGRAPH = 1000


def model(name: str) -> Model:
    """A model by name; `published` has the size of the published one for CelebA-HQ, and random weights."""
    if name != PUBLISHED:
        return zoo.load(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = build(ModelConfig(), FANConfig(), name=PUBLISHED)
        for net in (made.generator, made.style_encoder):
            for module in net.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight)
    return made


@torch.inference_mode()
def plain(model: Model, x: Tensor, styles: Tensor) -> Tensor:
    """The paper's way: everything anew for each picture."""
    with unfolded():
        masks = face_masks(model.fan(x)) if model.fan is not None and model.has_masks else None
        return model.generator(x, styles, masks)


def convolutions(translator: Translator) -> tuple[Callable[[], object], Callable[[], object]]:
    """The convolutions of one encoding and of one decoding, alone, on features of the same shapes."""
    found: list[tuple[FastConv, Tensor]] = []
    generator, size = translator.generator, translator.model.config.image_size

    def remember(conv: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(conv, FastConv)
        found.append((conv, inputs[0].clone()))

    hooks = [m.register_forward_pre_hook(remember) for m in generator.modules() if isinstance(m, FastConv)]
    with torch.no_grad():
        x = torch.zeros(1, 3, size, size, device=translator.device, dtype=translator.dtype)
        features, normalized, _ = generator.encode(x.contiguous(memory_format=torch.channels_last))
        border = len(found)
        generator.decode(features, normalized, torch.zeros(1, translator.model.config.style_dim, device=translator.device), {})
    for hook in hooks:
        hook.remove()

    def alone(calls: list[tuple[FastConv, Tensor]]) -> Callable[[], object]:
        return lambda: [conv(x) for conv, x in calls]

    return alone(found[:border]), alone(found[border:])


def exported(made: Model, x: Tensor, style: Tensor) -> dict[str, Callable[[], object]]:
    """A full translation and a change of style by the model's ONNX files, on CPU; none where onnxruntime is not there, or the model
    cannot be exported."""
    if not all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime")):
        return {}
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # its threads would take the others' turns
    with tempfile.TemporaryDirectory(prefix="stargan-") as place, contextlib.suppress(export.ExportError):
        names = export.export(made, Path(place))
        run = {n: onnxruntime.InferenceSession(Path(place, f"{n}.onnx"), options, ["CPUExecutionProvider"]) for n in names}
        image, code = {"image": x.numpy()}, style.numpy()
        inputs = [value.name for value in run["decoder"].get_inputs()]  # features, style, then what masks keep, and the masks

        def encode() -> dict[str, np.ndarray]:
            features, *kept = run["encoder"].run(None, image)
            masks = run["fan"].run(None, image) if "fan" in run else []
            return dict(zip(inputs, [features, code, *kept, *masks], strict=True))

        ready = encode()
        return {"onnx": lambda: run["decoder"].run(None, encode()), "onnx style": lambda: run["decoder"].run(None, ready)}
    return {}


def child(way: str, name: str) -> dict[str, float]:
    """In a fresh process: seconds of the first translation, and GiB at most."""
    made = model(name)
    x = torch.rand(1, 3, made.config.image_size, made.config.image_size) * 2 - 1
    style = torch.zeros(1, made.config.style_dim)
    translator = Translator(made, "cpu") if way == "fast" else None
    start = time.perf_counter()
    if translator is not None:
        translator.decode(translator.encode(x), style)
    else:
        plain(made, x, style)
    first = time.perf_counter() - start
    return {"first": first, "peak": most_used()}


def _fresh(way: str, name: str) -> dict[str, float]:
    code = f"import json; from stargan import bench; print(json.dumps(bench.child({way!r}, {name!r})))"
    start = time.perf_counter()
    command = [sys.executable, "-W", "ignore", "-c", code]
    path = os.pathsep.join(filter(None, [str(places.ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or [f"it ended with code {done.returncode}, as where memory runs out"])[-1]
        raise ValueError(f"the first translation failed in a fresh process: {why}")
    return {**json.loads(done.stdout.splitlines()[-1]), "start": time.perf_counter() - start}


def portrait() -> Image.Image:
    """Something with a face, PHOTOGRAPH px a side: an example of the bundled model on grey ground."""
    examples = sorted((places.weights() / zoo.DEFAULT / "examples").glob("*"))
    face = images.read(examples[0]).resize((PHOTOGRAPH // 2, PHOTOGRAPH // 2))
    ground = Image.new("RGB", (PHOTOGRAPH, PHOTOGRAPH), (120, 120, 120))
    ground.paste(face, (PHOTOGRAPH // 4, PHOTOGRAPH // 4))
    return ground


def bench(name: str, rounds: int = 20, compiled: bool = True, device: str = "cpu") -> str:
    """Times all cases in turn and returns a Markdown table of medians, with ratios to the paper's way in the same rounds."""
    # First: a process inherits the peak of the one that starts it.
    fresh = {way: _fresh(way, name) for way in ("plain", "fast")} if device == "cpu" else None
    made = model(name)
    translator = Translator(made, device)
    translator.tune()
    if compiled:
        translator.compile()
    median = _medians(_cases(translator), rounds, translator.device.type == "cuda", name)
    head = f"{name}: {made.config.image_size} px, {translator.path}, {torch.get_num_threads()} threads, median of {rounds}\n"
    return "\n".join([head, *_rows(median), *(_rows_of_a_process(**fresh) if fresh else ())])


def _cases(translator: Translator) -> dict[str, Callable[[], object]]:
    made, config = translator.model, translator.model.config
    x = torch.rand(1, 3, config.image_size, config.image_size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    styles = torch.randn(STYLES, config.style_dim, generator=torch.Generator().manual_seed(1))
    encoded = translator.encode(x)
    encoding, decoding = convolutions(translator)
    made.generator.to(translator.device)
    if made.fan is not None:
        made.fan.to(translator.device)
    photograph, tracker = portrait(), Tracker()
    x_plain, style_plain = x.to(translator.device), styles[:1].to(translator.device)
    return {
        "plain": lambda: plain(made, x_plain, style_plain),
        "full": lambda: translator.decode(translator.encode(x), styles[0]),
        "unmasked": lambda: translator.decode(translator.encode(x, masks=False), styles[0]),
        "style": lambda: translator.decode(encoded, styles[0]),
        "masks": lambda: translator.with_masks(encoded, parts={"eyes": 0.5}),
        "styles": lambda: translator.decode(encoded, styles),
        "align": lambda: align(photograph, config.image_size),
        "follow": lambda: tracker.follow(photograph),
        "encoding": lambda: encoding(),
        "decoding": lambda: decoding(),
        **(exported(made, x, styles[:1]) if translator.device.type == "cpu" else {}),
    }


def _medians(cases: Mapping[str, Callable[[], object]], rounds: int, cuda: bool, name: str) -> dict[str, float]:
    """Seconds of each case, all in turn; the first two rounds do not count."""
    seconds: dict[str, list[float]] = {key: [] for key in cases}
    with torch.no_grad():
        for _ in tqdm(range(rounds + 2), desc=name, unit="round"):
            for key, case in cases.items():
                start = time.perf_counter()
                case()
                if cuda:
                    torch.cuda.synchronize()
                seconds[key].append(time.perf_counter() - start)
    return {key: statistics.median(values[2:]) for key, values in seconds.items()}


def _rows(median: Mapping[str, float]) -> list[str]:
    base, floor = median["plain"], median["encoding"] + median["decoding"]

    def row(what: str, value: float, least: float | None = None) -> str:
        return f"| {what} | {1000 * value:.1f} ms | {base / value:.1f}x | {f'{value / least:.2f}x' if least else ''} |"

    return [
        "| | time | against the paper's way | over its convolutions alone |",
        "| --- | ---: | ---: | ---: |",
        row("the paper's way: eager, fp32", base),
        row("full translation, FAN included", median["full"]),
        row("full translation without masks", median["unmasked"], floor),
        row("change of style", median["style"], median["decoding"]),
        row(f"{STYLES} styles of a source, each", median["styles"] / STYLES, median["decoding"]),
        *(row(f"{what} by the ONNX files, fp32", median[key]) for key, what in ONNX.items() if key in median),
        f"| change of mask weights | {1000 * median['masks']:.1f} ms | | |",
        f"| alignment of a photograph of {PHOTOGRAPH} x {PHOTOGRAPH} px | {1000 * median['align']:.1f} ms | | |",
        f"| the same face found again in a video's next frame | {1000 * median['follow']:.1f} ms | | |",
    ]


def _rows_of_a_process(plain: Mapping[str, float], fast: Mapping[str, float]) -> list[str]:
    return [
        f"| first translation of a process | {1000 * fast['first']:.0f} ms | {plain['first'] / fast['first']:.1f}x | |",
        f"| start of a process to first picture | {fast['start']:.1f} s | {plain['start'] / fast['start']:.1f}x | |",
        f"| peak memory of that process | {fast['peak']:.2f} GiB | {plain['peak'] / fast['peak']:.1f}x | |",
    ]

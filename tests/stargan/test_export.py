"""Models as ONNX: what onnxruntime alone makes of them is what the model makes."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from material import TINY_FAN, portrait
from PIL import Image

from stargan import bench, export, styles
from stargan.cli.main import main
from stargan.files import checkpoint
from stargan.media import images
from stargan.model import Model, build
from stargan.networks import Generator, ModelConfig
from stargan.translate import Translator

ROOT = Path(__file__).resolve().parents[2]


def model(w_hpf: float = 1.0) -> Model:
    torch.manual_seed(0)
    config = ModelConfig(
        image_size=64, domains=("man", "woman"), hidden_dim=24, base_channels=8, max_channels=16, w_hpf=w_hpf, latent_dim=16
    )
    return build(config, TINY_FAN if w_hpf else None, "tiny", "CC0")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("onnx")
    export.export(model(), out)
    return out


def run(path: Path, **inputs: np.ndarray) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, inputs)


@pytest.mark.slow
def test_a_translation_is_the_translators_at_any_number_of_pictures(exported: Path) -> None:
    made, image = model(), images.to_tensor(portrait(3, 64))
    style = styles.from_seed(made, "woman", seed=7)
    wanted = Translator(made, "cpu", "fp32")
    wanted_image = wanted.decode(wanted.encode(image), style).numpy()
    for count in (1, 4):
        x, s = image.numpy().repeat(count, 0), style.numpy()[None].repeat(count, 0)
        features, *kept = run(exported / "encoder.onnx", image=x)
        full, inner = run(exported / "fan.onnx", image=x)
        given = {"features": features, "style": s, "full": full, "inner": inner}
        (found,) = run(exported / "decoder.onnx", **given, **{f"kept_{k.shape[-1]}": k for k in kept})
        assert found.shape == (count, 3, 64, 64)
        np.testing.assert_allclose(found.clip(-1, 1), wanted_image.repeat(count, 0), atol=2e-4)
    (reference,) = run(exported / "style_encoder.onnx", image=image.numpy(), domain=np.array([1]))
    np.testing.assert_allclose(reference[0], styles.from_reference(made, image, "woman").numpy(), atol=1e-4)


def test_masks_are_as_large_as_the_fan_gives_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = ModelConfig(image_size=128, domains=("man", "woman"), hidden_dim=24, base_channels=4, max_channels=16)
    made = build(config, TINY_FAN, "larger", "CC0")
    export.export(made, tmp_path / "onnx")
    image, style = images.to_tensor(portrait(3, 128)), styles.from_seed(made, "woman", seed=7)
    full, inner = run(tmp_path / "onnx" / "fan.onnx", image=image.numpy())
    assert full.shape[-1] == TINY_FAN.input_size
    features, *kept = run(tmp_path / "onnx" / "encoder.onnx", image=image.numpy())
    given = {"features": features, "style": style.numpy()[None], "full": full, "inner": inner}
    (found,) = run(tmp_path / "onnx" / "decoder.onnx", **given, **{f"kept_{k.shape[-1]}": k for k in kept})
    translator = Translator(made, "cpu", "fp32")
    np.testing.assert_allclose(found.clip(-1, 1), translator.decode(translator.encode(image), style).numpy(), atol=2e-4)


def test_the_files_say_what_they_are(exported: Path) -> None:
    facts = {entry.key: entry.value for entry in onnx.load(exported / "decoder.onnx").metadata_props}
    assert facts["domains"] == '["man", "woman"]' and facts["licence"] == "CC0" and facts["image_size"] == "64"
    assert facts["network"] == "decoder" and facts["landmarks"].count("[") == 69
    assert sorted(p.name for p in exported.iterdir()) == sorted(
        [f"{n}.onnx" for n in ("encoder", "decoder", "mapping_network", "style_encoder", "fan")] + ["model.json"]
    )


def test_a_model_without_masks_and_half_precision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint.save(model(0.0), tmp_path / "m.safetensors")
    assert main(["export", str(tmp_path / "m.safetensors"), "--onnx", str(tmp_path / "out"), "--fp16"]) == 0
    assert "decoder.onnx" in capsys.readouterr().out and not (tmp_path / "out" / "fan.onnx").exists()
    (features,) = run(tmp_path / "out" / "encoder.onnx", image=images.to_tensor(portrait(3, 64)).numpy())
    assert features.dtype == np.float32


def test_likeness_is_baked_in(tmp_path: Path) -> None:
    made = model(0.0)
    torch.manual_seed(1)
    made.free = Generator(made.config).eval().requires_grad_(False)
    export.export(made, tmp_path / "free", likeness=0.0)
    export.export(dataclasses.replace(made, generator=made.free, free=None), tmp_path / "same")
    x = images.to_tensor(portrait(3, 64)).numpy()
    np.testing.assert_allclose(
        run(tmp_path / "free/encoder.onnx", image=x)[0], run(tmp_path / "same/encoder.onnx", image=x)[0], atol=1e-4
    )


def test_a_file_is_no_folder_to_write_to(tmp_path: Path) -> None:
    (tmp_path / "onnx").write_text("mine")
    with pytest.raises(export.ExportError, match="onnx is a file; give a folder"):
        export.export(model(), tmp_path / "onnx")


def test_likeness_is_refused_where_there_is_no_choice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint.save(model(0.0), tmp_path / "m.safetensors")
    assert main(["export", str(tmp_path / "m.safetensors"), "--onnx", str(tmp_path / "out"), "--likeness", "0.3"]) == 2
    assert "offers no likeness; leave it at 1" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_the_fan_of_an_earlier_export_goes(tmp_path: Path) -> None:
    for name in ("fan.onnx", "notes.onnx"):
        (tmp_path / name).write_bytes(b"earlier")
    export.export(model(0.0), tmp_path)
    assert not (tmp_path / "fan.onnx").exists() and (tmp_path / "notes.onnx").exists()


def test_what_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(export.TOLERANCE, "fp32", 0.0)
    monkeypatch.setattr(export, "_difference", lambda *_: 1e-3)
    with pytest.raises(export.ExportError, match=r"encoder differs from the model by 0\.001 in fp32.*not written"):
        export.export(model(), tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_folder_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    checkpoint.save(model(0.0), tmp_path / "m.safetensors")
    assert main(["export", str(tmp_path / "m.safetensors"), "--onnx", str(tmp_path / "file" / "out")]) == 2
    said = capsys.readouterr().err
    assert "cannot be written" in said and said.count("\n") == 1


def test_the_ten_lines_of_readme_need_onnxruntime_alone(exported: Path, tmp_path: Path) -> None:
    block = re.search(r"```python\n(import json\n.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    Image.fromarray(np.asarray(portrait(3, 64))).save(tmp_path / "aligned.png")
    (tmp_path / "onnx").symlink_to(exported)
    code = block[1] + "\nimport sys\nassert 'torch' not in sys.modules and 'stargan' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.size == (64, 64)


@pytest.mark.parametrize("w_hpf", [0.0, 1.0])
def test_bench_times_what_the_model_does(w_hpf: float) -> None:
    made, x, style = model(w_hpf), images.to_tensor(portrait(3, 64)), torch.ones(1, 64)
    cases = bench.exported(made, x, style)
    translator = Translator(made, "cpu", "fp32")
    wanted = translator.decode(translator.encode(x), style[0]).numpy()
    for case in bench.ONNX:
        (found,) = cases[case]()
        np.testing.assert_allclose(found.clip(-1, 1), wanted.clip(-1, 1), atol=2e-4)
    cases = {"plain", "full", "unmasked", "style", "masks", "styles", "align", "follow", "encoding", "decoding", *bench.ONNX}
    rows = bench._rows(dict.fromkeys(cases, 0.5))
    assert sum("by the ONNX files" in row for row in rows) == 2 and rows[-1].endswith("| 500.0 ms | | |")
    assert not any("ONNX" in row for row in bench._rows(dict.fromkeys(cases - set(bench.ONNX), 0.5)))


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_bench_does_without_onnx(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == package else find(name, *rest))
    assert bench.exported(model(0.0), torch.zeros(1, 3, 64, 64), torch.zeros(1, 64)) == {}


@pytest.mark.parametrize(
    "arguments,sentence",
    [
        (["--device", "mps"], "--device is mps, which this machine has not"),
        (["--model", "published", "nothing"], "there is no model 'nothing'"),
        (["--model", "*.ckpt"], "'*.ckpt' (a pattern that nothing fits)"),
    ],
)
def test_what_cannot_be_timed_is_said_at_once(capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str) -> None:
    if torch.backends.mps.is_available():
        pytest.skip("there is such a device here")
    assert main(["bench", *arguments]) == 2
    said = capsys.readouterr()
    assert sentence in said.err and said.err.count("\n") == 1 and not said.out

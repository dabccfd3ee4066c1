"""The command line, run as a process."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stargan import checkpoint
from stargan.networks import ModelConfig

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments, cwd):
    # Started elsewhere: the command must not depend on the folder that it runs in.
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "stargan", *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    torch.manual_seed(0)
    config = ModelConfig(
        image_size=64, domains=("man", "orc", "woman"), hidden_dim=24, base_channels=4, max_channels=16
    )
    checkpoint.save(checkpoint.build(config), folder / "small.safetensors")
    noise = np.random.default_rng(0).integers(0, 256, (2, 90, 120, 3), dtype=np.uint8)
    Image.fromarray(noise[0]).save(folder / "source.png")
    Image.fromarray(noise[1]).save(folder / "reference.png")
    (folder / "text.png").write_text("no picture")
    return folder


def translate(folder, *arguments, source="source.png", out="out.png"):
    return run(
        "translate", source, "--model", "small.safetensors", "--no-align", "-o", out, *arguments, cwd=folder
    )


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def refused(result, *words):
    assert result.returncode == 2 and result.stdout == ""
    assert "Traceback" not in result.stderr and result.stderr.count("\n") == 1
    for word in words:
        assert word in result.stderr


def test_seed_decides_the_picture(folder):
    for name, seed in (("a.png", 3), ("b.png", 3), ("c.png", 4)):
        result = translate(folder, "--domain", "woman", "--seed", seed, out=name)
        assert result.returncode == 0, result.stderr
        assert result.stdout.count("\n") == 1 and name in result.stdout and " s" in result.stdout
    a, b, c = (pixels(folder / name) for name in ("a.png", "b.png", "c.png"))
    assert a.shape == (64, 64, 3) and a.std() > 0
    assert np.array_equal(a, b) and not np.array_equal(a, c)


def test_psi_0_forgets_the_seed(folder):
    for name, seed in (("p.png", 3), ("q.png", 4)):
        assert translate(folder, "--domain", "woman", "--seed", seed, "--psi", 0, out=name).returncode == 0
    assert np.array_equal(pixels(folder / "p.png"), pixels(folder / "q.png"))


def test_reference_decides_the_style(folder):
    for name, reference in (("r.png", "reference.png"), ("s.png", "source.png")):
        result = translate(folder, "--domain", "orc", "--reference", reference, "--no-masks", out=name)
        assert result.returncode == 0, result.stderr
    assert not np.array_equal(pixels(folder / "r.png"), pixels(folder / "s.png"))


@pytest.mark.parametrize(
    "name,kind", [("o.jpg", "JPEG"), ("o.JPEG", "JPEG"), ("o.webp", "WEBP"), ("o.png", "PNG")]
)
def test_extension_decides_the_format(folder, name, kind):
    assert translate(folder, "--domain", "man", "--seed", 0, out=name).returncode == 0
    with Image.open(folder / name) as image:
        assert (image.format, image.size) == (kind, (64, 64))


SEED = ("--domain", "man", "--seed", "1")


@pytest.mark.parametrize(
    "arguments,changes,words",
    [
        (SEED, {"source": "nowhere.png"}, ["nowhere.png"]),
        (SEED, {"source": "text.png"}, ["text.png"]),
        (SEED, {"out": "out.gif"}, ["out.gif", ".png"]),
        (SEED, {"out": "out"}, [".png"]),
        (SEED, {"out": "missing/out.png"}, ["missing"]),
        ((*SEED, "--model", "nothing"), {}, ["nothing"]),
        ((*SEED, "--model", ""), {}, ["no model"]),
        ((*SEED, "--model", "source.png"), {}, ["source.png"]),
        (("--domain", "elf", "--seed", "1"), {}, ["elf", "man, orc, woman"]),
        (("--domain", "man"), {}, ["--seed", "--reference"]),
        (("--seed", "1"), {}, ["--domain"]),
        ((*SEED, "--reference", "reference.png"), {}, ["--reference"]),
        (("--domain", "man", "--reference", "text.png"), {}, ["text.png"]),
        (("--domain", "man", "--reference", "reference.png", "--psi", "1"), {}, ["--psi"]),
        (("--domain", "man", "--seed", "-1"), {}, ["--seed"]),
        (("--domain", "man", "--seed", str(2**63)), {}, ["--seed"]),
        (("--domain", "man", "--seed", "x"), {}, ["--seed"]),
        ((*SEED, "--psi", "2.5"), {}, ["--psi"]),
        ((*SEED, "--psi", "nan"), {}, ["--psi"]),
    ],
)
def test_bad_input_is_one_sentence(folder, arguments, changes, words):
    refused(translate(folder, *arguments, **changes), *words)


def test_bad_align_and_no_command(folder):
    refused(run("align", "source.png", "--size", "9", "-o", "o.png", cwd=folder), "--size")
    refused(run("align", "nowhere.png", "-o", "o.png", cwd=folder), "nowhere.png")
    refused(run(cwd=folder), "COMMAND")


def test_failed_command_writes_nothing(folder):
    before = sorted(os.listdir(folder))
    refused(translate(folder, "--domain", "elf", "--seed", "1", out="new.png"))
    assert sorted(os.listdir(folder)) == before


@pytest.mark.parametrize("arguments", [(), ("translate",), ("align",)])
def test_help(tmp_path, arguments):
    result = run(*arguments, "--help", cwd=tmp_path)
    assert result.returncode == 0 and "usage" in result.stdout and result.stderr == ""


def test_help_and_package_need_no_heavy_imports(tmp_path):
    code = (
        "import sys, stargan.__main__ as m\n"
        "try: m.main(['translate', '--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'gradio', 'face_alignment', 'cv2'} & set(sys.modules)\n"
        "import stargan.checkpoint, stargan.zoo, stargan.translate\n"
        "assert not {'gradio', 'face_alignment'} & set(sys.modules)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr

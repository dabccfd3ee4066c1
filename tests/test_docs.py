"""docs/: each sentence of security.md names tests, and those are there; the commands of own-model.md do what it says."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path

import pytest
from PIL import Image

from stargan import zoo
from stargan.files import places
from tests.processes import ran
from train import config

ROOT = places.ROOT


def test_every_sentence_on_security_is_held_by_a_test() -> None:
    sentences = re.findall(r"^- .*", (places.ROOT / "docs" / "security.md").read_text(), re.MULTILINE)
    assert len(sentences) > 15
    for sentence in sentences:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", sentence)
        assert named, f"no test holds: {sentence}"
        for path, name in named:
            assert f"def {name}(" in (places.ROOT / path).read_text(), f"{path} has no {name}"


def test_the_settings_for_a_domain_of_ones_own_fit_the_bundled_model() -> None:
    settings = config.read(ROOT / "train" / "configs" / "own.yaml")
    model = zoo.load(zoo.DEFAULT).config
    assert settings.init_from == zoo.DEFAULT
    for name in ("image_size", "base_channels", "max_channels", "w_hpf"):
        assert getattr(settings, name) == getattr(model, name), name
    page = (ROOT / "docs" / "own-model.md").read_text()
    assert f"--size {model.image_size * 5 // 4}\n" in page


# What stands in the page, and what it is run with.
SMALL = {
    "--seed 1 2 3 4 5 6 7 8 ": "--seed 1 ",
    "--seed 1 2 3 ": "--seed 1 2 ",
    "--set minutes=60 ": "--set iterations=2 --set discriminator_warmup=1 --set batch=2 --set save_every=2 --set sample_every=2 ",
    "--steps 4000 ": "--steps 2 ",
    "publish user/own-page --model own --dry-run": "publish user/own-page --model own --dry-run --check none",
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project without what was made in it, and with three examples."""
    root = tmp_path_factory.mktemp("clone")
    for name in ("stargan", "train", "weights", "docs"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("app.py", "requirements.txt", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, root)
    for path in sorted((root / "stargan" / "ui" / "examples").glob("*.webp"))[3:]:
        path.unlink()
    return root


@pytest.mark.slow
def test_the_commands_for_a_domain_of_ones_own(clone: Path) -> None:
    page = (clone / "docs" / "own-model.md").read_text()
    blocks = re.findall(r"```(bash|python)\n(.*?)```", page, re.DOTALL)
    for written, small in SMALL.items():
        assert any(written in code for _, code in blocks), f"the page has no {written!r} any more"
        blocks = [(kind, code.replace(written, small)) for kind, code in blocks]
    environment = {**os.environ, "PYTHONPATH": str(clone), "HF_HUB_OFFLINE": "1", "STARGAN_CACHE": str(clone / "cache")}
    said = ""
    for kind, code in blocks:
        commands = [["-c", code]] if kind == "python" else [shlex.split(line)[1:] for line in code.splitlines()]
        assert kind == "python" or all(line.startswith("python ") for line in code.splitlines())
        for command in commands:
            done = ran(command, clone, environment, 300, anew=("stargan", "train", "huggingface_hub"))
            assert done.returncode == 0, f"{command}: {done.stderr[-2000:]}"
            said += done.stdout
    count = 2 * len(list((clone / "stargan" / "ui" / "examples").glob("*.webp")))
    assert f"taken for a folder for each domain: drawing ({count}), painting ({count})" in said
    assert "drawing, painting from the mean of all; the discriminator as in discriminator.safetensors" in said
    assert "model user/own (public)" in said and "Space user/own-page (public)" in said and said.count("nothing was uploaded") == 2
    assert "licence of its weights: CC BY 4.0" in said and zoo.load(str(clone / "runs/own/model.safetensors")).config.domains == (
        "drawing",
    )
    for sheet in ("drawn", "after"):
        with Image.open(clone / sheet / "grid.png") as picture:
            assert min(picture.size) > zoo.load(zoo.DEFAULT).config.image_size
    assert list((clone / "runs" / "own" / "samples").glob("*.png"))

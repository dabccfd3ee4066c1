"""A folder to work in, and commands called there."""

import subprocess

import numpy as np
import pytest
import torch
from PIL import Image

from stargan.cli.main import main
from stargan.files import checkpoint
from stargan.model import build
from stargan.networks import ModelConfig


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    torch.manual_seed(0)
    config = ModelConfig(image_size=64, domains=("man", "orc", "woman"), hidden_dim=24, base_channels=4, max_channels=16)
    checkpoint.save(build(config), folder / "small.safetensors")
    noise = np.random.default_rng(0).integers(0, 256, (2, 90, 120, 3), dtype=np.uint8)
    Image.fromarray(noise[0]).save(folder / "source.png")
    Image.fromarray(noise[1]).save(folder / "reference.png")
    (folder / "text.png").write_text("no picture")
    return folder


@pytest.fixture
def call(folder, capsys, monkeypatch):
    """Runs a command in this process, which saves the seconds that a process of its own takes to start."""
    monkeypatch.chdir(folder)

    def call(*arguments):
        try:
            code = main([*map(str, arguments)])
        except SystemExit as end:
            code = end.code
        captured = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, captured.out, captured.err)

    return call

"""Fitting the mapping network to the styles of pictures."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import pytest
import torch
from material import TINY_FAN

from stargan.files import checkpoint
from stargan.model import build
from stargan.networks import ModelConfig
from train import data, match
from train.__main__ import main
from train.data import framing
from train.step.state import initialize


def tiny(domains: tuple[str, ...] = ("cold", "warm")) -> checkpoint.Model:
    shape = ModelConfig(image_size=64, domains=domains, hidden_dim=64, base_channels=4, max_channels=8)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build(shape, TINY_FAN, name="tiny")
        for net in model.networks.values():
            initialize(net)
    model.licence = "CC BY 4.0"
    return model


def test_the_energy_distance_is_that_of_its_definition() -> None:
    a, b = torch.tensor([[0.0, 0], [1, 0]]), torch.tensor([[3.0, 0], [4, 0]])
    assert match.energy_distance(a, b).item() == pytest.approx(2 * 3 - 1 - 1)
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 1000, 8, generator=generator)
    assert abs(match.energy_distance(a, b).item()) < 0.02
    assert match.energy_distance(a, 2 * b).item() > 0.2, "the same mean, another spread"
    assert match.energy_distance(a, a.roll(1, 0)).item() < 0, "without bias"


def test_a_gradient_is_finite_where_points_coincide() -> None:
    same = torch.zeros(4, 3, requires_grad=True)
    match.energy_distance(same, torch.zeros(4, 3)).backward()
    assert same.grad is not None and same.grad.isfinite().all()


@pytest.mark.slow
def test_styles_come_to_be_distributed_as_those_of_pictures(picture_folder: Path, tmp_path: Path) -> None:
    model = tiny()
    old = {name: copy.deepcopy(net.state_dict()) for name, net in model.networks.items()}
    before, after = match.match_styles(model, picture_folder, steps=200, cache=tmp_path)
    assert after < before / 5
    for name, net in model.networks.items():
        same = all(torch.equal(value, old[name][key]) for key, value in net.state_dict().items())
        assert same == (name != "mapping_network"), name
    assert not any(p.requires_grad for p in model.mapping_network.parameters())
    again = tiny()
    assert match.match_styles(again, picture_folder, steps=200, cache=tmp_path) == (before, after)


def test_the_command_writes_a_model(picture_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint.save(tiny(), tmp_path / "model.safetensors")
    given = ["--data", str(picture_folder), "--cache", str(tmp_path / "cache"), "--steps", "2"]
    out = tmp_path / "new" / "matched.safetensors"
    assert main(["match", "--model", str(tmp_path / "model.safetensors"), "--out", str(out), *given]) == 0
    assert "before" in capsys.readouterr().out
    found = checkpoint.load(out)
    assert (found.name, found.licence) == ("tiny", "CC BY 4.0")
    assert not torch.equal(found.mapping_network.shared[0].weight, tiny().mapping_network.shared[0].weight)

    checkpoint.save(tiny(("cold", "hot")), tmp_path / "other.safetensors")
    assert main(["match", "--model", str(tmp_path / "other.safetensors"), "--out", str(tmp_path / "no.safetensors"), *given]) == 2
    assert "has no folder for hot" in capsys.readouterr().err
    assert not (tmp_path / "no.safetensors").exists()


@pytest.mark.parametrize("out", [".", "matched.ckpt", "folder.safetensors", "file.txt/matched.safetensors", "/proc/m.safetensors"])
def test_an_unusable_out_is_refused_before_the_work(out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "file.txt").write_text("no folder")
    # Neither model nor data exist: whoever looked at them first would say so.
    assert main(["match", "--model", "none.safetensors", "--data", "nowhere", "--out", str(tmp_path / out)]) == 2
    assert "--out" in capsys.readouterr().err


def test_what_aligned_the_pictures_is_kept_and_checked(picture_folder: Path, tmp_path: Path) -> None:
    data_folder = tmp_path / "data"
    shutil.copytree(picture_folder, data_folder)
    out = tmp_path / "matched.safetensors"
    known = ("face_alignment", None, "face_alignment"), (None, "fan-68", "fan-68"), ("fan-68", "fan-68", "fan-68")
    for own, folder, kept in known:
        model = tiny()
        model.aligner = own
        checkpoint.save(model, tmp_path / "model.safetensors")
        if folder is not None:
            (data_folder / framing.ALIGNED).write_text(f"{folder}\n")
        command = f"match --model {tmp_path / 'model.safetensors'} --data {data_folder} --steps 1 --cache {tmp_path}"
        assert main([*command.split(), "--out", str(out)]) == 0
        assert checkpoint.load(out).aligner == kept
    model = tiny()
    model.aligner = "face_alignment"
    with pytest.raises(data.DataError, match="was aligned by fan-68, and tiny learned from pictures that face_alignment aligned"):
        match.match_styles(model, data_folder, steps=1, cache=tmp_path)

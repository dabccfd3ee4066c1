"""Source-only domains and the content loss in a run: what is drawn, what is learned, what is exported, and that it resumes."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from material import TINY_FAN, TINY_RUN, portrait

from stargan import zoo
from stargan.fan import FAN
from stargan.files import checkpoint
from stargan.model import build
from stargan.networks import ModelConfig
from train import config, data
from train.config import ConfigError
from train.run import loop, records, start
from train.run.start import begin
from train.step import growth, losses
from train.step.batch import sample_batch
from train.step.content import content
from train.step.state import State
from train.step.update import iterate, translate

pytestmark = pytest.mark.usefixtures("small_features")
SETTINGS = {
    **TINY_RUN,
    "sources": ["photo"],
    "batch": 8,
    "iterations": 4,
    "save_every": 4,
    "sample_every": 4,
    "lambda_con": 0.5,
    "lambda_mis": 0.5,
    "lambda_proj": 0.5,
    "discriminator_lr": 4e-4,
}


@pytest.fixture
def folder(picture_folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(picture_folder, tmp_path / "data")
    for split in ("train", "val"):
        (tmp_path / "data" / split / "photo").mkdir()
        for i in range(5):
            portrait(70 + i).save(tmp_path / "data" / split / "photo" / f"{i}.png")
    return tmp_path / "data"


def settings(folder: Path, **changes: object) -> config.TrainConfig:
    return config.from_mapping(SETTINGS | {"data": str(folder), "runs": str(folder.parent / "runs")} | changes)


def test_source_only_pictures_are_a_share_of_the_sources_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    run = settings(folder, source_share=0.25)
    pictures = data.load(folder, "train", 80, tmp_path / "cache", run.model.domains)
    assert pictures.domains == ("cold", "warm", "photo")
    for i in range(20):
        batch = sample_batch(run, pictures, i)
        assert (batch.y_org == 2).sum() == 2 and batch.y_trg.max() < 2


def test_half_a_picture_of_a_batch_is_drawn_by_chance(folder: Path, tmp_path: Path) -> None:
    run = settings(folder, batch=2, source_share=0.75)
    pictures = data.load(folder, "train", 80, tmp_path / "cache", run.model.domains)
    counts = [int((sample_batch(run, pictures, i).y_org == 2).sum()) for i in range(200)]
    assert set(counts) == {1, 2} and 1.3 < np.mean(counts) < 1.7


def test_without_source_only_domains_nothing_else_is_drawn_than_before(picture_folder: Path, tmp_path: Path) -> None:
    pictures = data.load(picture_folder, "train", 80, tmp_path)
    run = config.from_mapping({k: v for k, v in SETTINGS.items() if k not in ("sources", "lambda_con")})
    batch, rng = sample_batch(run, pictures, 3), np.random.default_rng([0, 3])
    assert batch.y_org.tolist() == rng.integers(2, size=8).tolist()


def test_the_discriminator_never_judges_what_is_not_a_target(folder: Path, tmp_path: Path) -> None:
    run = settings(folder)
    pictures = data.load(folder, "train", 80, tmp_path / "cache", run.model.domains)
    state = State(run, None)
    for i in range(3):
        iterate(state, sample_batch(run, pictures, i))
    branches = state.discriminator.main[-1].weight.grad
    assert branches[:2].abs().sum() > 0 and branches[2].abs().sum() == 0


def test_a_rate_of_its_own_is_the_discriminators_alone(folder: Path) -> None:
    state = State(settings(folder, lr=1e-4, mapping_lr=1e-6), None)
    state.set_rates()
    rates = {name: optimiser.param_groups[0]["lr"] for name, optimiser in state.optimisers.items()}
    assert rates == {"generator": 1e-4, "mapping_network": 1e-6, "style_encoder": 1e-4} | dict.fromkeys(state.judges, 4e-4)
    assert state.judges == ("discriminator", "projected")
    plain = State(settings(folder, lr=1e-4, discriminator_lr=0.0), None)
    assert plain.optimisers["discriminator"].param_groups[0]["lr"] == 1e-4


def test_the_content_loss_moves_the_generator_alone(folder: Path, tmp_path: Path) -> None:
    run = settings(folder, lambda_con=1.0)
    pictures = data.load(folder, "train", 80, tmp_path / "cache", run.model.domains)
    state = State(run, None)
    batch = sample_batch(run, pictures, 0)
    fake = translate(state, batch.x_real, state.mapping_network(batch.z, batch.y_trg).detach(), None)
    content(state.features, batch.x_real, fake.image).backward()
    assert state.generator.from_rgb.weight.grad.abs().sum() > 0
    for name in ("discriminator", "style_encoder", "mapping_network"):
        assert all(p.grad is None for p in state.networks[name].parameters())
    assert iterate(state, batch)["G/latent_con"] > 0
    weightless = State(settings(folder, con_weights=[0.0, 0.0]), None)
    assert iterate(weightless, batch)["G/latent_con"] == 0


def test_the_landmark_loss_moves_the_generator_alone(folder: Path, tmp_path: Path) -> None:
    run = settings(folder, lambda_lmk=1.0, w_hpf=1.0)
    pictures = data.load(folder, "train", 80, tmp_path / "cache", run.model.domains)
    state = State(run, FAN(TINY_FAN).requires_grad_(False))
    batch = sample_batch(run, pictures, 0)
    fake = translate(state, batch.x_real, state.mapping_network(batch.z, batch.y_trg).detach(), state.masks(batch.x_real))
    losses.landmarks(state.heatmaps(batch.x_real), state.heatmaps(fake.image)).backward()
    assert state.generator.from_rgb.weight.grad.abs().sum() > 0
    for name in ("discriminator", "style_encoder", "mapping_network"):
        assert all(p.grad is None for p in state.networks[name].parameters())
    assert all(p.grad is None for p in state.fan.parameters())
    assert "G/latent_lmk" in iterate(state, batch)


def test_the_content_loss_of_a_run_can_be_that_of_faces(folder: Path, tmp_path: Path) -> None:
    found = []
    for face in (False, True):
        run = settings(folder, lambda_con=1.0, w_hpf=1.0, con_face=face)
        pictures = data.load(folder, "train", 80, tmp_path / "cache", run.model.domains)
        torch.manual_seed(0)
        state = State(run, FAN(TINY_FAN).requires_grad_(False))
        # It sees one landmark, at the left.
        state.fan.forward = lambda x: torch.zeros(len(x), 68, 16, 16).index_fill_(3, torch.tensor([2]), 0.5)
        found.append(iterate(state, sample_batch(run, pictures, 0))["G/latent_con"].item())
    assert found[0] > 0 and found[1] > 0 and found[1] != pytest.approx(found[0], rel=1e-3)


def test_the_export_leaves_out_source_only_branches(folder: Path) -> None:
    state = loop.fit(settings(folder))
    path = folder.parent / "runs" / "tiny" / "model.safetensors"
    model = checkpoint.load(path)
    assert model.config.domains == ("cold", "warm") and model.sources == ("photo",)
    for key, value in model.style_encoder.unshared.state_dict().items():
        torch.testing.assert_close(value, state.averaged["style_encoder"].unshared.state_dict()[key], atol=1e-3, rtol=1e-3)
    judge, judged = checkpoint.load_discriminator(checkpoint.discriminator_path(path))
    assert judged.domains == ("cold", "warm")
    torch.testing.assert_close(judge.main[-1].weight, state.discriminator.main[-1].weight[:2], atol=1e-3, rtol=1e-3)


@pytest.mark.slow
def test_a_run_with_all_of_it_resumes_bit_for_bit(folder: Path) -> None:
    whole = loop.fit(settings(folder, name="whole"))
    loop.fit(settings(folder, iterations=3))
    resumed = loop.fit(settings(folder))
    for name, net in whole.networks.items():
        for key, value in net.state_dict().items():
            assert torch.equal(value, resumed.networks[name].state_dict()[key]), f"{name}.{key}"


def test_a_run_goes_on_from_a_discriminator_by_the_names_of_its_domains(folder: Path) -> None:
    first = loop.fit(settings(folder, name="first", sources=[], iterations=2))
    start = folder.parent / "runs" / "first" / "model.safetensors"
    changes = {"init_from": str(start), "domains": ["warm", "photo"], "sources": [], "discriminator_warmup": 2}
    run = settings(folder, **changes)
    state = State(run, None)
    pictures = data.load(folder, "train", 80, folder.parent / "cache", run.domains)
    words = begin(state, zoo.load(str(start)), zoo.discriminator(str(start)), pictures)
    assert words == "warm as in first; photo from the mean of all; the discriminator as in discriminator.safetensors"
    old, new = first.discriminator.main[-1].weight, state.discriminator.main[-1].weight
    torch.testing.assert_close(new[0], old[1], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(new[1], old.mean(0), atol=1e-3, rtol=1e-3)


def test_one_target_domain_is_enough(folder: Path) -> None:
    assert loop.fit(settings(folder, domains=["warm"], iterations=2)).iteration == 2


def test_no_domains_means_all_but_the_source_only_ones(folder: Path) -> None:
    assert loop.fit(settings(folder, domains=[], iterations=1)).config.domains == ("cold", "warm")


def test_sheets_show_source_only_pictures_as_sources(folder: Path) -> None:
    run = settings(folder)
    val = data.load(folder, "val", 80, folder.parent / "cache", run.model.domains)
    sheet = records.sample_sheet(State(run, None), val)
    assert sheet.size == (64 * (1 + 2 * 2 + 2 + 1), 64 * 7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sources": ["warm"]}, "warm: in domains and in sources"),
        ({"sources": ["photo", "photo"]}, "name each once"),
        ({"sources": ["slides"]}, "has no folder for slides"),
        ({"source_share": 1.0}, "source_share is 1.0; it has to be above 0 and below 1"),
        ({"lambda_con": -1.0}, "lambda_con is -1.0; it has to be 0"),
        ({"con_weights": [1.0]}, "con_weights are .* one of 0 or above for each"),
        ({"con_weights": [1.0, -1.0]}, "con_weights are .* one of 0 or above for each"),
        ({"con_weights": ["much", 1.0]}, "con_weights are .* have to be numbers"),
        ({"con_box": [0.5, 0.0, 0.2, 1.0]}, "con_box is .* it has to be left, top, right and bottom"),
        ({"con_box": [0.5]}, "con_box is .* it has to be 4 numbers"),
        ({"cyc_every": 0}, "cyc_every is 0; it has to be at least 1"),
        ({"lambda_mis": -1.0}, "lambda_mis is -1.0; it has to be 0"),
        ({"discriminator_lr": -1.0}, "discriminator_lr is -1.0; it has to be 0"),
        ({"lambda_lmk": -1.0}, "lambda_lmk is -1.0; it has to be 0"),
        ({"lambda_lmk": 1.0}, "lambda_lmk compares what the FAN .* set w_hpf above 0"),
        ({"lambda_proj": -1.0}, "lambda_proj is -1.0; it has to be 0"),
        ({"exact": True}, "lambda_con, lambda_mis, lambda_proj, discriminator_lr, sources depart from the paper"),
    ],
)
def test_what_does_not_fit_is_said(folder: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        loop.fit(settings(folder, **changes))


def test_a_model_that_cannot_grow_says_what_to_set(folder: Path) -> None:
    path = folder.parent / "small.safetensors"
    checkpoint.save(build(ModelConfig(image_size=64, domains=("cold",), base_channels=4, max_channels=8, w_hpf=0.0)), path)
    with pytest.raises(ConfigError, match=r"it to twice its side: --set image_size=128 --set base_channels=2"):
        loop.fit(settings(folder, init_from=str(path), image_size=256))
    with pytest.raises(ConfigError) as refused:
        loop.fit(settings(folder, init_from=str(path), image_size=256, max_channels=32, style_dim=48))
    for advice in str(refused.value).split(";")[1:]:
        said = dict(pair.split("=") for pair in advice.partition("--set ")[2].split(" --set "))
        assert {"max_channels", "style_dim"} < set(said)
        run = settings(folder, image_size=256, max_channels=32, style_dim=48)
        start.check_shape(dataclasses.replace(run, **{name: int(said[name]) for name in said}), checkpoint.load(path))


@pytest.mark.slow
def test_a_run_grows_a_model_of_half_the_side(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "ENCODER_STEPS", 2)
    monkeypatch.setattr(growth, "DECODER_STEPS", 2)
    path = folder.parent / "small.safetensors"
    small = build(ModelConfig(image_size=64, domains=("cold",), base_channels=8, max_channels=16, w_hpf=0.0), name="small")
    checkpoint.save(small, path)
    changes = {"init_from": str(path), "image_size": 128, "base_channels": 4, "max_channels": 16, "discriminator_warmup": 1}
    state = loop.fit(settings(folder, iterations=1, **changes))
    assert torch.equal(state.generator.encode[2].conv1.weight, small.generator.encode[1].conv1.weight)


def test_a_lazy_cycle_is_left_out_between(folder: Path, tmp_path: Path) -> None:
    run = settings(folder, cyc_every=3, alternate=True)
    pictures = data.load(folder, "train", 80, tmp_path / "cache", run.model.domains)
    state = State(run, None)
    logs = [iterate(state, sample_batch(run, pictures, i)) for i in range(8)]
    assert [any("cyc" in key for key in log) for log in logs] == [True, True, False, False, False, False, True, True]

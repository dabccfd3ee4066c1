"""A run under strain: several processes, killed writes, full disks, losses that are not finite, another model to start from."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from material import TINY_RUN, portrait
from PIL import Image

from stargan.files import checkpoint, places
from stargan.model import build
from stargan.networks import ModelConfig
from tests.processes import ran
from train import config, data
from train.__main__ import main
from train.run import loop
from train.step import losses
from train.step.batch import sample_batch
from train.step.state import State
from train.step.update import iterate

ROOT = places.ROOT
SETTINGS = {
    **TINY_RUN,
    "batch": 4,
    "iterations": 4,
    "save_every": 2,
    "sample_every": 4,
    "log_every": 1,
}


def settings(pictures: Path, runs: Path, **changes: object) -> config.TrainConfig:
    return config.from_mapping(SETTINGS | {"data": str(pictures), "runs": str(runs)} | changes)


def as_file(path: Path, pictures: Path, runs: Path, **changes: object) -> Path:
    path.write_text(yaml.safe_dump(SETTINGS | {"data": str(pictures), "runs": str(runs)} | changes))
    return path


def logged(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def weights(state: State) -> dict[str, torch.Tensor]:
    return {f"{name}.{k}": v.clone() for name, net in state.networks.items() for k, v in net.state_dict().items()}


@pytest.mark.slow
def test_two_processes_train_as_one(picture_folder: Path, tmp_path: Path) -> None:
    changes = {"diff_augment": True, "r1_every": 2, "iterations": 3}
    loop.fit(settings(picture_folder, tmp_path / "one", **changes))
    file = as_file(tmp_path / "c.yaml", picture_folder, tmp_path / "two", **changes)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"]
    options = ["--dynamo_backend", "no", "--main_process_port", str(port), "--num_cpu_threads_per_process", "1"]
    ended = ran(["-m", *launch, *options, "-m", "train", "fit", "--config", str(file)], ROOT, os.environ, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert "2 processes on cpu" in ended.stdout + ended.stderr
    one, two = logged(tmp_path / "one" / "tiny"), logged(tmp_path / "two" / "tiny")
    assert [row["iteration"] for row in two] == [1, 2, 3], "the first process alone writes the log"
    for a, b in zip(one, two, strict=True):
        assert a.keys() == b.keys()
        for key in a.keys() - {"seconds"}:
            assert b[key] == pytest.approx(a[key], rel=2e-3, abs=1e-6), f"{key} of iteration {a['iteration']}"


def test_accumulation_gives_the_gradients_of_the_whole_batch(picture_folder: Path, tmp_path: Path) -> None:
    pictures = data.load(picture_folder, "train", 80, tmp_path)
    found = []
    for parts in (1, 2):
        # Standing still, so that no step amplifies the rounding of the one before.
        state = State(settings(picture_folder, tmp_path, accumulate=parts, lr=0.0, mapping_lr=0.0), None)
        log = iterate(state, sample_batch(state.config, pictures, 0))
        gradients = {k: p.grad for net in state.networks.values() for k, p in net.named_parameters() if p.grad is not None}
        found.append((log, gradients))
    (one, whole), (two, parted) = found
    assert whole.keys() == parted.keys() and one.keys() == two.keys()
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=1e-3, atol=1e-5, msg=key)
    for key, value in whole.items():
        assert (parted[key] - value).abs().max() <= 5e-3 * value.abs().max() + 1e-6, key


def test_a_batch_that_does_not_divide_is_refused(picture_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match=r"batch is 4; it has to be a multiple of accumulate \(3\)"):
        loop.fit(settings(picture_folder, tmp_path, accumulate=3))


def test_exact_refuses_what_departs_from_the_paper() -> None:
    with pytest.raises(config.ConfigError, match="exact is true, but r1_every, diff_augment depart"):
        config.from_mapping({"domains": ["a", "b"], "exact": True, "r1_every": 8, "diff_augment": True})
    assert config.from_mapping({"domains": ["a", "b"], "exact": True}).exact


def test_the_strength_of_the_colour_augmentation_is_a_share() -> None:
    with pytest.raises(config.ConfigError, match="augment_colour is 2.0; it has to be between 0 and 1"):
        config.from_mapping({"domains": ["a", "b"], "augment_colour": 2})


def test_clipping_bounds_a_step(picture_folder: Path, tmp_path: Path) -> None:
    pictures = data.load(picture_folder, "train", 80, tmp_path)
    norms = []
    for clip in (0.0, 1e-3):
        state = State(settings(picture_folder, tmp_path, clip=clip), None)
        iterate(state, sample_batch(state.config, pictures, 0))
        norms.append(torch.nn.utils.get_total_norm([p.grad for p in state.discriminator.parameters()]).item())
    assert norms[0] > 1e-2 and norms[1] == pytest.approx(1e-3, rel=1e-3)


def test_learning_rates_fall_to_zero_at_the_end(picture_folder: Path, tmp_path: Path) -> None:
    pictures = data.load(picture_folder, "train", 80, tmp_path)
    moved = {}
    for lr_decay, iteration in ((0, 0), (4, 0), (4, 3), (4, 4)):
        state = State(settings(picture_folder, tmp_path, lr_decay=lr_decay), None)
        state.iteration = iteration
        before = weights(state)["discriminator.main.0.weight"]
        iterate(state, sample_batch(state.config, pictures, 0))
        moved[lr_decay, iteration] = weights(state)["discriminator.main.0.weight"] - before
    torch.testing.assert_close(moved[4, 0], moved[0, 0])
    assert moved[4, 3].norm() / moved[0, 0].norm() == pytest.approx(0.25, rel=0.05)
    assert not moved[4, 4].any()


def test_a_step_that_is_not_finite_is_left_out(picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = data.load(picture_folder, "train", 80, tmp_path)
    state = State(settings(picture_folder, tmp_path), None)
    before = weights(state)
    with monkeypatch.context() as patch:
        patch.setattr(losses, "cycle", lambda source, back: (back - source).abs().mean() * float("nan"))
        log = iterate(state, sample_batch(state.config, pictures, 0))
    after = weights(state)
    assert log["G/latent_cyc"].isnan() and state.iteration == 1
    assert not torch.equal(before["discriminator.main.0.weight"], after["discriminator.main.0.weight"])
    for key in (k for k in before if not k.startswith("discriminator")):
        assert torch.equal(before[key], after[key]), key
    iterate(state, sample_batch(state.config, pictures, 1))
    assert not any(state.bad_steps.values())
    assert not torch.equal(weights(state)["generator.from_rgb.weight"], before["generator.from_rgb.weight"])


def test_a_generator_that_cannot_learn_stops_the_run(picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = data.load(picture_folder, "train", 80, tmp_path)
    state = State(settings(picture_folder, tmp_path), None)
    monkeypatch.setattr(losses, "cycle", lambda source, back: (back - source).abs().mean() * float("nan"))
    with pytest.raises(config.TrainingError, match="gradients of generator.* not been finite 10 times in a row"):
        for i in range(30):  # the discriminator learns all the while
            iterate(state, sample_batch(state.config, pictures, i))


@pytest.mark.slow
def test_a_run_that_diverges_stops_with_a_sentence_and_its_checkpoint(picture_folder: Path, tmp_path: Path) -> None:
    loop.fit(settings(picture_folder, tmp_path, iterations=2))
    with pytest.raises(config.TrainingError, match="not been finite 10 times in a row.*lower lr"):
        loop.fit(settings(picture_folder, tmp_path, iterations=100, lr=1e30, save_every=100))
    assert [p.name for p in (tmp_path / "tiny").glob("checkpoint-*")] == ["checkpoint-0000002.pt"]
    state = loop.fit(settings(picture_folder, tmp_path, iterations=3))
    assert state.iteration == 3 and all(v.isfinite().all() for v in weights(state).values())


HALF_A_WRITE = """
import os, signal, sys, torch
from train import config
from train.run import loop, records
real = torch.save
def half(content, file):
    real(content, file)
    if content["iteration"] == 4:
        file.flush()
        os.truncate(file.name, file.tell() // 2)
        os.kill(os.getpid(), signal.SIGKILL)
torch.save = half
loop.fit(config.read(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_kill_in_the_middle_of_a_write_leaves_the_checkpoint_before(picture_folder: Path, tmp_path: Path) -> None:
    file = as_file(tmp_path / "c.yaml", picture_folder, tmp_path)
    killed = ran(["-c", HALF_A_WRITE, str(file)], ROOT, os.environ)
    folder = tmp_path / "tiny"
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [p.name for p in folder.glob("checkpoint-*.pt")] == ["checkpoint-0000002.pt"]
    assert list(folder.glob("*.part")), "the kill came in the middle of the write"
    state = loop.fit(config.read(file))
    whole = loop.fit(settings(picture_folder, tmp_path / "whole"))
    assert not list(folder.glob("*.part"))
    assert all(torch.equal(v, weights(whole)[k]) for k, v in weights(state).items())


@pytest.fixture
def no_large_files() -> object:
    """Files may not grow past 64 kB: what a full disk does to a checkpoint, with the same kind of error."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (65536, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_said_and_the_run_goes_on_after(picture_folder: Path, tmp_path: Path, no_large_files) -> None:
    loop.fit(settings(picture_folder, tmp_path, iterations=2))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    no_large_files()
    with pytest.raises(config.TrainingError, match=r"checkpoint-0000004\.pt could not be written .*make room on the disk"):
        loop.fit(settings(picture_folder, tmp_path, sample_every=100))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    folder = tmp_path / "tiny"
    assert [p.name for p in folder.glob("checkpoint-*")] == ["checkpoint-0000002.pt"]
    assert checkpoint.load(folder / "model.safetensors").config.domains == ("cold", "warm")
    assert loop.fit(settings(picture_folder, tmp_path)).iteration == 4


def test_a_run_stays_with_the_precision_that_it_began_with(
    picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by = "train.step.state.fastest"
    monkeypatch.setattr(by, lambda device: "bf16")
    loop.fit(settings(picture_folder, tmp_path, precision="auto", iterations=1))
    monkeypatch.setattr(by, lambda device: "fp32")
    assert loop.fit(settings(picture_folder, tmp_path, precision="auto", iterations=2)).precision == "bf16"
    assert loop.fit(settings(picture_folder, tmp_path, precision="fp32", iterations=3)).precision == "fp32", "unless told otherwise"
    # Before runs wrote it down, bf16 was the default.
    (newest,) = (tmp_path / "tiny").glob("checkpoint-0000003.pt")
    content = torch.load(newest, weights_only=True)
    del content["run"]["precision"]
    torch.save(content, newest)
    assert loop.fit(settings(picture_folder, tmp_path, precision="auto", iterations=4)).precision == "bf16"
    assert loop.fit(settings(picture_folder, tmp_path / "new", precision="auto", iterations=1)).precision == "fp32"


def test_another_thread_can_stop_a_run(picture_folder: Path, tmp_path: Path) -> None:
    stop, found = threading.Event(), []

    def on_step(iteration: int, log: dict[str, float]) -> None:
        found.append(iteration)
        if iteration == 2:
            stop.set()

    before = signal.getsignal(signal.SIGTERM)
    worker = threading.Thread(target=loop.fit, args=(settings(picture_folder, tmp_path, iterations=1000), on_step, stop))
    worker.start()
    worker.join(timeout=120)
    assert found == [1, 2] and not worker.is_alive() and signal.getsignal(signal.SIGTERM) is before
    assert (tmp_path / "tiny" / "checkpoint-0000002.pt").exists()


def test_losses_and_sheets_are_in_tensorboard(picture_folder: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    loop.fit(settings(picture_folder, tmp_path, iterations=2))
    loop.fit(settings(picture_folder, tmp_path))
    board = EventAccumulator(str(tmp_path / "tiny" / "tensorboard"))
    board.Reload()
    rows = logged(tmp_path / "tiny")
    assert [e.step for e in board.Scalars("G/latent_cyc")] == [1, 2, 3, 4]
    assert [e.value for e in board.Scalars("D/ref_real")] == pytest.approx([r["D/ref_real"] for r in rows])
    sheets = board.Images("samples")
    assert [e.step for e in sheets] == [2, 4]
    with (
        Image.open(io.BytesIO(sheets[1].encoded_image_string)) as shown,
        Image.open(tmp_path / "tiny" / "samples" / "0000004.png") as kept,
    ):
        assert np.abs(np.asarray(shown, np.float32) - np.asarray(kept, np.float32)).mean() < 4


def test_pictures_of_all_modes_and_sizes_train_together(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for d, domain in enumerate(("cold", "warm")):
            folder = tmp_path / "data" / split / domain
            folder.mkdir(parents=True)
            portrait(d, 200).convert("L").save(folder / "grey.png")
            portrait(d + 2, 64).convert("RGBA").save(folder / "alpha.webp")
            portrait(d + 4, 90).resize((300, 40)).convert("CMYK").save(folder / "wide.jpg")
            portrait(d + 6, 50).convert("P").save(folder / "palette.gif")
    assert loop.fit(settings(tmp_path / "data", tmp_path, iterations=1)).iteration == 1


def test_bad_folders_are_said_before_anything_starts(
    picture_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for changes, message in (
        ({"domains": ["cold", "hot", "warm"]}, "has no folder for hot; it has cold, warm"),
        ({"data": str(tmp_path / "none")}, f"there is no folder {tmp_path / 'none'};"),
        ({"init_from": "nothing"}, "there is no model 'nothing'"),
    ):
        file = as_file(tmp_path / "c.yaml", picture_folder, tmp_path, **changes)
        assert main(["fit", "--config", str(file)]) == 2 and message in capsys.readouterr().err
        assert not (tmp_path / "tiny").exists()


# Starting from a model


def of_another_run(path: Path, domains: tuple[str, ...], published: bool = False) -> checkpoint.Model:
    torch.manual_seed(1)
    model = build(ModelConfig(image_size=64, domains=domains, w_hpf=0.0, base_channels=4, max_channels=8), None)
    if published:
        torch.save({name: {f"module.{k}": v for k, v in net.state_dict().items()} for name, net in model.networks.items()}, path)
    else:
        checkpoint.save(model, path)
    return model


def test_known_domains_keep_their_branch_and_new_ones_start_from_the_mean(picture_folder: Path, tmp_path: Path) -> None:
    model = of_another_run(tmp_path / "m.safetensors", ("warm", "hot", "dry"))
    state = loop.fit(settings(picture_folder, tmp_path, init_from=str(tmp_path / "m.safetensors"), iterations=2))
    for net in ("style_encoder", "mapping_network"):
        old, new = getattr(model, net).state_dict(), state.networks[net].state_dict()
        for key in (k for k in old if k.startswith("unshared.0.")):
            branches = [old[key.replace(".0.", f".{i}.", 1)] for i in range(3)]
            # Two iterations of warm-up: nothing but the discriminator has moved.
            torch.testing.assert_close(new[key], torch.stack(branches).mean(0))
            torch.testing.assert_close(new[key.replace(".0.", ".1.", 1)], branches[0])
    torch.testing.assert_close(state.generator.state_dict(), model.generator.state_dict(), check_device=False)
    torch.testing.assert_close(state.averaged["generator"].state_dict(), model.generator.state_dict())
    assert {"D/latent_real"} <= logged(tmp_path / "tiny")[0].keys() and "G/latent_adv" not in logged(tmp_path / "tiny")[0]


def test_a_published_checkpoint_is_fine_tuned(picture_folder: Path, tmp_path: Path) -> None:
    model = of_another_run(tmp_path / "p.ckpt", ("0", "1"), published=True)
    changes = {"init_from": str(tmp_path / "p.ckpt"), "discriminator_warmup": 1, "iterations": 2}
    state = loop.fit(settings(picture_folder, tmp_path, **changes))
    assert not torch.equal(state.generator.from_rgb.weight, model.generator.from_rgb.weight)
    difference = (state.generator.from_rgb.weight - model.generator.from_rgb.weight).abs().max()
    assert difference < 1e-3, "it started from the checkpoint"


def test_a_model_of_another_shape_says_what_to_set(picture_folder: Path, tmp_path: Path) -> None:
    of_another_run(tmp_path / "m.safetensors", ("cold", "warm"))
    with pytest.raises(config.ConfigError, match=r"--set base_channels=4 --set max_channels=8"):
        loop.fit(settings(picture_folder, tmp_path, init_from=str(tmp_path / "m.safetensors"), base_channels=8, max_channels=16))


def test_sheets_show_every_source_in_every_domain(picture_folder: Path, tmp_path: Path) -> None:
    state = loop.fit(settings(picture_folder, tmp_path))
    with Image.open(tmp_path / "tiny" / "samples" / "0000004.png") as sheet:
        # The source, two seeds and a reference for each of two domains, the reconstruction; references above six sources.
        assert sheet.size == (64 * (1 + 2 * 2 + 2 + 1), 64 * 7)
    assert os.listdir(tmp_path / "tiny" / "samples") == ["0000004.png"] and state.iteration == 4

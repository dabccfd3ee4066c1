"""A run: resumed, stopped, exported."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from material import TINY_RUN

from stargan import zoo
from stargan.files import checkpoint, places
from stargan.files.checkpoint import CheckpointError
from stargan.zoo import push
from tests.processes import NOTHING, as_here, forked, ran
from train import config, data
from train.cli.main import main
from train.run import loop
from train.step.batch import sample_batch
from train.step.state import State
from train.step.update import iterate

ROOT = places.ROOT


def settings(pictures: Path, runs: Path, **changes: object) -> config.TrainConfig:
    values = {
        "name": "tiny",
        "data": str(pictures),
        "runs": str(runs),
        "domains": ["cold", "warm"],
        "image_size": 64,
        "base_channels": 4,
        "max_channels": 8,
        "batch": 2,
        "iterations": 4,
        "save_every": 2,
        "sample_every": 4,
        "r1_every": 2,
        "diff_augment": True,
        "alternate": True,
        "ema_warmup": True,
    }
    return config.from_mapping(values | changes)


def test_a_resumed_run_ends_with_the_same_weights(picture_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = loop.fit(settings(picture_folder, tmp_path / "a"))
    loop.fit(settings(picture_folder, tmp_path / "b", iterations=3))
    resumed = loop.fit(settings(picture_folder, tmp_path / "b"))
    assert whole.iteration == resumed.iteration == 4 and "nothing is left" not in capsys.readouterr().out
    assert loop.fit(settings(picture_folder, tmp_path / "b", iterations=3)).iteration == 4
    assert "b/tiny: nothing is left to do of 3 iterations; set more, to train on" in capsys.readouterr().out
    for name, net in (whole.networks | {f"averaged {k}": v for k, v in whole.averaged.items()}).items():
        other = resumed.averaged[name[9:]] if name.startswith("averaged") else resumed.networks[name]
        for key, value in net.state_dict().items():
            assert torch.equal(value, other.state_dict()[key]), f"{name}.{key}"


def test_a_run_leaves_what_is_needed_to_use_it(picture_folder: Path, tmp_path: Path) -> None:
    seen = []
    changes = {"keep": 1, "log_every": 4}
    state = loop.fit(settings(picture_folder, tmp_path, **changes), on_step=lambda i, found: seen.append((i, found)))
    folder = tmp_path / "tiny"
    assert [p.name for p in sorted(folder.glob("checkpoint-*"))] == ["checkpoint-0000004.pt"]
    assert (folder / "samples" / "0000004.png").stat().st_size > 1000
    assert json.loads((folder / "config.json").read_text())["domains"] == ["cold", "warm"]
    model = checkpoint.load(folder / "model.safetensors")
    torch.testing.assert_close(model.generator.from_rgb.weight, state.averaged["generator"].from_rgb.weight, atol=1e-3, rtol=1e-3)
    assert model.config.domains == ("cold", "warm") and model.fan is not None
    assert [i for i, _ in seen] == [1, 2, 3, 4]
    assert {"D/latent_real", "G/latent_cyc"} <= seen[0][1].keys() and {"D/ref_real", "G/ref_sty"} <= seen[1][1].keys()
    assert all(np.isfinite(list(found.values())).all() for _, found in seen)
    (line,) = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    newest = {key: value for _, found in seen for key, value in found.items()}
    assert line == {"iteration": 4, "seconds": line["seconds"]} | newest and "D/ref_reg" in newest, "R1 is not in the fourth"


def test_a_finished_run_takes_another_licence(picture_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, done = tmp_path / "tiny", {"iterations": 1, "licence": "CC0", "w_hpf": 0.0}
    loop.fit(settings(picture_folder, tmp_path, **done))
    shutil.copy(folder / "model.safetensors", folder / "best.safetensors")
    before = checkpoint.load(folder / "model.safetensors")
    loop.fit(settings(picture_folder, tmp_path, **done | {"licence": ""}))
    assert checkpoint.load(folder / "model.safetensors").licence == "CC0" and "licence" not in capsys.readouterr().out
    loop.fit(settings(picture_folder, tmp_path, **done | {"licence": "CC BY 4.0"}))
    assert f"{folder}: the licence of best.safetensors and model.safetensors is CC BY 4.0 now" in capsys.readouterr().out
    for name in ("model", "best"):
        after = checkpoint.load(folder / f"{name}.safetensors")
        assert after.licence == "CC BY 4.0"
        before.licence = after.licence
        assert push.difference(before, after) == "", "nothing else has changed"


def test_training_changes_the_averaged_networks_too(picture_folder: Path, tmp_path: Path) -> None:
    start = State(settings(picture_folder, tmp_path), None).averaged["generator"].from_rgb.weight.clone()
    state = loop.fit(settings(picture_folder, tmp_path, w_hpf=0.0))
    assert not torch.equal(start, state.averaged["generator"].from_rgb.weight)
    assert not torch.equal(state.averaged["generator"].from_rgb.weight, state.generator.from_rgb.weight)


@pytest.mark.slow
def test_sigterm_saves_and_a_second_call_continues(picture_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        f"name: tiny\ndata: {picture_folder}\nruns: {tmp_path}\ndomains: [cold, warm]\nimage_size: 64\n"
        "base_channels: 4\nmax_channels: 8\nw_hpf: 0\nbatch: 2\niterations: 100000\nlog_every: 2\n"
    )
    command = ["-m", "train", "fit", "--config", str(tmp_path / "c.yaml")]
    process = forked(command, ROOT, as_here(os.environ), NOTHING, NOTHING)
    log, deadline = tmp_path / "tiny" / "log.jsonl", time.monotonic() + 120
    while time.monotonic() < deadline and not (log.exists() and log.read_text()):
        time.sleep(0.2)
    process.terminate()
    assert process.wait(timeout=60) == 0
    (saved,) = (tmp_path / "tiny").glob("checkpoint-*.pt")
    done = int(saved.stem.rpartition("-")[2])
    assert done >= 2
    ended = ran([*command, "--set", f"iterations={done + 1}"], ROOT, os.environ)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "tiny" / f"checkpoint-{done + 1:07d}.pt").exists()


def test_ctrl_c_saves_and_is_told_apart_by_the_exit_code(
    picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {**TINY_RUN, "data": str(picture_folder), "runs": str(tmp_path), "batch": 2, "iterations": 100, "keep": 2}
    (tmp_path / "c.yaml").write_text(json.dumps(given))
    for iteration, number, code in ((1, signal.SIGINT, 130), (2, signal.SIGTERM, 0)):

        def asked(*arguments: Any, number: int = number) -> Any:
            os.kill(os.getpid(), number)
            return iterate(*arguments)

        monkeypatch.setattr(loop, "iterate", asked)
        assert main(["fit", "--config", str(tmp_path / "c.yaml")]) == code
        assert (tmp_path / "tiny" / f"checkpoint-{iteration:07d}.pt").exists()


def test_a_process_whose_others_have_ended_says_so(picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object) -> None:
        raise RuntimeError("[gloo/transport/tcp/pair.cc:561] Connection closed by peer [127.0.0.1]:1977")

    monkeypatch.setattr(loop, "_settled", lost)
    with pytest.raises(RuntimeError, match="closed by peer"):
        loop.fit(settings(picture_folder, tmp_path))
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    with pytest.raises(config.TrainingError, match="another process of this run has ended, .* call the same command again"):
        loop.fit(settings(picture_folder, tmp_path))


def test_a_checkpoint_of_other_shape_is_refused(picture_folder: Path, tmp_path: Path) -> None:
    loop.fit(settings(picture_folder, tmp_path, iterations=1))
    with pytest.raises(CheckpointError, match=r"checkpoint-0000001\.pt does not continue this run"):
        loop.fit(settings(picture_folder, tmp_path, iterations=2, max_channels=16))


@pytest.mark.parametrize("left", [0, 300, 5000])
def test_a_truncated_checkpoint_is_named(picture_folder: Path, tmp_path: Path, left: int) -> None:
    loop.fit(settings(picture_folder, tmp_path, w_hpf=0.0, save_every=1, iterations=2))
    for number, advice in (
        (2, r"remove it, and the run goes on from checkpoint-0000001\.pt"),
        (1, r"train under another name, with --init-from .*/tiny/model\.safetensors to start from what this run has come to"),
    ):
        saved = tmp_path / "tiny" / f"checkpoint-{number:07d}.pt"
        saved.write_bytes(saved.read_bytes()[:left])
        sentence = rf"{saved} does not continue this run: it is cut off or damaged; {advice}$"
        with pytest.raises(CheckpointError, match=sentence):
            loop.fit(settings(picture_folder, tmp_path, w_hpf=0.0))
        saved.unlink()


def test_a_write_that_fails_without_a_word_is_said(picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(torch, "save", silent)
    with pytest.raises(config.TrainingError, match=r"checkpoint-0000001\.pt could not be written \(OSError\)"):
        loop.fit(settings(picture_folder, tmp_path, w_hpf=0.0, iterations=1))


def test_both_kinds_in_an_iteration_or_one_in_turn(picture_folder: Path, tmp_path: Path) -> None:
    pictures = data.load(picture_folder, "train", 80, tmp_path)
    for alternate, wanted in ((True, ({"latent"}, {"ref"})), (False, ({"latent", "ref"},) * 2)):
        state = State(settings(picture_folder, tmp_path, alternate=alternate, w_hpf=0.0), None)
        for kinds in wanted:
            found = iterate(state, sample_batch(state.config, pictures, state.iteration))
            assert {k.split("/")[1].split("_")[0] for k in found} - {"lambda"} == kinds


def test_the_weight_of_diversity_falls_to_its_floor(picture_folder: Path, tmp_path: Path) -> None:
    state = State(settings(picture_folder, tmp_path, lambda_ds=2.0, ds_floor=0.5, ds_iterations=10), None)
    found = []
    for state.iteration in (0, 5, 10, 50):
        found.append(state.lambda_ds)
    assert found == [2.0, 1.25, 0.5, 0.5]


def test_a_run_of_a_bundled_models_name_says_where_its_own_model_lies(
    picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loop, "fit", lambda settings, **options: None)
    (tmp_path / "c.yaml").write_text(f"runs: {tmp_path}\ndata: {picture_folder}\n")
    for name in (zoo.DEFAULT, "mine"):
        assert main(["fit", "--config", str(tmp_path / "c.yaml"), "--set", f"name={name}"]) == 0
    told = capsys.readouterr().err
    assert f"this run's is --model {tmp_path / zoo.DEFAULT / 'model.safetensors'}" in told and "mine" not in told

"""Settings mean what is written; a run is continued on what it has seen, or says what is another; memory that is too small."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from material import TINY_FAN, portrait

from stargan import memory, zoo
from stargan.files import checkpoint
from stargan.model import build
from stargan.networks import ModelConfig
from stargan.translate import Translator
from train import config, data
from train.config import ConfigError, TrainingError
from train.judge import evaluate
from train.run import loop, records
from train.run.checkpoints import resume, save

SETTINGS: dict[str, Any] = {
    "name": "tiny", "image_size": 64, "base_channels": 4, "max_channels": 8, "w_hpf": 0.0, "batch": 2, "iterations": 1,
    "save_every": 1, "sample_every": 100, "log_every": 1, "precision": "fp32",
}  # fmt: skip


@pytest.mark.parametrize(
    "change,key,value",
    [
        ("name=001", "name", "001"),
        ("name=#1", "name", "#1"),
        ("name=no", "name", "no"),
        ("name='a b'", "name", "a b"),
        ("name=2026-11-25", "name", "2026-11-25"),
        ("data=~/pics", "data", str(Path("~/pics").expanduser())),
        ("data=a: b", "data", "a: b"),
        ("domains=[no,yes]", "domains", ("no", "yes")),
        ("domains=no, yes", "domains", ("no", "yes")),
        ("domains=[001, 'a, b', #2]", "domains", ("001", "a, b", "#2")),
        ("domains=[]", "domains", ()),
        ("lr=1e-4", "lr", 1e-4),
        ("lr=1", "lr", 1.0),
        ("iterations=1e5", "iterations", 100_000),
        ("batch= 4", "batch", 4),
        ("seed=9007199254740993", "seed", 2**53 + 1),
        ("exact=false", "exact", False),
        ("ema_warmup=on", "ema_warmup", True),
        ("betas=[0.5, .9]", "betas", (0.5, 0.9)),
        ("licence=CC BY 4.0: mine", "licence", "CC BY 4.0: mine"),
    ],
)
def test_values_are_typed_by_their_field(tmp_path: Path, change: str, key: str, value: object) -> None:
    (tmp_path / "c.yaml").write_text("batch: 8\n")
    found = getattr(config.read(tmp_path / "c.yaml", [change]), key)
    assert found == value and type(found) is type(value)
    name, _, written = change.partition("=")
    if "#" not in change and ": " not in change:
        (tmp_path / "d.yaml").write_text(f"{name}: {written if name != 'domains' or '[' in written else f'[{written}]'}\n")
        assert getattr(config.read(tmp_path / "d.yaml"), key) == value


@pytest.mark.parametrize("change", ["batch=eight", "batch=1.5", "exact=maybe", "lr=fast", "betas=[a, b]", "betas=[1]", "minutes="])
def test_values_of_another_type_name_the_setting(tmp_path: Path, change: str) -> None:
    (tmp_path / "c.yaml").write_text("batch: 8\n")
    with pytest.raises(ConfigError, match=rf"^{change.partition('=')[0]} is") as error:
        config.read(tmp_path / "c.yaml", [change])
    assert not re.search(r"\b(int|float|bool|str|tuple)\b", str(error.value)), "people know no Python"


def pictures(root: Path, *domains: str) -> Path:
    for split in ("train", "val"):
        for d, domain in enumerate(domains):
            (root / split / domain).mkdir(parents=True)
            for i in range(2):
                portrait(10 * d + i, 64).save(root / split / domain / f"{i}.png")
    return root


def run(root: Path, *domains: str, accept: bool = False, **changes: Any) -> loop.State:
    values = {**SETTINGS, "data": str(root / "data"), "runs": str(root / "runs"), "domains": list(domains), **changes}
    return loop.fit(config.from_mapping(values), accept_changes=accept)


def branch(state: loop.State, domain: str) -> torch.Tensor:
    index = state.config.model.domains.index(domain)
    return state.networks["style_encoder"].state_dict()[f"unshared.{index}.weight"].clone()


CHANGED: dict[str, tuple[tuple[str, ...], str]] = {
    "reordered": (("warm", "cold"), "its domains are in the order cold, warm, and not warm, cold"),
    "renamed": (("cool", "warm"), r"of its domains \(cold, warm\) cold would be gone, and cool would be new"),
    "added": (("cold", "new", "warm"), "new would be new"),
    "removed": (("warm",), "cold would be gone"),
}


@pytest.mark.parametrize("how", CHANGED)
def test_changed_domains_are_refused_or_go_by_name(tmp_path: Path, how: str) -> None:
    pictures(tmp_path / "data", "cold", "warm")
    before = run(tmp_path, "cold", "warm")
    new, sentence = CHANGED[how]
    for split in ("train", "val"):
        for domain in new:
            if not (place := tmp_path / "data" / split / domain).exists():
                shutil.copytree(place.with_name("cold"), place)
    with pytest.raises(ConfigError, match=sentence):
        run(tmp_path, *new)
    after = run(tmp_path, *new, accept=True)
    assert after.iteration == 1
    for domain in set(new) & {"cold", "warm"}:
        assert torch.equal(branch(after, domain), branch(before, domain))
    if how == "renamed":
        assert torch.equal(branch(after, "cool"), branch(before, "cold"))
    if how == "added":
        torch.testing.assert_close(branch(after, "new"), (branch(before, "cold") + branch(before, "warm")) / 2)


@pytest.mark.usefixtures("small_features")
def test_changed_domains_keep_their_branches_of_both_discriminators(tmp_path: Path) -> None:
    pictures(tmp_path / "data", "cold", "warm", "new")
    before = run(tmp_path, "cold", "warm", lambda_proj=1.0).projected
    with pytest.raises(ConfigError, match="lambda_proj was on and is off, which loses the network that was trained for it. Put"):
        run(tmp_path, "cold", "warm", iterations=2)
    after = run(tmp_path, "warm", "new", "cold", accept=True, lambda_proj=1.0).projected
    assert before is not None and after is not None
    for one, other in zip(before.heads, after.heads, strict=True):
        assert torch.equal(other[5].bias[[0, 2]], one[5].bias[[1, 0]])
        torch.testing.assert_close(other[5].bias[1], one[5].bias.mean())
        assert torch.equal(other[0].bias, one[0].bias) and other[5].weight.isfinite().all()
    assert run(tmp_path, "warm", "new", "cold", accept=True, iterations=2).iteration == 2, "without it"


def test_other_pictures_are_refused_unless_accepted(tmp_path: Path) -> None:
    pictures(tmp_path / "data", "cold", "warm")
    run(tmp_path, "cold", "warm")
    shutil.copytree(tmp_path / "data", tmp_path / "moved")
    assert run(tmp_path, "cold", "warm", data=str(tmp_path / "moved")).iteration == 1, "the same pictures elsewhere"
    portrait(99, 80).save(tmp_path / "data" / "train" / "cold" / "more.png")
    with pytest.raises(ConfigError, match="the pictures in .*data are not those that it has seen.*--accept-changes"):
        run(tmp_path, "cold", "warm")
    assert run(tmp_path, "cold", "warm", accept=True, iterations=2).iteration == 2


@pytest.mark.parametrize("lambda_proj", [0.0, 0.5])
@pytest.mark.usefixtures("small_features")
def test_a_domain_that_becomes_source_only_or_a_target_is_a_change(tmp_path: Path, lambda_proj: float) -> None:
    pictures(tmp_path / "data", "cold", "warm", "photo")
    before = run(tmp_path, "cold", "warm", sources=["photo"], lambda_proj=lambda_proj)
    for domains, sources, sentence in (
        (("cold",), ["warm", "photo"], "warm was a target and would be source-only"),
        (("cold", "warm", "photo"), [], "photo was source-only and would be a target"),
    ):
        changes = {"sources": sources, "lambda_proj": lambda_proj}
        with pytest.raises(ConfigError, match=f"something else: {sentence}. Put that back"):
            run(tmp_path, *domains, **changes)
        turned = run(tmp_path, *domains, accept=True, **changes)
        assert all(torch.equal(branch(turned, domain), branch(before, domain)) for domain in ("cold", "warm", "photo"))


def test_the_best_is_forgotten_with_what_it_was_measured_on(tmp_path: Path) -> None:
    pictures(tmp_path / "data", "cold", "warm")
    state = run(tmp_path, "cold", "warm")
    state.best = {"iteration": 1, "score": 0.5}
    save(state, tmp_path / "runs" / "tiny")
    assert run(tmp_path, "cold", "warm", accept=True).best == state.best
    portrait(99, 80).save(tmp_path / "data" / "train" / "cold" / "more.png")
    assert run(tmp_path, "cold", "warm", accept=True).best == {}


@pytest.mark.usefixtures("small_features")
def test_another_shape_says_what_is_another(tmp_path: Path) -> None:
    pictures(tmp_path / "data", "cold", "warm")
    before = run(tmp_path, "cold", "warm", hidden_dim=16)
    (path,) = (tmp_path / "runs" / "tiny").glob("checkpoint-*.pt")

    def refused(sentence: str, accept: bool = False, **changes: Any) -> None:
        state = loop.State(dataclasses.replace(before.config, **changes), None)
        with pytest.raises(checkpoint.CheckpointError, match=f"this run: {sentence}; put that back, or train under another name"):
            resume(state, path.parent, accept)

    refused("base_channels was 4 and is 8", base_channels=8)
    refused("image_size was 64 and is 128, w_hpf was 0.0 and is 1.0", image_size=128, w_hpf=1.0)
    refused("hidden_dim was 16 and is 8", domains=("warm", "cold"), hidden_dim=8, accept=True)
    # These change no shape of a weight, but what the weights make.
    refused("subsampled_chroma was False and is True", subsampled_chroma=True)
    masked = run(tmp_path, "cold", "warm", name="masked", w_hpf=1.0)
    with pytest.raises(checkpoint.CheckpointError, match="this run: w_hpf was 1.0 and is 2.0; put that back"):
        resume(loop.State(dataclasses.replace(masked.config, w_hpf=2.0), None), masked.config.folder)
    # Before checkpoints knew their shape, config.json did.
    content = torch.load(path, weights_only=True)
    del content["run"]["shape"]
    torch.save(content, path)
    refused("max_channels was 8 and is 16", max_channels=16)
    refused("likeness was off and is on", likeness=True, lambda_con=1.0)
    assert resume(loop.State(before.config, None), path.parent)


def test_a_model_without_checkpoints_is_never_written_over(tmp_path: Path) -> None:
    pictures(tmp_path / "data", "cold", "warm")
    folder = run(tmp_path, "cold", "warm").config.folder
    for path in folder.glob("checkpoint-*.pt"):
        path.unlink()
    before = {name: (folder / name).read_bytes() for name in ("model.safetensors", "log.jsonl")}
    start = folder / "model.safetensors"
    advice = f"train under another name, with --init-from {start} to start from what this run has come to, or move that folder away"
    with pytest.raises(TrainingError, match=f"^{folder} holds a trained model, but no checkpoint to continue it from; {advice}$"):
        run(tmp_path, "cold", "warm")
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert run(tmp_path, "cold", "warm", name="other", init_from=str(start)).iteration == 1


def test_a_first_checkpoint_whose_model_is_missing_is_gone_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    pictures(tmp_path / "data", "cold", "warm")
    with monkeypatch.context() as patch:
        patch.setattr("train.run.checkpoints.export", full)
        with pytest.raises(TrainingError, match="no space left"):
            run(tmp_path, "cold", "warm")
    assert list((tmp_path / "runs" / "tiny").glob("checkpoint-*.pt"))
    state = run(tmp_path, "cold", "warm")
    assert state.iteration == 1 and zoo.load(str(state.config.folder / "model.safetensors")).config.domains == ("cold", "warm")


def test_a_run_goes_on_with_what_it_has_of_the_model_that_it_began_with(tmp_path: Path) -> None:
    pictures(tmp_path / "data", "cold", "warm")
    torch.manual_seed(1)
    shape = ModelConfig(image_size=64, domains=("cold", "warm"), base_channels=4, max_channels=8)
    model = build(shape, TINY_FAN, name="start", licence="CC BY-NC 4.0")
    model.aligner = "face_alignment"
    checkpoint.save(model, tmp_path / "start.safetensors")
    first = {"w_hpf": 1.0, "init_from": str(tmp_path / "start.safetensors"), "discriminator_warmup": 0}
    run(tmp_path, "cold", "warm", **first)
    whole = run(tmp_path, "cold", "warm", **first, name="whole", iterations=3)
    (tmp_path / "start.safetensors").unlink()
    run(tmp_path, "cold", "warm", **first, iterations=2)
    resumed = run(tmp_path, "cold", "warm", **first | {"init_from": "", "iterations": 3})
    for name, net in whole.networks.items():
        assert all(torch.equal(value, resumed.networks[name].state_dict()[key]) for key, value in net.state_dict().items())
    made = zoo.load(str(resumed.config.folder / "model.safetensors"))
    assert made.fan is not None and made.fan.config == TINY_FAN
    assert (made.licence, made.aligner) == ("CC BY-NC 4.0", "face_alignment")


def test_a_checkpoint_knows_its_run(tmp_path: Path) -> None:
    pictures(tmp_path / "data", "cold", "warm")
    run(tmp_path, "cold", "warm", licence="CC0")
    (path,) = (tmp_path / "runs" / "tiny").glob("checkpoint-*.pt")
    facts = torch.load(path, weights_only=True)["run"]
    assert facts["domains"] == ["cold", "warm"] and len(facts["data"]) == 33 and facts["version"]
    model = zoo.load(str(path))
    assert (model.name, model.licence, model.config.domains) == ("tiny", "CC0", ("cold", "warm"))


def test_a_run_starts_from_a_published_checkpoint_with_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures(tmp_path / "data", "cold", "warm")
    torch.manual_seed(1)
    model = build(ModelConfig(image_size=64, domains=("a", "b"), w_hpf=0.0, base_channels=4, max_channels=8))
    torch.save({name: net.state_dict() for name, net in model.networks.items()}, tmp_path / "nets.ckpt")
    named = {"init_from": str(tmp_path / "nets.ckpt"), "init_domains": ["warm", "hot"], "iterations": 1}
    state = run(tmp_path, "cold", "warm", **named)
    assert torch.equal(branch(state, "warm"), model.style_encoder.unshared[0].weight)
    assert "warm as in nets; cold from the mean of all" in capsys.readouterr().out


@pytest.mark.parametrize("error", [RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), MemoryError()])
def test_too_little_memory_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def raise_(*_: object, **__: object) -> None:
        raise error

    pictures(tmp_path / "data", "cold")
    run(tmp_path, "cold")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "iterate", raise_)
        with pytest.raises(memory.NotEnoughMemory, match="batch lower than 2, accumulate higher than 1 .* image_size lower"):
            run(tmp_path, "cold", iterations=3)
    assert run(tmp_path, "cold", iterations=2).iteration == 2
    translator = Translator(build(ModelConfig(image_size=64, domains=("a",), w_hpf=0.0, base_channels=4, max_channels=8)))
    with monkeypatch.context() as patch:
        patch.setitem(translator._calls, "encode", raise_)
        with pytest.raises(memory.NotEnoughMemory, match="this machine has not enough memory.*smaller model"):
            translator.encode(portrait(0))
    assert translator.encode(portrait(0)).image.shape == (1, 3, 64, 64)


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory.enough_memory("advice"):
        raise RuntimeError("shapes do not fit")


@pytest.mark.parametrize("error", [data.DataError("x.png is broken"), ZeroDivisionError("division by zero"), MemoryError()])
def test_an_evaluation_that_fails_does_not_end_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(evaluate, "evaluate", broken)
    monkeypatch.setattr(records.evaluate, "evaluate", broken)
    pictures(tmp_path / "data", "cold")
    assert run(tmp_path, "cold", iterations=2, evaluate_every=1).iteration == 2
    assert f"iteration 1: not evaluated ({str(error) or 'MemoryError'})" in capsys.readouterr().out


def test_settings_in_a_file_are_read_as_they_were_written(tmp_path: Path) -> None:
    values = {**SETTINGS, "domains": ["no", "001"], "betas": [0.1, 0.9]}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(values))
    found = config.read(tmp_path / "c.yaml")
    assert found == config.from_mapping(values)

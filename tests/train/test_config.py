"""Configurations: those that come along, and what is wrong with others."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from stargan.files import places
from train import config
from train.__main__ import main
from train.cli import match
from train.cli.main import VERBS


def test_the_bundled_configurations_are_valid() -> None:
    for path in (places.ROOT / "train" / "configs").glob("*.yaml"):
        settings = config.read(path, [] if config.read(path).domains else ["domains=[a, b]"])
        assert settings.model.image_size >= 64 and settings.name == path.stem


def test_a_wrong_configuration_says_what_is_wrong(tmp_path: Path) -> None:
    base = {"domains": ["a", "b"]}
    with pytest.raises(config.ConfigError, match="'lamda_ds'; did you mean 'lambda_ds'"):
        config.from_mapping(base | {"lamda_ds": 1})
    with pytest.raises(config.ConfigError, match="batch is 'eight'"):
        config.from_mapping(base | {"batch": "eight"})
    with pytest.raises(config.ConfigError, match="batch is 0"):
        config.from_mapping(base | {"batch": 0})
    with pytest.raises(config.ConfigError, match="precision is 'fp8'"):
        config.from_mapping(base | {"precision": "fp8"})
    with pytest.raises(ValueError, match="image_size is 100"):
        _ = config.from_mapping(base | {"image_size": 100}).model
    path = tmp_path / "c.yaml"
    path.write_text("domains: [a, b]\nlr: 1e-3\n")
    assert config.read(path, ["batch=3", "betas=[0.5, 0.9]"]) == config.TrainConfig(
        domains=("a", "b"), lr=1e-3, batch=3, betas=(0.5, 0.9)
    )
    with pytest.raises(config.ConfigError, match="no '='"):
        config.read(path, ["batch"])
    path.write_text("[: x")
    with pytest.raises(config.ConfigError, match="YAML"):
        config.read(path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        *((f"{name}=-3", f"{name} is -3.0; it has to be 0 or above") for name in ("lambda_r1", "lambda_sty", "lambda_ds")),
        *((f"{name}=-1", f"{name} is -1.0; it has to be 0 or above") for name in ("lambda_cyc", "weight_decay", "ds_floor")),
        *((f"{name}=-1", f"{name} is -1.0; it has to be 0 or above") for name in ("lr", "mapping_lr")),
        *((f"{name}=-1", f"{name} is -1; it has to be 0 or above") for name in ("discriminator_warmup", "seed")),
        *(
            (f"{name}=nan", f"{name} is nan; nothing but finite numbers")
            for name in ("lr", "clip", "lambda_con", "w_hpf", "minutes")
        ),
        ("lambda_sty=inf", "lambda_sty is inf; nothing but finite numbers"),
        ("minutes=-1", r"minutes is -1.0; it has to be 0 \(no limit\) or above"),
        ("seed=99999999999999999999", r"seed is 9{20}; it has to be 0 or above, and below 2\*\*63"),
        ("ema=2", "ema is 2.0; it has to be 0 or above, and below 1"),
        ("ema=1", "ema is 1.0; it has to be 0 or above, and below 1"),
        ("betas=[1, 2]", r"betas is \[1.0, 2.0\]; it has to be two numbers of 0 or above, and below 1"),
        ("betas=[0, nan]", r"betas is \[0.0, nan\]; nothing but finite numbers"),
        *((f"name={name}", f"name is '{name}'; it has to be the name of a folder") for name in ("", ".", "..", "../esc", "/tmp/x")),
        ("name=a\\b", "name is .* without slashes"),
    ],
)
def test_a_setting_out_of_its_range_is_named(tmp_path: Path, change: str, sentence: str) -> None:
    (tmp_path / "c.yaml").write_text("domains: [a, b]\n")
    with pytest.raises(config.ConfigError, match=f"^{sentence}"):
        config.read(tmp_path / "c.yaml", [change])


def test_zero_is_in_the_range_of_weights_and_rates(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("domains: [a, b]\n")
    zero = ("lr", "mapping_lr", "weight_decay", "lambda_r1", "lambda_sty", "lambda_ds", "lambda_cyc", "ds_floor", "ema", "minutes")
    assert config.read(tmp_path / "c.yaml", [f"{name}=0" for name in zero]).lr == 0


@pytest.mark.parametrize("option", ["--init-domains", "--wing"])
def test_options_about_a_model_to_start_from_need_one(tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"domains: [a, b]\nruns: {tmp_path}\ndata: {tmp_path}\n")
    assert main(["fit", "--config", str(path), option, "X,Y"]) == 2
    assert f"fit: {option} is about the model to start from, but there is none; name it" in capsys.readouterr().err
    path.write_text(path.read_text() + "init_from: nothing\n")
    assert main(["fit", "--config", str(path), option, "X,Y"]) == 2
    assert option not in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["folder", "photographs"])
@pytest.mark.parametrize("size", ["31", "100000"])
def test_sizes_of_pictures_have_a_limit(kind: str, size: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["prepare", kind, "--from", "a", "--to", "b", "--size", size])
    assert ended.value.code == 2 and f"'{size}' is not a whole number from 32 to 2048" in capsys.readouterr().err


def test_command_line_errors_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text("domains: [a, b]\nbatchsize: 3\n")
    assert main(["fit", "--config", str(tmp_path / "c.yaml")]) == 2
    assert capsys.readouterr().err == "python -m train fit: there is no setting 'batchsize'; did you mean 'batch'?\n"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device; make room, and call it again"),
        (PermissionError(errno.EACCES, "Permission denied", "out.safetensors"), "out.safetensors: Permission denied"),
        (OSError("said\n otherwise"), "said otherwise"),
    ],
)
def test_what_the_system_refuses_is_said_without_its_number(
    error: OSError, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(_: object) -> int:
        raise error

    monkeypatch.setattr(match, "run", refused)
    assert main(["match", "--model", "a", "--data", "b", "--out", "c"]) == 2
    assert capsys.readouterr().err == f"python -m train match: {sentence}\n"


@pytest.mark.parametrize("arguments", [(), *((verb.__name__.rpartition(".")[2],) for verb in VERBS)])
def test_help(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    assert ended.value.code == 0 and "usage: python -m train" in capsys.readouterr().out

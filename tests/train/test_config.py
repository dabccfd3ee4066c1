"""Configurations: those that come along, and what is wrong with others."""

from __future__ import annotations

from pathlib import Path

import pytest

from stargan.files import places
from train import config
from train.__main__ import main
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


def test_command_line_errors_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text("domains: [a, b]\nbatchsize: 3\n")
    assert main(["fit", "--config", str(tmp_path / "c.yaml")]) == 2
    assert capsys.readouterr().err == "python -m train fit: there is no setting 'batchsize'; did you mean 'batch'?\n"


@pytest.mark.parametrize("arguments", [(), *((verb.__name__.rpartition(".")[2],) for verb in VERBS)])
def test_help(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    assert ended.value.code == 0 and "usage: python -m train" in capsys.readouterr().out

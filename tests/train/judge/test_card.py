"""The pictures of a model card."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from material import TINY_FAN
from PIL import Image
from skimage import data as photographs

from stargan import styles
from stargan.files import checkpoint
from stargan.media import images
from stargan.model import build
from stargan.networks import ModelConfig
from stargan.translate import Translator
from train.__main__ import main
from train.judge import card
from train.judge.photographs import Photographs
from train.step.state import initialize


@pytest.mark.slow
def test_a_card_shows_what_the_model_makes_and_nothing_else(picture_folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape = ModelConfig(image_size=64, domains=("cold", "warm"), hidden_dim=16, base_channels=4, max_channels=8)
    model = build(shape, TINY_FAN)
    for net in model.networks.values():
        initialize(net)
    Image.fromarray(photographs.astronaut()).save(tmp_path / "photo.png")
    found = [{"D/latent_real": 9 / i, "D/latent_fake": 0.5, "G/latent_cyc": 1 / i} for i in range(1, 40)]
    lines = [{"iteration": i, "seconds": i} | losses for i, losses in enumerate(found, 1)]
    (tmp_path / "log.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    given = {"photo": tmp_path / "photo.png", "log": tmp_path / "log.jsonl", "cache": tmp_path / "cache"}
    written = card.make(model, picture_folder, tmp_path / "out", **given)
    assert sorted(p for p in (tmp_path / "out").rglob("*") if p.is_file()) == sorted(written)
    sizes = {p.name: Image.open(p).size for p in written}
    assert sizes.pop("curve.png")[0] > 500
    examples = {"1-cold.jpg": (64, 64), "2-cold.jpg": (64, 64), "3-warm.jpg": (64, 64), "4-warm.jpg": (64, 64)}
    assert sizes == {"samples.jpg": (8 * 64, 6 * 64), "translations.jpg": (5 * 64, 64), **examples}
    curve = np.asarray(Image.open(tmp_path / "out" / "curve.png").convert("RGB"))
    assert len(np.unique(curve.reshape(-1, 3), axis=0)) > 20
    # The seed decides: another run gives the same pictures.
    again = card.make(model, picture_folder, tmp_path / "again", **given)
    assert [p.read_bytes() for p in again] == [p.read_bytes() for p in written]
    assert [p.name for p in card.make(model, picture_folder, tmp_path / "few", cache=tmp_path / "cache")][-1] == "4-warm.jpg"


@pytest.mark.parametrize("choice", [True, False])
def test_a_sheet_of_people_shows_only_the_photographs_that_may_be_shown(choice: bool) -> None:
    torch.manual_seed(0)
    shape = ModelConfig(image_size=64, domains=("cold", "warm"), hidden_dim=16, base_channels=4, max_channels=8)
    model = build(shape, TINY_FAN, free=choice)
    pixels = np.random.default_rng(0).integers(0, 200, (14, 64, 64, 3), np.uint8)
    names, frontal = tuple(f"p{i}" for i in range(14)), np.ones(14, bool)
    groups = {"source FairFace": np.delete(np.arange(14), [3, 5]), "source faker-js": np.array([3, 5])}
    translator = Translator(model)
    sheet = np.asarray(card.of_photographs(translator, Photographs(pixels, names, frontal, groups)))
    assert sheet.shape == (12 * 128, (1 + 2 * 2 * (3 if choice else 1)) * 128, 3)
    white = [bool((sheet[128 * r : 128 * (r + 1), :128] == 255).all()) for r in range(12)]
    assert white == [False] * 2 + [True] * 10
    if choice:  # likeness changes fastest: the last of three is the faithful generator's
        code = styles.from_seed(model, "cold", int(np.random.default_rng(0).integers(2**31, size=2)[0]))
        alone = translator.decode(translator.encode(Image.fromarray(pixels[3])), code)
        large = images.to_pil(torch.nn.functional.interpolate(alone, size=(128, 128), mode="bilinear", antialias=True)[0])
        assert np.abs(sheet[:128, 3 * 128 : 4 * 128].astype(int) - np.asarray(large)).max() <= 2
    own = np.asarray(card.of_photographs(translator, Photographs(pixels, names, frontal, {})))
    assert not (own[:128, :128] == 255).all() and not (own[-128:, :128] == 255).all()


@pytest.mark.parametrize(
    "content",
    [
        b'{\n "lr": 0.5,\n "betas": [\n  0.0,\n  0.99\n ],\n "name": "seconds"\n}',
        b"\xff\xfe\x00\x93PNG",
        b"",
        b'"seconds"\n[1]\nnull\n{"seconds": 1}\n{"iteration": 1, "seconds": 1}\n{"iteration": 2, "seconds": 2, "D/ref_real": NaN}',
    ],
)
def test_a_file_without_losses_is_refused_before_anything_is_written(picture_folder: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "log.jsonl").write_bytes(content)
    model = build(ModelConfig(image_size=64, domains=("cold", "warm"), w_hpf=0.0, base_channels=4, max_channels=8))
    with pytest.raises(card.LogError, match=r"log\.jsonl has no losses in it; give the log\.jsonl in the folder of a run"):
        card.make(model, picture_folder, tmp_path / "out", log=tmp_path / "log.jsonl", cache=tmp_path / "cache")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--log", "--photo"])
def test_a_file_that_is_not_there_is_said_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["card", "--model", "m", "--data", "d", "--out", str(tmp_path / "out"), option, str(tmp_path / "none")])
    assert ended.value.code == 2 and f"argument {option}: there is no file" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["card", "evaluate"])
def test_a_file_is_no_folder_to_write_to(tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    (tmp_path / "card").write_text("mine")
    model = build(ModelConfig(image_size=64, domains=("cold", "warm"), w_hpf=0.0, base_channels=4, max_channels=8))
    checkpoint.save(model, tmp_path / "m.safetensors")
    assert main([verb, "--model", str(tmp_path / "m.safetensors"), "--data", "d", "--out", str(tmp_path / "card")]) == 2
    assert "card is a file; name a folder" in capsys.readouterr().err


def test_steps_that_were_left_out_are_gaps_in_the_curve(tmp_path: Path) -> None:
    lines = [{"iteration": i, "seconds": i, "G/latent_cyc": float("nan") if i == 4 else 0.5} for i in range(1, 9)]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    card.plot(card._losses(tmp_path / "log.jsonl"), tmp_path / "curve.png")
    assert Image.open(tmp_path / "curve.png").size[0] > 500


def test_of_a_model_that_knows_no_faces_the_photograph_is_its_middle(picture_folder: Path, tmp_path: Path) -> None:
    shape = ModelConfig(image_size=64, domains=("cold", "warm"), w_hpf=0, hidden_dim=16, base_channels=4, max_channels=8)
    Image.fromarray(photographs.coffee()).save(tmp_path / "photo.png")  # shows nobody
    card.make(build(shape), picture_folder, tmp_path / "out", photo=tmp_path / "photo.png", cache=tmp_path / "cache")
    shown = np.asarray(Image.open(tmp_path / "out" / "translations.jpg"), np.float32)[:, :64]
    images.centre_crop(Image.fromarray(photographs.coffee()), 64).save(tmp_path / "middle.jpg", quality=card.QUALITY)
    middle = np.asarray(Image.open(tmp_path / "middle.jpg"), np.float32)
    assert np.abs(shown - middle).mean() < 2

"""What `python -m train evaluate` measures."""

from __future__ import annotations

import json
import shutil
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from material import TINY_FAN, portrait
from PIL import Image
from torch import Tensor, nn

from stargan.files import checkpoint
from stargan.model import build
from stargan.networks import ModelConfig
from train import config, data
from train.__main__ import main
from train.judge import classifier, distances, evaluate, table, translations
from train.run import loop

EPOCHS = 20  # after which the classifier knows the two colours


def tiny(**changes: object) -> checkpoint.Model:
    torch.manual_seed(0)
    shape = {"image_size": 64, "domains": ("cold", "warm"), "hidden_dim": 16, "base_channels": 4, "max_channels": 8}
    return build(ModelConfig(**shape | changes), TINY_FAN, name="tiny")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def two_colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two domains that colour tells apart, 24 pictures each for training and 8 for val."""
    root = tmp_path_factory.mktemp("colours")
    for s, (split, count) in enumerate((("train", 24), ("val", 8))):
        for d, domain in enumerate(("cold", "warm")):
            (root / split / domain).mkdir(parents=True)
            for i in range(count):
                pixels = np.asarray(portrait(1000 * s + 100 * d + i, 64)).astype(int) // 2
                pixels[..., 2 if d == 0 else 0] += 120
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / split / domain / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the classifier that learned is kept, so that it learns once."""
    return tmp_path_factory.mktemp("cache")


def test_pyramid_levels_add_up_to_the_picture() -> None:
    x = torch.randn(2, 3, 64, 64)
    levels = distances.laplacian_pyramid(x)
    assert list(levels) == [64, 32, 16]
    whole = levels[16]
    kernel = torch.outer(*[torch.tensor([1.0, 4, 6, 4, 1]) / 8] * 2).expand(3, 1, 5, 5)
    for side in (32, 64):
        spread = torch.zeros(2, 3, side, side)
        spread[:, :, ::2, ::2] = whole
        whole = levels[side] + F.conv2d(F.pad(spread, (2, 2, 2, 2), mode="reflect"), kernel, groups=3)
    assert torch.allclose(whole, x, atol=1e-5)


def test_a_smooth_picture_has_little_in_the_fine_levels() -> None:
    row = torch.linspace(-1, 1, 64)
    levels = distances.laplacian_pyramid(row.expand(1, 3, 64, 64))
    assert levels[64][..., 8:-8].abs().max() < 1e-5 and levels[16].abs().max() > 0.8


def test_sliced_wasserstein_knows_a_shift() -> None:
    a = torch.randn(4000, 20, generator=torch.Generator().manual_seed(1))
    b = torch.randn(4000, 20, generator=torch.Generator().manual_seed(2))
    assert distances.sliced_wasserstein(a, a[torch.randperm(4000)], 0) < 1e-6
    near = distances.sliced_wasserstein(a, b, 0)
    # A shift by v moves the projection on a direction u by |u.v|; its mean over directions is |v| / sqrt(20) * sqrt(2 / pi), about.
    far = distances.sliced_wasserstein(a, a + 3 * F.one_hot(torch.tensor(0), 20), 0)
    assert near < 0.05 and far == pytest.approx(3 / 20**0.5 * (2 / torch.pi) ** 0.5, rel=0.2)


def test_descriptors_do_not_depend_on_brightness_and_contrast() -> None:
    pixels = np.random.default_rng(0).integers(40, 80, (6, 32, 32, 3), dtype=np.uint8)
    a, b = (distances.descriptors(p, seed=0) for p in (pixels, 2 * pixels + 50))
    for side in (32, 16):
        assert a[side].shape == (6 * distances.PATCHES, 147)
        assert torch.allclose(a[side], b[side], atol=1e-3)
        assert a[side].mean().abs() < 1e-4 and a[side].std().item() == pytest.approx(1, abs=1e-3)


def test_distances_of_equal_and_opposite_pictures() -> None:
    x = torch.ones(2, 3, 8, 8)
    assert distances.pixel_distance(x, x).tolist() == [0, 0] and distances.pixel_distance(x, -x).tolist() == [1, 1]
    assert distances.perceptual_distance([x], [5 * x]).abs().max() < 1e-6  # only directions count
    assert distances.perceptual_distance([x, x], [-x, x])[0].item() == pytest.approx(2)  # 4 in one of two layers


@pytest.mark.slow
def test_classifier_learns_and_is_kept(two_colours: Path, cache: Path) -> None:
    train = data.load(two_colours, "train", classifier.LOADED_SIDE, cache)
    val = data.load(two_colours, "val", 64, cache)
    net = classifier.classifier(train, cache, EPOCHS, 0, torch.device("cpu"))
    with torch.no_grad():
        logits, features = net(val.batch(np.arange(16)))
    assert (logits.argmax(1).numpy() == val.domain).mean() >= 0.9
    assert [f.shape[1:] for f in features] == [(64, 16, 16), (128, 8, 8), (256, 4, 4)]
    (kept,) = cache.glob("classifier-*.safetensors")
    written = kept.stat().st_mtime_ns
    with torch.no_grad():
        again, _ = classifier.classifier(train, cache, EPOCHS, 0, torch.device("cpu"))(val.batch(np.arange(16)))
    assert torch.equal(again, logits) and kept.stat().st_mtime_ns == written


@pytest.mark.slow
def test_real_pictures_score_as_real(two_colours: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator that gives real pictures of the target domain reaches the figures of real pictures."""
    train = data.load(two_colours, "train", 64, cache)
    rng = np.random.default_rng(0)

    class Perfect:
        def __init__(self, model: checkpoint.Model, device: str, likeness: float) -> None:
            self.model, self.device = model, torch.device(device)

        def encode(self, source: Tensor) -> Encoded:
            return Encoded()

        def decode(self, encoded: object, style: Tensor) -> Tensor:
            domain = int(style.reshape(-1, 64)[0, 0])
            return train.batch(rng.choice(train.of(domain), size=len(style.reshape(-1, 64))))

    class Encoded:
        masks = None

    monkeypatch.setattr(evaluate, "Translator", Perfect)
    for name in ("from_latents", "from_reference"):
        monkeypatch.setattr(translations.styles, name, lambda model, *a, n=name: stand_in(a, n))

    def stand_in(arguments: tuple, name: str) -> Tensor:
        if name == "from_latents":
            return torch.full((len(arguments[1]), 64), float(arguments[0]))
        return torch.full((64,), float(arguments[1]))

    found = evaluate.evaluate(tiny(), two_colours, cache=cache, outputs=4, downloads=False, epochs=EPOCHS)
    for kind in evaluate.KINDS:
        assert found[kind]["accuracy"] >= 0.9 and found[kind]["diversity_ratio"] == pytest.approx(1, abs=0.4)
        assert all(0.5 < ratio < 2 for ratio in found[kind]["swd_ratio"].values())
    assert table.score(found) < 3


@pytest.mark.slow
def test_evaluate_reports_everything(two_colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"cache": tmp_path, "outputs": 3, "limit": 4, "downloads": False, "epochs": 1}
    found = evaluate.evaluate(tiny(), two_colours, out=tmp_path / "out", **options)  # type: ignore[arg-type]
    assert found["sources"] == {"cold": 4, "warm": 4} and found["outputs"] == 3
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == found
    assert table.score(found) > 3
    for kind in evaluate.KINDS:
        row = found[kind]
        assert 0 <= row["accuracy"] <= 1 and set(row["accuracy_by_domain"]) == {"cold", "warm"}
        assert row["diversity_pixels_ratio"] > 0 and list(row["swd"]) == ["64", "32", "16"]
        # An untrained network is far from any picture.
        assert row["swd_ratio"]["64"] > 1.5 and row["cycle_l1"] > 0.05
        assert row["landmark_error"] >= 0 and row["landmark_error_no_masks"] >= 0
        assert row["fid"] is None and row["lpips"] is None
    text = table.table(found)
    assert "left out, as asked" in text and "not measured" in text and "domain accuracy, warm" in text
    smaller = json.loads(json.dumps(found))
    for kind in (*evaluate.KINDS, "real"):
        for name in ("swd", "swd_ratio"):
            smaller[kind].get(name, {}).pop("64", None)
    row = next(line for line in table.table(smaller, found).splitlines() if "64 px" in line)
    assert row.count(" |  |") == 1 and row.endswith("| 1.00x |"), "a level that the first model lacks"
    with Image.open(tmp_path / "out" / "grid.png") as grid:
        assert grid.size == (64 * 5, 64 * 4)
    assert evaluate.evaluate(tiny(), two_colours, **options) == found  # type: ignore[arg-type]


def test_without_masks_no_landmark_error(two_colours: Path, tmp_path: Path) -> None:
    model = tiny(w_hpf=0.0)
    model.fan = None
    found = evaluate.evaluate(model, two_colours, cache=tmp_path, outputs=1, limit=2, downloads=False, epochs=1)
    assert "landmark_error" not in found["latent"] and "diversity" not in found["latent"]
    assert "landmark" not in table.table(found) and "not measured" in table.table(found)


def test_nothing_is_over_what_real_pictures_do_not_have(picture_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(picture_folder, tmp_path / "data")
    for path in (tmp_path / "data" / "val").rglob("*.png"):
        portrait(1).save(path)
    for path in (tmp_path / "data" / "train").rglob("*.png"):
        Image.new("RGB", (96, 96), "white").save(path)
    found = evaluate.evaluate(tiny(), tmp_path / "data", cache=tmp_path, outputs=2, limit=2, downloads=False, epochs=1)
    for kind in evaluate.KINDS:
        assert found["real"]["diversity"] == 0 and found[kind]["diversity_ratio"] is None and found[kind]["swd_ratio"] == {}
    assert table.score(found) > 0 and "| diversity, pixels, over real |  |  |  |" in table.table(found)


@pytest.mark.slow
def test_fid_and_lpips_where_their_networks_can_be_had(two_colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Features(nn.Module):
        """In place of Inception: mean colours."""

        num_features = 3

        def forward(self, x: Tensor) -> Tensor:
            return x.float().mean((2, 3))

    import torchmetrics.image.fid
    import torchmetrics.image.lpip

    real = torchmetrics.image.fid.FrechetInceptionDistance
    monkeypatch.setattr(torchmetrics.image.fid, "FrechetInceptionDistance", lambda: real(feature=Features()))
    monkeypatch.setattr(torchmetrics.image.lpip, "LearnedPerceptualImagePatchSimilarity", lambda net: Lpips())

    class Lpips(nn.Module):
        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return (a - b).abs().mean()

    found = evaluate.evaluate(tiny(), two_colours, cache=tmp_path, outputs=2, limit=3, epochs=1)
    assert found["notes"] == [] and found["latent"]["fid"] > 0 and found["reference"]["fid"] > 0
    # The stand-in for LPIPS is the distance of pixels, on a scale twice as long.
    assert found["latent"]["lpips"] == pytest.approx(2 * found["latent"]["diversity_pixels"], rel=1e-4)


def test_failing_downloads_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import torchmetrics.image.fid

    def offline() -> None:
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(torchmetrics.image.fid, "FrechetInceptionDistance", offline)
    found = distances.Downloaded(True, torch.device("cpu"))
    assert not found.ready and "could not be downloaded" in found.missing and "no route" in found.missing
    assert found.result("latent") == {"fid": None, "lpips": None}


def test_missing_domain_is_refused(two_colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "other.safetensors"
    checkpoint.save(tiny(domains=("cold", "hot")), path)
    folders = ["--data", str(two_colours), "--cache", str(tmp_path), "--out", str(tmp_path / "o")]
    assert main(["evaluate", "--model", str(path), *folders]) == 2
    assert "hot" in capsys.readouterr().err and not (tmp_path / "o").exists()
    assert main(["evaluate", "--model", str(path), *folders[:-1], "/proc/o"]) == 2
    assert "/proc cannot be written to" in capsys.readouterr().err, "before minutes of work are lost"


@pytest.mark.slow
def test_a_run_keeps_its_best(two_colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([3.0, 2.0, 4.0])
    monkeypatch.setattr(table, "score", lambda found: next(scores))
    settings = {"data": str(two_colours), "runs": str(tmp_path), "name": "r", "image_size": 64}
    settings |= {"base_channels": 4, "max_channels": 8}
    settings |= {"iterations": 6, "evaluate_every": 2, "save_every": 100, "keep": 1, "batch": 2, "w_hpf": 0.0, "sample_every": 100}
    monkeypatch.setattr("train.run.records.EVALUATED", (2, 2))
    monkeypatch.setattr(classifier, "train_classifier", lambda train, *a: classifier.Classifier(len(train.domains)).eval())
    state = loop.fit(config.from_mapping(settings))
    assert state.best == {"iteration": 4, "score": 2.0}
    assert sorted(p.name for p in (tmp_path / "r").glob("checkpoint-*")) == ["checkpoint-0000004.pt", "checkpoint-0000006.pt"]
    best = checkpoint.load(tmp_path / "r" / "best.safetensors")
    content = torch.load(tmp_path / "r" / "checkpoint-0000004.pt", weights_only=True)
    weight = content["averaged"]["generator"]["from_rgb.weight"]
    assert torch.equal(best.generator.from_rgb.weight, weight.half().float())
    found = [json.loads(line) for line in (tmp_path / "r" / "log.jsonl").read_text().splitlines()]
    assert [line["score"] for line in found if "score" in line] == [3.0, 2.0, 4.0]

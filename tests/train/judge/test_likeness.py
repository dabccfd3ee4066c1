"""What `evaluate --photos` measures: who is found in an output, by whom, and what stands still."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from material import TINY_FAN, portrait
from PIL import Image
from skimage import data as samples

from stargan.faces.align import align
from stargan.faces.frame import mean_landmarks
from stargan.files import checkpoint
from stargan.model import Model, build
from stargan.networks import ModelConfig
from train import config, data
from train.__main__ import main
from train.cli.evaluate import short_names
from train.judge import classifier, evaluate, likeness, photographs, spots, table, translations
from train.run.loop import fit

FIELDS = ("name", "source", "gender", "race", "yaw")


def tiny(**changes: object) -> Model:
    torch.manual_seed(0)
    shape = {"image_size": 64, "domains": ("cold", "warm"), "hidden_dim": 16, "base_channels": 4, "max_channels": 8}
    return build(ModelConfig(**shape | changes), TINY_FAN, name="tiny")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of photographs with a manifest: 6 women and 6 men, who look aside by 0, 0.1, ... 0.5."""
    root = tmp_path_factory.mktemp("photographs")
    (root / "val").mkdir()
    rows = [{"name": f"{g}{i}", "source": "FairFace", "gender": g, "race": "", "yaw": str(i / 10)} for g in "fm" for i in range(6)]
    for n, row in enumerate(rows):
        portrait(n, 64).save(root / "val" / f"{row['name']}.webp", lossless=True)
    with (root / "manifest-val.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
    points = np.tile(mean_landmarks() * 64, (len(rows), 1, 1)).astype(np.float32)
    np.savez(root / "landmarks-val.npz", names=np.array([row["name"] for row in rows]), points=points)
    return root


def test_people_are_chosen_evenly_and_from_the_front(people: Path) -> None:
    found = photographs.read(people, tiny())
    assert sorted(found.names) == [f"{g}{i}" for g in "fm" for i in range(3)]
    assert {name: len(index) for name, index in found.groups.items()} == {"source FairFace": 6, "gender f": 3, "gender m": 3}
    assert {found.names[i][0] for i in found.groups["gender f"]} == {"f"}
    assert dict(zip(found.names, found.frontal.tolist()))["m2"] is False and found.frontal.sum() == 4
    # Landmarks that lie where the mean ones lie leave a picture as it is.
    with Image.open(people / "val" / f"{found.names[0]}.webp") as picture:
        assert np.abs(found.pixels[0].astype(int) - np.asarray(picture)).max() <= 1
    few = photographs.read(people, tiny(), 4)
    assert few.pixels.shape == (4, 64, 64, 3) and {name[0] for name in few.names} == {"f", "m"}


def test_no_group_gives_more_than_its_share() -> None:
    rows = [dict(zip(FIELDS, (f"p{i}", "FairFace", "Male", "Indian", "0"))) for i in range(50)]
    rows += [dict(zip(FIELDS, (f"q{i}", "faker-js", "Male", "", "0"))) for i in range(50)]
    names = [row["name"] for row in photographs.choose(rows)]
    assert [sum(name[0] == letter for name in names) for letter in "pq"] == [4, 6]
    assert names == [row["name"] for row in photographs.choose(rows[::-1])]


def test_photographs_of_a_data_folder_are_others() -> None:
    rows = [dict(zip(FIELDS, (f"p{i}", "FairFace", "Male", "Indian", "0"))) for i in range(50)]
    names = tuple(f"photo/p{i}" for i in range(50))
    pictures = data.Pictures(np.zeros((50, 8, 8, 3), np.uint8), np.zeros(50, np.int64), ("photo",), names)
    found = photographs.of_domain(pictures, 0, 40)
    assert len(found.names) == 40 and not {row["name"] for row in photographs.choose(rows)} & set(found.names)


def test_any_folder_of_photographs_will_do(tmp_path: Path) -> None:
    face = Image.fromarray(samples.astronaut())
    face.save(tmp_path / "a.png")
    face.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "b.png")
    face.save(tmp_path / "b.jpg", quality=95)
    Image.new("RGB", (200, 200), "teal").save(tmp_path / "c.png")
    found = photographs.read(tmp_path, tiny())
    assert found.names == ("a", "b.jpg", "b.png") and found.left_out == 1 and found.frontal.shape == (3,) and not found.groups


def test_photographs_are_cut_as_the_model_knows_them(people: Path, tmp_path: Path) -> None:
    Image.fromarray(samples.astronaut()).save(tmp_path / "a.png")
    Image.fromarray(samples.astronaut()[:, ::-1]).save(tmp_path / "b.png")
    model = tiny()
    model.frame = (mean_landmarks() - 0.5) * 0.7 + 0.5  # smaller faces
    upload = align(Image.fromarray(samples.astronaut()), 64, frame=model.frame).image
    assert np.array_equal(photographs.read(tmp_path, model).pixels[0], np.asarray(upload))
    known, usual = (photographs.read(people, m).pixels[0].astype(int) for m in (model, tiny()))
    assert np.abs(known - usual).mean() > 5


def test_yaw_is_the_nose_off_the_middle_of_the_eyes() -> None:
    points = mean_landmarks().copy()
    assert photographs.yaw(points) < 0.03
    eyes = points[42:48].mean(0) - points[36:42].mean(0)
    points[30] += 0.25 * eyes
    assert photographs.yaw(points) == pytest.approx(0.25, abs=0.03)
    turned = points @ np.array([[0.8, 0.6], [-0.6, 0.8]])
    assert photographs.yaw(turned) == pytest.approx(photographs.yaw(points))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda root: (root / "landmarks-val.npz").unlink(), "no complete folder"),
        (lambda root: (root / "val" / "m0.webp").unlink(), "m0"),
        (lambda root: (root / "manifest-val.csv").write_text("name\nm0\n"), "yaw"),
        (lambda root: (root / "manifest-val.csv").write_text(",".join(FIELDS) + "\nm0,FairFace,m,,0\n"), "1 photographs"),
    ],
)
def test_folders_that_are_not_whole_are_refused(people: Path, tmp_path: Path, damage, sentence: str) -> None:  # type: ignore[no-untyped-def]
    root = shutil.copytree(people, tmp_path / "copy")
    damage(root)
    with pytest.raises(data.DataError, match=sentence):
        photographs.read(root, tiny())


def test_a_folder_without_faces_and_one_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(data.DataError, match="0 pictures with a face"):
        photographs.read(tmp_path, tiny())
    with pytest.raises(data.DataError, match="there is no folder"):
        photographs.read(tmp_path / "none", tiny())


def test_who_is_found() -> None:
    people = np.random.default_rng(0).normal(size=(20, 128))
    style = 3 * np.random.default_rng(1).normal(size=128)
    # Whatever a style adds to all is no hindrance.
    assert (likeness.ranks(0.8 * people + style, people) == 0).all()
    assert np.median(likeness.ranks(people[::-1] + style, people)) > 3
    # The one next to each in turn is the nearest, the own one second.
    between = 0.55 * np.roll(people, 1, 0) + 0.45 * people
    assert (likeness.ranks(between, people) == 1).all()


def test_one_and_the_same_face_for_all_is_found_for_one() -> None:
    people = np.random.default_rng(0).normal(size=(20, 128))
    noise = 1e-3 * np.random.default_rng(1).normal(size=(20, 128))
    found = likeness.summary({"own": noise + 1, "shared": noise + 2}, people)
    assert found["top1"] <= 0.1 and found["spread"] < 1e-2


def test_summary_tells_groups_and_kinds_of_style_apart() -> None:
    people = np.random.default_rng(0).normal(size=(20, 128))
    half = people.copy()
    half[10:] = people[[11, 12, 13, 14, 15, 16, 17, 18, 19, 10]]  # the second ten are taken for others
    groups = {"first": np.arange(10), "second": np.arange(10, 20)}
    found = likeness.summary({"own": half, "shared": people / 2}, people, groups)
    assert found["by_group"] == {"first": 1.0, "second": 0.5} and found["top1"] == 0.75
    assert (found["top1_own"], found["top1_shared"]) == (0.5, 1.0) and found["spread"] == pytest.approx(0.5)
    assert 0.75 <= found["top5"] <= 1


def test_the_network_knows_a_face_again() -> None:
    pytest.importorskip("dlib", reason="dlib-bin is not installed")
    recogniser = likeness.load()
    assert recogniser is not None
    from stargan.faces.align import align

    square = align(Image.fromarray(samples.astronaut()), 128).image
    darker = Image.eval(square, lambda v: int(0.7 * v))
    other = Image.fromarray(np.asarray(square)[::-1].copy())
    a, b, c = recogniser(np.stack([np.asarray(picture) for picture in (square, darker, other)]))
    assert a.shape == (128,) and np.linalg.norm(a - b) < 0.4 < np.linalg.norm(a - c)
    assert recogniser(np.zeros((0, 64, 64, 3), np.uint8)).shape == (0, 128)


def test_a_spot_is_found_where_it_stands() -> None:
    rng = np.random.default_rng(0)
    real = np.stack([100 + np.asarray(portrait(seed, 128)) // 5 for seed in range(30)]).astype(np.uint8)
    usual = spots.usual(real, np.arange(30))
    mean = real.mean(0)
    assert spots.strongest(mean, usual).deviations < spots.LIMIT
    y, x = np.mgrid[:128, :128]
    blob = np.exp(-((x - 90) ** 2 + (y - 40) ** 2) / (2 * 4**2))[..., None] * np.array([120, -60, -60])
    found = spots.strongest(mean + rng.normal(size=mean.shape) + blob, usual)
    assert found.deviations > spots.LIMIT and found.x == pytest.approx(90 / 128, abs=0.03)
    assert found.y == pytest.approx(40 / 128, abs=0.03)
    # What every real picture has at that place is a feature.
    features = np.clip(real + rng.uniform(0.5, 1.5, (30, 1, 1, 1)) * blob, 0, 255)
    assert spots.strongest(features.mean(0), spots.usual(features, np.arange(30))).deviations < spots.LIMIT


class Colours:
    """In place of the network: what a picture's colours are like in 32 places."""

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        return np.stack([np.asarray(Image.fromarray(p).resize((8, 4))).reshape(-1) for p in pixels]).astype(float)


@pytest.mark.slow
def test_evaluate_measures_photographs(
    picture_folder: Path, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(likeness, "load", Colours)
    checkpoint.save(tiny(), tmp_path / "a.safetensors")
    checkpoint.save(tiny(image_size=128), tmp_path / "b.safetensors")
    models = [str(tmp_path / "a.safetensors"), str(tmp_path / "b.safetensors")]
    options = ["--data", str(picture_folder), "--photos", str(people), "--cache", str(tmp_path / "cache")]
    options += ["--out", str(tmp_path / "out"), "--outputs", "2", "--limit", "4", "--no-downloads"]
    assert main(["evaluate", "--model", *models, *options]) == 0
    found = json.loads((tmp_path / "out" / "a" / "metrics.json").read_text())
    assert found["sources"] == {"photographs": 4}
    for kind in translations.KINDS:
        row = found[kind]
        assert "cycle_l1" not in row and row["landmark_error"] > 0
        for domain in ("cold", "warm"):
            assert row["spots"][domain]["deviations"] > 0 and 0 <= row["likeness"][domain]["top1"] <= 1
            assert set(row["likeness"][domain]["by_group"]) == {"source FairFace", "gender f", "gender m"}
    sizes = {p.name: Image.open(p).size for p in (tmp_path / "out" / "b" / "means").iterdir()}
    assert sizes == {f"{d}-{kind}.png": (128, 128) for d in ("cold", "warm") for kind in translations.KINDS}
    text = capsys.readouterr().out
    head, rule, *rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in (head, rule, *rows)} == {7}
    names = [row.split("|")[1].strip() for row in rows]
    assert "person found, gender f" in names and "standing spot, warm, deviations" in names
    assert next(name for name in names if "Wasserstein" in name).startswith("sliced Wasserstein, 128 px")
    assert "chance 25.0 %" in text and "latent, b" in head


@pytest.mark.slow
def test_likeness_of_models_with_a_choice_is_measured_side_by_side(
    picture_folder: Path, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[tuple[str, float]] = []

    def measured(model: Model, root: Path, *, likeness: float, **options: object) -> dict[str, object]:
        seen.append((model.name, likeness))
        return {"model": model.name}

    monkeypatch.setattr(evaluate, "evaluate", measured)
    monkeypatch.setattr(table, "table", lambda *found: " | ".join(each["model"] for each in found))
    checkpoint.save(tiny(), tmp_path / "old.safetensors")
    torch.manual_seed(0)
    both = build(tiny().config, TINY_FAN, name="both", free=True)
    checkpoint.save(both, tmp_path / "new.safetensors")
    old, new = str(tmp_path / "old.safetensors"), str(tmp_path / "new.safetensors")
    assert main(["evaluate", "--data", str(picture_folder), "--model", old, new, "--likeness", "0.5", "1"]) == 0
    assert [value for _, value in seen] == [1, 0.5, 1]
    assert "old | new-0.5 | new" in capsys.readouterr().out


def test_another_likeness_of_a_model_without_a_choice_is_refused(
    picture_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint.save(tiny(), tmp_path / "old.safetensors")
    options = ["--data", str(picture_folder), "--cache", str(tmp_path), "--no-downloads", "--out", str(tmp_path / "out")]
    assert main(["evaluate", "--model", str(tmp_path / "old.safetensors"), "--likeness", "0.5", *options]) == 2
    assert "offers no likeness" in capsys.readouterr().err


def test_where_the_network_is_missing_a_row_says_so(
    picture_folder: Path, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(likeness, "load", lambda: None)
    photos = photographs.read(people, tiny(), 2)
    options = {"cache": tmp_path, "outputs": 1, "downloads": False, "epochs": 1}
    found = evaluate.evaluate(tiny(), picture_folder, photographs=photos, **options)  # type: ignore[arg-type]
    text = table.table(found)
    assert "| person found | not measured | not measured |" in text and "pip install dlib-bin" in text
    assert found["latent"]["likeness"] == {} and found["latent"]["spots"]["cold"]["deviations"] > 0 and table.score(found) > 0


def test_the_score_pays_for_the_person() -> None:
    row = {"accuracy": 1.0, "diversity_ratio": 1.0, "swd_ratio": {"64": 2.0}}
    lost, kept = ({kind: row | {"likeness": {"man": {"top1": share}}} for kind in translations.KINDS} for share in (0.05, 0.9))
    assert table.score(lost) > 10 * table.score(kept) > 10 * table.score(dict.fromkeys(translations.KINDS, row))


def test_the_time_grows_with_the_domains_not_with_their_square() -> None:
    pictures = data.Pictures(
        np.zeros((60, 8, 8, 3), np.uint8), np.repeat(np.arange(30), 2), tuple(f"d{i}" for i in range(30)), ("",) * 60
    )
    sources = translations.of_domains(pictures, 0, 0)
    assert len(sources.index) == 60 and {len(targets) for targets in sources.targets} == {translations.TARGETS}
    assert all(domain not in targets for domain, targets in zip(sources.domain, sources.targets, strict=True))
    assert {sources.count(d) for d in range(30)} == {2 * translations.TARGETS}


def test_models_of_one_file_name_are_kept_apart_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert short_names(["runs/a/model.safetensors"]) == ["a"]
    assert short_names(["runs/a/model.safetensors", "runs/b/model.safetensors"]) == ["a", "b"]
    assert short_names(["runs/a/model.safetensors", "runs/a/best.safetensors", "c.safetensors"]) == ["a", "a-best", "c"]
    assert short_names(["x/a/model.safetensors", "y/a/model.safetensors"]) == ["x-a", "y-a"]
    assert short_names(["x/c.safetensors", "y/c.safetensors"]) == ["x-c", "y-c"]
    (tmp_path / "v1.5").mkdir()
    (tmp_path / "v1.5" / "model.safetensors").touch()
    monkeypatch.setattr("stargan.files.places.runs", lambda: tmp_path)
    assert short_names(["v1.5", "other/v1.5/model.safetensors"]) == [f"{tmp_path.name}-v1.5", "other-v1.5"]
    assert short_names(["v1.5"]) == ["v1.5"]
    with pytest.raises(ValueError, match="give each once"):
        short_names(["runs/a/model.safetensors", "runs/a/model.safetensors"])


@pytest.mark.parametrize("number", ["1", "-3"])
def test_too_few_sources_are_refused_at_once(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["evaluate", "--model", "none", "--data", "none", "--limit", number])
    assert "too few to compare" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_with_photographs_as_sources_is_measured_on_these(
    picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = shutil.copytree(picture_folder, tmp_path / "data")
    for split in ("train", "val"):
        shutil.copytree(root / split / "warm", root / split / "photo")
    monkeypatch.setattr(likeness, "load", Colours)
    monkeypatch.setattr(classifier, "train_classifier", lambda train, *a: classifier.Classifier(len(train.domains)).eval())
    monkeypatch.setattr("train.run.records.EVALUATED", (2, 2))
    settings = {"data": str(root), "runs": str(tmp_path / "runs"), "name": "r", "domains": ["cold", "warm"], "sources": ["photo"]}
    settings |= {"image_size": 64, "base_channels": 4, "max_channels": 8, "w_hpf": 0.0, "batch": 2}
    settings |= {"iterations": 1, "evaluate_every": 1, "sample_every": 100}
    state = fit(config.from_mapping(settings))
    lines = [json.loads(line) for line in (tmp_path / "runs" / "r" / "log.jsonl").read_text().splitlines()]
    (found,) = [line["metrics"] for line in lines if "metrics" in line]
    assert found["domains"] == ["cold", "warm"] and found["sources"] == {"photographs": 4}
    assert 0 <= found["latent"]["likeness"]["warm"]["top1"] <= 1 and state.best["score"] == table.score(found)

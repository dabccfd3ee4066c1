"""Many sources into many styles, in one process and in several."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from material import portrait
from PIL import Image

from stargan import bulk, styles
from stargan.files import checkpoint
from stargan.model import build
from stargan.networks import ModelConfig
from stargan.translate import Translator
from tests import processes


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six files, one of them broken, one in a folder of its own."""
    folder = tmp_path_factory.mktemp("sources")
    (folder / "deep").mkdir()
    for i, name in enumerate(("a.png", "b.jpg", "c.webp", "d.png", "deep/a.png")):
        portrait(i).save(folder / name)
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:900])
    (folder / "readme.txt").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    torch.manual_seed(0)
    config = ModelConfig(image_size=64, domains=("a", "b"), hidden_dim=24, base_channels=4, max_channels=16)
    checkpoint.save(build(config), path)
    return path


@pytest.fixture
def job(model: Path, tmp_path: Path) -> bulk.Job:
    loaded = bulk.translator(str(model)).model
    codes = {f"seed-{n}": styles.from_seed(loaded, "b", n).numpy() for n in (1, 2)}
    return bulk.Job(str(model), codes, tmp_path / "out", aligner=None)


def failures(results: list[bulk.Result]) -> list[str]:
    return [result.source.name for result in results if result.failure is not None]


def test_sources_are_named_by_their_place(sources: Path, tmp_path: Path) -> None:
    assert list(bulk.sources([sources], tmp_path)) == ["a", "b", "broken", "c", "d", "deep/a"]
    assert bulk.sources([sources / "b.jpg", sources / "a.png"], tmp_path) == {"b": sources / "b.jpg", "a": sources / "a.png"}


def test_names_that_collide_get_a_tail_that_stays(tmp_path: Path) -> None:
    for name in ("x/a.png", "x/A.jpg", "y/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        portrait(1).save(tmp_path / name)
    both = bulk.sources([tmp_path / "x"], tmp_path / "out")
    assert len(both) == 2 and {name[:2] for name in both} == {"a-", "A-"}
    three = bulk.sources([tmp_path / "y" / "a.png", tmp_path / "x"], tmp_path / "out")
    assert len(three) == 3 and both.items() <= three.items()


def test_outputs_and_hidden_files_are_no_sources(tmp_path: Path) -> None:
    for name in ("a.png", "out/a--seed-1.png", ".hidden/b.png", ".c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        portrait(1).save(tmp_path / name)
    assert list(bulk.sources([tmp_path], tmp_path / "out")) == ["a"]


def test_no_sources(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path, out, words in (("empty", "out", "no pictures"), ("nowhere", "out", "nowhere"), ("empty", "empty", "another folder")):
        with pytest.raises(bulk.BulkError, match=words):
            bulk.sources([tmp_path / path], tmp_path / out)


def test_references_never_blur_where_a_source_ends(tmp_path: Path) -> None:
    for name in ("in/a--b-.png", "in/deep/c.png", "in/a-b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        portrait(1).save(tmp_path / name)
    names = list(bulk.references([tmp_path / "in"], tmp_path / "out"))
    assert len(names) == 3 and "deep-c" in names and not any("--" in name for name in names)


def test_each_source_is_encoded_once_for_all_styles(job: bulk.Job, sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encodings = []
    encode = Translator.encode
    monkeypatch.setattr(Translator, "encode", lambda self, *args, **named: encodings.append(1) or encode(self, *args, **named))
    found = bulk.sources([sources], job.out)
    results = list(bulk.run(job, found))
    assert failures(results) == ["broken.png"] and len(encodings) == 5
    made = {path.relative_to(job.out).as_posix() for path in job.out.rglob("*") if path.is_file()}
    assert made == {f"{name}--seed-{n}.png" for name in ("a", "b", "c", "d", "deep/a") for n in (1, 2)}
    assert list(job.missing(found)) == ["broken"]


def test_what_is_there_is_not_made_again(job: bulk.Job, sources: Path) -> None:
    target = job.targets("a")
    job.out.mkdir()
    target["seed-1"].write_bytes(b"there")
    assert bulk.translate(job, "a", sources / "a.png").failure is None
    assert target["seed-1"].read_bytes() == b"there"
    with Image.open(target["seed-2"]) as image:
        assert image.size == (64, 64)


def test_any_failure_is_a_result(job: bulk.Job, sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def trips(*_: object, **__: object) -> None:
        raise RuntimeError("odd")

    monkeypatch.setattr(Translator, "encode", trips)
    assert bulk.translate(job, "a", sources / "a.png").failure == "RuntimeError: odd"


def test_a_name_that_is_too_long_is_cut_and_the_rest_done(job: bulk.Job, tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    twins = ["写真" * 41, "写真" * 40 + "写影"]  # 246 bytes, the same up to the last of them
    for i, name in enumerate(["a", *twins]):
        portrait(i).save(given / f"{name}.png")
    found = bulk.sources([given], job.out)
    targets = [target for name in found for target in job.targets(name).values()]
    bulk.open_folder(job.out, {}, targets)
    assert failures(list(bulk.run(job, job.missing(found)))) == [] and not job.missing(found)
    made = {path.name for path in job.out.glob("*.png")}
    assert len(made) == 6 and {"a--seed-1.png", "a--seed-2.png"} < made
    assert {name.rpartition("--")[2] for name in made} == {"seed-1.png", "seed-2.png"}
    assert sum(name.startswith("写真" * 35) for name in made) == 4


@pytest.mark.parametrize("face", [None, "all"])
def test_no_target_is_too_long_and_none_is_another(face: str | None, tmp_path: Path) -> None:
    styles = ["b", "ä" * 120, "ä" * 119 + "b", "-" * 250]
    job = bulk.Job("", dict.fromkeys(styles, np.zeros(1)), tmp_path, face=face)
    names = ["deep/a", "a" * 251, "A" * 251, "a" * 250 + "b", "deep/" + "a" * 251, "a" * 245, "a" * 250 + "\udcff"]
    targets = [target for name in names for number in (1, 12) for target in job.targets(name, number).values()]
    assert max(len(os.fsencode(target.name)) for target in targets) <= 255
    times = 2 if face is None else 1  # without a face of each, numbers make no difference
    assert len({str(target).casefold() for target in targets}) * times == len(targets)
    assert all(target.parent == tmp_path / "deep" for target in job.targets("deep/" + "a" * 251).values())
    fits = "a" * 200
    assert bulk.Job("", {"b" * 40: np.zeros(1)}, tmp_path).targets(fits)["b" * 40].name == f"{fits}--{'b' * 40}.png"


@pytest.mark.slow
def test_two_workers_make_what_one_makes(job: bulk.Job, sources: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)  # as two workers have on two cores: it decides on the last bits of bf16
    found = bulk.sources([sources], job.out)
    list(bulk.run(job, found))
    processes.server()  # and not one without what other tests need of it
    spread = bulk.Job(job.model, job.styles, tmp_path / "spread", aligner=None)
    assert failures(list(bulk.run(spread, found, workers=2))) == ["broken.png"]
    for one in job.out.rglob("*.png"):
        a, b = (np.asarray(Image.open(path)).astype(int) for path in (one, spread.out / one.relative_to(job.out)))
        assert np.abs(a - b).max() <= 1


@pytest.mark.parametrize("world", [1, 2, 4, 9])
def test_shards_cover_all_once(world: int) -> None:
    sources = {str(i): Path(str(i)) for i in range(7)}
    shards = [bulk.shard(sources, rank, world) for rank in range(world)]
    assert sum(map(len, shards)) == 7 and {name for shard in shards for name in shard} == set(sources)


def test_the_environment_says_which_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert bulk.rank_and_world() == (0, 1)
    monkeypatch.setenv("RANK", "1")
    assert bulk.rank_and_world() == (0, 1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert bulk.rank_and_world() == (1, 2)
    for rank in ("2", "-1", "x"):
        monkeypatch.setenv("RANK", rank)
        with pytest.raises(bulk.BulkError, match="RANK"):
            bulk.rank_and_world()


def test_a_folder_holds_one_request(tmp_path: Path) -> None:
    out, request = tmp_path / "out", {"psi": 1.0, "masks": True}
    target = out / "a--seed-1.png"
    bulk.open_folder(out, request, [target])
    target.write_bytes(b"old")
    bulk.open_folder(out, request, [target])
    assert target.exists()
    with pytest.raises(bulk.BulkError, match=r"another psi;.*--overwrite"):
        bulk.open_folder(out, request | {"psi": 0.5}, [target])
    (out / bulk.REQUEST).write_text("{")
    with pytest.raises(bulk.BulkError):
        bulk.open_folder(out, request, [target])
    (out / bulk.REQUEST).unlink()
    with pytest.raises(bulk.BulkError, match="no request.json"):
        bulk.open_folder(out, request, [target])
    bulk.open_folder(out, request, [target], overwrite=True)
    assert not target.exists()
    bulk.open_folder(out, request, [target])


def test_other_weights_have_another_fingerprint(model: Path) -> None:
    a, b = checkpoint.load(model), checkpoint.load(model)
    assert bulk.fingerprint(a) == bulk.fingerprint(b)
    next(b.generator.parameters()).add_(1)
    assert bulk.fingerprint(a) != bulk.fingerprint(b)


def test_grid_shows_sources_down_and_styles_across(job: bulk.Job, sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = bulk.sources([sources], job.out)
    heads = {name: bulk.label(name, 64) for name in job.styles}
    assert bulk.grid(job, found, heads) is None
    list(bulk.run(job, found))
    sheet = bulk.grid(job, found, heads)
    # The broken source has no row.
    assert sheet is not None and sheet.size == (64 * 3, 64 * 6)
    cells = np.asarray(sheet).reshape(6, 64, 3, 64, 3).swapaxes(1, 2)
    assert (cells[0, 0] == 255).all() and np.array_equal(cells[0, 2], np.asarray(heads["seed-2"]))
    assert np.array_equal(cells[5, 2], np.asarray(Image.open(job.out / "deep" / "a--seed-2.png")))
    monkeypatch.setattr(bulk, "GRID", 1)
    small = bulk.grid(job, found, heads)
    assert small is not None and small.size == (128, 128)


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    bulk.own_gpu(0, 1)
    bulk.own_gpu(1, 2)
    monkeypatch.setenv("LOCAL_RANK", "0")
    bulk.own_gpu(2, 4)
    assert taken == [1, 0], "one alone takes what it is given"


def test_all_faces_that_are_there_are_known(job: bulk.Job) -> None:
    job = replace(job, face="all")
    job.out.mkdir()
    for face in (1, 2, 3):
        for path in job.targets("a", face).values():
            path.touch()
    assert {path.name for path in job.everything("a")} == {f"a-face-{face}--seed-{n}.png" for face in (1, 2, 3) for n in (1, 2)}

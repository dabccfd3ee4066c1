"""A model to the Hub and back, against a stand-in for the Hub's API."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hub import Hub
from huggingface_hub import constants
from material import TINY_FAN, portrait
from PIL import Image

from stargan import zoo
from stargan.cli import push as verb
from stargan.cli.main import main
from stargan.files import checkpoint, places
from stargan.model import Model, build
from stargan.networks import Discriminator, ModelConfig
from stargan.zoo import push

WEIGHTS = places.weights()
CONFIG = ModelConfig(image_size=64, domains=("a", "b"), hidden_dim=24, base_channels=4, max_channels=16, w_hpf=0.0)


def trained(root: Path, name: str, licence: str = "CC BY 4.0") -> Model:
    """A model that was made here, with its discriminator."""
    torch.manual_seed(1)
    made = build(CONFIG, name=name, licence=licence)
    folder = root / "runs" / name
    folder.mkdir(parents=True)
    checkpoint.save(made, folder / "model.safetensors", torch.float16)
    checkpoint.save_discriminator(Discriminator(CONFIG), CONFIG, folder / "discriminator.safetensors", torch.float16)
    return made


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(places, "ROOT", tmp_path)
    (tmp_path / "weights").symlink_to(WEIGHTS)
    portrait(5, 80).save(tmp_path / "photo.png")
    trained(tmp_path, "mine")
    return tmp_path


def call(root: Path, capsys: pytest.CaptureFixture[str], *arguments: object, photo: bool = True) -> tuple[int, str, str]:
    shown = ["--photo", str(root / "photo.png")] if photo else []
    code = main(["push", *map(str, arguments), "--out", str(root / "out"), *shown])
    said = capsys.readouterr()
    return code, said.out, said.err


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def front(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])


def test_a_model_arrives_and_loads_back_with_its_discriminator(hub: Hub, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, error = call(root, capsys, "mine", "alice/faces", "--private")
    assert code == 0, error
    assert "model alice/faces (private, new)" in out and "pushing as Alice" in out
    assert out.endswith(f"uploaded: {hub.url}/alice/faces\nloaded back by hf:alice/faces, and found the same\n")
    [wish] = hub.created
    assert wish.get("visibility") == "private" or wish.get("private") is True
    assert hub.models["alice/faces"] == contents(root / "out") and len(hub.commits) == 1
    assert hub.lfs == {"model.safetensors", "discriminator.safetensors"}
    assert {"README.md", "LICENSE", "examples.jpg", ".gitattributes"} <= set(hub.models["alice/faces"])
    assert push.difference(zoo.load("mine"), zoo.load("hf:alice/faces")) == ""
    judge = zoo.discriminator("hf:alice/faces")
    assert judge is not None
    there, here = (checkpoint.load_discriminator(p) for p in (judge, root / "runs" / "mine" / "discriminator.safetensors"))
    assert there[1] == here[1] and torch.equal(there[0].main[0].weight, here[0].main[0].weight)


def test_pushed_again_what_is_stale_goes_and_what_is_theirs_stays(hub: Hub, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(root, capsys, "mine", "painters/faces")[0] == 0
    assert "discriminator.safetensors" in hub.models["painters/faces"]
    hub.models["painters/faces"]["notes.txt"] = b"theirs"
    (root / "runs" / "mine" / "discriminator.safetensors").unlink()
    code, out, _ = call(root, capsys, "mine", "painters/faces")
    assert code == 0 and "brought up to date" in out
    assert hub.models["painters/faces"] == {**contents(root / "out"), "notes.txt": b"theirs"}
    assert zoo.discriminator("hf:painters/faces") is None


def test_a_dry_run_writes_the_folder_without_the_hub(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code, out, error = call(root, capsys, "mine", "alice/faces", "--dry-run", photo=False)
    assert code == 0, error
    assert "nothing was uploaded" in out
    listed = re.findall(r"^ +[\d.]+ [kM]B  (\S+?\w)(?:  by LFS)?$", out, re.MULTILINE)
    assert sorted(listed) == sorted(contents(root / "out"))
    with Image.open(root / "out" / "examples.jpg") as sheet:
        assert sheet.size == (64 * 5, 64 * verb.SHOWN + 64 // 3)
    card = (root / "out" / "README.md").read_text()
    assert "hf:alice/faces" in card and "examples.jpg" in card and "domains a, b" in card
    assert front(root / "out")["pipeline_tag"] == "image-to-image"


@pytest.mark.parametrize("form", ["two generators", "masks", "sources", "fp32", "checkpoint"])
def test_every_kind_of_model_is_the_same_again(hub: Hub, root: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    torch.manual_seed(3)
    made = build(ModelConfig(**{**vars(CONFIG), "w_hpf": 1.0 if form == "masks" else 0.0}), TINY_FAN if form == "masks" else None)
    made.licence, made.name = "CC0", "odd"
    if form == "two generators":
        made.free = build(CONFIG).generator
    if form == "sources":
        made.sources = ("photo",)
    name, rest = str(root / "odd.safetensors"), []
    if form == "checkpoint":
        name, rest = str(root / "odd.ckpt"), ["--licence", "CC0", "--domains", "x,y"]
        torch.save({key: net.state_dict() for key, net in made.networks.items()}, name)
    else:
        checkpoint.save(made, name, torch.float32 if form == "fp32" else torch.float16)
    code, _, error = call(root, capsys, name, "alice/odd", *rest, photo=form != "masks")  # a face has to be found
    assert code == 0, error
    back = zoo.load("hf:alice/odd")
    assert push.difference(zoo.load(name, domains=("x", "y") if rest else None), back) in ({"licence"} if rest else {""})
    assert back.licence == "CC0" and back.config.domains == (("x", "y") if rest else ("a", "b"))
    sizes = [len(content) for path, content in hub.models["alice/odd"].items() if path == "model.safetensors"]
    whole = sum(v.numel() for net in back.networks.values() for v in net.state_dict().values())
    assert (sizes[0] > 3.9 * whole) == (form in ("fp32", "checkpoint")), "half precision only where nothing is lost"


def test_what_comes_back_is_compared(
    hub: Hub, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = hub.answer

    def damaged(method: str, path: str, body: bytes) -> tuple[int, Any]:
        found = answer(method, path, body)
        if path.endswith("/commit/main"):
            hub.models["alice/faces"]["model.safetensors"] = hub.models["alice/faces"]["other"]
        return found

    other = trained(root, "other")
    other.name = "mine"
    with torch.no_grad():
        other.mapping_network.shared[0].bias[0] += 1
    checkpoint.save(other, root / "other.safetensors", torch.float16)
    hub.models["alice/faces"] = {"model.safetensors": b"", "other": (root / "other.safetensors").read_bytes()}
    monkeypatch.setattr(hub, "answer", damaged)
    code, out, error = call(root, capsys, "mine", "alice/faces")
    assert code == 2 and "what loads back has another mapping_network" in error and "found the same" not in out
    hub.models["alice/faces"]["other"] = b"cut"
    code, out, error = call(root, capsys, "mine", "alice/faces")
    assert code == 2 and "does not load back: " in error and "cut off" in error and "found the same" not in out


@pytest.mark.parametrize("field", ["licence", "name", "sources", "config", "generator", "free"])
def test_each_fact_and_network_is_compared(field: str) -> None:
    torch.manual_seed(1)
    one = build(CONFIG, free=True)
    torch.manual_seed(1)
    two = build(CONFIG, free=True)
    assert push.difference(one, two) == ""
    changed = {"sources": ("x",), "config": ModelConfig(image_size=128), "generator": build(CONFIG).generator, "free": None}
    setattr(two, field, changed.get(field, "another"))
    assert push.difference(one, two) == field


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    "repo,change,words",
    [
        ("alice/faces", lambda hub: setattr(constants, "ENDPOINT", "http://127.0.0.1:9"), ["127.0.0.1:9", "network"]),
        ("alice/faces", lambda hub: os.environ.update(HF_TOKEN="hf_wrong"), ["login", "hf auth login"]),
        ("alice/faces", lambda hub: os.environ.pop("HF_TOKEN"), ["nobody", "hf auth login", "HF_TOKEN"]),
        ("bob/faces", lambda hub: None, ["Alice", "bob/faces", "Alice or painters"]),
        ("alice/faces", lambda hub: setattr(hub, "role", "read"), ["only read", "alice/faces", "write permission"]),
        ("alice/faces", lambda hub: hub.refuse.update({"/api/repos/create": 403}), ["write", "alice/faces", "permission"]),
        ("alice/faces", lambda hub: hub.refuse.update({"/api/models/alice/faces/commit/main": 403}), ["write", "permission"]),
        ("alice/faces", lambda hub: hub.refuse.update({"/api/models/alice/faces": 500}), ["500", "later"]),
        ("alice/faces", lambda hub: hub.cut.add("/api/whoami-v2"), ["cannot be reached", "network"]),
        ("alice/faces", lambda hub: hub.cut.add("/api/models/alice/faces/commit/main"), ["cannot be reached", "network"]),
        ("alice/faces", lambda hub: hub.models.update({"alice/faces": {"weights.bin": b"x"}}), ["something else", "another name"]),
    ],
    ids=[
        "no network", "wrong token", "no token", "another's name", "a token that reads", "no right to create", "no right to write",
        "the hub is broken", "cut at once", "cut in the end", "another's model",
    ],
)  # fmt: skip
def test_what_the_hub_refuses_is_a_sentence(
    hub: Hub, root: Path, capsys: pytest.CaptureFixture[str], repo: str, change: Callable[[Hub], Any], words: list[str]
) -> None:
    change(hub)
    before = {name: dict(files) for name, files in hub.models.items()}
    code, out, error = call(root, capsys, "mine", repo)
    sentence = error.splitlines()[-1]
    assert code == 2 and sentence.startswith("python -m stargan push: ") and "Traceback" not in error
    assert all(word in sentence for word in words), error
    assert not hub.commits and "uploaded" not in out and all(hub.models[name] == files for name, files in before.items())


def test_a_private_wish_for_a_public_model(hub: Hub, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(root, capsys, "mine", "alice/faces")[0] == 0
    code, _, error = call(root, capsys, "mine", "alice/faces", "--private")
    assert code == 2 and "is public" in error and len(hub.commits) == 1


def test_nothing_without_a_licence(hub: Hub, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained(root, "bare", licence="")
    code, _, error = call(root, capsys, "bare", "alice/bare")
    assert code == 2 and "bare says no licence" in error and "--licence 'CC BY 4.0'" in error and not hub.created
    assert call(root, capsys, "bare", "alice/bare", "--licence", " ")[0] == 2
    assert call(root, capsys, "bare", "alice/bare", "--licence", "CC BY-SA 4.0")[0] == 0
    assert zoo.load("hf:alice/bare").licence == "CC BY-SA 4.0" and front(root / "out")["license"] == "cc-by-sa-4.0"
    code, _, error = call(root, capsys, "mine", "alice/mine", "--licence", "MIT")
    assert code == 2 and "says its licence already, 'CC BY 4.0'" in error
    code, _, error = call(root, capsys, "celeba-hq-256", "alice/theirs", "--dry-run")
    assert code == 2 and "celeba-hq-256" in error


@pytest.mark.parametrize(
    "licence,wanted",
    [
        ("CC BY 4.0, with attribution to artflow.ai", {"license": "cc-by-4.0"}),
        ("cc by-nc-sa 4.0", {"license": "cc-by-nc-sa-4.0"}),
        ("CC0", {"license": "cc0-1.0"}),
        ("MIT", {"license": "mit"}),
        ("Apache 2.0", {"license": "apache-2.0"}),
        ("ask me: first", {"license": "other", "license_name": "ask me: first", "license_link": "LICENSE"}),
    ],
)
def test_licences_as_the_hub_calls_them(
    root: Path, capsys: pytest.CaptureFixture[str], licence: str, wanted: dict[str, str]
) -> None:
    trained(root, "said", licence)
    assert call(root, capsys, "said", "alice/said", "--dry-run")[0] == 0
    found = front(root / "out")
    assert {key: found.get(key) for key in wanted} == wanted and licence in (root / "out" / "LICENSE").read_text()


def test_its_own_card_goes_with_its_pictures(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = root / "runs" / "mine" / "README.md"
    card.write_text("---\ntags: [cats]\nlicense: mit\n---\n# My cats\n\n![sheet](sheet.jpg)\n")
    code, _, error = call(root, capsys, "mine", "alice/faces", "--dry-run")
    assert code == 2 and "sheet.jpg" in error
    portrait(1, 40).save(card.with_name("sheet.jpg"))
    assert call(root, capsys, "mine", "alice/faces", "--dry-run")[0] == 0
    text = (root / "out" / "README.md").read_text()
    assert "# My cats" in text and (root / "out" / "sheet.jpg").is_file() and text.count("---\n") == 2
    assert front(root / "out")["tags"] == ["cats"] and front(root / "out")["license"] == "cc-by-4.0"


@pytest.mark.parametrize("what", ["a folder of something else", "a file", "a full disk", "a read-only folder"])
def test_a_folder_that_cannot_be_written(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    if what == "a file":
        (root / "out").write_text("mine")
    elif what == "a folder of something else":
        (root / "out").mkdir()
        (root / "out" / "notes.txt").write_text("mine")
    elif what == "a full disk":
        monkeypatch.setattr(checkpoint, "_write", full)
    else:
        monkeypatch.setattr(shutil, "copyfile", full)
        monkeypatch.setattr(Path, "mkdir", lambda *_, **__: (_ for _ in ()).throw(OSError(errno.EROFS, "Read-only file system")))
    before = contents(root)
    code, out, error = call(root, capsys, "mine", "alice/faces", "--dry-run")
    words = {"a full disk": "make room", "a read-only folder": "Read-only file system"}.get(what, "something else")
    assert code == 2 and words in error and error.count("\n") == 1 and not out
    assert contents(root) == before and not list(root.glob(".*.part"))


@pytest.mark.parametrize("arguments", [["mine", "faces"], ["mine", "a/b/c"], ["nothing", "alice/faces"], ["mine"]])
def test_bad_arguments(root: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    try:
        code = main(["push", *arguments, "--dry-run"])
    except SystemExit as end:
        code = end.code
    error = capsys.readouterr().err
    assert code == 2 and error.count("\n") == 1 and "push: " in error


@pytest.mark.parametrize("how", ["cut", "refused"])
def test_a_connection_that_breaks_before_it_is_back(hub: Hub, root: Path, capsys: pytest.CaptureFixture[str], how: str) -> None:
    path = f"/alice/faces/resolve/{1:040x}/model.safetensors"
    if how == "cut":
        hub.cut.add(path)
    else:
        hub.refuse[path] = 503
    code, out, error = call(root, capsys, "mine", "alice/faces")
    sentence = error.splitlines()[-1]
    assert code == 2 and "alice/faces is uploaded, but does not load back: " in sentence and "found the same" not in out
    hub.cut.clear()
    hub.refuse.clear()
    code, out, error = call(root, capsys, "mine", "alice/faces")
    assert code == 0 and "brought up to date" in out and out.endswith("found the same\n"), error

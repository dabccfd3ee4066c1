"""Publishing, against a stand-in for the Hub's API on this machine."""

import json
import os
import re
import shutil

import pytest
import yaml
from hub import TOKEN
from huggingface_hub import constants

from stargan import zoo
from stargan.__main__ import main
from stargan.files import checkpoint, places
from stargan.model import build
from stargan.networks import ModelConfig
from stargan.zoo import publish, trial
from stargan.zoo.hub import OURS
from tests.processes import ran

ROOT = places.ROOT


@pytest.fixture
def root(tmp_path, monkeypatch):
    """The project with a model that was trained here."""
    root = tmp_path / "root"
    root.mkdir()
    for name in ("app.py", "requirements.txt", "LICENSE", "README.md", "docs", "stargan", "train", "weights"):
        (root / name).symlink_to(ROOT / name)
    monkeypatch.setattr(places, "ROOT", root)
    trained(root, "mine", "CC BY 4.0")
    return root


def trained(root, name, licence=""):
    model = build(ModelConfig(image_size=64, domains=("a", "b"), hidden_dim=24, base_channels=4, max_channels=16))
    model.name, model.licence = name, licence
    (root / "runs" / name).mkdir(parents=True)
    checkpoint.save(model, root / "runs" / name / "model.safetensors")


def call(capsys, *arguments):
    code = main(["publish", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def front(text):
    return yaml.safe_load(text.split("---\n")[1])


def run(*arguments, cwd, **variables):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | variables
    # Among them are some that are read as the Hub's client is.
    return ran(["-m", "stargan", "publish", *map(str, arguments)], cwd, environment, anew=("huggingface_hub", "stargan"))


@pytest.mark.slow
def test_dry_run_writes_a_folder_that_starts_alone(tmp_path):
    """Without the Hub, which would refuse everything here."""
    out = tmp_path / "space"
    result = run("alice/demo", "--dry-run", "--out", out, cwd=tmp_path, HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_OFFLINE="1")
    assert result.returncode == 0, result.stderr
    assert "Space alice/demo (public)" in result.stdout and "nothing was uploaded" in result.stdout
    assert "translates" in result.stdout and result.stdout.count("by LFS") >= 2
    held = contents(out)
    listed = re.findall(r"^ +[\d.]+ [kM]B  (\S+?\w)(?:  by LFS)?$", result.stdout, re.MULTILINE)
    assert sorted(listed) == sorted(held), "the plan is not what is there"
    assert f"weights/{zoo.DEFAULT}/first.json" in held, "what the page shows first, computed by the one that was started"
    assert {"README.md", "app.py", "LICENSE", "requirements.txt", ".gitattributes", "stargan/ui/style.css"} <= set(held)
    assert not [p for p in held if re.search(r"^(tests|runs|data)/|__pycache__|\.pyc$|\.csv$|/\.", p)]
    for name in ("app.py", "requirements.txt", f"weights/{zoo.DEFAULT}/model.safetensors", "train/ui/__init__.py"):
        assert held[name] == (ROOT / name).read_bytes()
    assert held[".gitattributes"].decode().splitlines()[1] == "*.safetensors filter=lfs diff=lfs merge=lfs -text"
    readme = held["README.md"].decode()
    assert all(picture in held for picture in re.findall(r"!\[.*?\]\((\S+?)\)", readme))
    assert readme.split("---\n", 2)[2] == (ROOT / "README.md").read_text().split("---\n", 2)[2]
    card = front(readme)
    assert card["sdk"] == "gradio" and re.fullmatch(r"\d+\.\d+\.\d+", card["sdk_version"]) and card["app_file"] == "app.py"
    assert re.fullmatch(r"3\.\d+", card["python_version"]) and card["license"] == "mit"
    # What the Hub's reference for Spaces allows.
    assert len(card["short_description"]) <= 60
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {card["colorFrom"], card["colorTo"]} <= colours


@pytest.mark.slow
def test_upload_arrives_byte_for_byte(hub, tmp_path):
    out = tmp_path / "space"
    variables = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path / "hf")}
    result = run("alice/demo", "--check", "none", "--private", "--out", out, cwd=tmp_path, **variables)
    assert result.returncode == 0, result.stderr
    assert "(private, new)" in result.stdout and "publishing as Alice" in result.stdout
    assert result.stdout.endswith(f"uploaded: {hub.url}/spaces/alice/demo\n")
    [wish] = hub.created
    assert (wish["type"], wish["sdk"], wish["organization"], wish["name"]) == ("space", "gradio", "alice", "demo")
    assert wish.get("visibility") == "private" or wish.get("private") is True
    assert hub.spaces["alice/demo"] == contents(out)
    weights = {path for path in contents(out) if path.endswith(".safetensors")}
    assert f"weights/{zoo.DEFAULT}/model.safetensors" in weights and hub.lfs == weights
    assert len(hub.commits) == 1 and zoo.DEFAULT in hub.commits[0]


def test_published_again_loses_what_is_stale(hub, root, tmp_path, capsys):
    hub.spaces["painters/demo"] = {OURS: b"", "stargan/old.py": b"", "README.md": b"", ".gitattributes": b""}
    hub.private = True
    code, out, _ = call(capsys, "painters/demo", "--check", "none", "--model", "mine", "--out", tmp_path / "space")
    assert code == 0 and "(private, brought up to date)" in out and "removed  stargan/old.py" in out
    assert hub.spaces["painters/demo"] == contents(tmp_path / "space")
    assert "weights/mine/model.safetensors" in hub.lfs
    # And the folder is written anew.
    assert call(capsys, "painters/demo", "--check", "none", "--out", tmp_path / "space")[0] == 0
    assert hub.spaces["painters/demo"] == contents(tmp_path / "space")
    assert "weights/mine/model.safetensors" not in hub.spaces["painters/demo"] and len(hub.commits) == 2


@pytest.mark.parametrize(
    "repo,change,words",
    [
        ("alice/demo", lambda hub: setattr(constants, "ENDPOINT", "http://127.0.0.1:9"), ["127.0.0.1:9", "network"]),
        ("alice/demo", lambda hub: os.environ.update(HF_TOKEN="hf_wrong"), ["login", "hf auth login"]),
        ("alice/demo", lambda hub: os.environ.pop("HF_TOKEN"), ["nobody", "hf auth login", "HF_TOKEN"]),
        ("bob/demo", lambda hub: None, ["Alice", "bob/demo", "Alice or painters"]),
        ("alice/demo", lambda hub: hub.refuse.update({"/api/repos/create": 403}), ["write", "alice/demo", "permission"]),
        ("alice/demo", lambda hub: hub.refuse.update({"/api/repos/create": 402}), ["subscription"]),
        ("alice/demo", lambda hub: hub.refuse.update({"/api/spaces/alice/demo/commit/main": 403}), ["write", "permission"]),
        ("alice/demo", lambda hub: hub.refuse.update({"/api/spaces/alice/demo": 500}), ["500", "later"]),
        ("alice/demo", lambda hub: (setattr(hub, "sdk", "docker"), hub.spaces.update({"alice/demo": {}})), ["docker", "another"]),
        ("alice/demo", lambda hub: hub.spaces.update({"alice/demo": {"app.py": b"x"}}), ["another app", "delete"]),
    ],
)
def test_what_the_hub_refuses_is_a_sentence(hub, tmp_path, capsys, repo, change, words):
    change(hub)
    before = {name: dict(files) for name, files in hub.spaces.items()}
    code, _, error = call(capsys, repo, "--check", "none", "--out", tmp_path / "space")
    *progress, sentence = error.splitlines()
    assert code == 2 and sentence.startswith("python -m stargan publish: ") and "Traceback" not in error
    assert all(word in sentence for word in words) and (not progress or "commit/main" in hub.refuse.popitem()[0]), error
    assert not hub.commits and all(hub.spaces[name] == files for name, files in before.items())


def test_private_wish_for_a_public_space(hub, capsys):
    hub.spaces["alice/demo"] = {OURS: b""}
    code, _, error = call(capsys, "alice/demo", "--private", "--check", "none")
    assert code == 2 and "is public" in error and not hub.created


@pytest.mark.parametrize("name", ["demo", "a/b/c", "alice/", "alice/de mo", "alice/a--b", "alice/demo.git", ""])
def test_bad_names(capsys, name):
    code, _, error = call(capsys, name, "--dry-run")
    assert code == 2 and "user/name" in error


def test_trained_model_comes_first_with_its_card(root, tmp_path):
    card = root / "runs" / "mine" / "README.md"
    card.write_text("# mine\n\n![sheet](sheet.jpg)\n![elsewhere](https://example.org/a.png)\n")
    with pytest.raises(publish.PublishError, match=r"sheet\.jpg"):
        publish.assemble(tmp_path / "space", "mine")
    shutil.copy(ROOT / "weights" / zoo.DEFAULT / "translations.jpg", card.with_name("sheet.jpg"))
    space = publish.assemble(tmp_path / "space", "mine")
    assert {f"weights/mine/{name}" for name in ("model.safetensors", "README.md", "sheet.jpg")} <= set(space.files)
    assert json.loads((space.folder / "weights" / "models.json").read_text()) == ["mine", *zoo.bundled()]
    assert "shows first: mine (licence of its weights: CC BY 4.0)" in space.plan()


def test_licences(root, tmp_path):
    trained(root, "derived", zoo.CC_BY_NC)
    space = publish.assemble(tmp_path / "space", "derived")
    assert space.card["license"] == front((space.folder / "README.md").read_text())["license"] == "cc-by-nc-4.0"
    trained(root, "odd", "for non-commercial use only")
    assert publish.assemble(tmp_path / "space", "odd").card["license"] == "other"
    trained(root, "unsaid")
    with pytest.raises(publish.PublishError, match="unsaid says no licence for its weights.* --licence 'CC BY 4.0'"):
        publish.assemble(tmp_path / "space", "unsaid")
    space = publish.assemble(tmp_path / "space", "unsaid", "CC BY-NC 4.0")
    assert space.card["license"] == "cc-by-nc-4.0" and "weights: CC BY-NC 4.0)" in space.plan()
    assert checkpoint.load(space.folder / "weights" / "unsaid" / "model.safetensors").licence == "CC BY-NC 4.0"
    with pytest.raises(publish.PublishError, match="says its licence already, 'CC BY 4.0'"):
        publish.assemble(tmp_path / "space", "mine", "MIT")
    with pytest.raises(publish.PublishError, match="CC BY-NC 4.0"):
        publish.assemble(tmp_path / "space", "celeba-hq-256")
    with pytest.raises(publish.PublishError, match=f"{zoo.DEFAULT}, .*mine"):
        publish.assemble(tmp_path / "space", "nothing")


def test_folder_of_something_else_is_left_alone(tmp_path, capsys):
    for held in ("notes.txt", ".gitattributes"):
        folder = tmp_path / held[1:4]
        folder.mkdir()
        (folder / held).write_text("mine")
        code, _, error = call(capsys, "alice/demo", "--dry-run", "--check", "none", "--out", folder)
        assert code == 2 and "something else" in error and contents(folder) == {held: b"mine"}
    (tmp_path / "file").write_text("mine")
    assert call(capsys, "alice/demo", "--dry-run", "--check", "none", "--out", tmp_path / "file")[0] == 2
    space = publish.assemble(tmp_path / "clone")
    (space.folder / ".git").mkdir()
    with pytest.raises(publish.PublishError, match="something else"):
        publish.assemble(space.folder)
    assert (space.folder / ".git").is_dir()


@pytest.mark.slow
def test_page_that_does_not_start(tmp_path):
    space = publish.assemble(tmp_path / "space")
    (space.folder / "app.py").write_text("import sys\nsys.exit('the reason')\n")
    with pytest.raises(publish.PublishError, match="does not start from .*space alone: the reason"):
        trial.check(space, "here")


@pytest.mark.slow
def test_requirements_that_cannot_be_installed(tmp_path, monkeypatch):
    space = publish.assemble(tmp_path / "space")
    (space.folder / "requirements.txt").write_text("./nowhere\n")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with pytest.raises(publish.PublishError, match=r"requirements\.txt.*nowhere.*--check here"):
        trial.check(space, "fresh")

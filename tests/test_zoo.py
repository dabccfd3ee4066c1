import pytest
import torch

from stargan import checkpoint, zoo
from stargan.networks import ModelConfig


def make(seed):
    torch.manual_seed(seed)
    return checkpoint.build(
        ModelConfig(image_size=64, domains=("a", "b"), hidden_dim=24, base_channels=4, max_channels=16)
    )


def same(a, b):
    a, b = a.generator.state_dict(), b.generator.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "ROOT", tmp_path)
    return tmp_path


def put(path, seed=0, name=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    model = make(seed)
    model.name = name
    checkpoint.save(model, path)
    return model


def test_bundled_come_before_runs(root):
    bundled = put(root / "weights" / "zebra" / "model.safetensors")
    put(root / "runs" / "ant" / "model.safetensors")
    put(root / "runs" / "zebra" / "model.safetensors", seed=1)
    (root / "weights" / "fan-68").mkdir()
    assert list(zoo.available()) == ["zebra", "ant"]
    assert same(zoo.load("zebra"), bundled)
    assert zoo.load("ant").name == "ant"


def test_name_inside_the_file_stays(root):
    put(root / "runs" / "folder" / "model.safetensors", name="given")
    assert zoo.load("folder").name == "given"


def test_paths(root, tmp_path):
    model = put(tmp_path / "elsewhere.safetensors")
    torch.save({name: net.state_dict() for name, net in model.networks.items()}, tmp_path / "nets.ckpt")
    assert same(zoo.load(str(tmp_path / "elsewhere.safetensors")), model)
    assert same(zoo.load(str(tmp_path / "nets.ckpt")), model)


@pytest.mark.parametrize("name", ["nowhere", "", "../weights", "a" * 5000, "nul\0"])
def test_unknown_name_says_what_there_is(root, name):
    put(root / "runs" / "ant" / "model.safetensors")
    with pytest.raises(zoo.ZooError, match="ant"):
        zoo.load(name)


def test_nothing_there(root):
    assert zoo.available() == {}
    with pytest.raises(zoo.ZooError, match="no model 'ant'"):
        zoo.load("ant")


def test_broken_file_names_itself(root):
    path = root / "runs" / "ant" / "model.safetensors"
    put(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(checkpoint.CheckpointError, match=r"ant.model\.safetensors"):
        zoo.load("ant")

import dataclasses
import hashlib
import io
import logging
from urllib.parse import urlsplit

import huggingface_hub
import huggingface_hub.errors
import pytest
import torch
from material import Malicious

from stargan import zoo
from stargan.fan import FANConfig
from stargan.files import checkpoint, places
from stargan.model import build
from stargan.networks import ModelConfig


def make(seed):
    torch.manual_seed(seed)
    return build(ModelConfig(image_size=64, domains=("a", "b"), hidden_dim=24, base_channels=4, max_channels=16))


def same(a, b):
    a, b = a.generator.state_dict(), b.generator.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "ROOT", tmp_path)
    monkeypatch.setenv("STARGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)  # a folder of a name that is asked for may be beside that of the tests
    return tmp_path


def put(path, seed=0, name=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    model = make(seed)
    model.name = name
    checkpoint.save(model, path)
    return model


def test_bundled_come_before_runs(root):
    bundled = put(root / "weights" / "zebra" / "model.safetensors")
    (root / "weights" / "models.json").write_text('["zebra"]')
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
    assert same(zoo.load(str(tmp_path / "elsewhere.safetensors")), model)
    model = small(0.0)
    torch.save(states(model), tmp_path / "nets.ckpt")
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


def small(w_hpf, fan=None):
    torch.manual_seed(0)
    config = ModelConfig(image_size=64, domains=("a", "b"), hidden_dim=24, base_channels=4, max_channels=16, w_hpf=w_hpf)
    return build(config, fan)


def packed(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def states(model):
    return {name: net.state_dict() for name, net in model.networks.items()}


@pytest.fixture
def published(root, server, monkeypatch):
    """Small models as their authors would serve them: cats without filter and FAN, faces with both in files of their own."""
    cats, faces = small(0.0), small(2.0, FANConfig(width=16))
    server.files["/cats.ckpt"] = packed(states(cats))
    content = states(faces)
    del content["generator"]["hpf.filter"]
    server.files["/wing.ckpt"] = packed({"epoch": 3, "state_dict": {**content.pop("fan"), "l1.weight": torch.zeros(1)}})
    server.files["/faces.ckpt"] = packed(content)

    def file(name):
        held = server.files[f"/{name}"]
        return zoo.File(f"{server.url}/{name}?dl=1", name, len(held), hashlib.sha256(held).hexdigest())

    table = {
        "cats": zoo.Entry("cats", "CC BY-NC 4.0", "https://cats.example", ("tom", "tabby"), 0.0, file("cats.ckpt")),
        "faces": zoo.Entry(
            "faces", "CC BY-NC 4.0", "https://faces.example", ("old", "young"), 2.0, file("faces.ckpt"), file("wing.ckpt")
        ),
    }
    monkeypatch.setattr(zoo, "PUBLISHED", table)
    return {"cats": cats, "faces": faces}


def test_licence_is_asked_for_once(published, server):
    entry = zoo.downloadable()["cats"]
    assert not entry.here and entry.size == len(server.files["/cats.ckpt"])
    with pytest.raises(zoo.LicenceNotAccepted, match=r"cats\.example.*CC BY-NC 4\.0; accept") as error:
        zoo.load("cats")
    assert error.value.entry is entry and isinstance(error.value, zoo.ZooError) and server.log == []
    seen = []
    model = zoo.load("cats", accept_licence=True, progress=lambda *at: seen.append(at))
    assert entry.here and same(model, published["cats"]) and seen[-1] == (entry.size, entry.size)
    assert (model.name, model.licence, model.config.domains, model.fan) == ("cats", "CC BY-NC 4.0", ("tom", "tabby"), None)
    assert same(zoo.load("cats"), model) and len(server.log) == 1
    assert "cats" not in zoo.available()


def test_filter_and_fan_are_joined(published, server):
    model = zoo.load("faces", accept_licence=True)
    assert same(model, published["faces"]) and model.config.w_hpf == 2.0 and model.config.domains == ("old", "young")
    assert model.fan.config == published["faces"].fan.config
    x = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(model.fan(x), published["faces"].fan(x))
    for net in model.networks.values():
        assert not net.training and not any(p.requires_grad for p in net.parameters())
    assert same(zoo.load("faces"), model) and [path for path, _, _ in server.log] == ["/faces.ckpt?dl=1", "/wing.ckpt?dl=1"]


def test_fan_inside_the_model_spares_the_other_file(published, server, monkeypatch):
    held = server.files["/faces.ckpt"] = packed(states(published["faces"]))
    entry = zoo.downloadable()["faces"]
    whole = zoo.File(entry.model.address, "faces.ckpt", len(held))
    monkeypatch.setitem(zoo.PUBLISHED, "faces", dataclasses.replace(entry, model=whole))
    model = zoo.load("faces", accept_licence=True)
    assert same(model, published["faces"]) and model.fan is not None
    assert [path for path, _, _ in server.log] == ["/faces.ckpt?dl=1"]


@pytest.mark.parametrize("name,file", [("cats", "cats.ckpt"), ("faces", "faces.ckpt"), ("faces", "wing.ckpt")])
@pytest.mark.parametrize("content", ["text", "list", "code"])
def test_downloaded_files_that_cannot_be_used(published, server, tmp_path, monkeypatch, name, file, content):
    proof = tmp_path / "proof"
    contents = {"text": b"no model", "list": packed([1]), "code": packed({"state_dict": Malicious(str(proof))})}
    server.files[f"/{file}"] = contents[content]
    entry = zoo.downloadable()[name]
    plain = {part: zoo.File(old.address, old.name) for part in ("model", "fan") if (old := getattr(entry, part))}
    monkeypatch.setitem(zoo.PUBLISHED, name, dataclasses.replace(entry, **plain))
    with pytest.raises(zoo.ZooError, match=f"{file}.*remove.*{name}"):
        zoo.load(name, accept_licence=True)
    assert not proof.exists()


def test_published_table():
    table = zoo.downloadable()
    assert {name: (entry.domains, entry.w_hpf) for name, entry in table.items()} == {
        "celeba-hq-256": (("female", "male"), 1.0),
        "afhq-256": (("cat", "dog", "wild"), 0.0),
    }
    assert table["celeba-hq-256"].fan.name == "wing.ckpt"
    for name, entry in table.items():
        assert entry.name == name and entry.licence == "CC BY-NC 4.0"
        for file in filter(None, (entry.model, entry.fan)):
            address = urlsplit(file.address)
            assert (address.scheme, address.netloc, address.query) == ("https", "www.dropbox.com", "dl=1")
            assert address.path.endswith(f"/{file.name}")


def test_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("STARGAN_CACHE", raising=False)
    assert places.cache() == tmp_path / ".cache" / "stargan"
    monkeypatch.setenv("STARGAN_CACHE", "~/elsewhere")
    assert places.cache() == tmp_path / "elsewhere"


@pytest.mark.parametrize(
    "name,expected",
    [
        ("hf:user/name", ("user/name", "model.safetensors", None)),
        ("hf:user/name@v1.0", ("user/name", "model.safetensors", "v1.0")),
        ("hf:user/na.me:deep/er.safetensors", ("user/na.me", "deep/er.safetensors", None)),
        ("hf:user/name@refs/pr/1:other.safetensors", ("user/name", "other.safetensors", "refs/pr/1")),
    ],
)
def test_hub(root, tmp_path, monkeypatch, name, expected):
    model = put(tmp_path / "hub" / "file.safetensors", name="given" if "@" in name else "")
    calls = []

    def fetch(repository, file, revision=None):
        calls.append((repository, file, revision))
        return str(tmp_path / "hub" / "file.safetensors")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    loaded = zoo.load(name)
    assert same(loaded, model) and loaded.name == ("given" if "@" in name else name) and calls == [expected]


@pytest.mark.parametrize("name", ["hf:", "hf:name", "hf:a/b/c", "hf:a/b@", "hf:a/b:", "hf:a/b:model.onnx", "hf:a b/c"])
def test_hub_names_that_are_none(root, name):
    with pytest.raises(zoo.ZooError, match="hf:user/name"):
        zoo.load(name)


def hub_error(kind, text="First.\nSecond."):
    """An error of the Hub's client, without the answer that its constructor takes in some versions."""
    error = kind.__new__(kind)
    Exception.__init__(error, text)
    return error


@pytest.mark.parametrize(
    "kind,sentence",
    [
        ("RepositoryNotFoundError", "no repository user/name; "),
        ("GatedRepoError", "gated; ask for access on https://huggingface.co/user/name"),
        ("RevisionNotFoundError", "no revision 'v1'; "),
        ("EntryNotFoundError", "no file model.safetensors; "),
        ("RemoteEntryNotFoundError", "no file model.safetensors; "),
        ("LocalEntryNotFoundError", "cannot be reached; connect"),
        ("OfflineModeIsEnabled", "cannot be reached; connect"),
        ("HFValidationError", "cannot be the name"),
        ("HfHubHTTPError", "could not be fetched from the Hub .First.; try again later"),
    ],
)
def test_hub_errors(root, monkeypatch, kind, sentence):
    error = hub_error(getattr(huggingface_hub.errors, kind))

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(zoo.ZooError, match=sentence) as found:
        zoo.load("hf:user/name@v1")
    assert "\n" not in str(found.value) and "Second" not in str(found.value)


def test_hub_without_network(root, monkeypatch):
    monkeypatch.delenv("HF_HUB_VERBOSITY", raising=False)
    huggingface_hub.utils.logging.set_verbosity_warning()

    def fail(*_, **__):
        assert not logging.getLogger("huggingface_hub.utils").isEnabledFor(logging.WARNING), "one sentence is enough"
        raise ConnectionError("connection refused")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(zoo.ZooError, match="user/name could not be fetched from the Hub .connection refused.; try again later"):
        zoo.load("hf:user/name")


def test_unknown_name_lists_what_can_be_downloaded(published):
    with pytest.raises(zoo.ZooError, match="hf:user/name.*one of cats, faces"):
        zoo.load("dogs")

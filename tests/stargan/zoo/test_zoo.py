import dataclasses
import errno
import hashlib
import http.client
import http.server
import io
import os
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import huggingface_hub
import huggingface_hub.errors
import pytest
import torch
from material import LocalServer

from stargan import zoo
from stargan.fan import FANConfig
from stargan.files import checkpoint, places
from stargan.files.download import _Redirects
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


class Server(LocalServer):
    """Serves files on 127.0.0.1; how badly is up to the test. log: each request's path, Range and If-Range."""

    def __init__(self):
        self.files, self.log = {}, []
        self.ranges, self.etag, self.kind = True, '"1"', "application/binary"
        self.cut = []  # after how many bytes of the body each of the next answers breaks off
        self.status = []  # the status of each of the next answers, instead of a file
        self.silent = threading.Event()
        self.release = threading.Event()
        self.delay = 0.0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

        super().__init__(Handler)

    def close(self):
        self.release.set()
        super().close()

    def answer(self, request):
        span = request.headers.get("Range")
        self.log.append((request.path, span, request.headers.get("If-Range")))
        if self.silent.is_set():
            self.release.wait(30)
            return
        path = request.path.partition("?")[0]
        if path.startswith("/to/"):
            request.send_response(302)
            request.send_header("Location", path.removeprefix("/to/"))
            request.end_headers()
            return
        if self.status or path not in self.files:
            request.send_error(self.status.pop(0) if self.status else 404)
            return
        time.sleep(self.delay)
        content = self.files[path]
        start = 0
        if span and self.ranges and request.headers.get("If-Range") in (None, self.etag):
            start = int(span.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                request.send_response(416)
                request.send_header("Content-Range", f"bytes */{len(content)}")
                request.end_headers()
                return
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            request.send_response(200)
        if self.etag:
            request.send_header("ETag", self.etag)
        request.send_header("Content-Type", self.kind)
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        cut = self.cut.pop(0) if self.cut else len(content)
        request.wfile.write(content[start : start + cut])


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("stargan.files.download.WAITS", (0.01, 0.01))
    monkeypatch.setattr("stargan.files.download.TIMEOUT", 5.0)
    server = Server()
    server.files["/file"] = DATA
    yield server
    server.close()


DATA = random.Random(0).randbytes(700_000)
SHA256 = hashlib.sha256(DATA).hexdigest()


def remains(folder):
    """What lies in a folder, but for locks."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_whole_download(server, tmp_path):
    seen = []
    target = tmp_path / "new" / "file"
    assert zoo.download(f"{server.url}/file?dl=1", target, SHA256.upper(), len(DATA), lambda *at: seen.append(at)) == target
    assert target.read_bytes() == DATA and remains(target.parent) == ["file"]
    assert server.log == [("/file?dl=1", None, None)]
    assert len(seen) > 1 and seen[-1] == (len(DATA), len(DATA)) and seen == sorted(set(seen))


def test_what_is_there_is_not_fetched_again_unless_it_does_not_fit(server, tmp_path):
    target = tmp_path / "file"
    target.write_bytes(b"older")
    zoo.download(f"{server.url}/file", target)
    assert target.read_bytes() == b"older" and server.log == []
    zoo.download(f"{server.url}/file", target, SHA256)
    assert target.read_bytes() == DATA
    zoo.download(f"{server.url}/file", target, SHA256, len(DATA))
    assert len(server.log) == 1


def test_broken_connection_goes_on_where_it_stopped(server, tmp_path):
    server.cut = [300_000, 100_000]
    seen = []
    zoo.download(f"{server.url}/file", tmp_path / "file", progress=lambda *at: seen.append(at))
    assert (tmp_path / "file").read_bytes() == DATA and remains(tmp_path) == ["file"]
    assert server.log == [
        ("/file", None, None), ("/file", "bytes=300000-", '"1"'), ("/file", "bytes=400000-", '"1"')
    ]  # fmt: skip
    assert (300_000, len(DATA)) in seen and seen == sorted(seen)


def test_next_call_goes_on_where_the_last_gave_up(server, tmp_path):
    server.cut = [200_000, 1000, 1000]
    with pytest.raises(zoo.ZooError, match="202000 of 700000 bytes.*try again"):
        zoo.download(f"{server.url}/file", tmp_path / "file", SHA256)
    assert not (tmp_path / "file").exists() and (tmp_path / "file.part").stat().st_size == 202_000
    server.log.clear()
    zoo.download(f"{server.url}/file", tmp_path / "file", SHA256)
    assert (tmp_path / "file").read_bytes() == DATA
    assert server.log == [("/file", "bytes=202000-", '"1"')]


def test_another_file_since_then_is_fetched_anew(server, tmp_path):
    server.cut = [200_000, 0, 0]
    with pytest.raises(zoo.ZooError):
        zoo.download(f"{server.url}/file", tmp_path / "file")
    server.etag, server.files["/file"] = '"2"', DATA[::-1]
    zoo.download(f"{server.url}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == DATA[::-1]


def test_a_shorter_file_since_then_is_fetched_anew(server, tmp_path):
    (tmp_path / "file.part").write_bytes(DATA[:500])
    server.files["/file"] = DATA[:400]
    zoo.download(f"{server.url}/file", tmp_path / "file", hashlib.sha256(DATA[:400]).hexdigest())
    assert (tmp_path / "file").read_bytes() == DATA[:400]


def test_without_tag_only_a_hash_allows_to_go_on(server, tmp_path):
    server.etag = None
    server.cut = [300_000]
    zoo.download(f"{server.url}/file", tmp_path / "plain")
    assert [span for _, span, _ in server.log] == [None, None]
    server.log.clear()
    server.cut = [300_000]
    zoo.download(f"{server.url}/file", tmp_path / "hashed", SHA256)
    assert server.log == [("/file", None, None), ("/file", "bytes=300000-", None)]
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "hashed").read_bytes() == DATA


def test_weak_tag_is_not_trusted(server, tmp_path):
    server.etag = 'W/"1"'
    server.cut = [300_000]
    zoo.download(f"{server.url}/file", tmp_path / "file")
    assert [span for _, span, _ in server.log] == [None, None] and (tmp_path / "file").read_bytes() == DATA


def test_server_without_ranges_starts_anew(server, tmp_path):
    server.ranges = False
    server.cut = [300_000]
    zoo.download(f"{server.url}/file", tmp_path / "file", SHA256, len(DATA))
    assert (tmp_path / "file").read_bytes() == DATA
    assert [span for _, span, _ in server.log] == [None, "bytes=300000-"]


def test_whole_partial_file_only_needs_its_name(server, tmp_path):
    for known in ({"size": len(DATA)}, {"sha256": SHA256}):
        (tmp_path / "file.part").write_bytes(DATA)
        zoo.download(f"{server.url}/file", tmp_path / "file", **known)
        assert (tmp_path / "file").read_bytes() == DATA
        (tmp_path / "file").unlink()
    assert server.log == [("/file", f"bytes={len(DATA)}-", None)]


def test_wrong_hash(server, tmp_path):
    with pytest.raises(zoo.ZooError, match=r"127\.0\.0\.1.*SHA-256 differs; try again"):
        zoo.download(f"{server.url}/file", tmp_path / "file", "0" * 64)
    assert remains(tmp_path) == [] and len(server.log) == 1


@pytest.mark.parametrize("size", [len(DATA) - 1, len(DATA) + 1, 5])
def test_wrong_size(server, tmp_path, size):
    with pytest.raises(zoo.ZooError, match=f"has 700000 bytes, but should have {size}"):
        zoo.download(f"{server.url}/file", tmp_path / "file", size=size)
    assert remains(tmp_path) == []


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_refusal_is_final(server, tmp_path, status):
    server.status = [status]
    with pytest.raises(zoo.ZooError, match=f"refused the file .{status}.*get it elsewhere"):
        zoo.download(f"{server.url}/file", tmp_path / "file")
    assert remains(tmp_path) == [] and len(server.log) == 1


def test_overloaded_server_is_asked_again(server, tmp_path):
    server.status = [503, 429]
    zoo.download(f"{server.url}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == DATA and len(server.log) == 3
    server.status = [500, 500, 500]
    with pytest.raises(zoo.ZooError, match="500.*try again later"):
        zoo.download(f"{server.url}/file", tmp_path / "other")


def test_web_page_is_no_model(server, tmp_path):
    server.kind = "text/html; charset=utf-8"
    with pytest.raises(zoo.ZooError, match="web page"):
        zoo.download(f"{server.url}/file", tmp_path / "file")
    assert remains(tmp_path) == []


def test_silent_server(server, tmp_path, monkeypatch):
    monkeypatch.setattr("stargan.files.download.TIMEOUT", 0.1)
    server.silent.set()
    start = time.monotonic()
    with pytest.raises(zoo.ZooError, match=r"silent for 0\.1 s.*try again"):
        zoo.download(f"{server.url}/file", tmp_path / "file")
    assert time.monotonic() - start < 5 and len(server.log) == 3


def closed_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def test_offline(server, tmp_path, monkeypatch):
    with pytest.raises(zoo.ZooError, match=r"127\.0\.0\.1:\d+ cannot be reached.*connect to the network"):
        zoo.download(f"http://127.0.0.1:{closed_port()}/secret", tmp_path / "file")

    def no_name(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_name)
    with pytest.raises(zoo.ZooError, match="host.invalid cannot be reached .Name or service not known.; connect"):
        zoo.download("https://host.invalid/secret", tmp_path / "file")
    assert remains(tmp_path) == []


@pytest.mark.parametrize(
    "address", ["ftp://host/file", "file:///etc/hostname", "data:,x", "/etc/hostname", "http://", "http://[", "", "http://a:b/",
                "https://user:secret@host/file", "http://host/a b", "http://host/\r\nX: y", "http://höst/"],
)  # fmt: skip
def test_addresses_that_are_none(tmp_path, address):
    with pytest.raises(zoo.ZooError, match="address") as error:
        zoo.download(address, tmp_path / "file")
    assert "secret" not in str(error.value) and remains(tmp_path) == []


def test_redirections(server, tmp_path):
    server.cut = [300_000]
    zoo.download(f"{server.url}/to//file", tmp_path / "file", SHA256)
    assert (tmp_path / "file").read_bytes() == DATA and server.log[-1] == ("/file", "bytes=300000-", '"1"')
    for elsewhere in ("file:///etc/hostname", "ftp://127.0.0.1/file", "data:,x"):
        with pytest.raises(zoo.ZooError, match="elsewhere"):
            zoo.download(f"{server.url}/to/{elsewhere}", tmp_path / "other")
    assert remains(tmp_path) == ["file"]


def test_redirection_from_https_to_http_is_refused():
    secure = urllib.request.Request("https://host/file")
    arguments = (None, 302, "Found", http.client.HTTPMessage())
    assert _Redirects().redirect_request(secure, *arguments, "https://other/file").full_url == "https://other/file"
    with pytest.raises(zoo.ZooError, match="not safe"):
        _Redirects().redirect_request(secure, *arguments, "http://other/file")


def test_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(zoo.ZooError, match="cannot be written.*another folder"):
        zoo.download(f"{server.url}/file", tmp_path / "taken" / "file")
    assert server.log == []


def test_full_disk(server, tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(zoo.ZooError, match="No space left.*make room"):
        zoo.download(f"{server.url}/file", tmp_path / "file")
    assert not (tmp_path / "file").exists() and len(server.log) == 1


def test_threads_that_want_one_file_fetch_it_once(server, tmp_path):
    server.delay = 0.2
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: zoo.download(f"{server.url}/file", tmp_path / "file", SHA256), range(4)))
    assert paths == [tmp_path / "file"] * 4 and (tmp_path / "file").read_bytes() == DATA
    assert len(server.log) == 1 and remains(tmp_path) == ["file"]


@pytest.mark.slow
def test_another_process_is_waited_for(server, tmp_path):
    code = (
        "import sys; from stargan.files.download import download\n"
        "download(sys.argv[1], sys.argv[2], progress=lambda *_: (print(flush=True), sys.stdin.readline()))"
    )
    arguments = [sys.executable, "-c", code, f"{server.url}/file", str(tmp_path / "file")]
    with subprocess.Popen(arguments, cwd=places.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()  # It has come to the first piece, and waits with the lock.
        with ThreadPoolExecutor(1) as pool:
            own = pool.submit(zoo.download, f"{server.url}/file", tmp_path / "file")
            time.sleep(0.2)
            assert not own.done()
            other.stdin.close()
            assert own.result(10).read_bytes() == DATA
    assert other.returncode == 0 and len(server.log) == 1


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


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


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
    def fail(*_, **__):
        raise ConnectionError("connection refused")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(zoo.ZooError, match="user/name could not be fetched from the Hub .connection refused.; try again later"):
        zoo.load("hf:user/name")


def test_unknown_name_lists_what_can_be_downloaded(published):
    with pytest.raises(zoo.ZooError, match="hf:user/name.*one of cats, faces"):
        zoo.load("dogs")

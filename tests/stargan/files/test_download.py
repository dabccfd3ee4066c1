"""Files from the network: whole, checked, continued where they broke off, or a sentence."""

import errno
import hashlib
import http.client
import os
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from fileserver import DATA, SHA256

from stargan import zoo
from stargan.files import places
from stargan.files.download import Redirects


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
    while len(server.log) < 3 and time.monotonic() - start < 5:  # it may hear of the last one when that is given up already
        time.sleep(0.01)
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
    assert Redirects().redirect_request(secure, *arguments, "https://other/file").full_url == "https://other/file"
    with pytest.raises(zoo.ZooError, match="not safe"):
        Redirects().redirect_request(secure, *arguments, "http://other/file")


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

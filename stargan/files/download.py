"""Files from the web: whole and verified under their name, or not there at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import os
import re
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from filelock import FileLock

Progress = Callable[[int, "int | None"], object]

TIMEOUT = 30.0  # seconds for which a server may stay silent
WAITS = (1.0, 2.0, 4.0)  # seconds before the second, third and fourth attempt
CHUNK = 2**18
OFFLINE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN)


class ZooError(ValueError):
    """A model that cannot be had; the sentence says why, and what to do."""


class _Broken(Exception):
    """An attempt that another one may finish. offline: the server was not reached at all."""

    def __init__(self, reason: str, offline: bool = False) -> None:
        super().__init__(reason)
        self.offline = offline


def download(
    address: str,
    target: Path | str,
    sha256: str | None = None,
    size: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Fetches a file over http or https, unless target is there and fits; returns target.

    sha256: of the file, in hexadecimal. size: in bytes. progress: called with the bytes that are here and those of the whole, None
    where nobody says. What a broken connection has brought stays in `<target>.part`, where the next attempt or call goes on. Of
    several callers for one target, in threads or processes, one fetches and the others wait for its file.

    ZooError for another kind of address, without a network, where the server refuses, for a file that does not fit (which is
    removed), and where target cannot be written.
    """
    target = Path(target)
    host = _host(address)
    try:
        if _fits(target, sha256, size):
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if not _fits(target, sha256, size):
                partial = target.with_name(f"{target.name}.part")
                _fetch(address, host, partial, sha256, size, progress)
                _verify(partial, host, sha256, size)
                _tag(partial).unlink(missing_ok=True)
                os.replace(partial, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ZooError(f"{target} cannot be written ({reason}); make room there, or choose another folder") from None
    return target


def _host(address: str) -> str:
    """The server's name, for sentences: the rest of an address can be a secret."""
    try:
        parts = urlsplit(address)
        host = parts.hostname if parts.scheme in ("http", "https") and parts.username is None else None
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        host = None
    if not host or not re.fullmatch("[!-~]+", address):
        raise ZooError("the address of the file is none of a web server; give one like https://example.org/model.safetensors")
    return host + port


def _fits(path: Path, sha256: str | None, size: int | None) -> bool:
    if not path.is_file() or size not in (None, path.stat().st_size):
        return False
    return sha256 is None or _digest(path) == sha256.lower()


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _tag(partial: Path) -> Path:
    """Where the ETag or date is kept of what a partial file is a part of."""
    return partial.with_name(f"{partial.name}.tag")


def _discard(partial: Path) -> None:
    partial.unlink(missing_ok=True)
    _tag(partial).unlink(missing_ok=True)


def _verify(partial: Path, host: str, sha256: str | None, size: int | None) -> None:
    if _fits(partial, sha256, size):
        return
    found = partial.stat().st_size
    _discard(partial)
    if size not in (None, found):
        raise ZooError(_other_size(host, found, size))
    raise ZooError(f"what came from {host} is another file than expected: its SHA-256 differs; try again, or fetch it elsewhere")


def _other_size(host: str, found: int, size: int | None) -> str:
    return f"the file on {host} has {found} bytes, but should have {size}: it is another one now; get this file elsewhere"


def _fetch(address: str, host: str, partial: Path, sha256: str | None, size: int | None, progress: Progress | None) -> None:
    """Brings all of a file into `partial`, in several attempts if need be."""
    for attempt in range(len(WAITS) + 1):
        try:
            return _attempt(address, host, partial, sha256 is not None, size, progress)
        except _Broken as broken:
            if broken.offline and attempt == 0:
                raise ZooError(f"{host} cannot be reached ({broken}); connect to the network and try again") from None
            if attempt == len(WAITS):
                raise ZooError(f"the download from {host} failed ({broken}); try again later, it goes on from there") from None
            time.sleep(WAITS[attempt])


def _attempt(address: str, host: str, partial: Path, hashed: bool, size: int | None, progress: Progress | None) -> None:
    held = partial.stat().st_size if partial.exists() else 0
    if held and held == size:
        return
    tag = _tag(partial).read_text() if _tag(partial).exists() else ""
    request = urllib.request.Request(address, headers={"Accept-Encoding": "identity"})
    # Without a tag or a hash nobody would notice that the two parts are of different files.
    resume = held > 0 and bool(tag or hashed)
    if resume:
        request.add_header("Range", f"bytes={held}-")
        if tag:
            request.add_header("If-Range", tag)
    try:
        response = _open(request, host)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and resume:
            if _range(error.headers, r"bytes \*/(\d+)") == (held,):
                return
            _discard(partial)
            raise _Broken("the server has less than had come") from None
        if error.code in (408, 429) or error.code >= 500:
            raise _Broken(f"it answered {error.code} {error.reason}") from None
        raise ZooError(f"{host} refused the file ({error.code} {error.reason}); it may have moved, so get it elsewhere") from None
    with contextlib.closing(response):
        if response.headers.get_content_type() == "text/html":
            raise ZooError(f"{host} sent a web page instead of the file; it may have moved, so get it elsewhere")
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else None
        if response.status == 206:
            start, total = _range(response.headers, r"bytes (\d+)-\d+/(\d+)") or (-1, None)
            if not resume or start != held:
                _discard(partial)
                raise _Broken("it sent another part than asked for")
        elif response.status == 200:
            held = 0
        else:
            raise ZooError(f"{host} answered {response.status} instead of sending the file; get it elsewhere")
        if size is not None and total not in (None, size):
            _discard(partial)
            raise ZooError(_other_size(host, total or 0, size))
        total = total if total is not None else size
        with partial.open("ab" if held else "wb") as file:
            if not held:
                _tag(partial).write_text(_validator(response.headers))
            while chunk := _read(response):
                file.write(chunk)
                held += len(chunk)
                if progress is not None:
                    progress(held, total)
                if total is not None and held > total:
                    break
            file.flush()
            os.fsync(file.fileno())
    if total is not None and held > total:
        _discard(partial)
        raise _Broken(f"more than the {total} bytes came")
    if total is not None and held < total:
        raise _Broken(f"the connection broke after {held} of {total} bytes")


def _range(headers: Message, pattern: str) -> tuple[int, ...] | None:
    match = re.fullmatch(pattern, headers.get("Content-Range", ""))
    return tuple(int(group) for group in match.groups()) if match else None


def _validator(headers: Message) -> str:
    """What If-Range takes: the ETag unless it is weak, else the date (RFC 9110, section 13.1.5); empty where there is neither."""
    tag = headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")


class Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to http and https only, and from https to https only."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme not in ("https", req.type):
            raise ZooError(f"{_host(req.full_url)} leads to an address that is not safe; get the file elsewhere")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(request: urllib.request.Request, host: str) -> http.client.HTTPResponse:
    """The answer; HTTPError for one that is an error, _Broken or ZooError where there is none."""
    # urllib's own opener reads ftp:, file: and data: as well.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        Redirects(),
    ):
        opener.add_handler(handler)
    try:
        return opener.open(request, timeout=TIMEOUT)  # type: ignore[return-value]
    except urllib.error.HTTPError:
        raise
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise ZooError(f"{host} shows no valid certificate; check the clock and the network of this machine") from None
        raise _broken(reason) from None
    except UnicodeError:
        raise ZooError(f"{host[:60]} cannot be the name of a web server; correct the address") from None


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _broken(error) from None


def _broken(reason: object) -> _Broken:
    if isinstance(reason, TimeoutError):
        return _Broken(f"it was silent for {TIMEOUT:g} s")
    unreachable = isinstance(reason, OSError) and reason.errno in OFFLINE
    offline = unreachable or isinstance(reason, socket.gaierror | ConnectionRefusedError)
    text = (reason.strerror if isinstance(reason, OSError) else None) or str(reason) or type(reason).__name__
    return _Broken(text, offline)

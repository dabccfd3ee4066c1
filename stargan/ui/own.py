"""What keeps visitors from the files of other visitors."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
from collections.abc import Iterator
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_plus

from anyio import to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stargan.ui.folder import PREFIX

COOKIE = "stargan-visitor"
FILE = re.compile(r"/file[=/](.*)", re.DOTALL)  # in the address of one
LONGEST = 4096  # characters of a path
LARGEST = 70 * 2**20  # bytes of what is no upload: a picture of 50 MB, as text
MOST_PATHS = 1000  # texts of a request that may be paths, each of which is looked up
MANY = 10_000  # files after which those that are gone are forgotten
TOO_LARGE = "This is more than is taken at once; upload pictures as files."
ANOTHERS = "This file is not there, or it is another visitor's."
GONE = "The page was started anew meanwhile, and the pictures of before have gone. Drop them again."


class Own:
    """ASGI middleware: a file of the page's folder goes to those alone who brought it, or whom the page has told of it.

    Browsers are known by a cookie. What a program that keeps none has brought or made is for every such program that knows its
    address, and for no browser.
    """

    def __init__(self, app: ASGIApp, folder: Path, embedded: bool = False) -> None:
        """folder: of uploads and results, whole paths of which are in answers. embedded: whether browsers see the page inside
        another site's, where they keep cookies of this kind alone."""
        self.app, self.folder = app, folder.resolve()
        self._told = re.compile(re.escape(str(self.folder).encode()) + rb'/[^"\\<>?]*')
        # Of earlier processes, which had folders beside this one.
        beside, mine = re.escape(str(self.folder.parent)), re.escape(self.folder.name)
        self._before = re.compile(rf"{beside}/(?!{mine}/){PREFIX}[^/]*/")
        self._owners: dict[Path, set[str]] = {}
        self._many = MANY
        self._kind = "SameSite=None; Secure; Partitioned" if embedded else "SameSite=Lax"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        visitor = _visitor(headers)
        asked = FILE.search(scope["path"])
        wanted = [asked[1] if asked else "", unquote_plus(scope["query_string"].decode("latin-1"))]
        if scope["method"] == "POST" and not headers.get("content-type", "").startswith("multipart/"):
            body = await _body(receive)
            if body is None:
                return await _refusal(TOO_LARGE, 413)(scope, receive, send)
            texts = await to_thread.run_sync(_texts, body)
            if texts is None:
                return await _refusal(TOO_LARGE, 413)(scope, receive, send)
            if any(self._before.match(text) for text in texts):
                return await _refusal(GONE, 410)(scope, receive, send)
            wanted, receive = [*wanted, *texts], _again(body, receive)
        wanted = [text for text in wanted if "/" in text]
        # Not here: where a path leads has to be looked up on the disk.
        if wanted and not await to_thread.run_sync(lambda: all(self._may(visitor, text) for text in wanted)):
            return await _refusal(ANOTHERS, 403)(scope, receive, send)
        tells, newcomer = False, secrets.token_urlsafe(24)

        async def told(message: Message) -> None:
            nonlocal tells, visitor
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                kind = answer.get("content-type", "")
                tells = kind.startswith(("application/json", "text/event-stream", "text/html"))
                if kind.startswith("text/html") and not visitor:
                    visitor = newcomer
                    answer.append("set-cookie", f"{COOKIE}={visitor}; Path=/; HttpOnly; {self._kind}")
            elif tells and (content := message.get("body")):
                # Each message of the page is one piece.
                for path in self._named(content):
                    self._owners.setdefault(path, set()).add(visitor)
                self._forget()
            await send(message)

        await self.app(scope, receive, told)

    def _named(self, content: bytes) -> Iterator[Path]:
        """The paths of the folder that are in a message."""
        return (Path(path.decode(errors="replace")) for path in self._told.findall(content))

    def _may(self, visitor: str, text: str) -> bool:
        """Whether all that a text says of the folder is what the visitor may have."""
        # What an answer repeats is told to them, so it may stand in the middle of a sentence, too.
        named = list(self._named(text.encode(errors="replace")))
        if len(text) <= LONGEST:
            with contextlib.suppress(OSError, RuntimeError, ValueError):  # no path
                whole = Path(text).resolve()
                named += [whole] if whole.is_relative_to(self.folder) else []
        return all(self._has(visitor, path) for path in named)

    def _has(self, visitor: str, path: Path) -> bool:
        """Whether a path is of a file of the visitor's. Browsers send a file's address along with its path, and in that a name with
        a space, say, is written otherwise."""
        plain = Path(unquote(str(path)))
        paths = [path] if plain == path or path.exists() else [path, plain]
        return any(visitor in self._owners.get(one, ()) for one in paths)

    def _forget(self) -> None:
        if len(self._owners) > self._many:
            self._owners = {path: owners for path, owners in self._owners.items() if path.exists()}
            self._many = max(MANY, 2 * len(self._owners))


def _refusal(sentence: str, status: int) -> JSONResponse:
    """As Gradio's browsers and programs take a sentence."""
    return JSONResponse({"detail": sentence}, status)


def _visitor(headers: Headers) -> str:
    """What the browser is known by; empty for what keeps no cookies."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found is not None else ""


async def _body(receive: Receive) -> bytes | None:
    """None for one that is too large, of which no more is taken."""
    parts, size = [], 0
    while size <= LARGEST:
        message = await receive()
        if message["type"] != "http.request":
            return b""  # gone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size <= LARGEST and not message.get("more_body"):
            return b"".join(parts)
    return None


def _again(body: bytes, receive: Receive) -> Receive:
    """What gives a body that has been read once more, and then what else comes."""
    left = [body]

    async def give() -> Message:
        return {"type": "http.request", "body": left.pop(), "more_body": False} if left else await receive()

    return give


def _texts(body: bytes) -> list[str] | None:
    """The texts in a body of JSON that may name a file; what is none is the application's to refuse. None where there are more than
    MOST_PATHS of them."""
    try:
        values: list[Any] = [json.loads(body)]
    except (ValueError, RecursionError):
        return []
    found: list[str] = []
    while values:
        value = values.pop()
        if isinstance(value, str):
            found += [value] * ("/" in value)
            if len(found) > MOST_PATHS:
                return None
        elif isinstance(value, list):
            values += value
        elif isinstance(value, dict):
            values += [*value, *value.values()]
    return found

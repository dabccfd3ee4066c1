"""What makes the page come sooner over a network, and cost the server less."""

from __future__ import annotations

import gzip
import re

from anyio.to_thread import run_sync
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Gradio's programs, a hundred of them in a page, bear a digest of their content in their names.
PROGRAM = re.compile(r"/assets/[\w.-]+-[\w-]{8,}\.(js|css)")
FOR_EVER = "public, max-age=31536000, immutable"
# What makes an answer to a request none for everybody.
OWN = "range", "if-none-match", "if-modified-since"


class Transfer:
    """ASGI middleware: the page itself, which Gradio sends as it is, is compressed; its programs, which Gradio compresses whenever
    they are asked for, are compressed once, and stay in a visitor's browser."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._compressing = GZipMiddleware(app, compresslevel=6)
        self._kept: dict[str, tuple[list[tuple[bytes, bytes]], bytes]] = {}  # headers and body, by the path of a program

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            return await self.app(scope, receive, send)
        path, headers = scope["path"].removeprefix(scope.get("root_path", "")), Headers(scope=scope)
        if path in ("", "/"):
            return await self._compressing(scope, receive, send)
        origin = headers.get("origin", "").partition("://")[2]
        anybody = origin in ("", headers.get("host")) and not any(name in headers for name in OWN)
        if not PROGRAM.fullmatch(path) or not anybody or "gzip" not in headers.get("accept-encoding", ""):
            return await self.app(scope, receive, send)
        if path not in self._kept:
            start, content = await self._whole(scope, receive)
            made = MutableHeaders(raw=list(start["headers"]))
            if start["status"] != 200 or "content-encoding" in made:
                await send(start)
                return await send({"type": "http.response.body", "body": content})
            packed = await run_sync(gzip.compress, content, 9)
            made.update({"cache-control": FOR_EVER, "content-encoding": "gzip", "content-length": str(len(packed))})
            made.add_vary_header("Accept-Encoding")
            self._kept[path] = made.raw, packed
        raw, packed = self._kept[path]
        # Anew for each, as whoever is around may write into them.
        await send({"type": "http.response.start", "status": 200, "headers": list(raw)})
        await send({"type": "http.response.body", "body": packed})

    async def _whole(self, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
        """The start and the body of an answer."""
        start: Message = {}
        parts: list[bytes] = []

        async def collect(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                parts.append(message.get("body", b""))

        # A browser says where its page comes from, and gets an answer made out for that: none for everybody.
        headers = [(name, value) for name, value in scope["headers"] if name != b"origin"]
        await self.app({**scope, "headers": headers}, receive, collect)
        return start, b"".join(parts)

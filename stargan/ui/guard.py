"""What keeps other sites that are open in a visitor's browser from using the page."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from gradio.utils import get_upload_folder
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stargan.ui.leaving import Gone
from stargan.ui.own import Own
from stargan.ui.preview import Preview
from stargan.ui.rest import Rest
from stargan.ui.transfer import Transfer

LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    # A page that is shown inside another one could be clicked on without being seen.
    "Content-Security-Policy": "frame-ancestors 'self'",
    "Cross-Origin-Resource-Policy": "same-origin",
}
SPACE = {"Content-Security-Policy": "frame-ancestors 'self' https://huggingface.co"}


def guard(arguments: argparse.Namespace) -> list[Middleware]:
    """The middleware for a page that has been built and is run with these settings. A page for this machine answers under its names
    and --hosts alone; a Space without training and password is there for whoever calls it, from other sites as well. To each
    visitor files of their own, and to each browser a page that comes soon and lets it rest."""
    space = "SPACE_ID" in os.environ
    folder = Path(get_upload_folder())
    files = [Middleware(Own, folder=folder, embedded=space), Middleware(Preview, folder=folder)]
    own = [Middleware(Gone), Middleware(Transfer), *files, Middleware(Rest)]
    if space and not (arguments.train or arguments.auth):
        return own
    hosts = arguments.hosts.replace(",", " ").split()
    far = space or arguments.host not in LOOPBACK
    headers = HEADERS | (SPACE if space else {})
    return [Middleware(Guard, hosts=hosts, any_host=arguments.share or (far and not hosts), headers=headers), *own]


class Guard:
    """ASGI middleware: answers only under names that the page has, and only its own pages.

    A site whose name is made to lead to this machine (DNS rebinding) is told by the Host that it asks for, another site by its
    Origin, which browsers send with everything that can be read by a script or that changes anything. Programs send neither Origin
    nor another Host.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str], any_host: bool, headers: Mapping[str, str]) -> None:
        """hosts: names of the page besides those of this machine. any_host: whether others are answered too, as where the page is
        meant for other machines and nobody knows its names. headers: for every answer."""
        self.app, self.any_host, self.headers = app, any_host, headers
        self.named = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        if refusal := self._refusal(headers):
            if scope["type"] == "websocket":
                return await send({"type": "websocket.close", "code": 1008})
            return await PlainTextResponse(refusal, 403)(scope, receive, send)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self.headers)
            await send(message)

        await self.app(scope, receive, with_headers)

    def _refusal(self, headers: Headers) -> str | None:
        """Why a request is not answered."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self.any_host and _name(host) not in LOOPBACK | self.named:
            return f"This page does not answer as {_name(host)[:80]!r}; start it with --hosts and that name to have it do so."
        # A proxy may have put its own name in place of the Host, but what a browser says of the site cannot be forged by a page.
        own = origin is None or headers.get("sec-fetch-site") == "same-origin" or _netloc(origin) == host.lower()
        if not own and _name(_netloc(origin or "")) not in self.named:
            return "This page is not for other sites; start it with --hosts and the name of that site to have it answer."
        return None


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _name(netloc: str) -> str:
    """The name in a Host, without its port."""
    try:
        return (urlsplit(f"//{netloc}").hostname or "").lower()
    except ValueError:
        return ""

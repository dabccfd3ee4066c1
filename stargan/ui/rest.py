"""What a page begins with: what lets a browser rest that shows a page which nobody uses, what knows files by their names, what
waits for a connection that is lost, what gives up uploads in whose place something else has come, what hands over files inside
another page, and what says the page's language and gives readers of screens what they need."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stargan.ui.pictures import JS

HEAD = b"<head>"
SCRIPTS = "language.js", "stopwatch.js", "types.js", "connection.js", "uploads.js", "download.js", "reader.js"
SCRIPT = "".join(f"<script>\n{(JS / name).read_text()}</script>" for name in SCRIPTS).encode()


class Rest:
    """ASGI middleware: pages begin with these scripts, which have to be there before Gradio's programs are."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start: Message | None = None

        async def begun(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_page(message):
                start = message  # is sent once it is known how long the page is
                return
            if start is not None and message["type"] == "http.response.body":
                headers = MutableHeaders(scope=start)
                before, after = message.get("body", b""), message.get("body", b"").replace(HEAD, HEAD + SCRIPT, 1)
                if "content-length" in headers:
                    headers["content-length"] = str(int(headers["content-length"]) + len(after) - len(before))
                await send(start)
                start, message = None, {**message, "body": after}
            await send(message)

        await self.app(scope, receive, begun)


def _is_page(start: Message) -> bool:
    headers = MutableHeaders(scope=start)
    return headers.get("content-type", "").startswith("text/html") and "content-encoding" not in headers

"""Photographs as they are shown: a visitor who has brought one of 10 MB need not get all of it back."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from anyio import to_thread
from PIL import Image, ImageOps
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from stargan.ui.own import FILE

JPEG = (".jpg", ".jpeg")
LARGE = 1_000_000  # bytes of a file
SIDE = 1600  # px of what is shown of it, which fills a screen


class Preview:
    """ASGI middleware: a large JPEG of the page's folder comes made smaller where a browser shows it. Whoever downloads it, and
    whatever the page makes of it, has the file itself; pictures that the page makes are none."""

    def __init__(self, app: ASGIApp, folder: Path) -> None:
        """folder: of uploads and results."""
        self.app, self.folder = app, folder.resolve()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = FILE.search(scope.get("path", ""))
        if asked and scope["method"] == "GET" and Headers(scope=scope).get("sec-fetch-dest") == "image":
            small = await to_thread.run_sync(self._small, asked[1])
            if small is not None:
                shown = Response(small, media_type="image/jpeg", headers={"vary": "Sec-Fetch-Dest"})
                return await shown(scope, receive, send)
        await self.app(scope, receive, send)

    def _small(self, name: str) -> bytes | None:
        """None for what is small, no photograph, or not of the folder."""
        with contextlib.suppress(OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            path = Path(name).resolve()
            if path.suffix.lower() not in JPEG or not path.is_relative_to(self.folder) or path.stat().st_size < LARGE:
                return None
            with Image.open(path, formats=("JPEG",)) as picture:
                if picture.mode not in ("RGB", "L"):
                    return None
                profile = picture.info.get("icc_profile")
                picture.draft(picture.mode, (SIDE, SIDE))  # no more of it is decoded than is needed
                upright = ImageOps.exif_transpose(picture)
                upright.thumbnail((SIDE, SIDE))
                encoded = io.BytesIO()
                upright.save(encoded, "JPEG", quality=85, icc_profile=profile)
                return encoded.getvalue()
        return None

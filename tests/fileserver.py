"""A server of files that answers as badly as a test wants it to."""

from __future__ import annotations

import hashlib
import http.server
import random
import threading
import time

from material import LocalServer

DATA = random.Random(0).randbytes(700_000)
SHA256 = hashlib.sha256(DATA).hexdigest()


class FileServer(LocalServer):
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

"""A stand-in for the Hub's API on this machine, for Spaces and models alike."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import re
from typing import Any
from urllib.parse import urlsplit

from material import LocalServer

TOKEN = "hf_abc"


class Hub(LocalServer):
    """What the Hub answers to uploads and downloads. spaces, models: files by path, of each repository by name; sdk, private and
    role (of the token): of all of them; refuse: status by path, instead of an answer; cut: paths at which the connection breaks
    off."""

    def __init__(self) -> None:
        self.spaces: dict[str, dict[str, bytes]] = {}
        self.models: dict[str, dict[str, bytes]] = {}
        self.objects: dict[str, bytes] = {}
        self.lfs: set[str] = set()
        self.commits: list[str] = []
        self.created: list[dict[str, Any]] = []
        self.sdk, self.private, self.role = "gradio", False, "write"
        self.refuse: dict[str, int] = {}
        self.cut: set[str] = set()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = urlsplit(self.path).path
                if path in outer.cut:
                    self.close_connection = True
                    self.connection.close()
                    return
                refused = outer.refuse.get(path)
                if self.headers.get("Authorization") != f"Bearer {TOKEN}" and not path.startswith("/objects/"):
                    refused = 401
                if refused is None and "/resolve/" in path:
                    return self.file(path)
                status, answer = (refused, {"error": "no"}) if refused else outer.answer(self.command, path, body)
                self.reply(status, json.dumps(answer).encode(), {"X-Error-Code": "RepoNotFound"} if status == 404 else {})

            do_POST = do_PUT = do_HEAD = do_GET

            def file(self, path: str) -> None:
                """A file of a model, at whatever commit."""
                match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
                assert match is not None
                content = outer.models.get(match[1], {}).get(match[3])
                if content is None:
                    kind = "EntryNotFound" if match[1] in outer.models else "RepoNotFound"
                    return self.reply(404, b"", {"X-Error-Code": kind})
                digest = hashlib.sha256(content).hexdigest()
                self.reply(200, content, {"ETag": f'"{digest}"', "X-Repo-Commit": outer.oid()})

            def reply(self, status: int, content: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for key, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}.items():
                    self.send_header(key, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

        super().__init__(Handler)

    def oid(self) -> str:
        """Of the newest commit."""
        return f"{len(self.commits):040x}"

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        if path == "/api/whoami-v2":
            token = {"accessToken": {"role": self.role}}
            return 200, {"name": "Alice", "type": "user", "orgs": [{"name": "painters"}], "auth": token}
        if path == "/api/validate-yaml":
            return 200, {}
        if path == "/api/repos/create":
            wish = json.loads(body)
            self.created.append(wish)
            name, kind = f"{wish['organization']}/{wish['name']}", wish.get("type") or "model"
            held = getattr(self, f"{kind}s")
            status = 409 if name in held else 200
            held.setdefault(name, {".gitattributes": b""} | ({"README.md": b""} if kind == "space" else {}))
            return status, {"url": f"{self.url}/{'spaces/' if kind == 'space' else ''}{name}"}
        if path.startswith("/objects/"):
            self.objects[path.removeprefix("/objects/")] = body
            return 200, {}
        match = re.fullmatch(r"(?:/api)?(?:/(spaces|models))?/([^/]+/[^/.]+)(?:\.git)?(/.*)?", path)
        assert match is not None, path
        held, name, rest = getattr(self, match[1] or "models"), match[2], match[3] or ""
        if name not in held:
            return 404, {"error": "Repository not found"}
        files: dict[str, bytes] = held[name]
        if not rest:
            siblings = [{"rfilename": file} for file in files]
            facts = {"id": name, "private": self.private, "siblings": siblings, "likes": 0, "tags": []}
            return 200, facts | ({"sdk": self.sdk} if match[1] == "spaces" else {"modelId": name, "downloads": 0})
        if rest == "/tree/main":
            return 200, [{"type": "file", "path": file, "size": len(data), "oid": "0" * 40} for file, data in files.items()]
        if rest == "/preupload/main":
            paths = [file["path"] for file in json.loads(body)["files"]]
            modes = ["lfs" if path.endswith(".safetensors") else "regular" for path in paths]
            return 200, {"files": [{"path": p, "uploadMode": mode, "shouldIgnore": False} for p, mode in zip(paths, modes)]}
        if rest == "/info/lfs/objects/batch":
            wanted = json.loads(body)["objects"]
            answers = [{**o, "actions": {"upload": {"href": f"{self.url}/objects/{o['oid']}"}}} for o in wanted]
            return 200, {"transfer": "basic", "objects": answers}
        assert (method, rest) == ("POST", "/commit/main")
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                self.commits.append(value["summary"])
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.objects[value["oid"]]
                self.lfs.add(value["path"])
                assert hashlib.sha256(files[value["path"]]).hexdigest() == value["oid"]
            else:
                del files[value["path"]]
        page = f"{self.url}/{'spaces/' if match[1] == 'spaces' else ''}{name}"
        return 200, {"success": True, "commitOid": self.oid(), "commitUrl": f"{page}/commit/{self.oid()}"}

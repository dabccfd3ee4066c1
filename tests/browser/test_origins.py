"""Another site in the same browser can neither read the page nor have it do anything."""

from __future__ import annotations

import http.server
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from material import LocalServer
from served import launched

# What a site can try: each gives the answer's status, or why there is none that it may read.
JOIN = "page + '/gradio_api/queue/join'"
TRIES = {
    "read": "fetch(page + '/config')",
    "read as itself": "fetch(page + '/config', {credentials: 'include'})",
    "upload": "(() => { const form = new FormData(); form.append('files', new Blob(['x']), 'x.png');"
    " return fetch(page + '/gradio_api/upload', {method: 'POST', body: form, mode: 'no-cors'}); })()",
    "join": f"fetch({JOIN}, {{method: 'POST', body: JSON.stringify({{data: [], fn_index: 0}}), mode: 'no-cors'}})",
    "as JSON": f"fetch({JOIN}, {{method: 'POST', body: '{{}}', headers: {{'Content-Type': 'application/json'}}}})",
    "untyped": f"fetch({JOIN}, {{method: 'POST', body: new Blob(['{{}}']), mode: 'no-cors'}})",
}


class _Site(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>another site</title>")


@pytest.fixture
def site() -> Iterator[str]:
    server = LocalServer(_Site)
    yield server.url
    server.close()


def seen(page: Any, address: str, doing: str) -> list[int]:
    """The statuses with which `address` answers what a page does there, those included that it may not read itself."""
    found: list[int] = []
    page.on("response", lambda response: found.append(response.status) if response.url.startswith(address) else None)
    page.evaluate(f"async page => {{ try {{ await {doing} }} catch (error) {{ }} }}", address)
    page.wait_for_timeout(300)
    return found


def test_another_site_is_not_answered(browser: Any, address: str, site: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    for name, doing in TRIES.items():
        page.goto(site)
        statuses = seen(page, address, doing)
        assert set(statuses) <= {403}, f"{name}: {statuses}"
    context.close()


def test_another_site_cannot_show_the_page_in_a_frame(browser: Any, address: str, site: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(site)
    page.evaluate("page => { document.body.innerHTML = `<iframe src='${page}'></iframe>`; }", address)
    page.wait_for_timeout(2000)
    assert not page.frames[1].url.startswith(address)
    context.close()


def test_a_name_that_is_made_to_lead_here_is_not_answered(address: str, browser: Any) -> None:
    """DNS rebinding: the browser takes the page for evil.example, and what it says there for the site's own."""
    port = urlsplit(address).port
    rebound = launched(browser.browser_type, f"--host-resolver-rules=MAP evil.example 127.0.0.1:{port}")
    try:
        page = rebound.new_page()
        answer = page.goto(f"http://evil.example:{port}/")
        assert answer.status == 403 and "evil.example" in answer.text()
        assert page.evaluate("fetch('/config').then(answer => answer.status)") == 403
    finally:
        rebound.close()


def test_the_page_itself_and_programs_are_answered(page: Any, address: str) -> None:
    assert page.evaluate("fetch('/config').then(answer => answer.status)") == 200
    assert urllib.request.urlopen(f"{address}/config").status == 200

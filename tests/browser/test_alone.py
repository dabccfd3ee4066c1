"""Pages with settings of their own: on a Space, behind a password, at a port that is taken."""

from __future__ import annotations

import os
import re
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from gauge import files
from gradio_client import handle_file
from PIL import Image
from served import MODEL, PATIENCE, RESULT, SIDE, Brief, program, served, visitor
from test_live import live

from stargan.files import places
from tests.processes import forked, ran

# The page, saying at once what it says.
BY_LINES = "import runpy, sys; sys.stdout.reconfigure(line_buffering=True); runpy.run_path('app.py', run_name='__main__')"


def test_uploads_and_results_are_kept_for_a_while(brief: Brief) -> None:
    assert len(files(brief.kept)) > brief.before + 2


def test_nobody_has_models_fetched_to_a_public_page(brief: Brief) -> None:
    assert brief.page.get_by_role("button", name="Get another model").count() == 0


def test_a_result_is_handed_over_inside_another_sites_page(brief: Brief, browser: Any) -> None:
    page = visitor(browser).new_page()
    page.goto(f"{brief.url.replace('127.0.0.1', 'localhost')}/theme.css")  # another site to browsers
    page.evaluate("page => { document.body.innerHTML = `<iframe src='${page}' width=1200 height=800></iframe>` }", brief.url)
    frame = page.frame_locator("iframe")
    frame.locator(RESULT).wait_for()
    with page.expect_download() as file:
        frame.get_by_role("button", name="Download PNG").click()
    assert Image.open(file.value.path()).size == (SIDE, SIDE) and file.value.suggested_filename == "stargan-woman.png"
    page.context.close()


def test_a_camera_is_stopped_after_its_time(brief: Brief, camera: Any) -> None:
    page = live(visitor(camera), brief.url)
    page.get_by_text("After 2 seconds it is the others' turn").wait_for(timeout=60_000)
    assert page.get_by_role("button", name="Start the camera").is_enabled()
    page.context.close()


def test_a_password_is_asked_for(tmp_path: Path, portrait_file: Path) -> None:
    with served(tmp_path, "--no-compile", "--auth", "me:secret", start=forked, STARGAN_MODEL=MODEL) as (url, _):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{url}/config")
        with pytest.raises(Exception, match=r"[Cc]redentials|[Ll]ogin|auth"):
            program(url, auth=("me", "guess"))
        client = program(url, auth=("me", "secret"))
        style = client.predict(
            source=handle_file(str(portrait_file)), domain="woman", style_from="seed", seed=7, psi=1.0,
            reference=None, masks=True, aligned=True, api_name="/translate",
        )[-1]  # fmt: skip
        assert '"style"' in style


def test_a_port_in_use_is_gone_around_or_said(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "GRADIO_SERVER_PORT"} | {"GRADIO_ANALYTICS_ENABLED": "False"}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused = ran(["app.py", "--no-compile", "--port", port], places.ROOT, environment, PATIENCE)
        # Where none is asked for, the search for a free one begins there.
        said = tmp_path / "said"
        asked = environment | {"GRADIO_SERVER_PORT": port}
        around = forked(["-c", BY_LINES, "--no-compile"], places.ROOT, asked, said, said, anew=("gradio", "stargan", "train"))
        try:
            deadline = time.monotonic() + PATIENCE
            while not (found := re.search(r"Running on.*\n", said.read_text() if said.exists() else "")):
                assert around.poll() is None and time.monotonic() < deadline, said.read_text()
                time.sleep(0.2)
        finally:
            around.terminate()
            around.wait(PATIENCE)
    assert re.search(r"http://127\.0\.0\.1:(\d+)", found[0]) and f":{port}" not in found[0]
    assert refused.returncode == 1 and "Traceback" not in refused.stderr
    assert f"cannot listen on 127.0.0.1:{port}" in refused.stderr.splitlines()[-1]

"""How the page is run."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from stargan import settings
from stargan.files.places import ROOT


def test_an_address_that_cannot_be_listened_on_is_refused_before_anything_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit, match=rf"cannot listen on 127.0.0.1:{port} \([^(]*\); choose another --port or --host$"):
            settings.check_address(settings.read(["--host", "127.0.0.1", "--port", str(port)]))
    settings.check_address(settings.read(["--host", "127.0.0.1", "--port", str(port)]))
    with pytest.raises(SystemExit, match="cannot listen on 192.0.2.1:7860"):  # an address for documentation, of no machine
        settings.check_address(settings.read(["--host", "192.0.2.1"]))


def test_what_cannot_be_used_is_said_before_anything_is_read() -> None:
    unread = "sys.modules['torch'] = sys.modules['gradio'] = None"
    code = f"import runpy, sys; sys.argv = ['app.py', '--port', 'x']; {unread}; runpy.run_path('app.py', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.strip().endswith("argument --port: invalid int value: 'x'"), done.stderr

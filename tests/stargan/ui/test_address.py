"""How the page is run."""

from __future__ import annotations

import socket

import pytest

from stargan.ui import check_address, settings


def test_an_address_that_cannot_be_listened_on_is_refused_before_anything_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit, match=f"cannot listen on 127.0.0.1:{port} .*; choose another --port or --host"):
            check_address(settings(["--host", "127.0.0.1", "--port", str(port)]))
    check_address(settings(["--host", "127.0.0.1", "--port", str(port)]))
    with pytest.raises(SystemExit, match="cannot listen on 192.0.2.1:7860"):  # an address for documentation, of no machine
        check_address(settings(["--host", "192.0.2.1"]))

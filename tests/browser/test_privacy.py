"""What a page that is open to others tells of its visitors, and takes from them."""

from __future__ import annotations

import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client, handle_file
from PIL import ExifTags, Image
from served import served
from skimage import data

from stargan.files import places

NAME = "holiday-in-secretville"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path, Path]]:
    """A page without training: its address, its log, and the folder of its uploads."""
    folder = tmp_path_factory.mktemp("page")
    with served(folder, "--no-compile", "--no-train", GRADIO_TEMP_DIR=str(folder / "kept")) as (url, process):
        yield url, folder / "log", folder / "kept"
        process.terminate()
        process.wait(timeout=30)
        assert not [p for p in (folder / "kept").rglob("*") if p.is_file()], "uploads and results outlive the page"


def translated(client: Client, picture: Path) -> Any:
    return client.predict(
        source=handle_file(str(picture)), domain="woman", style_from="seed", seed=7, psi=1.0, reference=None, masks=True,
        aligned=True, api_name="/translate",
    )  # fmt: skip


def test_neither_results_nor_the_log_tell_of_an_upload(page: tuple[str, Path, Path], tmp_path: Path) -> None:
    url, log, kept = page
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "SECRETVILLE"
    picture, broken = tmp_path / f"{NAME}.jpg", tmp_path / f"{NAME}-2.jpg"
    Image.fromarray(data.astronaut()).save(picture, exif=exif)
    broken.write_bytes(picture.read_bytes()[:5000])
    client = Client(url, verbose=False)
    before = {p for p in kept.rglob("*") if p.is_file()}
    assert NAME not in str(translated(client, picture))
    with pytest.raises(Exception, match="broken"):
        translated(client, broken)
    made = [p for p in kept.rglob("*") if p.is_file() and p not in before and NAME not in p.name]
    assert made and not any(b"SECRETVILLE" in p.read_bytes() or NAME.encode() in p.read_bytes() for p in made)
    assert NAME not in log.read_text()


def test_no_other_file_of_the_machine_is_given_out(page: tuple[str, Path, Path]) -> None:
    url, log, kept = page
    mine = kept.parent / "mine.png"
    mine.write_bytes(b"private")
    for path in ("/etc/passwd", str(log), str(mine), str(places.ROOT / "app.py"), f"{kept}/../mine.png"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{url}/gradio_api/file={urllib.parse.quote(path)}")
        assert refused.value.code == 403


def test_an_upload_that_is_too_large_is_refused(page: tuple[str, Path, Path]) -> None:
    url, _, kept = page
    head = b'--xxxx\r\nContent-Disposition: form-data; name="files"; filename="large.bin"\r\n\r\n'
    request = urllib.request.Request(
        f"{url}/gradio_api/upload",
        head + bytes(51 * 2**20) + b"\r\n--xxxx--\r\n",
        {"Content-Type": "multipart/form-data; boundary=xxxx"},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 413
    deadline = time.monotonic() + 10
    while (left := [p for p in kept.rglob("*") if p.is_file() and p.stat().st_size > 2**20]) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not left, "half an upload is kept"

"""What a page that is open to others tells of its visitors, and takes from them."""

from __future__ import annotations

import io
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gauge import files
from gradio_client import Client, handle_file
from PIL import ExifTags, Image
from served import Open, after, opened, program, ready, settled, to_tab, upload
from skimage import data

from stargan.files import places

NAME, SAID = "holiday-in-secretville", "SECRETVILLE"


def photograph(folder: Path, pixels: np.ndarray | None = None) -> Path:
    """One that says in its metadata and its name where it was taken."""
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = SAID
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSAreaInformation] = SAID
    path = folder / f"{NAME}.jpg"
    Image.fromarray(data.astronaut() if pixels is None else pixels).save(path, exif=exif, comment=SAID)
    assert path.read_bytes().count(SAID.encode()) == 3
    return path


def tells(content: bytes) -> bool:
    return any(word.encode() in content for word in (SAID, NAME))


def translated(client: Client, picture: Path) -> Any:
    return client.predict(
        source=handle_file(str(picture)), domain="woman", style_from="seed", seed=7, psi=1.0, reference=None, masks=True,
        aligned=True, api_name="/translate",
    )  # fmt: skip


def test_neither_results_nor_the_log_tell_of_an_upload(open_page: Open, tmp_path: Path) -> None:
    url, log, kept, _ = open_page
    picture, broken = photograph(tmp_path), tmp_path / f"{NAME}-2.jpg"
    broken.write_bytes(picture.read_bytes()[:5000])
    client = program(url)
    before = set(files(kept))
    assert NAME not in str(translated(client, picture))
    given = handle_file(str(picture))
    for ask, name in (({"sources": [given]}, "/grid"), ({"source": given}, "/strip"), ({"source": given}, "/interpolate")):
        assert NAME not in str(client.predict(**ask, api_name=name))
    assert NAME not in str(client.predict(source=given, seconds=0.2, api_name="/video"))
    with pytest.raises(Exception, match="broken"):
        translated(client, broken)
    made = [p for p in files(kept) if p not in before and NAME not in p.name]
    assert {p.suffix for p in made} == {".png", ".mp4"} and not any(tells(p.read_bytes()) for p in made)
    assert NAME not in log.read_text()


def test_what_is_taken_from_the_page_does_not_tell_of_an_upload(open_page: Open, guest: Any, tmp_path: Path) -> None:
    visitor = ready(guest, open_page.url)
    after(visitor, lambda: upload(visitor, photograph(tmp_path)))
    visitor.get_by_role("button", name="Link to this style").click()
    visitor.wait_for_function("document.querySelector('#link textarea, #link input')?.value.includes('strength=')")
    assert not tells(visitor.locator("#link textarea, #link input").input_value().encode())
    for button in ("Download PNG", "All so far as zip"):
        with visitor.expect_download() as download:
            visitor.get_by_role("button", name=button).click()
        content = Path(download.value.path()).read_bytes()
        assert NAME not in download.value.suggested_filename and not tells(content)
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        assert file.namelist() and not any(tells(file.read(name)) for name in file.namelist())
    assert open_page.log.read_text() and NAME not in open_page.log.read_text()
    visitor.close()


def test_an_address_that_is_known_to_another_visitor_leads_nowhere(
    open_page: Open, guest: Any, browser: Any, tmp_path: Path
) -> None:
    visitor, other = ready(guest, open_page.url), opened(browser, open_page.url)
    picture = photograph(tmp_path, data.astronaut()[:, ::-1])  # which nobody else has uploaded
    after(visitor, lambda: upload(visitor, picture))
    with visitor.expect_download() as download:
        visitor.get_by_role("button", name="Download PNG").click()
    uploaded = next(p for p in files(open_page.kept) if p.name == picture.name and p.read_bytes() == picture.read_bytes())
    name = download.value.suggested_filename  # what is kept for the zip is told to nobody
    saved = next(p for p in files(open_page.kept) if p.name == name and p.read_bytes() == Path(download.value.path()).read_bytes())
    for path in (uploaded, saved):
        address = f"{open_page.url}/gradio_api/file={path}"
        assert visitor.request.get(address).body() == path.read_bytes()
        assert other.request.get(address).status == 403
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(address)
    # Nor can they have it worked on, which would show it.
    told = {"path": str(uploaded), "meta": {"_type": "gradio.FileData"}}
    asked = {"data": [told], "fn_index": 0, "session_hash": "other"}
    join, kind = f"{open_page.url}/gradio_api/queue/join", {"Content-Type": "application/json"}
    assert other.request.post(join, data=json.dumps(asked), headers=kind).status == 403
    assert visitor.request.post(join, data=json.dumps(asked), headers=kind).status != 403
    visitor.close()
    other.context.close()


def test_no_other_file_of_the_machine_is_given_out(open_page: Open) -> None:
    url, log, kept, _ = open_page
    mine = kept.parent / "mine.png"
    mine.write_bytes(b"private")
    for path in ("/etc/passwd", str(log), str(mine), str(places.ROOT / "app.py"), f"{kept}/../mine.png"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{url}/gradio_api/file={urllib.parse.quote(path)}")
        assert refused.value.code == 403


def test_no_other_file_of_the_machine_is_worked_on(open_page: Open, guest: Any, tmp_path: Path) -> None:
    """As no page would ask for it: what is made of the source is asked for with another file in its place."""
    visitor = ready(guest, open_page.url)
    settled(visitor)
    joined: list[dict[str, Any]] = []
    visitor.on("request", lambda request: joined.append(request.post_data_json) if "/queue/join" in request.url else None)
    after(visitor, lambda: visitor.locator("#position input[type=range]").fill("0.25"))
    asked = next(body for body in joined if isinstance(body["data"][0], dict) and body["data"][0].get("position") == 0.25)
    example = asked["data"][0]["photo"]
    Image.fromarray(data.astronaut()).save(tmp_path / "private.png")
    file = {"meta": {"_type": "gradio.FileData"}}
    private = {"path": str(tmp_path / "private.png")}
    photos = {0: example, 1: private, 2: private | file, 3: {"path": example}}
    for number, photo in photos.items():
        session = {"session_hash": f"crafted{number}"}
        body = asked | session | {"data": [asked["data"][0] | {"photo": photo}, *asked["data"][1:]]}
        kind = {"Content-Type": "application/json"}
        assert visitor.request.post(f"{open_page.url}/gradio_api/queue/join", data=json.dumps(body), headers=kind).ok
        told = visitor.request.get(f"{open_page.url}/gradio_api/queue/data", params=session).text()
        given = photo is example
        assert ("data:image/webp" in told) == given and ('"success":true' in told) == given, told[:500]
    visitor.close()


def test_a_page_that_nobody_uses_rests(open_page: Open) -> None:
    """Gradio's queue would look a thousand times a second whether there is something to do."""

    def woken() -> dict[str, int]:
        """How often, by thread."""
        status = {path.parent.name: path.read_text() for path in Path(f"/proc/{open_page.process.pid}/task").glob("*/status")}
        return {name: int(re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.MULTILINE)[0]) for name, text in status.items()}

    before = woken()
    time.sleep(1)
    # Threads that have come to their end meanwhile take their number with them.
    assert 0 < sum(count - before.get(name, 0) for name, count in woken().items()) < 500


def test_an_upload_that_is_too_large_is_refused(open_page: Open) -> None:
    url, _, kept, _ = open_page
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
    while (left := [p for p in files(kept) if p.stat().st_size > 2**20]) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not left, "half an upload is kept"


def test_training_can_be_switched_off(open_page: Open, guest: Any) -> None:
    visitor = ready(guest, open_page.url)
    to_tab(visitor, "Train")
    visitor.get_by_text("Training is switched off on this page").wait_for()
    assert visitor.get_by_role("button", name="Start training").count() == 0
    visitor.close()

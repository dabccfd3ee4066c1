"""The Interpolate, Grid and About tabs, used as a person does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
from gradio_client import Client, handle_file
from PIL import Image, ImageOps
from served import pixels
from skimage import data

WAIT = 60_000


def shown(page: Any, box: str) -> str:
    image = page.locator(f"{box} img").first
    image.wait_for(timeout=WAIT)
    return image.get_attribute("src")


def settled(page: Any, box: str) -> str:
    """The picture that stays when nothing comes any more."""
    url = shown(page, box)
    while True:
        page.wait_for_timeout(1000)
        if (now := shown(page, box)) == url:
            return url
        url = now


def test_the_picture_follows_the_slider_and_the_last_position_wins(page: Any, portrait_file: Path) -> None:
    page.get_by_role("tab", name="Interpolate").click()
    page.locator("#interpolate-source input[type=file]").first.set_input_files(str(portrait_file))
    settled(page, "#between")
    slider = page.locator("#position input[type=range]")
    box = slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    seen = set()
    for i in range(21):
        page.mouse.move(box["x"] + box["width"] * (0.5 - 0.6 * i / 20), middle)
        page.wait_for_timeout(80)
        seen.add(shown(page, "#between"))
    page.mouse.up()
    assert len(seen) > 3, "no pictures came while the slider was dragged"
    assert slider.input_value() == "0"
    last = pixels(page, settled(page, "#between"))
    strip = pixels(page, settled(page, "#strip"))
    assert last.shape == (128, 128, 3) and strip.shape == (128, 9 * 128, 3)
    # The strip begins where the slider stands now, and ends elsewhere. Both are compressed.
    assert np.abs(strip[:, :128] - last).mean() < 3 < np.abs(strip[:, -128:] - last).mean()


def test_from_one_reference_to_another(page: Any, address: str, portrait_file: Path, tmp_path: Path) -> None:
    flipped = tmp_path / "flipped.png"
    ImageOps.mirror(Image.open(portrait_file)).save(flipped)
    page.get_by_role("tab", name="Interpolate").click()
    page.locator("#interpolate-source input[type=file]").first.set_input_files(str(portrait_file))
    seeds = settled(page, "#strip")
    for end, domain, path in (("a", "woman", portrait_file), ("b", "orc", flipped)):
        box = page.locator(f"#style-{end}")
        box.get_by_label(domain, exact=True).check()
        box.get_by_label("Reference picture").check()
        box.locator("input[type=file]").first.set_input_files(str(path))
        box.locator("img").first.wait_for()
    page.wait_for_function("src => document.querySelector('#strip img').src != src", arg=seeds)
    strip = pixels(page, settled(page, "#strip"))
    # Both ends are what the Translate tab makes of these references.
    client = Client(address, verbose=False)
    for domain, path, cell in (("woman", portrait_file, strip[:, :128]), ("orc", flipped, strip[:, -128:])):
        same = {"source": handle_file(str(portrait_file)), "reference": handle_file(str(path)), "psi": 1.0, "seed": 0}
        pictures, *_ = client.predict(
            **same, domain=domain, style_from="reference", masks=True, aligned=True, api_name="/translate"
        )
        expected = np.asarray(Image.open(pictures[1]).convert("RGB"), np.float32)
        assert np.abs(cell - expected).mean() < 5, domain  # the strip is compressed
    assert np.abs(strip[:, :128] - strip[:, -128:]).mean() > 15


def test_a_video_through_several_styles(page: Any, portrait_file: Path, tmp_path: Path) -> None:
    page.get_by_role("tab", name="Interpolate").click()
    page.locator("#interpolate-source input[type=file]").first.set_input_files(str(portrait_file))
    settled(page, "#between")
    page.get_by_label("Further seeds on the way").fill("orc:5, 9")
    page.get_by_label("Return to A in the end").check()
    page.get_by_role("button", name="Make video").click()
    player = page.locator("#movie video")
    player.wait_for(state="attached", timeout=WAIT)
    (tmp_path / "out.mp4").write_bytes(page.request.get(player.get_attribute("src")).body())
    with av.open(str(tmp_path / "out.mp4")) as file:
        frames = sum(1 for _ in file.decode(video=0))
    assert frames == 4 * 25

    page.get_by_label("Further seeds on the way").fill("seven")
    page.get_by_role("button", name="Make video").click()
    page.get_by_text("'seven' is no seed").wait_for()


def test_a_grid_of_sources_and_styles(page: Any, portrait_file: Path, tmp_path: Path) -> None:
    Image.fromarray(data.coffee()).save(tmp_path / "coffee.png")
    page.get_by_role("tab", name="Grid").click()
    page.get_by_role("button", name="Make grid").click()
    page.get_by_text("There are 0 sources; give 1 to 8").wait_for()
    files = [str(portrait_file), str(tmp_path / "coffee.png")]
    page.locator("#grid-sources input[type=file]").first.set_input_files(files)
    page.locator("#grid-sources").get_by_text("coffee").first.wait_for()
    page.get_by_role("button", name="Make grid").click()
    page.get_by_text("Source 2 was left out: no face was found").wait_for(timeout=WAIT)
    sheet = pixels(page, settled(page, "#grid-result"))
    assert sheet.shape == (2 * 128, 6 * 128, 3)
    cells = [sheet[128:, 128 * i : 128 * (i + 1)] for i in range(1, 6)]
    assert all(np.abs(a - b).mean() > 1 for i, a in enumerate(cells) for b in cells[:i]), "two styles look alike"


def test_a_grid_of_references(page: Any, portrait_file: Path, tmp_path: Path) -> None:
    picture = ImageOps.mirror(Image.open(portrait_file))
    references = [tmp_path / "flipped.png", tmp_path / "yellow.png"]
    picture.save(references[0])
    Image.fromarray(np.asarray(picture) // np.array([1, 1, 3], np.uint8)).save(references[1])
    page.get_by_role("tab", name="Grid").click()
    page.locator("#grid-domain").get_by_label("orc").check()
    page.get_by_role("radio", name="Reference pictures").check()
    page.get_by_role("button", name="Make grid").wait_for()
    page.locator("#grid-sources input[type=file]").first.set_input_files(str(portrait_file))
    page.locator("#grid-sources").get_by_text("astronaut").first.wait_for()
    page.locator("#grid-references input[type=file]").first.set_input_files([str(path) for path in references])
    page.locator("#grid-references").get_by_text("yellow").first.wait_for()
    page.get_by_role("button", name="Make grid").click()
    page.get_by_text("1 of 1 sources").wait_for(timeout=WAIT)
    sheet = pixels(page, settled(page, "#grid-result"))
    assert sheet.shape == (2 * 128, 3 * 128, 3)
    first, second = (sheet[:, 128 * i : 128 * (i + 1)] for i in (1, 2))
    assert first[:128, :, 2].mean() > 2 * second[:128, :, 2].mean(), "the references stand above their columns"
    assert np.abs(first[128:] - second[128:]).mean() > 1, "the reference does not matter"


def test_the_card_is_shown(page: Any) -> None:
    page.get_by_role("tab", name="About").click()
    page.get_by_role("heading", name="How it works").wait_for()
    page.get_by_text("© artflow.ai").wait_for()
    assert page.locator("#diagram rect").count() == 10
    page.wait_for_function(
        """() => {
          const pictures = [...document.querySelectorAll('#about img')];
          return pictures.length == 3 && pictures.every(i => i.complete && i.naturalWidth > 0);
        }"""
    )


def test_the_endpoints_of_interpolation(address: str, portrait_file: Path) -> None:
    client = Client(address, verbose=False)
    source = handle_file(str(portrait_file))
    ends = {"domain_a": "man", "style_from_a": "seed", "seed_a": 1, "reference_a": None}
    ends |= {"domain_b": "woman", "style_from_b": "seed", "seed_b": 2, "reference_b": None}
    common = {"source": source, "psi": 1.0, "masks": True, "aligned": True}
    pictures = [client.predict(position=p, **common, **ends, api_name="/interpolate") for p in (0.0, 1.0)]
    first, last = (np.asarray(Image.open(path).convert("RGB"), np.float32) for path in pictures)
    assert np.abs(first - last).mean() > 3
    with Image.open(client.predict(**common, **ends, api_name="/strip")) as strip:
        assert strip.size == (9 * 128, 128)
    movie = client.predict(way="", seconds=0.2, loop=False, **common, **ends, api_name="/video")
    with av.open(movie["video"] if isinstance(movie, dict) else movie) as file:
        assert sum(1 for _ in file.decode(video=0)) == 6

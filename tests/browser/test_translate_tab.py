"""The Translate tab, used as a person does."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image
from served import launched, opened, pixels
from skimage import data

from stargan import zoo
from stargan.files import places

WAIT = 60_000
SHOWN = "[...document.querySelectorAll('#result img')]"


def upload(page: Any, path: Path, box: str = "#source") -> None:
    page.locator(f"{box} input[type=file]").first.set_input_files(str(path))


def result(page: Any) -> np.ndarray:
    """The pixels of the result, as the page shows them. While one is replaced by the next, the page has none for a moment."""
    loaded = f"{SHOWN}.length >= 2 && {SHOWN}.every(image => image.naturalWidth > 0)"
    urls = page.wait_for_function(f"{loaded} && {SHOWN}.map(image => image.src)", timeout=WAIT).json_value()
    pictures = [pixels(page, url) for url in urls]
    assert len(set(urls)) == 2, "before and after are the same file"
    return pictures[-1]


def picture(page: Any, box: str) -> np.ndarray:
    """The pixels of the picture in a box, once there is one."""
    image = page.locator(f"{box} img").first
    image.wait_for(timeout=WAIT)
    return pixels(page, image.get_attribute("src"))


def status(page: Any) -> str:
    return page.locator("#status").inner_text()


def after_change(page: Any, change: Any) -> np.ndarray:
    """The result once it is another file than before the change."""
    before = page.evaluate(f"{SHOWN}.map(image => image.src).join()")
    change()
    page.wait_for_function(
        f"before => {SHOWN}.length >= 2 && {SHOWN}.map(image => image.src).join() != before",
        arg=before,
        timeout=WAIT,
    )
    return result(page)


def test_a_portrait_is_translated_and_style_changes_show(page: Any, portrait_file: Path) -> None:
    first = after_change(page, lambda: upload(page, portrait_file))
    assert first.shape == (128, 128, 3) and first.std() > 10
    assert re.search(r"\d+ ms", status(page))
    aligned = picture(page, "#crop")
    assert np.abs(first - aligned).mean() > 5, "the result is the source"
    page.locator("#overlay img").first.wait_for()

    other_seed = after_change(page, lambda: page.get_by_role("button", name="Another style").click())
    assert np.abs(other_seed - first).mean() > 1
    other_domain = after_change(page, lambda: page.get_by_label("orc", exact=True).check())
    assert np.abs(other_domain - other_seed).mean() > 1
    unmasked = after_change(page, lambda: page.get_by_label("Keep the face (FAN masks)").uncheck())
    assert np.abs(unmasked - other_domain).mean() > 1

    slider = page.locator("#psi input[type=range]")
    slider.focus()
    milder = after_change(page, lambda: [page.keyboard.press("ArrowLeft") for _ in range(10)])
    assert np.abs(milder - unmasked).mean() > 0.2


def test_a_portrait_from_the_clipboard(page: Any, portrait_file: Path) -> None:
    png = io.BytesIO()
    Image.open(portrait_file).save(png, "PNG")
    page.evaluate(
        """async text => {
          const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
          await navigator.clipboard.write([new ClipboardItem({'image/png': new Blob([bytes], {type: 'image/png'})})]);
        }""",
        base64.b64encode(png.getvalue()).decode(),
    )
    pasted = after_change(page, lambda: page.locator("#source").get_by_label("Paste from clipboard").click())
    page.reload()
    assert np.abs(after_change(page, lambda: upload(page, portrait_file)) - pasted).mean() < 0.5


def test_a_portrait_from_the_webcam(browser: Any, address: str, tmp_path: Path) -> None:
    frame = Image.new("RGB", (640, 480))
    frame.paste(Image.fromarray(data.astronaut()).resize((480, 480)), (80, 0))
    frame.save(tmp_path / "frame.jpg")
    (tmp_path / "camera.mjpeg").write_bytes((tmp_path / "frame.jpg").read_bytes())
    camera = launched(
        browser.browser_type,
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={tmp_path / 'camera.mjpeg'}",
    )
    page = opened(camera, address)
    source = page.locator("#source")
    source.get_by_label("Capture from camera").click()
    source.get_by_text("Click to Access Webcam").click()
    source.get_by_label("capture photo").wait_for()
    page.wait_for_function("document.querySelector('#source video').videoWidth == 640")
    first = after_change(page, lambda: source.get_by_label("capture photo").click())
    assert first.shape == (128, 128, 3)
    assert re.search(r"\d+ ms", status(page)), "a face was found"
    camera.close()


def test_alignment_and_the_slider_between_before_and_after(page: Any, portrait_file: Path) -> None:
    aligned = after_change(page, lambda: upload(page, portrait_file))
    square = after_change(page, lambda: page.get_by_label("Align the face").uncheck())
    assert np.abs(square - aligned).mean() > 5
    crop = picture(page, "#crop")
    whole = np.asarray(Image.fromarray(data.astronaut()).resize((128, 128), Image.Resampling.LANCZOS), np.float32)
    assert np.abs(crop - whole).mean() < 8  # the upload and the crop are compressed

    def share() -> float:
        """Of the pictures' width that shows what was before."""
        box = page.locator("#result").bounding_box()
        handle = page.locator("#result .inner").bounding_box()
        return (handle["x"] + handle["width"] / 2 - box["x"]) / box["width"]

    start = share()
    box = page.locator("#result").bounding_box()
    page.mouse.move(box["x"] + start * box["width"], box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    assert start == pytest.approx(0.5, abs=0.1) and share() == pytest.approx(0.8, abs=0.05)


def test_a_style_from_a_reference(page: Any, portrait_file: Path, tmp_path: Path) -> None:
    first = after_change(page, lambda: upload(page, portrait_file))
    page.get_by_label("Reference picture").check()
    flipped = tmp_path / "reference.png"
    Image.fromarray(255 - data.astronaut()[:256, 90:346]).save(flipped)
    page.get_by_label("Align the face").uncheck()
    page.locator("#reference input[type=file]").first.wait_for(state="attached")
    by_reference = after_change(page, lambda: upload(page, flipped, "#reference"))
    assert np.abs(by_reference - first).mean() > 1


def test_each_part_of_the_face_has_a_strength(page: Any, portrait_file: Path) -> None:
    first = after_change(page, lambda: upload(page, portrait_file))
    page.get_by_role("button", name="Parts of the face").click()
    no_mouth = after_change(page, lambda: page.get_by_label("Keep mouth").uncheck())
    assert np.abs(no_mouth - first).mean() > 0.1
    eyes = page.locator("#part-eyes input[type=range]")
    eyes.focus()
    weaker = after_change(page, lambda: [page.keyboard.press("ArrowLeft") for _ in range(8)])
    assert np.abs(weaker - no_mouth).mean() > 0.05


def test_a_style_of_the_gallery_becomes_the_current_one(page: Any, portrait_file: Path) -> None:
    after_change(page, lambda: upload(page, portrait_file))
    page.wait_for_function("document.querySelectorAll('#others img').length == 8", timeout=WAIT)
    urls = page.eval_on_selector_all("#others img", "images => images.map(image => image.src)")
    offered = [pixels(page, url) for url in urls]
    chosen = after_change(page, lambda: page.locator("#others button:has(img)").nth(3).click())
    assert page.locator("#seed input").input_value() == "4"
    # The gallery's pictures are compressed.
    assert np.argmin([np.abs(chosen - picture).mean() for picture in offered]) == 3


def test_a_style_is_copied_and_pasted(page: Any, portrait_file: Path) -> None:
    after_change(page, lambda: upload(page, portrait_file))
    page.get_by_role("button", name="Style as JSON").click()
    chosen = after_change(page, lambda: page.get_by_role("button", name="Another style").click())
    text = page.locator("#style-json textarea").input_value()
    after_change(page, lambda: page.get_by_role("button", name="Another style").click())
    page.get_by_label("Pasted style").check()
    page.locator("#pasted textarea").wait_for()
    again = after_change(page, lambda: page.locator("#pasted textarea").fill(text))
    assert np.abs(again - chosen).mean() < 0.5
    page.locator("#pasted textarea").fill("nonsense")
    page.get_by_text("This is no style; paste what").first.wait_for()


def test_references_are_blended_by_weight(page: Any, portrait_file: Path, tmp_path: Path) -> None:
    after_change(page, lambda: upload(page, portrait_file))
    page.get_by_label("Align the face").uncheck()
    page.get_by_label("Reference picture").check()
    Image.fromarray(255 - data.astronaut()[:256, 90:346]).save(tmp_path / "one.png")
    Image.fromarray(data.coffee()).save(tmp_path / "two.png")
    page.locator("#reference input[type=file]").first.wait_for(state="attached")
    one = after_change(page, lambda: upload(page, tmp_path / "one.png", "#reference"))
    page.get_by_role("button", name="Blend several references").click()
    page.locator("#reference-2 input[type=file]").first.wait_for(state="attached")
    both = after_change(page, lambda: upload(page, tmp_path / "two.png", "#reference-2"))
    assert np.abs(both - one).mean() > 0.5


def test_the_source_comes_back(page: Any, portrait_file: Path) -> None:
    page.get_by_role("button", name="Back to the source").click()
    page.get_by_role("button", name="Reconstruct").click()
    page.get_by_text("There is no source yet").first.wait_for()
    translated = after_change(page, lambda: upload(page, portrait_file))
    page.locator("#home").get_by_label("woman").check()
    page.get_by_role("button", name="Reconstruct").click()
    found = picture(page, "#again")
    assert found.shape == translated.shape and np.abs(found - translated).mean() > 1


def test_each_visitor_picks_a_model(browser: Any, address: str, page: Any, portrait_file: Path, animals: str) -> None:
    after_change(page, lambda: upload(page, portrait_file))
    other = browser.new_page()
    other.goto(address)
    other.get_by_role("button", name="Translate", exact=True).wait_for()

    # The model came after the page was opened.
    page.locator("#model input").click()
    shown = after_change(page, lambda: page.get_by_role("option", name=animals).click())
    assert shown.shape == (64, 64, 3)
    assert page.locator("#domain label").all_inner_texts() == ["cat", "dog"]
    page.get_by_text("This model has no face alignment network").first.wait_for()
    assert page.locator("#masks input").is_disabled()
    page.get_by_role("tab", name="About").click()
    page.get_by_text("64 px, domains cat, dog").wait_for()

    assert other.locator("#domain label").all_inner_texts() == ["man", "orc", "woman"]
    assert after_change(other, lambda: upload(other, portrait_file)).shape == (128, 128, 3)
    other.close()


def test_a_wrong_file_gets_a_sentence_and_the_page_lives_on(page: Any, portrait_file: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "notes.png"
    wrong.write_text("this is no picture")
    upload(page, wrong)
    page.get_by_text("is not a picture that can be read; use PNG, JPEG").wait_for()
    assert "Traceback" not in page.content()
    page.reload()
    assert after_change(page, lambda: upload(page, portrait_file)).std() > 10


def test_a_picture_without_a_face_gets_a_sentence(page: Any, tmp_path: Path) -> None:
    Image.fromarray(data.coffee()).save(tmp_path / "coffee.png")
    upload(page, tmp_path / "coffee.png")
    page.get_by_text("No face was found").wait_for()
    shown = after_change(page, lambda: page.get_by_label("Align the face").uncheck())
    assert shown.shape == (128, 128, 3)


def test_translating_nothing_says_what_to_do(page: Any) -> None:
    page.get_by_role("button", name="Translate", exact=True).click()
    page.get_by_text("There is no source yet; drop a portrait").wait_for()


def test_the_page_fits_a_phone(browser: Any, address: str, portrait_file: Path) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto(address)
    page.get_by_role("button", name="Translate", exact=True).wait_for()
    after_change(page, lambda: upload(page, portrait_file))
    page.wait_for_function("document.querySelectorAll('#others img').length == 8", timeout=WAIT)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()


def test_the_endpoint(address: str, portrait_file: Path) -> None:
    client = Client(address, verbose=False)
    pictures = []
    for domain, seed in (("man", 1), ("woman", 1), ("woman", 2)):
        (before, after), aligned, overlay, words, style = client.predict(
            source=handle_file(str(portrait_file)),
            domain=domain,
            style_from="seed",
            seed=seed,
            psi=1.0,
            reference=None,
            masks=True,
            aligned=True,
            api_name="/translate",
        )
        assert all(Path(p).exists() for p in (before, aligned, overlay)) and " ms" in words
        assert len(json.loads(style)["style"]) == 64
        pictures.append(np.asarray(Image.open(after).convert("RGB"), np.float32))
    assert np.abs(pictures[0] - pictures[1]).mean() > 1 and np.abs(pictures[1] - pictures[2]).mean() > 1
    with pytest.raises(Exception, match="not in the list of choices|there is no model"):
        client.predict(
            source=handle_file(str(portrait_file)), domain="man", style_from="seed", seed=0, psi=1.0, reference=None, masks=True,
            aligned=True, model=str(places.weights() / "fan-68" / "fan.safetensors"), api_name="/translate",
        )  # fmt: skip
    with pytest.raises(Exception, match="there is no domain 'cat'|not in the list of choices"):
        client.predict(
            source=handle_file(str(portrait_file)),
            domain="cat",
            style_from="seed",
            seed=0,
            psi=1.0,
            reference=None,
            masks=True,
            aligned=True,
            api_name="/translate",
        )


def test_the_page_opens_with_a_bundled_model() -> None:
    assert zoo.DEFAULT in zoo.available()

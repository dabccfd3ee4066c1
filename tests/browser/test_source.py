"""The source above the tabs: from a file, the clipboard, a camera or the examples."""

from __future__ import annotations

import base64
import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Error
from served import RESULT, SIDE, after, pixels, ready, settled, source, to_tab, upload
from skimage import data

from stargan.ui.source import EXAMPLES

BEFORE = "#result .before img"


def test_an_example_or_a_file_is_the_source_of_all_tabs(page: Any, portrait_file: Path) -> None:
    first = settled(page)
    shown = after(page, lambda: page.locator("#examples .tiles button").nth(1).click())
    assert np.abs(shown - first).mean() > 1
    marked = page.locator("#examples .tiles button[aria-pressed=true]")
    assert marked.count() == 1
    assert page.locator("#examples .tiles button").nth(1).get_attribute("aria-pressed") == "true"
    aligned = after(page, lambda: upload(page, portrait_file))
    marked.wait_for(state="detached")
    own = pixels(page, source(page, BEFORE))
    to_tab(page, "Grid")
    page.get_by_role("button", name="Make grid").click()
    page.get_by_text("1 of 1 sources").wait_for(timeout=90_000)
    sheet = pixels(page, source(page, "#grid-result img"))
    assert sheet.shape == (2 * SIDE, 6 * SIDE, 3)
    assert np.abs(sheet[SIDE:, :SIDE] - own).mean() < 4  # the viewer's is compressed
    # Its alignment can be switched off.
    to_tab(page, "Translate")
    square = after(page, lambda: page.get_by_label("Align the face").uncheck())
    assert np.abs(square - aligned).mean() > 5
    whole = np.asarray(Image.fromarray(data.astronaut()).resize((SIDE, SIDE), Image.Resampling.LANCZOS), np.float32)
    assert np.abs(pixels(page, source(page, BEFORE)) - whole).mean() < 8  # the upload and the viewer's are compressed


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
    pasted = after(page, lambda: page.locator("#source").get_by_label("Paste from clipboard").click(), BEFORE)
    page.reload()
    settled(page, BEFORE)
    assert np.abs(after(page, lambda: upload(page, portrait_file), BEFORE) - pasted).mean() < 1


def test_a_portrait_from_the_webcam(filmed: Any, address: str) -> None:
    page = ready(filmed, address)
    box = page.locator("#source")
    box.get_by_label("Clear").or_(box.get_by_label("Remove")).first.click()
    page.get_by_text("Drop a portrait above").wait_for()
    box.get_by_label("Capture from camera").click()
    box.get_by_text("Click to Access Webcam").click()
    box.get_by_label("capture photo").wait_for()
    page.wait_for_function("document.querySelector('#source video')?.videoWidth == 640")
    assert after(page, lambda: box.get_by_label("capture photo").click()).shape == (SIDE, SIDE, 3)
    assert "No face" not in page.locator("#source-note").inner_text()
    page.close()


def test_after_a_refused_upload_nothing_is_left_of_the_last_person(page: Any, portrait_file: Path, tmp_path: Path) -> None:
    after(page, lambda: upload(page, portrait_file))
    (tmp_path / "notes.png").write_text("this is no picture")
    upload(page, tmp_path / "notes.png")
    page.locator("#status").get_by_text("is not a picture that can be read; use PNG, JPEG").wait_for()
    assert not page.locator(RESULT).is_visible() and not page.locator(BEFORE).is_visible()
    for end in "ab":
        page.locator(f"#offered-{end} .tiles").wait_for(state="hidden")
    assert " ms" not in page.locator("#status").inner_text() and "Traceback" not in page.content()
    coffee = Image.fromarray(data.coffee())
    coffee.save(tmp_path / "coffee.png")
    upload(page, tmp_path / "coffee.png")
    page.locator("#status").get_by_text("No face was found").wait_for()
    # A picture without a face is shown as it was looked at, one that browsers cannot show, too.
    coffee.resize((480, 320)).save(tmp_path / "coffee.tiff")
    upload(page, tmp_path / "coffee.tiff")
    for place in ("#status", "#source-note"):
        page.locator(place).get_by_text("No face was found").wait_for()
    page.wait_for_function("(i => i && i.naturalWidth == 480)(document.querySelector('#source img'))", timeout=60_000)
    assert not page.locator(RESULT).is_visible()
    shown = after(page, lambda: page.get_by_label("Align the face").uncheck())
    assert shown.shape == (SIDE, SIDE, 3)


def test_nothing_of_either_person_stays_after_a_refused_picture(page: Any, portrait_file: Path, tmp_path: Path) -> None:
    after(page, lambda: upload(page, portrait_file))
    for name in ("Back in the photograph", "The way from A to B", "What is kept", "Style as JSON", "Back to the source"):
        page.get_by_role("button", name=name).click()
    page.get_by_role("button", name="Reconstruct").click()
    made = ("#whole img[src]", "#strip img[src]", "#again img[src]", "#kept img[src]")
    for box in made:
        page.locator(box).first.wait_for(state="attached")  # those further down are loaded when they come into view
    assert "style" in page.locator("#style-json textarea").input_value()
    Image.new("RGB", (400, 300), "black").save(tmp_path / "black.png")
    upload(page, tmp_path / "black.png")
    page.locator("#status").get_by_text("No face was found").wait_for()
    for box in (*made, f"{RESULT}[src]", f"{BEFORE}[src]", "#offered-a .tiles button", "#offered-b .tiles button"):
        page.locator(box).first.wait_for(state="detached")
    page.wait_for_function("document.querySelector('#style-json textarea')?.value == ''")
    # What was looked at is the only picture, beside the examples and Gradio's own signs.
    shown = "all => all.filter(i => !i.closest('#examples') && !i.src.startsWith('data:image/svg')).map(i => i.src)"
    addresses = page.locator("img:visible").evaluate_all(shown)
    assert len(addresses) == 1 and pixels(page, addresses[0]).max() == 0
    # A picture that can be used brings its own.
    after(page, lambda: upload(page, portrait_file))
    for box in made[:2] + made[3:]:
        page.locator(box).first.wait_for(state="attached")
    assert not page.locator(made[2]).count()


def test_a_reconstruction_that_is_asked_for_at_once_stays(page: Any, portrait_file: Path) -> None:
    after(page, lambda: upload(page, portrait_file))
    page.get_by_role("button", name="Back to the source").click()
    page.locator("#position input[type=range]").fill("0.3")
    page.get_by_role("button", name="Reconstruct").click()
    page.locator("#again img[src]").first.wait_for(state="attached")
    settled(page)
    assert page.locator("#again img[src]").count()
    after(page, lambda: page.locator("#position input[type=range]").fill("0.6"))
    page.locator("#again img[src]").first.wait_for(state="detached")


def test_alignment_stands_off_where_the_model_knows_no_faces(page: Any, animals: str, tmp_path: Path) -> None:
    settled(page)
    switch = page.get_by_label("Align the face")
    Image.fromarray(data.chelsea()).save(tmp_path / "cat.png")

    def choose(model: str) -> None:
        page.locator("#model input").click()
        page.get_by_role("option", name=model, exact=True).click()

    first = page.locator("#model input").input_value()
    choose(animals)
    page.locator("#align").get_by_text("This model knows no faces").wait_for()
    page.wait_for_function("!document.querySelector('#align input').checked")
    assert after(page, lambda: upload(page, tmp_path / "cat.png")).shape == (64, 64, 3)
    # It can be switched on all the same, and an example leaves it as the model has it.
    switch.check()
    page.locator("#status").get_by_text("No face was found").wait_for()
    page.locator("#examples .tiles button").nth(1).click()
    page.wait_for_function("!document.querySelector('#align input').checked")
    choose(first)
    page.locator("#align").get_by_text("central square is used as it is").wait_for()
    page.wait_for_function("document.querySelector('#align input').checked")
    # Who has switched it off finds it off after having looked at the other model.
    after(page, switch.uncheck)
    choose(animals)
    page.locator("#align").get_by_text("This model knows no faces").wait_for()
    choose(first)
    page.locator("#align").get_by_text("central square is used as it is").wait_for()
    assert not switch.is_checked()


def test_one_of_several_faces_is_chosen(page: Any, tmp_path: Path) -> None:
    both = Image.new("RGB", (1024, 512))
    both.paste(Image.fromarray(data.astronaut()), (0, 0))
    both.paste(Image.open(sorted(EXAMPLES.glob("*.webp"))[1]).resize((512, 512)), (512, 0))
    both.save(tmp_path / "both.jpg")
    first = after(page, lambda: upload(page, tmp_path / "both.jpg"), BEFORE)
    faces = page.locator("#faces .tiles button")
    faces.nth(1).wait_for()
    assert faces.count() == 2
    chosen = [tile.get_attribute("aria-pressed") for tile in faces.all()].index("true")
    second = after(page, lambda: faces.nth(1 - chosen).click(), BEFORE)
    assert np.abs(first - second).mean() > 5
    # The translation goes back into the photograph, where the other face stays as it was.
    page.get_by_role("button", name="Back in the photograph").click()
    whole = settled(page, "#whole img")
    own = np.asarray(both.resize(whole.shape[1::-1]), np.float32)
    middle = whole.shape[1] // 2
    changed = [np.abs(whole - own)[:, part].mean() for part in (slice(0, middle), slice(middle, None))]
    assert changed[1 - chosen] > 1.5 * changed[chosen]  # which differs as it is compressed


def dropped(page: Any, path: Path, place: str) -> None:
    """A file from the system, let go of over a place; not as scripts do it, whose files stay when the event has gone."""
    box, session = page.locator(place).first.bounding_box(), page.context.new_cdp_session(page)
    at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    for kind in ("dragEnter", "dragOver", "drop"):
        dragged = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        session.send("Input.dispatchDragEvent", {"type": kind, "data": dragged, **at})


def test_what_is_dropped_is_taken_by_a_box_with_a_picture_too_and_by_nothing_else(page: Any, portrait_file: Path) -> None:
    pages = len(page.context.pages)
    after(page, lambda: dropped(page, portrait_file, "#source img"))
    dropped(page, portrait_file, "#heading")
    page.wait_for_timeout(300)
    assert len(page.context.pages) == pages and page.locator(RESULT).is_visible()


def test_what_was_chosen_last_is_the_source_while_an_upload_is_on_its_way(page: Any, portrait_file: Path, tmp_path: Path) -> None:
    late = tmp_path / "late.png"
    Image.fromarray(data.astronaut()[:300]).save(late)
    held: list[Any] = []
    page.route("**/gradio_api/upload?*", lambda route: held.append(route))
    upload(page, late)
    example = page.locator("#examples .tiles button").nth(1)
    after(page, example.click)
    upload(page, late)
    page.locator("#source").get_by_text("Uploading").wait_for()
    page.unroute("**/gradio_api/upload?*")
    after(page, lambda: upload(page, portrait_file))
    for one in held:
        with contextlib.suppress(Error):  # the browser has let go of it
            one.continue_()
    settled(page)
    assert len(held) == 2 and "late" not in source(page, "#source img")

"""Boxes for pictures, of the source and of references: of what is no picture nothing stays, what browsers cannot show is shown, and
nothing goes on without end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image
from served import RESULT, after, quiet, settled, upload
from skimage import data

from stargan.ui.source import EXAMPLES


def broken(folder: Path) -> dict[Path, str]:
    """Files that are no pictures, with what is said of them."""
    (folder / "letter.jpg").write_text("Dear all, this is no picture.")
    Image.fromarray(data.astronaut()).save(folder / "whole.png")
    (folder / "cut.png").write_bytes((folder / "whole.png").read_bytes()[:20_000])
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    said = {
        "letter.jpg": "This file is not a picture",
        "cut.png": "This file is broken or cut off",
        "dot.png": "The picture is 1 x 1 px",
    }
    return {folder / name: sentence for name, sentence in said.items()}


def empty(page: Any, box: str) -> None:
    """Waits until a box has no picture, as it does not have one when a page without examples opens."""
    page.locator(f"{box} img").wait_for(state="detached")
    page.locator(f"{box} input[type=file]").first.wait_for(state="attached")


def test_nothing_of_what_is_no_picture_stays_in_the_source(page: Any, portrait_file: Path, tmp_path: Path) -> None:
    for path, sentence in broken(tmp_path).items():
        after(page, lambda: upload(page, portrait_file))
        for _ in range(2):  # the same file once more is no other case
            upload(page, path)
            page.locator("#source-note").get_by_text(sentence).wait_for()
            empty(page, "#source")
            page.locator("#status").get_by_text(sentence).wait_for()
        assert not page.locator(RESULT).is_visible()
        # It is said for as long as the box is empty, and whoever goes on is told why there is nothing.
        assert quiet(page, 2)
        for place in ("#source-note", "#status"):
            assert sentence in page.locator(place).inner_text()
        page.get_by_role("button", name="Download PNG").click()
        page.locator(".toast-body").get_by_text(sentence).first.wait_for()
    after(page, lambda: upload(page, portrait_file))
    assert page.locator("#source-note").inner_text().strip() == ""
    assert quiet(page, 4)


def test_nothing_of_what_is_no_picture_stays_in_a_reference(page: Any, tmp_path: Path) -> None:
    settled(page)
    reference = sorted(EXAMPLES.glob("*.webp"))[1]
    for end in "bc":
        if end == "c":
            page.get_by_role("button", name="Square of four styles").click()
            page.locator("#square .point").focus()
            for _ in range(8):
                page.keyboard.press("ArrowDown")
        page.locator(f"#kind-{end}").get_by_label("Reference").check()
        box = f"#reference-{end}"
        for path, sentence in broken(tmp_path).items():
            after(page, lambda box=box: upload(page, reference, box))
            upload(page, path, box)
            page.locator("#status").get_by_text(sentence).wait_for()
            empty(page, box)
            assert quiet(page, 2)
            assert sentence in page.locator("#status").inner_text() and not page.locator(RESULT).is_visible()
        after(page, lambda box=box: upload(page, reference, box))
        assert quiet(page, 4)


def test_what_browsers_cannot_show_is_shown_in_every_box(page: Any, tmp_path: Path) -> None:
    settled(page)
    face = Image.fromarray(data.astronaut())
    sides = {"portrait.tiff": 512, "IMG_1.HEIC": 500, "heic.jpg": 480}  # px, by which they are known
    for name, side in sides.items():
        face.resize((side, side)).save(tmp_path / name, "TIFF" if name.endswith("tiff") else "HEIF")
    for box in ("#source", "#reference-a"):
        if box != "#source":
            page.locator("#kind-a").get_by_label("Reference").check()
        for name, side in sides.items():
            after(page, lambda box=box, name=name: upload(page, tmp_path / name, box))
            shown = "([box, side]) => document.querySelector(`${box} img`)?.naturalWidth == side"
            page.wait_for_function(shown, arg=[box, side], timeout=60_000)
    assert quiet(page, 4)

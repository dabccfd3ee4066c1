"""The Grid tab."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from served import SIDE, WAIT, settled, to_tab
from skimage import data


def clear(page: Any) -> None:
    """Takes the example away that the page opens with."""
    box = page.locator("#source")
    box.get_by_label("Clear").or_(box.get_by_label("Remove")).first.click()
    page.get_by_text("Drop a portrait above").wait_for()


def test_a_grid_of_sources_and_styles(page: Any, portrait_file: Path, tmp_path: Path) -> None:
    Image.fromarray(data.coffee()).save(tmp_path / "coffee.png")
    clear(page)
    to_tab(page, "Grid")
    page.get_by_role("button", name="Make grid").click()
    page.get_by_text("There are 0 sources; give 1 to 8").wait_for()
    files = [str(portrait_file), str(tmp_path / "coffee.png")]
    page.locator("#grid-sources input[type=file]").first.set_input_files(files)
    page.locator("#grid-sources").get_by_text("coffee").first.wait_for()
    page.get_by_role("button", name="Make grid").click()
    page.get_by_text("Source 2 was left out: no face was found").wait_for(timeout=WAIT)
    sheet = settled(page, "#grid-result img")
    assert sheet.shape == (2 * SIDE, 6 * SIDE, 3)
    cells = [sheet[SIDE:, SIDE * i : SIDE * (i + 1)] for i in range(1, 6)]
    assert all(np.abs(a - b).mean() > 1 for i, a in enumerate(cells) for b in cells[:i]), "two styles look alike"


def test_a_grid_of_references(page: Any, portrait_file: Path, tmp_path: Path) -> None:
    picture = ImageOps.mirror(Image.open(portrait_file))
    references = [tmp_path / "flipped (1).png", tmp_path / "yellow.png"]
    picture.save(references[0])
    Image.fromarray(np.asarray(picture) // np.array([1, 1, 3], np.uint8)).save(references[1])
    clear(page)
    to_tab(page, "Grid")
    page.locator("#grid-domain").get_by_label("orc").check()
    page.get_by_role("radio", name="Reference pictures").check()
    page.get_by_role("button", name="Make grid").wait_for()
    page.locator("#grid-sources input[type=file]").first.set_input_files(str(portrait_file))
    page.locator("#grid-sources").get_by_text("Grüße").first.wait_for()
    page.locator("#grid-references input[type=file]").first.set_input_files([str(path) for path in references])
    page.locator("#grid-references").get_by_text("yellow").first.wait_for()
    page.get_by_role("button", name="Make grid").click()
    page.get_by_text("1 of 1 sources").wait_for(timeout=WAIT)
    sheet = settled(page, "#grid-result img")
    assert sheet.shape == (2 * SIDE, 3 * SIDE, 3)
    first, second = (sheet[:, SIDE * i : SIDE * (i + 1)] for i in (1, 2))
    assert first[:SIDE, :, 2].mean() > 2 * second[:SIDE, :, 2].mean(), "the references stand above their columns"
    assert np.abs(first[SIDE:] - second[SIDE:]).mean() > 1, "the reference does not matter"


def test_it_is_said_what_a_grid_lacks(page: Any, portrait_file: Path, tmp_path: Path) -> None:
    Image.fromarray(data.coffee()).save(tmp_path / "coffee.png")
    to_tab(page, "Grid")
    page.get_by_label("First seed").fill("")
    page.get_by_role("button", name="Make grid").click()
    page.get_by_text("There is no first seed yet; give a whole number").wait_for()
    page.get_by_role("radio", name="Reference pictures").check()
    page.locator("#grid-references input[type=file]").first.set_input_files([str(portrait_file), str(tmp_path / "coffee.png")])
    page.locator("#grid-references").get_by_text("coffee").first.wait_for()
    page.get_by_role("button", name="Make grid").click()
    page.get_by_text("Reference 2 cannot be used: no face was found").wait_for(timeout=WAIT)


def test_a_grid_can_be_cancelled(page: Any, portrait_file: Path, tmp_path: Path) -> None:
    clear(page)
    to_tab(page, "Grid")
    picture = Image.open(portrait_file)
    for i in range(8):
        picture.crop((i, i, 512, 512)).save(tmp_path / f"{i}.png")
    page.locator("#grid-sources input[type=file]").first.set_input_files([str(tmp_path / f"{i}.png") for i in range(8)])
    page.locator("#grid-sources").get_by_text("7").first.wait_for()
    page.get_by_role("button", name="Make grid").click()
    page.get_by_text(re.compile("[1-7] of 8 sources")).wait_for()
    cancel = page.get_by_role("button", name="Cancel")
    cancel.click()
    page.get_by_text("Cancelled.").wait_for()
    page.locator("#cancel-grid:disabled").wait_for()
    page.wait_for_timeout(1500)  # for a row that was under way
    done = page.locator("#grid-status").inner_text()
    page.wait_for_timeout(1500)
    assert page.locator("#grid-status").inner_text() == done != "8 of 8 sources"
    page.get_by_role("button", name="Make grid").click()
    page.get_by_text("Cancelled.").wait_for(state="hidden")
    assert cancel.is_enabled()
    page.get_by_text("8 of 8 sources").wait_for()
    page.locator("#cancel-grid:disabled").wait_for()

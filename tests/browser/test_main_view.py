"""The Translate tab: the source between two styles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from gradio_client import handle_file
from PIL import Image
from served import MODEL, RESULT, SIDE, after, pixels, program, quiet, ready, settled, source, to_tab, upload
from skimage import data

from stargan import zoo
from stargan.ui.source import EXAMPLES

# The id of what has the focus, or of what it is part of.
NAMED = "(e => e.closest('[id]:not([id^=range_]):not(input):not([id^=html-])')?.id ?? '')(document.activeElement)"
FIRST = min(EXAMPLES.glob("*.webp"))


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).mean())


def test_the_first_visit_shows_an_example_that_follows_the_slider(page: Any, address: str) -> None:
    shown = page.request.get(address).text()
    assert source(page)[:400] in shown, "the first picture came later than the page"
    made, original = pixels(page, source(page)), pixels(page, source(page, "#result .before img"))
    assert made.std() > 10 and difference(made, original) > 5
    for end in "ab":
        assert page.locator(f"#offered-{end} .tiles img").count() == 8
    assert 6 <= page.locator("#examples .tiles button").count() <= 10
    # It follows the slider, of which the last position wins.
    slider = page.locator("#position input[type=range]")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    for share in (0.4, 0.3, 0.2):
        before = source(page)
        page.mouse.move(box["x"] + box["width"] * share, middle, steps=4)
        page.wait_for_function("before => (document.querySelector('#result .after img')?.src ?? before) != before", arg=before)
    page.mouse.move(box["x"] - 20, middle, steps=10)
    page.mouse.up()
    assert slider.input_value() == "0"
    last = settled(page)
    client = program(address)
    pictures, *_ = client.predict(source=handle_file(str(FIRST)), seed=1, api_name="/translate")
    assert difference(last, np.asarray(Image.open(pictures[1]), np.float32)) < 4  # the page's is compressed


def test_styles_are_chosen_from_the_row_and_dragged_to_the_other(page: Any) -> None:
    after(page, lambda: page.locator("#offered-b .tiles button").nth(4).click())
    assert page.locator("#seed-b input").input_value() == "5"
    page.locator("#offered-a .tiles button").nth(6).drag_to(page.locator("#offered-b .tile-row"))
    page.wait_for_function("document.querySelector('#seed-b input')?.value == '7'")
    page.wait_for_function("document.querySelector('#offered-b .tiles button[aria-pressed=true]')?.title.endsWith('seed 7')")
    page.get_by_role("button", name="Next style B").click()
    page.wait_for_function("document.querySelector('#offered-b .tiles button[aria-pressed=true]')?.title.endsWith('seed 8')")
    old = source(page, "#offered-b .tiles img")
    page.get_by_role("button", name="Other styles for B").click()
    page.wait_for_function("old => (document.querySelector('#offered-b .tiles img')?.src ?? old) != old", arg=old, timeout=60_000)


def test_domains_seeds_strength_masks_and_parts(page: Any) -> None:
    first = settled(page)
    page.locator("#position input[type=number]").fill("0")
    page.keyboard.press("Tab")
    at_a = settled(page)
    assert difference(first, at_a) > 0.5
    orc = after(page, lambda: page.locator("#domain-a").get_by_label("orc").check())
    assert difference(orc, at_a) > 3
    following = after(page, lambda: page.get_by_role("button", name="Next style A").click())
    assert difference(following, orc) > 1 and page.locator("#seed-a input").input_value() == "2"
    slider = page.locator("#strength input[type=range]")
    slider.focus()
    milder = after(page, lambda: [page.keyboard.press("ArrowLeft") for _ in range(10)])
    assert difference(milder, following) > 0.2
    page.get_by_role("button", name="Parts of the face").click()
    no_mouth = after(page, lambda: page.get_by_label("Keep mouth").uncheck())
    assert difference(no_mouth, milder) > 0.05
    unmasked = after(page, lambda: page.get_by_label("Keep the face (FAN masks)").uncheck())
    assert difference(unmasked, no_mouth) > 0.2


def test_the_model_that_pages_open_with(page: Any) -> None:
    assert not page.locator("#likeness").is_visible()
    page.locator("#model input").click()
    side = zoo.load(zoo.DEFAULT).config.image_size
    first = after(page, lambda: page.get_by_role("option", name=zoo.DEFAULT, exact=True).click())
    assert first.shape == (side, side, 3)
    # It lets one choose how much of the person is kept, and shows the person more than its style.
    slider = page.locator("#likeness input[type=range]")
    assert slider.input_value() == "1"
    slider.focus()
    freer = after(page, lambda: page.keyboard.press("Home"))
    own = pixels(page, source(page, "#result .before img"))
    assert difference(freer, first) > 1 and difference(first, own) < difference(freer, own)


def test_a_point_in_the_square_of_four_styles(page: Any, address: str) -> None:
    page.get_by_role("button", name="Square of four styles").click()
    pad = page.locator("#square .pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()

    def drag() -> None:
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(box["x"] - 20, box["y"] + box["height"] + 20, steps=8)
        page.mouse.up()

    at_c = after(page, drag)
    assert page.locator("#position input[type=range]").input_value() == "0"
    client = program(address)
    pictures, *_ = client.predict(source=handle_file(str(FIRST)), seed=3, api_name="/translate")
    assert difference(at_c, np.asarray(Image.open(pictures[1]), np.float32)) < 4
    page.locator("#position input[type=number]").fill("0.25")
    page.keyboard.press("Tab")
    page.wait_for_function("document.querySelector('.point').style.left == '25%'")
    page.locator("#square .point").focus()
    moved = after(page, lambda: [page.keyboard.press("ArrowUp") for _ in range(10)])
    assert difference(moved, at_c) > 0.3


def test_a_keyboard_is_enough(page: Any) -> None:
    page.get_by_role("tab", name="Translate").focus()
    reached: list[str] = []
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(NAMED))
        if reached[-1] == "seed-b":
            break
    assert {"domain-a", "offered-a", "seed-a", "next-a", "result", "position", "strength", "masks", "domain-b", "seed-b"} <= set(
        reached
    ), reached
    page.locator("#position input[type=range]").focus()
    after(page, lambda: page.keyboard.press("ArrowLeft"))
    after(page, lambda: page.keyboard.press("Enter"))
    assert page.locator("#seed-a input").input_value() == "2", "Enter takes the next style of the nearer end"
    page.locator("#offered-b .tiles button").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    after(page, lambda: page.keyboard.press("Enter"))
    seed = page.locator("#seed-b input")
    assert seed.input_value() == "3"
    # The picture may be there before Enter is pressed.
    after(page, lambda: (seed.fill("42"), page.keyboard.press("Enter")))
    assert seed.input_value() == "42", "what is typed stays"


def heard(page: Any, words: str) -> bool:
    """Whether a reader of screens is told this within some seconds."""
    session = page.context.new_cdp_session(page)
    for _ in range(20):
        nodes = {node["nodeId"]: node for node in session.send("Accessibility.getFullAXTree")["nodes"]}
        found = [node for node in nodes.values() if node.get("name", {}).get("value", "").startswith(words)]
        while found:
            if any(node.get("role", {}).get("value") == "status" for node in found):
                return True
            found = [nodes[node["parentId"]] for node in found if node.get("parentId") in nodes]
        page.wait_for_timeout(500)
    return False


def test_who_hears_the_page_is_told_what_it_says_and_what_belongs_together(page: Any, tmp_path: Path) -> None:
    Image.new("RGB", (200, 200), "green").save(tmp_path / "nobody.png")
    page.get_by_role("group", name="Domain of style A").get_by_role("radio", name="man", exact=True).wait_for()
    page.get_by_role("button", name="Link to this style", expanded=False).click()
    page.get_by_role("button", name="Link to this style", expanded=True).wait_for()
    page.get_by_role("textbox", name="Link", exact=True).wait_for()
    upload(page, tmp_path / "nobody.png")
    assert heard(page, "No face was found")
    page.locator("#examples .tiles button").nth(1).click()
    assert heard(page, "The picture is there")


def test_a_style_from_a_reference(page: Any, tmp_path: Path) -> None:
    first = after(page, lambda: page.get_by_label("Align the face").uncheck())
    page.locator("#kind-b").get_by_label("Reference").check()
    Image.fromarray(255 - data.astronaut()[:256, 90:346]).save(tmp_path / "reference (1).png")
    page.get_by_text("Drop a reference for style B.").wait_for()
    assert difference(settled(page), first) == 0, "meanwhile the picture stays"
    page.locator("#examples .tiles button").nth(1).click()
    page.locator(RESULT).wait_for(state="hidden")
    assert page.get_by_text("Drop a reference for style B.").is_visible(), "but not beside another person's source"
    page.locator("#examples .tiles button").nth(0).click()
    quiet(page, 0.3)  # examples are aligned
    page.get_by_label("Align the face").uncheck()
    page.locator("#reference-b input[type=file]").first.wait_for(state="attached")
    upload(page, tmp_path / "reference (1).png", "#reference-b")
    page.locator(RESULT).wait_for()
    by_reference = settled(page)
    assert difference(by_reference, first) > 1
    # While a number is typed anew, its box is empty.
    strength = page.locator("#strength input[type=number]")
    strength.fill("")
    assert difference(settled(page), by_reference) < 1 and "Error" not in page.locator("#status").inner_text()


def test_a_style_is_copied_and_pasted_where_it_belongs(page: Any, animals: str) -> None:
    page.locator("#position input[type=number]").fill("1")
    page.keyboard.press("Tab")
    chosen = settled(page)
    page.get_by_role("button", name="Style as JSON").click()
    page.wait_for_function("document.querySelector('#style-json textarea')?.value.includes('woman')")
    text = page.locator("#style-json textarea").input_value()
    assert json.loads(text)["domain"] == "woman"
    after(page, lambda: page.get_by_role("button", name="Next style B").click())
    page.locator("#kind-b").get_by_label("Pasted").check()
    again = after(page, lambda: page.locator("#pasted-b textarea").fill(text))
    assert difference(again, chosen) < 2.5  # both are compressed
    page.locator("#domain-b").get_by_label("orc").check()
    page.get_by_text("This style is one of the domain 'woman', not of 'orc'").wait_for()
    assert not page.locator(RESULT).is_visible()
    page.locator("#pasted-b textarea").fill(text.replace('"woman"', '"orc"').replace(MODEL, "other"))
    page.get_by_text("This style is one of the model 'other").wait_for()
    page.locator("#pasted-b textarea").fill("nonsense")
    page.get_by_text("This is no style; paste what").wait_for()


def test_the_source_comes_back_and_the_way_is_a_strip_and_a_video(page: Any, tmp_path: Path) -> None:
    made = settled(page)
    page.get_by_role("button", name="Back to the source").click()
    page.locator("#home").get_by_label("woman").check()
    page.get_by_role("button", name="Reconstruct").click()
    found = pixels(page, source(page, "#again img"))
    assert found.shape == made.shape and difference(found, made) > 1
    page.get_by_role("button", name="The way from A to B").click()
    strip = pixels(page, source(page, "#strip img"))
    assert strip.shape == (SIDE, 9 * SIDE, 3)
    assert difference(strip[:, :SIDE], strip[:, -SIDE:]) > 3
    page.get_by_label("Further seeds on the way").fill("orc:5, 9")
    page.get_by_label("Return to A in the end").check()
    page.get_by_role("button", name="Make video").click()
    player = page.locator("#movie video")
    player.wait_for(state="attached", timeout=90_000)
    (tmp_path / "out.mp4").write_bytes(page.request.get(player.get_attribute("src")).body())
    import av

    with av.open(str(tmp_path / "out.mp4")) as file:
        assert sum(1 for _ in file.decode(video=0)) == 4 * 25
    page.get_by_label("Further seeds on the way").fill("seven")
    page.get_by_role("button", name="Make video").click()
    page.get_by_text("'seven' is no seed").wait_for()


def test_another_model_keeps_the_source_and_has_its_own_domains(page: Any, address: str, animals: str) -> None:
    page.locator("#examples .tiles button").nth(3).click()
    page.locator("#source img").first.wait_for()
    settled(page)
    page.locator("#masks input").uncheck()
    other = ready(page.context, address)
    page.bring_to_front()
    # The model came after the page was opened.
    page.locator("#model input").click()
    shown = after(page, lambda: page.get_by_role("option", name=animals).click())
    assert shown.shape == (64, 64, 3)
    for end in "ab":
        assert page.locator(f"#domain-{end} label").all_inner_texts() == ["cat", "dog"]
    page.get_by_text("This model has no face alignment network").first.wait_for()
    assert page.locator("#masks input").is_disabled()
    assert "Error" not in page.locator("body").inner_text() and "not in the list" not in page.content()
    page.wait_for_function("document.querySelector('#offered-a .tiles button').title.startsWith('dog')")
    page.get_by_role("tab", name="About").click()
    page.get_by_text("64 px, domains cat, dog").wait_for()
    page.locator("#model input").click()
    page.get_by_role("option", name=MODEL).click()
    to_tab(page, "Translate")
    page.wait_for_function("!document.querySelector('#masks input').disabled")
    settled(page)
    assert not page.locator("#masks input").is_checked(), "it is as it was left"
    assert other.locator("#domain-a label").all_inner_texts() == ["man", "orc", "woman"]
    other.close()

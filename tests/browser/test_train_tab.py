"""The Train tab, used as a person does: an archive in, a model for the other tabs out."""

from __future__ import annotations

import io
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from material import portrait
from served import after, ready, to_tab

from stargan import zoo
from stargan.files import places
from train.run.runner import Runner

LONG = 180_000


@pytest.fixture
def name() -> Iterator[str]:
    """Of a run, which is removed afterwards. The page trains one at a time, whoever started it."""
    if busy := Runner(places.runs(), places.ROOT / "data").busy():
        pytest.skip(f"{busy} is being trained here")
    name = f"page-{os.getpid()}"
    yield name
    shutil.rmtree(places.runs() / name, ignore_errors=True)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "my pictures (1).zip"
    with zipfile.ZipFile(path, "w") as file:
        for d, domain in enumerate(("cold", "warm")):
            for i in range(6):
                content = io.BytesIO()
                portrait(10 * d + i).save(content, "JPEG")
                file.writestr(f"{domain}/{i}.jpg", content.getvalue())
    return path


def upload(page: Any, path: Path) -> None:
    page.get_by_label("Zip file").check()
    page.locator("#train-zip input[type=file]").set_input_files(str(path))
    page.locator("#train-zip").get_by_text(path.stem).first.wait_for()


def test_what_cannot_be_trained_is_said(page: Any, tmp_path: Path, archive: Path, name: str) -> None:
    to_tab(page, "Train")
    page.get_by_role("button", name="Start training").click()
    page.get_by_text("There is no prepared folder yet").wait_for()
    page.get_by_label("Zip file").check()
    page.get_by_role("button", name="Start training").click()
    page.get_by_text("There is no zip file yet").wait_for()
    upload(page, archive)
    page.get_by_role("button", name="Start training").click()
    page.get_by_text("The new model has no name yet").wait_for()
    page.get_by_label("Name of the new model").fill("../evil")
    page.get_by_role("button", name="Start training").click()
    page.get_by_text("'../evil' cannot be a run's name").wait_for()
    page.get_by_label("Name of the new model").fill(zoo.DEFAULT)
    page.get_by_role("button", name="Start training").click()
    page.get_by_text("is another model's name").wait_for()
    with zipfile.ZipFile(tmp_path / "hostile.zip", "w") as file:
        file.writestr("../../cold/1.jpg", b"no picture")
    page.get_by_label("Name of the new model").fill(name)
    page.locator("#train-zip").get_by_label("Clear").or_(page.locator("#train-zip").get_by_label("Remove")).first.click()
    upload(page, tmp_path / "hostile.zip")
    page.get_by_role("button", name="Start training").click()
    page.get_by_text("leads out of hostile.zip").wait_for()
    assert not (places.runs() / name).exists()


def test_a_model_is_trained_stopped_continued_and_used(
    page: Any, address: str, portrait_file: Path, archive: Path, name: str, animals: str
) -> None:
    to_tab(page, "Train")
    page.get_by_label("Name of the new model").fill(name)
    upload(page, archive)
    page.locator("#train-align input").uncheck()
    page.locator("#train-from input").click()
    page.get_by_role("option", name="Nothing").click()
    page.get_by_label("64", exact=True).check()
    page.get_by_label("Face masks").uncheck()
    page.locator("#train-from input").click()
    page.get_by_role("option", name=animals).click()
    page.get_by_label("Face masks").wait_for(state="hidden")  # which the model decides on
    page.get_by_label("Iterations").fill("100000")
    page.get_by_label("Batch").fill("2")
    page.get_by_label("Save every").fill("2")
    page.get_by_role("button", name="Start training").click()
    page.get_by_text("taken for a folder for each domain: cold (6), warm (6): 12 pictures").wait_for(timeout=LONG)
    page.get_by_text(f"{name}: running").wait_for(timeout=LONG)
    page.locator("#train-sheet img").first.wait_for(timeout=LONG)
    page.locator("#train-plot canvas, #train-plot svg.marks").first.wait_for(timeout=LONG)
    page.get_by_text("to go").wait_for(timeout=LONG)

    page.get_by_role("button", name="Start training").click()
    page.get_by_text("There is a run").wait_for()
    other = ready(page.context, address)  # whoever comes now sees it, too
    to_tab(other, "Train")
    other.get_by_text(f"{name}: running").wait_for()
    other.close()
    page.get_by_role("button", name="Stop (saves)").click()
    page.get_by_text(f"{name}: stopped; it can be continued").wait_for(timeout=LONG)
    page.get_by_text(f"python -m stargan push {name} USER/{name}").wait_for()
    saved = max((places.runs() / name).glob("checkpoint-*.pt"))
    done = int(saved.stem.split("-")[1])

    page.get_by_label("Iterations").fill(str(done))
    page.get_by_role("button", name="Continue").click()
    page.get_by_text(f"has {done} iterations already").wait_for()
    page.get_by_label("Iterations").fill(str(done + 2))
    page.get_by_role("button", name="Continue").click()
    page.get_by_text(f"{name}: done").wait_for(timeout=LONG)
    page.get_by_text(f"iteration {done + 2:,} of {done + 2:,}").wait_for()

    # The model can be picked without a restart, with the domains of the archive.
    page.locator("#model input").click()
    page.get_by_role("option", name=name).click()
    to_tab(page, "Translate")
    page.locator("#domain-a").get_by_label("warm", exact=True).check()
    after(page, lambda: page.locator("#source input[type=file]").first.set_input_files(str(portrait_file)))

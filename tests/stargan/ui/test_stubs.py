"""Gradio is read without its writing type stubs."""

from __future__ import annotations

import contextlib
import importlib
import inspect
from pathlib import Path

import pytest

from stargan.ui.stubs import unwritten


def test_no_stubs_are_written_of_what_is_defined_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    before = inspect.getfile
    for block, name in ((contextlib.nullcontext(), "stubbed_box"), (unwritten(), "unstubbed_box")):
        (tmp_path / f"{name}.py").write_text("import gradio\n\n\nclass Box(gradio.HTML):\n    pass\n")
        with block:
            box = importlib.import_module(name).Box
            assert inspect.getfile(unwritten) == unwritten.__code__.co_filename
        assert box("<p>").value == "<p>" and inspect.getfile(box) == str(tmp_path / f"{name}.py")
    assert [path.name for path in tmp_path.glob("*.pyi")] == ["stubbed_box.pyi"] and inspect.getfile is before

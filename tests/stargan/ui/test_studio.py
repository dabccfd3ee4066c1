"""What the page makes of files."""

from __future__ import annotations

import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from threading import get_native_id
from typing import Any

import numpy as np
import pytest
from material import portrait

from stargan.model import build
from stargan.networks import ModelConfig
from stargan.priority import PRIORITY
from stargan.translate import Translator
from stargan.ui import studio
from stargan.ui.studio import REFERENCE, Keep, SourceChoice, Studio, StyleChoice


def small(compiled: bool = False) -> Studio:
    shape = ModelConfig(image_size=64, domains=("a", "b"), w_hpf=0, base_channels=4, max_channels=8, hidden_dim=16)
    return Studio(build(shape), compiled=compiled)


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own")
def test_compiling_gives_way_to_visitors(monkeypatch: pytest.MonkeyPatch) -> None:
    found: Queue[int] = Queue()
    monkeypatch.setattr(studio, "COMPILE_AFTER", 0.0)
    monkeypatch.setattr(Translator, "compile", lambda self: found.put(os.getpriority(os.PRIO_PROCESS, get_native_id())))
    before = sys.getswitchinterval()
    own = os.getpriority(os.PRIO_PROCESS, get_native_id())  # 0, but where the tests are run under nice
    small(compiled=True)
    assert found.get(timeout=30) == max(PRIORITY, own) and os.getpriority(os.PRIO_PROCESS, get_native_id()) == own
    assert sys.getswitchinterval() == pytest.approx(studio.TURN) and before > studio.TURN


def test_what_two_ask_for_at_once_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    studio = small()
    portrait(1).save(tmp_path / "source.png")
    source = SourceChoice(str(tmp_path / "source.png"), aligned=False)
    decode, made = studio.translator.decode, []

    def counted(encoded: Any, codes: Any) -> Any:
        made.append(len(codes))
        if len(made) == 2:
            raise ValueError("no")
        return decode(encoded, codes)

    monkeypatch.setattr(studio.translator, "decode", counted)
    with ThreadPoolExecutor(2) as both:
        rows = list(both.map(lambda _: studio.seeds(source, Keep(), "a", range(3), 1.0), range(2)))
    assert made == [3] and rows[0] == rows[1]
    # Another domain is another row, and what failed is tried again.
    with pytest.raises(ValueError, match="no"):
        studio.seeds(source, Keep(), "b", range(3), 1.0)
    other = studio.seeds(source, Keep(), "b", range(3), 1.0)
    assert made == [3, 3, 3] and not np.array_equal(np.asarray(other[0]), np.asarray(rows[0][0]))


def test_a_file_is_read_again_where_it_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    studio, path, read = small(), tmp_path / "source.png", Path.read_bytes
    source, times = SourceChoice(str(path), aligned=False), []

    def counted(file: Path) -> bytes:
        times.append(file)
        return read(file)

    monkeypatch.setattr(Path, "read_bytes", counted)
    portrait(1).save(path)
    first = studio.prepare(source).image
    assert studio.prepare(source).image is first and len(times) == 2  # for what it is, and for the picture
    studio.encode(source, Keep())
    studio.encode(source, Keep(likeness=0.5))
    assert len(times) == 2
    path.unlink()
    portrait(2).save(path)
    assert not np.array_equal(np.asarray(studio.prepare(source).image), np.asarray(first))
    path.unlink()
    with pytest.raises(ValueError, match="has been deleted from the page meanwhile"):
        studio.prepare(source)


def test_the_way_back_keeps_as_much_as_the_way_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    studio, kept = small(), []
    encode = studio.encode_square

    def noted(square: Any, keep: Keep) -> Any:
        kept.append(keep)
        return encode(square, keep)

    monkeypatch.setattr(studio, "encode_square", noted)
    portrait(1).save(tmp_path / "source.png")
    source, keep = SourceChoice(str(tmp_path / "source.png"), aligned=False), Keep(True, {"eyes": 0.0})
    studio.reconstruct(source, portrait(2), "a", keep)
    assert kept == [keep]


def test_of_a_reference_it_is_said_that_it_is_the_reference(tmp_path: Path) -> None:
    studio = small()
    (tmp_path / "notes.jpg").write_text("no picture")
    for choice, words in (
        (StyleChoice("a", REFERENCE), "there is no reference yet"),
        (StyleChoice("a", REFERENCE, refused="It is broken."), "the reference cannot be used. It is broken."),
        (StyleChoice("a", REFERENCE, reference=str(tmp_path / "notes.jpg")), "the reference cannot be used. This file is not a"),
        (StyleChoice("a", REFERENCE, reference=str(tmp_path / "gone.jpg")), "the reference cannot be used. This picture has been"),
    ):
        with pytest.raises(ValueError, match=re.escape(words)):
            studio.style(choice, aligned=False)
